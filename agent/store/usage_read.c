/* usage_read.c: rows of `usage` as they are read, from the view, and the words that its columns have for numbers. */
#include <errno.h>
#include <stdio.h>

#include "store/usage.h"

static const char *const status_names[] = {"ok", "error", "cancelled", "aborted"};
#define STATUSES ((int64_t)(sizeof(status_names) / sizeof(status_names[0])))

const char *store_status_name(int64_t status)
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
#define NAMES (sizeof(names) / sizeof(names[0]))

const char *store_names_of(uint64_t mask, char buffer[NAMES_BYTES])
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

int64_t store_read_usage(sqlite3_stmt *statement, struct usage_row *row, struct usage_room *room)
{
    struct usage_values *values = &room->values;
    int column = 1;
    *row = (struct usage_row){.values = values};
    *values = (struct usage_values){.numbers_known = 0};
    row->client_id = sqlite3_column_int64(statement, column++);
    row->lane_id = sqlite3_column_int64(statement, column++);
    row->sequence = sqlite3_column_int64(statement, column++);
    row->time_unix_ns = sqlite3_column_int64(statement, column++);
    if (column_id(statement, column++, room->call_id))
        row->call_id = room->call_id;
    row->call_step = (uint32_t)sqlite3_column_int64(statement, column++);
    row->call_records = sqlite3_column_int64(statement, column++);
    row->call_records_total = column_known(statement, column++, -1);
    column_steps(statement, column++, room->steps);
    row->field_steps = room->steps;
    row->amendable = (uint32_t)column_known(statement, column++, 0);
    row->cost_known = sqlite3_column_type(statement, column) != SQLITE_NULL;
    row->cost_picodollars = sqlite3_column_int64(statement, column++);
    row->cost_basis = column_text(statement, column++);
    row->list_cost_known = sqlite3_column_type(statement, column) != SQLITE_NULL;
    row->list_cost_picodollars = sqlite3_column_int64(statement, column++);
    row->price_table_id = column_known(statement, column++, 0);
    values->usage_json = column_text(statement, column++);
    values->truncated = mask_of(column_text(statement, column++));
    column = store_column_texts(statement, column, values);
    column = store_column_numbers(statement, column, values);
    usage_number_set(values, USAGE_NUMBER_status,
                     status_of(column_text(statement, column - USAGE_NUMBERS + USAGE_NUMBER_status)));
    return sqlite3_column_int64(statement, 0);
}

int store_usage_amendable(struct store *store, const uint8_t call_id[16], store_take_usage take,
                          void *context)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_USAGE_AMENDABLE,
                        "SELECT " USAGE_COLUMNS " FROM usage WHERE id=(SELECT id FROM usage_calls WHERE"
                        " call_id=? AND amendable IS NOT NULL)");
    if (!statement)
        return -ENOMEM;
    bind_id(statement, 1, call_id);
    int result = store_usage_flush(store);
    if (!result)
        result = store_step(store, statement);
    if (result <= 0)
        return result;
    struct usage_row row;
    struct usage_room room;
    int64_t id = store_read_usage(statement, &row, &room);
    result = take(context, id, &row);
    store_done(statement);
    return result < 0 ? result : 1;
}

int store_usage_each(struct store *store, int64_t since_unix_ns, int64_t until_unix_ns,
                     store_take_priced take, void *context)
{
    enum { SERVICE = 18 + USAGE_TEXTS + USAGE_NUMBERS, CLIENT };
    int result;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_USAGE_EACH,
                        "SELECT " USAGE_COLUMNS ",(SELECT service FROM clients WHERE clients.id=client_id),"
                        "EXISTS(SELECT 1 FROM clients WHERE clients.id=client_id)"
                        " FROM usage WHERE start_time_unix_ns>=? AND start_time_unix_ns<? ORDER BY id");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, since_unix_ns);
    sqlite3_bind_int64(statement, 2, until_unix_ns);
    result = store_usage_flush(store);
    if (result)
        return result;
    while ((result = store_step(store, statement)) > 0) {
        struct usage_row row;
        struct usage_room room;
        struct text service = column_text(statement, SERVICE);
        if (!service.data && sqlite3_column_int(statement, CLIENT))
            service = (struct text){"", 0};
        int64_t id = store_read_usage(statement, &row, &room);
        result = take(context, id, &row, service);
        if (result < 0) {
            store_done(statement);
            return result;
        }
    }
    return result;
}

int store_usage_count_amendable(struct store *store, int64_t *count)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_USAGE_COUNT_AMENDABLE,
                                              "SELECT count(*) FROM usage_calls WHERE amendable IS NOT NULL");
    if (!statement)
        return -ENOMEM;
    int result = store_step(store, statement);
    if (result < 0)
        return result;
    *count = result ? sqlite3_column_int64(statement, 0) : 0;
    store_done(statement);
    return 0;
}
