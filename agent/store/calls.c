/* calls.c: rows of `open_calls`, the calls in flight as of the last commit. */
#include <errno.h>

#include "store/sqlite_store.h"

#define TEXT_COLUMN(id, name, bytes_max) #name ","
#define NUMBER_COLUMN(id, name)          #name ","
#define TEXT_MARK(id, name, bytes_max)   "?,"
#define NUMBER_MARK(id, name)            "?,"
#define COLUMNS                                                                                              \
    "call_id,client_id,lane_id,sequence,time_unix_ns,call_step,begun_unix_ns,call_records,field_steps,"      \
    "usage_json,"                                                                                            \
    "truncated," TALLY_USAGE_TEXTS(TEXT_COLUMN) TALLY_USAGE_NUMBERS(NUMBER_COLUMN)

int store_call_put(struct store *store, const struct call_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_CALL_PUT,
        "INSERT OR REPLACE INTO open_calls(call_id,client_id,lane_id,sequence,time_unix_ns,"
        "call_step,begun_unix_ns,call_records,field_steps," TALLY_USAGE_TEXTS(TEXT_COLUMN)
            TALLY_USAGE_NUMBERS(
                NUMBER_COLUMN) "usage_json,truncated) VALUES(?,?,?,?,?,?,?,?,?," TALLY_USAGE_TEXTS(TEXT_MARK)
                TALLY_USAGE_NUMBERS(NUMBER_MARK) "?,?)");
    if (!statement)
        return -ENOMEM;
    int column = 1;
    bind_id(statement, column++, row->call_id);
    sqlite3_bind_int64(statement, column++, row->client_id);
    sqlite3_bind_int64(statement, column++, row->lane_id);
    sqlite3_bind_int64(statement, column++, row->sequence);
    sqlite3_bind_int64(statement, column++, row->time_unix_ns);
    sqlite3_bind_int64(statement, column++, row->call_step);
    bind_known(statement, column++, row->begun_unix_ns, -1);
    sqlite3_bind_int64(statement, column++, row->call_records);
    bind_steps(statement, column++, row->field_steps);
    column = store_bind_texts(statement, column, row->values);
    column = store_bind_numbers(statement, column, row->values);
    bind_text(statement, column++, row->values->usage_json);
    if (row->values->truncated)
        sqlite3_bind_int64(statement, column, (int64_t)row->values->truncated);
    return store_run(store, statement);
}

int store_call_delete(struct store *store, const uint8_t call_id[16])
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_CALL_DELETE, "DELETE FROM open_calls WHERE call_id=?");
    if (!statement)
        return -ENOMEM;
    bind_id(statement, 1, call_id);
    return store_run(store, statement);
}

static void read_call(sqlite3_stmt *statement, struct call_row *row, struct usage_values *values,
                      uint32_t steps[FIELD_STEPS])
{
    int column = 1;
    row->client_id = sqlite3_column_int64(statement, column++);
    row->lane_id = sqlite3_column_int64(statement, column++);
    row->sequence = sqlite3_column_int64(statement, column++);
    row->time_unix_ns = sqlite3_column_int64(statement, column++);
    row->call_step = (uint32_t)sqlite3_column_int64(statement, column++);
    row->begun_unix_ns = column_known(statement, column++, -1);
    row->call_records = sqlite3_column_int64(statement, column++);
    column_steps(statement, column++, steps);
    row->field_steps = steps;
    values->usage_json = column_text(statement, column++);
    values->truncated = (uint64_t)sqlite3_column_int64(statement, column++);
    column = store_column_texts(statement, column, values);
    store_column_numbers(statement, column, values);
    row->values = values;
}

int store_call_each(struct store *store, store_take_call take, void *context)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_CALL_EACH, "SELECT " COLUMNS "0 FROM open_calls");
    if (!statement)
        return -ENOMEM;
    int result;
    while ((result = store_step(store, statement)) > 0) {
        uint8_t call_id[16];
        struct usage_values values = {.numbers_known = 0};
        struct call_row row = {.call_id = call_id};
        column_id(statement, 0, call_id);
        uint32_t steps[FIELD_STEPS];
        read_call(statement, &row, &values, steps);
        result = take(context, &row);
        if (result < 0) {
            store_done(statement);
            break;
        }
    }
    return result;
}
