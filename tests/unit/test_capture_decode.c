/* Decoders: what a library has packed comes out as it was, whatever the pieces in which it goes in, as soon as it has gone in, and out of
 * memory that is bounded. Who packs is the same library or its other half, found at run time; where there is none, that coding's tests
 * are skipped. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "capture/decode_coding.h"
#include "capture/pool.h"
#include "support/skip.h"
#include "support/tries.h"

#include <brotli/encode.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>
#include <zstd.h>

#define TEXT_BYTES 300000
static char text[TEXT_BYTES];
static uint8_t packed[4 << 20];
static size_t packed_bytes;

/* What comes out. */
static char out[TEXT_BYTES * 3];
static size_t out_bytes;
static unsigned long long decoded;

static void take(void *context, const void *bytes, size_t length)
{
    assert_ptr_equal(context, &out_bytes);
    assert_true(length > 0);
    if (out_bytes < sizeof out)
        memcpy(out + out_bytes, bytes, length < sizeof out - out_bytes ? length : sizeof out - out_bytes);
    out_bytes += length;
}

static void *function(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW); /* kept: small, and for the whole run */
    return handle ? dlsym(handle, name) : NULL;
}
#define FUNCTION(library, name) ((__typeof__(&name))function(library, #name))

/* ---- packing --------------------------------------------------------------------------------------- */

/* window_bits as deflateInit2: zlib 15, gzip 31, raw -15. flush_every: as a server of events does; 0: never. */
static bool pack_zlib(int window_bits, const void *from, size_t length, size_t flush_every)
{
    __typeof__(&deflateInit2_) init = FUNCTION("libz.so.1", deflateInit2_);
    __typeof__(&deflate) run = FUNCTION("libz.so.1", deflate);
    __typeof__(&deflateEnd) end = FUNCTION("libz.so.1", deflateEnd);
    if (!init || !run || !end)
        return false;
    z_stream stream = {0};
    assert_int_equal(
        init(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, sizeof stream), Z_OK);
    stream.next_out = packed + packed_bytes;
    stream.avail_out = (uInt)(sizeof packed - packed_bytes);
    stream.next_in = (z_const Bytef *)(uintptr_t)from;
    for (size_t left = length; left;) {
        size_t piece = flush_every && left > flush_every ? flush_every : left;
        stream.avail_in = (uInt)piece;
        assert_int_equal(run(&stream, flush_every ? Z_SYNC_FLUSH : Z_NO_FLUSH), Z_OK);
        left -= piece;
    }
    assert_int_equal(run(&stream, Z_FINISH), Z_STREAM_END);
    packed_bytes = sizeof packed - stream.avail_out;
    end(&stream);
    return true;
}

static bool pack_brotli(int window, const void *from, size_t length, size_t flush_every)
{
    __typeof__(&BrotliEncoderCreateInstance) create =
        FUNCTION("libbrotlienc.so.1", BrotliEncoderCreateInstance);
    __typeof__(&BrotliEncoderSetParameter) set = FUNCTION("libbrotlienc.so.1", BrotliEncoderSetParameter);
    __typeof__(&BrotliEncoderCompressStream) run = FUNCTION("libbrotlienc.so.1", BrotliEncoderCompressStream);
    __typeof__(&BrotliEncoderDestroyInstance) destroy =
        FUNCTION("libbrotlienc.so.1", BrotliEncoderDestroyInstance);
    if (!create || !set || !run || !destroy)
        return false;
    BrotliEncoderState *state = create(NULL, NULL, NULL);
    set(state, BROTLI_PARAM_QUALITY, 5);
    set(state, BROTLI_PARAM_LGWIN, (uint32_t)window);
    const uint8_t *in = from;
    uint8_t *to = packed + packed_bytes;
    size_t room = sizeof packed - packed_bytes;
    while (length) {
        size_t piece = flush_every && length > flush_every ? flush_every : length;
        length -= piece;
        assert_true(run(state,
                        !length       ? BROTLI_OPERATION_FINISH
                        : flush_every ? BROTLI_OPERATION_FLUSH
                                      : BROTLI_OPERATION_PROCESS,
                        &piece, &in, &room, &to, NULL));
    }
    packed_bytes = sizeof packed - room;
    destroy(state);
    return true;
}

