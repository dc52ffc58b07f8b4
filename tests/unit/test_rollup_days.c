/* Sums by the day beside those by the hour: kept in step by the ledger, made from the hours of an older database; and what a
 * report adds up from both, over any range of hours, is what the rows themselves come to. */
#include "unit/ledger_kit.h"

#include "ledger/reprice.h"
#include "price/table.h"
#include "support/tries.h"
#include "../../tools/tally/db.h"
#include "../../tools/tally/report_query.h"

#define CALLS   3000
#define DAYS    7
#define DAY     INT64_C(86400)
#define FIRST_S INT64_C(1700006400) /* midnight */

static struct price_table *prices;

static struct price_table *list(const char *text)
{
    char error[PRICE_ERROR_BYTES];
    struct price_table *table;
    if (price_table_read(&table, "list", text, strlen(text), error))
        fail_msg("%s", error);
    return table;
}

static unsigned below(unsigned bound)
{
    static uint64_t state = 88172645463325252u; /* xorshift */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % bound);
}

static void maybe_u32(struct pen *p, int id)
{
    if (below(4))
        pen_u32(p, id, below(100000));
}

static struct pen random_call(void)
{
    static const char *const names[] = {"openai", "anthropic", "gemini"};
    static const char *const models[] = {"m", "other", "third", "fourth"};
    /* Now and then at the very border of an hour or a day. */
    int64_t start = (FIRST_S + below(DAYS * DAY)) * SECOND + below(SECOND);
    if (below(8) == 0)
        start = (FIRST_S + below(DAYS * 24) * 3600) * SECOND - below(2);
    struct pen p = pen(TALLY_KIND_USAGE, 0, start + SECOND);
    pen_i64(&p, TALLY_FIELD_start_time_unix_ns, start);
    if (below(10))
        pen_text(&p, TALLY_FIELD_provider, names[below(3)]);
    pen_text(&p, TALLY_FIELD_request_model, models[below(4)]);
    if (below(2))
        pen_text(&p, TALLY_FIELD_team, names[below(3)]);
    maybe_u32(&p, TALLY_FIELD_input_tokens);
    maybe_u32(&p, TALLY_FIELD_output_tokens);
    maybe_u32(&p, TALLY_FIELD_cache_read_tokens);
    if (below(2))
        pen_i64(&p, TALLY_FIELD_duration_ns, below(1000000000));
    if (below(5) == 0)
        pen_i64(&p, TALLY_FIELD_provider_cost_picodollars, INT64_C(1000000000) * below(1000000000));
    pen_u32(&p, TALLY_FIELD_status, below(3));
    return p;
}

/* Calls of a week, some of them amended afterwards, and priced anew: sums are added to and taken from. */
static void live(struct kit *kit)
{
    add_client(kit, 0, 's', 1, -1);
    for (int i = 0; i < CALLS; i++) {
        struct pen p = random_call();
        tape_add(kit, 0, &p);
        if (i % 100 == 99)
            kit_drain(kit);
    }
    for (int i = 0; i < 40; i++) {
        int64_t begun = (FIRST_S + below(DAYS * DAY)) * SECOND;
        for (int step = 0; step < 2; step++) { /* the end first, what began it late: that amends the row */
            struct pen p = pen(step ? TALLY_KIND_CALL_BEGIN : TALLY_KIND_CALL_END, 0,
                               begun + (1 - step) * 7200 * SECOND);
            pen_id(&p, TALLY_FIELD_call_id, (char)('A' + i));
            pen_u32(&p, TALLY_FIELD_call_step, step ? 0 : TALLY_CALL_STEP_END);
            pen_u32(&p, step ? TALLY_FIELD_input_tokens : TALLY_FIELD_call_records, 1);
            if (step)
                pen_text(&p, TALLY_FIELD_request_model, "m");
            tape_add(kit, 0, &p);
            kit_drain(kit);
        }
    }
    struct reprice_options options = {
        .state_directory = kit->folder, .prices = prices, .since_unix_ns = 0, .until_unix_ns = INT64_MAX};
    struct reprice_outcome outcome;
    char error[REPRICE_ERROR_BYTES];
    assert_int_equal(reprice(&options, &outcome, error), 0);
    assert_true(outcome.changed > CALLS / 10);
}

