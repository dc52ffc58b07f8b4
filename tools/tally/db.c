#include "db.h"
#include "command.h"
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 5000

/* ---- sum128 ------------------------------------------------------------------------------ */

struct sum {
    unsigned char total[sizeof(wide_t)]; /* SQLite's memory need not be aligned for a wide_t */
    int any;
    int overflow;
};

static void sum_step(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct sum *sum = sqlite3_aggregate_context(context, sizeof(*sum));
    wide_t total;

    (void)count;
    if (sum == NULL || sqlite3_value_type(values[0]) == SQLITE_NULL)
        return;
    memcpy(&total, sum->total, sizeof(total));
    if (number_add(&total, sqlite3_value_int64(values[0])) != 0)
        sum->overflow = 1;
    memcpy(sum->total, &total, sizeof(total));
    sum->any = 1;
}

/* sum_money(millions, picodollars): a sum of the rollups' pairs (schema_v2.sql), in picodollars. */
static void sum_money_step(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct sum *sum = sqlite3_aggregate_context(context, sizeof(*sum));
    wide_t total;

    (void)count;
    if (sum == NULL || sqlite3_value_type(values[1]) == SQLITE_NULL)
        return;
    memcpy(&total, sum->total, sizeof(total));
    wide_t value = (wide_t)sqlite3_value_int64(values[0]) * INT64_C(1000000000000000000);
    if (number_add(&value, sqlite3_value_int64(values[1])) != 0 || number_add(&total, value) != 0)
        sum->overflow = 1;
    memcpy(sum->total, &total, sizeof(total));
    sum->any = 1;
}

static void sum_final(sqlite3_context *context)
{
    struct sum *sum = sqlite3_aggregate_context(context, 0);
    char text[NUMBER_BYTES];
    wide_t total;

    if (sum == NULL || !sum->any) {
        sqlite3_result_null(context);
        return;
    }
    if (sum->overflow) {
        sqlite3_result_error(context, "a sum does not fit into 128 bits", -1);
        return;
    }
    memcpy(&total, sum->total, sizeof(total));
    sqlite3_result_text(context, number_text(total, text), -1, SQLITE_TRANSIENT);
}

void db_sums(sqlite3 *handle)
{
    sqlite3_create_function(handle, "sum128", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, NULL, sum_step,
                            sum_final);
    sqlite3_create_function(handle, "sum_money", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, NULL,
                            sum_money_step, sum_final);
}

/* ---- opening ------------------------------------------------------------------------------- */

static bool exists(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0;
}

/* The file name as an SQLite URI. */
static char *uri_of(const char *path, const char *query)
{
    char *uri = must_allocate(strlen(path) * 3 + strlen(query) + 16);
    size_t at = (size_t)sprintf(uri, "file:");

    for (const char *c = path; *c != '\0'; c++) {
        if (strchr("?#%", *c) != NULL)
            at += (size_t)sprintf(uri + at, "%%%02X", (unsigned char)*c);
        else
            uri[at++] = *c;
    }
    memcpy(uri + at, query, strlen(query) + 1);
    return uri;
}

static int open_file(struct db *db, const char *query)
{
    char *uri = uri_of(db->path, query);
    int code = sqlite3_open_v2(uri, &db->handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);

    free(uri);
    if (code != SQLITE_OK)
        return code & 0xFF;
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    db_sums(db->handle);
    code = sqlite3_exec(db->handle, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) & 0xFF;
    /* Without its -shm file, and where that cannot be made, it is the one or the other. */
    return code == SQLITE_READONLY ? SQLITE_CANTOPEN : code;
}

/* A reader of a WAL database needs its -shm file. If nobody has it open and the folder cannot be written, it
 * cannot be made; then, if there is no -wal either, the file itself holds everything and does not change. */
static int open_unchanging(struct db *db)
{
    char *wal = must_print("%s-wal", db->path);
    bool plain = !exists(wal);

    sqlite3_close(db->handle);
    db->handle = NULL;
    int code = plain ? open_file(db, "?immutable=1") : SQLITE_CANTOPEN;
    if (code == SQLITE_OK && exists(wal))
        code = SQLITE_CANTOPEN; /* an agent has just begun: once more */
    db->unchanging = code == SQLITE_OK;
    free(wal);
    return code;
}

static int reopen(struct db *db)
{
    sqlite3_close(db->handle);
    db->handle = NULL;
    return open_file(db, "");
}

