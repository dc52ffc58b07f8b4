/* Recorded costs: what LiteLLM's own function makes of its price file, row by row.
 *
 * The recordings are not part of the project (TALLY_CORPUS, else ../shared/corpus). Three rules of ours change rows by
 * design, and each row that differs must differ by just what its rule says; all others are right to a picodollar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "price/price.h"
#include "support/skip.h"
#include "support/tries.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct counts {
    unsigned long long exact;
    unsigned long long
        unpriced; /* rule: cached, written and audio input without a price cost the input's, not nothing */
    unsigned long long cache_hit; /* rule: input_cost_per_token_cache_hit is a price of cached input */
    unsigned long long xai;       /* rule: xAI's tiers begin at their number */
    unsigned long long priority;  /* rule: a tier's own cache price of a service is used */
    unsigned long long wrong;
} counts;

static bool corpus(const char *name, char path[512])
{
    const char *folder = getenv("TALLY_CORPUS");
    const char *source = getenv("TALLY_TEST_SOURCE");
    if (folder)
        snprintf(path, 512, "%s/%s", folder, name);
    else
        snprintf(path, 512, "%s/../shared/corpus/%s", source ? source : ".", name);
    return access(path, R_OK) == 0;
}

static FILE *unpack(const char *path)
{
    char command[600];
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    FILE *pipe = popen(command, "r"); /* NOLINT: the test's own file */
    assert_non_null(pipe);
    return pipe;
}

static struct price_table *read_list(const char *path)
{
    char error[PRICE_ERROR_BYTES];
    struct price_table *table;
    size_t capacity = 4u << 20;
    size_t length = 0;
    size_t got;
    char *text = malloc(capacity);
    FILE *pipe = unpack(path);
    while ((got = fread(text + length, 1, capacity - length, pipe)) > 0) {
        length += got;
        if (length < capacity)
            continue;
        char *longer = realloc(text, capacity *= 2);
        assert_non_null(longer);
        text = longer;
    }
    assert_int_equal(pclose(pipe), 0);
    if (price_table_read(&table, "corpus", text, length, error))
        fail_msg("%s", error);
    free(text);
    return table;
}

static int64_t number(const cJSON *object, const char *name)
{
    const cJSON *item = object ? cJSON_GetObjectItem(object, name) : NULL;
    return item && cJSON_IsNumber(item) ? (int64_t)item->valuedouble : -1;
}

static struct price_text text(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(object, name);
    return item && cJSON_IsString(item) ? (struct price_text){item->valuestring, strlen(item->valuestring)}
                                        : (struct price_text){NULL, 0};
}

static void read_quantities(const cJSON *row, struct quantities *q)
{
    const cJSON *in = cJSON_GetObjectItem(row, "prompt_tokens_details");
    const cJSON *out = cJSON_GetObjectItem(row, "completion_tokens_details");
    const cJSON *written = cJSON_GetObjectItem(in, "cache_creation_token_details");
    quantities_init(q);
    q->of[QUANTITY_input_tokens] = number(row, "prompt_tokens");
    q->of[QUANTITY_output_tokens] = number(row, "completion_tokens");
    q->of[QUANTITY_cache_read_tokens] = number(in, "cached_tokens");
    q->of[QUANTITY_cache_write_5m_tokens] = number(in, "cache_creation_tokens");
    if (cJSON_IsObject(written)) {
        q->of[QUANTITY_cache_write_5m_tokens] = number(written, "ephemeral_5m_input_tokens");
        q->of[QUANTITY_cache_write_1h_tokens] = number(written, "ephemeral_1h_input_tokens");
    }
    q->of[QUANTITY_input_audio_tokens] = number(in, "audio_tokens");
    q->of[QUANTITY_output_audio_tokens] = number(out, "audio_tokens");
    q->of[QUANTITY_output_image_tokens] = number(out, "image_tokens");
    q->of[QUANTITY_reasoning_tokens] = number(out, "reasoning_tokens");
}

