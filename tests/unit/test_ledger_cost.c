/* What rows cost: understood and priced as they are written, once, whatever order records come in. */
#include "unit/ledger_kit.h"

#include "ledger/reprice.h"
#include "price/price.h"

static const char list_text[] =
    "{\"m\": {\"litellm_provider\": \"p\", \"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 1e-05,"
    " \"cache_read_input_token_cost\": 1e-07}, \"dear\": {\"input_cost_per_token\": 5e-06,"
    " \"output_cost_per_token\": 0}}";
static const char other_text[] =
    "{\"m\": {\"input_cost_per_token\": 2e-06, \"output_cost_per_token\": 2e-05},"
    " \"new\": {\"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 1e-06}}";

static struct price_table *prices;
static struct price_table *other_prices;

static struct price_table *list(const char *name, const char *text)
{
    char error[PRICE_ERROR_BYTES];
    struct price_table *table;
    if (price_table_read(&table, name, text, strlen(text), error))
        fail_msg("%s", error);
    return table;
}

static int setup(void **state)
{
    kit_setup(state);
    struct kit *kit = *state;
    prices = list("first", list_text);
    other_prices = list("other", other_text);
    kit->options.prices = prices;
    ledger_set_prices(kit->ledger, prices);
    return 0;
}

static int teardown(void **state)
{
    int result = kit_teardown(state);
    price_table_free(prices);
    price_table_free(other_prices);
    return result;
}

static void introduce(struct kit *kit)
{
    struct pen p = pen(TALLY_KIND_CLIENT, 0, KIT_TIME);
    pen_id(&p, TALLY_FIELD_session_id, 's');
    pen_text(&p, TALLY_FIELD_service, "shop");
    tape_add(kit, 0, &p);
}

static struct pen usage(const char *provider, const char *model, const char *json)
{
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    pen_text(&p, TALLY_FIELD_provider, provider);
    pen_text(&p, TALLY_FIELD_request_model, model);
    if (json)
        pen_text(&p, TALLY_FIELD_usage_json, json);
    return p;
}

static void a_row_has_its_cost_and_its_list(void **state)
{
    struct kit *kit = *state;
    introduce(kit);
    struct pen p = usage("p", "m", NULL);
    pen_u32(&p, TALLY_FIELD_input_tokens, 100);
    pen_u32(&p, TALLY_FIELD_output_tokens, 10);
    tape_add(kit, 0, &p);
    p = usage("p", "nobody", NULL);
    pen_u32(&p, TALLY_FIELD_input_tokens, 100);
    tape_add(kit, 0, &p);
    p = usage("p", "m", NULL);
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit,
               "SELECT group_concat(coalesce(cost_picodollars,'-')||':'||cost_basis||':'||price_table_id) "
               "FROM usage",
               "200000000:list:1,-:no_model:1,-:no_counts:1");
    kit_expect(kit, "SELECT name,length(sha256),models FROM price_tables", "first|64|2");
    kit_expect(
        kit,
        "SELECT request_model,calls,cost_picodollars,cost_unknown FROM usage_hourly WHERE request_model='m'",
        "m|2|200000000|1");
}

static void an_object_is_understood_and_the_client_believed_first(void **state)
{
    struct kit *kit = *state;
    static const char json[] = "{\"prompt_tokens\":100,\"completion_tokens\":10,\"total_tokens\":110,"
                               "\"prompt_tokens_details\":{\"cached_tokens\":40}}";
    introduce(kit);
    struct pen p = usage("p", "m", json);
    tape_add(kit, 0, &p);
    p = usage("p", "m", json);
    pen_u32(&p, TALLY_FIELD_output_tokens, 20); /* what the client states goes before */
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit,
               "SELECT "
               "group_concat(input_tokens||'/'||output_tokens||'/"
               "'||cache_read_tokens||'='||cost_picodollars) FROM usage",
               "100/10/40=164000000,100/20/40=264000000");
    kit_expect(kit, "SELECT count(*) FROM usage WHERE usage_json IS NOT NULL",
               "2"); /* the raw object stays */
}

static void unknown_shapes_are_counted(void **state)
{
    struct kit *kit = *state;
    introduce(kit);
    static const char *const objects[] = {"{\"mystery\":{\"units\":5}}", "{\"mystery\":{\"units\":6}}",
                                          "{\"cut",
                                          "{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}"};
    for (int i = 0; i < 4; i++) {
        struct pen p = usage("p", "m", objects[i]);
        tape_add(kit, 0, &p);
    }
    kit_feed(kit, 0, 3);
    kit_restart(kit); /* killed before the commit: nothing is counted twice */
    kit_drain(kit);
    kit_expect(kit, "SELECT group_concat(kind||':'||calls||':'||usage_id) FROM unknown_shapes",
               "damaged:1:3,unknown:2:2");
}

