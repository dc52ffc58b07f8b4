/* Real recordings: ../shared/corpus, where it is. Every usage object, and every exchange: its response as a whole, what remains of it for a
 * record, and its usage objects alone, as a client hands them over. Right to the token, or tests/fixtures/understand/exceptions says why
 * the recorded reading is wrong. */
#include "unit/understand_kit.h"

#include "support/skip.h"
#include "support/tries.h"

#include <unistd.h>

#define EXCEPTIONS_MAX 64

static struct understood understood;
static struct {
    char kind[16];
    char item[40];
    char field[40];
    long long count;
    bool used;
} exceptions[EXCEPTIONS_MAX];
static size_t exception_count;
static int wrong;

static int64_t known(enum quantity which)
{
    return understood.quantities.of[which] > 0 ? understood.quantities.of[which] : 0;
}

static int64_t written(void)
{
    return known(QUANTITY_cache_write_5m_tokens) + known(QUANTITY_cache_write_1h_tokens);
}

static bool is_exception(const char *kind, const char *item, const char *field, int64_t got)
{
    bool found = false;
    for (size_t i = 0; i < exception_count; i++)
        if (!strcmp(exceptions[i].kind, kind) && !strcmp(exceptions[i].item, item) &&
            !strcmp(exceptions[i].field, field) && exceptions[i].count == got)
            found = exceptions[i].used = true;
    return found;
}

static void check(const char *kind, const char *item, const char *field, const cJSON *wanted, int64_t got)
{
    const cJSON *count = cJSON_GetObjectItemCaseSensitive(wanted, field);
    int64_t recorded = cJSON_IsNumber(count) ? (int64_t)count->valuedouble : 0;
    if (recorded == got || is_exception(kind, item, field, got))
        return;
    print_message("%s %s %s: recorded %lld, understood %lld (%s)\n", kind, item, field, (long long)recorded,
                  (long long)got, understood.shape ? understood.shape : "no shape");
    wrong++;
}

static char *path_of(const char *name)
{
    static char path[600];
    const char *source = getenv("TALLY_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/%s", source ? source : ".", name);
    return path;
}

static void load_exceptions(void)
{
    char line[400];
    FILE *file = fopen(path_of("tests/fixtures/understand/exceptions"), "r");
    assert_non_null(file);
    exception_count = 0;
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        assert_true(exception_count < EXCEPTIONS_MAX);
        assert_int_equal(sscanf(line, "%15s %39s %39s %lld", exceptions[exception_count].kind,
                                exceptions[exception_count].item, exceptions[exception_count].field,
                                &exceptions[exception_count].count),
                         4);
        exceptions[exception_count++].used = false;
    }
    fclose(file);
}

static void no_stale_exceptions(const char *kind)
{
    for (size_t i = 0; i < exception_count; i++)
        if (!strcmp(exceptions[i].kind, kind) && !exceptions[i].used) {
            print_message("exception not needed: %s %s %s\n", kind, exceptions[i].item, exceptions[i].field);
            wrong++;
        }
}

static FILE *open_corpus(const char *name)
{
    char command[800];
    char relative[120];
    snprintf(relative, sizeof relative, "../shared/corpus/%s", name);
    const char *path = path_of(relative);
    if (access(path, R_OK) != 0)
        skip_because("no recordings: ../shared/corpus is not there");
    snprintf(command, sizeof command, "exec gzip -dc '%s'", path);
    FILE *file = popen(command, "r"); // NOLINT(cert-env33-c): of the test's own making
    assert_non_null(file);
    return file;
}

/* ---- usage objects, and how others read them ---- */

