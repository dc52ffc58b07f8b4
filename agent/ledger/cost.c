/* cost.c: see cost.h. */
#include "ledger/cost.h"

#include <strings.h>
#include <time.h>

/* Whose own statement of a call's cost goes before the price list, because it says what is billed, and knows what a list cannot:
 * OpenRouter where it sent the call; xAI and Perplexity the searches and tools that they bill besides tokens
 * (xai-proto's usage.proto: "Full price paid by the user for this request"; perplexity-py's usage_info.py: total_cost). */
static const struct {
    const char *provider;
    const char *host;
} believed[] = {
    {"openrouter", "openrouter.ai"},
    {"x_ai", "api.x.ai"},
    {"xai", "api.x.ai"},
    {"x.ai", "api.x.ai"},
    {"grok", "api.x.ai"},
    {"perplexity", "api.perplexity.ai"},
};

void cost_use(struct costing *costing, const struct price_table *table)
{
    costing->table = table;
    costing->table_id = 0;
    memset(&costing->cache, 0, sizeof(costing->cache));
}

/* ---- understanding ---- */

/* The ten counts that are quantities and numbers alike. */
static const struct {
    enum usage_number number;
    enum quantity quantity;
} counts[] = {
#define COUNT(name)                                                                                          \
    {                                                                                                        \
        USAGE_NUMBER_##name, QUANTITY_##name                                                                 \
    }
    COUNT(input_tokens),          COUNT(output_tokens),         COUNT(cache_read_tokens),
    COUNT(cache_write_5m_tokens), COUNT(cache_write_1h_tokens), COUNT(reasoning_tokens),
    COUNT(input_audio_tokens),    COUNT(output_audio_tokens),   COUNT(input_image_tokens),
    COUNT(output_image_tokens),
#undef COUNT
};
#define COUNTS (sizeof(counts) / sizeof(counts[0]))

static void fill_number(struct usage_values *values, enum usage_number number, int64_t value)
{
    if (value >= 0 && !usage_number_known(values, number))
        usage_number_set(values, number, value);
}

static void fill_text(struct usage_values *values, enum usage_text which, struct text text)
{
    if (text.data && text.length && !values->texts[which].data)
        values->texts[which] = text;
}

static void understand_values(const struct usage_values *values, struct understood *understood)
{
    struct understand_hints hints = {
        .provider = values->texts[USAGE_TEXT_provider],
        .operation = values->texts[USAGE_TEXT_operation],
        .request_model = values->texts[USAGE_TEXT_request_model],
        .response_model = values->texts[USAGE_TEXT_response_model],
        .server_address = values->texts[USAGE_TEXT_server_address],
    };
    understand(&hints, values->usage_json.data, values->usage_json.length, understood);
}

bool cost_understand(struct usage_values *values, struct understood *understood)
{
    if (!values->usage_json.data || !values->usage_json.length)
        return false;
    understand_values(values, understood);
    for (size_t i = 0; i < COUNTS; i++)
        fill_number(values, counts[i].number, understood->quantities.of[counts[i].quantity]);
    fill_number(values, USAGE_NUMBER_provider_cost_picodollars, understood->provider_cost_picodollars);
    if (understood->status != TALLY_STATUS_OK) /* else http_status and the like have their say */
        fill_number(values, USAGE_NUMBER_status, understood->status);
    fill_text(values, USAGE_TEXT_response_model, understood->texts[UNDERSTOOD_TEXT_response_model]);
    fill_text(values, USAGE_TEXT_response_id, understood->texts[UNDERSTOOD_TEXT_response_id]);
    fill_text(values, USAGE_TEXT_service_tier, understood->texts[UNDERSTOOD_TEXT_service_tier]);
    fill_text(values, USAGE_TEXT_error_type, understood->texts[UNDERSTOOD_TEXT_error_type]);
    if (understood->provider)
        fill_text(values, USAGE_TEXT_provider,
                  (struct text){understood->provider, (uint32_t)strlen(understood->provider)});
    return true;
}

/* ---- pricing ---- */

static struct price_text text_of(struct text text)
{
    return (struct price_text){text.data, text.length};
}

static bool same(struct text text, const char *word)
{
    return text.data && text.length == strlen(word) && !strncasecmp(text.data, word, text.length);
}

static bool provider_believed(const struct usage_values *values)
{
    for (size_t i = 0; i < sizeof(believed) / sizeof(believed[0]); i++)
        if (same(values->texts[USAGE_TEXT_provider], believed[i].provider) ||
            same(values->texts[USAGE_TEXT_server_address], believed[i].host))
            return true;
    return false;
}

static void set_basis(struct usage_row *row, const char *basis)
{
    row->cost_basis = (struct text){basis, (uint32_t)strlen(basis)};
}

/* A part greater than its whole: of a client that counts otherwise (Anthropic's own input leaves out what is cached), or of records
 * that contradict each other. How much was used is not known then; the whole alone would be far too cheap. */