/* All columns but the time. */
static char *sums_of(struct kit *kit, const char *table, const char *time)
{
    char *columns =
        kit_ask(kit, "SELECT group_concat(iif(name LIKE '%\\_millions' ESCAPE '\\','0',iif(name LIKE "
                     "'%cost_picodollars','sum_money('||replace(name,'_picodollars','_millions')||','||"
                     "name||')',iif(type='TEXT',name,'sum128('||name||')'))))"
                     " FROM pragma_table_info('usage_daily') WHERE name<>'day_unix_s'");
    char *sql = sqlite3_mprintf(
        "SELECT (%s)/86400*86400,%s FROM %s GROUP BY 1,2,3,4,5,6,7,8 ORDER BY 1,2,3,4,5,6,7,8", time, columns,
        table);
    char *sums = kit_ask(kit, sql);
    sqlite3_free(columns);
    sqlite3_free(sql);
    return sums;
}

static void expect_days_exact(struct kit *kit)
{
    char *hours = sums_of(kit, "usage_hourly", "hour_unix_s");
    char *days = sums_of(kit, "usage_daily", "day_unix_s");
    assert_true(strlen(days) > 1000);
    assert_string_equal(days, hours);
    sqlite3_free(hours);
    sqlite3_free(days);
}

/* ---- reports ---- */

enum source { HOURS, DAYS_TOO, ROWS };

static char *answer(struct kit *kit, const struct report_query *query, enum source source, int64_t since_s,
                    int64_t until_s)
{
    char *sql = report_query_sql(query, source == ROWS);
    sqlite3_stmt *statement;
    sqlite3_str *text = sqlite3_str_new(NULL);
    int64_t days_s[2] = {until_s, until_s};
    int64_t factor = source == ROWS ? SECOND : 1;

    if (source == DAYS_TOO)
        report_query_days(query, since_s, until_s, days_s);
    if (sqlite3_prepare_v2(kit_reader(kit), sql, -1, &statement, NULL))
        fail_msg("%s: %s", sql, sqlite3_errmsg(kit->reader));
    sqlite3_bind_int64(statement, 1, since_s * factor);
    sqlite3_bind_int64(statement, 2, until_s == INT64_MAX ? until_s : until_s * factor);
    sqlite3_bind_int64(statement, 3, days_s[0]);
    sqlite3_bind_int64(statement, 4, days_s[1]);
    for (size_t i = 0; i < query->where_count; i++)
        sqlite3_bind_text(statement, (int)i + QUERY_VALUE, query->where[i].value, -1, SQLITE_STATIC);
    while (sqlite3_step(statement) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *cell = (const char *)sqlite3_column_text(statement, i);
            sqlite3_str_appendf(text, "%s%c", cell ? cell : "0",
                                i + 1 < sqlite3_column_count(statement) ? '|' : '\n');
        }
    sqlite3_finalize(statement);
    sqlite3_str_appendchar(text, 1, 0);
    free(sql);
    return sqlite3_str_finish(text);
}

static void random_query(struct report_query *query)
{
    static const char *const by[] = {
        "none",  "request_model", "provider,request_model", "service,team,status", "day,team",
        "month", "hour,status",   "key_fingerprint,day"};
    static const char *const where[] = {"team=openai", "provider=", "status=ok", "day=2023-11-17",
                                        "hour=2023-11-17T05:00:00Z"};
    memset(query, 0, sizeof *query);
    assert_int_equal(report_query_by(query, by[below(sizeof by / sizeof by[0])]), 0);
    if (below(3) == 0)
        assert_int_equal(report_query_where(query, where[below(sizeof where / sizeof where[0])]), 0);
}

static void any_range_adds_up(void **state)
{
    struct kit *kit = *state;
    unsigned days_used = 0;
    unsigned ranges = getenv("TALLY_TEST_LONG") ? 20000 : 400;

    live(kit);
    expect_days_exact(kit);
    for (unsigned i = 0; i < ranges; i++) {
        struct report_query query;
        int64_t days_s[2];
        int64_t since_s = FIRST_S + ((int64_t)below((DAYS + 2) * 24) - 24) * 3600;
        int64_t until_s = since_s + (1 + (int64_t)below((DAYS + 1) * 24)) * 3600;
        if (below(8) == 0)
            since_s = 0;
        if (below(8) == 0)
            until_s = INT64_MAX;
        random_query(&query);
        report_query_days(&query, since_s, until_s, days_s);
        days_used += days_s[0] < days_s[1];
        char *rows = answer(kit, &query, ROWS, since_s, until_s);
        char *hours = answer(kit, &query, HOURS, since_s, until_s);
        char *days = answer(kit, &query, DAYS_TOO, since_s, until_s);
        assert_string_equal(days, rows);
        assert_string_equal(hours, rows);
        sqlite3_free(rows);
        sqlite3_free(hours);
        sqlite3_free(days);
    }
    assert_true(days_used > ranges / 4);
    tries(ranges, "reports over random ranges");
}

