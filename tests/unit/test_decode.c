/* Records' fields as values: what is said, and what hostile bytes make of it. */
#include "unit/ledger_kit.h"

#include "ledger/decode.h"
#include "ledger/utf8.h"

static struct decode_scratch scratch;
static struct usage_record usage;
static struct client_record client;

static int decode(struct pen *pen)
{
    struct tally_record_header *header = (void *)pen->bytes;
    header->length = pen->length;
    return decode_usage(header, &usage, &scratch);
}

static void expect_text(struct text text, const char *expected)
{
    assert_non_null(text.data);
    assert_int_equal(text.length, strlen(expected));
    assert_memory_equal(text.data, expected, text.length);
}

static void every_usage_field(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
#define TALLY_X(id, name, bytes_max) pen_text(&p, id, #name);
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name)                                                                                    \
    if (id == TALLY_FIELD_status)                                                                            \
        pen_u32(&p, id, TALLY_STATUS_CANCELLED);                                                             \
    else if (id == TALLY_FIELD_http_status)                                                                  \
        pen_u32(&p, id, 429);                                                                                \
    else if (id % 2)                                                                                         \
        pen_u32(&p, id, 7000 + id);                                                                          \
    else                                                                                                     \
        pen_i64(&p, id, 7000 + id);
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
    pen_text(&p, TALLY_FIELD_usage_json, "{\"a\":1}");
    pen_id(&p, TALLY_FIELD_call_id, 'c');
    pen_u32(&p, TALLY_FIELD_call_step, TALLY_CALL_STEP_END);
    pen_u32(&p, TALLY_FIELD_call_records, 3);
    assert_int_equal(decode(&p), 0);
