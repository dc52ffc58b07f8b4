/* What the public calls promise where no record can be written just now. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <tally/tally.h>

#include "process.h"

static char arena[64];

static int make_room(void **state)
{
    (void)state;
    snprintf(arena, sizeof arena, "/tally-test-record-%d", (int)getpid());
    return setenv("TALLY_ARENA", arena, 1);
}

static int clear_room(void **state)
{
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "/dev/shm%s", arena);
    unlink(path);
    return 0;
}

/* As in a signal handler that interrupted a tally call of this thread. */
static void a_call_whose_begin_was_turned_away_is_recorded_by_its_end(void **state)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct tally_call call;
    struct tally_call other;
    (void)state;
    usage.provider = "openai";
    tally_thread.busy = 1;
    assert_int_equal(tally_call_begin(&call, &usage), -EBUSY);
    assert_int_equal(tally_call_begin(&other, &usage), -EBUSY);
    tally_thread.busy = 0;
    assert_memory_not_equal(&call, &other, sizeof call);
    assert_int_equal(tally_call_progress(&call, &usage), 0);
    assert_int_equal(tally_call_end(&call, &usage), 0);
    assert_int_equal(tally_call_end(&call, &usage), -EINVAL);
    assert_int_equal(tally_call_end(&other, NULL), 0);
}

static void an_end_that_was_turned_away_may_be_tried_again(void **state)
{
    struct tally_call call;
    (void)state;
    assert_int_equal(tally_call_begin(&call, NULL), 0);
    tally_thread.busy = 1;
    assert_int_equal(tally_call_end(&call, NULL), -EBUSY);
    tally_thread.busy = 0;
    assert_int_equal(tally_call_end(&call, NULL), 0);
}

static void options_come_before_the_first_record_or_not_at_all(void **state)
{
    struct tally_options options = TALLY_OPTIONS_INIT;
    struct tally_usage usage = TALLY_USAGE_INIT;
    (void)state;
    assert_int_equal(tally_record(&usage), 0);
    assert_int_equal(tally_init(&options), -EALREADY);
    assert_int_equal(tally_init(NULL), 0);
}

static void what_cannot_be_a_record_is_refused(void **state)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct tally_call never = {{0}};
    (void)state;
    assert_int_equal(tally_record(NULL), -EINVAL);
    usage.size = 8;
    assert_int_equal(tally_record(&usage), -EINVAL);
    usage.size = sizeof usage;
    usage.input_tokens = -2;
    assert_int_equal(tally_record(&usage), -ERANGE);
    usage.input_tokens = INT64_C(1000000000000001);
    assert_int_equal(tally_record(&usage), -ERANGE);
    usage.input_tokens = INT64_C(1000000000000000);
    assert_int_equal(tally_record(&usage), 0);
    usage.http_status = 600;
    assert_int_equal(tally_record(&usage), -ERANGE);
    assert_int_equal(tally_call_begin(NULL, NULL), -EINVAL);
    assert_int_equal(tally_call_end(&never, NULL), -EINVAL);
    assert_int_equal(tally_call_progress(NULL, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_whose_begin_was_turned_away_is_recorded_by_its_end),
        cmocka_unit_test(an_end_that_was_turned_away_may_be_tried_again),
        cmocka_unit_test(options_come_before_the_first_record_or_not_at_all),
        cmocka_unit_test(what_cannot_be_a_record_is_refused),
    };
    return cmocka_run_group_tests(tests, make_room, clear_room);
}