/* What the lines add up to that LiteLLM leaves out. */
static int64_t left_out(const struct price_result *result, bool cache_hit)
{
    int64_t sum = 0;
    for (int i = 0; i < result->line_count; i++) {
        const struct price_line *line = &result->lines[i];
        bool cached = !strncmp(line->what, "cache", 5);
        if ((!line->own && (cached || !strcmp(line->what, "input_audio"))) ||
            (cache_hit && !strcmp(line->what, "cache_read")))
            sum += line->picodollars;
    }
    return sum;
}

/* Theirs is a sum of doubles: above some thousand dollars its own last digit is more than a picodollar. */
static bool near(int64_t ours, long double theirs)
{
    return fabsl((long double)ours - theirs) <= 1.0L + theirs * 4 * (1.0L / (1ull << 53));
}

static bool alias(const struct price_entry *entry)
{
    for (unsigned i = 0; i < entry->cell_count; i++)
        if (entry->cells[i].rate == RATE_cache_read && entry->cells[i].rank > 1)
            return true;
    return false;
}

static bool cached_by_service(const struct price_result *result)
{
    for (int i = 0; i < result->line_count; i++)
        if (result->lines[i].rate == RATE_cache_read && result->lines[i].tier &&
            result->lines[i].service != SERVICE_STANDARD)
            return true;
    return false;
}

static void compare(const cJSON *row, const struct price_result *result)
{
    long double theirs = ((long double)cJSON_GetObjectItem(row, "input_cost")->valuedouble +
                          (long double)cJSON_GetObjectItem(row, "output_cost")->valuedouble) *
                         1e12L;
    bool priced = result->outcome == PRICE_KNOWN;
    if (priced && near(result->picodollars, theirs))
        counts.exact++;
    else if (priced && near(result->picodollars - left_out(result, false), theirs))
        counts.unpriced++;
    else if (priced && alias(result->entry) && near(result->picodollars - left_out(result, true), theirs))
        counts.cache_hit++;
    else if (priced && result->entry->inclusive && result->tier &&
             (uint64_t)number(row, "prompt_tokens") == result->entry->tiers[result->tier - 1])
        counts.xai++;
    else if (priced && cached_by_service(result))
        counts.priority++;
    else if (counts.wrong++ < 20)
        print_error("%s %s: %s, %lld and not %.0Lf\n", text(row, "model").data, text(row, "shape").data,
                    price_outcome_names[result->outcome], (long long)result->picodollars, theirs);
}

static void every_recorded_cost_is_right(void **state)
{
    char list_path[512];
    char rows_path[512];
    char *line = NULL;
    size_t capacity = 0;
    (void)state;
    if (!corpus("model_prices.json.gz", list_path) || !corpus("litellm-costs-open.jsonl.gz", rows_path))
        skip_because("no recorded costs (TALLY_CORPUS)");
    struct price_table *table = read_list(list_path);
    struct price_cache *cache = calloc(1, sizeof *cache);
    FILE *rows = unpack(rows_path);
    while (getline(&line, &capacity, rows) > 0) {
        cJSON *row = cJSON_Parse(line);
        struct quantities quantities;
        struct price_result result;
        assert_non_null(row);
        read_quantities(row, &quantities);
        struct price_call call = {
            .names = {.provider = text(row, "provider"), .request_model = text(row, "model")},
            .service_tier = text(row, "service_tier"),
            .quantities = &quantities,
        };
        price(table, cache, &call, &result);
        compare(row, &result);
        cJSON_Delete(row);
    }
    assert_int_equal(pclose(rows), 0);
    free(line);
    free(cache);
    price_table_free(table);
    tries(counts.exact, "recorded costs, the same to a picodollar");
    tries(counts.unpriced, "recorded costs that left out cached or audio input, and differ by just that");
    print_message("# note: %llu by a cache-hit price, %llu by xAI's tiers, %llu by a tier's own cache price "
                  "of a service\n",
                  counts.cache_hit, counts.xai, counts.priority);
    assert_int_equal(counts.wrong, 0);
    assert_true(counts.exact > 8000);
    /* Of these few kinds none may grow unseen. */
    assert_true(counts.cache_hit <= 10 && counts.xai <= 3 && counts.priority <= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_recorded_cost_is_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