static void a_stated_cost_is_kept_and_wins_where_it_is_believed(void **state)
{
    struct kit *kit = *state;
    static const char *const providers[] = {"p", "openrouter", "p", "x_ai", "xAI", "perplexity"};
    static const char *const models[] = {"m", "m", "nobody", "m", "m", "m"};
    introduce(kit);
    for (int i = 0; i < 6; i++) {
        struct pen p = usage(providers[i], models[i], NULL);
        pen_u32(&p, TALLY_FIELD_input_tokens, 100);
        pen_u32(&p, TALLY_FIELD_output_tokens, 10);
        pen_i64(&p, TALLY_FIELD_provider_cost_picodollars, 77);
        tape_add(kit, 0, &p);
    }
    kit_drain(kit);
    kit_expect(
        kit,
        "SELECT "
        "group_concat(cost_picodollars||':'||cost_basis||':'||coalesce(list_cost_picodollars,'-')||':'||"
        "provider_cost_picodollars) FROM usage",
        "200000000:list:-:77,77:provider:200000000:77,77:provider:-:77,77:provider:200000000:77,"
        "77:provider:200000000:77,77:provider:200000000:77");
}

static struct pen of_call(enum tally_record_kind kind, uint32_t step, const char *json)
{
    struct pen p = pen(kind, 0, KIT_TIME + step);
    pen_id(&p, TALLY_FIELD_call_id, 'c');
    pen_u32(&p, TALLY_FIELD_call_step, step);
    if (json)
        pen_text(&p, TALLY_FIELD_usage_json, json);
    return p;
}

/* A stream's counts grow; what is understood of a late record of an early step changes nothing. */
static void understood_counts_go_by_step(void **state)
{
    struct kit *kit = *state;
    introduce(kit);
    struct pen begin = of_call(TALLY_KIND_CALL_BEGIN, 0, NULL);
    pen_text(&begin, TALLY_FIELD_provider, "p");
    pen_text(&begin, TALLY_FIELD_request_model, "m");
    tape_add(kit, 0, &begin);
    struct pen second = of_call(TALLY_KIND_CALL_PROGRESS, 2,
                                "{\"prompt_tokens\":100,\"completion_tokens\":8,\"total_tokens\":108}");
    tape_add(kit, 0, &second);
    struct pen first = of_call(TALLY_KIND_CALL_PROGRESS, 1,
                               "{\"prompt_tokens\":100,\"completion_tokens\":3,\"total_tokens\":103}");
    tape_add(kit, 0, &first);
    kit_drain(kit);
    kit_expect(kit, "SELECT input_tokens,output_tokens FROM open_calls", "100|8");
    kit_restart(kit);
    struct pen end = of_call(TALLY_KIND_CALL_END, TALLY_CALL_STEP_END, NULL);
    pen_u32(&end, TALLY_FIELD_call_records, 4); /* one is still to come */
    pen_u32(&end, TALLY_FIELD_output_tokens, 10);
    tape_add(kit, 0, &end);
    kit_drain(kit);
    kit_expect(kit, "SELECT input_tokens,output_tokens,cost_picodollars FROM usage", "100|10|200000000");
    struct pen late = of_call(TALLY_KIND_CALL_PROGRESS, 3,
                              "{\"prompt_tokens\":90,\"completion_tokens\":9,\"total_tokens\":99}");
    tape_add(kit, 0, &late);
    ledger_set_prices(kit->ledger, other_prices);
    kit_drain(kit);
    /* amended, and priced anew by the list of that moment; the sums follow */
    kit_expect(kit, "SELECT input_tokens,output_tokens,cost_picodollars,price_table_id FROM usage",
               "90|10|380000000|2");
    kit_expect(kit, "SELECT calls,input_tokens,cost_picodollars,cost_unknown FROM usage_hourly",
               "1|90|380000000|0");
}

static void a_list_changes_within_a_transaction(void **state)
{
    struct kit *kit = *state;
    introduce(kit);
    for (int i = 0; i < 4; i++) {
        struct pen p = usage("p", "m", NULL);
        pen_u32(&p, TALLY_FIELD_input_tokens, 100);
        pen_u32(&p, TALLY_FIELD_output_tokens, 0);
        tape_add(kit, 0, &p);
    }
    kit_feed(kit, 0, 3); /* the client and two calls */
    ledger_set_prices(kit->ledger, other_prices);
    kit_feed(kit, 0, 1);
    ledger_abandon(kit->ledger); /* the lists' rows go with the transaction */
    kit_drain(kit);
    kit_expect(kit, "SELECT group_concat(cost_picodollars||':'||price_table_id) FROM usage",
               "200000000:1,200000000:1,200000000:1,200000000:1");
    kit_expect(kit, "SELECT group_concat(name) FROM price_tables", "other");
}

