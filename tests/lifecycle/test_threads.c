/* Threads: short ones by the thousand, every way in which they end, more of them than lanes. */
#include "support/test.h"

#include "support/tries.h"

/* Lanes are used again: the arena does not grow with the number of threads that ever lived. */
static void expect_few_lanes(const struct room *room, uint32_t most)
{
    struct arena_copy copy;

    assert_true(arena_copy_read(&copy, room->arena_path));
    if (copy.lanes_used > most)
        fail_msg("%u lanes were used, and %u should do", copy.lanes_used, most);
    arena_copy_free(&copy);
}

static void expect_bounded(const struct room *room)
{
    /* mappings and descriptors after the first few threads, and after all of them; malloc makes an arena or two */
    int64_t early = room_result(room, 0);
    int64_t late = room_result(room, 2);

    if (late > early + 40)
        fail_msg("%d mappings early and %d late", (int)early, (int)late);
    assert_int_equal(room_result(room, 1), room_result(room, 3));
}

static void ten_thousand_short_threads(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "threads", "10000", "8", "return", NULL);
    expect_bounded(room);
    expect_few_lanes(room, 32);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    assert_int_equal(room_refused(room), 0);
    books_expect_text(room, "10032", "SELECT count(*) FROM usage");
    books_expect_text(room, "clean", "SELECT group_concat(ended) FROM clients");
    assert_int_equal(books_number(room, "SELECT tenures_open FROM clients"), 0);
    tries(10032, "short threads");
}

static void short_threads_without_an_agent(void **state)
{
    struct room *room = *state;

    room_run(room, "threads", "500", "4", "return", NULL);
    expect_bounded(room);
    assert_int_equal(room_refused(room), 0);
    agent_start(room);
    books_expect_ends(room, 1, 0, 0);
}

static void threads_end_in_every_way(void **state)
{
    static const char *const ways[] = {"pthread_exit", "destructor", "cancel", "raw"};
    struct room *room = *state;

    agent_start(room);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) - SANITIZED; i++) {
        uint32_t results = room->counters->result_count;
        room_run(room, i % 2 ? "threads-static" : "threads", "400", "8", ways[i], NULL);
        assert_true(room_result(room, results + 2) <= room_result(room, results) + 40);
        assert_int_equal(room_result(room, results + 1), room_result(room, results + 3));
    }
    books_await_ended(room);
    books_expect_complete(room, 0);
    expect_few_lanes(room, 64);
    /* a bare system call ends a thread without the library's knowing: nothing is lost, but that is no clean end */
    books_expect_text(room, SANITIZED ? "clean,clean,clean" : "clean,clean,clean,died",
                      "SELECT group_concat(ended) FROM (SELECT ended FROM clients ORDER BY id)");
}

static void cancellation_does_not_act_inside(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_BLOCK_MS", "20");
    room_run(room, "threads", "cancelled", NULL);
    assert_int_equal(room_result(room, 0), 1);
    /* again with an agent that is there and does not drain: blocking */
    agent_start(room);
    agent_pause(room);
    room_run(room, "threads-static", "cancelled", NULL);
    assert_int_equal(room_result(room, 1), 1);
    agent_resume(room);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended <> 'clean'"), 0);
}

static void more_threads_than_lanes(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_LANES", "4");
    agent_start(room);
    struct program *client = room_start(room, "client", "hold=4", "hold=3", "stage=1", "await=1", "release",
                                        "stage=2", "await=2", "hold=4", "release", "exit=0", NULL);
    room_await_stage(room, 1);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(room_result(room, i), 0);
    for (uint32_t i = 4; i < 7; i++)
        assert_int_equal(room_result(room, i), -EUSERS);
    /* another process finds none either */
    room_run(room, "client", "record=5", "shutdown=0", "exit=0", NULL);
    assert_int_equal(room->counters->refused[EUSERS], 3 + 5);
    room_go(room, 1);
    room_await_stage(room, 2);
    /* they come free again */
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    for (uint32_t i = 8; i < 12; i++)
        assert_int_equal(room_result(room, i), 0);
    books_await_ended(room);
    wait_until(books_number(room, "SELECT sum(refused_no_lane) FROM arenas") == 8);
    books_expect_complete(room, 8);
    books_expect_text(room, "8", "SELECT records FROM losses WHERE cause = 'no_lane'");
}

static void lanes_of_killed_processes_come_free(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_LANES", "2");
    agent_start(room);
    for (int i = 0; i < 20; i++) {
        struct program *client = room_start(room, "client", "record=3", "together=1,3", "raise=9", NULL);
        room_expect_signal(room, client, SIGKILL);
    }
    books_expect_ends(room, 0, 20, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(ten_thousand_short_threads), room_test(short_threads_without_an_agent),
        room_test(threads_end_in_every_way),   room_test(cancellation_does_not_act_inside),
        room_test(more_threads_than_lanes),    room_test(lanes_of_killed_processes_come_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
