/* A full lane: refused or waited for, within bounds, and counted. */
#include "support/test.h"

#include "support/tries.h"

static void drop_refuses_at_once_and_counts(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_OVERFLOW", "drop");
    room_set(room, "TALLY_LANE_KIB", "16");
    room_run(room, "client", "record=1000", "exit=0", NULL);
    assert_true(room_acknowledged(room) > 50);
    assert_int_equal(room->counters->refused[EAGAIN], 1000 - room_acknowledged(room));
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    assert_int_equal(books_number(room, "SELECT records FROM losses WHERE cause = 'lane_full'"),
                     room_refused(room));
    assert_int_equal(books_number(room, "SELECT refused FROM clients"), room_refused(room));
    /* a refused record has no number, so the end is clean and complete */
    books_expect_text(room, "clean|1", "SELECT ended || '|' || complete FROM clients");
    tries(room_refused(room), "records refused");
}

static void blocking_without_an_agent_is_refused(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_BLOCK_MS", "60000");
    /* nobody will ever make room: it does not wait the minute, which would fail this test */
    room_run(room, "client", "fill=100000", "exit=0", NULL);
    assert_int_equal(room->counters->refused[EAGAIN], 1);
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, 1);
    tries(room_refused(room), "records refused");
}

static void blocking_on_a_stopped_agent_is_bounded(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_BLOCK_MS", "30");
    agent_start(room);
    agent_pause(room);
    room_run(room, "client", "record=2000", "together=4,500", "exit=0", NULL);
    assert_int_equal(room_acknowledged(room) + room_refused(room), 4000);
    assert_true(room_refused(room) > 0);
    agent_resume(room);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    tries(room_refused(room), "records refused");
}

/* Whether the first lane has no room for another record of the client's. */
static bool lane_full(const struct room *room)
{
    struct arena_copy copy;

    assert_true(arena_copy_read(&copy, room->arena_path));
    bool full = copy.lanes[0].tail > 12 * 1024 - 200;
    arena_copy_free(&copy);
    return full;
}

static void blocking_waits_for_a_slow_agent(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    agent_pause(room);
    struct program *client = room_start(room, "client", "record=1000", "exit=0", NULL);
    wait_until(lane_full(room));
    assert_false(room_ended(client));
    agent_resume(room);
    room_expect_exit(room, client, 0);
    assert_int_equal(room_refused(room), 0);
    books_expect_ends(room, 1, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 1000);
}

static void a_full_lane_comes_free_again(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_OVERFLOW", "drop");
    room_set(room, "TALLY_LANE_KIB", "16");
    struct program *client = room_start(room, "client", "fill=100000", "stage=1", "await=1", "record=20",
                                        "stage=2", "await=2", "exit=0", NULL);
    room_await_stage(room, 1);
    assert_int_equal(room_refused(room), 1);
    uint64_t filled = room_acknowledged(room);
    agent_start(room);
    books_await_drained(room);
    /* the client has to find the new board by itself: it looks now and then */
    room_go(room, 1);
    room_await_stage(room, 2);
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    assert_int_equal(room_acknowledged(room) + room_refused(room), filled + 1 + 20);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
}

static void a_call_that_was_refused_may_be_ended(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_OVERFLOW", "drop");
    room_set(room, "TALLY_LANE_KIB", "16");
    struct program *client =
        room_start(room, "client", "fill=100000", "begin", "end", "stage=1", "await=1", "shutdown=0",
                   "record=1", "stage=2", "await=2", "end", "exit=0", NULL);
    room_await_stage(room, 1);
    assert_int_equal(room_result(room, 0), -EAGAIN);
    assert_int_equal(room_result(room, 1), -EAGAIN);
    agent_start(room);
    books_await_drained(room);
    room_go(room, 1);
    room_await_stage(room, 2);
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    books_await_ended(room);
    int64_t ended = room_result(room, 3);
    assert_true(ended == 0 || ended == -EAGAIN);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE call_id IS NOT NULL"), ended == 0);
    /* refused records: those of the writer, begin, end, and the last end if it was */
    books_expect_complete(room, room_refused(room) + 2 + (ended != 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(drop_refuses_at_once_and_counts),        room_test(blocking_without_an_agent_is_refused),
        room_test(blocking_on_a_stopped_agent_is_bounded), room_test(blocking_waits_for_a_slow_agent),
        room_test(a_full_lane_comes_free_again),           room_test(a_call_that_was_refused_may_be_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
