/* The ledger: sessions, tenures, positions, losses. Calls in flight: test_ledger_calls.c; endings: test_ledger_processes.c. */
#include "unit/ledger_kit.h"

/* ---- records ---- */

static void usage_becomes_a_row(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_usage(kit, 0, 0, 812);
    kit_drain(kit);
    kit_expect(
        kit,
        "SELECT "
        "client_id,lane_id,sequence,time_unix_ns,provider,request_model,user,input_tokens,output_tokens,"
        "cache_read_tokens,start_time_unix_ns,duration_ns,status,flags,truncated,amendable,call_id FROM "
        "usage",
        "1|1|2|1700000005000000000|openai|gpt-4o-mini|NULL|812|406|NULL|1700000003000000000|2000000000|ok|0|"
        "NULL|"
        "NULL|NULL");
    kit_expect(kit, "SELECT sequence,persisted,lost,tenure_open,client_id FROM lanes", "2|2|0|1|1");
    kit_expect(kit, "SELECT service,pid,written,persisted,tenures,tenures_open,ended FROM clients",
               "shop|4711|2|2|1|1|NULL");
    assert_int_equal(kit->arena->lanes[0].committed_sequence, 2);
    assert_int_equal(kit->arena->lanes[0].committed_position, kit->tape[0].position);
    kit_expect_rollup_exact(kit);
}

static void status_and_start_are_worked_out(void **state)
{
    struct kit *kit = *state;
    static const struct {
        int field;
        uint32_t value;
    } cases[] = {
        {0, 0}, {TALLY_FIELD_http_status, 399}, {TALLY_FIELD_http_status, 400}, {TALLY_FIELD_status, 2}};
    add_client(kit, 0, 's', 1, -1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
        if (cases[i].field)
            pen_u32(&p, cases[i].field, cases[i].value);
        tape_add(kit, 0, &p);
    }
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    pen_text(&p, TALLY_FIELD_error_type, "timeout");
    pen_i64(&p, TALLY_FIELD_duration_ns, INT64_MAX);
    tape_add(kit, 0, &p);
    p = pen(TALLY_KIND_USAGE, 0, -1); /* a clock from nowhere */
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit, "SELECT status FROM usage ORDER BY id", "ok\nok\nerror\ncancelled\nerror\nok");
    kit_expect(kit, "SELECT start_time_unix_ns FROM usage WHERE id IN (1,5,6) ORDER BY id",
               "1700000000000000000\n0\n9223372036854775807");
    kit_expect_rollup_exact(kit);
}

static void out_of_range_is_named(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    pen_i64(&p, TALLY_FIELD_output_tokens, INT64_MAX);
    pen_i64(&p, TALLY_FIELD_truncated, (int64_t)(UINT64_C(1) << 63 | UINT64_C(1) << TALLY_FIELD_tags));
    pen_text(&p, TALLY_FIELD_tags, "a=\xff");
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit, "SELECT truncated,output_tokens,tags FROM usage",
               "tags,output_tokens,usage_json|NULL|a=\xef\xbf\xbd");
}

static void what_does_not_decode_changes_nothing(void **state)
{
    struct kit *kit = *state;
    static const enum tally_record_kind kinds[] = {TALLY_KIND_USAGE, TALLY_KIND_CLIENT, TALLY_KIND_CALL_BEGIN,
                                                   TALLY_KIND_CALL_END, TALLY_KIND_CLIENT_END};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        uint32_t lane = (uint32_t)i;
        struct pen p = pen(kinds[i], 0, KIT_TIME);
        pen_field(&p, kinds[i] == TALLY_KIND_USAGE ? TALLY_FIELD_team : TALLY_FIELD_call_id, TALLY_TYPE_U32,
                  "123", 3);
        pen_field(&p, TALLY_FIELD_session_id, TALLY_TYPE_TEXT, "123", 3);
        tape_add(kit, lane, &p);
        assert_int_equal(kit_try_feed(kit, lane, 1), -EBADMSG);
        assert_int_equal(kit->arena->lanes[lane].position, 0);
        assert_null(kit->arena->lanes[lane].private_);
    }
    /* Calls and clients without a name. */
    struct pen p = pen(TALLY_KIND_CALL_PROGRESS, 0, KIT_TIME);
    tape_add(kit, 6, &p);
    assert_int_equal(kit_try_feed(kit, 6, 1), -EBADMSG);
    p = pen(TALLY_KIND_CLIENT, 0, KIT_TIME);
    tape_add(kit, 7, &p);
    assert_int_equal(kit_try_feed(kit, 7, 1), -EBADMSG);
    kit_commit(kit);
    kit_expect(kit, "SELECT (SELECT count(*) FROM lanes),(SELECT count(*) FROM clients)", "0|0");
}

