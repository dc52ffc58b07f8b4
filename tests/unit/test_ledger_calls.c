/* Calls in flight: merged in any order, aborted, amended; the rollup always what the rows say. */
#include "unit/ledger_kit.h"

#define BEGIN    TALLY_KIND_CALL_BEGIN
#define PROGRESS TALLY_KIND_CALL_PROGRESS
#define END      TALLY_KIND_CALL_END

#define ROW                                                                                                  \
    "SELECT provider,input_tokens,output_tokens,start_time_unix_ns/1000000000,duration_ns,status,flags,"     \
    "call_records,call_records_total,amendable IS NULL FROM usage"

static void a_call_in_one_transaction_is_one_row(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_call(kit, 0, BEGIN, 'c', 0, -1, -1);
    add_call(kit, 0, PROGRESS, 'c', 1, 7, -1);
    add_call(kit, 0, END, 'c', 0, 9, 2);
    kit_drain(kit);
    kit_expect(kit, ROW, "anthropic|100|9|1700000000|NULL|ok|0|2|2|1");
    kit_expect(kit, "SELECT sequence,lane_id,client_id,call_step,time_unix_ns/1000000000 FROM usage",
               "4|1|1|4294967295|1700000060");
    kit_expect(kit, "SELECT count(*) FROM open_calls", "0");
    kit_expect_rollup_exact(kit);
}

static void a_call_lives_across_transactions_and_restarts(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_call(kit, 0, BEGIN, 'c', 0, -1, -1);
    kit_drain(kit);
    kit_expect(kit,
               "SELECT provider,input_tokens,output_tokens,call_step,begun_unix_ns,call_records,status FROM "
               "open_calls",
               "anthropic|100|NULL|0|1700000000000000000|1|NULL");
    kit_restart(kit);
    add_call(kit, 0, PROGRESS, 'c', 1, 7, -1);
    add_call(kit, 0, PROGRESS, 'c', 2, 8, -1);
    kit_drain(kit);
    kit_expect(kit, "SELECT provider,output_tokens,call_step,call_records FROM open_calls",
               "anthropic|8|2|3");
    kit_restart(kit);
    struct ledger_figures figures;
    ledger_figures(kit->ledger, &figures);
    assert_int_equal(figures.open_calls, 1);
    add_call(kit, 0, END, 'c', 0, -1, 3);
    kit_drain(kit);
    kit_expect(kit, ROW, "anthropic|100|8|1700000000|NULL|ok|0|3|3|1");
    kit_expect(kit, "SELECT count(*) FROM open_calls", "0");
    kit_expect_rollup_exact(kit);
}

/* Every order of four records on four lanes, with each way to cut it into transactions, gives the same row. */
static void any_order_gives_the_same_row(void **state)
{
    struct kit *kit = *state;
    int call = 0;
    for (uint32_t lane = 0; lane < 4; lane++)
        add_client(kit, lane, 's', 1, -1);
    kit_drain(kit);
    for (int order = 0; order < 256; order++) {
        int lanes[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3};
        if ((1 << lanes[0] | 1 << lanes[1] | 1 << lanes[2] | 1 << lanes[3]) != 15)
            continue;
        for (int cuts = 0; cuts < 8; cuts++, call++) {
            struct pen pens[4] = {call_pen(BEGIN, 'c', 0, 1, -1), call_pen(PROGRESS, 'c', 1, 5, -1),
                                  call_pen(PROGRESS, 'c', 2, 7, -1), call_pen(END, 'c', 0, 9, 3)};
            pen_text(&pens[1], TALLY_FIELD_response_model, "old");
            pen_text(&pens[2], TALLY_FIELD_response_model, "new");
            pen_u32(&pens[1], TALLY_FIELD_flags, TALLY_FLAG_STREAMED | TALLY_FLAG_ESTIMATED);
            pen_u32(&pens[3], TALLY_FIELD_http_status, 200);
            for (int i = 0; i < 4; i++) {
                /* another call each time */
                pens[i].bytes[sizeof(struct tally_record_header) + sizeof(struct tally_field)] =
                    (unsigned char)(call >> 8);
                pens[i].bytes[sizeof(struct tally_record_header) + sizeof(struct tally_field) + 1] =
                    (unsigned char)call;
                tape_add(kit, (uint32_t)i, &pens[i]);
            }
            for (int i = 0; i < 4; i++) {
                kit_feed(kit, (uint32_t)lanes[i], 1);
                if (cuts >> i & 1)
                    kit_commit(kit);
            }
        }
    }
    kit_commit(kit);
    assert_int_equal(call, 24 * 8);
    kit_expect(kit,
               "SELECT DISTINCT "
               "provider,response_model,input_tokens,output_tokens,start_time_unix_ns/1000000000,status,"
               "http_status,flags,call_step,call_records,call_records_total,amendable,time_unix_ns/"
               "1000000000 FROM usage",
               "anthropic|new|100|9|1700000000|ok|200|1|4294967295|3|3|NULL|1700000060");
    kit_expect(kit, "SELECT count(*) FROM usage", "192");
    kit_expect(kit, "SELECT count(*) FROM open_calls", "0");
    kit_expect_rollup_exact(kit);
}

