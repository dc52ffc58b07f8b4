/* usage.c: rows of `usage`, as they are written: into the tables that the view of that name is made of. */
#include <errno.h>

#include "store/usage.h"

#define COLUMN(name) #name ","
#define MARK(name)   "?,"
#define SET(name)    #name "=?,"

/* ---- values ---- */

int store_bind_texts(sqlite3_stmt *statement, int column, const struct usage_values *values)
{
    for (int i = 0; i < USAGE_TEXTS; i++)
        bind_text(statement, column++, values->texts[i]);
    return column;
}

int store_bind_numbers(sqlite3_stmt *statement, int column, const struct usage_values *values)
{
    for (int i = 0; i < USAGE_NUMBERS; i++, column++)
        if (usage_number_known(values, (enum usage_number)i))
            sqlite3_bind_int64(statement, column, values->numbers[i]);
    return column;
}

/* ---- usage_rows ---- */

/* How long before its time the call began, where that does not follow from the duration: what the view works out, the
 * other way round. All are 0 or more, so nothing overflows. */
static bool start_stands_for_itself(const struct usage_row *row, int64_t *since_start)
{
    const struct usage_values *values = row->values;
    int64_t start = values->numbers[USAGE_NUMBER_start_time_unix_ns];
    int64_t duration =
        usage_number_known(values, USAGE_NUMBER_duration_ns) ? values->numbers[USAGE_NUMBER_duration_ns] : 0;
    *since_start = row->time_unix_ns - start;
    return start != (duration < row->time_unix_ns ? row->time_unix_ns - duration : 0);
}

/* Everything but the id, in the order of INSERT and UPDATE alike. */
static int bind_row(sqlite3_stmt *statement, const struct usage_row *row, int64_t label_id)
{
    int64_t since_start;
    int column = 1;
#define TALLY_Y(name)                                                                                        \
    if (usage_number_known(row->values, USAGE_NUMBER_##name))                                                \
        sqlite3_bind_int64(statement, column, row->values->numbers[USAGE_NUMBER_##name]);                    \
    column++;
    ROW_NUMBERS(TALLY_Y)
#undef TALLY_Y
    sqlite3_bind_int64(statement, column++, label_id);
    sqlite3_bind_int64(statement, column++, row->client_id);
    sqlite3_bind_int64(statement, column++, row->lane_id);
    sqlite3_bind_int64(statement, column++, row->sequence);
    sqlite3_bind_int64(statement, column++, row->time_unix_ns);
    if (start_stands_for_itself(row, &since_start))
        sqlite3_bind_int64(statement, column, since_start);
    column++;
    if (row->cost_known)
        sqlite3_bind_int64(statement, column, row->cost_picodollars);
    column++;
    if (row->list_cost_known)
        sqlite3_bind_int64(statement, column, row->list_cost_picodollars);
    column++;
    return column;
}

/* ---- usage_texts ---- */

static bool has_texts(const struct usage_row *row)
{
#define TALLY_Y(name) || row->values->texts[USAGE_TEXT_##name].data
    return row->values->usage_json.data || row->values->truncated OWN_TEXTS(TALLY_Y);
#undef TALLY_Y
}

static int put_texts(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    char truncated[NAMES_BYTES];
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_TEXTS_PUT,
        "INSERT OR REPLACE INTO usage_texts(" OWN_TEXTS(COLUMN) "usage_json,truncated,id)"
                                                                " VALUES(" OWN_TEXTS(MARK) "?,?,?)");
    if (!statement)
        return -ENOMEM;
    int column = 1;
#define TALLY_Y(name) bind_text(statement, column++, row->values->texts[USAGE_TEXT_##name]);
    OWN_TEXTS(TALLY_Y)
#undef TALLY_Y
    bind_text(statement, column++, row->values->usage_json);
    if (row->values->truncated)
        bind_string(statement, column, store_names_of(row->values->truncated, truncated));
    column++;
    sqlite3_bind_int64(statement, column, usage_id);
    return store_run(store, statement);
}

/* ---- usage_calls ---- */

static int put_call(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_CALL_OF_ROW_PUT,
        "INSERT OR REPLACE INTO usage_calls(id,call_id,call_step,call_records,call_records_total,field_steps,"
        "amendable) VALUES(?,?,?,?,?,?,?)");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, usage_id);
    bind_id(statement, 2, row->call_id);
    sqlite3_bind_int64(statement, 3, row->call_step);
    sqlite3_bind_int64(statement, 4, row->call_records);
    bind_known(statement, 5, row->call_records_total, -1);
    if (row->amendable) {
        bind_steps(statement, 6, row->field_steps);
        sqlite3_bind_int64(statement, 7, row->amendable);
    }
    return store_run(store, statement);
}

/* ---- rows ---- */

int store_usage_insert_as(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    int64_t label_id;
    int result = store_label(store, row, usage_id, &label_id);
    sqlite3_stmt *statement =
        result ? NULL
               : store_statement(
                     store, STATEMENT_USAGE_INSERT,
                     "INSERT INTO usage_rows(" ROW_NUMBERS(
                         COLUMN) "label_id,client_id,lane_id,sequence,"
                                 "time_unix_ns,since_start_ns,cost_picodollars,list_cost_picodollars,id) "
                                 "VALUES(" ROW_NUMBERS(MARK) "?,?,?,?,?,?,?,?,?)");
    if (!statement)
        return result ? result : -ENOMEM;
    sqlite3_bind_int64(statement, bind_row(statement, row, label_id), usage_id);
    result = store_run(store, statement);
    if (!result && has_texts(row))
        result = put_texts(store, usage_id, row);
    if (!result && row->call_id)
        result = put_call(store, usage_id, row);
    return result;
}

int store_usage_insert(struct store *store, const struct usage_row *row)
{
    int result = store_usage_insert_as(store, store->next_usage_id, row);
    if (!result)
        store->next_usage_id++;
    return result;
}

/* The label may be one of rows that are yet to come; this row's id is below theirs. */
static int update_row(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    int64_t label_id;
    int result = store_label(store, row, store->next_usage_id, &label_id);
    sqlite3_stmt *statement =
        result ? NULL
               : store_statement(
                     store, STATEMENT_USAGE_UPDATE,
                     "UPDATE usage_rows SET " ROW_NUMBERS(
                         SET) "label_id=?,client_id=?,lane_id=?,sequence=?,"
                              "time_unix_ns=?,since_start_ns=?,cost_picodollars=?,list_cost_picodollars=? "
                              "WHERE id=?");
    if (!statement)
        return result ? result : -ENOMEM;
    sqlite3_bind_int64(statement, bind_row(statement, row, label_id), usage_id);
    return store_run(store, statement);
}

/* Texts can go away: a column's name in `truncated`, when a record of the call has all of it. */
static int update_texts(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    return has_texts(row) ? put_texts(store, usage_id, row)
                          : store_slice_delete(store, STATEMENT_EXPIRE_TEXTS,
                                               "DELETE FROM usage_texts WHERE id=?", usage_id);
}

int store_usage_update(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    int result = update_row(store, usage_id, row);
    if (!result)
        result = update_texts(store, usage_id, row);
    if (!result && row->call_id)
        result = put_call(store, usage_id, row);
    return result;
}

int store_usage_reprice(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    int result = update_row(store, usage_id, row);
    return result ? result : update_texts(store, usage_id, row);
}
