/* The store fails while clients go on: another program's lock, a full disk, a second agent on the folder. What shared memory and
 * spill files can hold waits there, and the agent goes on by itself. */
#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static bool all_in(const struct room *room)
{
    return books_spill_files(room) == 0 &&
           books_number(room, "SELECT count(*) FROM usage") >= (int64_t)room_acknowledged(room);
}

/* ---- locked ----------------------------------------------------------------------------------- */

/* An operator's sqlite3 holds the lock for longer than the lanes have room: records go to files, and all come in. */
static void locked_by_an_operator(void **state)
{
    struct room *room = *state;
    char command[ROOM_PATH_MAX + 64];

    if (system("command -v sqlite3 >/dev/null 2>&1") != 0)
        skip_because("no sqlite3 command");
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_OVERFLOW", "spill");
    agent_start(room);
    room_run(room, "client", "record=20", "exit=0", NULL);
    wait_until(all_in(room));
    snprintf(command, sizeof(command), "exec sqlite3 '%s/usage.db' >/dev/null", room->state);
    FILE *holder = popen(command, "we");
    assert_non_null(holder);
    fputs(".timeout 60000\nBEGIN IMMEDIATE;\n", holder); /* the agent may hold it at this moment */
    fflush(holder);
    struct program *client = room_start(room, "client", "background=2", "await=1", "stop", "exit=0", NULL);
    wait_until(agent_said(room, "another program holds the database's lock"));
    uint64_t before = room_acknowledged(room);
    wait_until(room_acknowledged(room) >= before + 2000);
    assert_true(books_spill_files(room) > 0);
    assert_true(agent_running(room));
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    int64_t rows = books_number(room, "SELECT count(*) FROM usage");
    assert_true(rows < (int64_t)room_acknowledged(room));
    fputs("ROLLBACK;\n", holder);
    pclose(holder);
    wait_until(all_in(room));
    wait_until(agent_said(room, "the database works again"));
    books_await_ended(room);
    books_expect_complete(room, 0);
    tries(room_acknowledged(room), "records while another program held the lock");
    agent_stop(room);
}

/* ---- full -------------------------------------------------------------------------------------- */

static bool mount_small(struct room *room)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return false;
    assert_int_equal(mkdir(room->state, 0750), 0);
    return mount("small", room->state, "tmpfs", 0, "size=2m,mode=0750") == 0;
}

/* Database and the agent's spill folder have no room: lanes fill, then clients find another folder. With room again all is
 * taken in, without a restart. Twice. */
static void full_and_back(void **state)
{
    static const char bytes[4096] = {1};
    struct room *room = *state;
    char path[ROOM_PATH_MAX + 16];

    if (geteuid() != 0 || !mount_small(room))
        skip_because("no right to mount a small file system");
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_OVERFLOW", "spill");
    agent_start(room);
    snprintf(path, sizeof(path), "%s/filler", room->state);
    for (int i = 0; i < 2; i++) {
        room_run(room, "client", "record=20", "exit=0", NULL);
        wait_until(all_in(room));
        int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        while (write(file, bytes, sizeof(bytes)) > 0)
            ;
        assert_int_equal(errno, ENOSPC);
        close(file);
        room_run(room, "client", "record=1500", "exit=0", NULL);
        assert_int_equal(room_refused(room), 0);
        wait_until(agent_said(room, "make room on its file system"));
        assert_true(books_spill_files(room) > 0);
        assert_int_equal(unlink(path), 0);
        wait_until(all_in(room));
    }
    books_await_ended(room);
    books_expect_complete(room, 0);
    agent_stop(room);
    tries(2, "disks full and back");
    assert_int_equal(umount2(room->state, MNT_DETACH), 0);
}

/* ---- another agent -------------------------------------------------------------------------------- */

static void expect_refused(const struct room *room, const char *folder, const char *arena, const char *words)
{
    char path[ROOM_PATH_MAX];
    char command[5 * ROOM_PATH_MAX];
    char text[1000] = "";

    snprintf(path, sizeof(path), "%s/second.log", room->directory);
    snprintf(command, sizeof(command),
             "'%s/tallyd' --foreground --state-dir '%s' --arena '%s' >/dev/null 2>'%s'", room_build(), folder,
             arena, path);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t got = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[got] = '\0';
    if (strstr(text, words) == NULL || strchr(text, '\n') != text + got - 1)
        fail_msg("the second agent does not say '%s' in one line: %s", words, text);
}

/* The second one says why it leaves; the first does not notice. */
static void a_second_agent_leaves(void **state)
{
    struct room *room = *state;
    char other[ROOM_PATH_MAX];

    agent_start(room);
    struct program *client =
        room_start(room, "client", "record=10", "stage=1", "await=1", "record=10", "exit=0", NULL);
    room_await_stage(room, 1);
    snprintf(other, sizeof(other), "%s.second", room->arena);
    expect_refused(room, room->state, other, "uses the state folder");
    snprintf(other, sizeof(other), "%s/other", room->directory);
    expect_refused(room, other, room->arena, "serves arena");
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    books_expect_ends(room, 1, 0, 0);
    agent_stop(room);
}

/* Somebody deletes the lock's file, and starts another on the folder: the first sees it by the database, and leaves; what it had not
 * committed is in its arena. */
static void a_second_agent_takes_the_database_over(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX + 16];
    char *output;
    int status;

    agent_start(room);
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(all_in(room));
    snprintf(path, sizeof(path), "%s/tallyd.lock", room->state);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s.second", room->arena);
    room_capture(room, &output, "tallyd", "--once", "--state-dir", room->state, "--arena", path,
                 (char *)NULL);
    free(output);
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(waitpid(room->agent, &status, WNOHANG) == room->agent);
    room->agent = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_true(agent_said(room, "another agent has taken over the database"));
    agent_start(room);
    books_expect_ends(room, 2, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 20);
    agent_stop(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(locked_by_an_operator),
        room_test(full_and_back),
        room_test(a_second_agent_leaves),
        room_test(a_second_agent_takes_the_database_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
