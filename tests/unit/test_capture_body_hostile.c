/* Picking where it could go wrong: texts that look like usage, bodies cut off at every byte, pieces of any sizes, and more of everything
 * than there is room for. */
#include "unit/body_kit.h"

#include "support/tries.h"

static struct understood understood;
static struct understood before;
static struct understood after;
static struct picked picked;
static struct picked other;

/* ---- usage that is none ---- */

/* 9999 is what must never be picked; an input of 7 is what is meant, or none. */
static const struct {
    const char *body;
    int64_t input;
} hostile[] = {
    {"{\"id\":\"a\",\"choices\":[{\"message\":{\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":9999}\"}}],"
     "\"usage\":{\"prompt_tokens\":7}}",
     7},
    {"{\"choices\":[{\"message\":{\"content\":\"}]}}\\\\\\\",\\\"usage\\\":{\\\"prompt_tokens\\\":9999}}\"}}]"
     "}",
     -1},
    {"{\"choices\":[{\"message\":{\"tool_calls\":[{\"function\":{\"arguments\":"
     "\"{\\\"usage\\\":{\\\"prompt_tokens\\\":9999}}\"}}],\"usage\":{\"prompt_tokens\":9999}}}],"
     "\"usage\":{\"prompt_tokens\":7}}",
     7},
    {"{\"type\":\"message\",\"content\":[{\"type\":\"tool_use\",\"input\":{\"usage\":{\"input_tokens\":9999},"
     "\"model\":\"9999\"}}],\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}",
     7},
    {"{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{"
     "\"usageMetadata\":"
     "{\"promptTokenCount\":9999}}}}]}}],\"usageMetadata\":{\"promptTokenCount\":7}}",
     7},
    {"{\"id\":\"r\",\"metadata\":{\"usage\":{\"input_tokens\":9999}},\"usage\":{\"input_tokens\":7,"
     "\"output_tokens\":1}}",
     7},
    {"{\"metadata\":{\"usage\":{\"input_tokens\":9999}},\"id\":\"r\"}", -1},
    {"{\"metadata\":{\"usage\":{\"inputTokens\":9999}},\"object\":\"x\"}", -1},
    {"{\"object\":\"x\",\"metadata\":{\"usage\":{\"inputTokens\":9999}}}", -1},
    {"{\"response\":{\"metadata\":{\"usage\":{\"input_tokens\":9999}},\"status\":\"completed\","
     "\"instructions\":\"usage\",\"tools\":[{\"usage\":{\"input_tokens\":9999}}],\"usage\":{\"input_tokens\":"
     "7,"
     "\"output_tokens\":2}}}",
     7},
    {"{\"usage\":{\"prompt_tokens\":9999,\"prompt_tokens\":7}}", 7},
    {"{\"usage\":{\"prompt_tokens\":7},\"usage\":null}", -1},
    {"{\"usage\":{\"prompt_tokens\":7},\"usage\":\"text\"}", -1},
    {"{\"usage\":null,\"usage\":{\"prompt_tokens\":7}}", 7},
    {"{\"usage\":{\"prompt_tokens\":7,\"prompt_tokens\":[9999]}}", -1},
    {"{\"usage\":{\"prompt_tokens\":6},\"usage\":{\"prompt_tokens\":7}}", 7},
    {"{\"\\u0075sage\":{\"prompt\\u005ftokens\":7}}", 7},
    {"{\"usage\\u0000\":{\"prompt_tokens\":9999}}", -1},
    {"{\"usage \":{\"prompt_tokens\":9999},\"Usage\":{\"prompt_tokens\":9999}}", -1},
    {"{\"x\":{\"usage\":{\"prompt_tokens\":9999}},\"y\":[[{\"usage\":{\"prompt_tokens\":9999}}]]}", -1},
    {"{\"data\":[{\"usage\":{\"prompt_tokens\":9999}}],\"prompt\":{\"usage\":{\"prompt_tokens\":9999}}}", -1},
    {"{\"usage\":[{\"prompt_tokens\":9999}],\"message\":[{\"usage\":{\"prompt_tokens\":9999}}]}", -1},
    {"[[{\"usage\":{\"prompt_tokens\":9999}}]]", -1},
    {"{\"choices\":[{},{\"usage\":{\"prompt_tokens\":9999}}]}", -1},
    {"\"{\\\"usage\\\":{\\\"prompt_tokens\\\":9999}}\"", -1},
    {"{\"usage\":{\"prompt_tokens\":7-9999}}", -1},
    {"{\"usage\":{\"prompt_tokens\":9999}", 9999}, /* cut off: that object was complete */
    {"{\"usage\":{\"prompt_tokens\":9999}]", -1},
    {"{\"usage\":{\"prompt_tokens\":9999} \"x\":1}", -1},
    {"{usage:{\"prompt_tokens\":9999}}", -1},
    {"{\"usage\":{\"prompt_tokens\":9999},}", -1},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"\\ndata: "
     "{\\\"usage\\\":{\\\"prompt_tokens\\\":9999}}\\n\\n\"}}]}\n\n"
     "data: {\"usage\":{\"prompt_tokens\":7}}\n\ndata: [DONE]\n\n",
     7},
    {"data: {\"usage\":\ndata: {\"prompt_tokens\":7}}\n\n", 7},
    {"data: {\"usage\":\r\ndata: {\"prompt_tokens\":7}}\r\n\r\n", 7},
    {"data: {\"usage\":\rdata: {\"prompt_tokens\":7}}\r\r", 7},
    {"data: {\"usage\":{\"prompt_tokens\":9999}\n\ndata: }\n\n", -1},
    {"data: {\"usage\":{\"prompt_tokens\":9999}\n\ndata: }\n\ndata: {\"usage\":{\"prompt_tokens\":7}}\n\n",
     7},
    /* answers of one session add up */
    {"{\"response\":{\"usage\":{\"input_tokens\":3,\"input_token_details\":{\"audio_tokens\":1}}}}\n"
     "{\"response\":{\"usage\":{\"input_tokens\":4,\"input_token_details\":{\"audio_tokens\":1}}}}",
     7},
    {"event: usage\nid: {\"usage\":{\"prompt_tokens\":9999}}\nretry: {\"usage\":{\"prompt_tokens\":9999}}\n"
     "dataset: {\"usage\":{\"prompt_tokens\":9999}}\n: data: {\"usage\":{\"prompt_tokens\":9999}}\n\n",
     -1},
    {"hello {\"usage\":{\"prompt_tokens\":9999}}", -1},
};

