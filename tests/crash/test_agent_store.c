/* The store fails under a serving agent: the disk is full and has room again, another program holds the database, its file
 * is damaged, its folder cannot be written. Records wait in shared memory; the agent goes on by itself. */
#include "support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* ---- what the agent has said ------------------------------------------------------------- */

static bool said(const struct room *room, const char *words)
{
    char path[ROOM_PATH_MAX];
    char line[1200];
    bool found = false;

    snprintf(path, sizeof path, "%s/agent.log", room->directory);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found = strstr(line, words) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

static void database_path(const struct room *room, const char *suffix, char path[ROOM_PATH_MAX + 16])
{
    snprintf(path, ROOM_PATH_MAX + 16, "%s/usage.db%s", room->state, suffix);
}

/* ---- locked -------------------------------------------------------------------------------- */

static void test_locked(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX + 16];
    sqlite3 *other;

    agent_start(room);
    room_run(room, "client", "record=20", NULL);
    books_await_drained(room);
    database_path(room, "", path);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    room_run(room, "client", "record=30", NULL);
    wait_until(said(room, "another program holds the database's lock"));
    assert_true(agent_running(room));
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    books_await_ended(room);
    books_expect_complete(room, 0);
    agent_stop(room);
}

/* ---- disk full ------------------------------------------------------------------------------ */

/* A small file system where the state folder is to be, seen by this process and its children alone. */
static bool mount_small(struct room *room)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return false;
    assert_int_equal(mkdir(room->state, 0750), 0);
    return mount("small", room->state, "tmpfs", 0, "size=2m,mode=0750") == 0;
}

static void fill(const struct room *room, char path[ROOM_PATH_MAX + 16])
{
    static const char bytes[4096] = {1};

    snprintf(path, ROOM_PATH_MAX + 16, "%s/filler", room->state);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    while (write(file, bytes, sizeof bytes) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(file);
}

static void test_disk_full(void **state)
{
    struct room *room = *state;
    char filler[ROOM_PATH_MAX + 16];

    if (!mount_small(room))
        skip_because("no right to mount a small file system");
    agent_start(room);
    room_run(room, "client", "record=20", NULL);
    books_await_drained(room);
    fill(room, filler);
    room_run(room, "client", "record=300", NULL);
    wait_until(said(room, "make room on its file system"));
    assert_true(agent_running(room));
    assert_int_equal(unlink(filler), 0);
    books_await_ended(room);
    books_expect_complete(room, 0);
    wait_until(said(room, "the database works again"));
    agent_stop(room);
    assert_int_equal(umount2(room->state, MNT_DETACH), 0);
}

/* ---- read-only ----------------------------------------------------------------------------- */

static void test_read_only(void **state)
{
    struct room *room = *state;
    char filler[ROOM_PATH_MAX + 16];
    char *output;

    if (!mount_small(room))
        skip_because("no right to mount a small file system");
    snprintf(filler, sizeof filler, "%s/usage.db", room->state);
    room_run(room, "client", "record=20", NULL);
    assert_int_equal(mount(NULL, room->state, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    /* What cannot begin says so and leaves; nothing is taken out of the ring. */
    int status = room_capture(room, &output, "tally", "recover", (char *)NULL);
    free(output);
    assert_int_not_equal(status, 0);
    assert_int_not_equal(access(filler, F_OK), 0);
    assert_int_equal(mount(NULL, room->state, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, 0);
    agent_stop(room);
    assert_int_equal(umount2(room->state, MNT_DETACH), 0);
}

/* ---- damaged ---------------------------------------------------------------------------------- */

static void scribble(const struct room *room, off_t from, size_t bytes)
{
    char path[ROOM_PATH_MAX + 16];
    char noise[4096];

    memset(noise, 0xA5, sizeof noise);
    database_path(room, "", path);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    for (size_t done = 0; done < bytes; done += sizeof noise)
        assert_int_equal(pwrite(file, noise, sizeof noise, from + (off_t)done), sizeof noise);
    close(file);
}

static int count_set_aside(const struct room *room)
{
    DIR *listing = opendir(room->state);
    const struct dirent *entry;
    int count = 0;

    assert_non_null(listing);
    while ((entry = readdir(listing)) != NULL)
        count +=
            strncmp(entry->d_name, "usage.db.damaged-", 17) == 0 && strstr(entry->d_name, "-wal") == NULL;
    closedir(listing);
    return count;
}

/* A new agent finds a file that is none. The ring still holds all: all of it is read again. */
static void test_damaged_at_start(void **state)
{
    struct room *room = *state;

    room_run(room, "client", "record=20", "begin", "progress=5", "shutdown=0", NULL);
    agent_start(room);
    books_await_ended(room);
    agent_stop(room);
    scribble(room, 0, 8192);
    agent_start(room);
    assert_true(said(room, "has been set aside as"));
    assert_int_equal(count_set_aside(room), 1);
    room_run(room, "client", "record=15", NULL);
    books_await_ended(room);
    books_expect_complete(room, 0);
    agent_stop(room);
    agent_start(room); /* once is enough */
    agent_stop(room);
    assert_int_equal(count_set_aside(room), 1);
}

/* The pages of a table go bad under a serving agent, which has not much of them in memory. */
static void test_damaged_while_serving(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX + 16];
    struct stat before;

    agent_start(room);
    room_run(room, "client", "record=3000", "shutdown=0", NULL);
    books_await_ended(room);
    agent_stop(room);
    database_path(room, "", path);
    assert_int_equal(stat(path, &before), 0);
    agent_start(room);
    scribble(room, 4096, (size_t)before.st_size - 4096);
    room_run(room, "client", "record=25", NULL);
    wait_until(said(room, "has been set aside as"));
    books_await_ended(room);
    books_expect_text(room, "ok", "PRAGMA integrity_check");
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE user = 'w1'"), 25);
    /* What the ring did not hold any more is counted, and the books are even. */
    struct audit audit;
    books_audit(room, &audit);
    assert_int_equal(audit.unaccounted, 0);
    assert_int_equal(audit.waiting, 0);
    assert_int_equal(audit.persisted + audit.lost, audit.written);
    agent_stop(room);
    assert_int_equal(count_set_aside(room), 1);
}

/* What is not ours is never moved. */
static void test_foreign(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX + 16];
    sqlite3 *other;
    char *output;

    assert_int_equal(mkdir(room->state, 0750), 0);
    database_path(room, "", path);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other, "CREATE TABLE theirs(a); INSERT INTO theirs VALUES(7)", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(other);
    room_run(room, "client", "record=5", NULL);
    int status = room_capture(room, &output, "tally", "recover", (char *)NULL);
    free(output);
    assert_int_not_equal(status, 0);
    assert_int_equal(count_set_aside(room), 0);
    assert_int_equal(books_number(room, "SELECT a FROM theirs"), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(test_locked),  room_test(test_damaged_at_start), room_test(test_damaged_while_serving),
        room_test(test_foreign), room_test(test_disk_full),        room_test(test_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
