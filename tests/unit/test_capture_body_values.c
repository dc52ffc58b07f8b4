/* What is picked besides usage: a request's values, the moment an answer begins, what went wrong; and AWS's frames. */
#include "unit/body_kit.h"

#include "support/tries.h"

static struct picked picked;
static struct understood understood;

/* ---- requests ---- */

static const char *of_request(const char *body, enum body_value which, size_t piece)
{
    kit_feed(&picked, BODY_REQUEST_JSON, "team,n,yes,user_id", body, strlen(body), piece);
    picked.news = body_finish(&picked.body);
    return body_text(&picked.body, which);
}

static const struct {
    const char *body;
    const char *model;
    const char *tier;
    const char *user;
    const char *metadata;
    bool streams;
} requests[] = {
    {"{\"model\":\"gpt-5\",\"stream\":true,\"service_tier\":\"flex\",\"user\":\"u\"}", "gpt-5", "flex", "u",
     "", true},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"\\\"model\\\":\\\"SECRET\\\"\"}],\"stream\":false,"
     "\"model\":\"m\",\"tools\":[{\"model\":\"SECRET\",\"user\":\"SECRET\"}]}",
     "m", "", "", "", false},
    {"{\"metadata\":{\"team\":\"a=b,c\",\"secret\":\"SECRET\",\"n\":5,\"yes\":true,\"x\":{\"team\":"
     "\"SECRET\"}}}",
     "", "", "", "team=a_b_c,n=5,yes=true", false},
    {"{\"metadata\":{\"user_id\":\"u1\"},\"stream\":\"true\"}", "", "", "u1", "user_id=u1", false},
    {"{\"metadata\":{\"team\":\"a\",\"user_id\":\"u1\"},\"user\":\"u2\"}", "", "", "u2", "team=a,user_id=u1",
     false},
    {"{\"user\":\"u2\",\"metadata\":{\"user_id\":\"u1\"}}", "", "", "u2", "user_id=u1", false},
    {"{\"model\":\"a\",\"model\":\"b\\u00e9\\ud83d\\ude00\\n\\ud83dx\"}",
     "b\xc3\xa9\xf0\x9f\x98\x80_\xef\xbf\xbdx", "", "", "", false},
    {"{\"model\":5,\"user\":null,\"metadata\":\"team\",\"service_tier\":[\"x\"]}", "", "", "", "", false},
    {"[{\"model\":\"in a list\"}]", "in a list", "", "", "", false},
    {"{\"model\":\"m\",\"user\":\"cut of", "m", "", "", "", false},
    {"{\"model\":\"m\",\"metadata\":{\"n\":1,\"team\":\"cut of", "m", "", "", "n=1", false},
    {"{\"model\":\"m\" \"user\":\"no JSON\"}", "m", "", "", "", false},
    {"--boundary\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper", "", "", "", "", false},
};

static void test_requests(void **state)
{
    unsigned long long count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        for (size_t piece = 0; piece < strlen(requests[i].body); piece++, count++) {
            assert_string_equal(of_request(requests[i].body, BODY_MODEL, piece), requests[i].model);
            assert_string_equal(body_text(&picked.body, BODY_SERVICE_TIER), requests[i].tier);
            assert_string_equal(body_text(&picked.body, BODY_USER), requests[i].user);
            assert_string_equal(body_metadata(&picked.body), requests[i].metadata);
            assert_string_equal(body_text(&picked.body, BODY_ERROR_TYPE), "");
            assert_int_equal(body_streams(&picked.body), requests[i].streams);
            assert_int_equal(body_usage_json(&picked.body, picked.json, sizeof picked.json), 0);
        }
    }
    tries(count, "requests in pieces");
}

/* Values are cut where a character begins; a pair of metadata is there whole, or not at all. */
static void test_long_values(void **state)
{
    char accents[301];
    char letters[601];
    char body[3000];
    (void)state;
    for (int i = 0; i < 300; i += 2)
        memcpy(accents + i, "\xc3\xa9", 3);
    memset(letters, 't', sizeof letters - 1);
    letters[sizeof letters - 1] = '\0';
    snprintf(body, sizeof body, "{\"model\":\"x%s\",\"metadata\":{\"team\":\"%s\",\"n\":7}}", accents,
             letters);
    for (size_t piece = 0; piece < 9; piece++) {
        const char *model = of_request(body, BODY_MODEL, piece);
        assert_int_equal(strlen(model), BODY_VALUE_BYTES - 1);
        assert_memory_equal(model, body + 10, BODY_VALUE_BYTES - 1);
        assert_string_equal(body_metadata(&picked.body), "n=7");
    }
    memmove(body + 10, body + 11, strlen(body + 10));
    assert_int_equal(strlen(of_request(body, BODY_MODEL, 0)), BODY_VALUE_BYTES - 2);
}

