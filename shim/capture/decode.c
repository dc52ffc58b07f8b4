/* decode.c: see decode.h. */
#include "capture/decode_coding.h"

#include <string.h>

#include "platform.h"

/* What a stream may yield before the ratio is looked at. */
#define OUT_FREE (UINT64_C(1) << 20)

enum decode_coding decode_coding_of(const char *value, size_t length)
{
    static const struct {
        const char *name;
        enum decode_coding coding;
    } names[] = {
        {"identity", DECODE_IDENTITY}, {"", DECODE_IDENTITY}, {"gzip", DECODE_GZIP}, {"x-gzip", DECODE_GZIP},
        {"deflate", DECODE_DEFLATE},   {"br", DECODE_BROTLI}, {"zstd", DECODE_ZSTD},
    };
    while (length && (*value == ' ' || *value == '\t')) {
        value++;
        length--;
    }
    while (length && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == length && !strncasecmp(names[i].name, value, length))
            return names[i].coding;
    return DECODE_UNKNOWN;
}

struct decoder *decode_begin(enum decode_coding coding)
{
    const struct coding *codings[] = {
        [DECODE_GZIP] = &decode_zlib,
        [DECODE_DEFLATE] = &decode_zlib,
        [DECODE_BROTLI] = &decode_brotli,
        [DECODE_ZSTD] = &decode_zstd,
    };
    if (coding <= DECODE_IDENTITY || coding >= DECODE_UNKNOWN)
        return NULL;
    int saved = errno;
    struct decoder *decoder = codings[coding]->begin(coding);
    if (decoder)
        *decoder = (struct decoder){.coding = codings[coding]};
    errno = saved;
    return decoder;
}

int decoder_take(struct decoder *decoder, const void *bytes, size_t length)
{
    decoder->out += length;
    if (decoder->out > OUT_FREE && decoder->out - OUT_FREE > decoder->in * DECODE_RATIO_MAX)
        return -E2BIG;
    if (length)
        decoder->take(decoder->context, bytes, length);
    return 0;
}

int decode_feed(struct decoder *decoder, const void *bytes, size_t length, decode_take *take, void *context)
{
    int saved = errno;
    if (decoder->failed || !length)
        return decoder->failed;
    decoder->in += length;
    decoder->take = take;
    decoder->context = context;
    decoder->failed = decoder->coding->feed(decoder, bytes, length);
    errno = saved;
    return decoder->failed;
}

void decode_end(struct decoder *decoder)
{
    int saved = errno;
    if (decoder)
        decoder->coding->end(decoder);
    errno = saved;
}
