/* Times and lengths as people write them; numbers and money, exactly. */
#include "../../tools/tally/number.h"
#include "../../tools/tally/when.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* 2026-11-22T10:30:15.5Z */
#define NOW (INT64_C(1795343415) * WHEN_SECOND_NS + 500000000)

static int64_t parsed(const char *text)
{
    int64_t ns = -1;

    assert_int_equal(when_parse(text, NOW, &ns), 0);
    return ns;
}

static int refused(const char *text)
{
    int64_t ns;

    return when_parse(text, NOW, &ns);
}

static void test_durations_go_back_from_now(void **state)
{
    (void)state;
    assert_int_equal(parsed("30s"), NOW - 30 * WHEN_SECOND_NS);
    assert_int_equal(parsed("30m"), NOW - 30 * 60 * WHEN_SECOND_NS);
    assert_int_equal(parsed("24h"), NOW - 24 * WHEN_HOUR_NS);
    assert_int_equal(parsed("7d"), NOW - 7 * 24 * WHEN_HOUR_NS);
    assert_int_equal(parsed("2w"), NOW - 14 * 24 * WHEN_HOUR_NS);
    assert_int_equal(parsed("now"), NOW);
}

static void test_dates_are_utc(void **state)
{
    char text[WHEN_BYTES];

    (void)state;
    assert_string_equal(when_exact(parsed("2026-11-22"), text), "2026-11-22T00:00:00Z");
    assert_string_equal(when_exact(parsed("today"), text), "2026-11-22T00:00:00Z");
    assert_string_equal(when_exact(parsed("yesterday"), text), "2026-11-21T00:00:00Z");
    assert_string_equal(when_exact(parsed("2026-11-22T10:00"), text), "2026-11-22T10:00:00Z");
    assert_string_equal(when_exact(parsed("2026-11-22 10:00:01Z"), text), "2026-11-22T10:00:01Z");
    assert_string_equal(when_exact(parsed("2026-11-22T10:00:00+02:00"), text), "2026-11-22T08:00:00Z");
    assert_string_equal(when_exact(parsed("2026-11-22T10:00:00.25-01:30"), text),
                        "2026-11-22T11:30:00.250000000Z");
    assert_string_equal(when_exact(parsed("2024-02-29"), text), "2024-02-29T00:00:00Z");
}

static void test_what_is_no_time(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "h",
                                      "24",
                                      "24 h",
                                      "-1h",
                                      "1.5h",
                                      "24H",
                                      "1h2m",
                                      "2026",
                                      "2026-11",
                                      "2026-11-22T",
                                      "2026-11-22T25:00",
                                      "2026-13-01",
                                      "2026-00-10",
                                      "2026-01-00",
                                      "2026-02-30",
                                      "2025-02-29",
                                      "2026-11-22T10:00:00+1",
                                      "2026-11-22T10:00x",
                                      "2026-11-22T10:00:00.Z",
                                      "2026-11-22x",
                                      " 24h"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(refused(bad[i]), -EINVAL);
    assert_int_equal(refused("1969-12-31"), -ERANGE);
    assert_int_equal(refused("9999-01-01"), -ERANGE);
    assert_int_equal(refused("99999999999999999999h"), -ERANGE);
    assert_int_equal(refused("9223372036854775807w"), -ERANGE);
    assert_int_equal(refused("5000w"), -ERANGE); /* before 1970 */
}

static void test_hours(void **state)
{
    (void)state;
    assert_int_equal(when_hour_down(NOW), parsed("2026-11-22T10:00"));
    assert_int_equal(when_hour_up(NOW), parsed("2026-11-22T11:00"));
    assert_int_equal(when_hour_up(parsed("2026-11-22T10:00")), parsed("2026-11-22T10:00"));
    assert_int_equal(when_hour_down(-1), -WHEN_HOUR_NS);
}

static void test_times_are_shown(void **state)
{
    char text[WHEN_BYTES];

    (void)state;
    assert_string_equal(when_shown(NOW, text), "2026-11-22 10:30:15");
    assert_string_equal(when_short(parsed("2026-11-22T10:30"), text), "2026-11-22 10:30");
    assert_string_equal(when_short(NOW, text), "2026-11-22 10:30:15");
    assert_string_equal(when_exact(-1, text), "1969-12-31T23:59:59.999999999Z");
}

static void test_lengths(void **state)
{
    int64_t ns = 0;

    (void)state;
    assert_int_equal(when_parse_length("850ms", &ns), 0);
    assert_int_equal(ns, 850000000);
    assert_int_equal(when_parse_length("0s", &ns), 0);
    assert_int_equal(ns, 0);
    assert_int_equal(when_parse_length("12", &ns), -EINVAL);
    assert_int_equal(when_parse_length("ms", &ns), -EINVAL);
}

