/* damage.c: a database that is damaged is set aside, so that a new one can be begun.
 *
 * One error is no proof: a read that came short once, or a mistake of our own, looks the same. So the file is
 * opened anew and checked from end to end, and only what is found wrong again is set aside. It is renamed and never deleted:
 * most of what is in it can be read yet (sqlite3 FILE .recover).
 *
 * Killed right here: SQLite's log goes first, so that it never lies beside a new database, which would empty it. Between
 * the renames usage.db is there without its log: still damaged, and set aside by the next agent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/sqlite_store.h"

#define NAMES_MAX 100

/* What the check's first finding says, as verdict(). SQLite puts an error that it meets on its way, a read that fails say, among its
 * findings, with its code. */
static int judge(const char *finding)
{
    static const char with_code[] = "error code=";
    const char *found = strstr(finding, with_code);
    int code = found ? atoi(found + sizeof(with_code) - 1) & 0xff : SQLITE_CORRUPT;
    if (!strcmp(finding, "ok"))
        return 0;
    if (strstr(finding, "failed to get page") || (code != SQLITE_CORRUPT && code != SQLITE_NOTADB))
        return code == SQLITE_NOMEM ? -ENOMEM : -EIO;
    return 1;
}

/* 1: damaged; 0: sound; a negative errno value: it cannot be told. */
static int verdict(sqlite3 *database)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(database, "PRAGMA integrity_check(1)", -1, &statement, NULL);
    int result = -EIO;
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        result = text ? judge(text) : -ENOMEM;
    } else if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB) {
        result = 1;
    } else if ((code & 0xff) == SQLITE_BUSY) {
        result = -EBUSY;
    }
    sqlite3_finalize(statement);
    return result;
}

int store_damaged(const char *directory)
{
    char path[4096];
    sqlite3 *database = NULL;
    int length = snprintf(path, sizeof(path), "%s/" STORE_FILE, directory);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE;
    int code = sqlite3_open_v2(path, &database, flags, NULL);
    int result = code == SQLITE_OK ? 0 : -EIO;
    if (result == 0) {
        sqlite3_busy_timeout(database, 2000);
        /* What is damaged stays as it is. */
        sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        result = verdict(database);
    }
    sqlite3_close(database);
    return result;
}

/* A name that is free, from the time of day. */
static int choose_name(int folder, char name[STORE_ASIDE_NAME_MAX])
{
    struct tm now;
    time_t seconds = time(NULL);
    char stamp[32];
    if (!gmtime_r(&seconds, &now) || !strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &now))
        return -EOVERFLOW;
    for (int i = 1; i <= NAMES_MAX; i++) {
        snprintf(name, STORE_ASIDE_NAME_MAX, i == 1 ? STORE_FILE ".damaged-%s" : STORE_FILE ".damaged-%s.%d",
                 stamp, i);
        if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW))
            return errno == ENOENT ? 0 : -errno;
    }
    return -EEXIST;
}

static int move(int folder, const char *suffix, const char *name)
{
    char from[64];
    char to[STORE_ASIDE_NAME_MAX + 16];
    snprintf(from, sizeof(from), STORE_FILE "%s", suffix);
    snprintf(to, sizeof(to), "%s%s", name, suffix);
    return renameat(folder, from, folder, to) && errno != ENOENT ? -errno : 0;
}

int store_set_aside(const char *directory, char name[STORE_ASIDE_NAME_MAX])
{
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    int result = choose_name(folder, name);
    if (!result)
        result = move(folder, "-wal", name);
    if (!result)
        result = move(folder, "-journal", name);
    if (!result)
        result = move(folder, "", name);
    if (!result && unlinkat(folder, STORE_FILE "-shm", 0) && errno != ENOENT)
        result = -errno;
    if (!result && fsync(folder))
        result = -errno;
    close(folder);
    return result;
}
