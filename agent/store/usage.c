/* usage.c: rows of `usage` and of its rollup. */
#include <errno.h>
#include <stdio.h>

#include "store/sqlite_store.h"

/* Lists of columns, each ending in a comma, made from the lists in record.h. start_time_unix_ns,
 * status and the rest stand in the table in the same order as in the list. */
#define TEXT_COLUMN(id, name, bytes_max) #name ","
#define NUMBER_COLUMN(id, name)          #name ","
#define TEXT_MARK(id, name, bytes_max)   "?,"
#define NUMBER_MARK(id, name)            "?,"
#define TEXT_SET(id, name, bytes_max)    #name "=?,"
#define NUMBER_SET(id, name)             #name "=?,"

static const char *const status_names[] = {"ok", "error", "cancelled", "aborted"};
#define STATUSES ((int64_t)(sizeof(status_names) / sizeof(status_names[0])))

static const char *status_name(int64_t status)
{
    return status >= 0 && status < STATUSES ? status_names[status] : "error";
}

static int64_t status_of(struct text name)
{
    for (int64_t i = 0; i < STATUSES; i++)
        if (name.data && strlen(status_names[i]) == name.length &&
            !memcmp(status_names[i], name.data, name.length))
            return i;
    return TALLY_STATUS_ERROR;
}

/* ---- names of truncated columns ---- */

struct name {
    unsigned bit;
    const char *name;
};
static const struct name names[] = {
#define TALLY_X(id, name, bytes_max) {id, #name},
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name) {id, #name},
        TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
            {63, "usage_json"},
};
#define NAMES       (sizeof(names) / sizeof(names[0]))
#define NAMES_BYTES 1024

/* "a,b,c" for a mask; NULL for 0. */
static const char *names_of(uint64_t mask, char buffer[NAMES_BYTES])
{
    size_t used = 0;
    for (size_t i = 0; mask && i < NAMES; i++)
        if (mask >> names[i].bit & 1)
            used +=
                (size_t)snprintf(buffer + used, NAMES_BYTES - used, "%s%s", used ? "," : "", names[i].name);
    return used ? buffer : NULL;
}

static uint64_t mask_of(struct text text)
{
    uint64_t mask = 0;
    const char *at = text.data;
    const char *end = at ? at + text.length : NULL;
    while (at && at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t length = (size_t)((comma ? comma : end) - at);
        for (size_t i = 0; i < NAMES; i++)
            if (strlen(names[i].name) == length && !memcmp(names[i].name, at, length))
                mask |= UINT64_C(1) << names[i].bit;
        at = comma ? comma + 1 : end;
    }
    return mask;
}

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

int store_column_texts(sqlite3_stmt *statement, int column, struct usage_values *values)
{
    for (int i = 0; i < USAGE_TEXTS; i++)
        values->texts[i] = column_text(statement, column++);
    return column;
}

int store_column_numbers(sqlite3_stmt *statement, int column, struct usage_values *values)
{
    for (int i = 0; i < USAGE_NUMBERS; i++, column++)
        if (sqlite3_column_type(statement, column) != SQLITE_NULL)
            usage_number_set(values, (enum usage_number)i, sqlite3_column_int64(statement, column));
    return column;
}

/* ---- rows ---- */

/* Texts and numbers. */
static int bind_values(sqlite3_stmt *statement, int column, const struct usage_values *values)
{
    column = store_bind_texts(statement, column, values);
    column = store_bind_numbers(statement, column, values);
    /* The one number that is kept as a word. */
    sqlite3_bind_text(statement, column - USAGE_NUMBERS + USAGE_NUMBER_status,
                      status_name(values->numbers[USAGE_NUMBER_status]), -1, SQLITE_STATIC);
    if (!usage_number_known(values, USAGE_NUMBER_flags))
        sqlite3_bind_int64(statement, column - USAGE_NUMBERS + USAGE_NUMBER_flags, 0);
    return column;
}

static int bind_cost(sqlite3_stmt *statement, int column, const struct usage_row *row)
{
    if (row->cost_known)
        sqlite3_bind_int64(statement, column, row->cost_picodollars);
    column++;
    bind_text(statement, column++, row->cost_basis);
    if (row->list_cost_known)
        sqlite3_bind_int64(statement, column, row->list_cost_picodollars);
    column++;
    bind_known(statement, column++, row->price_table_id, 0);
    return column;
}

