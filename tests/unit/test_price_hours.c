/* Prices that go by the hour: when they hold, to the nanosecond, and which lists are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "price/price.h"
#include "support/tries.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char error[PRICE_ERROR_BYTES];

/* ---- lists ---- */

#define OFF_PEAK_HOURS(hours)                                                                                \
    "{\"a\": {\"off_peak_pricing\": {\"input_cost_per_token\": 1, \"hours_utc\": " hours "}}}"
#define OFF_PEAK_DAYS(days)                                                                                  \
    OFF_PEAK_HOURS("\"1:00-2:00\", \"windows\": [{\"hours_utc\": \"1:00-2:00\", \"weekdays\": " days "}]")

static void hours_that_are_not_sound_refuse_the_list(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"{\"a\": {\"off_peak_pricing\": []}}", "\"a\": \"off_peak_pricing\": must be an object"},
        {"{\"a\": {\"off_peak_pricing\": {}}}", "\"off_peak_pricing\": states no hours"},
        {"{\"a\": {\"off_peak_pricing\": {\"input_cost_per_token\": 1}}}", "states no hours"},
        {"{\"a\": {\"off_peak_pricing\": {\"input_cost_per_token\": 1, \"hours_utc\": []}}}",
         "states no hours"},
        {"{\"a\": {\"off_peak_pricing\": {\"hours_utc\": \"01:00-02:00\"}}}", "states no price"},
        {"{\"a\": {\"off_peak_pricing\": {\"input_cost_per_token\": \"1\"}}}", "must be a number"},
        {OFF_PEAK_HOURS("5"), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("\"\""), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("\"01:00\""), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("\"01:00-\""), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("\"01:00-24:00\""), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("\"01:60-02:00\""), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("\"1-2\""), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("\"01:00-02:00Z\""), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("[\"01:00-02:00\", {}]"), "\"hours_utc\" must be hours"},
        {OFF_PEAK_HOURS("[\"01:00-02:00\" 5]"), "is missing"},
        {OFF_PEAK_HOURS("\"01:00-02:00\", \"weekday_timezone\": 8"), "must be a string"},
        {OFF_PEAK_HOURS("\"01:00-02:00\", \"windows\": {}"), "must be a list of objects"},
        {OFF_PEAK_HOURS("\"01:00-02:00\", \"windows\": [1]"), "must be a list of objects"},
        {OFF_PEAK_HOURS("\"01:00-02:00\", \"windows\": [{\"weekdays\": [1]}]"), "states no hours"},
        {OFF_PEAK_DAYS("[]"), "\"weekdays\" must be"},
        {OFF_PEAK_DAYS("1"), "\"weekdays\" must be"},
        {OFF_PEAK_DAYS("[0]"), "\"weekdays\" must be"},
        {OFF_PEAK_DAYS("[8]"), "\"weekdays\" must be"},
        {OFF_PEAK_DAYS("[1.5]"), "\"weekdays\" must be"},
        {OFF_PEAK_DAYS("[\"someday\"]"), "\"weekdays\" must be"},
        {OFF_PEAK_DAYS("[true]"), "\"weekdays\" must be"},
        {OFF_PEAK_HOURS("\"01:00-02:00\"}, \"off_peak_pricing\": {\"hours_utc\": \"01:00-02:00\""),
         "occurs twice"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct price_table *table;
        int result = price_table_read(&table, "list", bad[i].text, strlen(bad[i].text), error);
        if (result != -EINVAL || table || !strstr(error, "\"a\": \"off_peak_pricing\": ") ||
            !strstr(error, bad[i].says))
            fail_msg("%s: %d, \"%s\" instead of \"%s\"", bad[i].text, result, error, bad[i].says);
    }
}

/* ---- costs ---- */

static struct price_result result;

