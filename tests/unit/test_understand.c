/* Usage objects of all providers, as their documentation has them: tests/fixtures/understand/. Each is understood as a whole, as
 * what remains of it for a record, and one fragment a record, merged as the ledger merges. */
#include "unit/understand_kit.h"

#include "support/tries.h"

#include <dirent.h>

static struct understood understood;
static unsigned long long cases;
static unsigned long long fragments;
static int wrong;

static void say(const char *file, const char *name, const char *what, const char *wanted, const char *got)
{
    print_message("%s: %s: %s: wanted %s, got %s\n", file, name, what, wanted ? wanted : "none", got);
    wrong++;
}

static void check_number(const char *file, const char *name, const char *what, int64_t wanted, int64_t got)
{
    char a[24];
    char b[24];
    snprintf(a, sizeof a, "%lld", (long long)wanted);
    snprintf(b, sizeof b, "%lld", (long long)got);
    if (wanted != got)
        say(file, name, what, a, b);
}

static void check_text(const char *file, const char *name, const char *what, const char *wanted,
                       struct text got)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)got.length, got.data ? got.data : "");
    if (strcmp(wanted ? wanted : "", text) != 0)
        say(file, name, what, wanted, text);
}

static int64_t number_or(const cJSON *object, const char *name, int64_t none)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : none;
}

static void check_quantities(const char *file, const char *name, const cJSON *one,
                             const struct quantities *got)
{
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(one, "quantities");
    for (int i = 0; i < QUANTITY_COUNT; i++)
        check_number(file, name, kit_quantity_names[i], number_or(wanted, kit_quantity_names[i], -1),
                     got->of[i]);
}

static void check_kind(const char *file, const char *name, const cJSON *one)
{
    static const char *const kinds[] = {"counts", "nothing", "unknown", "damaged"};
    const char *kind = kit_string(one, "kind");
    if (strcmp(kind ? kind : "counts", kinds[understood.kind]) != 0)
        say(file, name, "kind", kind ? kind : "counts", kinds[understood.kind]);
    assert_int_equal(understood.known, understood.kind <= UNDERSTOOD_NOTHING);
    check_text(file, name, "shape", kit_string(one, "shape"), kit_text(understood.shape));
}

static void check_texts(const char *file, const char *name, const cJSON *one)
{
    static const char *const names[] = {
#define UNDERSTOOD_X(name, bytes_max) #name,
        UNDERSTOOD_TEXTS(UNDERSTOOD_X)
#undef UNDERSTOOD_X
    };
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(one, "texts");
    for (int i = 0; i < UNDERSTOOD_TEXT_COUNT; i++)
        check_text(file, name, names[i], kit_string(wanted, names[i]), understood.texts[i]);
}

/* json: of the case, or what was distilled from it. */
static void check_whole(const char *file, const char *name, const cJSON *one, const char *json, size_t length)
{
    struct understand_hints hints = kit_hints(one);
    kit_understand(&hints, json, length, &understood);
    check_kind(file, name, one);
    check_quantities(file, name, one, &understood.quantities);
    check_number(file, name, "cost", number_or(one, "cost", -1), understood.provider_cost_picodollars);
    check_number(file, name, "status", number_or(one, "status", -1), understood.status);
    check_text(file, name, "provider", kit_string(one, "provider"), kit_text(understood.provider));
    check_texts(file, name, one);
}

/* One record each: of every count the newest record that states it counts. */
static void check_fragments(const char *file, const char *name, const cJSON *one, const cJSON *list)
{
    struct understand_hints hints = kit_hints(one);
    struct quantities merged;
    const cJSON *item;
    quantities_init(&merged);
    for (item = list ? list->child : NULL; item; item = item->next) {
        char *json = cJSON_PrintUnformatted(item);
        kit_understand(&hints, json, strlen(json), &understood);
        for (int i = 0; i < QUANTITY_COUNT; i++)
            if (understood.quantities.of[i] >= 0)
                merged.of[i] = understood.quantities.of[i];
        cJSON_free(json);
        fragments++;
    }
    check_quantities(file, name, one, &merged);
}

static void check_case(const char *file, const cJSON *one)
{
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(one, "json");
    const char *name = kit_string(one, "name");
    char *json = given ? cJSON_PrintUnformatted(given) : strdup(kit_string(one, "text"));
    char distilled[4096];
    size_t length = strlen(json);
    assert_non_null(name);
    check_whole(file, name, one, json, length);
    if (understood.kind == UNDERSTOOD_COUNTS) {
        size_t kept = understand_distil(json, length, distilled, sizeof distilled);
        if (!kept || kept > length + 64)
            say(file, name, "distilled", "something short", "none, or more");
        check_whole(file, name, one, distilled, kept);
    }
    /* what comes one a record and adds up, or comes last and fills, is one record's */
    if (cJSON_IsArray(given) && !cJSON_GetObjectItemCaseSensitive(one, "adds") &&
        !cJSON_GetObjectItemCaseSensitive(one, "fills"))
        check_fragments(file, name, one, given);
    free(json);
    cases++;
}

