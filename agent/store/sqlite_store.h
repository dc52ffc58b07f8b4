/* sqlite_store.h: what the files of the SQLite store share. Nobody else includes it. */
#ifndef TALLY_SQLITE_STORE_H
#define TALLY_SQLITE_STORE_H

#include <sqlite3.h>

#include "store/store.h"

enum statement {
    STATEMENT_BEGIN,
    STATEMENT_EPOCH,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_USAGE_INSERT,
    STATEMENT_USAGE_BATCH,
    STATEMENT_USAGE_BATCH_FEW,
    STATEMENT_USAGE_END,
    STATEMENT_USAGE_UPDATE,
    STATEMENT_USAGE_AMENDABLE,
    STATEMENT_USAGE_COUNT_AMENDABLE,
    STATEMENT_USAGE_EACH,
    STATEMENT_TEXTS_PUT,
    STATEMENT_CALL_OF_ROW_PUT,
    STATEMENT_LABEL_INSERT,
    STATEMENT_CONVERT_EACH,
    STATEMENT_CONVERT_DELETE,
    STATEMENT_ROLLUP_ADD,
    STATEMENT_ROLLUP_DELETE,
    STATEMENT_DAY_ADD,
    STATEMENT_DAY_DELETE,
    STATEMENT_PRICE_LIST_FIND,
    STATEMENT_PRICE_LIST_INSERT,
    STATEMENT_UNKNOWN_SHAPE,
    STATEMENT_CALL_PUT,
    STATEMENT_CALL_DELETE,
    STATEMENT_CALL_EACH,
    STATEMENT_CLIENT_INSERT,
    STATEMENT_CLIENT_UPDATE,
    STATEMENT_CLIENT_RUNNING,
    STATEMENT_CLIENT_BY_SESSION,
    STATEMENT_CLIENT_BY_ID,
    STATEMENT_ARENA_FIND,
    STATEMENT_ARENA_INSERT,
    STATEMENT_ARENA_UPDATE,
    STATEMENT_ARENA_RETIRE,
    STATEMENT_ARENA_REFUSED,
    STATEMENT_ARENA_EACH_LIVE,
    STATEMENT_ARENA_PATH,
    STATEMENT_LANE_INSERT,
    STATEMENT_LANE_UPDATE,
    STATEMENT_LANE_EACH,
    STATEMENT_LANE_CLIENT_PUT,
    STATEMENT_LANE_CLIENTS_CLEAR,
    STATEMENT_LANE_CLIENT_EACH,
    STATEMENT_LOSS_ADD,
    STATEMENT_EXPIRE_SLICE,
    STATEMENT_EXPIRE_USAGE,
    STATEMENT_EXPIRE_TEXTS,
    STATEMENT_EXPIRE_CALLS,
    STATEMENT_EXPIRE_LABEL_SLICE,
    STATEMENT_EXPIRE_LABEL,
    STATEMENT_EXPIRE_LAST_ID,
    STATEMENT_EXPIRE_CLIENT_SLICE,
    STATEMENT_EXPIRE_CLIENT,
    STATEMENT_EXPIRE_LOG_LANES,
    STATEMENT_EXPIRE_LOGS,
    STATEMENTS
};

struct label_memory;

/* Rows of this transaction that are still to be written (usage.c). */
#define USAGE_BATCH 16
#define USAGE_CELLS 21 /* columns of usage_rows but the id */
struct usage_cells {
    int64_t of[USAGE_CELLS];
    uint32_t known; /* bit n: of[n] is not NULL */
};
struct usage_batch {
    struct usage_cells cells[USAGE_BATCH];
    int count;
    int64_t first_id; /* of cells[0] */
    int64_t newest;   /* id in the table, of this transaction's sight; -1: not looked yet */
};

struct store {
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENTS]; /* prepared at first use, kept */
    bool entangled;                       /* in a lock of its own: store_begin() connects anew */
    int64_t epoch;
    char instance[17];
    int64_t next_usage_id; /* given out here, so that an id never comes twice, whatever retention deletes */
    int64_t next_usage_id_at_begin;
    struct label_memory *labels; /* labels.c; NULL: not yet */
    struct usage_batch batch;
    bool in_transaction;
    char path[4096];
    char error[4096 + 1024];
};