static const struct {
    const char *field;
    enum quantity quantity;
} usage_fields[] = {
    {"input_tokens", QUANTITY_input_tokens},
    {"output_tokens", QUANTITY_output_tokens},
    {"cache_read_tokens", QUANTITY_cache_read_tokens},
    {"output_reasoning_tokens", QUANTITY_reasoning_tokens},
    {"input_audio_tokens", QUANTITY_input_audio_tokens},
    {"output_audio_tokens", QUANTITY_output_audio_tokens},
    {"input_image_tokens", QUANTITY_input_image_tokens},
    {"output_image_tokens", QUANTITY_output_image_tokens},
    {"input_video_tokens", QUANTITY_input_video_tokens},
    {"cache_image_read_tokens", QUANTITY_cache_read_image_tokens},
    {"cache_audio_read_tokens", QUANTITY_cache_read_audio_tokens},
    {"web_searches", QUANTITY_web_searches},
};

/* The recorded readers for a shape, in order of preference: the file does not say whose each object was. */
static const struct {
    const char *shape;
    const char *readers[3]; /* provider, flavour */
} readers[] = {
    {"openai chat", {"openai/chat", "openai/embeddings", NULL}},
    {"openai responses", {"openai/responses", NULL, NULL}},
    {"anthropic messages", {"anthropic/default", NULL, NULL}},
    {"gemini", {"google/default", NULL, NULL}},
    {"bedrock converse", {"aws/default", NULL, NULL}},
    {"cohere", {"cohere/default", "cohere/embeddings", NULL}},
};

static const cJSON *reading_by(const cJSON *item, const char *reader)
{
    const cJSON *group;
    const cJSON *one;
    for (group = first_of(cJSON_GetObjectItemCaseSensitive(item, "extracted")); group; group = group->next) {
        for (one = first_of(cJSON_GetObjectItemCaseSensitive(group, "extractors")); one; one = one->next) {
            char name[100];
            snprintf(name, sizeof name, "%s/%s", kit_string(one, "provider_id"),
                     kit_string(one, "api_flavor"));
            if (!strcmp(name, reader))
                return cJSON_GetObjectItemCaseSensitive(group, "usage");
        }
    }
    return NULL;
}

static const cJSON *reading_of(const cJSON *item)
{
    const cJSON *reading = NULL;
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
        if (understood.shape && !strcmp(readers[i].shape, understood.shape))
            for (int j = 0; readers[i].readers[j] && !reading; j++)
                reading = reading_by(item, readers[i].readers[j]);
    return reading;
}

static void check_usage(const cJSON *item, const char *number, const char *json, size_t length)
{
    kit_understand(NULL, json, length, &understood);
    const cJSON *reading = reading_of(item);
    if (!reading) {
        print_message("usage %s: no reading for %s\n", number,
                      understood.shape ? understood.shape : "no shape");
        wrong++;
        return;
    }
    for (size_t i = 0; i < sizeof(usage_fields) / sizeof(usage_fields[0]); i++)
        check("usage", number, usage_fields[i].field, reading, known(usage_fields[i].quantity));
    check("usage", number, "cache_write_tokens", reading, written());
}

static void test_usages(void **state)
{
    size_t length;
    char number[24];
    unsigned long long count = 0;
    const cJSON *item;
    (void)state;
    FILE *file = open_corpus("usages-open.json.gz");
    char *bytes = kit_read(file, &length);
    assert_int_equal(pclose(file), 0);
    cJSON *all = cJSON_Parse(bytes);
    assert_non_null(all);
    wrong = 0;
    load_exceptions();
    for (item = all ? all->child : NULL; item; item = item->next) {
        const cJSON *body = cJSON_GetObjectItemCaseSensitive(item, "body");
        const cJSON *usage = cJSON_GetObjectItemCaseSensitive(body, "usage");
        snprintf(number, sizeof number, "%llu", count++);
        if (!usage)
            usage = cJSON_GetObjectItemCaseSensitive(body, "usageMetadata");
        char *whole = cJSON_PrintUnformatted(body);
        char *bare = cJSON_PrintUnformatted(usage ? usage : cJSON_GetObjectItemCaseSensitive(body, "meta"));
        check_usage(item, number, whole, strlen(whole));
        check_usage(item, number, bare, strlen(bare));
        cJSON_free(whole);
        cJSON_free(bare);
    }
    no_stale_exceptions("usage");
    cJSON_Delete(all);
    free(bytes);
    assert_int_equal(wrong, 0);
    assert_true(count > 0);
    tries(count, "recorded usage objects");
}