static void an_end_alone_waits_for_what_it_says_is_missing(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_client(kit, 1, 's', 1, -1);
    add_call(kit, 0, END, 'a', 0, 9, 0); /* its begin was refused: nothing is missing */
    add_call(kit, 0, END, 'b', 0, 9, 2);
    add_call(kit, 0, END, 'c', 0, 9, -1); /* an older library does not say */
    kit_drain(kit);
    kit_expect(kit, "SELECT amendable IS NULL FROM usage ORDER BY id", "1\n0\n0");
    kit_restart(kit);
    add_call(kit, 1, PROGRESS, 'b', 1, 5, -1);
    add_call(kit, 1, BEGIN, 'b', 0, 3, -1);
    add_call(kit, 1, BEGIN, 'c', 0, 3, -1);
    kit_drain(kit);
    kit_expect(kit, ROW " ORDER BY id",
               "NULL|NULL|9|1700000060|NULL|ok|0|0|0|1\n"
               "anthropic|100|9|1700000000|NULL|ok|0|2|2|1\n"
               "anthropic|100|9|1700000000|NULL|ok|0|1|NULL|0");
    kit_expect(kit, "SELECT count(*) FROM open_calls", "0");
    kit_expect_rollup_exact(kit);
}

static void begin_end_on_different_lanes_and_sessions(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_client(kit, 1, 't', 1, -1); /* a forked child */
    add_call(kit, 0, BEGIN, 'c', 0, -1, -1);
    add_call(kit, 1, PROGRESS, 'c', 1, 5, -1);
    kit_drain(kit);
    kit_leave(kit, 0, true);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients ORDER BY id", "clean\nNULL");
    kit_expect(kit, "SELECT client_id FROM open_calls", "2"); /* the child has it now */
    add_call(kit, 1, END, 'c', 0, 9, 2);
    kit_drain(kit);
    kit_expect(kit, "SELECT client_id,status FROM usage", "2|ok");
    kit_expect_rollup_exact(kit);
}

static void calls_of_the_dead_are_closed_as_aborted(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_client(kit, 1, 's', 1, -1);
    add_call(kit, 0, BEGIN, 'c', 0, -1, -1);
    add_call(kit, 0, PROGRESS, 'c', 3, 7, -1);
    add_call(kit, 0, BEGIN, 'd', 0, -1, -1);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT count(*) FROM usage", "0"); /* another thread may still end it */
    kit_leave(kit, 1, false);
    kit_tick(kit);
    kit_expect(kit, ROW " ORDER BY call_id",
               "anthropic|100|7|1700000000|3000000000|aborted|2|2|NULL|0\n"
               "anthropic|100|NULL|1700000000|0|aborted|2|1|NULL|0");
    kit_expect(kit, "SELECT count(*) FROM open_calls", "0");
    kit_expect_rollup_exact(kit);
    struct ledger_figures figures;
    ledger_figures(kit->ledger, &figures);
    assert_int_equal(figures.aborted_calls, 2);
    assert_int_equal(figures.open_calls, 0);
}

