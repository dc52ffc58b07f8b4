/* The balance of the books: whatever does not add up must show. */
#include "../../tools/tally/audit_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* One arena, one lane, one client: 100 records committed, 90 kept, 10 lost to a named cause; 5 more wait and 3
 * were refused. */
static void make_books(struct audit *audit)
{
    memset(audit, 0, sizeof(*audit));
    audit->arena_count = audit->lane_count = audit->client_count = 1;
    audit->arenas = calloc(1, sizeof(*audit->arenas));
    audit->lanes = calloc(1, sizeof(*audit->lanes));
    audit->clients = calloc(1, sizeof(*audit->clients));
    audit->losses = calloc(2, sizeof(*audit->losses));
    audit->loss_count = 2;
    audit->arenas[0] =
        (struct audit_arena){.id = 1, .path = strdup("/dev/shm/x"), .there = true, .spill_uid = -1};
    audit->lanes[0] = (struct audit_lane){.id = 1,
                                          .sequence = 100,
                                          .persisted = 90,
                                          .lost = 10,
                                          .refused = 3,
                                          .client_id = 7,
                                          .sums.waiting = 5};
    audit->clients[0] = (struct audit_client){.id = 7,
                                              .session = strdup("77"),
                                              .refused = 3,
                                              .sums = {.written = 100, .persisted = 90, .lost = 10}};
    audit->losses[0] =
        (struct audit_loss){.cause = strdup("quarantined"), .numbered = true, .counted = true, .records = 10};
    audit->losses[1] = (struct audit_loss){.cause = strdup("lane_full"), .counted = true, .records = 3};
}

static void test_books_that_balance(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit_balance(&audit);
    assert_true(audit_clean(&audit));
    assert_true(audit.total.written == 108 && audit.total.persisted == 90);
    assert_true(audit.total.waiting == 5 && audit.total.lost == 13 && audit.total.unaccounted == 0);
    audit_free(&audit);
}

static void test_a_record_missing(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.lanes[0].persisted = 89;
    audit_balance(&audit);
    assert_false(audit_clean(&audit));
    assert_true(audit.total.unaccounted == 1 && audit.total.twice == 0);
    audit_free(&audit);
}

static void test_a_record_too_many(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.lanes[0].persisted = 91;
    audit_balance(&audit);
    assert_false(audit_clean(&audit));
    assert_true(audit.total.unaccounted == 0 && audit.total.twice == 1);
    audit_free(&audit);
}

/* One lane short by one, another over by one: the sums agree, the books do not. */
static void test_errors_do_not_cancel_out(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.lanes = realloc(audit.lanes, 2 * sizeof(*audit.lanes));
    audit.lanes[1] = (struct audit_lane){.id = 2, .lane = 1, .sequence = 50, .persisted = 51};
    audit.lane_count = 2;
    audit.lanes[0].persisted = 89;
    audit_balance(&audit);
    assert_false(audit_clean(&audit));
    assert_true(audit.total.unaccounted == 1 && audit.total.twice == 1);
    audit_free(&audit);
}

static void test_a_loss_needs_a_name(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.losses[0].records = 9;
    audit_balance(&audit);
    assert_false(audit_clean(&audit));
    assert_true(audit.total.unaccounted == 1);
    audit_free(&audit);
    make_books(&audit);
    audit.losses[1].records = 1;
    audit_balance(&audit);
    assert_true(audit.total.unaccounted == 2);
    audit_free(&audit);
}

static void test_refusals_on_no_lane(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.arenas[0].refused[TALLY_REFUSED_NO_LANE] = 4;
    audit_balance(&audit);
    assert_true(audit.total.unaccounted == 4);
    audit_free(&audit);
    make_books(&audit);
    audit.arenas[0].refused[TALLY_REFUSED_NO_LANE] = 4;
    audit.losses[1].lane = -1;
    audit.losses[1].records = 4;
    audit.lanes[0].refused = 0;
    audit_balance(&audit);
    assert_true(audit_clean(&audit));
    assert_true(audit.total.written == 109 && audit.total.lost == 14);
    audit_free(&audit);
}

static void test_a_client_that_does_not_add_up(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.clients[0].sums.written = 101;
    audit_balance(&audit);
    assert_false(audit_clean(&audit));
    assert_true(audit.clients[0].sums.unaccounted == 1);
    audit_free(&audit);
}

static void test_clients_and_lanes_disagree(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.clients[0].sums = (struct audit_sums){.written = 80, .persisted = 70, .lost = 10};
    audit_balance(&audit);
    assert_false(audit_clean(&audit));
    audit_free(&audit);
    make_books(&audit);
    audit.clients[0].sums = (struct audit_sums){.written = 80, .persisted = 70, .lost = 10};
    audit.clients_pruned = true;
    audit_balance(&audit);
    assert_true(audit_clean(&audit));
    audit_free(&audit);
}

static void test_a_damaged_lane_is_not_clean(void **state)
{
    struct audit audit;

    (void)state;
    make_books(&audit);
    audit.lanes[0].state = LANE_DAMAGED;
    audit.lanes[0].trouble = "no slot fits its tail";
    audit_balance(&audit);
    assert_false(audit_clean(&audit));
    assert_int_equal(audit.damaged, 1);
    audit_free(&audit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_books_that_balance),
        cmocka_unit_test(test_a_record_missing),
        cmocka_unit_test(test_a_record_too_many),
        cmocka_unit_test(test_errors_do_not_cancel_out),
        cmocka_unit_test(test_a_loss_needs_a_name),
        cmocka_unit_test(test_refusals_on_no_lane),
        cmocka_unit_test(test_a_client_that_does_not_add_up),
        cmocka_unit_test(test_clients_and_lanes_disagree),
        cmocka_unit_test(test_a_damaged_lane_is_not_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
