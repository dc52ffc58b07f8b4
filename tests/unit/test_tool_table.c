/* One table as a person, a spreadsheet and a program see it. */
#include "../../tools/tally/document.h"
#include "../../tools/tally/table.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct table_column columns[] = {
    {"name", "NAME", TABLE_SHRINK, 0}, {"tokens", "TOKENS", TABLE_RIGHT, 0},
    {"rare", "RARE", TABLE_RIGHT, 2},  {"pretty", "PRETTY", TABLE_PEOPLE, 1},
    {"exact", "EXACT", TABLE_DATA, 0},
};

static struct table *sample(void)
{
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));

    table_row(table);
    table_text(table, 0, "claude-sonnet-4-5-20250929");
    table_integer(table, 1, (wide_t)INT64_MAX * 2);
    table_integer(table, 2, 7);
    table_show(table, 3, "seven");
    table_bool(table, 4, true);
    table_row(table);
    table_text(table, 0, "a,\"b\"\x1b[0m");
    table_show(table, 1, "unknown");
    return table;
}

struct output {
    char *text;
    size_t length;
    FILE *file;
};

static FILE *output_open(struct output *output)
{
    output->file = open_memstream(&output->text, &output->length);
    assert_non_null(output->file);
    return output->file;
}

static void output_check(struct output *output, const char *wanted)
{
    fclose(output->file);
    assert_string_equal(output->text, wanted);
    free(output->text);
}

static void test_wide_enough(void **state)
{
    struct table *table = sample();
    struct output output;

    (void)state;
    assert_int_equal(table_print(table, output_open(&output), 0), 0);
    output_check(&output, "NAME                                     TOKENS RARE PRETTY\n"
                          "claude-sonnet-4-5-20250929 18446744073709551614    7 seven\n"
                          "a,\"b\"\\x1b[0m                            unknown    - -\n");
    table_free(table);
}

static void test_narrow_leaves_out_and_shortens(void **state)
{
    struct table *table = sample();
    struct output output;

    (void)state;
    assert_int_equal(table_print(table, output_open(&output), 35), 2);
    output_check(&output, "NAME                         TOKENS\n"
                          "claude-sonnet\u2026 18446744073709551614\n"
                          "a,\"b\"\\x1b[0m                unknown\n");
    table_free(table);
}

static void test_numbers_are_never_cut(void **state)
{
    struct table *table = sample();
    struct output output;

    (void)state;
    table_print(table, output_open(&output), 10);
    fclose(output.file);
    assert_non_null(strstr(output.text, "18446744073709551614"));
    free(output.text);
    table_free(table);
}

static void test_going_on_keeps_the_widths(void **state)
{
    struct table *table = sample();
    struct output output;

    (void)state;
    table_print(table, output_open(&output), 0);
    fclose(output.file);
    free(output.text);
    table_continue(table);
    table_row(table);
    table_text(table, 0, "x");
    table_integer(table, 1, 5);
    table_print(table, output_open(&output), 0);
    output_check(&output, "x                                             5    - -\n");
    table_free(table);
}

static void test_csv(void **state)
{
    struct table *table = sample();
    struct output output;

    (void)state;
    table_csv_heading(table, output_open(&output));
    table_csv(table, output.file, false);
    output_check(&output, "name,tokens,rare,exact\n"
                          "claude-sonnet-4-5-20250929,18446744073709551614,7,true\n"
                          "\"a,\"\"b\"\"\\x1b[0m\",,,\n");
    table_free(table);
}

static void test_json(void **state)
{
    struct table *table = sample();
    cJSON *json = table_json(table);
    char *text = cJSON_PrintUnformatted(json);

    (void)state;
    assert_string_equal(
        text, "[{\"name\":\"claude-sonnet-4-5-20250929\",\"tokens\":18446744073709551614,\"rare\":7,"
              "\"exact\":true},{\"name\":\"a,\\\"b\\\"\\u001b[0m\",\"tokens\":null,\"rare\":null,"
              "\"exact\":null}]");
    cJSON_free(text);
    cJSON_Delete(json);
    table_free(table);
}

static void test_documents_carry_a_version(void **state)
{
    cJSON *document = document_new("report", 1);
    char *text = cJSON_PrintUnformatted(document);

    (void)state;
    assert_string_equal(text, "{\"schema\":\"tally.report/1\",\"schema_version\":1}");
    cJSON_free(text);
    cJSON_Delete(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide_enough),
        cmocka_unit_test(test_narrow_leaves_out_and_shortens),
        cmocka_unit_test(test_numbers_are_never_cut),
        cmocka_unit_test(test_going_on_keeps_the_widths),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_documents_carry_a_version),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
