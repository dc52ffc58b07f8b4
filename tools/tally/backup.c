/* backup.c: a copy of the database while it is in use.
 *
 * The copy grows under a temporary name and gets its own in one step once it is whole and on disk:
 * whoever finds FILE finds a good backup, wherever this was killed.
 */
#include "command.h"
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "Usage: tally backup [--force] [--state-dir DIR] FILE\n"
    "\n"
    "Copy usage.db to FILE, whole and consistent, while agent and readers use it. To\n"
    "bring it back: stop tallyd, remove usage.db, usage.db-wal and usage.db-shm, copy\n"
    "FILE to usage.db, start tallyd.\n"
    "\n"
    "  --force          put FILE in the place of an earlier one\n"
    "  --state-dir DIR  where usage.db is\n";

enum { OPTION_FORCE = OPTION_OWN };

struct backup {
    struct db db;
    const char *file;
    char *temporary;
    bool force;
};

static int exists_complaint(const char *file)
{
    return complain("%s is there already: name another file, or say --force", file);
}

static int make_temporary(struct backup *backup)
{
    backup->temporary = must_print("%s.XXXXXX", backup->file);
    int fd = mkstemp(backup->temporary);
    if (fd < 0)
        return complain("%s cannot be made: %s: name a file in a folder that you may write", backup->file,
                        strerror(errno));
    fchmod(fd, 0640);
    close(fd);
    return EXIT_SUCCESS;
}

/* All pages in one step: the copy is of one moment, and in WAL mode a reader holds up nobody. In several
 * steps every commit in between would begin it anew. */
static int copy_pages(struct backup *backup, sqlite3 *target)
{
    sqlite3_backup *copy = sqlite3_backup_init(target, "main", backup->db.handle, "main");

    if (copy == NULL)
        return sqlite3_errcode(target);
    int code = sqlite3_backup_step(copy, -1);
    int finished = sqlite3_backup_finish(copy);
    return code == SQLITE_DONE ? finished : code;
}

/* One file that needs no companions, and checked: a backup that cannot be read is none. */
static bool sound(sqlite3 *target)
{
    sqlite3_stmt *check = NULL;
    bool good = false;

    if (sqlite3_exec(target, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(target, "PRAGMA quick_check(1)", -1, &check, NULL) == SQLITE_OK &&
        sqlite3_step(check) == SQLITE_ROW)
        good = strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
    sqlite3_finalize(check);
    return good;
}

static int copy(struct backup *backup)
{
    sqlite3 *target = NULL;
    int status = EXIT_SUCCESS;
    int code = sqlite3_open_v2(backup->temporary, &target, SQLITE_OPEN_READWRITE, NULL);

    if (code == SQLITE_OK)
        code = copy_pages(backup, target);
    if (code != SQLITE_OK)
        status = complain("copying %s failed: %s%s", backup->db.path, sqlite3_errstr(code),
                          (code & 0xFF) == SQLITE_FULL ? ": make room" : "");
    else if (!sound(target))
        status = complain("the copy of %s is not sound: 'tally doctor --check' looks the database over",
                          backup->db.path);
    sqlite3_close(target);
    return status;
}

static int on_disk(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

    if (fd < 0)
        return -errno;
    int error = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return error;
}

static int give_name(struct backup *backup)
{
    int error = on_disk(backup->temporary, 0);

    if (error != 0)
        return complain("%s could not be written to disk: %s", backup->temporary, strerror(-error));
    if (renameat2(AT_FDCWD, backup->temporary, AT_FDCWD, backup->file,
                  backup->force ? 0 : RENAME_NOREPLACE) != 0)
        return errno == EEXIST ? exists_complaint(backup->file)
                               : complain("%s cannot be made: %s", backup->file, strerror(errno));
    free(backup->temporary);
    backup->temporary = NULL;
    char *folder = must_copy(backup->file);
    error = on_disk(dirname(folder), O_DIRECTORY);
    free(folder);
    if (error != 0)
        return complain("%s is made, but its folder could not be written to disk: %s", backup->file,
                        strerror(-error));
    return EXIT_SUCCESS;
}

static void tell(const struct backup *backup)
{
    struct stat status;
    char size[NUMBER_BYTES];

    if (stat(backup->file, &status) == 0)
        printf("%s: %s, checked.\n", backup->file, bytes_text((uint64_t)status.st_size, size));
}

static int run(struct backup *backup)
{
    struct stat status;

    /* Early, so that nobody waits for a copy that cannot be kept; give_name() is what makes it sure. */
    if (!backup->force && lstat(backup->file, &status) == 0)
        return exists_complaint(backup->file);
    int result = make_temporary(backup);
    if (result == EXIT_SUCCESS)
        result = copy(backup);
    if (result == EXIT_SUCCESS)
        result = give_name(backup);
    if (result == EXIT_SUCCESS)
        tell(backup);
    if (backup->temporary != NULL)
        unlink(backup->temporary);
    free(backup->temporary);
    return result;
}

int backup_command(int argc, char **argv)
{
    static const struct option longs[] = {
        {"force", no_argument, NULL, OPTION_FORCE},
        COMMON_STATE,
        COMMON_HELP,
        COMMON_END,
    };
    struct common common = {0};
    struct backup backup = {0};
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "", longs, help, &common, &status)) >= 0)
        backup.force = true;
    if (code == OPTIONS_EXIT)
        return status;
    if (optind >= argc)
        return misuse("say where to: tally backup FILE");
    backup.file = argv[optind++];
    if ((status = no_more_arguments(argc, argv)) != EXIT_SUCCESS)
        return status;
    if (backup.file[0] == '\0')
        return misuse("the name of the backup is empty: tally backup FILE");
    if (db_open(&backup.db, common.state_directory) != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    status = run(&backup);
    db_close(&backup.db);
    return status;
}