static bool pack_zstd(int window, const void *from, size_t length, size_t flush_every)
{
    __typeof__(&ZSTD_createCCtx) create = FUNCTION("libzstd.so.1", ZSTD_createCCtx);
    __typeof__(&ZSTD_CCtx_setParameter) set = FUNCTION("libzstd.so.1", ZSTD_CCtx_setParameter);
    __typeof__(&ZSTD_compressStream2) run = FUNCTION("libzstd.so.1", ZSTD_compressStream2);
    __typeof__(&ZSTD_freeCCtx) destroy = FUNCTION("libzstd.so.1", ZSTD_freeCCtx);
    if (!create || !set || !run || !destroy)
        return false;
    ZSTD_CCtx *state = create();
    set(state, ZSTD_c_windowLog, window);
    ZSTD_outBuffer to = {packed, sizeof packed, packed_bytes};
    const char *at = from;
    do {
        size_t piece = flush_every && length > flush_every ? flush_every : length;
        ZSTD_inBuffer in = {at, piece, 0};
        length -= piece;
        at += piece;
        assert_int_equal(run(state, &to, &in, length ? ZSTD_e_flush : ZSTD_e_end), 0);
    } while (length);
    packed_bytes = to.pos;
    destroy(state);
    return true;
}

static bool pack(enum decode_coding coding, size_t length, size_t flush_every)
{
    packed_bytes = 0;
    switch (coding) {
    case DECODE_GZIP:
        return pack_zlib(31, text, length, flush_every);
    case DECODE_DEFLATE:
        return pack_zlib(15, text, length, flush_every);
    case DECODE_BROTLI:
        return pack_brotli(22, text, length, flush_every);
    default:
        return pack_zstd(20, text, length, flush_every);
    }
}

/* ---- unpacking ------------------------------------------------------------------------------------- */

static int unpack_from(enum decode_coding coding, const uint8_t *from, size_t length, size_t piece)
{
    struct decoder *decoder = decode_begin(coding);
    int result = 0;
    assert_non_null(decoder);
    out_bytes = 0;
    for (size_t at = 0; at < length && !result; at += piece)
        result = decode_feed(decoder, from + at, length - at < piece ? length - at : piece, take, &out_bytes);
    if (result)
        assert_int_equal(decode_feed(decoder, "x", 1, take, &out_bytes), result); /* for good */
    decode_end(decoder);
    decoded++;
    return result;
}

static int unpack(enum decode_coding coding, size_t piece)
{
    return unpack_from(coding, packed, packed_bytes, piece);
}

static void expect_text(size_t length)
{
    assert_int_equal(out_bytes, length);
    assert_memory_equal(out, text, length);
}

static void in_pieces(enum decode_coding coding)
{
    static const size_t pieces[] = {1, 2, 7, 1460, 65536, TEXT_BYTES};
    if (!pack(coding, 100, 0))
        skip_because("no library that packs this coding");
    for (size_t length = 1; length <= TEXT_BYTES; length = length * 5 + 1)
        for (int flush = 0; flush < 2; flush++)
            for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
                assert_true(pack(coding, length, flush ? 200 : 0));
                assert_int_equal(unpack(coding, pieces[i]), 0);
                expect_text(length);
            }
}

static void gzip_in_pieces(void **state)
{
    (void)state;
    in_pieces(DECODE_GZIP);
}
static void deflate_in_pieces(void **state)
{
    (void)state;
    in_pieces(DECODE_DEFLATE);
    /* and without zlib's head, as some servers have it */
    for (size_t piece = 1; piece < 5000; piece = piece * 3) {
        packed_bytes = 0;
        pack_zlib(-15, text, 50000, 0);
        assert_int_equal(unpack(DECODE_DEFLATE, piece), 0);
        expect_text(50000);
    }
}
static void brotli_in_pieces(void **state)
{
    (void)state;
    in_pieces(DECODE_BROTLI);
}
static void zstd_in_pieces(void **state)
{
    (void)state;
    in_pieces(DECODE_ZSTD);
}

/* An event that has come is there, though the stream goes on. */
static void what_was_flushed_comes_out_at_once(void **state)
{
    (void)state;
    for (enum decode_coding coding = DECODE_GZIP; coding <= DECODE_ZSTD; coding++) {
        size_t all = 0;
        if (!pack(coding, 1000, 0))
            continue;
        /* As far as the first 1000 bytes go, the streams of 1000 and of 2000 that are flushed after 1000 are the same. */
        assert_true(pack(coding, 2000, 1000));
        struct decoder *decoder = decode_begin(coding);
        assert_non_null(decoder);
        out_bytes = 0;
        for (size_t at = 0; at < packed_bytes && !all; at++) {
            assert_int_equal(decode_feed(decoder, packed + at, 1, take, &out_bytes), 0);
            if (out_bytes == 1000)
                all = at + 1;
        }
        decode_end(decoder);
        assert_true(all && all < packed_bytes);
    }
}

