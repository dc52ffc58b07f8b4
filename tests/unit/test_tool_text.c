/* Text from records, made safe: what a terminal would obey never comes out. */
#include "../../tools/tally/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void check(char *(*make)(const char *), const char *given, const char *wanted)
{
    char *got = make(given);

    assert_string_equal(got, wanted);
    free(got);
}

static char *utf8(const char *text)
{
    return text_safe(text, strlen(text), TEXT_UTF8);
}

static char *ascii(const char *text)
{
    return text_safe(text, strlen(text), TEXT_ASCII);
}

static char *lines(const char *text)
{
    return text_safe(text, strlen(text), TEXT_LINES);
}

static char *json(const char *text)
{
    return text_json(text, strlen(text));
}

/* As bytes: in a string literal they would be what linters rightly look for in sources. */
static const char override[] = {'a', (char)0xE2, (char)0x80, (char)0xAE, 'b', '\0'}; /* right-to-left */
static const char isolate[] = {(char)0xE2, (char)0x81, (char)0xA6, 'x',
                               (char)0xE2, (char)0x81, (char)0xA9, '\0'};

static void test_harmless_text_stays(void **state)
{
    (void)state;
    check(utf8, "gpt-4o-mini", "gpt-4o-mini");
    check(utf8, "Zo\xC3\xAB \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80",
          "Zo\xC3\xAB \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80");
    check(ascii, "Zo\xC3\xAB", "Zo\\u00eb");
    check(utf8, "", "");
}

static void test_terminals_are_not_driven(void **state)
{
    (void)state;
    check(utf8, "a\x1b[31mb", "a\\x1b[31mb");
    check(utf8, "\x1b]0;title\x07", "\\x1b]0;title\\x07");
    check(utf8, "a\rb\nc\td\x7f", "a\\rb\\nc\\td\\x7f");
    check(utf8,
          "\xC2\x9B"
          "31m",
          "\\u009b31m"); /* C1: CSI in one character */
    check(utf8, override, "a\\u202eb");
    check(utf8, isolate, "\\u2066x\\u2069");
    check(utf8, "\xE2\x80\xA8", "\\u2028");
    check(utf8, "\xF3\xA0\x81\xA1", "\\U000e0061"); /* a tag character, invisible */
    check(utf8, "\xEF\xBB\xBF", "\\ufeff");
}

static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    check(utf8, "\xFF\xC3", "\\xff\\xc3");
    check(utf8, "\xC0\xAF", "\\xc0\\xaf");                   /* overlong */
    check(utf8, "\xED\xA0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
    check(utf8, "\xF4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* beyond Unicode */
    check(utf8,
          "\x9B"
          "31m",
          "\\x9b31m");
}

static void test_zero_bytes_do_not_end_it(void **state)
{
    (void)state;
    char *got = text_safe("a\0b", 3, TEXT_UTF8);
    assert_string_equal(got, "a\\x00b");
    free(got);
    got = text_json("a\0b", 3);
    assert_string_equal(got, "\"a\\u0000b\"");
    free(got);
}

static void test_json(void **state)
{
    (void)state;
    check(json, "a\"b\\c", "\"a\\\"b\\\\c\"");
    check(json, "a\nb\x1b\x7f", "\"a\\nb\\u001b\\u007f\"");
    check(json, "\xC2\x9B", "\"\\u009b\"");
    check(json, override, "\"a\\u202eb\"");
    check(json, "\xF3\xA0\x81\xA1", "\"\\udb40\\udc61\"");
    check(json, "Zo\xC3\xAB", "\"Zo\xC3\xAB\"");
    check(json, "\xFF", "\"\\ufffd\"");
}

static void test_csv(void **state)
{
    (void)state;
    check(text_csv, "plain", "plain");
    check(text_csv, "", "");
    check(text_csv, "a,b", "\"a,b\"");
    check(text_csv, "say \"x\"", "\"say \"\"x\"\"\"");
    check(text_csv, "two\nlines", "\"two\nlines\"");
    check(lines, "two\nlines\t\x1b\r", "two\nlines\t\\x1b\\r");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harmless_text_stays),
        cmocka_unit_test(test_terminals_are_not_driven),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
        cmocka_unit_test(test_zero_bytes_do_not_end_it),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_csv),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