/* The statement, prepared, reset and with its bindings cleared by the use before. NULL: store->error says why. */
sqlite3_stmt *store_statement(struct store *store, enum statement which, const char *sql);
/* Step a statement that returns no row, and reset it. */
int store_run(struct store *store, sqlite3_stmt *statement);
/* Step a query: 1 a row, 0 the end (and reset), negative errno (and reset). */
int store_step(struct store *store, sqlite3_stmt *statement);
void store_done(sqlite3_stmt *statement);

/* Keep SQLite's last message, say what failed, and return its errno. */
int store_fail(struct store *store, const char *what);
/* The same for an errno of our own. */
int store_refuse(struct store *store, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Bring the database to the newest version of the schema (schema.c). */
int store_migrate(struct store *store);
/* 0 if it has the newest version already. */
int store_check_version(struct store *store);
/* Move some rows out of the table of the second schema (convert.c), within a transaction: 1; 0: there is none left. */
int store_convert(struct store *store);

/* What retention looks at in one transaction (retention.c): rows of (id, whether it is to go). */
struct slice {
    int64_t ids[STORE_SLICE_ROWS]; /* that are to go */
    int count;
    int64_t last; /* the highest id looked at */
};
int store_slice_read(struct store *store, sqlite3_stmt *statement, struct slice *slice);
int store_slice_delete(struct store *store, enum statement which, const char *sql, int64_t id);

/* All bindings are NULL when a statement is handed out: what is unknown needs no call. */
static inline void bind_text(sqlite3_stmt *statement, int column, struct text text)
{
    if (text.data)
        sqlite3_bind_text(statement, column, text.data, (int)text.length, SQLITE_STATIC);
}

static inline void bind_string(sqlite3_stmt *statement, int column, const char *string)
{
    sqlite3_bind_text(statement, column, string, -1, SQLITE_STATIC); /* NULL binds NULL */
}

static inline void bind_id(sqlite3_stmt *statement, int column, const uint8_t id[16])
{
    sqlite3_bind_blob(statement, column, id, 16, SQLITE_STATIC);
}

/* A number of which `unknown` stands for NULL. */
static inline void bind_known(sqlite3_stmt *statement, int column, int64_t value, int64_t unknown)
{
    if (value != unknown)
        sqlite3_bind_int64(statement, column, value);
}

/* As a blob: that needs no memory for a final NUL, so that it cannot fail and look like NULL. */
static inline struct text column_text(sqlite3_stmt *statement, int column)
{
    struct text text = {NULL, 0};
    if (sqlite3_column_type(statement, column) != SQLITE_NULL) {
        const char *data = sqlite3_column_blob(statement, column);
        text.data = data ? data : "";
        text.length = data ? (uint32_t)sqlite3_column_bytes(statement, column) : 0;
    }
    return text;
}

static inline int64_t column_known(sqlite3_stmt *statement, int column, int64_t unknown)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL ? unknown
                                                                 : sqlite3_column_int64(statement, column);
}

/* False if the blob is not 16 bytes: then `id` is zeros. */
static inline bool column_id(sqlite3_stmt *statement, int column, uint8_t id[16])
{
    const void *blob = sqlite3_column_blob(statement, column);
    if (!blob || sqlite3_column_bytes(statement, column) != 16) {
        memset(id, 0, 16);
        return false;
    }
    memcpy(id, blob, 16);
    return true;
}

static inline void bind_steps(sqlite3_stmt *statement, int column, const uint32_t *steps)
{
    sqlite3_bind_blob(statement, column, steps, FIELD_STEPS * sizeof(*steps),
                      SQLITE_STATIC); /* NULL binds NULL */
}

/* Whatever is missing: step 0, which any record overrides. */
static inline void column_steps(sqlite3_stmt *statement, int column, uint32_t steps[FIELD_STEPS])
{
    const void *blob = sqlite3_column_blob(statement, column);
    size_t length = blob ? (size_t)sqlite3_column_bytes(statement, column) : 0;
    size_t most = FIELD_STEPS * sizeof(*steps);
    memset(steps, 0, most);
    if (blob)
        memcpy(steps, blob, length < most ? length : most);
}

/* Texts and numbers of usage_values from and to consecutive columns (usage.c). */
int store_bind_texts(sqlite3_stmt *statement, int column, const struct usage_values *values);
int store_bind_numbers(sqlite3_stmt *statement, int column, const struct usage_values *values);
int store_column_texts(sqlite3_stmt *statement, int column, struct usage_values *values);
int store_column_numbers(sqlite3_stmt *statement, int column, struct usage_values *values);

#endif
