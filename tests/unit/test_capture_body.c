/* What is picked out of a response while it passes says the same as all of it: every fixture of tests/fixtures/understand, as a
 * document, as lines, as a list and as events; and every recorded exchange of ../shared/corpus, where it is. In pieces of several sizes. That
 * all of it is read right is what test_understand and test_understand_corpus show. */
#include "unit/body_kit.h"

#include "support/skip.h"
#include "support/tries.h"

#include <dirent.h>
#include <unistd.h>

#define PICKED_BYTES_WANTED 1300

static struct understood whole;
static struct understood part;
static struct picked picked;
static int wrong;
static unsigned long long cases;
static unsigned long long bare;
static unsigned long long large;
static size_t largest;

static const size_t pieces[] = {0, 1, 7, 1460};

static const char *compare(const struct understand_hints *hints, enum body_format format, const char *bytes,
                           size_t length, size_t piece)
{
    kit_understand(hints, bytes, length, &whole);
    kit_pick(&picked, format, bytes, length, piece);
    kit_understand(hints, picked.json, picked.length, &part);
    const char *difference = kit_difference(&whole, &part);
    if (difference)
        return difference;
    if ((whole.kind == UNDERSTOOD_COUNTS) != (part.kind == UNDERSTOOD_COUNTS))
        return "kind";
    return NULL;
}

/* No text of it is one that the answer says. */
static const char *check_texts(const char *bytes)
{
    cJSON *json = picked.length ? cJSON_Parse(picked.json) : NULL;
    const char *wrong_one = picked.length && !json      ? "no JSON"
                            : kit_stray_text(json)      ? "a text that is none of these"
                            : kit_any_said(json, bytes) ? "a text that was said"
                                                        : NULL;
    cJSON_Delete(json);
    return wrong_one;
}

static void check(const char *what, const struct understand_hints *hints, enum body_format format,
                  const char *bytes, size_t length)
{
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        const char *difference = compare(hints, format, bytes, length, pieces[i]);
        if (!difference && i == 0)
            difference = check_texts(bytes);
        if (!difference)
            continue;
        print_message("%s, in pieces of %zu: %s differs\n  picked %s\n", what, pieces[i], difference,
                      picked.json);
        wrong++;
        return;
    }
    if (picked.length > PICKED_BYTES_WANTED) {
        print_message("%s: %zu bytes are picked\n", what, picked.length);
        large++;
    }
    if (picked.length > largest)
        largest = picked.length;
    cases++;
}

/* ---- fixtures ---- */

static const char *const answer_names[] = {"usage",
                                           "usageMetadata",
                                           "usage_metadata",
                                           "x_groq",
                                           "meta",
                                           "amazon-bedrock-invocationMetrics",
                                           "message",
                                           "response",
                                           "delta",
                                           "result",
                                           "body",
                                           "metadata",
                                           "choices",
                                           "error",
                                           "id",
                                           "model",
                                           "results",
                                           "prompt_eval_count",
                                           "type",
                                           "data",
                                           "eval_count",
                                           "tokens_evaluated",
                                           "inputTextTokenCount",
                                           "generation"};

/* What programs hand over themselves: a usage object without its answer. No API's body is one. */
static bool is_bare(const cJSON *item)
{
    if (cJSON_IsArray(item))
        item = item->child;
    for (size_t i = 0; i < sizeof answer_names / sizeof answer_names[0]; i++)
        if (cJSON_GetObjectItemCaseSensitive(item, answer_names[i]))
            return false;
    return true;
}

/* Headers come as headers. */
static bool is_of_headers(const cJSON *item)
{
    if (cJSON_IsArray(item))
        item = item->child;
    for (item = first_of(item); item; item = item->next)
        if (!strncasecmp(item->string, "x-amzn-", 7) || !strcmp(item->string, "headers"))
            return true;
    return false;
}

/* The same objects as the answers that they would come in. */
static cJSON *in_answers(const cJSON *item)
{
    cJSON *answer = cJSON_CreateObject();
    if (!cJSON_IsArray(item)) {
        cJSON_AddItemToObject(answer, "usage", cJSON_Duplicate(item, 1));
        return answer;
    }
    cJSON_Delete(answer);
    cJSON *list = cJSON_CreateArray();
    for (item = item->child; item; item = item->next)
        cJSON_AddItemToArray(list, in_answers(item));
    return list;
}

/* Each object of a list in a line of its own. */
static char *joined(const cJSON *list, const char *before, const char *after)
{
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    size_t used = 0;
    const cJSON *item;
    assert_non_null(text);
    for (item = list->child; item; item = item->next) {
        char *json = cJSON_PrintUnformatted(item);
        used += (size_t)snprintf(text + used, capacity - used, "%s%s%s", before, json, after);
        assert_true(used < capacity);
        cJSON_free(json);
    }
    return text;
}

