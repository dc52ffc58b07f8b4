/* rates.c: see rates.h. */
#include "price/rates.h"

#include <stdbool.h>
#include <string.h>

const char *const rate_names[RATE_COUNT] = {
#define PRICE_X(name, key, unit) [RATE_##name] = #name,
    PRICE_RATES(PRICE_X)
#undef PRICE_X
};
const char *const rate_units[RATE_COUNT] = {
#define PRICE_X(name, key, unit) [RATE_##name] = unit,
    PRICE_RATES(PRICE_X)
#undef PRICE_X
};
const char *const service_names[SERVICE_COUNT] = {"standard", "batches", "flex", "priority", "ultrafast"};

static const struct {
    const char *key;
    enum price_rate rate;
    uint8_t rank;
} keys[] = {
#define PRICE_X(name, key, unit) {key, RATE_##name, 1},
    PRICE_RATES(PRICE_X)
#undef PRICE_X
    /* other spellings of the same */
    {"input_cost_per_token_cache_hit", RATE_cache_read, 2},
    {"input_cost_per_audio_per_second", RATE_input_second, 2},
    {"input_cost_per_video_per_second", RATE_input_second, 3},
    {"output_cost_per_video_per_second", RATE_output_second, 2},
};

static bool ends(const char *text, size_t length, const char *with)
{
    size_t ending = strlen(with);
    return length > ending && !memcmp(text + length - ending, with, ending);
}

static bool cut_service(const char *key, size_t *length, struct rate_key *out)
{
    static const struct {
        const char *ending;
        enum price_service service;
    } endings[] = {{"_batches", SERVICE_BATCHES},
                   {"_flex", SERVICE_FLEX},
                   {"_priority", SERVICE_PRIORITY},
                   {"_ultrafast", SERVICE_ULTRAFAST}};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (ends(key, *length, endings[i].ending)) {
            *length -= strlen(endings[i].ending);
            out->service = endings[i].service;
            return true;
        }
    return false;
}

/* "_above_200k_tokens" or "_above_200000_tokens". */
static bool cut_above(const char *key, size_t *length, struct rate_key *out)
{
    static const char head[] = "_above_";
    static const char foot[] = "_tokens";
    uint64_t unit = 1;
    uint64_t value = 0;
    if (!ends(key, *length, foot))
        return false;
    size_t end = *length - (sizeof(foot) - 1);
    if (end && key[end - 1] == 'k') {
        unit = 1000;
        end--;
    }
    size_t from = end;
    while (from && key[from - 1] >= '0' && key[from - 1] <= '9')
        from--;
    if (from == end || end - from > 9 || !ends(key, from, head))
        return false;
    for (size_t i = from; i < end; i++)
        value = value * 10 + (uint64_t)(key[i] - '0');
    out->above = value * unit;
    *length = from - (sizeof(head) - 1);
    return out->above > 0;
}

int rate_key_read(const char *key, size_t length, struct rate_key *out)
{
    *out = (struct rate_key){RATE_input, SERVICE_STANDARD, 0, 0};
    /* Either may come first. */
    bool service = cut_service(key, &length, out);
    bool above = cut_above(key, &length, out);
    if (above && !service)
        cut_service(key, &length, out);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strlen(keys[i].key) == length && !memcmp(keys[i].key, key, length)) {
            out->rate = keys[i].rate;
            out->rank = keys[i].rank;
            return 1;
        }
    return 0;
}