static void days_of_a_range(void **state)
{
    struct report_query query = {0};
    int64_t days_s[2];
    (void)state;
    report_query_days(&query, 0, INT64_MAX, days_s);
    assert_true(days_s[0] == 0 && days_s[1] == INT64_MAX);
    report_query_days(&query, 3600, 3 * DAY - 3600, days_s);
    assert_true(days_s[0] == DAY && days_s[1] == 2 * DAY);
    report_query_days(&query, 3600, 2 * DAY - 3600, days_s); /* none is whole */
    assert_true(days_s[0] == days_s[1] && days_s[0] == 2 * DAY - 3600);
    report_query_days(&query, INT64_MAX - 10, INT64_MAX, days_s);
    assert_true(days_s[0] == days_s[1]);
    assert_int_equal(report_query_by(&query, "hour"), 0);
    report_query_days(&query, 0, INT64_MAX, days_s);
    assert_true(days_s[0] == days_s[1]);
}

/* ---- a database of before there were days ---- */

static const char schema_with_days[] =
#include "store/schema_v5.sql.inc"
    ;

static void days_are_made_from_hours(void **state)
{
    struct kit *kit = *state;
    live(kit);
    kit_sql(
        kit,
        "INSERT INTO usage_hourly SELECT hour_unix_s,'full',request_model,service,team,project,"
        "key_fingerprint,status,calls,iif(hour_unix_s%86400,9223372036854775807,5),output_tokens,"
        "cache_read_tokens,cache_write_5m_tokens,cache_write_1h_tokens,reasoning_tokens,input_audio_tokens,"
        "output_audio_tokens,input_image_tokens,output_image_tokens,duration_ns,input_tokens_unknown,"
        "output_tokens_unknown,duration_unknown,estimated,999999999999999999,calls,cost_picodollars,"
        "cost_unknown,7,cost_millions FROM usage_hourly WHERE provider='openai';"
        "INSERT INTO usage_hourly SELECT -hour_unix_s,'before 1970',request_model,service,team,project,"
        "key_fingerprint,status,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,NULL,0,NULL,0,0,0 FROM usage_hourly"
        " WHERE provider='openai';"
        "DROP TABLE usage_daily");
    kit_sql(kit, schema_with_days);
    kit_expect(kit,
               "SELECT max(input_tokens),typeof(max(input_tokens)),typeof(max(provider_cost_picodollars)),"
               "max(provider_cost_picodollars)<1000000000000000000 FROM usage_daily WHERE provider='full'",
               "9223372036854775807|integer|integer|1");
    kit_expect(
        kit,
        "SELECT count(*)>0 FROM usage_daily d WHERE provider='before 1970' AND calls<>(SELECT sum(calls) "
        "FROM usage_hourly h WHERE h.provider=d.provider AND h.request_model=d.request_model AND "
        "h.team=d.team AND h.status=d.status AND h.hour_unix_s>=d.day_unix_s AND "
        "h.hour_unix_s<d.day_unix_s+86400)",
        "0");
    kit_sql(kit, "DELETE FROM usage_hourly WHERE provider='before 1970';"
                 "DELETE FROM usage_daily WHERE provider='before 1970';"
                 "UPDATE usage_hourly SET input_tokens=0 WHERE provider='full';"
                 "UPDATE usage_daily SET input_tokens=0 WHERE provider='full'");
    expect_days_exact(kit);
}

static int setup(void **state)
{
    int result = kit_setup(state);
    struct kit *kit = *state;
    db_sums(kit_reader(kit));
    return result;
}

static int group_setup(void **state)
{
    (void)state;
    prices = list("{\"m\": {\"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 1e-05},"
                  "\"other\": {\"input_cost_per_token\": 3e-06, \"output_cost_per_token\": 2e-05}}");
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    price_table_free(prices);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_of_a_range),
        TEST(any_range_adds_up),
        TEST(days_are_made_from_hours),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
