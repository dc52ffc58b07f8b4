/* Shutdown: what tally_shutdown(), the normal ends of a program and the release of a client object promise. */
#include "support/test.h"

#include <tally/tally.h>

/* ---- with an agent ----------------------------------------------------------------- */

static void explicit_shutdown_keeps_5_of_5(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client =
        room_start(room, "client", "record=5", "shutdown=-1", "stage=1", "await=1", "exit=0", NULL);
    room_await_stage(room, 1);
    /* durable is on disk: neither side gets another instruction to improve on it */
    agent_kill(room);
    room_kill(room, client);
    assert_int_equal(room_result(room, 0), TALLY_DURABLE);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 5);
    agent_start(room);
    books_expect_ends(room, 1, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 5);
}

static void rapid_shutdown_keeps_20_of_20(void **state)
{
    struct room *room = *state;

    agent_start(room);
    for (int round = 0; round < 10; round++) {
        struct program *client = room_start(room, round % 2 ? "client-static" : "client", "record=20",
                                            "shutdown=10000", "raise=9", NULL);
        room_expect_signal(room, client, SIGKILL);
        assert_int_equal(room_result(room, (uint32_t)round), TALLY_DURABLE);
        assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 20 * (round + 1));
    }
    books_expect_ends(room, 10, 0, 0);
}

static void shutdown_many_times_from_many_threads(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "client", "background=4", "shutdowns=8,20,0", "shutdowns=8,5,1000", "stop", "shutdown=-1",
             "exit=0", NULL);
    for (uint32_t i = 0; i < 160; i++)
        assert_int_equal(room_result(room, i), TALLY_PUBLISHED);
    for (uint32_t i = 160; i < 200; i++) {
        int64_t result = room_result(room, i);
        assert_true(result == TALLY_DURABLE || result == TALLY_PUBLISHED);
    }
    assert_int_equal(room_result(room, 200), TALLY_DURABLE);
    /* the records of others went on */
    for (uint32_t i = 1; i <= 4; i++)
        assert_true(room->counters->writers[i].acknowledged > 0);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    books_expect_text(room, "clean", "SELECT group_concat(ended) FROM clients");
}

static void shutdown_again_and_again_changes_nothing(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "client", "record=3", "shutdown=-1", "shutdown=-1", "shutdown=0", "shutdown=1", "exit=0",
             NULL);
    assert_int_equal(room_result(room, 0), TALLY_DURABLE);
    assert_int_equal(room_result(room, 1), TALLY_DURABLE);
    assert_int_equal(room_result(room, 2), TALLY_PUBLISHED);
    assert_int_equal(room_result(room, 3), TALLY_DURABLE);
    books_expect_ends(room, 1, 0, 0);
}

static void shutdown_gives_up_on_a_stopped_agent(void **state)
{
    struct room *room = *state;

    agent_start(room);
    agent_pause(room);
    room_run(room, "client", "record=5", "shutdown=50", "exit=0", NULL);
    assert_int_equal(room_result(room, 0), TALLY_PUBLISHED);
    agent_resume(room);
    books_expect_ends(room, 1, 0, 0);
}

/* ---- without an agent --------------------------------------------------------------- */

/* Whether the arena's first lane was left with its last number as the final one. */
static bool final_mark(const struct room *room)
{
    struct arena_copy copy;

    assert_true(arena_copy_read(&copy, room->arena_path));
    assert_int_equal(copy.lanes_used, 1);
    assert_int_equal(copy.damaged, 0);
    bool marked = copy.lanes[0].final_sequence == copy.lanes[0].sequence;
    arena_copy_free(&copy);
    return marked;
}

static void shutdown_without_agent_publishes(void **state)
{
    struct room *room = *state;
    struct program *client = room_start(room, "client", "record=20", "shutdown=60000", "raise=9", NULL);

    room_expect_signal(room, client, SIGKILL);
    assert_int_equal(room_result(room, 0), TALLY_PUBLISHED);
    assert_int_equal(arena_copy_count(room->arena_path, COPY_USAGE), 20);
    assert_true(final_mark(room));
    agent_start(room);
    books_expect_ends(room, 1, 0, 0);
}

static void shutdown_before_the_first_record(void **state)
{
    struct room *room = *state;

    room_run(room, "client", "shutdown=-1", "shutdown=0", "exit=0", NULL);
    assert_int_equal(room_result(room, 0), TALLY_DURABLE);
    assert_int_equal(room_result(room, 1), TALLY_DURABLE);
    /* a program that records nothing leaves nothing */
    assert_int_not_equal(access(room->arena_path, F_OK), 0);
}

