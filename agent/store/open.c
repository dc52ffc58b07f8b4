/* open.c: the SQLite store's connection, its statements, transactions and errors. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/usage.h"

#define BUSY_TIMEOUT_MS 2000
/* Of a visitor, who has nothing else to do than wait for the agent. */
#define VISIT_TIMEOUT_MS 30000
/* A checkpoint costs two syncs: with 16 MiB between them they do not show among the commits. */
#define CHECKPOINT_PAGES "4096"

/* SQLITE_CORRUPT must not become -EBADMSG, which is the ledger's word for a bad record. */
static int errno_of(sqlite3 *database, int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return EACCES;
    case SQLITE_CANTOPEN:
        return database && sqlite3_system_errno(database) > 0 ? sqlite3_system_errno(database) : EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return EUCLEAN;
    case SQLITE_INTERRUPT:
        return EINTR;
    case SQLITE_TOOBIG:
        return EMSGSIZE;
    default:
        return EIO;
    }
}

static const char *remedy_of(int error)
{
    switch (error) {
    case EBUSY:
        return "another program holds the database's lock; trying again";
    case ENOSPC:
        return "make room on its file system; records wait in shared memory until then";
    case EROFS:
    case EACCES:
        return "check the owner and mode of the state directory and its files";
    case EUCLEAN:
        return "it seems to be damaged: tallyd checks it and sets it aside if so; or put a backup in its "
               "place";
    default:
        return "records wait in shared memory until it works again";
    }
}

int store_fail(struct store *store, const char *what)
{
    int code = sqlite3_extended_errcode(store->database);
    int error = errno_of(store->database, code);
    store->entangled |= (code & 0xff) == SQLITE_PROTOCOL;
    snprintf(store->error, sizeof(store->error), "%s: cannot %s: %s; %s", store->path, what,
             sqlite3_errmsg(store->database), remedy_of(error));
    return -error;
}

int store_refuse(struct store *store, int error, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(store->error, sizeof(store->error), "%s: ", store->path);
    if (used > 0 && (size_t)used < sizeof(store->error)) {
        va_start(arguments, format);
        vsnprintf(store->error + used, sizeof(store->error) - (size_t)used, format, arguments);
        va_end(arguments);
    }
    return -error;
}

const char *store_error(const struct store *store)
{
    return store ? store->error : "out of memory";
}

sqlite3_stmt *store_statement(struct store *store, enum statement which, const char *sql)
{
    sqlite3_stmt **slot = &store->statements[which];
    if (!*slot && sqlite3_prepare_v3(store->database, sql, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL)) {
        *slot = NULL;
        store_fail(store, "prepare a statement");
    }
    return *slot;
}

void store_done(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement); /* they point into memory that is about to be used again */
}

int store_step(struct store *store, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    int result = code == SQLITE_DONE ? 0 : store_fail(store, "read or write");
    store_done(statement);
    return result;
}

int store_run(struct store *store, sqlite3_stmt *statement)
{
    int result = store_step(store, statement);
    if (result > 0) {
        store_done(statement);
        result = 0;
    }
    return result;
}

static int execute(struct store *store, const char *sql, const char *what)
{
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL) ? store_fail(store, what) : 0;
}

/* SQLite gives its journals the database's mode, so the file is made here, whatever the umask says. */
static int make_file(struct store *store)
{
    int fd = open(store->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        if (errno == EEXIST)
            return 0;
        int error = errno;
        return store_refuse(
            store, error,
            "cannot make the database: %s; check that the state directory exists and may be written",
            strerror(error));
    }
    int result = 0;
    if (fchmod(fd, 0640) < 0) {
        int error = errno;
        result = store_refuse(store, error, "cannot set the database's mode: %s", strerror(error));
    }
    close(fd);
    return result;
}

static int connect_database(struct store *store)
{
    /* Nobody asks SQLite how much memory it uses, and counting it takes a lock at each allocation. No effect if
     * SQLite is in use already. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE;
    if (sqlite3_open_v2(store->path, &store->database, flags, NULL)) {
        if (store->database)
            return store_fail(store, "open the database");
        return store_refuse(store, ENOMEM, "cannot open the database: out of memory");
    }
    sqlite3_extended_result_codes(store->database, 1);
    sqlite3_busy_timeout(store->database, BUSY_TIMEOUT_MS);
    sqlite3_db_config(store->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return 0;
}

/* No auto_vacuum: pages that retention frees are taken by the rows that come next. */
static int configure(struct store *store)
{
    return execute(store,
                   "PRAGMA journal_mode=WAL;"
                   "PRAGMA synchronous=FULL;"
                   "PRAGMA wal_autocheckpoint=" CHECKPOINT_PAGES ";"
                   "PRAGMA journal_size_limit=67108864;"
                   "PRAGMA cache_size=-16384;"
                   "PRAGMA temp_store=MEMORY;"
                   "PRAGMA cell_size_check=ON;",
                   "configure the database");
}

/* One row, one whole number. */
static int query_number(struct store *store, const char *sql, int64_t *number)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL))
        return store_fail(store, "read");
    int code = sqlite3_step(statement);
    int result = 0;
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else
        result =
            code == SQLITE_DONE
                ? store_refuse(store, EUCLEAN, "a row that must exist is missing; put a backup in its place")
                : store_fail(store, "read");
    sqlite3_finalize(statement);
    return result;
}

static int read_next_usage_id(struct store *store)
{
    int64_t id = 0;
    int result = query_number(store,
                              "SELECT max(coalesce((SELECT max(id) FROM usage_rows), 0),"
                              " coalesce((SELECT value FROM meta WHERE key='last_usage_id'), 0))",
                              &id);
    store->next_usage_id = id + 1;
    return result;
}

