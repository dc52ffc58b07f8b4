/* A pre-forking server whose workers are killed in mid-work, also one that drops its workers to another uid; many
 * processes at once. */
#include "support/test.h"

#include "support/tries.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define NOBODY 65534

/* Kill workers at random, each after it or its like have recorded some more. */
static void kill_workers(struct room *room, struct program *server, int workers, int kills)
{
    unsigned int random = 12345;

    for (int i = 0; i < kills; i++) {
        uint64_t before = room_acknowledged(room);
        random = random * 1103515245 + 12345;
        unsigned int victim = (random >> 16) % (unsigned int)workers;
        wait_until(room_acknowledged(room) >= before + 200);
        wait_until(room->counters->values[victim] != 0);
        kill((pid_t)room->counters->values[victim], SIGKILL); /* it may have gone just now */
        assert_false(room_ended(server));
    }
}

static void prefork_server_with_kills(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *server = room_start(room, "server", "8", "3", NULL);
    kill_workers(room, server, 8, 40);
    room_go(room, 1);
    room_expect_exit(room, server, 0);
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 40 * 3));
    /* everybody's end was seen, and nobody's last number is missing */
    assert_true(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died'") >= 10);
    assert_true(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'") >= 2);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE complete = 0"), 0);
    tries(40, "workers killed");
}

static void prefork_server_itself_killed(void **state)
{
    struct room *room = *state;

    agent_start(room);
    for (int i = 0; i < 3; i++) {
        uint64_t before = room_acknowledged(room);
        struct program *server = room_start(room, i % 2 ? "server-static" : "server", "6", "2", NULL);
        wait_until(room_acknowledged(room) >= before + 3000);
        room_kill(room, server); /* and its workers with it: PR_SET_PDEATHSIG */
    }
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 3 * 12));
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'"), 0);
}

/* A /dev/shm of our own, so that default names, which would be the machine's, may be used. */
static bool shared_memory_of_our_own(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0;
}

static void server_that_drops_its_workers_to_another_uid(void **state)
{
    struct room *room = *state;
    struct stat arena;

    if (!shared_memory_of_our_own())
        skip_because("no right to mount a private /dev/shm");
    snprintf(room->arena_path, sizeof(room->arena_path), "/dev/shm/tally-0.v1");
    snprintf(room->other_arena_path, sizeof(room->other_arena_path), "/dev/shm/tally-%d.v1", NOBODY);
    room->agent_users = "65534";
    agent_start(room);
    struct program *server = room_start(room, "server", "4", "2", "65534", NULL);
    kill_workers(room, server, 4, 15);
    room_go(room, 1);
    room_expect_exit(room, server, 0);
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 15 * 2));
    /* each uid came to its own arena, closed to others */
    assert_int_equal(stat(room->arena_path, &arena), 0);
    assert_int_equal(arena.st_uid, 0);
    assert_int_equal(arena.st_mode & 07777, 0600);
    assert_int_equal(stat(room->other_arena_path, &arena), 0);
    assert_int_equal(arena.st_uid, NOBODY);
    assert_int_equal(arena.st_mode & 07777, 0600);
    books_expect_text(room, "1", "SELECT count(*) FROM clients WHERE uid = 0");
    books_expect_text(room, "0",
                      "SELECT count(*) FROM usage u JOIN clients c ON c.id = u.client_id "
                      "WHERE c.uid = 0 AND u.user <> 'w0'");
    assert_true(books_number(room, "SELECT count(*) FROM clients WHERE uid = %d", NOBODY) >= 4);
    agent_stop(room);
    unlink(room->arena_path);
    unlink(room->other_arena_path);
    umount2("/dev/shm", MNT_DETACH);
}

/* With a name that all share, those of another uid are turned away: refused, not mixed up, not crashed. */
static void another_uid_is_kept_out_of_a_named_arena(void **state)
{
    struct room *room = *state;

    if (geteuid() != 0)
        skip_because("no right to become another user");
    room_run(room, "client", "record=1", "exit=0", NULL);
    room_run(room, "client", "uid=65534", "record=5", "shutdown=0", "exit=0", NULL);
    assert_int_equal(room->counters->refused[EACCES], 5);
    agent_start(room);
    books_expect_ends(room, 1, 0, 0);
}

static void an_unprivileged_user_by_itself(void **state)
{
    struct room *room = *state;
    struct stat arena;

    if (geteuid() != 0)
        skip_because("no right to become another user");
    room_run(room, "client", "uid=65534", "record=5", "together=4,5", "exit=0", NULL);
    assert_int_equal(stat(room->arena_path, &arena), 0);
    assert_int_equal(arena.st_uid, NOBODY);
    assert_int_equal(arena_copy_count(room->arena_path, COPY_USAGE), 25);
}

static void two_hundred_processes_at_once(void **state)
{
    struct room *room = *state;
    struct program *clients[200];

    agent_start(room);
    for (int i = 0; i < 200; i++)
        clients[i] = room_start(room, i % 2 ? "client" : "client-static", "await=1", "record=50", "stage=1",
                                "await=2", i % 4 ? "exit=0" : "raise=9", NULL);
    room_go(room, 1);
    wait_until(room_acknowledged(room) == 10000);
    struct arena_copy copy;
    assert_true(arena_copy_read(&copy, room->arena_path));
    assert_int_equal(copy.lanes_used, 200);
    arena_copy_free(&copy);
    room_go(room, 2);
    for (int i = 0; i < 200; i++)
        if (i % 4)
            room_expect_exit(room, clients[i], 0);
        else
            room_expect_signal(room, clients[i], SIGKILL);
    books_expect_ends(room, 150, 50, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(prefork_server_with_kills),
        room_test(prefork_server_itself_killed),
        room_test(another_uid_is_kept_out_of_a_named_arena),
        room_test(an_unprivileged_user_by_itself),
        room_test(two_hundred_processes_at_once),
        /* last: it changes what this process sees as /dev/shm */
        room_test(server_that_drops_its_workers_to_another_uid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