/* counts: of input, output, cache read, cache written, reasoning, audio. */
static const struct price_result *cost(const char *entry, int64_t at, const char *tier,
                                       const int64_t counts[6])
{
    static const enum quantity which[6] = {QUANTITY_input_tokens,      QUANTITY_output_tokens,
                                           QUANTITY_cache_read_tokens, QUANTITY_cache_write_5m_tokens,
                                           QUANTITY_reasoning_tokens,  QUANTITY_input_audio_tokens};
    char text[2048];
    struct price_table *table;
    struct quantities quantities;
    struct price_call call = {.names = {.request_model = {"m", 1}},
                              .service_tier = {tier, tier ? strlen(tier) : 0},
                              .time_unix_ns = at,
                              .quantities = &quantities};
    snprintf(text, sizeof text, "{\"m\": {%s}}", entry);
    if (price_table_read(&table, "list", text, strlen(text), error))
        fail_msg("%s", error);
    quantities_init(&quantities);
    for (int i = 0; i < 6; i++)
        quantities.of[which[i]] = counts[i];
    price(table, NULL, &call, &result);
    result.entry = NULL; /* goes with the table */
    price_table_free(table);
    return &result;
}

#define IN_OUT          "\"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 1e-05"
#define OFF_PEAK(hours) "\"off_peak_pricing\": {\"input_cost_per_token\": 5e-07, " hours "}"
#define COUNTS(...)     ((const int64_t[6]){__VA_ARGS__})

#define SECOND INT64_C(1000000000)

/* Nanoseconds since 1970 of a second of that week: 2026-11-16 was a Monday (day 1). */
static int64_t moment(int day, int hour, int minute, int second)
{
    return (INT64_C(1794787200) + (day - 1) * 86400 + hour * 3600 + minute * 60 + second) * SECOND;
}

/* What a million input tokens cost at the nanosecond before `at`, and at it, in dollars. */
static void expect_turn(const char *entry, int64_t at, int before, int from_then_on)
{
    assert_int_equal(cost(entry, at - 1, NULL, COUNTS(1000000))->outcome, PRICE_KNOWN);
    assert_int_equal(result.picodollars, before * INT64_C(1000000000000));
    assert_int_equal(cost(entry, at, NULL, COUNTS(1000000))->outcome, PRICE_KNOWN);
    assert_int_equal(result.picodollars, from_then_on * INT64_C(1000000000000));
    assert_true(result.off_peak == (from_then_on == 1) && result.lines[0].off_peak == result.off_peak);
}

/* 2 dollars a million at peak, 1 off peak. */
#define BY_HOUR(hours)                                                                                       \
    "\"input_cost_per_token\": 2e-06, \"output_cost_per_token\": 1e-05, \"off_peak_pricing\": "              \
    "{\"input_cost_per_token\": 1e-06, " hours "}"

static void hours_begin_and_end_to_the_nanosecond(void **state)
{
    static const char day[] = BY_HOUR("\"hours_utc\": [\"04:00-06:00\", \" 9:15 - 09:16 \"]");
    static const char night[] = BY_HOUR("\"hours_utc\": \"16:30-00:30\"");
    static const char to_midnight[] = BY_HOUR("\"hours_utc\": \"10:00-00:00\"");
    (void)state;
    for (int weekday = 1; weekday <= 7; weekday++) {
        expect_turn(day, moment(weekday, 4, 0, 0), 2, 1);
        expect_turn(day, moment(weekday, 6, 0, 0), 1, 2);
        expect_turn(day, moment(weekday, 9, 15, 0), 2, 1);
        expect_turn(day, moment(weekday, 9, 16, 0), 1, 2);
        expect_turn(day, moment(weekday, 0, 0, 0), 2, 2);
        expect_turn(night, moment(weekday, 16, 30, 0), 2, 1);
        expect_turn(night, moment(weekday, 24, 0, 0), 1, 1);
        expect_turn(night, moment(weekday, 0, 30, 0), 1, 2);
        expect_turn(to_midnight, moment(weekday, 10, 0, 0), 2, 1);
        expect_turn(to_midnight, moment(weekday, 24, 0, 0), 1, 2);
        expect_turn(BY_HOUR("\"hours_utc\": \"07:00-07:00\""), moment(weekday, 7, 0, 0), 1, 1);
    }
    /* each second of a day */
    struct price_window window = {16 * 60 + 30, 30, 0x7f};
    for (int second = 0; second < 86400; second++)
        assert_int_equal(price_windows_open(&window, 1, 0, moment(1, 0, 0, second)),
                         second < 1800 || second >= 59400);
    tries(86400 + 7 * 11, "seconds of a day, and both sides of hours' ends");
    assert_false(price_windows_open(NULL, 0, 0, moment(1, 0, 0, 0)));
    assert_true(price_windows_open(&window, 1, 0, -1)); /* no such time: that of 1970 */
}