static void a_record_never_counts_twice(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_usage(kit, 0, 0, 1);
    add_usage(kit, 0, 0, 1);
    kit_feed(kit, 0, 2);
    assert_int_equal(ledger_record(kit->ledger, kit->arena, 0, kit->tape[0].records[1]), -EINVAL);
    kit_feed(kit, 0, 1);
    kit_commit(kit);
    kit_expect(kit, "SELECT count(*) FROM usage", "2");
}

static void padding_and_unknown_kinds(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    struct pen p = pen(TALLY_KIND_PADDING, 0, 0);
    tape_add(kit, 0, &p);
    p = pen((enum tally_record_kind)99, 0, KIT_TIME);
    pen_text(&p, TALLY_FIELD_provider, "of the future");
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit, "SELECT sequence,persisted FROM lanes", "2|2");
    kit_expect(kit, "SELECT written,persisted FROM clients", "2|2");
    kit_expect(kit, "SELECT count(*) FROM usage", "0");
    assert_int_equal(kit->arena->lanes[0].position, kit->tape[0].position);
}

/* ---- tenures ---- */

static void a_successor_says_how_the_tenure_ended(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_usage(kit, 0, 0, 1);
    add_client(kit, 0, 'b', 2, 2); /* a left cleanly at 2 */
    add_usage(kit, 0, 0, 1);
    add_client(kit, 0, 'c', 3, 3); /* b died: its last was 4 */
    kit_drain(kit);
    kit_expect(kit, "SELECT tenures,tenures_open,tenures_died,written,persisted FROM clients ORDER BY id",
               "1|0|0|2|2\n1|0|1|2|2\n1|1|0|1|1");
    kit_tick(kit);
    kit_expect(kit, "SELECT ended,complete,ended_unix_ns FROM clients ORDER BY id",
               "clean|1|1700000100000000000\ndied|1|1700000100000000000\nNULL|0|NULL");
    assert_int_equal(kit->arena->lanes[0].ended_tenure, 2);
}

static void threads_of_one_process_are_one_session(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_client(kit, 1, 'a', 1, -1);
    add_usage(kit, 0, 0, 1);
    add_usage(kit, 1, 0, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT count(*),tenures,tenures_open,written,persisted FROM clients", "1|2|2|4|4");
    kit_leave(kit, 0, true);
    kit_tick(kit);
    kit_expect(kit, "SELECT tenures_open,ended FROM clients", "1|NULL");
    kit_leave(kit, 1, true);
    kit_tick(kit);
    kit_expect(kit, "SELECT tenures_open,ended,complete FROM clients", "0|clean|1");
    /* Thread-per-request seen from another PID namespace: another thread comes. */
    add_client(kit, 1, 'a', 2, -1);
    kit_drain(kit);
    kit_expect(kit, "SELECT tenures,tenures_open,ended,ended_unix_ns,complete FROM clients",
               "3|1|NULL|NULL|0");
}

static void one_dead_tenure_makes_a_dead_session(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_client(kit, 1, 'a', 1, -1);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_leave(kit, 1, true);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended,tenures_died,complete FROM clients", "died|1|1");
}

static void an_owner_word_may_be_older_than_the_tenure(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    struct ledger_lane_view view = view_left(kit, 0, false);
    /* The word was read before a took the lane. */
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    assert_true(kit->arena->lanes[0].tenure_open);
    assert_false(ledger_in_transaction(kit->ledger));
    /* Read anew, and not yet drained. */
    view.drained = false;
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    assert_true(kit->arena->lanes[0].tenure_open);
    view.drained = true;
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    assert_false(kit->arena->lanes[0].tenure_open);
    assert_int_equal(kit->arena->lanes[0].ended_tenure, 0);
    kit_commit(kit);
    assert_int_equal(kit->arena->lanes[0].ended_tenure, 1);
}

static void a_session_ends_at_the_second_tick(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_client(kit, 1, 'a', 1, -1);
    kit_feed(kit, 0, -1);
    kit_leave(kit, 0, true);
    kit_commit(kit);
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME), 0);
    assert_false(ledger_in_transaction(kit->ledger));
    /* What the process had left on another lane comes in between: it has not ended there yet. */
    kit_drain(kit);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended,tenures_open FROM clients", "NULL|1");
    kit_leave(kit, 1, true);
    kit_commit(kit);
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME), 0);
    kit_commit(kit);
    kit_expect(kit, "SELECT ended FROM clients", "NULL");
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME), 0);
    kit_commit(kit);
    kit_expect(kit, "SELECT ended FROM clients", "clean");
}