static int open_complaint(struct db *db, int code)
{
    const char *why = db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);

    if (code == SQLITE_CANTOPEN && access(db->path, R_OK) != 0)
        complain("%s may not be read by you: run it as the agent's user, or join its group", db->path);
    else if (code == SQLITE_CANTOPEN)
        complain(
            "%s has an unfinished log that only somebody who may write %s can read: start tallyd, or run "
            "it as the agent's user",
            db->path, db->directory);
    else if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        complain("%s is damaged (%s): keep a copy of it, and bring back a backup", db->path, why);
    else
        complain("%s cannot be opened: %s: 'tally doctor' may say more", db->path, why);
    db_close(db);
    return EXIT_PROBLEM;
}

int db_open_if_there(struct db *db, const char *option, bool *missing)
{
    memset(db, 0, sizeof(*db));
    *missing = false;
    db->directory = state_directory(option);
    if (db->directory == NULL)
        return EXIT_PROBLEM;
    db->path = must_print("%s/usage.db", db->directory);
    if (!exists(db->path) && (errno == ENOENT || errno == ENOTDIR)) {
        *missing = true;
        return EXIT_SUCCESS;
    }
    int code = open_file(db, "");
    for (int tries = 0; tries < 3 && code == SQLITE_CANTOPEN && access(db->path, R_OK) == 0; tries++) {
        code = open_unchanging(db);
        if (code == SQLITE_CANTOPEN && reopen(db) == SQLITE_OK)
            code = SQLITE_OK;
    }
    return code == SQLITE_OK ? EXIT_SUCCESS : open_complaint(db, code);
}

int db_open(struct db *db, const char *option)
{
    bool missing;
    int status = db_open_if_there(db, option, &missing);

    if (status != EXIT_SUCCESS || !missing)
        return status;
    complain("there is no database at %s: start tallyd, run 'tally recover', or name another folder with "
             "--state-dir",
             db->path);
    db_close(db);
    return EXIT_PROBLEM;
}

void db_close(struct db *db)
{
    sqlite3_close(db->handle);
    free(db->directory);
    free(db->path);
    memset(db, 0, sizeof(*db));
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* 0: cannot be told. */
static int schema_version(const struct db *db)
{
    sqlite3_stmt *statement = NULL;
    int version = 0;

    if (sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return version;
}

sqlite3_stmt *db_prepare(struct db *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) == SQLITE_OK)
        return statement;
    char *reason = must_copy(sqlite3_errmsg(db->handle));
    int version = schema_version(db);
    if (version > 0 && version < DB_SCHEMA_VERSION)
        complain("%s has schema version %d, and this command needs %d: start tallyd, it brings the database "
                 "up to date",
                 db->path, version, DB_SCHEMA_VERSION);
    else if (version > DB_SCHEMA_VERSION)
        complain("%s has schema version %d, and this command knows %d: use the newer tally that wrote it",
                 db->path, version, DB_SCHEMA_VERSION);
    else
        complain("%s cannot be asked (%s): is it a database of tally?", db->path, reason);
    free(reason);
    return NULL;
}

int db_step(struct db *db, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        return 1;
    if (code == SQLITE_DONE)
        return 0;
    complain("reading %s failed: %s: 'tally doctor --check' looks it over", db->path,
             sqlite3_errmsg(db->handle));
    return -1;
}

int db_execute(struct db *db, const char *sql)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK)
        return EXIT_SUCCESS;
    return complain("reading %s failed: %s", db->path, sqlite3_errmsg(db->handle));
}

int db_number(struct db *db, const char *sql, int64_t otherwise, int64_t *out)
{
    sqlite3_stmt *statement = db_prepare(db, sql);

    if (statement == NULL)
        return EXIT_PROBLEM;
    int row = db_step(db, statement);
    *out = row == 1 && !db_is_null(statement, 0) ? sqlite3_column_int64(statement, 0) : otherwise;
    sqlite3_finalize(statement);
    return row < 0 ? EXIT_PROBLEM : EXIT_SUCCESS;
}

const char *db_text(sqlite3_stmt *statement, int column, size_t *length)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    if (length != NULL)
        *length = text != NULL ? (size_t)sqlite3_column_bytes(statement, column) : 0;
    return text;
}

bool db_is_null(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

wide_t db_wide(sqlite3_stmt *statement, int column)
{
    const char *text = db_text(statement, column, NULL);
    wide_t value = 0;

    if (text == NULL || number_parse_wide(text, &value) != 0)
        return 0;
    return value;
}
