/* The record encoder: what it writes is read back here field by field; what is out of range is refused; text is cut at a
 * character's border and the record says so. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIELDS_MAX (TALLY_RECORD_BYTES_MAX - sizeof(struct tally_record_header))

static uint8_t fields[TALLY_RECORD_BYTES_MAX] __attribute__((aligned(8)));

static int encode(const struct tally_usage *usage, const struct encode_call *call)
{
    memset(fields, 0xA5, sizeof(fields));
    int length = encode_usage(fields, usage, call);
    if (length >= 0) {
        assert_int_equal(length % 8, 0);
        assert_true((size_t)length <= FIELDS_MAX);
        for (size_t i = (size_t)length + ENCODE_BEHIND; i < sizeof(fields); i++)
            assert_int_equal(fields[i], 0xA5);
    }
    return length;
}

/* A field's value, NULL if there is none; fails if it stands there twice or the chain is broken. */
static const uint8_t *find(int length, uint8_t id, uint8_t *type, uint16_t *bytes)
{
    const uint8_t *found = NULL;
    int at = 0;

    while (at < length) {
        struct tally_field field;
        memcpy(&field, fields + at, sizeof(field));
        int whole = (int)((4u + field.length + 7u) / 8u * 8u);
        assert_true(at + whole <= length);
        for (int i = at + 4 + field.length; i < at + whole; i++)
            assert_int_equal(fields[i], 0);
        if (field.id == id) {
            assert_null(found);
            found = fields + at + 4;
            *type = field.type;
            *bytes = field.length;
        }
        at += whole;
    }
    assert_int_equal(at, length);
    return found;
}

static void expect_text(int length, uint8_t id, const char *text)
{
    uint8_t type;
    uint16_t bytes;
    const uint8_t *value = find(length, id, &type, &bytes);

    assert_non_null(value);
    assert_int_equal(type, TALLY_TYPE_TEXT);
    assert_int_equal(bytes, strlen(text));
    assert_memory_equal(value, text, bytes);
}

/* -1: there is no such field. */
static int64_t number(int length, uint8_t id)
{
    uint8_t type;
    uint16_t bytes;
    const uint8_t *value = find(length, id, &type, &bytes);
    int64_t wide = 0;

    if (value == NULL)
        return -1;
    assert_int_equal(bytes, type == TALLY_TYPE_U32 ? 4 : 8);
    assert_true(type == TALLY_TYPE_U32 || type == TALLY_TYPE_I64);
    memcpy(&wide, value, bytes);
    return wide;
}

static void nothing_known_is_nothing_written(void **state)
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    (void)state;
    assert_int_equal(encode(&usage, NULL), 0);
    assert_int_equal(encode(NULL, NULL), 0);
    usage.provider = "";
    assert_int_equal(encode(&usage, NULL), 0);
}

static void every_field_by_its_name(void **state)
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    (void)state;
#define TALLY_X(id, name, bytes_max) usage.name = #name;
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
    usage.trace_id = "0af7651916cd43dd8448eb211c80319c";
    usage.span_id = "b7ad6b7169203331";
#define TALLY_X(id, name) usage.name = (id) == TALLY_FIELD_status ? TALLY_STATUS_ERROR : 100 + (id);
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
    usage.usage_json = "{\"a\":1}";
    usage.usage_json_length = 7;
    int length = encode(&usage, NULL);
    assert_true(length > 0);
#define TALLY_X(id, name, bytes_max) expect_text(length, id, usage.name);
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name) assert_int_equal(number(length, id), usage.name);
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
    expect_text(length, TALLY_FIELD_usage_json, "{\"a\":1}");
    assert_int_equal(number(length, TALLY_FIELD_truncated), -1);
    assert_int_equal(number(length, TALLY_FIELD_call_step), -1);
}

static void numbers_take_what_they_need(void **state)
{
    static const int64_t values[] = {0, 1, UINT32_MAX, INT64_C(1) << 32, INT64_C(1000000000000000)};
    struct tally_usage usage = TALLY_USAGE_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        usage.input_tokens = values[i];
        int length = encode(&usage, NULL);
        assert_int_equal(length, values[i] > UINT32_MAX ? 16 : 8);
        assert_int_equal(number(length, TALLY_FIELD_input_tokens), values[i]);
    }
}

static void out_of_range_is_refused(void **state)
{
    static const int64_t bad[] = {-2, INT64_MIN, INT64_C(1000000000000001), INT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tally_usage usage = TALLY_USAGE_INIT;
        usage.output_image_tokens = bad[i];
        assert_int_equal(encode(&usage, NULL), -ERANGE);
    }
    struct tally_usage usage = TALLY_USAGE_INIT;
    usage.status = 4;
    assert_int_equal(encode(&usage, NULL), -ERANGE);
    usage.status = -1;
    usage.http_status = 600;
    assert_int_equal(encode(&usage, NULL), -ERANGE);
    usage.http_status = 599;
    usage.duration_ns = -7;
    assert_int_equal(encode(&usage, NULL), -ERANGE);
    usage.duration_ns = 0;
    usage.provider_cost_picodollars = INT64_C(1000000000000000001);
    assert_int_equal(encode(&usage, NULL), -ERANGE);
    usage.provider_cost_picodollars = INT64_C(1000000000000000000);
    assert_true(encode(&usage, NULL) > 0);
}