static void several_members(void **state)
{
    (void)state;
    packed_bytes = 0;
    if (!pack_zlib(31, text, 1000, 0))
        skip_because("no zlib");
    pack_zlib(31, text + 1000, 0, 0);
    pack_zlib(31, text + 1000, 2000, 0);
    for (size_t piece = 1; piece < 5000; piece = piece * 2 + 1) {
        assert_int_equal(unpack(DECODE_GZIP, piece), 0);
        expect_text(3000);
    }
    /* what follows the last is padding */
    memset(packed + packed_bytes, 0, 100);
    packed_bytes += 100;
    for (size_t piece = 1; piece < 5000; piece = piece * 2 + 1) {
        assert_int_equal(unpack(DECODE_GZIP, piece), 0);
        expect_text(3000);
    }
    packed_bytes = 0;
    if (pack_zstd(20, text, 1000, 0) && pack_zstd(20, text + 1000, 2000, 0)) {
        assert_int_equal(unpack(DECODE_ZSTD, 7), 0);
        expect_text(3000);
    }
}

static void damage_is_seen(void **state)
{
    (void)state;
    for (enum decode_coding coding = DECODE_GZIP; coding <= DECODE_ZSTD; coding++) {
        if (!pack(coding, 20000, 0))
            continue;
        unsigned seen = 0;
        for (size_t at = 0; at < packed_bytes; at += 1 + packed_bytes / 200) {
            packed[at] ^= 0x55;
            int result = unpack(coding, 997);
            assert_true(result == 0 || result == -EILSEQ);
            seen += result != 0;
            packed[at] ^= 0x55;
        }
        assert_true(seen > 20);
        assert_int_equal(unpack_from(coding, (const uint8_t *)"{\"not\": \"packed at all\"}", 24, 24),
                         -EILSEQ);
        /* cut off: what came by then is there, and it is no error */
        out_bytes = 0;
        assert_int_equal(unpack_from(coding, packed, packed_bytes / 2, 7), 0);
        assert_true(out_bytes <= 20000 && memcmp(out, text, out_bytes) == 0);
    }
}

/* A hundred MiB of nothing in a few hundred kilobytes at most. */
static void bombs(void **state)
{
    (void)state;
    size_t bytes = 100u << 20;
    char *nothing = calloc(1, bytes);
    assert_non_null(nothing);
    for (enum decode_coding coding = DECODE_GZIP; coding <= DECODE_ZSTD; coding++) {
        packed_bytes = 0;
        bool is_packed = coding == DECODE_GZIP      ? pack_zlib(31, nothing, bytes, 0)
                         : coding == DECODE_DEFLATE ? pack_zlib(-15, nothing, bytes, 0)
                         : coding == DECODE_BROTLI  ? pack_brotli(22, nothing, bytes, 0)
                                                    : pack_zstd(20, nothing, bytes, 0);
        if (!is_packed)
            continue;
        assert_int_equal(unpack(coding, 1460), -E2BIG);
        assert_true(out_bytes < 2u << 20 || out_bytes < packed_bytes * DECODE_RATIO_MAX + (2u << 20));
    }
    free(nothing);
}

