/* What surrounds a program: switches, broken names, limits, closed descriptors, run-time loading, C++. Tally
 * may fail to do its work; it never crashes, blocks or prints, and leaves errno alone (helper programs check that). */
#include "support/test.h"

#include <fcntl.h>
#include <sys/stat.h>

static void disabled_does_nothing(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_DISABLE", "1");
    room_run(room, "client", "record=5", "begin", "progress=1", "end", "new=x", "object=3", "free",
             "together=3,5", "shutdown=-1", "exit=0", NULL);
    room_run(room, "client-static", "init=signals", "record=5", "exit=0", NULL);
    assert_int_equal(room_refused(room), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(room_result(room, i), 0);
    assert_int_equal(room_result(room, 3), 1); /* TALLY_DURABLE: there is nothing that is not */
    assert_int_not_equal(access(room->arena_path, F_OK), 0);
}

static void names_that_cannot_be_arenas(void **state)
{
    static const char *const names[] = {"bad/name",        "/",           ".",     "..",
                                        "/nowhere/at/all", "/dev/null/x", "/tmp/", "/dev/shm/../null"};
    struct room *room = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(room->arena, sizeof(room->arena), "%s", names[i]);
        room_run(room, i % 2 ? "client" : "client-static", "record=5", "begin", "progress=1", "end", "new=x",
                 "object=3", "free", "together=3,5", "shutdown=-1", "exit=0", NULL);
    }
    assert_int_equal(room_acknowledged(room), 0);
    assert_int_equal(room_refused(room), 8 * (5 + 3 + 15));
    snprintf(room->arena, sizeof(room->arena), "%s", strrchr(room->arena_path, '/'));
}

/* Something else has the name: not an arena, a folder, a link, a file that others may write. */
static void names_that_are_taken(void **state)
{
    struct room *room = *state;

    for (int kind = 0; kind < 5; kind++) {
        int file = -1;
        if (kind == 0)
            assert_int_equal(mkdir(room->arena_path, 0700), 0);
        else if (kind == 1)
            assert_int_equal(symlink("/dev/shm/nothing", room->arena_path), 0);
        else
            file = open(room->arena_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (kind == 3)
            assert_int_equal(write(file, "TLYARENA", 8), 8);
        if (kind == 4) {
            assert_int_equal(fchmod(file, 0666), 0);
            assert_int_equal(ftruncate(file, 1 << 20), 0);
        }
        if (file >= 0)
            close(file);
        room_run(room, "client", "record=5", "shutdown=-1", "exit=0", NULL);
        assert_int_equal(remove(room->arena_path), 0);
    }
    assert_int_equal(room_acknowledged(room), 0);
    assert_int_equal(room_refused(room), 25);
}

static void shared_memory_that_may_not_be_written(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX];

    if (geteuid() != 0)
        skip_because("no right to become another user");
    /* a folder of root's: another user may not make an arena there */
    snprintf(path, sizeof(path), "%s/closed", room->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(room->arena, sizeof(room->arena), "%s/closed/a", room->directory);
    room_run(room, "client", "uid=65534", "record=5", "new=x", "object=3", "free", "shutdown=-1", "exit=0",
             NULL);
    assert_int_equal(room->counters->refused[EACCES], 8);
}

/* In a mount namespace of a process of its own: tmpfs of one page's worth, so nothing fits. */
static void shared_memory_that_is_full(void **state)
{
    struct room *room = *state;
    char script[1200];
    char client[ROOM_PATH_MAX + 32];

    if (geteuid() != 0)
        skip_because("no right to mount a private /dev/shm");
    snprintf(client, sizeof(client), "%s/tests/programs/client", room_build());
    for (int kib = 4; kib <= 512; kib *= 2) {
        snprintf(script, sizeof(script),
                 "mount --make-rprivate / && mount -t tmpfs -o mode=1777,size=%dk tmpfs /dev/shm || exit 77; "
                 "exec %s record=5 together=8,5 shutdown=-1 exit=0",
                 kib, client);
        struct program *program = room_start(room, "/usr/bin/unshare", "-m", "sh", "-c", script, NULL);
        int status = room_wait(room, program);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            skip_because("no right to mount a private /dev/shm");
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    /* nothing fits into 4 KiB, three lanes of 128 KiB and the header do into 512 */
    assert_int_equal(room->counters->writers[0].acknowledged, 0);
    assert_true(room->counters->refused[ENOSPC] > 0);
    assert_true(room_acknowledged(room) > 0);
    assert_int_equal(room_acknowledged(room) + room_refused(room), 8 * 45);
    assert_int_equal(room_refused(room), room->counters->refused[ENOSPC]);
}

static void no_descriptor_to_be_had(void **state)
{
    struct room *room = *state;

    room_run(room, "poor", "files=3", "record=5", "object", "limits", "wait", "record=5", NULL);
    assert_int_equal(room->counters->refused[EMFILE], 5);
    assert_int_equal(room_acknowledged(room), 5);
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, 0);
}

static void no_file_may_grow(void **state)
{
    struct room *room = *state;

    /* neither the arena nor a lane: SIGXFSZ would kill */
    room_run(room, "poor", "fsize=1", "record=5", "object", NULL);
    assert_int_equal(room->counters->refused[EFBIG], 5);
    assert_int_equal(room_acknowledged(room), 0);
    room_run(room, "client", "record=1", "exit=0", NULL);
    room_run(room, "poor-static", "fsize=1", "record=5", "object", NULL);
    assert_int_equal(room->counters->refused[EFBIG], 10);
    room_run(room, "poor", "record=1", "fsize=1", "record=5", "limits", "record=5", NULL);
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, books_number(room, "SELECT sum(refused_no_lane) FROM arenas"));
    assert_true(room_acknowledged(room) >= 12);
}

