/* decode_coding.h: what decode.c and its codings, one file each, agree on. */
#ifndef TALLY_CAPTURE_DECODE_CODING_H
#define TALLY_CAPTURE_DECODE_CODING_H

#include "capture/decode.h"

#include <stdint.h>

struct coding {
    /* Memory for a decoder, and a decoder in it; NULL: no library, no memory. */
    struct decoder *(*begin)(enum decode_coding coding);
    /* Hand on what comes out by decoder_take(). 0, -EILSEQ, or what decoder_take() said. */
    int (*feed)(struct decoder *decoder, const void *bytes, size_t length);
    /* Give the memory back. */
    void (*end)(struct decoder *decoder);
};
extern const struct coding decode_zlib, decode_brotli, decode_zstd;

/* The head of each decoder. */
struct decoder {
    const struct coding *coding;
    int failed; /* 0, or what decode_feed() returns from now on */
    uint64_t in, out;
    decode_take *take; /* while it is being fed */
    void *context;
};

/* 0, or -E2BIG. */
int decoder_take(struct decoder *decoder, const void *bytes, size_t length);

/* ---- decode_libraries.c: functions found at run time ------------------------------------------------- */

/* Types, and the numbers that callers are compiled with, are those of the libraries' own headers. The sonames they stand for
 * (libz.so.1, libbrotlidec.so.1, libzstd.so.1) have kept them for as long as they exist. */
#include <brotli/decode.h>
#define ZSTD_STATIC_LINKING_ONLY /* for an allocator of one's own */
#include <zlib.h>
#include <zstd.h>

#define ZLIB_FUNCTIONS(X) X(inflateInit2_) X(inflate) X(inflateReset) X(inflateEnd)
#define BROTLI_FUNCTIONS(X)                                                                                  \
    X(BrotliDecoderCreateInstance)                                                                           \
    X(BrotliDecoderDecompressStream)                                                                         \
    X(BrotliDecoderTakeOutput) X(BrotliDecoderHasMoreOutput) X(BrotliDecoderDestroyInstance)
#define ZSTD_FUNCTIONS(X)                                                                                    \
    X(ZSTD_createDStream_advanced)                                                                           \
    X(ZSTD_DCtx_setParameter) X(ZSTD_decompressStream) X(ZSTD_isError) X(ZSTD_freeDStream)

#define DECODE_FUNCTION(name) __typeof__(name) *name;
struct zlib_functions {
    ZLIB_FUNCTIONS(DECODE_FUNCTION)
};
struct brotli_functions {
    BROTLI_FUNCTIONS(DECODE_FUNCTION)
};
struct zstd_functions {
    ZSTD_FUNCTIONS(DECODE_FUNCTION)
};

/* NULL: not found (yet). */
const struct zlib_functions *decode_zlib_functions(void);
const struct brotli_functions *decode_brotli_functions(void);
const struct zstd_functions *decode_zstd_functions(void);

/* ---- decode_region.c: memory for libraries that want an allocator --------------------------------------- */

/* A mapping of its own, from which blocks are given out; of one thread at a time. It ends as a whole. */
struct region;
struct region *region_begin(size_t bytes);
/* 64-byte aligned; NULL: there is no room. */
void *region_take(struct region *region, size_t bytes);
void region_give(struct region *region, void *block);
void region_end(struct region *region);

#endif
