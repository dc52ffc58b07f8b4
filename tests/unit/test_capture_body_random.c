/* Streams of documents that nobody would send: the table's names in and out of their places, twice, null, of wrong types. What is picked is
 * understood as the whole is. */
#include "unit/body_kit.h"

#include "support/tries.h"

#define STREAMS        40000
#define DOCUMENT_BYTES 8192
#define DOCUMENTS_MAX  6

static struct understood whole;
static struct understood part;
static struct picked picked;

static struct {
    char text[DOCUMENTS_MAX * (DOCUMENT_BYTES + 16)];
    size_t used;
    uint64_t random;
} stream;

/* A generator of the test's own: the same streams each time. */
static unsigned below(unsigned limit)
{
    stream.random = stream.random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((stream.random >> 33) % limit);
}

static void put(const char *text)
{
    size_t length = strlen(text);
    assert_true(length < sizeof stream.text - stream.used);
    memcpy(stream.text + stream.used, text, length + 1);
    stream.used += length;
}

static const char *one_of(const char *const *names)
{
    unsigned count = 0;
    while (names[count])
        count++;
    return names[below(count)];
}

static void put_name(bool *first, const char *name)
{
    put(*first ? "\"" : below(4) ? ",\"" : ", \n\"");
    *first = false;
    put(name);
    put(below(8) ? "\":" : "\" : ");
}

static void put_count(void)
{
    char text[24];
    snprintf(text, sizeof text, "%u", below(4) ? below(1000) : 0);
    put(text);
}

static void put_junk(int depth)
{
    static const char *const junk[] = {"null",       "true", "7777",          "\"7777 \\\"usage\\\": {\"",
                                       "[]",         "{}",   "[7777,[7777]]", "\"\"",
                                       "-7777.5e-3", NULL};
    static const char *const names[] = {"usage",        "prompt_tokens", "content", "x",
                                        "input_tokens", "usageMetadata", NULL};
    if (depth > 3 || below(3)) {
        put(one_of(junk));
        return;
    }
    bool first = true;
    put(below(2) ? "[{" : "[[],{");
    for (unsigned left = below(3); left; left--) {
        put_name(&first, one_of(names));
        put_junk(depth + 1);
    }
    put("}]");
}

static void put_details(const char *const *names)
{
    bool first = true;
    put("{");
    for (unsigned left = below(3); left; left--) {
        put_name(&first, one_of(names));
        if (below(6))
            put_count();
        else
            put("null");
    }
    put("}");
}

