/* Calls in flight: on many threads, across fork, and when their process dies. */
#include "support/test.h"

#include "support/tries.h"

static const int estimated = 2; /* TALLY_FLAG_ESTIMATED */

static void begun_told_and_ended_on_three_threads(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "calls", "threads", "800", NULL);
    room_run(room, "calls-static", "threads", "800", NULL);
    books_await_ended(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 1600);
    assert_int_equal(books_number(room, "SELECT count(DISTINCT call_id) FROM usage"), 1600);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM usage WHERE status = 'ok' AND response_model = 'large-2' "
                           "AND request_model = 'large' AND duration_ns IS NOT NULL "
                           "AND output_tokens = 1000 + input_tokens AND user = 'call ' || input_tokens"),
        1600);
    assert_int_equal(books_number(room, "SELECT count(*) FROM open_calls"), 0);
    assert_int_equal(books_number(room, "SELECT sum(calls) FROM usage_hourly"), 1600);
    assert_int_equal(books_number(room, "SELECT sum(output_tokens) FROM usage_hourly"),
                     books_number(room, "SELECT sum(output_tokens) FROM usage"));
    tries(1600, "calls in flight");
}

static void killed_with_open_calls(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client =
        room_start(room, "client", "begin", "progress=10", "progress=25", "stage=1", "await=1", NULL);
    room_await_stage(room, 1);
    wait_until(books_number(room, "SELECT output_tokens FROM open_calls") == 25);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 0);
    room_kill(room, client);
    books_expect_ends(room, 0, 1, 0);
    books_expect_text(room, "aborted|100|25|2",
                      "SELECT status || '|' || input_tokens || '|' || output_tokens || '|' || "
                      "(flags & %d) FROM usage",
                      estimated);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 1);
    assert_int_equal(books_number(room, "SELECT count(*) FROM open_calls"), 0);
    books_expect_text(room, "1|25",
                      "SELECT sum(calls) || '|' || sum(output_tokens) FROM usage_hourly "
                      "WHERE status = 'aborted'");
    tries(1, "calls whose process was killed");
}

static void killed_with_open_calls_and_no_agent(void **state)
{
    struct room *room = *state;

    for (int i = 0; i < 5; i++)
        room_expect_signal(room, room_start(room, "client", "begin", "progress=7", "raise=9", NULL), SIGKILL);
    agent_start(room);
    books_expect_ends(room, 0, 5, 0);
    assert_int_equal(books_number(room,
                                  "SELECT count(*) FROM usage WHERE status = 'aborted' AND output_tokens = 7 "
                                  "AND flags & %d",
                                  estimated),
                     5);
    tries(5, "calls whose process was killed");
}

static void open_calls_survive_the_agent(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client =
        room_start(room, "client", "begin", "progress=10", "stage=1", "await=1", "progress=20", "end",
                   "begin", "progress=5", "stage=2", "await=2", NULL);
    room_await_stage(room, 1);
    wait_until(books_number(room, "SELECT output_tokens FROM open_calls") == 10);
    agent_kill(room);
    room_go(room, 1);
    room_await_stage(room, 2);
    agent_start(room);
    books_await_drained(room);
    books_expect_text(room, "ok|100|20",
                      "SELECT status || '|' || input_tokens || '|' || output_tokens FROM usage");
    agent_kill(room);
    room_kill(room, client);
    agent_start(room);
    books_expect_ends(room, 0, 1, 0);
    books_expect_text(room, "aborted:5,ok:20",
                      "SELECT group_concat(s) FROM (SELECT status || ':' || output_tokens s "
                      "FROM usage ORDER BY s)");
}

static void left_open_at_a_clean_end(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "client", "begin", "progress=3", "exit=0", NULL);
    books_expect_ends(room, 1, 0, 0);
    books_expect_text(room, "aborted|3", "SELECT status || '|' || output_tokens FROM usage");
}

static void begun_in_the_parent_ended_in_the_child(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "forks", "call", "before", NULL);
    books_expect_ends(room, 2, 0, 0);
    books_expect_text(room, "ok|100|20|1",
                      "SELECT status || '|' || input_tokens || '|' || output_tokens || '|' || "
                      "count(*) FROM usage");
}

/* The parent was killed and the call closed as aborted; the child, which had it too, ends it after all. */
static void an_end_overrides_aborted(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *parent = room_start(room, "forks", "call", "after", NULL);
    room_expect_signal(room, parent, SIGKILL);
    wait_until(books_number(room, "SELECT count(*) FROM usage WHERE status = 'aborted'") == 1);
    room_go(room, 1);
    wait_until(room->counters->stage == 2); /* the child's: it is not ours to wait for */
    books_await_ended(room);
    books_expect_text(room, "ok|100|20|1",
                      "SELECT status || '|' || input_tokens || '|' || output_tokens || '|' || "
                      "count(*) FROM usage");
    books_expect_text(room, "0", "SELECT flags & %d FROM usage", estimated);
    /* the sums follow */
    books_expect_text(room, "1|20", "SELECT sum(calls) || '|' || sum(output_tokens) FROM usage_hourly");
    books_expect_complete(room, 0);
    room_wait_for_orphan(room, (pid_t)room->counters->values[0]);
}

static void misuse_is_refused(void **state)
{
    static const int expected[] = {0,       -ERANGE, 0,       -EINVAL, -EINVAL,
                                   -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL};
    struct room *room = *state;

    room_run(room, "calls", "ended", NULL);
    for (uint32_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(room_result(room, i), expected[i]);
    agent_start(room);
    books_expect_ends(room, 1, 0, 0);
    books_expect_text(room, "7|1", "SELECT input_tokens || '|' || count(*) FROM usage");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(begun_told_and_ended_on_three_threads),
        room_test(killed_with_open_calls),
        room_test(killed_with_open_calls_and_no_agent),
        room_test(open_calls_survive_the_agent),
        room_test(left_open_at_a_clean_end),
        room_test(begun_in_the_parent_ended_in_the_child),
        room_test(an_end_overrides_aborted),
        room_test(misuse_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