/* 64 bits end at 9.2 million dollars. */
static void totals_do_not_overflow(void **state)
{
    struct kit *kit = *state;
    introduce(kit);
    for (int i = 0; i < 30; i++) {
        struct pen p = usage("p", "dear", NULL);
        pen_i64(&p, TALLY_FIELD_input_tokens,
                INT64_C(200000000001)); /* a million dollars and five millionths */
        pen_u32(&p, TALLY_FIELD_output_tokens, 0);
        tape_add(kit, 0, &p);
        if (i % 7 == 3)
            kit_drain(kit);
    }
    kit_drain(kit);
    kit_expect(
        kit, "SELECT cost_millions,cost_picodollars,typeof(cost_picodollars),cost_unknown FROM usage_hourly",
        "30|150000000|integer|0");
}

static void history_is_priced_anew(void **state)
{
    struct kit *kit = *state;
    static const char *const models[] = {"m", "new", "m"};
    introduce(kit);
    for (int i = 0; i < 3; i++) {
        struct pen p = usage(i == 2 ? "openrouter" : "p", models[i], NULL);
        pen_u32(&p, TALLY_FIELD_input_tokens, 100);
        pen_u32(&p, TALLY_FIELD_output_tokens, 10);
        if (i == 2)
            pen_i64(&p, TALLY_FIELD_provider_cost_picodollars, 77);
        tape_add(kit, 0, &p);
    }
    kit_drain(kit);
    /* As a row of the first schema, whose object nobody had understood. */
    kit_sql(kit, "INSERT INTO usage_labels(id,first_usage_id,provider,request_model,status,flags) "
                 "VALUES(1000,1,'p','m','ok',0);"
                 "INSERT INTO usage_rows(id,label_id,client_id,lane_id,sequence,time_unix_ns) "
                 "SELECT 1000,1000,client_id,lane_id,0,time_unix_ns FROM usage WHERE id=1;"
                 "INSERT INTO usage_texts(id,usage_json) VALUES(1000,"
                 "'{\"prompt_tokens\":100,\"completion_tokens\":10,\"total_tokens\":110}');"
                 "UPDATE usage_hourly SET "
                 "calls=calls+1,input_tokens_unknown=1,output_tokens_unknown=1,duration_unknown="
                 "duration_unknown+1,cost_unknown=cost_unknown+1 WHERE provider='p' AND request_model='m'");
    struct reprice_options options = {.state_directory = kit->folder,
                                      .prices = other_prices,
                                      .since_unix_ns = 0,
                                      .until_unix_ns = INT64_MAX,
                                      .dry_run = true};
    struct reprice_outcome outcome;
    char error[REPRICE_ERROR_BYTES];
    static const char costs[] =
        "SELECT group_concat(coalesce(cost_picodollars,'-')||':'||coalesce(price_table_id,'-')) FROM usage";
    assert_int_equal(reprice(&options, &outcome, error), 0);
    assert_int_equal(outcome.rows, 4);
    assert_int_equal(outcome.changed, 3);
    kit_expect(kit, costs, "200000000:1,-:1,77:1,-:-");
    options.dry_run = false;
    assert_int_equal(reprice(&options, &outcome, error), 0);
    assert_int_equal(outcome.changed, 3);
    kit_expect(kit, costs, "400000000:2,110000000:2,77:2,400000000:2");
    kit_expect(kit, "SELECT input_tokens,output_tokens FROM usage WHERE id=1000", "100|10");
    kit_expect(
        kit,
        "SELECT "
        "group_concat(provider||'/'||request_model||':'||calls||':'||input_tokens||':'||cost_picodollars"
        "||':'||cost_unknown||':'||input_tokens_unknown,' ') FROM usage_hourly",
        "openrouter/m:1:100:77:0:0 p/m:2:200:800000000:0:0 p/new:1:100:110000000:0:0");
    assert_int_equal(reprice(&options, &outcome, error), 0);
    assert_int_equal(outcome.changed, 0);
    options.since_unix_ns = KIT_TIME + 1;
    assert_int_equal(reprice(&options, &outcome, error), 0);
    assert_int_equal(outcome.rows, 0);
    /* The agent whose database it is goes on: its epoch is the same. */
    struct pen p = usage("p", "m", NULL);
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit, "SELECT count(*),max(price_table_id) FROM usage", "5|2");
}

