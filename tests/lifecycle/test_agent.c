/* The agent: killed and restarted under load, absent and back, stopped in good order. */
#include "support/test.h"

#include "support/tries.h"

static void restarted_under_load_twenty_times(void **state)
{
    struct room *room = *state;
    struct program *clients[4];

    agent_start(room);
    for (int i = 0; i < 4; i++)
        clients[i] = room_start(room, i % 2 ? "client" : "client-static", "background=2", "await=1", "stop",
                                "exit=0", NULL);
    for (int i = 0; i < 20; i++) {
        uint64_t before = room_acknowledged(room);
        wait_until(room_acknowledged(room) >= before + 200);
        agent_kill(room);
        if (i % 5 == 4) /* nobody there for a while: lanes fill up, and what is refused is counted */
            wait_until(room_refused(room) > 0);
        agent_start(room);
    }
    room_go(room, 1);
    for (int i = 0; i < 4; i++)
        room_expect_exit(room, clients[i], 0);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean' AND complete = 1"), 4);
    tries(20, "restarts of the agent");
}

static void killed_together_with_its_clients(void **state)
{
    struct room *room = *state;

    for (int i = 0; i < 8; i++) {
        agent_start(room);
        uint64_t before = room_acknowledged(room);
        struct program *client =
            room_start(room, i % 2 ? "client" : "client-static", "background=3", "await=9", NULL);
        wait_until(room_acknowledged(room) >= before + 300);
        if (i % 2) {
            agent_kill(room);
            room_kill(room, client);
        } else {
            room_kill(room, client);
            agent_kill(room);
        }
    }
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 8 * 3));
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died' AND complete = 1"),
                     8);
    tries(8, "agents killed together with their clients");
}

static void absent_then_back(void **state)
{
    struct room *room = *state;
    struct program *client;

    /* before there is any agent */
    client = room_start(room, "client", "record=100", "stage=1", "await=1", "record=100", "stage=2",
                        "await=2", "record=100", "shutdown=-1", "exit=0", NULL);
    room_await_stage(room, 1);
    room_run(room, "client", "record=50", "exit=0", NULL);
    agent_start(room);
    books_await_drained(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 150);
    /* gone again */
    agent_stop(room);
    room_go(room, 1);
    room_await_stage(room, 2);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 150);
    agent_start(room);
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    assert_int_equal(room_result(room, 0),
                     1); /* TALLY_DURABLE: the client has found the board that was not there */
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 350);
    books_expect_ends(room, 2, 0, 0);
    tries(250, "records without an agent");
}

/* A stopped agent has drained what there was; nothing is waiting behind it. */
static void stopping_drains(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client = room_start(room, "client", "record=200", "stage=1", "await=1", "exit=0", NULL);
    room_await_stage(room, 1);
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 200);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    agent_recover(room);
    books_expect_ends(room, 1, 0, 0);
}

static void recovery_without_an_agent(void **state)
{
    struct room *room = *state;

    room_run(room, "client", "record=30", "exit=0", NULL);
    room_expect_signal(room, room_start(room, "client", "record=30", "begin", "raise=9", NULL), SIGKILL);
    agent_recover(room);
    books_expect_ends(room, 1, 1, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 61);
    /* again: nothing changes */
    agent_recover(room);
    books_expect_ends(room, 1, 1, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 61);
}

static void many_rounds_round_the_ring(void **state)
{
    struct room *room = *state;

    /* some fifty times the length of a small ring, through one lane */
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    room_run(room, "client", "record=6000", "shutdown=-1", "exit=0", NULL);
    assert_int_equal(room_refused(room), 0);
    books_expect_ends(room, 1, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 6000);
}

/* The arena's name is taken away: what was in it is drained, what comes goes to a new one. */
/* An older database is put back: what it does not know is read again from the ring, which the board has long given free. */
static void a_backup_put_back_reads_the_ring_again(void **state)
{
    struct room *room = *state;
    char command[4 * ROOM_PATH_MAX];

    agent_start(room);
    room_run(room, "client", "record=10", "shutdown=-1", "exit=0", NULL);
    agent_stop(room);
    snprintf(command, sizeof(command), "cp '%s/usage.db' '%s/kept.db'", room->state, room->directory);
    assert_int_equal(system(command), 0);
    agent_start(room);
    room_run(room, "client", "record=15", "shutdown=-1", "exit=0", NULL);
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 25);
    snprintf(command, sizeof(command), "rm -f '%s'/usage.db* && cp '%s/kept.db' '%s/usage.db'", room->state,
             room->directory, room->state);
    assert_int_equal(system(command), 0);
    agent_start(room);
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 25);
    assert_int_equal(books_number(room, "SELECT coalesce(sum(records), 0) FROM losses"), 0);
    tries(15, "records read again for an older database");
}

static void arena_deleted_in_use(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client = room_start(room, "client", "record=10", "stage=1", "await=1", "record=10",
                                        "stage=2", "await=2", "together=1,10", "exit=0", NULL);
    room_await_stage(room, 1);
    assert_int_equal(unlink(room->arena_path), 0);
    room_go(room, 1);
    room_await_stage(room, 2);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 20);
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 30);
    wait_until(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'") == 1);
    assert_int_equal(books_number(room, "SELECT count(*) FROM arenas"), 2);
    assert_int_equal(books_number(room, "SELECT coalesce(sum(records), 0) FROM losses"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(restarted_under_load_twenty_times),
        room_test(killed_together_with_its_clients),
        room_test(absent_then_back),
        room_test(stopping_drains),
        room_test(recovery_without_an_agent),
        room_test(many_rounds_round_the_ring),
        room_test(a_backup_put_back_reads_the_ring_again),
        room_test(arena_deleted_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