/* The day on which a call starts counts, in UTC or where the list says. */
static void weekdays_are_those_of_the_list_s_calendar(void **state)
{
    static const char utc[] = BY_HOUR("\"windows\": [{\"hours_utc\": \"22:00-02:00\", \"weekdays\": [5]}]");
    static const char china[] =
        BY_HOUR("\"windows\": [{\"weekdays\": [\"Sat\", \"sunday\"], \"hours_utc\": [\"00:00-00:00\"]}],"
                " \"weekday_timezone\": \"Asia/Shanghai\"");
    (void)state;
    expect_turn(utc, moment(5, 0, 0, 0), 2, 1);
    expect_turn(utc, moment(5, 2, 0, 0), 1, 2);
    expect_turn(utc, moment(5, 22, 0, 0), 2, 1);
    expect_turn(utc, moment(6, 0, 0, 0), 1, 2);
    expect_turn(china, moment(5, 16, 0, 0), 2, 1);
    expect_turn(china, moment(6, 16, 0, 0), 1, 1);
    expect_turn(china, moment(7, 16, 0, 0), 1, 2);
    for (int weekday = 1; weekday <= 7; weekday++) { /* hours_utc holds every day beside "windows" */
        expect_turn(BY_HOUR("\"hours_utc\": \"10:00-11:00\", \"windows\": [{\"hours_utc\": \"12:00-13:00\","
                            " \"weekdays\": [3]}]"),
                    moment(weekday, 12, 0, 0), 2, weekday == 3 ? 1 : 2);
        expect_turn(BY_HOUR("\"hours_utc\": \"10:00-11:00\", \"windows\": [{\"hours_utc\": \"12:00-13:00\","
                            " \"weekdays\": null}]"),
                    moment(weekday, 11, 0, 0), 1, 2);
    }
}

/* An off-peak price stands for the standard one, whatever the tier; what has none keeps its own. */
static void off_peak_prices_among_others(void **state)
{
    static const char entry[] =
        "\"input_cost_per_token\": 2e-06, \"output_cost_per_token\": 1e-05,"
        " \"output_cost_per_reasoning_token\": 1e-05, \"cache_read_input_token_cost\": 1e-06,"
        " \"cache_creation_input_token_cost\": 3e-06, \"input_cost_per_token_above_100_tokens\": 4e-06,"
        " \"input_cost_per_token_flex\": 7e-06, \"input_cost_per_token_ultrafast\": 9e-06,"
        " \"output_cost_per_token_ultrafast\": 1e-05,"
        " \"off_peak_pricing\": {\"hours_utc\": \"01:00-02:00\", \"input_cost_per_token\": 1e-06,"
        " \"output_cost_per_token\": 5e-06, \"cache_read_input_token_cost\": 0, \"reasoning\": null}";
    (void)state;
    static const struct {
        int hour;
        const char *tier;
        int64_t counts[6];
        int64_t micros;
    } calls[] = {
        {1, NULL, {100, 10}, 150},
        {1, NULL, {101, 10}, 151}, /* the tier's price at other hours */
        {1, NULL, {100, 10, 60}, 90},
        {1, NULL, {100, 10, 0, 60}, 270},
        {1, NULL, {100, 10, 0, 0, 4}, 150}, /* priced like output at other hours */
        {1, NULL, {100, 10, 0, 0, 0, 50}, 150},
        {1, "flex", {100, 10}, 750},
        {1, "ultrafast", {100, 10}, 1000},
        {2, NULL, {100, 10}, 300},
        {2, NULL, {101, 10}, 504},
        {2, NULL, {100, 10, 60}, 240},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        int64_t at = moment(1, calls[i].hour, 0, 0);
        assert_int_equal(cost(entry, at, calls[i].tier, calls[i].counts)->outcome, PRICE_KNOWN);
        assert_int_equal(result.picodollars, calls[i].micros * 1000000);
    }
}