/* ---- exchanges ---- */

static struct understand_hints hints_of(const cJSON *exchange)
{
    const char *url = kit_string(exchange, "url");
    const char *host = strstr(url, "://");
    struct understand_hints hints = {.response_model = kit_text(kit_string(exchange, "response_model"))};
    hints.server_address = kit_text(host ? host + 3 : url);
    hints.server_address.length = (uint32_t)strcspn(hints.server_address.data, "/:");
    if (strstr(url, "countTokens") || strstr(url, "count_tokens") || strstr(url, "count-tokens"))
        hints.operation = kit_text("count_tokens");
    return hints;
}

static void check_exchange(const cJSON *exchange, const struct understand_hints *hints, const char *json,
                           size_t length)
{
    const char *id = kit_string(exchange, "id");
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(exchange, "usage");
    kit_understand(hints, json, length, &understood);
    check("exchange", id, "input", wanted, known(QUANTITY_input_tokens));
    check("exchange", id, "output", wanted, known(QUANTITY_output_tokens));
    check("exchange", id, "cache_read", wanted, known(QUANTITY_cache_read_tokens));
    check("exchange", id, "cache_write", wanted, written());
    check("exchange", id, "reasoning", wanted, known(QUANTITY_reasoning_tokens));
}

static void add_member(cJSON *list, const cJSON *object, const char *holder, const char *name)
{
    const cJSON *usage = cJSON_GetObjectItemCaseSensitive(
        holder ? cJSON_GetObjectItemCaseSensitive(object, holder) : object, name);
    if (cJSON_IsObject(usage))
        cJSON_AddItemToArray(list, cJSON_Duplicate(usage, 1));
}

/* What a client picks out of a stream: the usage objects alone, in order; each of Groq's two. */
static char *usages_of(const char *stream)
{
    cJSON *list = cJSON_CreateArray();
    for (const char *line = stream; line; line = strchr(line, '\n')) {
        line += strspn(line, "\r\n");
        if (strncmp(line, "data:", 5) != 0)
            continue;
        cJSON *event = cJSON_ParseWithLength(line + 5, strcspn(line + 5, "\n"));
        add_member(list, event, NULL, "usage");
        add_member(list, event, NULL, "usageMetadata");
        add_member(list, event, "x_groq", "usage");
        add_member(list, event, "message", "usage");
        add_member(list, event, "response", "usage");
        cJSON_Delete(event);
    }
    char *json = cJSON_PrintUnformatted(list);
    cJSON_Delete(list);
    return json;
}

static void check_line(const char *line)
{
    static char kept[4096];
    cJSON *exchange = cJSON_Parse(line);
    assert_non_null(exchange);
    const char *body = kit_string(exchange, "response_body");
    struct understand_hints hints = hints_of(exchange);
    body = body ? body : "";
    check_exchange(exchange, &hints, body, strlen(body));
    check_exchange(exchange, &hints, kept, understand_distil(body, strlen(body), kept, sizeof kept));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(exchange, "stream"))) {
        char *usages = usages_of(body);
        check_exchange(exchange, &hints, usages, strlen(usages));
        cJSON_free(usages);
    }
    cJSON_Delete(exchange);
}

static void test_exchanges(void **state)
{
    char *line = NULL;
    size_t capacity = 0;
    unsigned long long count = 0;
    (void)state;
    FILE *file = open_corpus("exchanges-open.jsonl.gz");
    wrong = 0;
    load_exceptions();
    for (; getline(&line, &capacity, file) > 0; count++)
        check_line(line);
    assert_int_equal(pclose(file), 0);
    free(line);
    no_stale_exceptions("exchange");
    assert_int_equal(wrong, 0);
    assert_true(count > 0);
    tries(count, "recorded exchanges");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usages),
        cmocka_unit_test(test_exchanges),
    };
    return cmocka_run_group_tests_name("understand corpus", tests, NULL, NULL);
}