static void doubt(struct quantities *quantities)
{
    static const uint8_t parts[][2] = {
        {QUANTITY_cache_read_tokens, QUANTITY_input_tokens},
        {QUANTITY_cache_write_5m_tokens, QUANTITY_input_tokens},
        {QUANTITY_cache_write_1h_tokens, QUANTITY_input_tokens},
        {QUANTITY_input_audio_tokens, QUANTITY_input_tokens},
        {QUANTITY_input_image_tokens, QUANTITY_input_tokens},
        {QUANTITY_reasoning_tokens, QUANTITY_output_tokens},
        {QUANTITY_output_audio_tokens, QUANTITY_output_tokens},
        {QUANTITY_output_image_tokens, QUANTITY_output_tokens},
    };
    static const uint8_t cached[] = {QUANTITY_cache_read_tokens, QUANTITY_cache_write_5m_tokens,
                                     QUANTITY_cache_write_1h_tokens};
    int64_t rest = quantities->of[QUANTITY_input_tokens];
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (quantities->of[parts[i][0]] > quantities->of[parts[i][1]])
            quantities->of[parts[i][1]] = -1;
    /* A token is read from the cache, or written to it, or neither: these do not overlap. */
    for (size_t i = 0; i < sizeof(cached); i++)
        if (quantities->of[cached[i]] > 0)
            rest -= quantities->of[cached[i]];
    if (rest < 0)
        quantities->of[QUANTITY_input_tokens] = -1;
}

static void price_values(struct costing *costing, const struct usage_row *row,
                         const struct understood *understood, struct price_result *result)
{
    const struct usage_values *values = row->values;
    struct quantities quantities;
    struct price_call call = {
        .names = {.provider = text_of(values->texts[USAGE_TEXT_provider]),
                  .response_model = text_of(values->texts[USAGE_TEXT_response_model]),
                  .request_model = text_of(values->texts[USAGE_TEXT_request_model]),
                  .server_address = text_of(values->texts[USAGE_TEXT_server_address])},
        .service_tier = text_of(values->texts[USAGE_TEXT_service_tier]),
        .batch = usage_number_known(values, USAGE_NUMBER_flags) &&
                 (values->numbers[USAGE_NUMBER_flags] & TALLY_FLAG_BATCH),
        .time_unix_ns = usage_number_known(values, USAGE_NUMBER_start_time_unix_ns)
                            ? values->numbers[USAGE_NUMBER_start_time_unix_ns]
                            : row->time_unix_ns,
        .quantities = &quantities,
    };
    quantities_init(&quantities);
    if (understood) {
        quantities = understood->quantities;
        call.speed = text_of(understood->texts[UNDERSTOOD_TEXT_speed]);
        call.place = text_of(understood->texts[UNDERSTOOD_TEXT_inference_geo]);
    }
    for (size_t i = 0; i < COUNTS; i++)
        if (usage_number_known(values, counts[i].number))
            quantities.of[counts[i].quantity] = values->numbers[counts[i].number];
    doubt(&quantities);
    price(costing->table, &costing->cache, &call, result);
}

static int find_table(struct costing *costing, struct store *store)
{
    struct timespec now;
    if (costing->table_id)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    struct price_list_row list = {
        .name = costing->table->name,
        .sha256 = costing->table->sha256,
        .date = costing->table->date,
        .models = costing->table->model_count,
        .now_unix_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
    };
    return store_price_list(store, &list, &costing->table_id);
}

/* What the list says, and what the provider says, become the row's cost. */
static void settle(struct usage_row *row, const struct price_result *result)
{
    const struct usage_values *values = row->values;
    bool stated = usage_number_known(values, USAGE_NUMBER_provider_cost_picodollars);
    bool listed = result && result->outcome == PRICE_KNOWN;
    row->cost_known = listed || stated;
    row->list_cost_known = false;
    if (stated && (!listed || provider_believed(values))) {
        row->cost_picodollars = values->numbers[USAGE_NUMBER_provider_cost_picodollars];
        row->list_cost_known = listed;
        row->list_cost_picodollars = listed ? result->picodollars : 0;
        set_basis(row, "provider");
    } else if (result) {
        row->cost_picodollars = listed ? result->picodollars : 0;
        set_basis(row, price_outcome_names[result->outcome]);
    } else {
        row->cost_basis = (struct text){NULL, 0};
    }
}

int cost_row(struct costing *costing, struct store *store, const struct understood *understood,
             struct usage_row *row, enum understood_kind *kind)
{
    struct understood again;
    struct price_result result;
    if (!understood && row->values->usage_json.data && row->values->usage_json.length) {
        understand_values(row->values, &again);
        understood = &again;
    }
    *kind = understood ? understood->kind : UNDERSTOOD_NOTHING;
    row->price_table_id = 0;
    if (!costing->table) {
        settle(row, NULL);
        return 0;
    }
    int problem = find_table(costing, store);
    if (problem)
        return problem;
    price_values(costing, row, understood, &result);
    settle(row, &result);
    row->price_table_id = costing->table_id;
    return 0;
}