/* ---- when an answer begins ---- */

static const struct {
    const char *event;
    bool begins;
} events[] = {
    {"{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}", false},
    {"{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}}]}", false},
    {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", false},
    {"{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", true},
    {"{\"choices\":[{\"delta\":{\"reasoning_content\":\"a\"}}]}", true},
    {"{\"choices\":[{\"delta\":{\"reasoning\":\"a\"}}]}", true},
    {"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"x\"}]}}]}", true},
    {"{\"choices\":[{\"text\":\"a\"}]}", true},
    {"{\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":1}}}", false},
    {"{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}", false},
    {"{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}", true},
    {"{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"a\"}}", true},
    {"{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}",
     false},
    {"{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}",
     true},
    {"{\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"output\":[]}}", false},
    {"{\"type\":\"response.output_text.delta\",\"delta\":\"a\"}", true},
    {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}]}}]}", false},
    {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}", true},
    {"{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]}}]}", true},
    {"{\"model\":\"q\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}", false},
    {"{\"model\":\"q\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}", true},
    {"{\"model\":\"q\",\"response\":\"a\",\"done\":false}", true},
    {"{\"type\":\"message-start\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[]}}}", false},
    {"{\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"a\"}}}}", true},
    {"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"},\"p\":\"ab\"}", true},
    {"{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"a\"}}}", true},
    {"{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{\"}}}", true},
    {"{\"contentBlockDelta\":{\"delta\":{\"text\":\"a\"},\"contentBlockIndex\":0}}", true},
    {"{\"event_type\":\"step.delta\",\"delta\":{\"type\":\"text\",\"text\":\"a\"}}", true},
    {"{\"error\":{\"message\":\"a\"}}", false},
    {"{\"message\":\"a\"}", false},
};

static void test_beginnings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        kit_pick(&picked, BODY_JSON, events[i].event, strlen(events[i].event), 1);
        if (((picked.news & BODY_CONTENT) != 0) != events[i].begins)
            fail_msg("%s", events[i].event);
    }
    static const char first[] = "data: {\"choices\":[{\"delta\":{\"content\":\"a";
    static const char more[] = "b\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    body_begin(&picked.body, BODY_EVENTS, NULL);
    assert_int_equal(body_feed(&picked.body, first, sizeof first - 1), BODY_CONTENT);
    assert_int_equal(body_feed(&picked.body, more, sizeof more - 1), 0);
    tries(sizeof events / sizeof events[0], "events with the beginning of an answer, and without");
}

/* ---- counts that tell ---- */

static bool tells(const char *body)
{
    kit_pick(&picked, BODY_JSON, body, strlen(body), 0);
    return body_has_counts(&picked.body);
}

static void test_counts_that_tell(void **state)
{
    (void)state;
    assert_true(tells("{\"usage\":{\"prompt_tokens\":1}}"));
    assert_true(tells("{\"usageMetadata\":{\"totalTokenCount\":1}}"));
    assert_true(tells("{\"meta\":{\"billed_units\":{\"search_units\":1}}}"));
    assert_true(tells("{\"model\":\"q\",\"eval_count\":3}"));
    assert_true(tells("{\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":3}}"));
    assert_false(tells("{\"usage\":{\"cpu\":5,\"memory\":7}}"));
    assert_false(tells("{\"usage\":{\"total_tokens\":null}}"));
    assert_false(tells("{\"id\":\"x\",\"model\":\"car\",\"status\":\"sold\",\"tokens\":5}"));
    assert_false(tells("{\"meta\":{\"tokens\":5,\"page\":1}}"));
    assert_false(tells("{\"total_tokens\":5}"));
}

/* ---- that it is over ---- */

