/* rates.h: the kinds of price that a list can state, and how its keys spell them. */
#ifndef TALLY_PRICE_RATES_H
#define TALLY_PRICE_RATES_H

#include <stddef.h>
#include <stdint.h>

/* X(name, key, what one unit is called): the key is LiteLLM's, without tier and service. */
#define PRICE_RATES(X)                                                                                       \
    X(input, "input_cost_per_token", "token")                                                                \
    X(output, "output_cost_per_token", "token")                                                              \
    X(cache_read, "cache_read_input_token_cost", "token")                                                    \
    X(cache_write_5m, "cache_creation_input_token_cost", "token")                                            \
    X(cache_write_1h, "cache_creation_input_token_cost_above_1hr", "token")                                  \
    X(reasoning, "output_cost_per_reasoning_token", "token")                                                 \
    X(input_audio, "input_cost_per_audio_token", "token")                                                    \
    X(output_audio, "output_cost_per_audio_token", "token")                                                  \
    X(input_image_token, "input_cost_per_image_token", "token")                                              \
    X(output_image_token, "output_cost_per_image_token", "token")                                            \
    X(input_video, "input_cost_per_video_token", "token")                                                    \
    X(cache_read_audio, "cache_read_input_audio_token_cost", "token")                                        \
    X(cache_read_image, "cache_read_input_image_token_cost", "token")                                        \
    X(input_image, "input_cost_per_image", "image")                                                          \
    X(output_image, "output_cost_per_image", "image")                                                        \
    X(input_second, "input_cost_per_second", "second")                                                       \
    X(output_second, "output_cost_per_second", "second")                                                     \
    X(input_character, "input_cost_per_character", "character")                                              \
    X(output_character, "output_cost_per_character", "character")                                            \
    X(query, "input_cost_per_query", "query")                                                                \
    X(web_search, "search_context_cost_per_query", "search") /* an object in the list */

enum price_rate {
#define PRICE_X(name, key, unit) RATE_##name,
    PRICE_RATES(PRICE_X)
#undef PRICE_X
        RATE_COUNT
};

enum price_service {
    SERVICE_STANDARD,
    SERVICE_BATCHES,
    SERVICE_FLEX,
    SERVICE_PRIORITY,
    SERVICE_ULTRAFAST, /* of several times the standard price, so that this cannot stand for it */
    SERVICE_COUNT
};

extern const char *const rate_names[RATE_COUNT]; /* "cache_read" */
extern const char *const rate_units[RATE_COUNT];
extern const char *const service_names[SERVICE_COUNT]; /* "standard", ... */

/* A key such as "cache_read_input_token_cost_above_272k_tokens_priority". */
struct rate_key {
    enum price_rate rate;
    enum price_service service;
    uint64_t above; /* tokens of input above which it holds; 0: from the first on */
    uint8_t rank;   /* 1; higher: another spelling, which counts only where the first is missing */
};

/* 1, or 0: not a key that states a price of these kinds. */
int rate_key_read(const char *key, size_t length, struct rate_key *out);

#endif