static void recording_after_shutdown_withdraws_the_mark(void **state)
{
    struct room *room = *state;

    struct program *client =
        room_start(room, "client", "record=5", "shutdown=0", "record=1", "_exit=0", NULL);
    room_expect_exit(room, client, 0);
    assert_false(final_mark(room));
    room_run(room, "client", "record=5", "shutdown=0", "record=1", "shutdown=0", "_exit=0", NULL);
    assert_true(final_mark(room));
    agent_start(room);
    books_expect_ends(room, 1, 1, 0);
}

/* ---- the ends of a program -------------------------------------------------------------- */

static void every_end_keeps_all(void **state)
{
    static const struct {
        const char *step;
        int signal;
        bool clean;
    } ends[] = {
        {"exit=3", 0, true},          {"return=3", 0, true},       {"quick_exit=3", 0, true},
        {"_exit=3", 0, false},        {"raise=9", SIGKILL, false}, {"raise=6", SIGABRT, false},
        {"raise=11", SIGSEGV, false},
    };
    struct room *room = *state;
    int64_t clean = 0;
    int64_t died = 0;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        for (int linked = 0; linked < 2; linked++) {
            struct program *client = room_start(room, linked ? "client-static" : "client", "record=7",
                                                "together=3,5", ends[i].step, NULL);
            if (ends[i].signal)
                room_expect_signal(room, client, ends[i].signal);
            else
                room_expect_exit(room, client, 3);
            clean += ends[i].clean;
            died += !ends[i].clean;
        }
    agent_start(room);
    books_expect_ends(room, clean, died, 0);
    assert_int_equal(room_acknowledged(room), 14 * (7 + 15));
}

static void exit_with_threads_still_recording(void **state)
{
    struct room *room = *state;

    agent_start(room);
    for (int i = 0; i < 5; i++)
        room_run(room, "client", "background=4", "record=100", "exit=0", NULL);
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 5 * 4));
    assert_true(room_acknowledged(room) >= 500);
}

/* ---- client objects -------------------------------------------------------------------------- */

static void release_of_a_client_object(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_SERVICE", "host");
    agent_start(room);
    struct program *client = room_start(room, "client", "record=2", "new=embedded,team=red", "object=5",
                                        "free", "stage=1", "await=1", "exit=0", NULL);
    room_await_stage(room, 1);
    /* with an agent the release has waited for the disk */
    agent_kill(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage u JOIN clients c ON c.id = u.client_id "
                                        "WHERE c.service = 'embedded' AND c.tags = 'team=red'"),
                     5);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage u JOIN clients c ON c.id = u.client_id "
                                        "WHERE c.service = 'host' AND c.tags IS NULL"),
                     2);
    agent_start(room);
    wait_until(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'") == 1);
    books_expect_text(room, "embedded", "SELECT service FROM clients WHERE ended = 'clean'");
    books_expect_text(
        room, "host",
        "SELECT p.service FROM clients c JOIN clients p ON p.id = c.parent_id WHERE c.service = 'embedded'");
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    books_expect_ends(room, 2, 0, 0);
}

static void release_without_agent_or_with_a_stopped_one(void **state)
{
    struct room *room = *state;

    room_run(room, "client", "new=one", "object=3", "free", "new=two", "free", "exit=0", NULL);
    agent_start(room);
    agent_pause(room);
    /* bounded: it comes back while the agent still stands */
    room_run(room, "client", "new=three", "object=3", "free", "record=1", "_exit=0", NULL);
    agent_resume(room);
    books_await_ended(room);
    books_expect_complete(room, 0);
    books_expect_text(room, "clean", "SELECT ended FROM clients WHERE service = 'one'");
    books_expect_text(room, "clean", "SELECT ended FROM clients WHERE service = 'three'");
    books_expect_text(
        room, "died",
        "SELECT p.ended FROM clients c JOIN clients p ON p.id = c.parent_id WHERE c.service = 'three'");
}

static void a_client_object_dies_with_its_process(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client = room_start(room, "client", "new=one", "object=3", "raise=9", NULL);
    room_expect_signal(room, client, SIGKILL);
    books_expect_ends(room, 0, 2, 0);
    books_expect_text(room, "died", "SELECT ended FROM clients WHERE service = 'one'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(explicit_shutdown_keeps_5_of_5),
        room_test(rapid_shutdown_keeps_20_of_20),
        room_test(shutdown_many_times_from_many_threads),
        room_test(shutdown_again_and_again_changes_nothing),
        room_test(shutdown_gives_up_on_a_stopped_agent),
        room_test(shutdown_without_agent_publishes),
        room_test(shutdown_before_the_first_record),
        room_test(recording_after_shutdown_withdraws_the_mark),
        room_test(every_end_keeps_all),
        room_test(exit_with_threads_still_recording),
        room_test(release_of_a_client_object),
        room_test(release_without_agent_or_with_a_stopped_one),
        room_test(a_client_object_dies_with_its_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