/* Windows: what HTTP allows is decoded, what is larger is refused. */
static void windows(void **state)
{
    (void)state;
    size_t bytes = 3u << 20;
    char *much = malloc(bytes);
    assert_non_null(much);
    for (size_t i = 0; i < bytes; i++)
        much[i] = (char)(i * i >> 7);
    /* brotli's greatest, filled and gone round */
    char *more = malloc(20u << 20);
    assert_non_null(more);
    for (size_t i = 0; i < 20u << 20; i++)
        more[i] = text[i % 1000 < 100 ? i / 1000 * 7 % TEXT_BYTES : i % 777];
    packed_bytes = 0;
    if (pack_brotli(24, more, 20u << 20, 0)) {
        assert_int_equal(unpack(DECODE_BROTLI, 1460), 0);
        assert_int_equal(out_bytes, 20u << 20);
        assert_memory_equal(out, more, sizeof out);
    }
    free(more);
    for (int window = 21; window <= 27; window += 2) {
        packed_bytes = 0;
        if (!pack_zstd(window, much, 200000, 200000 - 1))
            break;
        /* A frame of unknown length says its window. */
        assert_int_equal(unpack(DECODE_ZSTD, 1460), window <= 23 ? 0 : -EILSEQ);
        if (window <= 23)
            assert_memory_equal(out, much, 200000);
    }
    free(much);
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum decode_coding coding;
    } cases[] = {{"gzip", DECODE_GZIP},         {" GZip\t", DECODE_GZIP},  {"x-gzip", DECODE_GZIP},
                 {"deflate", DECODE_DEFLATE},   {"br", DECODE_BROTLI},     {"zstd", DECODE_ZSTD},
                 {"identity", DECODE_IDENTITY}, {"", DECODE_IDENTITY},     {"gzip, br", DECODE_UNKNOWN},
                 {"gzi", DECODE_UNKNOWN},       {"gzipp", DECODE_UNKNOWN}, {"compress", DECODE_UNKNOWN}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(decode_coding_of(cases[i].value, strlen(cases[i].value)), cases[i].coding);
    assert_null(decode_begin(DECODE_IDENTITY));
    assert_null(decode_begin(DECODE_UNKNOWN));
}

/* The memory that libraries get: blocks apart from each other, and what was given back is there again, in one piece. */
static void region(void **state)
{
    enum { BYTES = 1 << 20, COUNT = 300 };
    struct region *region = region_begin(BYTES);
    uint8_t *blocks[COUNT];
    (void)state;
    assert_non_null(region);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = region_take(region, i * 7 + 1);
            assert_true(blocks[i] && (uintptr_t)blocks[i] % 64 == 0);
            memset(blocks[i], (int)i, i * 7 + 1);
        }
        assert_null(region_take(region, BYTES / 4 * 3));
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(blocks[i][0], (uint8_t)i);
            assert_int_equal(blocks[i][i * 7], (uint8_t)i);
        }
        for (size_t i = 0; i < COUNT; i++)
            region_give(region, blocks[(i * 7 + (size_t)round) % COUNT]);
        void *all = region_take(region, BYTES - 1000);
        assert_non_null(all);
        region_give(region, all);
    }
    assert_null(region_take(region, SIZE_MAX));
    assert_null(region_take(region, BYTES));
    region_give(region, NULL);
    region_end(region);
}

/* Nothing from the heap; no block of the pool is lost; without memory there is no decoder, and no harm. */
static void memory(void **state)
{
    static void *blocks[POOL_LARGE_COUNT];
    (void)state;
    for (enum decode_coding coding = DECODE_GZIP; coding <= DECODE_ZSTD; coding++) {
        if (!pack(coding, TEXT_BYTES, 0))
            continue;
        errno = EXDEV;
        struct mallinfo2 before = mallinfo2();
        for (int i = 0; i < 50; i++)
            assert_int_equal(unpack(coding, 5000), 0);
        struct mallinfo2 after = mallinfo2();
        assert_int_equal(errno, EXDEV);
        assert_int_equal(after.uordblks, before.uordblks);
        assert_int_equal(after.hblkhd, before.hblkhd);
    }
    unsigned count = 0;
    while (count < POOL_LARGE_COUNT && (blocks[count] = pool_take(POOL_LARGE)))
        count++;
    assert_int_equal(count, POOL_LARGE_COUNT);
    assert_null(decode_begin(DECODE_GZIP));
    for (unsigned i = 0; i < count; i++)
        pool_give(POOL_LARGE, blocks[i]);
    tries(decoded, "bodies decoded");
}

static int prepare(void **state)
{
    (void)state;
    uint32_t random = 3;
    for (size_t i = 0; i < TEXT_BYTES; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = "{\"usage\":data, tokens}0123456789\n\n"[(random >> 16) % 34];
        if (i > 1000 && random >> 30)
            text[i] = text[i - 777];
    }
    assert_null(decode_begin(DECODE_GZIP)); /* before the libraries are found */
    decode_find_libraries();
    decode_find_libraries();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(gzip_in_pieces),
        cmocka_unit_test(deflate_in_pieces),
        cmocka_unit_test(brotli_in_pieces),
        cmocka_unit_test(zstd_in_pieces),
        cmocka_unit_test(what_was_flushed_comes_out_at_once),
        cmocka_unit_test(several_members),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(bombs),
        cmocka_unit_test(windows),
        cmocka_unit_test(region),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