static void a_living_owner_keeps_its_tenure(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    struct ledger_lane_view view = {.owner = 4711, .drained = true, .tenure = 1};
    for (int i = 0; i < 5; i++)
        assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    /* Waiters on the word do not matter. */
    view.owner |= 0x80000000;
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    assert_true(kit->arena->lanes[0].tenure_open);
}

static void a_tenure_thought_dead_goes_on(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_tick(kit);
    add_usage(kit, 0, 0, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT tenures,tenures_open,ended,written,persisted FROM clients", "1|1|NULL|2|2");
    kit_leave(kit, 0, true);
    kit_tick(kit);
    kit_expect(kit, "SELECT tenures_open,ended FROM clients", "0|died");
}

static void refusals_are_whose_lane_was_full(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    struct ledger_lane_view view = {.owner = 4711, .drained = true, .tenure = 1, .refused_full = 5};
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    view.refused_full = 3; /* counters do not go back, whoever writes them */
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    kit_commit(kit);
    struct pen p = pen(TALLY_KIND_CLIENT, 0, KIT_TIME);
    pen_id(&p, TALLY_FIELD_session_id, 'b');
    pen_i64(&p, TALLY_FIELD_predecessor_refused, 7); /* two more after the last look */
    tape_add(kit, 0, &p);
    kit_drain(kit);
    view.refused_full = UINT64_MAX; /* nonsense, and nobody's: the tenure is another than the hint says */
    view.tenure = 9;
    view.owner = 0;
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    kit_commit(kit);
    kit_expect(kit, "SELECT refused FROM clients ORDER BY id", "7\n0");
    kit_expect(kit, "SELECT cause,numbered,lane,client_id,records FROM losses ORDER BY id",
               "lane_full|0|0|1|7\nlane_full|0|0|0|9223372036854775800");
    uint64_t refused[TALLY_REFUSALS] = {99, 4, 2};
    assert_int_equal(ledger_refused(kit->ledger, kit->arena, refused), 0);
    refused[TALLY_REFUSED_NO_LANE] = 6;
    refused[TALLY_REFUSED_REENTERED] = 0;
    assert_int_equal(ledger_refused(kit->ledger, kit->arena, refused), 0);
    kit_commit(kit);
    assert_int_equal(ledger_refused(kit->ledger, kit->arena, refused), 0);
    assert_false(ledger_in_transaction(kit->ledger));
    kit_expect(kit, "SELECT refused_no_lane,refused_reentered FROM arenas", "6|2");
    kit_expect(kit, "SELECT cause,lane,records FROM losses WHERE lane=-1 ORDER BY cause",
               "no_lane|-1|6\nreentered|-1|2");
}

/* ---- client objects ---- */

static void add_object(struct kit *kit, uint32_t lane, uint16_t client, char session, const char *service,
                       int64_t time)
{
    struct pen p = pen(TALLY_KIND_CLIENT, client, time);
    pen_id(&p, TALLY_FIELD_session_id, session);
    if (service)
        pen_text(&p, TALLY_FIELD_service, service);
    tape_add(kit, lane, &p);
}

static void add_object_end(struct kit *kit, uint32_t lane, uint16_t client, char session)
{
    struct pen p = pen(TALLY_KIND_CLIENT_END, client, KIT_TIME + 50 * SECOND);
    pen_id(&p, TALLY_FIELD_session_id, session);
    tape_add(kit, lane, &p);
}

static void client_objects_count_for_themselves_and_their_process(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_object(kit, 0, 3, 'x', "batch", KIT_TIME);
    add_object(kit, 0, 4, 'y', NULL, KIT_TIME);
    add_usage(kit, 0, 3, 10);
    add_usage(kit, 0, 3, 10);
    add_usage(kit, 0, 4, 10);
    add_usage(kit, 0, 0, 10);
    add_usage(kit, 0, 77, 10); /* never introduced: the process's */
    kit_drain(kit);
    kit_restart(kit); /* the index still means what it meant */
    add_usage(kit, 0, 3, 10);
    add_object_end(kit, 0, 3, 'x');
    kit_drain(kit);
    kit_expect(kit, "SELECT parent_id,service,written,persisted,ended,complete FROM clients ORDER BY id",
               "NULL|shop|10|10|NULL|0\n1|batch|5|5|clean|1\n1|shop|2|2|NULL|0");
    kit_expect(kit, "SELECT client_id,count(*) FROM usage GROUP BY 1", "1|2\n2|3\n3|1");
    kit_leave(kit, 0, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients ORDER BY id", "died\nclean\ndied");
    kit_expect_rollup_exact(kit);
}

static void a_released_object_stays_released(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_client(kit, 1, 'a', 1, -1);
    add_object(kit, 0, 3, 'x', NULL, KIT_TIME);
    add_object_end(kit, 0, 3, 'x');
    add_object(kit, 1, 3, 'x', NULL, KIT_TIME + SECOND); /* used on another lane before, drained later */
    add_usage(kit, 1, 3, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT ended,written,persisted FROM clients WHERE id=2", "clean|4|4");
    /* The same index for another object. */
    add_object(kit, 0, 3, 'z', NULL, KIT_TIME + 60 * SECOND);
    add_usage(kit, 0, 3, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT client_id FROM usage ORDER BY id", "2\n3");
}

static void an_index_ends_with_its_tenure(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_object(kit, 0, 3, 'x', NULL, KIT_TIME);
    add_client(kit, 0, 'b', 2, -1);
    add_usage(kit, 0, 3, 1);
    kit_drain(kit);
    kit_expect(kit,
               "SELECT c.service,c.parent_id,u.client_id FROM usage u JOIN clients c ON c.id=u.client_id",
               "shop|NULL|3");
    kit_expect(kit, "SELECT count(*) FROM lane_clients", "0");
}

static void nobody_ends_what_is_not_his(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_object(kit, 0, 1, 'x', NULL, KIT_TIME);
    add_client(kit, 1, 'b', 1, -1);
    add_object_end(kit, 1, 1, 'x'); /* another process's object */
    add_object_end(kit, 1, 0, 'a'); /* a process */
    add_object_end(kit, 1, 0, 'q'); /* nobody */
    kit_drain(kit);
    kit_expect(kit, "SELECT count(*) FROM clients WHERE ended IS NULL", "3");
    kit_expect(kit, "SELECT written,persisted FROM clients ORDER BY id", "2|2\n1|1\n4|4");
}

/* ---- records of nobody, losses ---- */

static void records_without_a_client_are_kept(void **state)
{
    struct kit *kit = *state;
    add_usage(kit, 2, 0, 5);
    add_usage(kit, 2, 9, 5);
    add_usage(kit, 3, 0, 5);
    kit_drain(kit);
    kit_expect(kit, "SELECT count(*),count(DISTINCT client_id) FROM usage", "3|2");
    kit_expect(kit, "SELECT pid,service,written,persisted,ended FROM clients ORDER BY id",
               "NULL|NULL|2|2|NULL\nNULL|NULL|1|1|NULL");
    kit_leave(kit, 2, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients ORDER BY id", "died\nNULL");
    kit_expect_rollup_exact(kit);
}

static void skipped_records_are_lost_by_name(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    uint64_t position = kit->tape[0].position + 800;
    assert_int_equal(ledger_skip(kit->ledger, kit->arena, 0, position, 6, "quarantined", "checksum"), 0);
    assert_int_equal(ledger_skip(kit->ledger, kit->arena, 0, position + 8, 8, "quarantined", NULL), 0);
    assert_int_equal(ledger_skip(kit->ledger, kit->arena, 0, position, 8, "quarantined", NULL), -EINVAL);
    assert_int_equal(ledger_skip(kit->ledger, kit->arena, 4, 64, 3, "database_restored", NULL), 0);
    kit->tape[0].position = position + 8;
    kit->tape[0].sequence = 8;
    add_usage(kit, 0, 0, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT lane,position,sequence,persisted,lost,quarantines FROM lanes WHERE lane=4",
               "4|64|3|0|3|0");
    kit_expect(kit,
               "SELECT sequence,persisted,lost,quarantines,sequence-persisted-lost FROM lanes WHERE lane=0",
               "9|2|7|2|0");
    kit_expect(kit, "SELECT written,persisted,lost FROM clients", "9|2|7");
    kit_expect(kit, "SELECT lane,client_id,cause,numbered,records,detail FROM losses ORDER BY id",
               "0|1|quarantined|1|7|checksum\n4|0|database_restored|1|3|NULL");
    kit_leave(kit, 0, true);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended,complete FROM clients", "clean|0");
}

static void what_follows_a_skip_after_an_end_is_nobodys(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    kit_leave(kit, 0, true);
    assert_int_equal(
        ledger_skip(kit->ledger, kit->arena, 0, kit->tape[0].position + 80, 2, "quarantined", NULL), 0);
    kit->tape[0].position += 80;
    kit->tape[0].sequence = 2;
    add_usage(kit, 0, 0, 1);
    kit_drain(kit);
    kit_expect(kit, "SELECT written,persisted,lost FROM clients ORDER BY id", "1|1|0\n1|1|0");
    kit_expect(kit, "SELECT client_id FROM usage", "2");
    kit_expect(kit, "SELECT sequence-persisted-lost FROM lanes", "0");
}

/* ---- failure and restart ---- */

static void abandoning_forgets_the_transaction(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_usage(kit, 0, 0, 1);
    kit_drain(kit);
    add_usage(kit, 0, 0, 2);
    add_client(kit, 1, 'b', 1, -1);
    kit_feed(kit, 0, -1);
    kit_feed(kit, 1, -1);
    ledger_abandon(kit->ledger);
    assert_int_equal(kit->arena->lanes[0].sequence, 2);
    assert_int_equal(kit->arena->lanes[1].sequence, 0);
    assert_int_equal(kit->arena->lanes[1].position, 0);
    assert_false(kit->arena->lanes[1].tenure_open);
    assert_true(kit->arena->lanes[0].tenure_open);
    kit_drain(kit);
    kit_expect(kit, "SELECT written,persisted FROM clients ORDER BY id", "3|3\n1|1");
    kit_expect(kit, "SELECT id,input_tokens FROM usage", "1|1\n2|2");
    kit_expect_rollup_exact(kit);
}

static void a_restart_goes_on_where_the_database_stands(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    add_usage(kit, 0, 0, 1);
    kit_drain(kit);
    add_usage(kit, 0, 0, 2);
    kit_feed(kit, 0, -1); /* not committed */
    kit_restart(kit);
    const struct ledger_lane *lane = kit->arena ? &kit->arena->lanes[0] : NULL;
    assert_true(lane && lane->sequence == 2 && lane->tenure_open);
    kit_drain(kit);
    kit_leave(kit, 0, true);
    kit_restart(kit);
    kit_leave(kit, 0, true);
    kit_commit(kit);
    kit_restart(kit); /* between the tenure's end and the session's */
    assert_true(kit->arena && kit->arena->lanes[0].ended_tenure == 1);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended,complete,written,persisted FROM clients", "clean|1|3|3");
    kit_restart(kit);
    struct ledger_figures figures;
    ledger_figures(kit->ledger, &figures);
    assert_int_equal(figures.sessions_running, 0);
}

static void an_agent_that_was_replaced_writes_nothing(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    struct ledger *usurper;
    assert_int_equal(ledger_open(&usurper, &kit->options), 0);
    add_usage(kit, 0, 0, 1);
    assert_int_equal(kit_try_feed(kit, 0, -1), -ESTALE);
    assert_non_null(strstr(ledger_error(kit->ledger), "another agent"));
    ledger_abandon(kit->ledger);
    assert_int_equal(ledger_begin(kit->ledger), -ESTALE);
    ledger_close(usurper);
    assert_int_equal(ledger_begin(kit->ledger), -ESTALE);
    kit_expect(kit, "SELECT count(*) FROM usage", "0");
}

static void a_locked_database_is_busy(void **state)
{
    struct kit *kit = *state;
    kit_sql(kit, "BEGIN IMMEDIATE");
    assert_int_equal(ledger_begin(kit->ledger), -EBUSY);
    kit_sql(kit, "ROLLBACK");
    assert_int_equal(ledger_begin(kit->ledger), 0);
    kit_commit(kit);
}

static void arenas_come_and_go(void **state)
{
    struct kit *kit = *state;
    struct ledger_arena *again;
    assert_int_equal(ledger_attach(kit->ledger, &kit->header, "/other", &again), -EEXIST);
    add_client(kit, 0, 'a', 1, -1);
    kit_drain(kit);
    assert_int_equal(ledger_detach(kit->ledger, kit->arena, true), 0);
    kit->arena = NULL;
    kit_tick(kit);
    kit_expect(kit, "SELECT path,retired_unix_ns IS NULL FROM arenas", "/tally-test-kit|0");
    kit_expect(kit, "SELECT ended,tenures_open FROM clients", "died|0");
    assert_int_equal(ledger_attach(kit->ledger, &kit->header, "/other", &kit->arena), 0);
    kit_expect(kit, "SELECT path,retired_unix_ns IS NULL FROM arenas", "/other|1");
    assert_true(kit->arena && kit->arena->lanes[0].sequence == 1);
}

static bool arena_gone(void *context, const uint8_t uuid[16], const char *path)
{
    (void)uuid;
    (void)path;
    return *(bool *)context;
}

static void a_reboot_is_a_loss_by_name(void **state)
{
    struct kit *kit = *state;
    uint8_t boot[16] = "another boot";
    add_client(kit, 0, 'a', 1, -1);
    add_client(kit, 1, 'a', 1, -1);
    add_client(kit, 2, 'b', 1, -1);
    kit_drain(kit);
    kit_leave(kit, 2, true);
    kit_tick(kit);
    bool gone = true;
    assert_int_equal(ledger_lose_gone(kit->ledger, boot, KIT_TIME, arena_gone, &gone),
                     0); /* attached: it survived */
    kit_expect(kit, "SELECT count(*) FROM losses", "0");
    assert_int_equal(ledger_detach(kit->ledger, kit->arena, false), 0);
    kit->arena = NULL;
    gone = false; /* on a disk, but not served */
    assert_int_equal(ledger_lose_gone(kit->ledger, boot, KIT_TIME, arena_gone, &gone), 0);
    gone = true;
    kit_expect(kit, "SELECT count(*) FROM losses", "0");
    assert_int_equal(ledger_lose_gone(kit->ledger, boot, KIT_TIME, arena_gone, &gone), 2);
    kit_expect(kit, "SELECT lane,client_id,cause,numbered,records FROM losses ORDER BY lane",
               "0|1|host_restart|1|NULL\n1|1|host_restart|1|NULL");
    kit_expect(kit, "SELECT ended,complete,tenures_open FROM clients ORDER BY id", "died|0|0\nclean|1|0");
    assert_int_equal(ledger_lose_gone(kit->ledger, boot, KIT_TIME, arena_gone, &gone), 0);
    kit_expect(kit, "SELECT count(*) FROM losses", "2");
}

#define kit_test(function) cmocka_unit_test_setup_teardown(function, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(usage_becomes_a_row),
        kit_test(status_and_start_are_worked_out),
        kit_test(out_of_range_is_named),
        kit_test(what_does_not_decode_changes_nothing),
        kit_test(a_record_never_counts_twice),
        kit_test(padding_and_unknown_kinds),
        kit_test(a_successor_says_how_the_tenure_ended),
        kit_test(threads_of_one_process_are_one_session),
        kit_test(one_dead_tenure_makes_a_dead_session),
        kit_test(an_owner_word_may_be_older_than_the_tenure),
        kit_test(a_session_ends_at_the_second_tick),
        kit_test(a_living_owner_keeps_its_tenure),
        kit_test(a_tenure_thought_dead_goes_on),
        kit_test(refusals_are_whose_lane_was_full),
        kit_test(client_objects_count_for_themselves_and_their_process),
        kit_test(a_released_object_stays_released),
        kit_test(an_index_ends_with_its_tenure),
        kit_test(nobody_ends_what_is_not_his),
        kit_test(records_without_a_client_are_kept),
        kit_test(skipped_records_are_lost_by_name),
        kit_test(what_follows_a_skip_after_an_end_is_nobodys),
        kit_test(abandoning_forgets_the_transaction),
        kit_test(a_restart_goes_on_where_the_database_stands),
        kit_test(an_agent_that_was_replaced_writes_nothing),
        kit_test(a_locked_database_is_busy),
        kit_test(arenas_come_and_go),
        kit_test(a_reboot_is_a_loss_by_name),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
