/* exec: what was recorded before it is kept, and the client's row says how it ended. */
#include "support/test.h"

static const char *const linkages[] = {"execs", "execs-static"};

/* Start it, wait until the agent has seen the exec while the process lives on, and let it end. */
static void exec_and_see(struct room *room, const char *scenario, int times)
{
    agent_start(room);
    for (int i = 0; i < times; i++) {
        struct program *program = room_start(room, linkages[i % 2], scenario, "10", NULL);
        room_await_stage(room, (uint32_t)i + 1);
        wait_until(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'exec'") == i + 1);
        assert_false(room_ended(program));
        room_go(room, (uint32_t)i + 1);
        room_expect_exit(room, program, 0);
    }
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 3 * (uint64_t)times));
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'exec' AND complete = 1"),
                     times);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean' AND complete = 1"), times);
    /* same process, another session */
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM clients a JOIN clients b USING (pid, process_start_time) "
                           "WHERE a.ended = 'exec' AND b.ended = 'clean'"),
        times);
}

static void exec_of_the_main_thread(void **state)
{
    exec_and_see(*state, "leader", 2);
}

static void exec_of_another_thread(void **state)
{
    exec_and_see(*state, "thread", 4);
}

static void exec_after_shutdown(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_go(room, 1);
    room_run(room, "execs", "clean", "10", NULL);
    books_await_ended(room);
    books_expect_complete(room, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE complete = 1"), 2);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died'"), 0);
}

/* Nobody looked while it happened: the lanes tell it later. */
static void exec_without_an_agent(void **state)
{
    struct room *room = *state;

    room_go(room, 2);
    room_run(room, "execs", "leader", "10", NULL);
    room_run(room, "execs", "thread", "10", NULL);
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 3));
    /* the process is gone by then, so an exec cannot be told from a death */
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'"), 2);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended IN ('exec', 'died')"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(exec_of_the_main_thread),
        room_test(exec_of_another_thread),

        room_test(exec_after_shutdown),
        room_test(exec_without_an_agent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