/* What a call's records leave unsaid is filled in when all are in: pricing anew finds nothing new. One that is amended after it has been
 * priced anew takes its new cost out of the sums, not its old one. */
static void a_call_and_history_agree(void **state)
{
    struct kit *kit = *state;
    static const char json[] = "{\"input_tokens\":10,\"output_tokens\":5,\"cache_read_input_tokens\":100}";
    introduce(kit);
    struct pen begin = of_call(TALLY_KIND_CALL_BEGIN, 0, NULL);
    pen_text(&begin, TALLY_FIELD_request_model, "m");
    tape_add(kit, 0, &begin);
    struct pen end = of_call(TALLY_KIND_CALL_END, 0, json);
    pen_u32(&end, TALLY_FIELD_call_records, 2); /* one is still to come */
    tape_add(kit, 0, &end);
    kit_drain(kit);
    kit_expect(kit, "SELECT provider,cost_picodollars FROM usage", "NULL|70000000");
    struct reprice_options options = {.state_directory = kit->folder,
                                      .prices = other_prices,
                                      .since_unix_ns = 0,
                                      .until_unix_ns = INT64_MAX};
    struct reprice_outcome outcome;
    char error[REPRICE_ERROR_BYTES];
    assert_int_equal(reprice(&options, &outcome, error), 0);
    kit_expect(kit, "SELECT provider,cost_picodollars FROM usage", "NULL|320000000");
    struct pen late = of_call(TALLY_KIND_CALL_PROGRESS, 1, "{\"input_tokens\":10,\"output_tokens\":1}");
    tape_add(kit, 0, &late);
    kit_drain(kit);
    static const char all[] =
        "SELECT "
        "u.provider,u.cost_picodollars,u.amendable,h.provider,h.calls,h.cost_picodollars,h.cost_unknown"
        " FROM usage u, usage_hourly h";
    kit_expect(kit, all, "anthropic|70000000|NULL|anthropic|1|70000000|0");
    options.prices = prices;
    assert_int_equal(reprice(&options, &outcome, error), 0);
    assert_int_equal(outcome.changed, 0);
    kit_expect(kit, all, "anthropic|70000000|NULL|anthropic|1|70000000|0");
}

/* Anthropic's own counts taken for tally's: what was read from the cache is not in the input. */
static void counts_that_cannot_be_have_no_price(void **state)
{
    struct kit *kit = *state;
    introduce(kit);
    for (int i = 0; i < 4; i++) {
        struct pen p = usage("p", "m", NULL);
        pen_u32(&p, TALLY_FIELD_input_tokens, 10);
        pen_u32(&p, TALLY_FIELD_output_tokens, 10);
        pen_u32(&p, TALLY_FIELD_cache_read_tokens, i == 1 ? 1000 : 10);
        if (i == 3) /* each of them could be, the two together cannot */
            pen_u32(&p, TALLY_FIELD_cache_write_5m_tokens, 1);
        pen_u32(&p, TALLY_FIELD_reasoning_tokens, i == 2 ? 11 : 10);
        tape_add(kit, 0, &p);
    }
    kit_drain(kit);
    kit_expect(kit,
               "SELECT group_concat(coalesce(cost_picodollars,'-')||':'||cost_basis||':'||input_tokens||':'||"
               "cache_read_tokens) FROM usage",
               "101000000:list:10:10,-:no_counts:10:1000,-:no_counts:10:10,-:no_counts:10:10");
}

static void prices_of_no_database(void **state)
{
    struct kit *kit = *state;
    struct reprice_options options = {
        .state_directory = "/nonexistent", .prices = prices, .until_unix_ns = 1};
    struct reprice_outcome outcome;
    char error[REPRICE_ERROR_BYTES] = "";
    assert_true(reprice(&options, &outcome, error) < 0);
    assert_true(strlen(error) > 10);
    kit_sql(kit, "PRAGMA user_version=1");
    options.state_directory = kit->folder;
    assert_int_equal(reprice(&options, &outcome, error), -ENOTSUP);
    assert_non_null(strstr(error, "start tallyd"));
    kit_sql(kit, "PRAGMA user_version=5");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_row_has_its_cost_and_its_list), TEST(an_object_is_understood_and_the_client_believed_first),
        TEST(unknown_shapes_are_counted),      TEST(a_stated_cost_is_kept_and_wins_where_it_is_believed),
        TEST(understood_counts_go_by_step),    TEST(a_list_changes_within_a_transaction),
        TEST(totals_do_not_overflow),          TEST(history_is_priced_anew),
        TEST(a_call_and_history_agree),        TEST(counts_that_cannot_be_have_no_price),
        TEST(prices_of_no_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