static void test_usage_that_is_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        const char *body = hostile[i].body;
        for (size_t piece = 0; piece < 4; piece++) {
            kit_pick(&picked, BODY_JSON, body, strlen(body), piece);
            kit_understand(NULL, picked.json, picked.length, &understood);
            if (understood.quantities.of[QUANTITY_input_tokens] != hostile[i].input)
                fail_msg("%s: picked %s", body, picked.json);
            if (hostile[i].input < 0 && picked.length && understood.kind == UNDERSTOOD_DAMAGED)
                fail_msg("%s: damaged %s", body, picked.json);
        }
    }
    tries(sizeof hostile / sizeof hostile[0], "texts, arguments and metadata that look like usage");
}

/* ---- cut off, and in pieces ---- */

static const struct {
    enum body_format format;
    const char *body;
} streams[] = {
    {BODY_JSON,
     "{\"id\":\"chatcmpl-1\",\"model\":\"gpt\\u002d5\",\"choices\":[{\"index\":0,\"message\":{\"content\":"
     "\"\\\"usage\\\": \\ud83d\\ude00 \\\\\"}}],\"usage\":{\"prompt_tokens\":1234,\"completion_tokens\":56,"
     "\"total_tokens\":1290,\"prompt_tokens_details\":{\"cached_tokens\":1024},\"cost\":1.25e-3,"
     "\"is_byok\":true},\"service_tier\":\"default\"}"},
    {BODY_JSON,
     "{\"model\":\"q\",\"response\":\"a\",\"done\":false}\n{\"model\":\"q\",\"response\":\"\",\"done\":true,"
     "\"context\":[1,2,3],\"prompt_eval_count\":55,\"eval_count\":99}\n"},
    {BODY_JSON,
     "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":"
     "{\"promptTokenCount\":44,\"totalTokenCount\":44},\"modelVersion\":\"g\"},\n{\"usageMetadata\":"
     "{\"promptTokenCount\":44,\"candidatesTokenCount\":66,\"totalTokenCount\":110,"
     "\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":33}]}}]"},
    {BODY_EVENTS,
     "event: message_start\ndata: "
     "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","
     "\"model\":\"claude\",\"content\":[],\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":110,"
     "\"cache_creation_input_tokens\":30,\"output_tokens\":11}}}\n\nevent: content_block_delta\ndata: "
     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"usage\"}}"
     "\r\n\r\n"
     "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
     "\"usage\":{\"output_tokens\":157}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
    {BODY_EVENTS,
     ": hello\n\ndata: "
     "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\n"
     "data: "
     "{\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":304,"
     "\"completion_tokens\":49,\"total_tokens\":353}}}\n\ndata: [DONE]\n\n"},
    {BODY_EVENTS,
     "data: "
     "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_4\",\"status\":\"in_progress\",\"model\":"
     "\"gpt-4o\",\"metadata\":{\"usage\":\"9\"},\"usage\":null}}\n\ndata: {\"type\":\"response.completed\","
     "\"response\":{\"id\":\"resp_4\",\"status\":\"completed\",\"model\":\"gpt-4o\",\"usage\":{\"input_"
     "tokens\":15,"
     "\"input_tokens_details\":{\"cached_tokens\":12},\"output_tokens\":19,\"output_tokens_details\":"
     "{\"reasoning_tokens\":10},\"total_tokens\":34},\"user\":null}}\n\n"},
    {BODY_JSON,
     "{\"meta\":{\"api_version\":{\"version\":\"1\"},\"billed_units\":{\"input_tokens\":22,"
     "\"output_tokens\":99},\"tokens\":{\"input_tokens\":69,\"output_tokens\":9},\"cached_tokens\":5}}"},
    {BODY_JSON, "{\"inputTextTokenCount\":55,\"results\":[{\"tokenCount\":32,\"outputText\":\"x\"},"
                "{\"tokenCount\":31,\"outputText\":\"y\"}]}"},
    {BODY_JSON, "{\"metadata\":{\"usage\":{\"inputTokens\":30,\"outputTokens\":88,\"totalTokens\":118}}}"},
    {BODY_JSON, "{\"error\":{\"type\":\"t\",\"code\":\"c\",\"message\":\"SECRET\",\"status\":\"S\"}}"},
};
#define STREAMS (sizeof streams / sizeof streams[0])