struct family {
    const char *counts[8];
    const char *details[6];
    const char *parts[6];
};
static const struct family families[] = {
    {{"prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "num_search_queries"},
     {"prompt_tokens_details", "completion_tokens_details"},
     {"cached_tokens", "reasoning_tokens", "audio_tokens", "cache_write_tokens"}},
    {{"cache_read_input_tokens", "input_tokens", "output_tokens", "total_tokens",
      "cache_creation_input_tokens"},
     {"cache_creation", "input_tokens_details", "output_tokens_details", "server_tool_use"},
     {"cached_tokens", "reasoning_tokens", "ephemeral_1h_input_tokens", "web_search_requests"}},
    {{"promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount",
      "cachedContentTokenCount"},
     {"x"},
     {"y"}},
    {{"inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens"}, {"serverToolUsage"}, {"y"}},
};

static void put_usage(const struct family *family)
{
    bool first = true;
    put("{");
    put_name(
        &first,
        family->counts[0]); /* which tells the shape: what tells it only by what came before may tell another
                                            where that was superfluous */
    put_count();
    for (unsigned left = below(5); left; left--) {
        unsigned what = below(12);
        if (what < 8) {
            put_name(&first, one_of(family->counts));
            put_count();
        } else if (what < 10) {
            put_name(&first, one_of(family->details));
            put_details(family->parts);
        } else if (what < 11) {
            put_name(&first, one_of(family->counts));
            put(below(2) ? "null" : "{}");
        } else {
            put_name(&first, below(2) ? "service_tier" : "note");
            put(below(2) ? "\"priority\"" : "null");
        }
    }
    put("}");
}

static void put_holder(const struct family *family)
{
    if (!below(12))
        put_junk(1);
    else
        put_usage(family);
}

/* Of these two only usage is looked for. */
static void put_event(const struct family *family)
{
    put("{\"x\":");
    put_junk(0);
    put(",\"usage\":");
    put_holder(family);
    put("}");
}

/* Members of an answer, of which `holder` holds its usage. */
static void put_answer(const struct family *family, const char *holder, bool within)
{
    static const char *const texts[] = {"id",         "model", "service_tier", "status", "modelVersion",
                                        "responseId", NULL};
    static const char *const values[] = {"\"a\"", "\"\\u0062b\"", "null", NULL};
    static const char *const types[] = {"\"message\"", "\"response.done\"", "\"x\"", NULL};
    static const char *const noise[] = {"object",       "content", "output", "tools",
                                        "instructions", "Usage",   NULL};
    bool first = true;
    put("{");
    for (unsigned left = 1 + below(5); left; left--) {
        unsigned what = below(20);
        if (what < 8 && !strcmp(holder, "choices")) {
            put_name(&first, holder);
            put(below(2) ? "[{\"usage\":" : "[{\"x\":{},\"usage\":");
            put_holder(family);
            put("},{\"usage\":{\"prompt_tokens\":7777}}]");
        } else if (what < 8 && !strcmp(holder, "x_groq")) {
            put_name(&first, holder);
            put("{\"usage\":");
            put_holder(family);
            put("}");
        } else if (what < 8) {
            put_name(&first, holder);
            put_holder(family);
        } else if (what < 14) {
            const char *name = one_of(texts);
            put_name(&first, name);
            put(strcmp(name, "status") != 0 ? one_of(values) : "\"completed\"");
        } else if (what < 15 && !within) {
            put_name(&first, "type");
            put(one_of(types));
        } else {
            put_name(&first, one_of(noise));
            put_junk(0);
        }
    }
    put("}");
}

/* An answer, or one within another object. */
static void put_document(const struct family *family)
{
    static const char *const holders[] = {"usage",  "usage", "usageMetadata", "usage_metadata", "choices",
                                          "x_groq", NULL};
    static const char *const answers[] = {"message", "response", "result", "body", "delta", "metadata", NULL};
    const char *answer = one_of(answers);
    bool first = true;
    if (below(2)) {
        put_answer(family, one_of(holders), false);
        return;
    }
    put("{");
    if (below(2)) {
        put_name(&first, below(2) ? "type" : "id");
        put("\"message\"");
    }
    put_name(&first, answer);
    if (!strcmp(answer, "delta") || !strcmp(answer, "metadata"))
        put_event(family);
    else
        put_answer(family, one_of(holders), true);
    if (below(2)) {
        put_name(&first, "x");
        put_junk(0);
    }
    put("}");
}

static void put_stream(uint64_t seed)
{
    const struct family *family;
    stream.used = 0;
    stream.random = seed * 77777;
    family = &families[below(sizeof families / sizeof families[0])];
    for (unsigned left = 1 + below(DOCUMENTS_MAX); left; left--) {
        put_document(family);
        put("\n");
    }
}

static void test_random(void **state)
{
    unsigned long long counts = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= STREAMS; seed++) {
        put_stream(seed);
        kit_understand(NULL, stream.text, stream.used, &whole);
        kit_pick(&picked, BODY_JSON, stream.text, stream.used, seed % 5);
        kit_understand(NULL, picked.json, picked.length, &part);
        const char *difference = kit_difference(&whole, &part);
        if (difference) {
            printf("%llu: %s differs:\n%s%s\n", (unsigned long long)seed, difference, stream.text,
                   picked.json);
            fail();
        }
        assert_false(picked.news & BODY_FAULT);
        counts += whole.kind == UNDERSTOOD_COUNTS;
    }
    assert_true(counts > STREAMS / 2);
    tries(STREAMS, "streams of random documents");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests_name("capture body, random", tests, NULL, NULL);
}
