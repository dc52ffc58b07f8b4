/* retention.c: what is past its age goes, a slice at a time, from the lowest ids up: ids grow
 * with commit order, so no index on time is needed, which every insertion would pay for. */
#include <errno.h>

#include "store/usage.h"

int store_slice_read(struct store *store, sqlite3_stmt *statement, struct slice *slice)
{
    int result;
    while ((result = store_step(store, statement)) > 0) {
        slice->last = sqlite3_column_int64(statement, 0);
        if (sqlite3_column_int(statement, 1) && slice->count < STORE_SLICE_ROWS)
            slice->ids[slice->count++] = slice->last;
    }
    return result;
}

int store_slice_delete(struct store *store, enum statement which, const char *sql, int64_t id)
{
    sqlite3_stmt *statement = store_statement(store, which, sql);
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, id);
    return store_run(store, statement);
}

/* The ids of rows that are gone must not be given out again: readers follow the table by id. */
static int keep_last_id(struct store *store)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_EXPIRE_LAST_ID,
                                              "INSERT INTO meta(key,value) VALUES('last_usage_id',?)"
                                              " ON CONFLICT(key) DO UPDATE SET value=excluded.value");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, store->next_usage_id - 1);
    return store_run(store, statement);
}

static int delete_row(struct store *store, int64_t id)
{
    static const struct {
        enum statement which;
        const char *sql;
    } parts[] = {{STATEMENT_EXPIRE_USAGE, "DELETE FROM usage_rows WHERE id=?"},
                 {STATEMENT_EXPIRE_TEXTS, "DELETE FROM usage_texts WHERE id=?"},
                 {STATEMENT_EXPIRE_CALLS, "DELETE FROM usage_calls WHERE id=?"}};
    int result = 0;
    for (size_t i = 0; !result && i < sizeof(parts) / sizeof(parts[0]); i++)
        result = store_slice_delete(store, parts[i].which, parts[i].sql, id);
    return result;
}

int store_usage_expire(struct store *store, int64_t before_unix_ns, int64_t *cursor)
{
    struct slice slice = {.count = 0, .last = *cursor};
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_EXPIRE_SLICE,
                        "SELECT id,time_unix_ns<? FROM usage_rows WHERE id>? ORDER BY id LIMIT ?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, before_unix_ns);
    sqlite3_bind_int64(statement, 2, *cursor);
    sqlite3_bind_int64(statement, 3, STORE_SLICE_ROWS);
    int result = store_usage_flush(store);
    store->batch.newest = -1; /* it may go */
    if (!result)
        result = store_slice_read(store, statement, &slice);
    for (int i = 0; !result && i < slice.count; i++)
        result = delete_row(store, slice.ids[i]);
    if (!result && slice.count)
        result = keep_last_id(store);
    *cursor = slice.last;
    return result < 0 ? result : slice.count;
}

int store_log_expire(struct store *store, int64_t before_unix_ns)
{
    static const char *const sql[] = {
        "DELETE FROM lanes WHERE client_id NOT IN (SELECT id FROM clients) AND arena_id IN (SELECT id FROM"
        " arenas WHERE spill_uid>=0 AND attached_unix_ns<? AND id NOT IN (SELECT arena_id FROM losses))",
        "DELETE FROM arenas WHERE spill_uid>=0 AND attached_unix_ns<? AND id NOT IN (SELECT arena_id FROM"
        " lanes) AND id NOT IN (SELECT arena_id FROM losses)"};
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *statement =
            store_statement(store, i ? STATEMENT_EXPIRE_LOGS : STATEMENT_EXPIRE_LOG_LANES, sql[i]);
        if (!statement)
            return -ENOMEM;
        sqlite3_bind_int64(statement, 1, before_unix_ns);
        int result = store_run(store, statement);
        if (result)
            return result;
    }
    return 0;
}

int store_client_expire(struct store *store, int64_t before_unix_ns, int64_t *cursor,
                        store_client_pinned pinned, void *context)
{
    struct slice slice = {.count = 0, .last = *cursor};
    /* A client whose newest record is past its age has no rows left: they were older still. */
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_EXPIRE_CLIENT_SLICE,
                        "SELECT id, ended IS NOT NULL AND ended_unix_ns<?1 AND last_unix_ns<?1"
                        " AND id NOT IN (SELECT client_id FROM lanes JOIN arenas ON arenas.id=arena_id"
                        " WHERE client_id IS NOT NULL AND spill_uid<0)"
                        " AND id NOT IN (SELECT client_id FROM lane_clients)"
                        " AND id NOT IN (SELECT client_id FROM open_calls)"
                        " FROM clients WHERE id>?2 ORDER BY id LIMIT ?3");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, before_unix_ns);
    sqlite3_bind_int64(statement, 2, *cursor);
    sqlite3_bind_int64(statement, 3, STORE_SLICE_ROWS);
    int result = store_slice_read(store, statement, &slice);
    int gone = 0;
    for (int i = 0; !result && i < slice.count; i++) {
        if (pinned(context, slice.ids[i]))
            continue;
        result = store_slice_delete(store, STATEMENT_EXPIRE_CLIENT, "DELETE FROM clients WHERE id=?",
                                    slice.ids[i]);
        gone++;
    }
    *cursor = slice.last;
    return result < 0 ? result : gone;
}