static void read_prefix(size_t which, size_t length, struct understood *out)
{
    kit_pick(&picked, streams[which].format, streams[which].body, length, 0);
    kit_understand(NULL, picked.json, picked.length, out);
    assert_true(out->kind != UNDERSTOOD_DAMAGED);
    assert_null(strstr(picked.json, "SECRET"));
}

/* Where a document has just come to its end. */
static bool is_border(const char *body, size_t at)
{
    return body[at] == '\0' || (at && body[at - 1] == '\n') ||
           (body[at] == '\n' && at && body[at - 1] == ',');
}

/* Cut off anywhere, a count is unknown, or that of before, or the true one: never part of a number, nor of an object. */
static void test_cut_off_at_every_byte(void **state)
{
    unsigned long long cuts = 0;
    (void)state;
    for (size_t i = 0; i < STREAMS; i++) {
        const char *body = streams[i].body;
        size_t next = 0;
        read_prefix(i, 0, &before);
        for (size_t cut = 0; cut <= strlen(body); cut++, cuts++) {
            if (cut >= next) {
                read_prefix(i, cut, &before);
                for (next = cut + 1; next < strlen(body) && !is_border(body, next);)
                    next++;
                read_prefix(i, next, &after);
            }
            read_prefix(i, cut, &understood);
            for (int q = 0; q < QUANTITY_COUNT; q++) {
                int64_t count = understood.quantities.of[q];
                if (count != before.quantities.of[q] && count != after.quantities.of[q])
                    fail_msg("%.*s: %s is %lld", (int)cut, body, kit_quantity_names[q], (long long)count);
            }
        }
    }
    tries(cuts, "places where a body is cut off");
}

/* In which pieces it comes makes no difference. */
static void test_split_at_every_byte(void **state)
{
    unsigned long long splits = 0;
    (void)state;
    for (size_t i = 0; i < STREAMS; i++) {
        size_t length = strlen(streams[i].body);
        kit_pick(&picked, streams[i].format, streams[i].body, length, 0);
        for (size_t at = 0; at <= length; at++, splits++) {
            body_begin(&other.body, streams[i].format, NULL);
            other.news = body_feed(&other.body, streams[i].body, at);
            other.news |= body_feed(&other.body, streams[i].body + at, length - at);
            other.news |= body_finish(&other.body);
            other.length = body_usage_json(&other.body, other.json, sizeof other.json);
            assert_int_equal(other.length, picked.length);
            assert_memory_equal(other.json, picked.json, picked.length);
            assert_int_equal(other.news, picked.news);
        }
    }
    tries(splits, "places where a body is split");
}

/* ---- more than there is room for ---- */

static char *text;
static size_t used;
#define TEXT_BYTES ((size_t)16 << 20)

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    used += (size_t)vsnprintf(text + used, TEXT_BYTES - used, format, arguments);
    va_end(arguments);
    assert_true(used < TEXT_BYTES);
}

static int64_t input_of(enum body_format format, size_t piece)
{
    kit_pick(&picked, format, text, used, piece);
    kit_understand(NULL, picked.json, picked.length, &understood);
    return understood.quantities.of[QUANTITY_input_tokens];
}

