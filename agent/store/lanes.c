/* lanes.c: rows of `arenas`, `lanes`, `lane_clients` and `losses`. */
#include <errno.h>
#include <stdio.h>

#include "store/sqlite_store.h"

/* ---- arenas ---- */

static int find_arena(struct store *store, struct arena_row *row)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_ARENA_FIND,
                                              "SELECT id,refused_no_lane,refused_reentered,refused_no_spill "
                                              "FROM arenas WHERE uuid=? AND spill_uid=?");
    if (!statement)
        return -ENOMEM;
    bind_id(statement, 1, row->uuid);
    sqlite3_bind_int64(statement, 2, row->spill_uid);
    int result = store_step(store, statement);
    if (result > 0) {
        row->arena_id = sqlite3_column_int64(statement, 0);
        row->refused_no_lane = sqlite3_column_int64(statement, 1);
        row->refused_reentered = sqlite3_column_int64(statement, 2);
        row->refused_no_spill = sqlite3_column_int64(statement, 3);
        store_done(statement);
    }
    return result;
}

static int insert_arena(struct store *store, struct arena_row *row)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_ARENA_INSERT,
                                              "INSERT INTO arenas(uuid,path,boot_id,created_unix_ns,"
                                              "attached_unix_ns,spill_uid) VALUES(?,?,?,?,?,?)");
    if (!statement)
        return -ENOMEM;
    bind_id(statement, 1, row->uuid);
    bind_string(statement, 2, row->path);
    bind_id(statement, 3, row->boot_id);
    sqlite3_bind_int64(statement, 4, row->created_unix_ns);
    sqlite3_bind_int64(statement, 5, row->attached_unix_ns);
    sqlite3_bind_int64(statement, 6, row->spill_uid);
    int result = store_run(store, statement);
    if (!result)
        row->arena_id = sqlite3_last_insert_rowid(store->database);
    return result;
}

int store_arena_attach(struct store *store, struct arena_row *row)
{
    int result = find_arena(store, row);
    if (result <= 0)
        return result < 0 ? result : insert_arena(store, row);
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_ARENA_UPDATE,
                        "UPDATE arenas SET path=?,attached_unix_ns=?,retired_unix_ns=NULL WHERE id=?");
    if (!statement)
        return -ENOMEM;
    bind_string(statement, 1, row->path);
    sqlite3_bind_int64(statement, 2, row->attached_unix_ns);
    sqlite3_bind_int64(statement, 3, row->arena_id);
    return store_run(store, statement);
}

int store_arena_open(struct store *store, struct arena_row *row)
{
    int result = find_arena(store, row);
    return result ? result < 0 ? result : 0 : insert_arena(store, row);
}

int store_arena_read(struct store *store, struct arena_row *row)
{
    int result = find_arena(store, row);
    return result < 0 ? result : 0;
}

int store_arena_known(struct store *store, const uint8_t uuid[16], char *path, size_t bytes)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_ARENA_PATH, "SELECT path FROM arenas WHERE uuid=? AND spill_uid=-1");
    if (!statement)
        return -ENOMEM;
    bind_id(statement, 1, uuid);
    int result = store_step(store, statement);
    if (result > 0) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (path)
            snprintf(path, bytes, "%s", text ? text : "");
        store_done(statement);
    }
    return result;
}

int store_arena_retire(struct store *store, int64_t arena_id, int64_t now_unix_ns)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_ARENA_RETIRE, "UPDATE arenas SET retired_unix_ns=? WHERE id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, now_unix_ns);
    sqlite3_bind_int64(statement, 2, arena_id);
    return store_run(store, statement);
}

int store_arena_refused(struct store *store, const struct arena_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_ARENA_REFUSED,
        "UPDATE arenas SET refused_no_lane=?,refused_reentered=?,refused_no_spill=? WHERE id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, row->refused_no_lane);
    sqlite3_bind_int64(statement, 2, row->refused_reentered);
    sqlite3_bind_int64(statement, 3, row->refused_no_spill);
    sqlite3_bind_int64(statement, 4, row->arena_id);
    return store_run(store, statement);
}

int store_arena_each_live(struct store *store, store_take_arena take, void *context)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_ARENA_EACH_LIVE,
        "SELECT id,uuid,boot_id,path FROM arenas WHERE retired_unix_ns IS NULL AND spill_uid=-1");
    if (!statement)
        return -ENOMEM;
    int result;
    while ((result = store_step(store, statement)) > 0) {
        struct arena_row row = {.arena_id = sqlite3_column_int64(statement, 0),
                                .path = (const char *)sqlite3_column_text(statement, 3)};
        column_id(statement, 1, row.uuid);
        column_id(statement, 2, row.boot_id);
        result = take(context, &row);
        if (result < 0) {
            store_done(statement);
            break;
        }
    }
    return result;
}

/* ---- lanes ---- */

/* In the order of INSERT and UPDATE alike. */
static int bind_lane(sqlite3_stmt *statement, const struct lane_row *row)
{
    int column = 1;
    sqlite3_bind_int64(statement, column++, row->position);
    sqlite3_bind_int64(statement, column++, row->sequence);
    sqlite3_bind_int64(statement, column++, row->persisted);
    sqlite3_bind_int64(statement, column++, row->lost);
    sqlite3_bind_int64(statement, column++, row->refused);
    sqlite3_bind_int64(statement, column++, row->quarantines);
    bind_known(statement, column++, row->client_id, 0);
    sqlite3_bind_int64(statement, column++, row->tenure);
    sqlite3_bind_int64(statement, column++, row->tenure_first_sequence);
    sqlite3_bind_int64(statement, column++, row->tenure_first_refused);
    sqlite3_bind_int64(statement, column++, row->tenure_open);
    bind_known(statement, column++, row->tid, -1);
    bind_known(statement, column++, row->start_time, -1);
    return column;
}

