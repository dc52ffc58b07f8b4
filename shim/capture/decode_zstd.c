/* decode_zstd.c: zstd. Windows of more than 8 MiB are refused, as RFC 8878 advises and browsers do. */
#include "capture/decode_coding.h"

#include "platform.h"

#define WINDOW_LOG_MAX 23
#define REGION_BYTES   DECODE_WINDOW_MAX
#define OUT_BYTES      (16u << 10)

struct zstd_decoder {
    struct decoder decoder; /* first */
    struct region *region;
    ZSTD_DStream *state;
    uint8_t out[OUT_BYTES];
};

static void *take(void *region, size_t bytes)
{
    return region_take(region, bytes);
}

static void give(void *region, void *block)
{
    region_give(region, block);
}

static struct decoder *zstd_begin(enum decode_coding coding)
{
    (void)coding;
    const struct zstd_functions *zstd = decode_zstd_functions();
    struct region *region = zstd ? region_begin(REGION_BYTES) : NULL;
    if (!region)
        return NULL;
    struct zstd_decoder *self = region_take(region, sizeof *self);
    ZSTD_DStream *state = zstd->ZSTD_createDStream_advanced((ZSTD_customMem){take, give, region});
    if (!self || !state ||
        zstd->ZSTD_isError(zstd->ZSTD_DCtx_setParameter(state, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        region_end(region);
        return NULL;
    }
    self->region = region;
    self->state = state;
    return &self->decoder;
}

static int zstd_feed(struct decoder *decoder, const void *bytes, size_t length)
{
    struct zstd_decoder *self = (struct zstd_decoder *)decoder;
    const struct zstd_functions *zstd = decode_zstd_functions();
    ZSTD_inBuffer in = {bytes, length, 0};
    ZSTD_outBuffer out;
    do {
        out = (ZSTD_outBuffer){self->out, OUT_BYTES, 0};
        /* Frame after frame, if there are several. */
        if (zstd->ZSTD_isError(zstd->ZSTD_decompressStream(self->state, &out, &in)))
            return -EILSEQ;
        int result = decoder_take(decoder, self->out, out.pos);
        if (result)
            return result;
    } while (in.pos < in.size || out.pos == out.size);
    return 0;
}

static void zstd_end(struct decoder *decoder)
{
    region_end(((struct zstd_decoder *)decoder)->region);
}

const struct coding decode_zstd = {zstd_begin, zstd_feed, zstd_end};
