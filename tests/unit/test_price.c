/* Prices: decimals, what a list may say, which entry a call is priced by, and what it then costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "price/price.h"
#include "price/scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char error[PRICE_ERROR_BYTES];

/* ---- decimals ---- */

static struct decimal decimal(const char *text)
{
    struct decimal value;
    assert_int_equal(decimal_parse(text, strlen(text), &value), 0);
    return value;
}

static void decimals_are_what_is_written(void **state)
{
    static const struct {
        const char *text;
        uint64_t digits;
        unsigned scale;
    } good[] = {
        {"0", 0, 0},
        {"0.0", 0, 0},
        {"-0.0", 0, 0},
        {"0e-9", 0, 0},
        {"7.5e-08", 75, 9},
        {"0.000000075", 75, 9},
        {"75E-9", 75, 9},
        {"1.25e-06", 125, 8},
        {"1.2500e-06", 125, 8},
        {"0.10", 1, 1},
        {"3", 3, 0},
        {"300", 300, 0},
        {"3e2", 300, 0},
        {"1000000", 1000000, 0},
        {"4.5003000000000007e-07", 45003000000000007, 23},
        {"123456789012345678e-20", 123456789012345678, 20},
        {"1e-30", 1, 30},
    };
    static const char *const bad[] = {"",
                                      "-",
                                      "-1",
                                      "-1e-9",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "0x1",
                                      "NaN",
                                      "inf",
                                      "1,5",
                                      "1.5.2",
                                      "1e5x",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "01",
                                      "--0",
                                      "1e-31",
                                      "1e7",
                                      "1e99",
                                      "1e-99999999999",
                                      "1000000.5",
                                      "1234567890123456789",
                                      "0.1234567890123456789"};
    struct decimal value;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        value = decimal(good[i].text);
        assert_int_equal(value.digits, good[i].digits);
        assert_int_equal(value.scale, good[i].scale);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!decimal_parse(bad[i], strlen(bad[i]), &value))
            fail_msg("\"%s\" was taken for %llu", bad[i], (unsigned long long)value.digits);
}

static void expect_cost(int64_t count, unsigned scale, const char *price, const char *factor,
                        int64_t expected)
{
    int64_t cost = -1;
    assert_int_equal(decimal_cost(count, scale, decimal(price), decimal(factor), &cost), 0);
    assert_int_equal(cost, expected);
}

static void costs_are_rounded_once(void **state)
{
    int64_t cost;
    (void)state;
    expect_cost(1000, 0, "7.5e-08", "1", 75000000);
    expect_cost(1, 0, "1e-12", "1", 1);
    expect_cost(1, 0, "4e-13", "1", 0);
    expect_cost(1, 0, "5e-13", "1", 1); /* half up */
    expect_cost(3, 0, "5e-13", "1", 2);
    expect_cost(10, 0, "4.5003000000000007e-07", "1", 4500300);
    expect_cost(3, 0, "3.3333333333333335e-05", "1", 100000000); /* 100000000.0000000005 */
    expect_cost(61500, 3, "0.0001", "1", 6150000000);
    expect_cost(10, 0, "5e-06", "6.6", 330000000);
    expect_cost(0, 0, "1", "1", 0);
    expect_cost(INT64_C(1000000000000000), 0, "9e-09", "1", INT64_C(9000000000000000000));
    assert_int_equal(decimal_cost(INT64_C(1000000000000000), 0, decimal("9.3e-09"), DECIMAL_ONE, &cost),
                     -ERANGE);
    assert_int_equal(decimal_cost(INT64_C(1000000000000000), 0, decimal("1000000"), DECIMAL_ONE, &cost),
                     -ERANGE);
}

static void decimals_are_written_as_people_do(void **state)
{
    char text[DECIMAL_TEXT_BYTES];
    (void)state;
    decimal_text(decimal("1.25e-06"), 0, text);
    assert_string_equal(text, "0.00000125");
    decimal_text(decimal("1.25e-06"), 6, text);
    assert_string_equal(text, "1.25");
    decimal_text(decimal("3e-05"), 6, text);
    assert_string_equal(text, "30");
    decimal_text(decimal("0"), 6, text);
    assert_string_equal(text, "0");
    decimal_text(decimal("1.1"), 0, text);
    assert_string_equal(text, "1.1");
}