static void an_end_overrides_aborted(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_client(kit, 1, 't', 1, -1);
    add_call(kit, 0, BEGIN, 'c', 0, -1, -1);
    add_call(kit, 0, PROGRESS, 'c', 1, 7, -1);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_tick(kit);
    kit_restart(kit);
    add_call(kit, 1, PROGRESS, 'c', 2, 8, -1); /* late, from a forked child: still aborted */
    kit_drain(kit);
    kit_expect(kit, ROW, "anthropic|100|8|1700000000|2000000000|aborted|2|3|NULL|0");
    kit_expect_rollup_exact(kit);
    struct pen p = call_pen(END, 'c', 0, 9, 3);
    pen_i64(&p, TALLY_FIELD_duration_ns, 60 * SECOND);
    tape_add(kit, 1, &p);
    kit_drain(kit);
    kit_expect(kit, ROW, "anthropic|100|9|1700000000|60000000000|ok|0|3|3|1");
    kit_expect(kit, "SELECT client_id,lane_id,sequence,call_step FROM usage", "2|2|3|4294967295");
    kit_expect(kit, "SELECT status,calls,estimated,output_tokens FROM usage_hourly", "ok|1|0|9");
    kit_expect_rollup_exact(kit);
}

static void aborted_and_ended_in_one_transaction(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_call(kit, 0, BEGIN, 'c', 0, -1, -1);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_commit(kit);
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME), 0);
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME), 0);
    assert_true(ledger_in_transaction(kit->ledger));
    add_call(kit, 0, END, 'c', 0, 9, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT status,calls FROM usage_hourly", "ok|1");
    kit_expect_rollup_exact(kit);
}

