/* Signal handlers that call tally in the middle of its own calls. */
#include "support/test.h"

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
    books_expect_text(room, "2", "SELECT count(*) FROM clients WHERE ended = 'clean'");
}

static void records_in_a_handler(void **state)
{
    storm(*state, "record", true);
}

static void records_in_handlers_of_threads(void **state)
{
    storm(*state, "threads", true);
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
}

/* A lane is being taken: nothing to count it in may be there yet. */
static void records_while_lanes_are_taken(void **state)
{
    struct room *room = *state;
    struct arena_copy copy;

    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    for (int i = 0; i < 2; i++)
        room_run(room, i ? "storm-static" : "storm", "5000", "first", NULL);
    books_await_ended(room);
    assert_int_equal(room_refused(room), room->counters->refused[EBUSY]);
    assert_true(arena_copy_read(&copy, room->arena_path));
    uint64_t counted = copy.refused[COPY_REENTERED];
    assert_true(counted <= room->counters->refused[EBUSY]);
    assert_int_equal(copy.refused_full, 0);
    arena_copy_free(&copy);
    books_expect_complete(room, counted);
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