static void test_fixtures(void **state)
{
    const char *source = getenv("TALLY_TEST_SOURCE");
    char folder[400];
    const struct dirent *entry;
    (void)state;
    snprintf(folder, sizeof folder, "%s/tests/fixtures/understand", source ? source : ".");
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while ((entry = readdir(directory)))
        if (strstr(entry->d_name, ".json"))
            kit_each_case(folder, entry->d_name, check_case);
    closedir(directory);
    assert_int_equal(wrong, 0);
    assert_true(cases > 100);
    tries(cases, "usage objects of the project's own");
    tries(fragments, "fragments merged one by one");
}

/* A text is cut where a character begins, and never overruns. */
static void test_texts_are_cut(void **state)
{
    char json[2100];
    char model[1000] = "";
    (void)state;
    for (int i = 0; i < 150; i++)
        memcpy(model + 3 * i, "\xc3\xa9x", 4); /* cut at 200 bytes: within the 67th of three */
    snprintf(json, sizeof json, "{\"model\":\"%s\",\"id\":\"%s\",\"usage\":{\"prompt_tokens\":1}}", model,
             model);
    kit_understand(NULL, json, strlen(json), &understood);
    assert_int_equal(understood.texts[UNDERSTOOD_TEXT_response_model].length, 200);
    assert_memory_equal(understood.texts[UNDERSTOOD_TEXT_response_model].data, model, 200);
    assert_int_equal(understood.texts[UNDERSTOOD_TEXT_response_id].length, 128);
    assert_int_equal(understood.quantities.of[QUANTITY_input_tokens], 1);
}

/* A response keeps nothing in its distilled form of what was said. */
static void test_nothing_said_is_kept(void **state)
{
    static const char *const answers[] = {
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"message\":{\"content\":\"SECRET\"}}],"
        "\"usage\":{\"prompt_tokens\":1,\"note\":\"SECRET\",\"deep\":{\"x\":\"SECRET\"}}}",
        "{\"model\":\"m\",\"message\":{\"content\":\"SECRET\"},\"context\":[7777,7777],\"eval_count\":3}",
        "{\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"c\","
        "\"message\":\"SECRET\"}}}",
        "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"SECRET\"}}\n\n"
        "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":3}}\n\n",
        "{\"headers\":{\"authorization\":\"SECRET\",\"x-amzn-bedrock-input-token-count\":\"3\"}}",
        "{\"inputTextTokenCount\":5,\"embedding\":[0.7777,0.7777],\"results\":[{\"outputText\":\"SECRET\","
        "\"tokenCount\":1}]}",
    };
    char kept[1000];
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        size_t length = understand_distil(answers[i], strlen(answers[i]), kept, sizeof kept - 1);
        if (!length)
            fail_msg("nothing is kept of %s", answers[i]);
        kept[length] = '\0';
        assert_null(strstr(kept, "SECRET"));
        assert_null(strstr(kept, "7777"));
    }
}

/* A stream of many chunks that each say all is one of them; too small a buffer holds nothing. */
static void test_distilled_is_small(void **state)
{
    size_t bytes_max = (size_t)1 << 20;
    char *stream = malloc(bytes_max);
    char kept[400];
    size_t used = 0;
    (void)state;
    assert_non_null(stream);
    for (int i = 1; i <= 3000; i++)
        used += (size_t)snprintf(stream + used, bytes_max - used,
                                 "data: {\"modelVersion\":\"g\",\"usageMetadata\":{\"promptTokenCount\":9,"
                                 "\"candidatesTokenCount\":%d,\"totalTokenCount\":%d}}\n\n",
                                 i, i + 9);
    size_t length = understand_distil(stream, used, kept, sizeof kept);
    assert_true(length > 0 && length < 120);
    kit_understand(NULL, kept, length, &understood);
    assert_int_equal(understood.quantities.of[QUANTITY_output_tokens], 3000);
    assert_int_equal(understand_distil(stream, used, kept, 20), 0);
    free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_texts_are_cut),
        cmocka_unit_test(test_nothing_said_is_kept),
        cmocka_unit_test(test_distilled_is_small),
    };
    return cmocka_run_group_tests_name("understand", tests, NULL, NULL);
}