static void test_numbers_are_strict(void **state)
{
    static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1x", "0x10", "1e3", "1.0"};
    int64_t number = 0;
    wide_t wide;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(number_parse(bad[i], INT64_MIN, INT64_MAX, &number), -EINVAL);
    assert_int_equal(number_parse("-9223372036854775808", INT64_MIN, INT64_MAX, &number), 0);
    assert_true(number == INT64_MIN);
    assert_int_equal(number_parse("9223372036854775808", INT64_MIN, INT64_MAX, &number), -ERANGE);
    assert_int_equal(number_parse("10", 0, 9, &number), -ERANGE);
    assert_int_equal(number_parse_wide("170141183460469231731687303715884105728", &wide), -ERANGE);
    assert_int_equal(number_parse_wide("-170141183460469231731687303715884105728", &wide), 0);
}

static void test_wide_sums_do_not_wrap(void **state)
{
    wide_t sum = INT64_MAX;
    char text[NUMBER_BYTES];

    (void)state;
    assert_int_equal(number_add(&sum, INT64_MAX), 0);
    assert_string_equal(number_text(sum, text), "18446744073709551614");
    assert_int_equal(number_parse_wide("170141183460469231731687303715884105727", &sum), 0);
    assert_string_equal(number_text(sum, text), "170141183460469231731687303715884105727");
    assert_int_equal(number_add(&sum, 1), -ERANGE);
    assert_string_equal(number_text(-sum - 1, text), "-170141183460469231731687303715884105728");
    assert_string_equal(number_text(0, text), "0");
}

static void test_money_is_exact(void **state)
{
    char text[NUMBER_BYTES];
    int64_t picodollars = 0;

    (void)state;
    assert_string_equal(money_text(1, text), "0.000000000001");
    assert_string_equal(money_text(0, text), "0.00");
    assert_string_equal(money_text(INT64_C(812000000), text), "0.000812");
    assert_string_equal(money_text(INT64_C(1500000000000), text), "1.50");
    assert_string_equal(money_text(-INT64_C(1250000000000), text), "-1.25");
    assert_string_equal(money_text((wide_t)INT64_MAX * 4, text), "36893488.147419103228");
    assert_int_equal(money_parse("0.0042", INT64_MAX, &picodollars), 0);
    assert_int_equal(picodollars, INT64_C(4200000000));
    assert_int_equal(money_parse("3", INT64_MAX, &picodollars), 0);
    assert_int_equal(picodollars, INT64_C(3000000000000));
    assert_int_equal(money_parse("0.0000000000001", INT64_MAX, &picodollars), -ERANGE);
    assert_int_equal(money_parse("1.", INT64_MAX, &picodollars), -EINVAL);
    assert_int_equal(money_parse(".5", INT64_MAX, &picodollars), -EINVAL);
    assert_int_equal(money_parse("1.2.3", INT64_MAX, &picodollars), -EINVAL);
    assert_int_equal(money_parse("1,5", INT64_MAX, &picodollars), -EINVAL);
    assert_int_equal(money_parse("-1", INT64_MAX, &picodollars), -ERANGE);
    assert_int_equal(money_parse("99999999", INT64_C(1000000000000000000), &picodollars), -ERANGE);
}

static void test_durations_and_sizes_for_people(void **state)
{
    char text[NUMBER_BYTES];

    (void)state;
    assert_string_equal(duration_text(850, text), "850ns");
    assert_string_equal(duration_text(12345678, text), "12ms");
    assert_string_equal(duration_text(INT64_C(4567000000), text), "4.56s");
    assert_string_equal(duration_text(INT64_C(723000000000), text), "12m03s");
    assert_string_equal(duration_text(INT64_C(11040) * 1000000000, text), "3h04m");
    assert_string_equal(duration_text(INT64_C(439200) * 1000000000, text), "5d02h");
    assert_string_equal(bytes_text(812, text), "812 B");
    assert_string_equal(bytes_text(128 << 10, text), "128 KiB");
    assert_string_equal(bytes_text(UINT64_C(3) << 29, text), "1.5 GiB");
    assert_string_equal(bytes_text(UINT64_MAX, text), "15.9 EiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations_go_back_from_now),
        cmocka_unit_test(test_dates_are_utc),
        cmocka_unit_test(test_what_is_no_time),
        cmocka_unit_test(test_hours),
        cmocka_unit_test(test_times_are_shown),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_numbers_are_strict),
        cmocka_unit_test(test_wide_sums_do_not_wrap),
        cmocka_unit_test(test_money_is_exact),
        cmocka_unit_test(test_durations_and_sizes_for_people),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