static void text_is_cut_at_a_character(void **state)
{
    static const struct {
        const char *text;
        uint32_t bytes_max;
        uint32_t kept;
    } cases[] = {
        {"abcd", 4, 4},
        {"abcde", 4, 4},
        {"abc\xC3\xA9", 5, 5}, /* é just fits */
        {"abc\xC3\xA9", 4, 3},
        {"a\xE2\x82\xAC", 3, 1}, /* € of three bytes */
        {"a\xE2\x82\xAC", 2, 1},
        {"a\xF0\x9F\x98\x80", 4, 1},        /* four bytes */
        {"\x80\x80\x80\x80\x80\x80", 5, 2}, /* no UTF-8 at all: not far back */
        {"", 4, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool cut;
        assert_int_equal(encode_cut(cases[i].text, cases[i].bytes_max, &cut), cases[i].kept);
        assert_int_equal(cut, strlen(cases[i].text) > cases[i].bytes_max);
    }
}

/* Texts of each length, at each distance from a page in which nothing may be read: by whatever steps it is copied, it is the
 * text, up to where it is cut, and zeros. With memcheck's way at the end, which cannot be taken back. */
static void text_at_a_pages_end(void **state)
{
    enum { LENGTHS = 300, DISTANCES = 40 };
    struct tally_usage usage = TALLY_USAGE_INIT;
    char *pages =
        mmap(NULL, 2 * TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char expected[201];

    (void)state;
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + TALLY_PAGE_BYTES, TALLY_PAGE_BYTES, PROT_NONE), 0);
    for (int watched = 0; watched < 2; watched++) {
        for (size_t text_bytes = 0; text_bytes < LENGTHS; text_bytes++)
            for (size_t distance = 0; distance < DISTANCES; distance++) {
                char *text = pages + TALLY_PAGE_BYTES - 1 - text_bytes - distance;
                memset(text, 'x', TALLY_PAGE_BYTES - (size_t)(text - pages)); /* behind its end, too */
                for (size_t i = 0; i < text_bytes; i++)
                    text[i] = (char)('a' + i % 26);
                text[text_bytes] = '\0';
                snprintf(expected, sizeof(expected), "%s", text);
                usage.request_model = text;
                usage.team = "search"; /* what comes next stands where the text ends */
                int length = encode(&usage, NULL);
                if (text_bytes > 0)
                    expect_text(length, TALLY_FIELD_request_model, expected);
                else
                    assert_true(length == 16);
                expect_text(length, TALLY_FIELD_team, "search");
                usage.team = NULL; /* nothing next */
                length = encode(&usage, NULL);
                if (text_bytes > 0)
                    expect_text(length, TALLY_FIELD_request_model, expected);
            }
        encode_watched();
    }
    munmap(pages, 2 * TALLY_PAGE_BYTES);
}

static void cut_fields_are_named(void **state)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    char model[300];

    (void)state;
    memset(model, 'm', sizeof(model) - 1);
    model[sizeof(model) - 1] = '\0';
    usage.request_model = model;
    usage.provider = "openai";
    int length = encode(&usage, NULL);
    model[200] = '\0';
    expect_text(length, TALLY_FIELD_request_model, model);
    expect_text(length, TALLY_FIELD_provider, "openai");
    assert_int_equal(number(length, TALLY_FIELD_truncated), INT64_C(1) << TALLY_FIELD_request_model);
}

/* Everything at its longest, and a usage object of each length: it always fits, and the object is whole or left out. */
static void the_largest_record_fits(void **state)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct encode_call call = {.step = TALLY_CALL_STEP_END};
    char text[700];
    static char json[70000];

    (void)state;
    memset(text, 't', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memset(json, 'j', sizeof(json));
#define TALLY_X(id, name, bytes_max) usage.name = text;
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name)                                                                                    \
    usage.name = (id) >= TALLY_FIELD_status ? ((id) == TALLY_FIELD_status ? 3 : 599) : 999999999999999;
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
    usage.usage_json = json;
    bool left_out = false;
    for (size_t bytes = 1; bytes <= sizeof(json); bytes += bytes < 3000 ? 1 : 997) {
        uint8_t type;
        uint16_t found;
        usage.usage_json_length = bytes;
        int length = encode(&usage, &call);
        assert_true(length > 0);
        const uint8_t *value = find(length, TALLY_FIELD_usage_json, &type, &found);
        if (value != NULL)
            assert_int_equal(found, bytes);
        else
            assert_true(number(length, TALLY_FIELD_truncated) < -1); /* bit 63 */
        if (bytes <= 1300)
            assert_non_null(value);
        assert_false(left_out && value != NULL);
        left_out = value == NULL;
    }
    assert_true(left_out);
}

static void calls_carry_their_id_and_step(void **state)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct encode_call call = {.step = 3};
    uint8_t type = 0;
    uint16_t bytes = 0;

    (void)state;
    memcpy(call.id, "0123456789abcdef", 16);
    usage.output_tokens = 5;
    int length = encode(&usage, &call);
    const uint8_t *value = find(length, TALLY_FIELD_call_id, &type, &bytes);
    assert_non_null(value);
    assert_int_equal(type, TALLY_TYPE_BYTES);
    assert_int_equal(bytes, 16);
    assert_memory_equal(value, "0123456789abcdef", 16);
    assert_int_equal(number(length, TALLY_FIELD_call_step), 3);
    assert_int_equal(number(length, TALLY_FIELD_output_tokens), 5);
    length = encode(NULL, &call);
    assert_int_equal(number(length, TALLY_FIELD_call_step), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_known_is_nothing_written),
        cmocka_unit_test(every_field_by_its_name),
        cmocka_unit_test(numbers_take_what_they_need),
        cmocka_unit_test(out_of_range_is_refused),
        cmocka_unit_test(text_is_cut_at_a_character),
        cmocka_unit_test(cut_fields_are_named),
        cmocka_unit_test(text_at_a_pages_end),
        cmocka_unit_test(the_largest_record_fits),
        cmocka_unit_test(calls_carry_their_id_and_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