static int begin(void **state)
{
    *state = NULL;
    used = 0;
    text = malloc(TEXT_BYTES);
    return text ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    free(text);
    return 0;
}

/* What is skipped may be nested as deeply as it likes. */
static void test_deep_nesting(void **state)
{
    const size_t depth = 5000000;
    (void)state;
    say("{\"x\":");
    memset(text + used, '[', depth);
    memset(text + used + depth, ']', depth);
    used += 2 * depth;
    say(",\"usage\":{\"prompt_tokens\":7}}");
    assert_int_equal(input_of(BODY_JSON, 0), 7);
    assert_false(picked.news & BODY_FAULT);
}

/* Nor is there an end to what a text may hold. */
static void test_long_text(void **state)
{
    (void)state;
    say("{\"choices\":[{\"message\":{\"content\":\"");
    while (used < TEXT_BYTES / 2)
        say("some words \\\\\\\" \\u00e9 and \\\"usage\\\": ");
    say("\"}}],\"usage\":{\"prompt_tokens\":7}}");
    assert_int_equal(input_of(BODY_JSON, 4093), 7);
    assert_true(picked.news == (BODY_USAGE | BODY_CONTENT));
}

/* Names and texts that are too long, or strange, are not kept; what stands beside them is. */
static void test_long_names(void **state)
{
    (void)state;
    say("{\"usage\":{\"%0200d\":1,\"prompt_tokens\":7,\"a\\nb\":2,\"\":3,\"x\\\"y\":4,\"type\":\"%0200d\","
        "\"speed\":\"a\\nb\"}}",
        0, 0);
    assert_int_equal(input_of(BODY_JSON, 0), 7);
    assert_string_equal(picked.json, "{\"usage\":{\"prompt_tokens\":7}}");
}

/* A usage object that does not fit is none, and its fault is told. */
static void test_too_large(void **state)
{
    (void)state;
    say("{\"id\":\"first\",\"usage\":{\"prompt_tokens\":7}}\n{\"id\":\"x\",\"usage\":{\"prompt_tokens\":8");
    for (int i = 0; i < 400; i++)
        say(",\"count_%d\":%d", i, i);
    say("}}");
    for (size_t piece = 0; piece < 10; piece += 3) {
        assert_int_equal(input_of(BODY_JSON, piece), 7);
        assert_true(picked.news & BODY_FAULT);
    }
}

/* Documents that each say something else: the first and the newest stay. */
static void test_many_different(void **state)
{
    (void)state;
    say("data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":7}}}\n\n");
    for (int i = 0; i < 200; i++)
        say("data: {\"usage\":{\"cache_read_input_tokens\":0,\"count_%d\":%d}}\n\n", i, i);
    say("data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n");
    for (size_t piece = 0; piece < 10; piece += 3) {
        assert_int_equal(input_of(BODY_EVENTS, piece), 7);
        assert_int_equal(understood.quantities.of[QUANTITY_output_tokens], 9);
        assert_true(picked.length > 0 && picked.length <= BODY_FRAGMENTS_BYTES);
        assert_false(picked.news & BODY_FAULT);
    }
    assert_int_equal(body_usage_json(&picked.body, other.json, picked.length - 1), 0);
}

/* A stream that says all again in each of its chunks is picked as one of them. */
static void test_many_alike(void **state)
{
    (void)state;
    for (int i = 1; i <= 3000; i++)
        say("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],\"modelVersion\":\"g\","
            "\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":%d,\"totalTokenCount\":%d}}"
            "\r\n\r\n",
            i, i + 7);
    assert_int_equal(input_of(BODY_EVENTS, 1000), 7);
    assert_int_equal(understood.quantities.of[QUANTITY_output_tokens], 3000);
    assert_true(picked.length < 120);
    /* and one that says nothing but what was said is not picked */
    used = 0;
    say("data: "
        "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}"
        "\n\n");
    assert_int_equal(input_of(BODY_EVENTS, 0), -1);
    assert_int_equal(picked.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage_that_is_none),
        cmocka_unit_test(test_cut_off_at_every_byte),
        cmocka_unit_test(test_split_at_every_byte),
        cmocka_unit_test_setup_teardown(test_deep_nesting, begin, end),
        cmocka_unit_test_setup_teardown(test_long_text, begin, end),
        cmocka_unit_test_setup_teardown(test_long_names, begin, end),
        cmocka_unit_test_setup_teardown(test_too_large, begin, end),
        cmocka_unit_test_setup_teardown(test_many_different, begin, end),
        cmocka_unit_test_setup_teardown(test_many_alike, begin, end),
    };
    return cmocka_run_group_tests_name("capture body, hostile", tests, NULL, NULL);
}