/* Everything but the id, in the order of INSERT and UPDATE alike. */
static int bind_usage(sqlite3_stmt *statement, const struct usage_row *row)
{
    char truncated[NAMES_BYTES];
    const struct usage_values *values = row->values;
    int column = 1;

    sqlite3_bind_int64(statement, column++, row->client_id);
    sqlite3_bind_int64(statement, column++, row->lane_id);
    sqlite3_bind_int64(statement, column++, row->sequence);
    sqlite3_bind_int64(statement, column++, row->time_unix_ns);
    if (row->call_id) {
        bind_id(statement, column, row->call_id);
        sqlite3_bind_int64(statement, column + 1, row->call_step);
        sqlite3_bind_int64(statement, column + 2, row->call_records);
        bind_known(statement, column + 3, row->call_records_total, -1);
        if (row->amendable) {
            bind_steps(statement, column + 4, row->field_steps);
            sqlite3_bind_int64(statement, column + 5, row->amendable);
        }
    }
    column += 6;
    column = bind_values(statement, column, values);
    bind_text(statement, column++, values->usage_json);
    if (values->truncated)
        sqlite3_bind_text(statement, column, names_of(values->truncated, truncated), -1, SQLITE_TRANSIENT);
    column++;
    return bind_cost(statement, column, row);
}

int store_usage_insert(struct store *store, const struct usage_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_USAGE_INSERT,
        "INSERT INTO usage(client_id,lane_id,sequence,time_unix_ns,call_id,call_step,call_records,"
        "call_records_total,field_steps,amendable," TALLY_USAGE_TEXTS(TEXT_COLUMN)
            TALLY_USAGE_NUMBERS(NUMBER_COLUMN) "usage_json,truncated,cost_picodollars,cost_basis,"
                                               "list_cost_picodollars,price_table_id,id) "
                                               "VALUES(?,?,?,?,?,?,?,?,?,?," TALLY_USAGE_TEXTS(TEXT_MARK)
                                                   TALLY_USAGE_NUMBERS(NUMBER_MARK) "?,?,?,?,?,?,?)");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, bind_usage(statement, row), store->next_usage_id);
    int result = store_run(store, statement);
    if (!result)
        store->next_usage_id++;
    return result;
}

int store_usage_update(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_USAGE_UPDATE,
        "UPDATE usage SET client_id=?,lane_id=?,sequence=?,time_unix_ns=?,call_id=?,call_step=?,"
        "call_records=?,call_records_total=?,field_steps=?,amendable=?," TALLY_USAGE_TEXTS(TEXT_SET)
            TALLY_USAGE_NUMBERS(NUMBER_SET) "usage_json=?,truncated=?,cost_picodollars=?,cost_basis=?,"
                                            "list_cost_picodollars=?,price_table_id=? WHERE id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, bind_usage(statement, row), usage_id);
    return store_run(store, statement);
}

/* In the order of the SELECT in store_usage_amendable(). */
static void read_usage(sqlite3_stmt *statement, struct usage_row *row, struct usage_values *values,
                       uint32_t steps[FIELD_STEPS])
{
    int column = 1;
    row->client_id = sqlite3_column_int64(statement, column++);
    row->lane_id = sqlite3_column_int64(statement, column++);
    row->sequence = sqlite3_column_int64(statement, column++);
    row->time_unix_ns = sqlite3_column_int64(statement, column++);
    row->call_step = (uint32_t)sqlite3_column_int64(statement, column++);
    row->call_records = sqlite3_column_int64(statement, column++);
    row->call_records_total = column_known(statement, column++, -1);
    column_steps(statement, column++, steps);
    row->field_steps = steps;
    row->amendable = (uint32_t)sqlite3_column_int64(statement, column++);
    row->cost_known = sqlite3_column_type(statement, column) != SQLITE_NULL;
    row->cost_picodollars = sqlite3_column_int64(statement, column++);
    values->usage_json = column_text(statement, column++);
    values->truncated = mask_of(column_text(statement, column++));
    column = store_column_texts(statement, column, values);
    column = store_column_numbers(statement, column, values);
    usage_number_set(values, USAGE_NUMBER_status,
                     status_of(column_text(statement, column - USAGE_NUMBERS + USAGE_NUMBER_status)));
    row->values = values;
}

