/* Very many at a time: processes, forks, threads, and agents one after the other. What returned 0 is counted outside of tally,
 * writer by writer, and compared with the database and with `tally audit`: nothing is missing, nothing there twice.
 *
 * Longer with TALLY_TEST_LONG=1. Fewer with sanitizers: then it is about the library's memory, and a thousand of theirs
 * would not fit. */
#include "support/test.h"

#include "support/tries.h"

#include <sched.h>

static int longer(int usual, int factor)
{
    const char *said = getenv("TALLY_TEST_LONG");

    if (SANITIZED)
        return usual / 5;
    return said != NULL && said[0] != '\0' && strcmp(said, "0") != 0 ? usual * factor : usual;
}

/* As programs usually run: what has no room in a lane goes to a file. */
static void usual_room(struct room *room)
{
    room_set(room, "TALLY_OVERFLOW", "spill");
}

/* Until it has ended or recorded some more: however slow the machine, it has not stopped as long as it goes on. */
static void await_progress(struct room *room, struct program *crowd)
{
    uint64_t before = room_acknowledged(room);

    wait_until(room_ended(crowd) || room_acknowledged(room) > before);
}

static void run_crowd(struct room *room, const char *program, const char *how, int number, int argument)
{
    char texts[2][16];

    snprintf(texts[0], sizeof(texts[0]), "%d", number);
    snprintf(texts[1], sizeof(texts[1]), "%d", argument);
    struct program *crowd = room_start(room, program, how, texts[0], texts[1], NULL);
    while (!room_ended(crowd))
        await_progress(room, crowd);
    room_expect_exit(room, crowd, 0);
}

static uint64_t value(const struct room *room, int index)
{
    return atomic_load(&room->counters->values[index]);
}

static void expect_ends(struct room *room, int64_t clean, int64_t died)
{
    books_await_ended(room);
    assert_int_equal(room_refused(room), 0);
    books_expect_complete(room, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'"), clean);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died'"), died);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE complete = 0"), 0);
}

/* ---- processes -------------------------------------------------------------------------------- */

#define PROCESSES (SANITIZED ? 100 : 1000)

static void a_thousand_processes(void **state)
{
    struct room *room = *state;
    struct arena_copy copy;
    char total[16];

    usual_room(room);
    agent_start(room);
    snprintf(total, sizeof(total), "%d", PROCESSES);
    struct program *crowd = room_start(room, "crowd", "processes", total, NULL);
    wait_until(value(room, 0) == PROCESSES || room_ended(crowd));
    assert_false(room_ended(crowd));
    /* all of them are alive, and each has a lane of its own */
    assert_true(arena_copy_read(&copy, room->arena_path));
    assert_int_equal(copy.lane_count, 1024);
    assert_int_equal(copy.lanes_used, PROCESSES);
    arena_copy_free(&copy);
    room_go(room, 1);
    room_expect_exit(room, crowd, 0);
    assert_int_equal(value(room, 1), (PROCESSES + 2) / 3);
    expect_ends(room, PROCESSES - (PROCESSES + 2) / 3, (PROCESSES + 2) / 3);
    tries(PROCESSES, "processes at one time");
    tries(value(room, 1), "of them killed");
    tries(room_acknowledged(room), "records");
}

/* ---- forks -------------------------------------------------------------------------------------- */

#define FORKS (SANITIZED ? 1000 : 10000)

static void ten_thousand_forks(void **state)
{
    struct room *room = *state;

    usual_room(room);
    agent_start(room);
    run_crowd(room, "crowd", "forks", FORKS, 8);
    assert_int_equal(value(room, 0), FORKS);
    assert_int_equal(value(room, 1), FORKS / 4);
    assert_int_equal(value(room, 2), FORKS / 4);
    /* two of four say goodbye, and the parent */
    expect_ends(room, FORKS / 2 + 1, FORKS / 2);
    assert_int_equal(books_number(room, "SELECT count(DISTINCT session_id) FROM clients"), FORKS + 1);
    /* nobody recorded as anybody else: a writer is a process, a process is a session */
    assert_int_equal(books_number(room, "SELECT count(*) FROM (SELECT DISTINCT client_id, user FROM usage)"),
                     FORKS + 1);
    /* lanes of the dead are used again, though not at once: eight are alive, and the table says only now and then who died.
     * Some 30 are used, also where a load of 20 is on two processors */
    struct arena_copy copy;
    assert_true(arena_copy_read(&copy, room->arena_path));
    assert_in_range(copy.lanes_used, 2, 250);
    arena_copy_free(&copy);
    tries(FORKS, "forks");
    tries(value(room, 1), "of them killed");
    tries(room_acknowledged(room), "records");
}

/* ---- threads ------------------------------------------------------------------------------------ */

#define THREADS 64

static bool keep_to_two_processors(void)
{
    cpu_set_t allowed;
    cpu_set_t two;
    int found = 0;

    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    CPU_ZERO(&two);
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_SET(cpu, &two);
            found++;
        }
    return sched_setaffinity(0, sizeof(two), &two) == 0;
}

/* The agent, too, has only these two: it is outnumbered, lanes get full, and there are both lanes and files. */
static void threads_on_two_processors(void **state)
{
    struct room *room = *state;
    int each = longer(3000, 20);

    assert_true(keep_to_two_processors());
    usual_room(room);
    agent_start(room);
    for (int i = 0; i < 2; i++)
        run_crowd(room, i ? "crowd-static" : "crowd", "threads", THREADS, each);
    assert_int_equal(room_acknowledged(room), UINT64_C(2) * THREADS * (uint64_t)each);
    expect_ends(room, 2, 0);
    tries(room_acknowledged(room), "records by 64 threads on 2 processors");
}

/* ---- agents ------------------------------------------------------------------------------------- */

#define RESTART_MS 50

static void an_agent_every_fifty_milliseconds(void **state)
{
    struct room *room = *state;
    struct program *programs[6];
    int restarts = longer(100, 20);

    usual_room(room);
    /* small: what the board gives back too early is overwritten before the next agent comes */
    room_set(room, "TALLY_LANE_KIB", "16");
    for (int i = 0; i < 6; i++)
        programs[i] =
            room_start(room, i % 2 ? "soak" : "soak-static", i == 5 ? "calls" : "steady", "1000", NULL);
    for (int i = 0; i < restarts; i++) {
        int64_t next = wait_now_ms() + RESTART_MS;
        agent_start(room);
        while (wait_now_ms() < next) /* not to wait for anything: this is how long an agent lives */
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        if (i == restarts / 2)
            room_kill(room, programs[0]);
        if (i % 2)
            agent_kill(room);
        else
            agent_stop(room);
    }
    room_go(room, 1);
    for (int i = 1; i < 6; i++)
        room_expect_exit(room, programs[i], 0);
    agent_start(room);
    books_await_ended(room);
    assert_int_equal(room_refused(room), 0);
    books_expect_complete(room, 0);
    assert_int_equal(books_number(room, "SELECT value FROM meta WHERE key = 'epoch'"), restarts + 1);
    int64_t calls = books_number(room, "SELECT count(*) FROM usage WHERE request_model = 'large'");
    assert_in_range(calls, value(room, 1), value(room, 1) + value(room, 0));
    tries((unsigned long long)restarts, "restarts of the agent");
    tries(room_acknowledged(room), "records");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(a_thousand_processes),
        room_test(ten_thousand_forks),
        room_test(an_agent_every_fifty_milliseconds),
        /* last: it changes where this process may run */
        room_test(threads_on_two_processors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