/* What is said about the hours and is not known here makes the cost unknown, at all hours. */
static void hours_that_cannot_be_read_leave_the_cost_unknown(void **state)
{
    static const char *const unread[] = {
        "\"pricing_periods\": [{\"input_cost_per_token\": 5e-07}]",
        OFF_PEAK("\"hours_utc\": \"16:30-00:30\", \"holidays\": [\"2026-10-01\"]"),
        OFF_PEAK("\"hours_utc\": \"16:30-00:30\", \"weekday_timezone\": \"Europe/Berlin\""),
        OFF_PEAK("\"hours_utc\": \"16:30-00:30\", \"output_cost_per_token_priority\": 1"),
        OFF_PEAK("\"windows\": [{\"hours_utc\": \"16:30-00:30\", \"dates\": [\"2026-10-01\"]}]"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof unread / sizeof unread[0]; i++) {
        char entry[300];
        snprintf(entry, sizeof entry, "%s, %s", IN_OUT, unread[i]);
        assert_int_equal(cost(entry, moment(1, 3, 0, 0), NULL, COUNTS(5, 5))->outcome, PRICE_NO_RATE);
    }
}

/* What DeepSeek's price page says: peak is from Monday to Friday, 01:00 to 04:00 and 06:00 to 10:00 UTC, at twice the price. */
static void the_built_in_list_is_deepseek_s(void **state)
{
    static const char *const models[] = {"deepseek/deepseek-flash", "deepseek/deepseek-v4-flash",
                                         "deepseek/deepseek-v4-pro"};
    struct price_table *table;
    struct quantities quantities;
    (void)state;
    if (price_table_builtin(&table, error))
        fail_msg("%s", error);
    quantities_init(&quantities);
    quantities.of[QUANTITY_input_tokens] = 1000000;
    quantities.of[QUANTITY_cache_read_tokens] = 500000;
    quantities.of[QUANTITY_output_tokens] = 1000000;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++)
        for (int hour = 0; hour < 7 * 24; hour++)
            for (int edge = 0; edge < 2; edge++) { /* the first and the last second of each hour of a week */
                int day = hour / 24 + 1;
                int of_day = hour % 24;
                bool peak = day <= 5 && ((of_day >= 1 && of_day < 4) || (of_day >= 6 && of_day < 10));
                struct price_call call = {.names = {.request_model = {models[m], strlen(models[m])}},
                                          .time_unix_ns = moment(day, of_day, 0, edge ? 3599 : 0),
                                          .quantities = &quantities};
                price(table, NULL, &call, &result);
                assert_int_equal(result.outcome, PRICE_KNOWN);
                assert_int_equal(result.off_peak, !peak);
                int64_t whole = m == 2 ? INT64_C(4642000000000) : INT64_C(1353000000000);
                assert_int_equal(result.picodollars, peak ? whole : whole / 2);
            }
    tries(3 * 7 * 24 * 2, "first and last seconds of a week's hours, at DeepSeek's prices");
    result.entry = NULL;
    price_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hours_that_are_not_sound_refuse_the_list),
        cmocka_unit_test(hours_begin_and_end_to_the_nanosecond),
        cmocka_unit_test(weekdays_are_those_of_the_list_s_calendar),
        cmocka_unit_test(off_peak_prices_among_others),
        cmocka_unit_test(hours_that_cannot_be_read_leave_the_cost_unknown),
        cmocka_unit_test(the_built_in_list_is_deepseek_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