static void test_endings(void **state)
{
    static const struct {
        const char *body;
        bool over;
    } endings[] = {
        {"data: {\"id\":\"a\",\"choices\":[]}\n\n", false},
        {"data: {\"id\":\"a\",\"usage\":{\"prompt_tokens\":1}}\n\ndata: [", false},
        {"data: {\"id\":\"a\",\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]", true},
        {"data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1}}}\n\n", false},
        {"data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"message_stop\"}}\n\n", false},
        {"data: {\"type\":\"message_stop\"}\n\n", true},
        {"data: {\"type\":\"response.completed\",\"response\":{}}\n\n", true},
        {"{\"model\":\"q\",\"done\":false}\n", false},
        {"{\"model\":\"q\",\"done\":false}\n{\"model\":\"q\",\"done\":true,\"eval_count\":3}", true},
        {"{\"model\":\"m\",\"usage\":{\"prompt_tokens\":1}", false},
        {"{\"model\":\"m\",\"usage\":{\"prompt_tokens\":1}}", true},
        {"[{\"usageMetadata\":{\"promptTokenCount\":1}}", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        kit_pick(&picked, BODY_JSON, endings[i].body, strlen(endings[i].body), 1);
        if (body_is_over(&picked.body) != endings[i].over)
            fail_msg("%s", endings[i].body);
    }
}

/* ---- what went wrong ---- */

static void test_errors(void **state)
{
    static const struct {
        const char *body;
        const char *type;
    } errors[] = {
        {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"SECRET\"}}",
         "overloaded_error"},
        {"{\"error\":{\"message\":\"SECRET\",\"type\":\"t\",\"param\":\"SECRET\",\"code\":\"c\"}}", "t"},
        {"{\"error\":{\"code\":429,\"message\":\"SECRET\",\"status\":\"RESOURCE_EXHAUSTED\"}}",
         "RESOURCE_EXHAUSTED"},
        {"[{\"error\":{\"code\":\"c\",\"type\":null}}]", "c"},
        {"{\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"SECRET\"}}"
         "}",
         "server_error"},
        {"{\"error\":\"SECRET\"}", ""},
        {"{\"error\":null}", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        kit_pick(&picked, BODY_JSON, errors[i].body, strlen(errors[i].body), 1);
        assert_string_equal(body_text(&picked.body, BODY_ERROR_TYPE), errors[i].type);
        assert_null(strstr(picked.json, "SECRET"));
        assert_null(strstr(picked.json, "param"));
        assert_false(picked.news & BODY_USAGE);
    }
}

/* ---- AWS's frames ---- */

static uint8_t frames[4096];
static size_t used;

static void put_number(uint32_t number, int bytes)
{
    while (bytes--)
        frames[used++] = (uint8_t)(number >> 8 * bytes);
}

static void put_bytes(const void *bytes, size_t length)
{
    assert_true(length <= sizeof frames - used);
    memcpy(frames + used, bytes, length);
    used += length;
}

static void put_header(const char *name, const char *value)
{
    put_number((uint32_t)strlen(name), 1);
    put_bytes(name, strlen(name));
    put_number(7, 1);
    put_number((uint32_t)strlen(value), 2);
    put_bytes(value, strlen(value));
}

static void put_frame(const char *header, const char *value, const char *payload)
{
    size_t start = used;
    used += 12;
    put_header(header, value);
    put_number(6, 1); /* a header of bytes */
    put_bytes(":bytes", 6);
    put_number(6, 1);
    put_number(3, 2);
    put_bytes("\0\xff\1", 3);
    put_number(5, 1); /* and one of a long */
    put_bytes(":long", 5);
    put_number(5, 1);
    put_bytes("12345678", 8);
    uint32_t headers = (uint32_t)(used - start - 12);
    put_bytes(payload, strlen(payload));
    put_number(0, 4);
    size_t end = used;
    used = start;
    put_number((uint32_t)(end - start), 4);
    put_number(headers, 4);
    put_number(0, 4);
    used = end;
}

static const char *in_base64(const char *json)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char payload[2000];
    size_t length = strlen(json);
    size_t at = (size_t)snprintf(payload, sizeof payload, "{\"bytes\":\"");
    for (size_t i = 0; i < length; i += 3) {
        size_t there = length - i < 3 ? length - i : 3;
        uint32_t bits = (uint32_t)(uint8_t)json[i] << 16 |
                        (there > 1 ? (uint32_t)(uint8_t)json[i + 1] << 8 : 0) |
                        (there > 2 ? (uint32_t)(uint8_t)json[i + 2] : 0);
        for (size_t j = 0; j < 4; j++) {
            char digit = '=';
            if (j <= there)
                digit = digits[bits >> (18 - 6 * j) & 63];
            if (digit == '/')
                payload[at++] = '\\'; /* some write it so */
            payload[at++] = digit;
        }
    }
    snprintf(payload + at, sizeof payload - at, "\",\"p\":\"abcdefgh\"}");
    return payload;
}

static void check_frames(int64_t input, int64_t output, const char *model, const char *error)
{
    unsigned long long count = 0;
    for (size_t piece = 0; piece <= used; piece = piece < 40 ? piece + 1 : piece + 97, count++) {
        kit_pick(&picked, BODY_AWS_EVENTS, (const char *)frames, used, piece);
        kit_understand(NULL, picked.json, picked.length, &understood);
        if (understood.quantities.of[QUANTITY_input_tokens] != input ||
            understood.quantities.of[QUANTITY_output_tokens] != output)
            fail_msg("in pieces of %zu: picked %s", piece, picked.json);
        assert_int_equal(understood.texts[UNDERSTOOD_TEXT_response_model].length, strlen(model));
        assert_string_equal(body_text(&picked.body, BODY_ERROR_TYPE), error);
        assert_int_equal(understood.status, *error ? TALLY_STATUS_ERROR : TALLY_STATUS_UNKNOWN);
        assert_true(picked.news & BODY_CONTENT);
        assert_null(strstr(picked.json, "SECRET"));
    }
    /* cut off anywhere, counts are unknown, or those of a document that had come whole */
    for (size_t cut = 0; cut < used; cut++, count++) {
        kit_pick(&picked, BODY_AWS_EVENTS, (const char *)frames, cut, 0);
        kit_understand(NULL, picked.json, picked.length, &understood);
        int64_t got = understood.quantities.of[QUANTITY_output_tokens];
        assert_true(got == -1 || got == 1 || got == output);
    }
    tries(count, "frames in pieces, and cut off");
}

static void test_converse_stream(void **state)
{
    (void)state;
    used = 0;
    put_frame(":event-type", "messageStart", "{\"p\":\"abc\",\"role\":\"assistant\"}");
    put_frame(":event-type", "contentBlockDelta",
              "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"SECRET\"},\"p\":\"ab\"}");
    put_frame(":event-type", "empty", "");
    put_frame(
        ":event-type", "metadata",
        "{\"metrics\":{\"latencyMs\":551},\"p\":\"a\",\"usage\":{\"inputTokens\":30,\"outputTokens\":88,"
        "\"serverToolUsage\":{},\"totalTokens\":118}}");
    check_frames(30, 88, "", "");
    assert_true(body_is_over(&picked.body)); /* as it was cut off last: all but a byte of a CRC */
    put_frame(":exception-type", "throttlingException", "{\"message\":\"SECRET\"}");
    check_frames(30, 88, "", "throttlingException");
}

static void test_invoke_model_stream(void **state)
{
    (void)state;
    used = 0;
    put_frame(
        ":event-type", "chunk",
        in_base64(
            "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude\",\"content\":[],"
            "\"usage\":{\"input_tokens\":12,\"cache_read_input_tokens\":1000,\"output_tokens\":1}}}"));
    put_frame(
        ":event-type", "chunk",
        in_base64(
            "{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"SECRET \xc3\xbf\xff\xff\xff?\"}}"));
    put_frame(":event-type", "chunk",
              in_base64("{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":34}}"));
    put_frame(
        ":event-type", "chunk",
        in_base64("{\"type\":\"message_stop\",\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":12,"
                  "\"outputTokenCount\":34,\"invocationLatency\":5}}"));
    check_frames(1012, 34, "claude", "");
}

/* A frame whose lengths do not agree: nothing more can be found, and that is told. */
static void test_bad_frames(void **state)
{
    static const uint8_t bad[][16] = {{0, 0, 0, 15},
                                      {0xff, 0xff, 0xff, 0xff},
                                      {0, 0, 0, 20, 0, 0, 0, 5},
                                      {0, 0, 0, 30, 0, 0, 0, 3, 0, 0, 0, 0, 200}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        used = 0;
        put_frame(":event-type", "metadata",
                  "{\"usage\":{\"inputTokens\":3,\"outputTokens\":4,\"totalTokens\":7}}");
        put_bytes(bad[i], sizeof bad[i]);
        put_frame(":event-type", "metadata", "{\"usage\":{\"inputTokens\":9999,\"outputTokens\":9999}}");
        kit_pick(&picked, BODY_AWS_EVENTS, (const char *)frames, used, 3);
        assert_true(picked.news & BODY_FAULT);
        assert_string_equal(picked.json,
                            "{\"usage\":{\"inputTokens\":3,\"outputTokens\":4,\"totalTokens\":7}}");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),        cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_beginnings),      cmocka_unit_test(test_counts_that_tell),
        cmocka_unit_test(test_endings),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_converse_stream), cmocka_unit_test(test_invoke_model_stream),
        cmocka_unit_test(test_bad_frames),
    };
    return cmocka_run_group_tests_name("capture body, values", tests, NULL, NULL);
}
