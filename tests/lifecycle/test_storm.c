/* Signal handlers that call tally in the middle of its own calls. */
#include "support/test.h"

#include "support/tries.h"

/* Lane numbers stay unbroken (the independent reading says so), nobody's record is harmed, and each call that
 * found another in its way is counted as reentered. */
static void storm(struct room *room, const char *how, bool hits)
{
    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    for (int i = 0; i < 2; i++)
        room_run(room, i ? "storm-static" : "storm", "10000", how, NULL);
    uint64_t reentered = room->counters->refused[EBUSY];
    if (hits)
        assert_true(reentered > 0);
    assert_int_equal(reentered, room->counters->values[0]);
    assert_int_equal(room_refused(room), reentered);
    books_await_ended(room);
    wait_until(books_number(room, "SELECT sum(refused_reentered) FROM arenas") == (int64_t)reentered);
    books_expect_complete(room, reentered);
    tries(20000, "signals in the middle of tally's own calls");
}

static void expect_clean(const struct room *room)
{
    books_expect_text(room, "2", "SELECT count(*) FROM clients WHERE ended = 'clean' AND complete = 1");
}

static void records_in_a_handler(void **state)
{
    storm(*state, "record", true);
    expect_clean(*state);
}

static void records_in_handlers_of_threads(void **state)
{
    storm(*state, "threads", true);
    expect_clean(*state);
}

static void records_in_the_middle_of_calls_in_flight(void **state)
{
    struct room *room = *state;

    storm(room, "call", true);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM usage WHERE call_id IS NOT NULL AND status <> 'aborted'"),
        room->counters->values[1]);
}

static void shutdown_in_a_handler(void **state)
{
    storm(*state, "shutdown", false);
    expect_clean(*state);
}

/* A handler that runs when its thread's data have been destroyed takes one more lane, which nobody is left to give
 * back: nothing is lost, but the end of such a thread is not clean. */
static void records_while_lanes_are_taken(void **state)
{
    storm(*state, "first", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(records_in_a_handler),
        room_test(records_in_handlers_of_threads),
        room_test(records_in_the_middle_of_calls_in_flight),
        room_test(shutdown_in_a_handler),
        room_test(records_while_lanes_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