static void no_memory_to_be_had(void **state)
{
    struct room *room = *state;

    if (SANITIZED)
        skip_because("a sanitizer needs address space by the terabyte");
    for (int mib = 1; mib <= 8; mib++) {
        char limit[32];
        snprintf(limit, sizeof(limit), "as=%d", mib << 20);
        room_run(room, mib % 2 ? "poor" : "poor-static", limit, "record=5", "object", "limits", "wait",
                 "record=5", NULL);
    }
    assert_true(room_acknowledged(room) >= 40);
}

static void closefrom_in_mid_work(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "client", "record=5", "closefrom=3", "record=5", "together=3,5", "new=x", "object=3",
             "free", "shutdown=-1", "closefrom=3", "record=1", "shutdown=-1", "exit=0", NULL);
    assert_int_equal(room_result(room, 0), 1);
    assert_int_equal(room_result(room, 1), 1);
    books_expect_ends(room, 2, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 29);
}

static void no_descriptor_is_kept(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "client", "descriptors", "record=5", "together=8,5", "new=x", "object=3", "free", "begin",
             "end", "shutdown=-1", "descriptors", "exit=0", NULL);
    assert_int_equal(room_result(room, 0), room_result(room, room->counters->result_count - 1));
}

static void a_long_life_maps_no_more(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    room_run(room, "client", "threads=50,5", "new=x", "object=3", "free", "mappings", "threads=500,5",
             "record=5000", "new=x", "object=3", "free", "new=y", "object=3", "free", "shutdown=-1",
             "mappings", "exit=0", NULL);
    assert_true(room_result(room, 2) <=
                room_result(room, 0) + 24); /* a few lanes more, while others are full */
    books_await_ended(room);
    books_expect_complete(room, 0);
}

static void loaded_and_unloaded_at_run_time(void **state)
{
    struct room *room = *state;
    char library[ROOM_PATH_MAX];

    snprintf(library, sizeof(library), "%s/libtally.so", room_build());
    agent_start(room);
    room_run(room, "loader-static", library, "20", NULL);
    assert_int_equal(room_acknowledged(room), 180);
    books_expect_ends(room, 1, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 180);
}

static void identity_and_tags_from_the_environment(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_TAGS", "team=red,tier=gold");
    room_set(room, "OTEL_RESOURCE_ATTRIBUTES", "deployment=eu, service.name=from-attributes,x=y");
    room_run(room, "client", "record=1", "exit=0", NULL);
    room_set(room, "OTEL_SERVICE_NAME", "from-otel");
    room_run(room, "client", "record=1", "exit=0", NULL);
    room_set(room, "TALLY_SERVICE", "from-tally");
    room_run(room, "client", "record=1", "exit=0", NULL);
    agent_start(room);
    books_expect_ends(room, 3, 0, 0);
    books_expect_text(room, "from-attributes,from-otel,from-tally",
                      "SELECT group_concat(service) FROM (SELECT service FROM clients ORDER BY service)");
    assert_int_equal(
        books_number(room,
                     "SELECT count(*) FROM clients WHERE tags = 'team=red,tier=gold' AND "
                     "resource_attributes LIKE 'deployment=eu%%' AND uid = %d AND host IS NOT NULL AND "
                     "executable LIKE '%%/client'",
                     (int)geteuid()),
        3);
}

/* However it was named when it was executed, the path is whole and the file's. */
static void executed_by_a_relative_path(void **state)
{
    struct room *room = *state;
    char relative[600];
    char by_proc[600];

    snprintf(relative, sizeof(relative), "cd '%s/tests' && exec programs/client record=1 exit=0",
             room_build());
    snprintf(by_proc, sizeof(by_proc),
             "cd / && exec '/proc/self/cwd%s/tests/programs/client' record=1 exit=0", room_build());
    room_run(room, "client", "record=1", "exit=0", NULL);
    room_run(room, "/bin/sh", "-c", relative, NULL);
    room_run(room, "/bin/sh", "-c", by_proc, NULL);
    agent_start(room);
    books_expect_ends(room, 3, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE executable LIKE "
                                        "'/%%/tests/programs/client' AND executable NOT LIKE '/proc/%%'"),
                     3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(disabled_does_nothing),
        room_test(names_that_cannot_be_arenas),
        room_test(names_that_are_taken),
        room_test(shared_memory_that_may_not_be_written),
        room_test(shared_memory_that_is_full),
        room_test(no_descriptor_to_be_had),
        room_test(no_file_may_grow),
        room_test(no_memory_to_be_had),
        room_test(closefrom_in_mid_work),
        room_test(no_descriptor_is_kept),
        room_test(a_long_life_maps_no_more),
        room_test(loaded_and_unloaded_at_run_time),
        room_test(identity_and_tags_from_the_environment),
        room_test(executed_by_a_relative_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