static void check_given(const char *name, const struct understand_hints *hints, const cJSON *given)
{
    char *pretty = cJSON_Print(given);
    char *compact = cJSON_PrintUnformatted(given);
    check(name, hints, BODY_JSON, pretty, strlen(pretty));
    check(name, hints, BODY_JSON, compact, strlen(compact));
    cJSON_free(pretty);
    cJSON_free(compact);
    if (!cJSON_IsArray(given))
        return;
    char *lines = joined(given, "", "\n");
    char *events = joined(given, "event: x\ndata: ", "\n\n");
    char *crlf = joined(given, ": comment\r\ndata:", "\r\n\r\n");
    check(name, hints, BODY_JSON, lines, strlen(lines));
    check(name, hints, BODY_EVENTS, events, strlen(events));
    check(name, hints, BODY_EVENTS, crlf, strlen(crlf));
    free(lines);
    free(events);
    free(crlf);
}

static void check_case(const char *file, const cJSON *one)
{
    (void)file;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(one, "json");
    const char *text = kit_string(one, "text");
    const char *name = kit_string(one, "name");
    struct understand_hints hints = kit_hints(one);
    cJSON *parsed = given ? cJSON_Duplicate(given, 1) : cJSON_Parse(text);
    if (is_of_headers(parsed)) {
        bare++;
    } else if (parsed && is_bare(parsed)) {
        cJSON *wrapped = in_answers(parsed);
        check_given(name, &hints, wrapped);
        cJSON_Delete(wrapped);
        bare++;
    } else if (given) {
        check_given(name, &hints, given);
    } else {
        check(name, &hints, strncmp(text, "event:", 6) != 0 ? BODY_JSON : BODY_EVENTS, text, strlen(text));
    }
    cJSON_Delete(parsed);
}

static const char *path_of(const char *name)
{
    static char path[600];
    const char *source = getenv("TALLY_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/%s", source ? source : ".", name);
    return path;
}

static void test_fixtures(void **state)
{
    const char *folder = path_of("tests/fixtures/understand");
    const struct dirent *entry;
    (void)state;
    cases = bare = large = largest = 0;
    wrong = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while ((entry = readdir(directory)))
        if (strstr(entry->d_name, ".json"))
            kit_each_case(folder, entry->d_name, check_case);
    closedir(directory);
    print_message("# note: %llu were given without an answer; the largest pick has %zu bytes\n", bare,
                  largest);
    assert_int_equal(wrong, 0);
    assert_int_equal(large, 0);
    assert_true(cases > 150);
    tries(cases * sizeof pieces / sizeof pieces[0], "bodies of the project's own, picked in pieces");
}

/* ---- recorded exchanges ---- */

static void check_exchange(const char *line)
{
    cJSON *exchange = cJSON_Parse(line);
    assert_non_null(exchange);
    const char *body = kit_string(exchange, "response_body");
    const char *type = kit_string(exchange, "content_type");
    const char *url = kit_string(exchange, "url");
    const char *host = url ? strstr(url, "://") : NULL;
    struct understand_hints hints = {.server_address = kit_text(host ? host + 3 : "")};
    hints.server_address.length = (uint32_t)strcspn(hints.server_address.data, "/:");
    bool counted = url && (strstr(url, "count_tokens") || strstr(url, "count-tokens"));
    if (counted && body) {
        /* a prompt that is only counted is not used */
        kit_pick(&picked, BODY_JSON, body, strlen(body), 0);
        wrong += picked.length != 0;
    } else if (body && type && (strstr(type, "json") || strstr(type, "event-stream")))
        check(kit_string(exchange, "id"), &hints, strstr(type, "json") ? BODY_JSON : BODY_EVENTS, body,
              strlen(body));
    cJSON_Delete(exchange);
}

static void test_exchanges(void **state)
{
    char *line = NULL;
    size_t capacity = 0;
    char command[800];
    (void)state;
    const char *path = path_of("../shared/corpus/exchanges-open.jsonl.gz");
    if (access(path, R_OK) != 0)
        skip_because("no recordings: ../shared/corpus is not there");
    snprintf(command, sizeof command, "exec gzip -dc '%s'", path);
    FILE *file = popen(command, "r"); // NOLINT(cert-env33-c): of the test's own making
    assert_non_null(file);
    cases = large = largest = 0;
    wrong = 0;
    while (getline(&line, &capacity, file) > 0)
        check_exchange(line);
    assert_int_equal(pclose(file), 0);
    free(line);
    print_message("# note: the largest pick has %zu bytes; %llu have more than %d\n", largest, large,
                  PICKED_BYTES_WANTED);
    assert_int_equal(wrong, 0);
    assert_true(cases > 0);
    tries(cases * sizeof pieces / sizeof pieces[0], "recorded bodies, picked in pieces");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_exchanges),
    };
    return cmocka_run_group_tests_name("capture body", tests, NULL, NULL);
}