#define TALLY_X(id, name, bytes_max) expect_text(usage.values.texts[USAGE_TEXT_##name], #name);
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name)                                                                                    \
    assert_true(usage_number_known(&usage.values, USAGE_NUMBER_##name));                                     \
    if (id != TALLY_FIELD_status && id != TALLY_FIELD_http_status)                                           \
        assert_int_equal(usage.values.numbers[USAGE_NUMBER_##name], 7000 + id);
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
    assert_int_equal(usage.values.numbers[USAGE_NUMBER_status], TALLY_STATUS_CANCELLED);
    assert_int_equal(usage.values.numbers[USAGE_NUMBER_http_status], 429);
    expect_text(usage.values.usage_json, "{\"a\":1}");
    assert_true(usage.has_call_id);
    assert_int_equal(usage.call_step, TALLY_CALL_STEP_END);
    assert_int_equal(usage.call_records, 3);
    assert_int_equal(usage.values.truncated, 0);
}

static void nothing_said_is_unknown(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    assert_int_equal(decode(&p), 0);
    for (int i = 0; i < USAGE_TEXTS; i++)
        assert_null(usage.values.texts[i].data);
    assert_int_equal(usage.values.numbers_known, 0);
    assert_null(usage.values.usage_json.data);
    assert_false(usage.has_call_id);
    assert_int_equal(usage.call_step, -1);
    assert_int_equal(usage.call_records, -1);
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    pen_field(&p, 200, 77, "whatever", 8);
    pen_text(&p, TALLY_FIELD_provider, "x");
    pen_field(&p, 250, TALLY_TYPE_TEXT, "", 0);
    assert_int_equal(decode(&p), 0);
    expect_text(usage.values.texts[USAGE_TEXT_provider], "x");
}

static void the_last_of_several_counts(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    pen_text(&p, TALLY_FIELD_provider, "first");
    pen_u32(&p, TALLY_FIELD_input_tokens, 1);
    pen_text(&p, TALLY_FIELD_provider, "last");
    pen_i64(&p, TALLY_FIELD_input_tokens, 2);
    assert_int_equal(decode(&p), 0);
    expect_text(usage.values.texts[USAGE_TEXT_provider], "last");
    assert_int_equal(usage.values.numbers[USAGE_NUMBER_input_tokens], 2);
}

static void wrong_types_and_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        int id, type;
        size_t length;
    } wrong[] = {
        {TALLY_FIELD_provider, TALLY_TYPE_U32, 4},      {TALLY_FIELD_provider, TALLY_TYPE_BYTES, 4},
        {TALLY_FIELD_input_tokens, TALLY_TYPE_U32, 8},  {TALLY_FIELD_input_tokens, TALLY_TYPE_I64, 4},
        {TALLY_FIELD_input_tokens, TALLY_TYPE_TEXT, 4}, {TALLY_FIELD_call_id, TALLY_TYPE_BYTES, 15},
        {TALLY_FIELD_call_id, TALLY_TYPE_TEXT, 16},     {TALLY_FIELD_usage_json, TALLY_TYPE_BYTES, 4},
        {TALLY_FIELD_call_step, TALLY_TYPE_U32, 2},     {TALLY_FIELD_truncated, TALLY_TYPE_U32, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
        pen_field(&p, wrong[i].id, wrong[i].type, "0123456789abcdef", wrong[i].length);
        assert_int_equal(decode(&p), -EBADMSG);
    }
}

static void a_field_past_the_end_is_refused(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    pen_text(&p, TALLY_FIELD_provider, "openai");
    struct tally_field field = {TALLY_FIELD_team, TALLY_TYPE_TEXT,
                                5}; /* 16 bytes in all, of which 8 are there */
    memcpy(p.bytes + p.length, &field, sizeof field);
    p.length += 8;
    assert_int_equal(decode(&p), -EBADMSG);
    field.length = UINT16_MAX;
    memcpy(p.bytes + p.length - 8, &field, sizeof field);
    assert_int_equal(decode(&p), -EBADMSG);
}

static void numbers_out_of_range_are_unknown_and_named(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    pen_i64(&p, TALLY_FIELD_input_tokens, INT64_C(1000000000000000));
    pen_i64(&p, TALLY_FIELD_output_tokens, INT64_C(1000000000000001));
    pen_i64(&p, TALLY_FIELD_reasoning_tokens, -5);
    pen_i64(&p, TALLY_FIELD_provider_cost_picodollars, INT64_C(1000000000000000000));
    pen_i64(&p, TALLY_FIELD_duration_ns, INT64_MAX);
    pen_i64(&p, TALLY_FIELD_start_time_unix_ns, INT64_MIN);
    pen_u32(&p, TALLY_FIELD_http_status, 600);
    pen_u32(&p, TALLY_FIELD_status, 4);
    assert_int_equal(decode(&p), 0);
    assert_true(usage_number_known(&usage.values, USAGE_NUMBER_input_tokens));
    assert_true(usage_number_known(&usage.values, USAGE_NUMBER_provider_cost_picodollars));
    assert_true(usage_number_known(&usage.values, USAGE_NUMBER_duration_ns));
    assert_false(usage_number_known(&usage.values, USAGE_NUMBER_output_tokens));
    assert_false(usage_number_known(&usage.values, USAGE_NUMBER_start_time_unix_ns));
    assert_false(usage_number_known(&usage.values, USAGE_NUMBER_status));
    assert_int_equal(usage.values.truncated,
                     UINT64_C(1) << TALLY_FIELD_output_tokens | UINT64_C(1) << TALLY_FIELD_reasoning_tokens |
                         UINT64_C(1) << TALLY_FIELD_start_time_unix_ns |
                         UINT64_C(1) << TALLY_FIELD_http_status | UINT64_C(1) << TALLY_FIELD_status);
}

static void text_is_mended(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        const char *text;
    } cases[] = {
        {"plain text of some length", 25, "plain text of some length"},
        {"gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f"},
        {"a\0b", 3,
         "a\xef\xbf\xbd"
         "b"},
        {"eight by\0", 9, "eight by\xef\xbf\xbd"},
        {"\xff\xfe", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"x\xc3", 2, "x\xef\xbf\xbd"},                               /* cut within a character */
        {"\xe2\x82", 2, "\xef\xbf\xbd"},                             /* one for what belongs together */
        {"\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* past the last */
        {"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
        pen_field(&p, TALLY_FIELD_team, TALLY_TYPE_TEXT, cases[i].bytes, cases[i].length);
        pen_field(&p, TALLY_FIELD_user, TALLY_TYPE_TEXT, cases[i].bytes, cases[i].length);
        assert_int_equal(decode(&p), 0);
        expect_text(usage.values.texts[USAGE_TEXT_team], cases[i].text);
        expect_text(usage.values.texts[USAGE_TEXT_user], cases[i].text);
    }
}

static void a_record_of_bad_bytes_fits_the_scratch(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
    char bad[TALLY_RECORD_BYTES_MAX];
    memset(bad, 0xff, sizeof bad);
    pen_field(&p, TALLY_FIELD_usage_json, TALLY_TYPE_TEXT, bad, TALLY_RECORD_BYTES_MAX - p.length - 4);
    assert_int_equal(p.length, TALLY_RECORD_BYTES_MAX);
    assert_int_equal(decode(&p), 0);
    assert_int_equal(usage.values.usage_json.length, 3 * (TALLY_RECORD_BYTES_MAX - 44));
}

static void every_client_field(void **state)
{
    (void)state;
    struct pen p = pen(TALLY_KIND_CLIENT, 0, KIT_TIME);
    struct tally_record_header *header = (void *)p.bytes;
    pen_id(&p, TALLY_FIELD_session_id, 's');
    pen_u32(&p, TALLY_FIELD_pid, 12);
    pen_u32(&p, TALLY_FIELD_tid, 13);
    pen_i64(&p, TALLY_FIELD_start_time, 14);
    pen_i64(&p, TALLY_FIELD_process_start_time, 15);
    pen_i64(&p, TALLY_FIELD_pid_namespace, 16);
    pen_u32(&p, TALLY_FIELD_uid, UINT32_MAX);
    pen_text(&p, TALLY_FIELD_host, "h");
    pen_text(&p, TALLY_FIELD_executable, "/e");
    pen_text(&p, TALLY_FIELD_service, "s");
    pen_text(&p, TALLY_FIELD_client_tags, "k=v");
    pen_text(&p, TALLY_FIELD_resource_attributes, "r=a");
    pen_text(&p, TALLY_FIELD_library_version, "0");
    pen_u32(&p, TALLY_FIELD_tenure, 17);
    pen_i64(&p, TALLY_FIELD_predecessor_sequence, 18);
    pen_i64(&p, TALLY_FIELD_predecessor_final, 19);
    pen_i64(&p, TALLY_FIELD_predecessor_refused, -20);
    pen_u32(&p, TALLY_FIELD_client_truncated, 1);
    header->length = p.length;
    assert_int_equal(decode_client(header, &client, &scratch), 0);
    assert_true(client.has_session_id);
    assert_int_equal(client.pid + client.tid + client.start_time + client.process_start_time,
                     12 + 13 + 14 + 15);
    assert_int_equal(client.pid_namespace, 16);
    assert_int_equal(client.uid, UINT32_MAX);
    expect_text(client.host, "h");
    expect_text(client.executable, "/e");
    expect_text(client.service, "s");
    expect_text(client.tags, "k=v");
    expect_text(client.resource_attributes, "r=a");
    expect_text(client.library_version, "0");
    assert_int_equal(client.tenure, 17);
    assert_int_equal(client.predecessor_sequence, 18);
    assert_int_equal(client.predecessor_final, 19);
    assert_int_equal(client.predecessor_refused, -1);
    assert_true(client.truncated);
}

/* Whatever the bytes: an answer, no access outside of the record (the sanitizer looks at
 * an exact copy), and texts that are texts. */
static void hostile_bytes(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 60000; round++) {
        uint32_t length = 40 + 8 * (uint32_t)(random % 40);
        struct tally_record_header *record = malloc(length);
        unsigned char *bytes = (unsigned char *)record;
        assert_non_null(record);
        for (uint32_t i = 0; i < length; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[i] = (unsigned char)random;
            /* Fields that mean something, and short, come up often enough. */
            if (i >= 40 && i % 8 == 1 && random >> 60)
                bytes[i] &= 3;
            if (i >= 40 && i % 8 == 3)
                bytes[i] = 0;
            if (i >= 40 && i % 8 == 2 && random >> 63)
                bytes[i] = 4;
        }
        record->length = length;
        if (!decode_usage(record, &usage, &scratch))
            for (int i = 0; i < USAGE_TEXTS; i++)
                assert_true(utf8_sound(usage.values.texts[i].data ? usage.values.texts[i].data : "",
                                       usage.values.texts[i].length));
        (void)decode_client(record, &client, &scratch);
        free(record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_usage_field),
        cmocka_unit_test(nothing_said_is_unknown),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(the_last_of_several_counts),
        cmocka_unit_test(wrong_types_and_lengths_are_refused),
        cmocka_unit_test(a_field_past_the_end_is_refused),
        cmocka_unit_test(numbers_out_of_range_are_unknown_and_named),
        cmocka_unit_test(text_is_mended),
        cmocka_unit_test(a_record_of_bad_bytes_fits_the_scratch),
        cmocka_unit_test(every_client_field),
        cmocka_unit_test(hostile_bytes),
    };
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
