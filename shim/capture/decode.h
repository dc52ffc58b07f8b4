/* decode.h: Content-Encoding undone, by libraries found at run time: zlib (gzip, deflate), brotli, zstd. None of them is needed: without
 * one its encodings are not looked into, and the call is counted with tokens unknown.
 *
 * No heap: memory comes from the pool (zlib: one block of POOL_LARGE), for brotli and zstd from anonymous mappings of at most
 * DECODE_WINDOW_MAX that end with the decoder. */
#ifndef TALLY_CAPTURE_DECODE_H
#define TALLY_CAPTURE_DECODE_H

#include <stdbool.h>
#include <stddef.h>

enum decode_coding {
    DECODE_IDENTITY,
    DECODE_GZIP,
    DECODE_DEFLATE,
    DECODE_BROTLI,
    DECODE_ZSTD,
    DECODE_UNKNOWN
};

#define DECODE_WINDOW_MAX (16u << 20)
#define DECODE_RATIO_MAX  500 /* beyond the first MiB */

struct decoder;

/* Of a Content-Encoding header's value. Several codings in one are DECODE_UNKNOWN. */
enum decode_coding decode_coding_of(const char *value, size_t length);

/* Find the libraries; to be called where allocation is harmless (first matched request). Idempotent. */
void decode_find_libraries(void);

/* NULL: no such library, no memory. Never for DECODE_IDENTITY. */
struct decoder *decode_begin(enum decode_coding coding);

/* Decode; what comes out is handed to take() in pieces. 0; -EILSEQ: it is not of that coding (nothing more may be fed);
 * -E2BIG: more than DECODE_RATIO_MAX times as much came out as went in (a bomb). */
typedef void decode_take(void *context, const void *bytes, size_t length);
int decode_feed(struct decoder *decoder, const void *bytes, size_t length, decode_take *take, void *context);

void decode_end(struct decoder *decoder);

#endif
