/* books.h: the database of a target's ledger, as it was at first after each input, and what has to hold of it
 * whatever the input was.
 */
#ifndef TESTS_FUZZ_BOOKS_H
#define TESTS_FUZZ_BOOKS_H

#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

static struct {
    char database[300];
    unsigned char *pristine;
    size_t bytes;
} books;

/* folder/usage.db, closed, is what inputs begin with. */
static inline void books_keep(const char *folder)
{
    struct stat status;
    snprintf(books.database, sizeof books.database, "%s/usage.db", folder);
    int fd = open(books.database, O_RDONLY | O_CLOEXEC);
    fuzz_expect(fd >= 0 && fstat(fd, &status) == 0);
    books.bytes = (size_t)status.st_size;
    books.pristine = malloc(books.bytes);
    fuzz_expect(books.pristine && read(fd, books.pristine, books.bytes) == (ssize_t)status.st_size);
    close(fd);
}

/* Put it back. Nobody may have it open. */
static inline void books_renew(void)
{
    char path[320];
    snprintf(path, sizeof path, "%s-wal", books.database);
    unlink(path);
    snprintf(path, sizeof path, "%s-shm", books.database);
    unlink(path);
    int fd = open(books.database, O_WRONLY | O_TRUNC | O_CLOEXEC);
    fuzz_expect(fd >= 0 && write(fd, books.pristine, books.bytes) == (ssize_t)books.bytes);
    close(fd);
}

static inline sqlite3 *books_open(void)
{
    sqlite3 *database = NULL;
    fuzz_expect(sqlite3_open_v2(books.database, &database, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
    return database;
}

static inline int64_t books_number(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    fuzz_expect(sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK);
    int step = sqlite3_step(statement);
    fuzz_expect(step == SQLITE_ROW || step == SQLITE_DONE);
    int64_t value = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return value;
}

/* Each number once, as persisted or as lost under a name; each call once. */
static inline void books_balance(sqlite3 *database)
{
    fuzz_expect(books_number(database, "SELECT count(*) FROM lanes WHERE sequence <> persisted + lost") == 0);
    fuzz_expect(books_number(database, "SELECT coalesce(sum(lost), 0) FROM lanes") ==
                books_number(database, "SELECT coalesce(sum(records), 0) FROM losses WHERE numbered = 1"));
    fuzz_expect(books_number(database, "SELECT count(*) FROM clients WHERE written <> persisted + lost") ==
                0);
    fuzz_expect(books_number(database, "SELECT coalesce(sum(calls), 0) FROM usage_hourly") ==
                books_number(database, "SELECT count(*) FROM usage"));
}

#endif