int store_usage_amendable(struct store *store, const uint8_t call_id[16], store_take_usage take,
                          void *context)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_USAGE_AMENDABLE,
        "SELECT id,client_id,lane_id,sequence,time_unix_ns,call_step,call_records,call_records_total,"
        "field_steps,amendable,cost_picodollars,usage_json,truncated," TALLY_USAGE_TEXTS(TEXT_COLUMN)
            TALLY_USAGE_NUMBERS(NUMBER_COLUMN) "0 FROM usage WHERE call_id=? AND amendable IS NOT NULL");
    if (!statement)
        return -ENOMEM;
    bind_id(statement, 1, call_id);
    int result = store_step(store, statement);
    if (result <= 0)
        return result;
    struct usage_values values = {.numbers_known = 0};
    struct usage_row row = {.call_id = call_id};
    uint32_t steps[FIELD_STEPS];
    read_usage(statement, &row, &values, steps);
    result = take(context, sqlite3_column_int64(statement, 0), &row);
    store_done(statement);
    return result < 0 ? result : 1;
}

static void read_priced(sqlite3_stmt *statement, struct usage_row *row, struct usage_values *values)
{
    int column = 3;
    row->client_id = sqlite3_column_int64(statement, column++);
    row->lane_id = sqlite3_column_int64(statement, column++);
    row->sequence = sqlite3_column_int64(statement, column++);
    row->time_unix_ns = sqlite3_column_int64(statement, column++);
    row->amendable = (uint32_t)column_known(statement, column++, 0);
    row->cost_known = sqlite3_column_type(statement, column) != SQLITE_NULL;
    row->cost_picodollars = sqlite3_column_int64(statement, column++);
    row->cost_basis = column_text(statement, column++);
    row->list_cost_known = sqlite3_column_type(statement, column) != SQLITE_NULL;
    row->list_cost_picodollars = sqlite3_column_int64(statement, column++);
    row->price_table_id = column_known(statement, column++, 0);
    values->usage_json = column_text(statement, column++);
    column = store_column_texts(statement, column, values);
    column = store_column_numbers(statement, column, values);
    usage_number_set(values, USAGE_NUMBER_status,
                     status_of(column_text(statement, column - USAGE_NUMBERS + USAGE_NUMBER_status)));
    row->values = values;
}

int store_usage_each(struct store *store, int64_t since_unix_ns, int64_t until_unix_ns,
                     store_take_priced take, void *context)
{
    int result;
    /* u.* by its columns' names: "service" would be ambiguous otherwise. */
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_USAGE_EACH,
        "SELECT id,(SELECT service FROM clients WHERE clients.id=client_id),"
        "EXISTS(SELECT 1 FROM clients WHERE clients.id=client_id),client_id,lane_id,sequence,time_unix_ns,"
        "amendable,cost_picodollars,cost_basis,list_cost_picodollars,price_table_id,usage_"
        "json," TALLY_USAGE_TEXTS(TEXT_COLUMN) TALLY_USAGE_NUMBERS(
            NUMBER_COLUMN) "0 FROM usage WHERE start_time_unix_ns>=? AND start_time_unix_ns<? ORDER BY id");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, since_unix_ns);
    sqlite3_bind_int64(statement, 2, until_unix_ns);
    while ((result = store_step(store, statement)) > 0) {
        struct usage_values values = {.numbers_known = 0};
        struct usage_row row = {.call_id = NULL};
        struct text service = column_text(statement, 1);
        if (!service.data && sqlite3_column_int(statement, 2))
            service = (struct text){"", 0};
        read_priced(statement, &row, &values);
        result = take(context, sqlite3_column_int64(statement, 0), &row, service);
        if (result < 0) {
            store_done(statement);
            return result;
        }
    }
    return result;
}

int store_usage_reprice(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_USAGE_REPRICE,
        "UPDATE usage SET " TALLY_USAGE_TEXTS(TEXT_SET)
            TALLY_USAGE_NUMBERS(NUMBER_SET) "cost_picodollars=?,cost_basis=?,list_cost_picodollars=?,"
                                            "price_table_id=? WHERE id=?");
    if (!statement)
        return -ENOMEM;
    int column = bind_values(statement, 1, row->values);
    column = bind_cost(statement, column, row);
    sqlite3_bind_int64(statement, column, usage_id);
    return store_run(store, statement);
}

int store_usage_count_amendable(struct store *store, int64_t *count)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_USAGE_COUNT_AMENDABLE,
                                              "SELECT count(*) FROM usage WHERE amendable IS NOT NULL");
    if (!statement)
        return -ENOMEM;
    int result = store_step(store, statement);
    if (result < 0)
        return result;
    *count = result ? sqlite3_column_int64(statement, 0) : 0;
    store_done(statement);
    return 0;
}
