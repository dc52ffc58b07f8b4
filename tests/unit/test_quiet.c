/* Which lanes are looked at while the agent sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/drain_kit.h"

/* Asleep, and lane 0, whose turn is the first, quiet, its owner's process waited for. */
static struct mortal *fall_asleep(void)
{
    struct mortal *mortal = calloc(1, sizeof *mortal);
    assert_non_null(mortal);
    hand_record(&arena, 0, 128);
    rounds(2);
    served.asleep = true;
    served.asleep_at = arena.header->doorbell;
    served.lanes[0].changed_ns -= 10 * SECOND_NS;
    *mortal = (struct mortal){.fd = -1, .references = 2}; /* one is the test's */
    served.lanes[0].mortal = mortal;
    assert_int_equal(book.records, 1);
    return mortal;
}

/* What comes without a ring waits for its lane's turn. */
static void a_quiet_lane_has_its_turn(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    hand_record(&arena, 0, 128);
    for (collector.turn = 2; collector.turn <= LOOK_TURNS; collector.turn++)
        rounds(1);
    assert_int_equal(book.records, 1);
    collector.turn = 1;
    rounds(1);
    assert_int_equal(book.records, 2);
    /* now it is not quiet */
    collector.turn = 2;
    hand_record(&arena, 0, 128);
    rounds(1);
    assert_int_equal(book.records, 3);
    /* and awake all are looked at, always */
    served.lanes[0].changed_ns -= 10 * SECOND_NS;
    collector.turn = 0;
    hand_record(&arena, 0, 128);
    rounds(1);
    assert_int_equal(book.records, 4);
    free(mortal);
}

/* Who is looked at out of turn, though its lane is quiet. */
static void a_quiet_lane_is_not_left_alone(struct mortal *mortal)
{
    collector.turn = 2;
    hand_record(&arena, 0, 128);
    rounds(1);
    assert_int_equal(book.records, 2);
    free(mortal);
}

static void a_moved_doorbell_is_a_ring(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    arena.header->doorbell++;
    a_quiet_lane_is_not_left_alone(mortal);
    assert_true(collector.rung);
}

static void no_turns_without_a_doorbell(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    served.doorbell.broken = 1;
    a_quiet_lane_is_not_left_alone(mortal);
}

static void no_turns_where_nobody_is_told_to_ring(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    served.asleep = false;
    a_quiet_lane_is_not_left_alone(mortal);
}

static void a_lane_taken_anew(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    hand_entry(&arena, 0)->tenures++;
    a_quiet_lane_is_not_left_alone(mortal);
}

static void an_owner_that_is_not_waited_for(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    served.lanes[0].mortal = NULL;
    a_quiet_lane_is_not_left_alone(mortal);
}

static void an_owner_that_has_ended(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    mortal->gone = true;
    collector.deaths.gone = 1;
    a_quiet_lane_is_not_left_alone(mortal);
    assert_null(served.lanes[0].mortal);
}

static void a_lane_at_which_something_is_odd(void **state)
{
    (void)state;
    struct mortal *mortal = fall_asleep();
    served.lanes[0].suspect = true;
    a_quiet_lane_is_not_left_alone(mortal);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_quiet_lane_has_its_turn),   TEST(a_moved_doorbell_is_a_ring),
        TEST(no_turns_without_a_doorbell), TEST(no_turns_where_nobody_is_told_to_ring),
        TEST(a_lane_taken_anew),           TEST(an_owner_that_is_not_waited_for),
        TEST(an_owner_that_has_ended),     TEST(a_lane_at_which_something_is_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