static int read_instance(struct store *store)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->database, "SELECT value FROM meta WHERE key='instance'", -1, &statement,
                           NULL))
        return store_fail(store, "read");
    int result = sqlite3_step(statement) == SQLITE_ROW ? 0 : store_fail(store, "read");
    const unsigned char *name = result ? NULL : sqlite3_column_text(statement, 0);
    /* It becomes part of file names. */
    if (name && strlen((const char *)name) == 16 && strspn((const char *)name, "0123456789abcdef") == 16)
        memcpy(store->instance, name, 17);
    else if (!result)
        result = store_refuse(store, EUCLEAN, "its name for itself is none; put a backup in its place");
    sqlite3_finalize(statement);
    return result;
}

const char *store_instance(const struct store *store)
{
    return store->instance;
}

/* From here on an agent that had the database before fails in store_begin(). */
static int raise_epoch(struct store *store)
{
    int result = execute(store, "BEGIN IMMEDIATE", "begin a transaction");
    if (result)
        return result;
    result = execute(store,
                     "INSERT INTO meta(key, value) VALUES('epoch', 1)"
                     " ON CONFLICT(key) DO UPDATE SET value = value + 1",
                     "raise the epoch");
    if (!result)
        result = query_number(store, "SELECT value FROM meta WHERE key='epoch'", &store->epoch);
    if (!result)
        result = execute(
            store, "INSERT OR IGNORE INTO meta(key, value) VALUES('instance', lower(hex(randomblob(8))))",
            "name the database");
    if (!result)
        result = read_instance(store);
    if (!result)
        result = read_next_usage_id(store);
    if (!result)
        result = execute(store, "COMMIT", "commit");
    if (result)
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

static int new_store(struct store **out, const char *directory)
{
    struct store *store = calloc(1, sizeof(*store));
    *out = store;
    if (!store)
        return -ENOMEM;
    int length = snprintf(store->path, sizeof(store->path), "%s/" STORE_FILE, directory);
    if (length < 0 || (size_t)length >= sizeof(store->path)) {
        snprintf(store->path, sizeof(store->path), "%.100s...", directory);
        return store_refuse(store, ENAMETOOLONG, "the state directory's name is too long");
    }
    return 0;
}

int store_open(struct store **out, const char *directory)
{
    int result = new_store(out, directory);
    struct store *store = *out;
    if (!result)
        result = make_file(store);
    if (!result)
        result = connect_database(store);
    if (!result)
        result = store_migrate(store);
    if (!result)
        result = configure(store);
    if (!result)
        result = raise_epoch(store);
    return result;
}

int store_visit(struct store **out, const char *directory)
{
    int result = new_store(out, directory);
    struct store *store = *out;
    if (!result)
        result = connect_database(store);
    if (!result)
        result = store_check_version(store);
    if (!result)
        result = configure(store);
    if (result)
        return result;
    sqlite3_busy_timeout(store->database, VISIT_TIMEOUT_MS);
    /* store_begin() compares it: should another agent start in between, what was read is stale. */
    return query_number(store, "SELECT value FROM meta WHERE key='epoch'", &store->epoch);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->database);
    store_labels_free(store);
    free(store);
}

static int check_epoch(struct store *store)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_EPOCH, "SELECT value FROM meta WHERE key='epoch'");
    if (!statement)
        return -ENOMEM;
    int result = store_step(store, statement);
    if (result < 0)
        return result;
    int64_t epoch = result > 0 ? sqlite3_column_int64(statement, 0) : -1;
    store_done(statement);
    if (epoch != store->epoch)
        return store_refuse(store, ESTALE,
                            "another agent has taken the database over; this one writes nothing more");
    return 0;
}

/* A lock that the kernel would not take back (its unlocking failed) remains SQLite's own, and then SQLite waits for itself: "locking
 * protocol", for as long as the connection lives. With it all of its locks go. The epoch stays: whoever has been replaced meanwhile
 * is still told so. */
static int connect_anew(struct store *store)
{
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    sqlite3_close(store->database);
    store->database = NULL;
    int result = connect_database(store);
    if (!result)
        result = configure(store);
    store->entangled = result != 0;
    return result;
}

int store_begin(struct store *store)
{
    int reconnected = store->entangled ? connect_anew(store) : 0;
    if (reconnected)
        return reconnected;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_BEGIN, "BEGIN IMMEDIATE");
    if (!statement)
        return -ENOMEM;
    int result = store_run(store, statement);
    if (result)
        return result;
    store->in_transaction = true;
    store->next_usage_id_at_begin = store->next_usage_id;
    store->batch.count = 0;
    store->batch.newest = -1;
    result = check_epoch(store);
    if (result)
        store_rollback(store);
    return result;
}

int store_commit(struct store *store)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_COMMIT, "COMMIT");
    if (!statement)
        return -ENOMEM;
    int result = store_usage_flush(store);
    if (!result)
        result = store_run(store, statement);
    if (!result)
        store->in_transaction = false;
    return result;
}

void store_rollback(struct store *store)
{
    if (!store->in_transaction)
        return;
    /* Some errors roll back by themselves, and a rollback cannot fail in a way that would leave changes. */
    if (!sqlite3_get_autocommit(store->database)) {
        sqlite3_stmt *statement = store_statement(store, STATEMENT_ROLLBACK, "ROLLBACK");
        char error[sizeof(store->error)];
        memcpy(error, store->error, sizeof(error)); /* what failed first is what people need to hear */
        if (!statement || store_run(store, statement) < 0)
            sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
        memcpy(store->error, error, sizeof(error));
    }
    store->next_usage_id = store->next_usage_id_at_begin;
    store_labels_forget(store); /* some may have been of this transaction */
    store->in_transaction = false;
}