static void the_digest_is_sha256(void **state)
{
    char digest[DIGEST_TEXT_BYTES];
    char longer[1000];
    (void)state;
    digest_sha256("", 0, digest);
    assert_string_equal(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256("abc", 3, digest);
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    memset(longer, 'a', sizeof longer);
    digest_sha256(longer, sizeof longer, digest);
    assert_string_equal(digest, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
    digest_sha256(longer, 60, digest); /* its length needs a block of its own */
    assert_string_equal(digest, "11ee391211c6256460b6ed375957fadd8061cafbb31daf967db875aebd5aaad4");
}

/* ---- lists ---- */

static struct price_table *list(const char *text)
{
    struct price_table *table;
    if (price_table_read(&table, "list", text, strlen(text), error))
        fail_msg("%s", error);
    return table;
}

static void a_list_that_is_not_sound_is_refused_whole(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"", "line 1: a price list is one JSON object"},
        {"[]", "one JSON object"},
        {"{}", "no entry states a price"},
        {"{\"a\": {\"input_cost_per_token\": 1e-6}", "\",\" or \"}\" is missing"},
        {"{\"a\": {\"input_cost_per_token\": 1e-6}} x", "something follows the end"},
        {"{\"a\": {\"input_cost_per_token\": 1e-6,}}", "a name in quotes is expected"},
        {"{\n\"good\": {\"input_cost_per_token\": 1},\n\"a\": {\"input_cost_per_token\": \"1e-6\"}}",
         "list: line 3: \"a\": \"input_cost_per_token\": must be a number"},
        {"{\"a\": {\"input_cost_per_token\": -1e-6}}",
         "\"a\": \"input_cost_per_token\": must not be negative"},
        {"{\"a\": {\"cache_read_input_token_cost_priority\": true}}", "must be a number"},
        {"{\"a\": {\"output_cost_per_token_above_200k_tokens\": {}}}", "must be a number"},
        {"{\"a\": {\"input_cost_per_token\": 1e-31}}", "finer than"},
        {"{\"a\": {\"input_cost_per_token\": 01}}", "missing"},
        {"{\"a\": {\"input_cost_per_token\": 1, \"input_cost_per_token\": 2}}", "occurs twice"},
        {"{\"a\": {\"input_cost_per_token\": 1}, \"a\": {\"input_cost_per_token\": 1}}",
         "\"a\": the entry occurs twice"},
        {"{\"a\": 5}", "\"a\": must be an object"},
        {"{\"a\": {\"litellm_provider\": 5}}", "must be a string"},
        {"{\"a\": {\"search_context_cost_per_query\": 0.1}}", "must be an object"},
        {"{\"a\": {\"tiered_pricing\": {}}}", "must be an array"},
        {"{\"a\": {\"tiered_pricing\": [{\"input_cost_per_token\": 1, \"range\": [5, 5]}]}}", "\"range\""},
        {"{\"a\": {\"tiered_pricing\": [{\"input_cost_per_token\": 1, \"range\": [0.5, 5]}]}}",
         "whole numbers"},
        {"{\"a\": {\"provider_specific_entry\": {\"fast\": 0}}}", "must be above 0"},
        {"{\"a\": {\"source\": \"\\x\"}}", "unknown escape"},
        {"{\"a\": {\"source\": \"a\nb\"}}", "control character"},
        {"{\"a\": {\"source\": \"\\ud800\"}}", "half a character"},
        {"{\"\": {\"input_cost_per_token\": 1}}", "name"},
        {"{\"a\": {\"x\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]}}", "too deeply nested"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct price_table *table;
        int result = price_table_read(&table, "list", bad[i].text, strlen(bad[i].text), error);
        if (result != -EINVAL || table || !strstr(error, bad[i].says))
            fail_msg("%s: %d, \"%s\" instead of \"%s\"", bad[i].text, result, error, bad[i].says);
    }
}

static void a_list_cut_short_anywhere_is_refused(void **state)
{
    static const char text[] =
        "{\"a\\u00e9\": {\"litellm_provider\": \"x\", \"input_cost_per_token\": 1.5e-06, \"x\": "
        "[true, null, {\"y\": -0.5}], \"tiered_pricing\": [{\"range\": [0, 10], "
        "\"output_cost_per_token\": 2}]}}";
    struct price_table *table = list(text);
    (void)state;
    price_table_free(table);
    for (size_t length = 0; length + 1 < sizeof text; length++) {
        /* of just that size, so that a byte read beyond it is seen by sanitizers */
        char *part = malloc(length + 1);
        memcpy(part, text, length);
        assert_int_equal(price_table_read(&table, "list", part, length, error), -EINVAL);
        free(part);
    }
}

static void what_is_not_known_is_passed_over(void **state)
{
    struct price_table *table =
        list("\xef\xbb\xbf{\"sample_spec\": {\"input_cost_per_token\": \"words\"},"
             "\"a\": {\"input_cost_per_token\": null, \"new_cost_per_thing\": \"?\","
             "\"output_cost_per_token\": 0.5, \"tiered_pricing\": [{\"results\": [0, 5],"
             "\"input_cost_per_query\": 1}]}}");
    (void)state;
    assert_int_equal(table->entry_count, 1);
    assert_int_equal(table->entries[0].cell_count, 1);
    price_table_free(table);
}

static void the_built_in_list_is_sound(void **state)
{
    struct price_table *table;
    (void)state;
    if (price_table_builtin(&table, error))
        fail_msg("%s", error);
    assert_true(table->model_count > 200);
    assert_int_equal(strncmp(table->date, "20", 2), 0);
    price_table_free(table);
}

/* Each entry says where its prices were read, and when they were so. */
static void the_built_in_list_says_where_it_is_from(void **state)
{
    static const char from_list[] = "LiteLLM's list, ";
    static const char quoted[] = "as others quote https://";
    struct price_table *table;
    int pages = 0;
    (void)state;
    if (price_table_builtin(&table, error))
        fail_msg("%s", error);
    for (uint32_t i = 0; i < table->entry_count; i++) {
        const struct price_entry *entry = &table->entries[i];
        bool page = entry->source.length > 8 && !memcmp(entry->source.data, "https://", 8);
        pages += page;
        if (!page && strncmp(entry->source.data, from_list, sizeof(from_list) - 1) != 0 &&
            strncmp(entry->source.data, quoted, sizeof(quoted) - 1) != 0)
            fail_msg("%.*s does not say where it is from", (int)entry->name.length, entry->name.data);
        if (entry->date.length < 7 || memcmp(entry->date.data, "20", 2) != 0 || entry->date.data[4] != '-')
            fail_msg("%.*s has no date", (int)entry->name.length, entry->name.data);
    }
    assert_true(pages > 80);
    price_table_free(table);
}

static void remarks_are_kept_and_cost_nobody_a_list(void **state)
{
    struct price_table *table;
    (void)state;
    table = list("{\"m\": {\"input_cost_per_token\": 1, \"source\": \"a page\", \"price_date\": \"2026-09\","
                 " \"price_note\": \"so far\"},"
                 " \"n\": {\"input_cost_per_token\": 1, \"source\": [\"a\", 1], \"price_note\": {}}}");
    assert_int_equal(table->entries[0].source.length, 6);
    assert_memory_equal(table->entries[0].date.data, "2026-09", 7);
    assert_memory_equal(table->entries[0].note.data, "so far", 6);
    assert_int_equal(
        table->entries[1].source.length + table->entries[1].note.length + table->entries[1].date.length, 0);
    price_table_free(table);
}

static uint64_t picodollars_of(const struct price_entry *entry, enum price_rate rate,
                               enum price_service service)
{
    int64_t cost = 0;
    const struct price_cell *cell = price_entry_cell(entry, rate, 0, service);
    if (cell && decimal_cost(1000000, 0, cell->price, DECIMAL_ONE, &cost))
        fail_msg("a price is too large");
    return (uint64_t)cost;
}

/* What Anthropic's price page says of all its models: written for an hour at twice the input's price, batches at half of everything. */
static void the_built_in_list_is_anthropic_s(void **state)
{
    static const enum price_rate rates[] = {RATE_input, RATE_output, RATE_cache_read, RATE_cache_write_5m,
                                            RATE_cache_write_1h};
    struct price_table *table;
    int models = 0;
    (void)state;
    if (price_table_builtin(&table, error))
        fail_msg("%s", error);
    for (uint32_t i = 0; i < table->entry_count; i++) {
        const struct price_entry *entry = &table->entries[i];
        if (entry->provider.length != 9 || memcmp(entry->provider.data, "anthropic", 9) != 0)
            continue;
        models++;
        uint64_t hour = picodollars_of(entry, RATE_cache_write_1h, SERVICE_STANDARD);
        if (hour)
            assert_int_equal(hour, 2 * picodollars_of(entry, RATE_input, SERVICE_STANDARD));
        for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
            assert_int_equal(picodollars_of(entry, rates[r], SERVICE_STANDARD),
                             2 * picodollars_of(entry, rates[r], SERVICE_BATCHES));
    }
    assert_true(models > 10);
    price_table_free(table);
}

/* ---- lookup ---- */

static void expect_entry(const struct price_table *table, const char *provider, const char *response,
                         const char *request, const char *host, const char *expected)
{
    struct price_names names = {
        .provider = {provider, provider ? strlen(provider) : 0},
        .response_model = {response, response ? strlen(response) : 0},
        .request_model = {request, request ? strlen(request) : 0},
        .server_address = {host, host ? strlen(host) : 0},
    };
    const struct price_entry *entry = price_lookup(table, &names);
    if (!expected && entry)
        fail_msg("%s %s: found %.*s", provider, request, (int)entry->name.length, entry->name.data);
    if (expected && !entry)
        fail_msg("%s %s: nothing was found", provider ? provider : "-", request ? request : response);
    if (entry && expected) {
        assert_int_equal(entry->name.length, strlen(expected));
        assert_memory_equal(entry->name.data, expected, entry->name.length);
    }
}

#define P(name, provider)                                                                                    \
    "\"" name "\": {\"litellm_provider\": \"" provider "\", \"input_cost_per_token\": 1}"

static void an_entry_is_found(void **state)
{
    struct price_table *table = list("{" P("gpt-4o", "openai") "," P(
        "gpt-4o-2024-05-13", "openai") "," P("azure/gpt-4o", "azure") "," P("openrouter/openai/gpt-4o",
                                                                            "openrouter") "," P("xai/grok-4",
                                                                                                "xai") "," P("Meta/Llama", "openai") "," P("meta/llama", "openai") "," P("gemini/gemini-2.5-pro", "gemini") "," P("gemini-2.5-pro",
                                                                                                                                                                                                                  "vertex_ai-language-models") "," P("vertex_ai/claude-3-5-haiku", "vertex_ai-anthropic_models") "," P("claude-3-5-haiku-20241022", "anthropic") "," P("anthropic.claude-x-v1:0",
                                                                                                                                                                                                                                                                                                                                                                       "bedrock") "," P("eu.anthropic.claude-x-v1:0",
                                                                                                                                                                                                                                                                                                                                                                                        "bedrock") "," P("bedrock/eu-west-1/anthropic.claude-x-v1:0",
                                                                                                                                                                                                                                                                                                                                                                                                         "bedrock") "," P("command-r", "cohere_chat") "," P("ft:gpt-4o", "openai") "," P("ollama/llama3.1",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         "ollama") "," P("mistral/mistral-large-latest",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         "mistral") "}");
    (void)state;
    expect_entry(table, "openai", NULL, "gpt-4o", NULL, "gpt-4o");
    expect_entry(table, "OpenAI", NULL, "GPT-4o", NULL, "gpt-4o");
    expect_entry(table, NULL, NULL, "gpt-4o", NULL, "gpt-4o");
    expect_entry(table, "a-proxy", NULL, "gpt-4o", NULL, "gpt-4o");
    expect_entry(table, "azure.ai.openai", "gpt-4o-2024-08-06", "my-deployment", NULL, "azure/gpt-4o");
    /* a deployment may have the name of another model than answers */
    expect_entry(table, "azure", "command-r", "gpt-4o", NULL, "command-r");
    expect_entry(table, "azure", "nobody", "gpt-4o", NULL, "azure/gpt-4o");
    expect_entry(table, "azure", NULL, "gpt-4o", NULL, "azure/gpt-4o");
    expect_entry(table, "aws.bedrock", "claude-3-5-haiku-20241022", "anthropic.claude-x-v1:0", NULL,
                 "anthropic.claude-x-v1:0");
    expect_entry(table, "openai", "gpt-4o-2024-05-13", "gpt-4o", NULL, "gpt-4o-2024-05-13");
    expect_entry(table, "openai", "gpt-4o-2024-11-20", "gpt-4o", NULL, "gpt-4o");
    expect_entry(table, "openai", NULL, "gpt-4o-20241120", NULL, "gpt-4o");
    expect_entry(table, "openai", NULL, "gpt-4o-2024-13-20", NULL, NULL);
    expect_entry(table, "openai", NULL, "gpt-4o-latest", NULL, "gpt-4o");
    expect_entry(table, "openai", NULL, "ft:gpt-4o:org::id", NULL, "ft:gpt-4o");
    expect_entry(table, "openrouter", NULL, "openai/gpt-4o", NULL, "openrouter/openai/gpt-4o");
    expect_entry(table, "litellm", NULL, "azure/gpt-4o", NULL, "azure/gpt-4o");
    expect_entry(table, "litellm", NULL, "openai/gpt-4o", NULL, "gpt-4o");
    expect_entry(table, "x_ai", NULL, "grok-4", NULL, "xai/grok-4");
    expect_entry(table, "gcp.gemini", NULL, "models/gemini-2.5-pro", NULL, "gemini/gemini-2.5-pro");
    expect_entry(table, "gcp.vertex_ai", NULL, "publishers/google/models/gemini-2.5-pro", NULL,
                 "gemini-2.5-pro");
    expect_entry(table, "gcp.vertex_ai", NULL, "claude-3-5-haiku@20241022", NULL,
                 "vertex_ai/claude-3-5-haiku");
    expect_entry(table, "aws.bedrock", NULL, "us.anthropic.claude-x-v1:0", NULL, "anthropic.claude-x-v1:0");
    expect_entry(table, "aws.bedrock", NULL, "eu.anthropic.claude-x-v1:0", NULL,
                 "eu.anthropic.claude-x-v1:0");
    expect_entry(table, "aws.bedrock", NULL, "anthropic.claude-x-v1:0",
                 "bedrock-runtime.eu-west-1.amazonaws.com", "bedrock/eu-west-1/anthropic.claude-x-v1:0");
    expect_entry(table, "aws.bedrock", NULL,
                 "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-x-v1:0", NULL,
                 "anthropic.claude-x-v1:0");
    expect_entry(table, "cohere", NULL, "command-r", NULL, "command-r");
    expect_entry(table, "mistral_ai", NULL, "mistral-large-latest", NULL, "mistral/mistral-large-latest");
    expect_entry(table, "x", NULL, "meta/llama", NULL, "meta/llama");
    expect_entry(table, "x", NULL, "Meta/Llama", NULL, "Meta/Llama");
    expect_entry(table, "x", NULL, "META/LLAMA", NULL, "Meta/Llama");
    expect_entry(table, "ollama", NULL, "llama3.1:latest", NULL, "ollama/llama3.1");
    expect_entry(table, "ollama", NULL, "gpt-4o", NULL, NULL); /* it runs here, whatever its name */
    expect_entry(table, "vllm", NULL, "gpt-4o", NULL, NULL);
    expect_entry(table, "llama.cpp", NULL, "gpt-4o", NULL, NULL);
    expect_entry(table, "openai", NULL, "gpt-5", NULL, NULL);
    expect_entry(table, "openai", NULL, "", NULL, NULL);
    expect_entry(table, "openai", NULL, NULL, NULL, NULL);
    price_table_free(table);
}

/* ---- costs ---- */

static struct price_result result;

/* counts: "input_tokens=5 output_tokens=6"; "=-1" leaves one unknown, as all that are not named. */
static const struct price_result *cost(const char *entry, const char *counts, const char *tier,
                                       const char *speed, const char *host)
{
    static const char *const names[] = {
#define QUANTITY_X(name) #name,
        QUANTITIES(QUANTITY_X)
#undef QUANTITY_X
    };
    char text[4096];
    char copy[512];
    struct quantities quantities;
    struct price_call call = {
        .names = {.request_model = {"m", 1}, .server_address = {host, host ? strlen(host) : 0}},
        .service_tier = {tier, tier ? strlen(tier) : 0},
        .speed = {speed, speed ? strlen(speed) : 0},
        .quantities = &quantities,
    };
    snprintf(text, sizeof text, "{\"m\": {%s}}", entry);
    snprintf(copy, sizeof copy, "%s", counts);
    quantities_init(&quantities);
    for (char *rest = copy, *word; (word = strsep(&rest, " "));) {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = '\0';
        size_t which = 0;
        while (which < QUANTITY_COUNT && strcmp(names[which], word) != 0)
            which++;
        assert_true(which < QUANTITY_COUNT);
        if (which < QUANTITY_COUNT)
            quantities.of[which] = strtoll(equals + 1, NULL, 10);
    }
    struct price_table *table = list(text);
    price(table, NULL, &call, &result);
    result.entry = NULL; /* goes with the table */
    price_table_free(table);
    return &result;
}

#define expect(entry, counts, micros)                                                                        \
    do {                                                                                                     \
        assert_int_equal(cost(entry, counts, NULL, NULL, NULL)->outcome, PRICE_KNOWN);                       \
        assert_int_equal(result.picodollars, (int64_t)(micros)*1000000);                                     \
    } while (0)
#define expect_with(entry, counts, tier, speed, host, micros)                                                \
    do {                                                                                                     \
        assert_int_equal(cost(entry, counts, tier, speed, host)->outcome, PRICE_KNOWN);                      \
        assert_int_equal(result.picodollars, (int64_t)(micros)*1000000);                                     \
    } while (0)
#define expect_unknown(entry, counts, why)                                                                   \
    assert_int_equal(cost(entry, counts, NULL, NULL, NULL)->outcome, why)

#define IN_OUT "\"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 1e-05"

static void kinds_without_a_price_cost_what_they_are_part_of(void **state)
{
    (void)state;
    expect(IN_OUT, "input_tokens=100 output_tokens=10", 200);
    expect(IN_OUT,
           "input_tokens=100 output_tokens=10 cache_read_tokens=40 cache_write_5m_tokens=10 "
           "cache_write_1h_tokens=10 input_audio_tokens=20 input_image_tokens=5 input_video_tokens=5 "
           "reasoning_tokens=4 output_audio_tokens=2 output_image_tokens=1",
           200);
    expect(IN_OUT ", \"cache_read_input_token_cost\": 1e-07",
           "input_tokens=100 output_tokens=0 cache_read_tokens=40", 64);
    expect(IN_OUT ", \"cache_read_input_token_cost\": 0",
           "input_tokens=100 output_tokens=0 cache_read_tokens=40", 60);
    expect(IN_OUT ", \"input_cost_per_token_cache_hit\": 1e-07",
           "input_tokens=100 output_tokens=0 cache_read_tokens=40", 64);
    expect(IN_OUT ", \"cache_creation_input_token_cost\": 2e-06",
           "input_tokens=100 output_tokens=0 cache_write_5m_tokens=10 cache_write_1h_tokens=10", 120);
    expect(
        IN_OUT
        ", \"cache_creation_input_token_cost\": 2e-06, \"cache_creation_input_token_cost_above_1hr\": 4e-06",
        "input_tokens=100 output_tokens=0 cache_write_5m_tokens=10 cache_write_1h_tokens=10", 140);
    expect(IN_OUT ", \"input_cost_per_audio_token\": 5e-06, \"output_cost_per_audio_token\": 2e-05",
           "input_tokens=100 output_tokens=10 input_audio_tokens=10 output_audio_tokens=10", 340);
    expect(IN_OUT ", \"output_cost_per_reasoning_token\": 3e-06",
           "input_tokens=0 output_tokens=10 reasoning_tokens=4", 72);
    expect(IN_OUT ", \"output_cost_per_image_token\": 4e-05",
           "input_tokens=0 output_tokens=10 output_image_tokens=4", 220);
    expect("\"input_cost_per_token\": 1e-06, \"output_cost_per_image_token\": 4e-05",
           "input_tokens=10 output_tokens=10", 410); /* an image model's output is images */
    expect(IN_OUT ", \"input_cost_per_audio_token\": 5e-06, \"cache_read_input_token_cost\": 5e-07, "
                  "\"cache_read_input_audio_token_cost\": 2e-06",
           "input_tokens=100 output_tokens=0 input_audio_tokens=40 cache_read_tokens=30 "
           "cache_read_audio_tokens=10",
           40 + 10 + 20 + 150);
    /* parts that are more than the whole */
    expect(IN_OUT, "input_tokens=100 output_tokens=10 cache_read_tokens=400 reasoning_tokens=50", 200);
}

#define TIERED                                                                                               \
    IN_OUT ", \"input_cost_per_token_above_200k_tokens\": 2e-06, "                                           \
           "\"output_cost_per_token_above_200k_tokens\": 2e-05, "                                            \
           "\"cache_read_input_token_cost\": 1e-07, \"input_cost_per_token_above_500000_tokens\": 3e-06"

static void the_whole_request_is_at_its_tier(void **state)
{
    (void)state;
    expect(TIERED, "input_tokens=200000 output_tokens=10", 200100);
    expect(TIERED, "input_tokens=200001 output_tokens=10", 400202);
    expect(TIERED, "input_tokens=200010 output_tokens=10 cache_read_tokens=200010", 20001 + 200);
    assert_int_equal(result.tier, 1);
    expect(TIERED, "input_tokens=500001 output_tokens=10",
           1500203); /* output: the nearest tier that has one */
    expect("\"litellm_provider\": \"xai\", " TIERED, "input_tokens=200000 output_tokens=10", 400200);
    expect("\"litellm_provider\": \"xai\", " TIERED, "input_tokens=199999 output_tokens=10", 200099);
    /* reasoning that costs what output costs does so at every tier */
    expect(TIERED ", \"output_cost_per_reasoning_token\": 1e-05",
           "input_tokens=200001 output_tokens=10 reasoning_tokens=5", 400202);
    expect(
        "\"tiered_pricing\": [{\"range\": [0, 256000.0], \"input_cost_per_token\": 1e-06, "
        "\"output_cost_per_token\": 2e-06}, {\"range\": [256e3, 1000000], \"input_cost_per_token\": 3e-06, "
        "\"output_cost_per_token\": 6e-06, \"output_cost_per_reasoning_token\": 7e-06}]",
        "input_tokens=256000 output_tokens=10 reasoning_tokens=5", 256020);
    expect("\"tiered_pricing\": [{\"range\": [256e3, 1000000], \"input_cost_per_token\": 3e-06, "
           "\"output_cost_per_token\": 6e-06, \"output_cost_per_reasoning_token\": 7e-06}, {\"range\": [0, "
           "256000.0], "
           "\"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 2e-06}]",
           "input_tokens=2000000 output_tokens=10 reasoning_tokens=5", 6000000 + 30 + 35);
}

#define SERVICES                                                                                             \
    IN_OUT ", \"input_cost_per_token_batches\": 5e-07, \"output_cost_per_token_batches\": 5e-06, "           \
           "\"input_cost_per_token_flex\": 6e-07, \"input_cost_per_token_priority\": 2e-06, "                \
           "\"input_cost_per_token_above_200k_tokens\": 4e-06, "                                             \
           "\"input_cost_per_token_above_200k_tokens_priority\": 8e-06"

static void services_have_prices_of_their_own(void **state)
{
    (void)state;
    expect_with(SERVICES, "input_tokens=100 output_tokens=10", "default", NULL, NULL, 200);
    expect_with(SERVICES, "input_tokens=100 output_tokens=10", "batch", NULL, NULL, 100);
    expect_with(SERVICES, "input_tokens=100 output_tokens=10", "Flex", NULL, NULL, 160);
    expect_with(SERVICES, "input_tokens=100 output_tokens=10", "ON_DEMAND_PRIORITY", NULL, NULL, 300);
    expect_with(SERVICES, "input_tokens=200001 output_tokens=0", "priority", NULL, NULL, 1600008);
    expect_with(SERVICES, "input_tokens=200001 output_tokens=0", "flex", NULL, NULL, 800004);
    /* several times the standard price: this one does not stand for it */
    assert_int_equal(cost(SERVICES, "input_tokens=100 output_tokens=10", "ultrafast", NULL, NULL)->outcome,
                     PRICE_NO_RATE);
    expect_with(SERVICES
                ", \"input_cost_per_token_ultrafast\": 3e-06, \"output_cost_per_token_ultrafast\": 3e-05,"
                " \"search_context_cost_per_query\": {\"search_context_size_medium\": 0.01}",
                "input_tokens=100 output_tokens=10 cache_read_tokens=50 web_searches=1", "ultrafast", NULL,
                NULL, 10600);
}

#define FACTORS                                                                                              \
    IN_OUT ", \"provider_specific_entry\": {\"us\": 1.1, \"fast\": 6.0, \"note\": \"x\"}, "                  \
           "\"regional_processing_uplift_multiplier_eu\": 1.1, \"regional_endpoint_uplift_multiplier\": 1.5"

static void factors_hold_for_speed_and_place(void **state)
{
    (void)state;
    expect_with(FACTORS, "input_tokens=100 output_tokens=10", NULL, "standard", NULL, 200);
    expect_with(FACTORS, "input_tokens=100 output_tokens=10", NULL, "fast", NULL, 1200);
    expect_with(FACTORS, "input_tokens=100 output_tokens=10", NULL, NULL, "eu.api.openai.com", 220);
    expect_with(FACTORS, "input_tokens=100 output_tokens=10", NULL, NULL, "api.openai.com", 200);
    expect_with(FACTORS, "input_tokens=100 output_tokens=10", NULL, NULL, "eu.example.com", 200);
    expect_with(FACTORS, "input_tokens=100 output_tokens=10", NULL, NULL,
                "europe-west4-aiplatform.googleapis.com", 300);
    expect_with(FACTORS, "input_tokens=100 output_tokens=10", NULL, NULL, "aiplatform.googleapis.com", 200);
}

static void pieces_are_billed(void **state)
{
    (void)state;
    expect("\"input_cost_per_second\": 0.0001, \"output_cost_per_second\": 0.0001", "input_audio_ms=61500",
           6150);
    expect("\"input_cost_per_character\": 1.5e-05", "input_characters=1000", 15000);
    expect("\"mode\": \"image_generation\", \"input_cost_per_image\": 0.04", "output_images=2", 80000);
    expect("\"output_cost_per_image\": 0.04", "output_images=2", 80000);
    expect("\"input_cost_per_query\": 0.002, \"input_cost_per_token\": 0.0, \"output_cost_per_token\": 0.0",
           "search_units=3", 6000);
    expect(IN_OUT ", \"search_context_cost_per_query\": {\"search_context_size_low\": 0.005, "
                  "\"search_context_size_medium\": 0.01}",
           "input_tokens=100 output_tokens=10 web_searches=3", 30200);
    expect("\"litellm_provider\": \"gemini\", " IN_OUT
           ", \"search_context_cost_per_query\": {\"search_context_size_medium\": 0.01}",
           "input_tokens=100 output_tokens=10 web_searches=3", 10200); /* by the prompt */
    expect("\"litellm_provider\": \"gemini\", \"web_search_billing_unit\": \"per_query\", " IN_OUT
           ", \"search_context_cost_per_query\": {\"search_context_size_medium\": 0.01}",
           "input_tokens=100 output_tokens=10 web_searches=3", 30200);
    /* seconds are another measure of tokens that are stated */
    expect(IN_OUT ", \"input_cost_per_second\": 0.5", "input_tokens=100 output_tokens=10 input_audio_ms=9000",
           200);
}

static void what_is_not_known_is_not_zero(void **state)
{
    (void)state;
    expect_unknown(IN_OUT, "input_tokens=-1", PRICE_NO_COUNTS);
    expect_unknown(IN_OUT, "input_tokens=5", PRICE_NO_COUNTS);
    expect_unknown(IN_OUT, "output_tokens=5", PRICE_NO_COUNTS);
    expect_unknown("\"input_cost_per_token\": 1e-06", "input_tokens=5 output_tokens=5", PRICE_NO_RATE);
    expect("\"input_cost_per_token\": 1e-06", "input_tokens=5", 5); /* an embedding has no output */
    expect("\"input_cost_per_token\": 1e-06", "input_tokens=5 output_tokens=0", 5);
    expect("\"input_cost_per_token\": 0, \"output_cost_per_token\": 0", "input_tokens=5 output_tokens=7", 0);
    expect_unknown(IN_OUT, "input_tokens=5 output_tokens=5 web_searches=1", PRICE_NO_RATE);
    expect_unknown("\"input_cost_per_image\": 1", "input_tokens=5 output_tokens=5", PRICE_NO_RATE);
    expect_unknown("\"input_cost_per_token\": 1", "input_tokens=1000000000000", PRICE_TOO_LARGE);
    expect(IN_OUT ", \"off_peak_pricing\": null", "input_tokens=5 output_tokens=0", 5);
    expect_unknown("\"source\": \"no price\"}, \"n\": {\"input_cost_per_token\": 1", "input_tokens=1",
                   PRICE_NO_MODEL);
}

static void a_cache_finds_what_a_lookup_finds(void **state)
{
    struct price_table *table;
    struct price_cache *cache = calloc(1, sizeof *cache);
    struct quantities quantities;
    struct price_result other;
    (void)state;
    assert_int_equal(price_table_builtin(&table, error), 0);
    quantities_init(&quantities);
    quantities.of[QUANTITY_input_tokens] = 1000;
    quantities.of[QUANTITY_output_tokens] = 10;
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < table->entry_count; i++) {
            struct price_call call = {.names = {.request_model = table->entries[i].name},
                                      .quantities = &quantities};
            price(table, cache, &call, &result);
            price(table, NULL, &call, &other);
            assert_ptr_equal(result.entry, other.entry);
            assert_ptr_equal(result.entry, &table->entries[i]);
        }
    free(cache);
    price_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals_are_what_is_written),
        cmocka_unit_test(costs_are_rounded_once),
        cmocka_unit_test(decimals_are_written_as_people_do),
        cmocka_unit_test(the_digest_is_sha256),
        cmocka_unit_test(a_list_that_is_not_sound_is_refused_whole),
        cmocka_unit_test(a_list_cut_short_anywhere_is_refused),
        cmocka_unit_test(what_is_not_known_is_passed_over),
        cmocka_unit_test(the_built_in_list_is_sound),
        cmocka_unit_test(the_built_in_list_says_where_it_is_from),
        cmocka_unit_test(remarks_are_kept_and_cost_nobody_a_list),
        cmocka_unit_test(the_built_in_list_is_anthropic_s),
        cmocka_unit_test(an_entry_is_found),
        cmocka_unit_test(kinds_without_a_price_cost_what_they_are_part_of),
        cmocka_unit_test(the_whole_request_is_at_its_tier),
        cmocka_unit_test(services_have_prices_of_their_own),
        cmocka_unit_test(factors_hold_for_speed_and_place),
        cmocka_unit_test(pieces_are_billed),
        cmocka_unit_test(what_is_not_known_is_not_zero),
        cmocka_unit_test(a_cache_finds_what_a_lookup_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
