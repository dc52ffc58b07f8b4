/* Signals: death at any moment, SIGTERM and SIGINT with and without the library's handlers, the program's own ones. */
#include "support/test.h"

#include <tally/tally.h>

static const char *const linkages[] = {"client", "client-static"};

static void sigkill_right_after_a_record(void **state)
{
    struct room *room = *state;

    agent_start(room);
    for (int i = 0; i < 20; i++) {
        struct program *client = room_start(room, linkages[i % 2], "record=1", "raise=9", NULL);
        room_expect_signal(room, client, SIGKILL);
    }
    books_expect_ends(room, 0, 20, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 20);
}

static void sigkill_while_threads_record(void **state)
{
    struct room *room = *state;

    agent_start(room);
    for (int i = 0; i < 10; i++) {
        struct program *client = room_start(room, linkages[i % 2], "background=4", "await=999", NULL);
        uint64_t before = room_acknowledged(room);
        wait_until(room_acknowledged(room) >= before + 500 * (uint64_t)(i + 1));
        room_kill(room, client);
    }
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 10 * 4));
    books_expect_text(room, "10", "SELECT count(*) FROM clients WHERE ended = 'died' AND complete = 1");
}

/* The exit status is the signal's; with the library's handlers the end is clean. */
static void die_of(struct room *room, int signal_number, const char *first_step, int64_t clean)
{
    char raise_step[32];

    snprintf(raise_step, sizeof(raise_step), "raise=%d", signal_number);
    agent_start(room);
    for (int linked = 0; linked < 2; linked++) {
        struct program *client = room_start(room, linkages[linked], first_step, "record=5", "together=3,5",
                                            raise_step, "stage=9", "exit=0", NULL);
        room_expect_signal(room, client, signal_number);
    }
    assert_int_equal(room->counters->stage, 0);
    books_expect_ends(room, clean, 2 - clean, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 40);
}

static void sigterm_asked_for(void **state)
{
    room_set(*state, "TALLY_SIGNALS", "1");
    die_of(*state, SIGTERM, "record=0", 2);
}

static void sigint_asked_for(void **state)
{
    room_set(*state, "TALLY_SIGNALS", "1");
    die_of(*state, SIGINT, "record=0", 2);
}

static void sigterm_asked_for_in_options(void **state)
{
    die_of(*state, SIGTERM, "init=signals", 2);
}

static void sigterm_not_asked_for_loses_nothing(void **state)
{
    die_of(*state, SIGTERM, "record=0", 0);
}

static void sigint_not_asked_for_loses_nothing(void **state)
{
    die_of(*state, SIGINT, "record=0", 0);
}

static void sighup_is_not_ours(void **state)
{
    room_set(*state, "TALLY_SIGNALS", "1");
    die_of(*state, SIGHUP, "record=0", 0);
}

static void sigterm_while_threads_record(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_SIGNALS", "1");
    agent_start(room);
    for (int i = 0; i < 10; i++) {
        uint64_t before = room_acknowledged(room);
        struct program *client = room_start(room, linkages[i % 2], "background=4", "await=999", NULL);
        wait_until(room_acknowledged(room) >= before + 500);
        assert_int_equal(kill(client->pid, i % 3 ? SIGTERM : SIGINT), 0);
        room_expect_signal(room, client, i % 3 ? SIGTERM : SIGINT);
    }
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 10 * 4));
}

static void handler_of_the_program_is_untouched(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_SIGNALS", "1");
    /* installed before the library looks, and after */
    room_run(room, "client", "handler=15", "handler=2", "record=1", "raise=15", "raise=2", "record=1",
             "exit=0", NULL);
    room_run(room, "client", "record=1", "handler=15", "raise=15", "record=1", "exit=0", NULL);
    assert_int_equal(room->counters->result_count, 3);
    assert_int_equal(room_result(room, 0), SIGTERM);
    assert_int_equal(room_result(room, 1), SIGINT);
    assert_int_equal(room_result(room, 2), SIGTERM);
    agent_start(room);
    books_expect_ends(room, 2, 0, 0);
}

static void ignored_signals_stay_ignored(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_SIGNALS", "1");
    room_run(room, "client", "ignore=15", "ignore=2", "record=1", "raise=15", "raise=2", "record=1", "exit=0",
             NULL);
    room_run(room, "client", "record=1", "ignore=15", "raise=15", "record=1", "exit=0", NULL);
    agent_start(room);
    books_expect_ends(room, 2, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 4);
}

static void blocked_signals_wait(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_SIGNALS", "1");
    room_run(room, "client", "block=15", "record=1", "raise=15", "record=4", "exit=0", NULL);
    agent_start(room);
    books_expect_ends(room, 1, 0, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 5);
}

static void debug_says_so_and_nothing_else_is_printed(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX];
    char text[1000] = "";

    room_set(room, "TALLY_SIGNALS", "1");
    room_set(room, "TALLY_DEBUG", "1");
    room->talkative = true;
    struct program *client = room_start(room, "client", "record=1", "shutdown=0", "raise=15", NULL);
    room_expect_signal(room, client, SIGTERM);
    snprintf(path, sizeof(path), "%s/output-0", room->directory);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "shutdown"));
    assert_non_null(strstr(text, "signal 15"));
    /* whole lines, all of them ours */
    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line = text; *line; line = strchr(line, '\n') + 1)
        assert_int_equal(strncmp(line, "tally: ", 7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(sigkill_right_after_a_record),
        room_test(sigkill_while_threads_record),
        room_test(sigterm_asked_for),
        room_test(sigint_asked_for),
        room_test(sigterm_asked_for_in_options),
        room_test(sigterm_not_asked_for_loses_nothing),
        room_test(sigint_not_asked_for_loses_nothing),
        room_test(sighup_is_not_ours),
        room_test(sigterm_while_threads_record),
        room_test(handler_of_the_program_is_untouched),
        room_test(ignored_signals_stay_ignored),
        room_test(blocked_signals_wait),
        room_test(debug_says_so_and_nothing_else_is_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
