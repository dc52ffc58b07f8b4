/* decode_zlib.c: gzip and deflate.
 *
 * All is in one block: the decoder, a buffer for what comes out, and what zlib asks for (its state when it begins, its window of
 * 32 KiB with the first bytes). A zlib that asks for more gets nothing, and the body is not looked into.
 */
#include "capture/decode_coding.h"

#include "capture/pool.h"
#include "platform.h"

#define OUT_BYTES  4000
#define GZIP_FIRST 0x1f

struct zlib_decoder {
    struct decoder decoder; /* first */
    enum decode_coding coding;
    bool begun;      /* zlib's state is there */
    bool member_end; /* a gzip member has come to its end: another may follow */
    bool over;       /* what follows is none */
    /* "deflate" is zlib's format by the standard and raw deflate by custom: the first two bytes tell. */
    uint8_t first[2];
    uint8_t first_count;
    z_stream stream;
    size_t used; /* of memory[] */
    uint8_t out[OUT_BYTES];
    uint8_t memory[] __attribute__((aligned(64)));
};
#define MEMORY_BYTES (POOL_LARGE_BYTES - offsetof(struct zlib_decoder, memory))
/* zlib 1.2.13: 7,160 bytes and 32,768; zlib-ng's window has 128 more. */
_Static_assert(MEMORY_BYTES >= 40300, "zlib's state and window fit");

static void *zlib_take(void *context, uInt items, uInt size)
{
    struct zlib_decoder *self = context;
    size_t bytes = ((size_t)items * size + 63) & ~(size_t)63;
    if (bytes > MEMORY_BYTES - self->used)
        return NULL;
    void *block = self->memory + self->used;
    self->used += bytes;
    return block;
}

/* The block is given back as a whole. */
static void zlib_give(void *context, void *block)
{
    (void)context;
    (void)block;
}

static struct decoder *zlib_begin(enum decode_coding coding)
{
    if (!decode_zlib_functions())
        return NULL;
    struct zlib_decoder *self = pool_take(POOL_LARGE);
    if (!self)
        return NULL;
    *self = (struct zlib_decoder){.coding = coding};
    return &self->decoder;
}

static int start(struct zlib_decoder *self)
{
    int bits = MAX_WBITS;
    if (self->coding == DECODE_GZIP)
        bits += 16;
    else if ((self->first[0] & 0x0f) != Z_DEFLATED || (self->first[0] << 8 | self->first[1]) % 31 != 0)
        bits = -bits;
    self->stream.zalloc = zlib_take;
    self->stream.zfree = zlib_give;
    self->stream.opaque = self;
    if (decode_zlib_functions()->inflateInit2_(&self->stream, bits, ZLIB_VERSION, (int)sizeof self->stream) !=
        Z_OK)
        return -EILSEQ;
    self->begun = true;
    return 0;
}

/* One stretch of input through zlib. */
static int inflate_all(struct zlib_decoder *self, const uint8_t *bytes, size_t length)
{
    const struct zlib_functions *zlib = decode_zlib_functions();
    z_stream *stream = &self->stream;
    stream->next_in = (z_const Bytef *)(uintptr_t)bytes;
    stream->avail_in = (uInt)length;
    for (;;) {
        if (self->member_end && stream->avail_in) {
            /* Padding, or whatever else it is, is no business of ours. */
            if (self->coding != DECODE_GZIP || *stream->next_in != GZIP_FIRST)
                self->over = true;
            else if (zlib->inflateReset(stream) != Z_OK)
                return -EILSEQ;
            self->member_end = false;
        }
        if (self->over)
            return 0;
        stream->next_out = self->out;
        stream->avail_out = OUT_BYTES;
        int state = self->member_end ? Z_BUF_ERROR : zlib->inflate(stream, Z_SYNC_FLUSH);
        int result = decoder_take(&self->decoder, self->out, OUT_BYTES - stream->avail_out);
        if (result)
            return result;
        if (state == Z_STREAM_END)
            self->member_end = true;
        else if (state == Z_BUF_ERROR)
            return 0; /* nothing more comes out before more goes in */
        else if (state != Z_OK)
            return -EILSEQ;
        else if (!stream->avail_in && stream->avail_out)
            return 0;
    }
}

static int zlib_feed(struct decoder *decoder, const void *bytes, size_t length)
{
    struct zlib_decoder *self = (struct zlib_decoder *)decoder;
    const uint8_t *at = bytes;
    int result = 0;
    if (!self->begun) {
        size_t wanted = self->coding == DECODE_GZIP ? 0 : 2;
        for (; self->first_count < wanted && length; length--)
            self->first[self->first_count++] = *at++;
        if (self->first_count < wanted)
            return 0;
        result = start(self);
        if (!result && self->first_count)
            result = inflate_all(self, self->first, self->first_count);
    }
    /* avail_in is 32 bits wide. */
    while (!result && length) {
        size_t piece = length > (1u << 30) ? 1u << 30 : length;
        result = inflate_all(self, at, piece);
        at += piece;
        length -= piece;
    }
    return result;
}

static void zlib_end(struct decoder *decoder)
{
    pool_give(POOL_LARGE, decoder);
}

const struct coding decode_zlib = {zlib_begin, zlib_feed, zlib_end};