static void what_the_caller_calls_an_estimate_stays_one(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    struct pen p = call_pen(BEGIN, 'c', 0, -1, -1);
    pen_u32(&p, TALLY_FIELD_flags, TALLY_FLAG_STREAMED);
    tape_add(kit, 0, &p);
    p = call_pen(PROGRESS, 'c', 1, 7, -1);
    pen_u32(&p, TALLY_FIELD_flags, TALLY_FLAG_ESTIMATED);
    tape_add(kit, 0, &p);
    add_call(kit, 0, END, 'c', 0, -1, 2); /* knows no counts: the estimate stands */
    p = call_pen(PROGRESS, 'd', 1, 7, -1);
    pen_u32(&p, TALLY_FIELD_flags, TALLY_FLAG_ESTIMATED);
    tape_add(kit, 0, &p);
    add_call(kit, 0, END, 'd', 0, 8, 1); /* knows better */
    kit_drain(kit);
    kit_expect(kit, "SELECT flags,output_tokens FROM usage ORDER BY id", "3|7\n0|8");
    /* Aborted, and then ended: the mark that was the caller's own comes back with the caller's word. */
    p = call_pen(PROGRESS, 'e', 1, 7, -1);
    pen_u32(&p, TALLY_FIELD_flags, TALLY_FLAG_ESTIMATED);
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_tick(kit);
    add_call(kit, 0, END, 'e', 0, -1, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT flags,status FROM usage WHERE id=3", "2|ok");
    /* The agent's own mark goes, though the end brings no counts. */
    add_call(kit, 0, PROGRESS, 'f', 1, 7, -1);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT flags,status FROM usage WHERE id=4", "2|aborted");
    add_call(kit, 0, END, 'f', 0, -1, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT flags,status FROM usage WHERE id=4", "0|ok");
    kit_expect_rollup_exact(kit);
}

/* Nobody said whose API it was when the process died; what is worked out gives way to what is said later. */
static void a_cut_call_is_its_servers(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    for (int name = 'c'; name <= 'd'; name++) {
        struct pen p = call_pen(PROGRESS, (char)name, 1, 7, -1);
        pen_text(&p, TALLY_FIELD_server_address, "api.openai.com");
        tape_add(kit, 0, &p);
    }
    kit_drain(kit);
    kit_expect(kit, "SELECT provider FROM open_calls", "NULL\nNULL");
    kit_leave(kit, 0, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT provider,status FROM usage", "openai|aborted\nopenai|aborted");
    kit_expect_rollup_exact(kit);
    kit_restart(kit);
    add_call(kit, 0, BEGIN, 'c', 0, -1, -1); /* which says: anthropic, by whatever server */
    add_call(kit, 0, END, 'c', 0, 9, 2);
    add_call(kit, 0, END, 'd', 0, 9, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT provider,status,amendable FROM usage ORDER BY call_id",
               "anthropic|ok|NULL\nopenai|ok|NULL");
    kit_expect_rollup_exact(kit);
}

static void truncated_fields_keep_their_names(void **state)
{
    struct kit *kit = *state;
    uint64_t json = UINT64_C(1) << 63;
    add_client(kit, 0, 's', 1, -1);
    struct pen p = call_pen(BEGIN, 'c', 0, -1, -1);
    pen_text(&p, TALLY_FIELD_tags, "a=cut");
    pen_i64(&p, TALLY_FIELD_truncated, (int64_t)(json | UINT64_C(1) << TALLY_FIELD_tags));
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT truncated,usage_json FROM usage", "tags,usage_json|NULL");
    p = call_pen(END, 'c', 0, 9, 1);
    pen_text(&p, TALLY_FIELD_usage_json, "{}");
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit, "SELECT truncated,tags,usage_json FROM usage", "tags|a=cut|{}");
}

static void objects_calls_outlive_the_object_but_not_the_process(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    struct pen p = pen(TALLY_KIND_CLIENT, 1, KIT_TIME);
    pen_id(&p, TALLY_FIELD_session_id, 'x');
    tape_add(kit, 0, &p);
    for (int call = 'c'; call <= 'd'; call++) {
        p = call_pen(BEGIN, (char)call, 0, -1, -1);
        p.bytes[offsetof(struct tally_record_header, client)] = 1;
        tape_add(kit, 0, &p);
    }
    p = pen(TALLY_KIND_CLIENT_END, 1, KIT_TIME);
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_restart(kit);
    add_call(kit, 0, END, 'c', 0, 9, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT count(*) FROM open_calls", "1");
    kit_leave(kit, 0, true);
    kit_tick(kit);
    kit_expect(kit, "SELECT status,client_id FROM usage ORDER BY id", "ok|1\naborted|2");
    kit_expect_rollup_exact(kit);
}

static void a_forged_tangle_of_sessions_does_no_harm(void **state)
{
    struct kit *kit = *state;
    struct pen p;
    add_client(kit, 0, 's', 1, -1);
    for (int round = 0; round < 20; round++)
        for (int name = 's'; name <= 'v'; name++) {
            p = pen(TALLY_KIND_CLIENT, (uint16_t)(round % 3), KIT_TIME + round);
            pen_id(&p, TALLY_FIELD_session_id, (char)name);
            tape_add(kit, 0, &p);
            add_call(kit, 0, round % 2 ? BEGIN : PROGRESS, (char)name, 1, round, -1);
            p = pen(TALLY_KIND_CLIENT_END, (uint16_t)(round % 4), KIT_TIME);
            pen_id(&p, TALLY_FIELD_session_id, (char)('s' + (name + round) % 4));
            tape_add(kit, 0, &p);
            kit_feed(kit, 0, -1);
            if (round % 3 == 0)
                kit_leave(kit, 0, round % 2);
            if (round % 5 == 0)
                kit_tick(kit);
            if (round % 7 == 0)
                kit_restart(kit);
        }
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT sequence-persisted-lost FROM lanes", "0");
    kit_expect(kit, "SELECT count(*) FROM clients WHERE written<>persisted", "0");
    kit_expect(kit, "SELECT count(*) FROM open_calls", "0");
    kit_expect_rollup_exact(kit);
}

#define kit_test(function) cmocka_unit_test_setup_teardown(function, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_call_in_one_transaction_is_one_row),
        kit_test(a_call_lives_across_transactions_and_restarts),
        kit_test(any_order_gives_the_same_row),
        kit_test(an_end_alone_waits_for_what_it_says_is_missing),
        kit_test(begin_end_on_different_lanes_and_sessions),
        kit_test(calls_of_the_dead_are_closed_as_aborted),
        kit_test(an_end_overrides_aborted),
        kit_test(aborted_and_ended_in_one_transaction),
        kit_test(a_cut_call_is_its_servers),
        kit_test(what_the_caller_calls_an_estimate_stays_one),
        kit_test(truncated_fields_keep_their_names),
        kit_test(objects_calls_outlive_the_object_but_not_the_process),
        kit_test(a_forged_tangle_of_sessions_does_no_harm),
    };
    return cmocka_run_group_tests_name("ledger: calls", tests, NULL, NULL);
}
