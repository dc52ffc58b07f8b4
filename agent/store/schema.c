/* schema.c: the versions of usage.db's schema, and how one becomes the next. PRAGMA
 * user_version says which a file has; each step is one transaction, or, where rows are moved, several. A version once
 * released is never edited. */
#include <errno.h>
#include <stdio.h>

#include "log/log.h"
#include "store/usage.h"

#define APPLICATION_ID 0x544c4c59 /* "TLLY": file(1) and we ourselves know the file by it */

static const char *const versions[] = {
/* 1 */
#include "store/schema_v1.sql.inc"
    ,
/* 2 */
#include "store/schema_v2.sql.inc"
    ,
/* 3 */
#include "store/schema_v3.sql.inc"
    ,
/* 4 */
#include "store/schema_v4.sql.inc"
    ,
/* 5 */
#include "store/schema_v5.sql.inc"
    ,
};
/* Whose rows are still to be moved before it becomes the next. */
#define VERSION_ON_THE_MOVE 3
#define VERSION_NEWEST      ((int)(sizeof(versions) / sizeof(versions[0])))

static int read_pragma(struct store *store, const char *sql, int64_t *value)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL))
        return store_fail(store, "read the schema's version");
    int result = sqlite3_step(statement) == SQLITE_ROW ? 0 : store_fail(store, "read the schema's version");
    if (!result)
        *value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return result;
}

/* Read inside the transaction: two agents may open the same new file at once. */
static int read_version(struct store *store, int64_t *version)
{
    int64_t application = 0;
    int64_t tables = 0;
    int result = read_pragma(store, "PRAGMA application_id", &application);
    if (!result)
        result = read_pragma(store, "PRAGMA user_version", version);
    if (!result)
        result = read_pragma(store, "SELECT count(*) FROM sqlite_master", &tables);
    if (result)
        return result;
    if (application != APPLICATION_ID && (application || *version || tables))
        return store_refuse(
            store, ENOTSUP,
            "this is not a database of tally; move it away or choose another state directory");
    if (*version > VERSION_NEWEST || *version < 0)
        return store_refuse(store, ENOTSUP,
                            "the database has schema version %lld and this agent knows %d: run the newer "
                            "tallyd that wrote it",
                            (long long)*version, VERSION_NEWEST);
    return 0;
}

static int next_version(struct store *store, int version)
{
    char finish[128];
    snprintf(finish, sizeof(finish), "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
             version + 1);
    return sqlite3_exec(store->database, versions[version], NULL, NULL, NULL) ||
                   sqlite3_exec(store->database, finish, NULL, NULL, NULL)
               ? store_fail(store, "migrate the schema")
               : 0;
}

static int migrate_one(struct store *store, bool *newest)
{
    int64_t version = 0;
    if (sqlite3_exec(store->database, "BEGIN IMMEDIATE", NULL, NULL, NULL))
        return store_fail(store, "begin a transaction");
    int result = read_version(store, &version);
    *newest = version == VERSION_NEWEST;
    int moved = result || version != VERSION_ON_THE_MOVE ? 0 : store_convert(store);
    if (moved < 0)
        result = moved;
    if (!result && !moved && !*newest)
        result = next_version(store, (int)version);
    if (!result && sqlite3_exec(store->database, "COMMIT", NULL, NULL, NULL))
        result = store_fail(store, "commit the schema");
    if (result) {
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
        store_labels_forget(store);
    }
    return result;
}

int store_migrate(struct store *store)
{
    int64_t version = 0;
    bool newest = false;
    /* Usually nothing is to be done, and that needs no write lock. */
    int result = read_version(store, &version);
    if (!result && version == VERSION_NEWEST)
        return 0;
    if (!result && version > 0 && version <= VERSION_ON_THE_MOVE)
        log_line(LOG_NOTE,
                 "the database is of schema version %lld: its rows are moved to that of version %d, a minute "
                 "or two for ten "
                 "million; until then clients' records wait in shared memory and spill files",
                 (long long)version, VERSION_NEWEST);
    while (!result && !newest)
        result = migrate_one(store, &newest);
    return result;
}

int store_check_version(struct store *store)
{
    int64_t version = 0;
    int result = read_version(store, &version);
    if (!result && version != VERSION_NEWEST)
        result = store_refuse(store, ENOTSUP,
                              "the database has schema version %lld and this command knows %d: start tallyd "
                              "once, it migrates it",
                              (long long)version, VERSION_NEWEST);
    return result;
}
