/* The clock is stepped, forward and back, under clients and agent. Records are kept and counted; nothing sleeps for ever;
 * durations are not taken from it; nothing is deleted because it is a year ahead for a moment. */
#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SECOND_NS INT64_C(1000000000)
#define HOUR_NS   (3600 * SECOND_NS)
#define YEAR_NS   (365 * 24 * HOUR_NS)

static int64_t *ahead_ns;

/* From now on what the room starts lives by this clock. */
static void clock_take(struct room *room)
{
    char path[ROOM_PATH_MAX];
    char library[ROOM_PATH_MAX];
    char command[4 * ROOM_PATH_MAX];
    const char *source = getenv("TALLY_TEST_SOURCE");

    if (SANITIZED)
        skip_because("a sanitizer's library has to be the first");
    snprintf(library, sizeof(library), "%s/clock.so", room->directory);
    snprintf(command, sizeof(command),
             "cc -shared -fPIC -O1 -o '%s' '%s/tests/lifecycle/clock_preload.c' 2>/dev/null", library,
             source ? source : ".");
    if (system(command) != 0)
        skip_because("no compiler called cc");
    snprintf(path, sizeof(path), "%s/clock", room->directory);
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, sizeof(*ahead_ns)), 0);
    ahead_ns = mmap(NULL, sizeof(*ahead_ns), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(ahead_ns != MAP_FAILED);
    close(file);
    room_set(room, "TEST_CLOCK", path);
    room_set(room, "LD_PRELOAD", library);
}

static void clock_set(int64_t ahead)
{
    __atomic_store_n(ahead_ns, ahead, __ATOMIC_RELAXED);
}

/* ---- records ---------------------------------------------------------------------------------- */

static void stepped_under_load(void **state)
{
    struct room *room = *state;
    static const int64_t steps[] = {HOUR_NS,       -HOUR_NS,      YEAR_NS,       0,
                                    -20 * YEAR_NS, 5 * SECOND_NS, 200 * YEAR_NS, 0};
    enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

    clock_take(room);
    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    struct program *client =
        room_start(room, "client", "background=2", "await=1", "stop", "shutdown=-1", "exit=0", NULL);
    for (int i = 0; i < STEPS; i++) {
        uint64_t before = room_acknowledged(room);
        int64_t rows = books_number(room, "SELECT coalesce(max(id), 0) FROM usage");
        clock_set(steps[i]);
        wait_until(room_acknowledged(room) >= before + 300);
        wait_until(books_number(room, "SELECT coalesce(max(id), 0) FROM usage") >= rows + 300);
    }
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    assert_int_equal(room_result(room, 0), 1); /* TALLY_DURABLE: nor does a wait hang */
    books_expect_ends(room, 1, 0, 0);
    agent_stop(room);
    /* each record in the hour that its client's clock said; the sums are even */
    assert_int_equal(books_number(room, "SELECT sum(calls) FROM usage_hourly"),
                     books_number(room, "SELECT count(*) FROM usage"));
    assert_true(books_number(room, "SELECT count(DISTINCT hour_unix_s) FROM usage_hourly") >= 5);
    tries(STEPS, "steps of the clock under load");
}

/* A call's duration is that of its time, not of the clock. */
static void durations_are_not_the_clocks(void **state)
{
    struct room *room = *state;

    clock_take(room);
    agent_start(room);
    struct program *client = room_start(room, "client", "begin", "stage=1", "await=1", "progress=3",
                                        "stage=2", "await=2", "end", "shutdown=-1", "exit=0", NULL);
    room_await_stage(room, 1);
    clock_set(YEAR_NS);
    room_go(room, 1);
    room_await_stage(room, 2);
    clock_set(-HOUR_NS);
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    books_expect_ends(room, 1, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE status = 'ok'"), 1);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM usage WHERE duration_ns BETWEEN 0 AND 600 * 1000000000"), 1);
    agent_stop(room);
}

/* Asleep, with the clock set back by years: it still wakes, and looks whether owners live. */
static void an_agent_asleep_wakes(void **state)
{
    struct room *room = *state;

    clock_take(room);
    agent_start(room);
    struct program *client = room_start(room, "client", "record=1", "stage=1", "await=1", NULL);
    room_await_stage(room, 1);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 1);
    clock_set(-10 * YEAR_NS);
    room_kill(room, client);
    wait_until(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died'") == 1);
    room_run(room, "client", "record=5", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 6);
    books_expect_ends(room, 1, 1, 0);
    agent_stop(room);
}

/* ---- retention ---------------------------------------------------------------------------------- */

static void write_config(const struct room *room, const char *retention)
{
    char path[ROOM_PATH_MAX];

    snprintf(path, sizeof(path), "%s/tallyd.conf", room->directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "retention = %s\n", retention);
    assert_int_equal(fclose(file), 0);
}

/* Of an age of 40 s an eighth has to go by in which the clock runs evenly. */
static void a_year_ahead_for_a_moment_deletes_nothing(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX];

    clock_take(room);
    snprintf(path, sizeof(path), "%s/tallyd.conf", room->directory);
    write_config(room, "40s");
    room->agent_config = path;
    agent_start(room);
    room_run(room, "client", "record=100", "exit=0", NULL);
    /* with a lane in use the agent looks once a second */
    struct program *client =
        room_start(room, "client", "hold=1", "stage=1", "await=1", "release", "exit=0", NULL);
    room_await_stage(room, 1);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 101);
    clock_set(YEAR_NS);
    wait_until(agent_said(room, "the clock has been stepped by"));
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 111);
    clock_set(0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 111);
    /* SIGHUP, with another age: two seconds. Now they are old by the right clock too, and those of the year to come are not. */
    write_config(room, "2s");
    assert_int_equal(kill(room->agent, SIGHUP), 0);
    wait_until(agent_said(room, "configuration read again"));
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 10);
    assert_int_equal(books_number(room, "SELECT sum(calls) FROM usage_hourly"), 111);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    agent_stop(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(stepped_under_load),
        room_test(durations_are_not_the_clocks),
        room_test(an_agent_asleep_wakes),
        room_test(a_year_ahead_for_a_moment_deletes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
