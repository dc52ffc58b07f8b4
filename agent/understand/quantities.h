/* quantities.h: what one call used, in the units that price lists bill: what understanding yields and pricing takes.
 *
 * Tokens mean what they mean in struct tally_usage: input_tokens includes cached, audio and image tokens, output_tokens
 * includes reasoning, audio and image tokens. All are 0 to 10^15, and -1 where the provider does not say.
 */
#ifndef TALLY_UNDERSTAND_QUANTITIES_H
#define TALLY_UNDERSTAND_QUANTITIES_H

#include <stdint.h>

/* X(name): the first ten are members of struct tally_usage and columns of the table. */
#define QUANTITIES(X)                                                                                        \
    X(input_tokens)                                                                                          \
    X(output_tokens)                                                                                         \
    X(cache_read_tokens)                                                                                     \
    X(cache_write_5m_tokens)                                                                                 \
    X(cache_write_1h_tokens)                                                                                 \
    X(reasoning_tokens)                                                                                      \
    X(input_audio_tokens)                                                                                    \
    X(output_audio_tokens)                                                                                   \
    X(input_image_tokens)                                                                                    \
    X(output_image_tokens)                                                                                   \
    X(cache_read_audio_tokens) /* part of cache_read_tokens and of input_audio_tokens */                     \
    X(cache_read_image_tokens) /* part of cache_read_tokens and of input_image_tokens */                     \
    X(input_video_tokens)      /* part of input_tokens */                                                    \
    X(input_images)            /* whole images */                                                            \
    X(output_images)                                                                                         \
    X(input_audio_ms) /* milliseconds of sound or film */                                                    \
    X(output_audio_ms)                                                                                       \
    X(input_characters)                                                                                      \
    X(output_characters)                                                                                     \
    X(search_units) /* queries that are billed by the piece: rerank, search */                               \
    X(web_searches) /* searches that the provider made for the model */

enum quantity {
#define QUANTITY_X(name) QUANTITY_##name,
    QUANTITIES(QUANTITY_X)
#undef QUANTITY_X
        QUANTITY_COUNT
};

struct quantities {
    int64_t of[QUANTITY_COUNT]; /* -1: unknown */
};

static inline void quantities_init(struct quantities *quantities)
{
    for (int which = 0; which < QUANTITY_COUNT; which++)
        quantities->of[which] = -1;
}

#endif
