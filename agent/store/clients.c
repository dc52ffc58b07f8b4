/* clients.c: rows of `clients`, one a session. */
#include <errno.h>

#include "store/sqlite_store.h"

static const char *const ended_names[] = {[CLIENT_RUNNING] = NULL,
                                          [CLIENT_CLEAN] = "clean",
                                          [CLIENT_DIED] = "died",
                                          [CLIENT_EXEC] = "exec",
                                          [CLIENT_UNKNOWN] = "unknown"};

static enum client_ended ended_of(struct text name)
{
    for (int i = CLIENT_CLEAN; i <= CLIENT_UNKNOWN; i++)
        if (name.data && strlen(ended_names[i]) == name.length &&
            !memcmp(ended_names[i], name.data, name.length))
            return (enum client_ended)i;
    return name.data ? CLIENT_DIED : CLIENT_RUNNING;
}

/* The columns of client_state, in the order of INSERT and UPDATE alike. */
static int bind_state(sqlite3_stmt *statement, int column, const struct client_state *state)
{
    sqlite3_bind_int64(statement, column++, state->last_unix_ns);
    if (state->ended != CLIENT_RUNNING) {
        sqlite3_bind_int64(statement, column, state->ended_unix_ns);
        bind_string(statement, column + 1, ended_names[state->ended]);
    }
    column += 2;
    sqlite3_bind_int64(statement, column++, state->complete);
    sqlite3_bind_int64(statement, column++, state->tenures);
    sqlite3_bind_int64(statement, column++, state->tenures_open);
    sqlite3_bind_int64(statement, column++, state->tenures_died);
    sqlite3_bind_int64(statement, column++, state->written);
    sqlite3_bind_int64(statement, column++, state->persisted);
    sqlite3_bind_int64(statement, column++, state->lost);
    sqlite3_bind_int64(statement, column++, state->refused);
    return column;
}

int store_client_insert(struct store *store, const struct client_row *row, int64_t *client_id)
{
    const struct client_identity *identity = &row->identity;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_CLIENT_INSERT,
                        "INSERT INTO clients(last_unix_ns,ended_unix_ns,ended,complete,tenures,tenures_open,"
                        "tenures_died,written,persisted,lost,refused,session_id,parent_id,service,host,pid,"
                        "process_start_time,pid_namespace,uid,executable,tags,resource_attributes,"
                        "library_version,truncated,started_unix_ns)"
                        " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    if (!statement)
        return -ENOMEM;
    int column = bind_state(statement, 1, &row->state);
    bind_id(statement, column++, identity->session_id);
    bind_known(statement, column++, identity->parent_id, 0);
    bind_text(statement, column++, identity->service);
    bind_text(statement, column++, identity->host);
    bind_known(statement, column++, identity->pid, -1);
    bind_known(statement, column++, identity->process_start_time, -1);
    bind_known(statement, column++, identity->pid_namespace, -1);
    bind_known(statement, column++, identity->uid, -1);
    bind_text(statement, column++, identity->executable);
    bind_text(statement, column++, identity->tags);
    bind_text(statement, column++, identity->resource_attributes);
    bind_text(statement, column++, identity->library_version);
    sqlite3_bind_int64(statement, column++, identity->truncated);
    sqlite3_bind_int64(statement, column++, identity->started_unix_ns);
    int result = store_run(store, statement);
    if (!result)
        *client_id = sqlite3_last_insert_rowid(store->database);
    return result;
}

int store_client_update(struct store *store, int64_t client_id, const struct client_state *state)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_CLIENT_UPDATE,
                        "UPDATE clients SET last_unix_ns=?,ended_unix_ns=?,ended=?,complete=?,tenures=?,"
                        "tenures_open=?,tenures_died=?,written=?,persisted=?,lost=?,refused=? WHERE id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, bind_state(statement, 1, state), client_id);
    return store_run(store, statement);
}

#define CLIENT_COLUMNS                                                                                       \
    "SELECT id,session_id,parent_id,service,host,pid,process_start_time,pid_namespace,uid,executable,tags,"  \
    "resource_attributes,library_version,truncated,started_unix_ns,last_unix_ns,ended_unix_ns,ended,"        \
    "complete,tenures,tenures_open,tenures_died,written,persisted,lost,refused FROM clients "

static int take_client(sqlite3_stmt *statement, store_take_client take, void *context)
{
    struct client_row row = {.client_id = sqlite3_column_int64(statement, 0)};
    struct client_identity *identity = &row.identity;
    struct client_state *state = &row.state;
    column_id(statement, 1, identity->session_id);
    identity->parent_id = sqlite3_column_int64(statement, 2);
    identity->service = column_text(statement, 3);
    identity->host = column_text(statement, 4);
    identity->pid = column_known(statement, 5, -1);
    identity->process_start_time = column_known(statement, 6, -1);
    identity->pid_namespace = column_known(statement, 7, -1);
    identity->uid = column_known(statement, 8, -1);
    identity->executable = column_text(statement, 9);
    identity->tags = column_text(statement, 10);
    identity->resource_attributes = column_text(statement, 11);
    identity->library_version = column_text(statement, 12);
    identity->truncated = sqlite3_column_int(statement, 13);
    identity->started_unix_ns = sqlite3_column_int64(statement, 14);
    state->last_unix_ns = sqlite3_column_int64(statement, 15);
    state->ended_unix_ns = sqlite3_column_int64(statement, 16);
    state->ended = ended_of(column_text(statement, 17));
    state->complete = sqlite3_column_int(statement, 18);
    state->tenures = sqlite3_column_int64(statement, 19);
    state->tenures_open = sqlite3_column_int64(statement, 20);
    state->tenures_died = sqlite3_column_int64(statement, 21);
    state->written = sqlite3_column_int64(statement, 22);
    state->persisted = sqlite3_column_int64(statement, 23);
    state->lost = sqlite3_column_int64(statement, 24);
    state->refused = sqlite3_column_int64(statement, 25);
    return take(context, &row);
}

/* All rows of a query that has its bindings: 1 if there were any. */
static int each_client(struct store *store, sqlite3_stmt *statement, store_take_client take, void *context)
{
    int found = 0;
    int result;
    while ((result = store_step(store, statement)) > 0) {
        found = 1;
        result = take_client(statement, take, context);
        if (result < 0) {
            store_done(statement);
            return result;
        }
    }
    return result < 0 ? result : found;
}

int store_client_each_running(struct store *store, store_take_client take, void *context)
{
    /* By id: a client object comes after its process. */
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_CLIENT_RUNNING, CLIENT_COLUMNS "WHERE ended IS NULL ORDER BY id");
    if (!statement)
        return -ENOMEM;
    int result = each_client(store, statement, take, context);
    return result < 0 ? result : 0;
}

int store_client_by_session(struct store *store, const uint8_t session_id[16], store_take_client take,
                            void *context)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_CLIENT_BY_SESSION, CLIENT_COLUMNS "WHERE session_id=?");
    if (!statement)
        return -ENOMEM;
    bind_id(statement, 1, session_id);
    return each_client(store, statement, take, context);
}

int store_client_by_id(struct store *store, int64_t client_id, store_take_client take, void *context)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_CLIENT_BY_ID, CLIENT_COLUMNS "WHERE id=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, client_id);
    return each_client(store, statement, take, context);
}
