/* fork, vfork: parent and child are clients of their own, and neither touches the other's records. */
#include "support/test.h"

#include "support/tries.h"

#include <tally/tally.h>

static void fork_in_a_threaded_process(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "forks", "threaded", "20", NULL);
    room_run(room, "forks-static", "threaded", "20", NULL);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    /* two processes of five threads, forty children, each a session of its own, ended cleanly */
    books_expect_text(room, "42|42",
                      "SELECT count(*) || '|' || count(DISTINCT session_id) FROM clients "
                      "WHERE ended = 'clean' AND complete = 1 AND parent_id IS NULL");
    books_expect_text(room, "40",
                      "SELECT count(*) FROM (SELECT 1 FROM usage GROUP BY client_id HAVING count(*) = 55 "
                      "AND count(DISTINCT user) = 1)");
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(room_result(room, i), TALLY_PUBLISHED);
}

static void children_of_children(void **state)
{
    struct room *room = *state;

    room_run(room, "forks", "tree", "8", NULL);
    agent_start(room);
    books_expect_ends(room, 9, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 8 * 7 + 5);
    /* a writer is a process, a process is a session */
    assert_int_equal(books_number(room, "SELECT count(*) FROM (SELECT DISTINCT client_id, user FROM usage)"),
                     9);
}

static void fork_in_a_signal_handler(void **state)
{
    struct room *room = *state;

    if (SANITIZED_THREADS)
        skip_because("ThreadSanitizer runs handlers later than the signal comes");
    agent_start(room);
    room_run(room, "forks", "handler", "150", NULL);
    room_run(room, "forks-static", "handler", "150", NULL);
    books_await_ended(room);
    /* what the handler itself tried in the child may have been refused as reentered: counted or not on whose lane */
    struct arena_copy copy;
    assert_true(arena_copy_read(&copy, room->arena_path));
    uint64_t refused = copy.refused_full + copy.refused[COPY_REENTERED];
    assert_int_equal(copy.refused_full, room_refused(room));
    arena_copy_free(&copy);
    books_expect_complete(room, refused);
    books_expect_text(room, "302", "SELECT count(*) FROM clients WHERE ended = 'clean'");
    assert_int_equal(books_number(room, "SELECT count(*) FROM (SELECT user FROM usage WHERE user LIKE 'w%%' "
                                        "GROUP BY user HAVING count(*) = 30)"),
                     300);
    tries(300, "forks in a signal handler");
}

static void vfork_child_records_as_its_parent(void **state)
{
    struct room *room = *state;

    if (SANITIZED_THREADS)
        skip_because("ThreadSanitizer turns vfork into fork");
    room_run(room, "forks", "vfork", NULL);
    room_run(room, "forks-static", "vfork", NULL);
    assert_int_equal(room_acknowledged(room), 30);
    agent_start(room);
    books_expect_ends(room, 2, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 30);
}

static void vfork_child_takes_no_lane(void **state)
{
    struct room *room = *state;

    if (SANITIZED_THREADS)
        skip_because("ThreadSanitizer turns vfork into fork");
    room_run(room, "forks", "vfork-first", NULL);
    assert_int_equal(room_acknowledged(room), 5);
    assert_int_equal(room->counters->refused[EAGAIN], 5);
    agent_start(room);
    books_expect_ends(room, 1, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 5);
}

static void a_child_that_records_nothing_is_nobody(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "forks", "silent", NULL);
    assert_int_equal(room_result(room, 0), TALLY_DURABLE);
    books_expect_ends(room, 1, 0, 0);
}

static void a_client_object_in_parent_and_child(void **state)
{
    struct room *room = *state;

    agent_start(room);
    room_run(room, "forks", "object", NULL);
    /* two processes, and the object once in each */
    books_expect_ends(room, 4, 0, 0);
    books_expect_text(room, "2|2",
                      "SELECT count(*) || '|' || count(DISTINCT parent_id) FROM clients "
                      "WHERE service = 'embedded'");
    books_expect_text(
        room, "4,8",
        "SELECT group_concat(n) FROM (SELECT count(*) n FROM usage u JOIN clients c ON c.id = u.client_id "
        "WHERE c.service = 'embedded' GROUP BY c.id ORDER BY n)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(fork_in_a_threaded_process),
        room_test(children_of_children),
        room_test(fork_in_a_signal_handler),
        room_test(vfork_child_records_as_its_parent),
        room_test(vfork_child_takes_no_lane),
        room_test(a_child_that_records_nothing_is_nobody),
        room_test(a_client_object_in_parent_and_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
