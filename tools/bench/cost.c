/* cost.c: understanding a provider's usage object and pricing the call: what the agent does with a record besides keeping it. */
#include "bench.h"

#include "ledger/cost.h"

#include <cjson/cJSON.h>
#include <string.h>
#include <time.h>

/* Usage objects of the four commonest shapes, as the APIs answer. */
static const struct {
    const char *provider;
    const char *model;
    const char *json;
} calls[] = {
    {"openai", "gpt-4o-2024-08-06",
     "{\"prompt_tokens\":812,\"completion_tokens\":64,\"total_tokens\":876,\"prompt_tokens_details\":{"
     "\"cached_tokens\":512,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,"
     "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"},
    {"openai", "gpt-5",
     "{\"input_tokens\":1200,\"input_tokens_details\":{\"cached_tokens\":1024},\"output_tokens\":500,"
     "\"output_tokens_details\":{\"reasoning_tokens\":320},\"total_tokens\":1700}"},
    {"anthropic", "claude-sonnet-4-5-20250929",
     "{\"input_tokens\":2048,\"cache_creation_input_tokens\":512,\"cache_read_input_tokens\":1024,"
     "\"cache_creation\":{\"ephemeral_5m_input_tokens\":512,\"ephemeral_1h_input_tokens\":0},"
     "\"output_tokens\":500,\"service_tier\":\"standard\"}"},
    {"gcp.gemini", "gemini-2.5-flash",
     "{\"promptTokenCount\":264,\"candidatesTokenCount\":90,\"totalTokenCount\":512,"
     "\"cachedContentTokenCount\":100,"
     "\"thoughtsTokenCount\":158,\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":264}]}"},
};
#define CALLS  (sizeof(calls) / sizeof(calls[0]))
#define PASSES 500

static struct costing costing;

/* Computation alone: what it takes of the processor, not how long it has to wait for one. */
static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static struct text text_of(const char *string)
{
    return (struct text){string, (uint32_t)strlen(string)};
}

static int64_t understand_and_price(void)
{
    int64_t start = cpu_ns();
    for (int pass = 0; pass < PASSES; pass++)
        for (size_t i = 0; i < CALLS; i++) {
            static struct understood understood;
            struct usage_values values = {.numbers_known = 0};
            struct usage_row row = {.values = &values};
            enum understood_kind kind;
            values.texts[USAGE_TEXT_provider] = text_of(calls[i].provider);
            values.texts[USAGE_TEXT_request_model] = text_of(calls[i].model);
            values.usage_json = text_of(calls[i].json);
            if (!cost_understand(&values, &understood) ||
                cost_row(&costing, NULL, &understood, &row, &kind) || !row.cost_known)
                give_up("%s is not priced", calls[i].model);
        }
    return cpu_ns() - start;
}

static int64_t parse_alone(void)
{
    int64_t start = cpu_ns();
    for (int pass = 0; pass < PASSES; pass++)
        for (size_t i = 0; i < CALLS; i++) {
            cJSON *object = cJSON_Parse(calls[i].json);
            if (object == NULL)
                give_up("out of memory");
            cJSON_Delete(object);
        }
    return cpu_ns() - start;
}

/* Microseconds. */
static double per_record(int64_t ns)
{
    const size_t records = PASSES * CALLS;
    return (double)ns / 1000 / (double)records;
}

void bench_cost(const struct plan *plan)
{
    struct series ours;
    struct series parsing;
    struct price_table *prices;
    char error[PRICE_ERROR_BYTES];
    int rounds = rounds_of(plan, 60);

    if (price_table_builtin(&prices, error) != 0)
        give_up("%s", error);
    cost_use(&costing, prices);
    costing.table_id = 1; /* it is in the database already, as it is but for the first row */
    series_start(&ours, "us", "understand and price");
    series_start(&parsing, "us", "cJSON_Parse, cJSON_Delete");
    output_section("Understanding and pricing a record",
                   "Four providers' usage objects in turn, by the built-in price list. Processor "
                   "microseconds a record.");
    for (int round = -rounds / 10; round < rounds; round++) {
        bool first = round % 2 != 0;
        int64_t before = first ? parse_alone() : 0;
        int64_t ns = understand_and_price();
        if (!first)
            before = parse_alone();
        if (round < 0)
            continue; /* the first tenth warms up */
        series_add(&ours, per_record(ns));
        series_add(&parsing, per_record(before));
    }
    output_series(&ours);
    output_peer(&parsing, &ours);
    double us = series_median(&ours);
    output_goal("understanding and pricing a record", "below 2 us", us < 2 ? GOAL_MET : GOAL_MISSED,
                "%.1f us", us);
    series_free(&ours);
    series_free(&parsing);
    price_table_free(prices);
}
