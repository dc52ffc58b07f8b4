/* decode_brotli.c: br. What comes out is taken from the library's own window, without a copy. */
#include "capture/decode_coding.h"

#include "platform.h"

/* The window grows by copies, so one and a half of it; and tables. */
#define REGION_BYTES (DECODE_WINDOW_MAX + DECODE_WINDOW_MAX / 2 + (2u << 20))

struct brotli_decoder {
    struct decoder decoder; /* first */
    struct region *region;
    BrotliDecoderState *state;
    bool over;
};

static void *take(void *region, size_t bytes)
{
    return region_take(region, bytes);
}

static void give(void *region, void *block)
{
    region_give(region, block);
}

static struct decoder *brotli_begin(enum decode_coding coding)
{
    (void)coding;
    const struct brotli_functions *brotli = decode_brotli_functions();
    struct region *region = brotli ? region_begin(REGION_BYTES) : NULL;
    if (!region)
        return NULL;
    struct brotli_decoder *self = region_take(region, sizeof *self);
    BrotliDecoderState *state = brotli->BrotliDecoderCreateInstance(take, give, region);
    if (!self || !state) {
        region_end(region);
        return NULL;
    }
    *self = (struct brotli_decoder){.region = region, .state = state};
    return &self->decoder;
}

static int brotli_feed(struct decoder *decoder, const void *bytes, size_t length)
{
    struct brotli_decoder *self = (struct brotli_decoder *)decoder;
    const struct brotli_functions *brotli = decode_brotli_functions();
    const uint8_t *at = bytes;
    while (!self->over) {
        size_t none = 0;
        BrotliDecoderResult state =
            brotli->BrotliDecoderDecompressStream(self->state, &length, &at, &none, NULL, NULL);
        while (brotli->BrotliDecoderHasMoreOutput(self->state)) {
            size_t piece = 0;
            const uint8_t *out = brotli->BrotliDecoderTakeOutput(self->state, &piece);
            int result = decoder_take(decoder, out, piece);
            if (result)
                return result;
        }
        if (state == BROTLI_DECODER_RESULT_ERROR)
            return -EILSEQ;
        if (state == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT)
            break;
        self->over = state == BROTLI_DECODER_RESULT_SUCCESS;
    }
    return 0;
}

static void brotli_end(struct decoder *decoder)
{
    region_end(((struct brotli_decoder *)decoder)->region);
}

const struct coding decode_brotli = {brotli_begin, brotli_feed, brotli_end};