int store_lane_insert(struct store *store, const struct lane_row *row, int64_t *lane_id)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_LANE_INSERT,
        "INSERT INTO lanes(position,sequence,persisted,lost,refused,quarantines,client_id,tenure,"
        "tenure_first_sequence,tenure_first_refused,tenure_open,tid,start_time,arena_id,lane)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    if (!statement)
        return -ENOMEM;
    int column = bind_lane(statement, row);
    sqlite3_bind_int64(statement, column++, row->arena_id);
    sqlite3_bind_int64(statement, column++, row->lane);
    int result = store_run(store, statement);
    if (!result)
        *lane_id = sqlite3_last_insert_rowid(store->database);
    return result;
}

int store_lane_update(struct store *store, const struct lane_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_LANE_UPDATE,
        "UPDATE lanes SET position=?,sequence=?,persisted=?,lost=?,refused=?,quarantines=?,client_id=?,"
        "tenure=?,tenure_first_sequence=?,tenure_first_refused=?,tenure_open=?,tid=?,start_time=?"
        " WHERE id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, bind_lane(statement, row), row->lane_id);
    return store_run(store, statement);
}

int store_lane_each(struct store *store, int64_t arena_id, store_take_lane take, void *context)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_LANE_EACH,
        "SELECT id,lane,position,sequence,persisted,lost,refused,quarantines,client_id,tenure,"
        "tenure_first_sequence,tenure_first_refused,tenure_open,tid,start_time"
        " FROM lanes WHERE arena_id=? ORDER BY lane");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, arena_id);
    int result;
    while ((result = store_step(store, statement)) > 0) {
        struct lane_row row = {
            .lane_id = sqlite3_column_int64(statement, 0),
            .arena_id = arena_id,
            .lane = (uint32_t)sqlite3_column_int64(statement, 1),
            .position = sqlite3_column_int64(statement, 2),
            .sequence = sqlite3_column_int64(statement, 3),
            .persisted = sqlite3_column_int64(statement, 4),
            .lost = sqlite3_column_int64(statement, 5),
            .refused = sqlite3_column_int64(statement, 6),
            .quarantines = sqlite3_column_int64(statement, 7),
            .client_id = sqlite3_column_int64(statement, 8),
            .tenure = sqlite3_column_int64(statement, 9),
            .tenure_first_sequence = sqlite3_column_int64(statement, 10),
            .tenure_first_refused = sqlite3_column_int64(statement, 11),
            .tenure_open = sqlite3_column_int(statement, 12),
            .tid = column_known(statement, 13, -1),
            .start_time = column_known(statement, 14, -1),
        };
        result = take(context, &row);
        if (result < 0) {
            store_done(statement);
            break;
        }
    }
    return result;
}

int store_lane_client_put(struct store *store, int64_t lane_id, uint32_t client, int64_t client_id)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_LANE_CLIENT_PUT,
                        "INSERT OR REPLACE INTO lane_clients(lane_id,client,client_id) VALUES(?,?,?)");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, lane_id);
    sqlite3_bind_int64(statement, 2, client);
    sqlite3_bind_int64(statement, 3, client_id);
    return store_run(store, statement);
}

int store_lane_clients_clear(struct store *store, int64_t lane_id)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_LANE_CLIENTS_CLEAR, "DELETE FROM lane_clients WHERE lane_id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, lane_id);
    return store_run(store, statement);
}

int store_lane_client_each(struct store *store, int64_t lane_id, store_take_lane_client take, void *context)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_LANE_CLIENT_EACH,
                                              "SELECT client,client_id FROM lane_clients WHERE lane_id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, lane_id);
    int result;
    while ((result = store_step(store, statement)) > 0) {
        result =
            take(context, (uint32_t)sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
        if (result < 0) {
            store_done(statement);
            break;
        }
    }
    return result;
}

/* ---- losses ---- */

int store_loss_add(struct store *store, const struct loss_row *row)
{
    /* An unknown number added to anything is unknown: NULL does just that. */
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_LOSS_ADD,
                        "INSERT INTO losses(arena_id,lane,client_id,cause,numbered,records,first_unix_ns,"
                        "last_unix_ns,detail) VALUES(?,?,?,?,?,?,?7,?7,?) ON CONFLICT DO UPDATE SET"
                        " records=min(records,9223372036854775807-excluded.records)+excluded.records,"
                        " last_unix_ns=max(last_unix_ns,excluded.last_unix_ns),"
                        " detail=ifnull(excluded.detail,detail)");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, row->arena_id);
    sqlite3_bind_int64(statement, 2, row->lane);
    sqlite3_bind_int64(statement, 3, row->client_id);
    bind_string(statement, 4, row->cause);
    sqlite3_bind_int64(statement, 5, row->numbered);
    bind_known(statement, 6, row->records, -1);
    sqlite3_bind_int64(statement, 7, row->time_unix_ns);
    bind_string(statement, 8, row->detail);
    return store_run(store, statement);
}
