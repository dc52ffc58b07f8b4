/* db.h: the database, opened to read. The agent may be writing it meanwhile: each connection sees
 * a consistent picture, and nobody waits for anybody. */
#ifndef TALLY_TOOLS_DB_H
#define TALLY_TOOLS_DB_H

#include "number.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#define DB_SCHEMA_VERSION 5 /* that the queries of this command are for */

struct db {
    sqlite3 *handle;
    char *directory;
    char *path;
    bool unchanging; /* opened as a file that nobody writes: commits to come are not seen */
};

/* Open usage.db of the state folder (option: --state-dir or NULL). EXIT_SUCCESS, or complains. SQL may
 * use sum128(x): the sum of whole numbers as text, 128 bits wide, NULL if all are NULL. */
int db_open(struct db *db, const char *option);
/* The same, without a complaint where there is no such file: *missing. */
int db_open_if_there(struct db *db, const char *option, bool *missing);
void db_close(struct db *db);

/* NULL after a complaint. */
sqlite3_stmt *db_prepare(struct db *db, const char *sql);
/* 1: a row; 0: no more; -1 after a complaint. */
int db_step(struct db *db, sqlite3_stmt *statement);
/* EXIT_SUCCESS, or complains. */
int db_execute(struct db *db, const char *sql);
/* The one number that a query gives, NULL as `otherwise`. EXIT_SUCCESS, or complains. */
int db_number(struct db *db, const char *sql, int64_t otherwise, int64_t *out);

/* NULL if it is NULL; else NUL-terminated, and *length without the NUL. */
const char *db_text(sqlite3_stmt *statement, int column, size_t *length);
bool db_is_null(sqlite3_stmt *statement, int column);
/* Of sum128(): 0 if NULL. */
wide_t db_wide(sqlite3_stmt *statement, int column);

/* sum128(n), and sum_money(millions, picodollars) of usage_hourly's pairs: exact sums, as text. */
void db_sums(sqlite3 *handle);

#endif
