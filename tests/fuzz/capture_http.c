/* capture_http.c: what passes through a connection, as HTTP/1.x is read from it, and bodies as they are unpacked.
 *
 * Input: struct plan, then either what both sides say, in turn, a NUL wherever the other one begins; or a packed body. Whole or in
 * pieces it is the same story, told in the right order, and all that was begun is ended. What comes out of a body is bounded by what went in.
 */
#include "fuzz/fuzz.h"

#include "capture/decode.h"
#include "capture/http.h"
#include "unit/exchange_story.h"

#include <errno.h>

enum {
    UNPACK = 1,     /* a body; its coding is in the next bits */
    BY_PEER = 2,    /* the peer ends the connection */
    WITH_ERROR = 4, /* by an error */
    CODING_SHIFT = 1
};

struct plan {
    uint8_t flags;
    uint8_t random;
};

static uint32_t random_next(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 16;
}

/* ---- both sides of a connection --------------------------------------------------------------------- */

enum cut { WHOLE, BYTES, PIECES };

/* In pieces, of which only a part leaves, or nothing. */
static void send_pieces(struct http *http, const char *bytes, size_t length, enum cut cut, uint32_t *random)
{
    for (size_t at = 0; at < length;) {
        size_t piece = cut == WHOLE ? length : cut == BYTES ? 1 : 1 + random_next(random) % 40;
        if (piece > length - at)
            piece = length - at;
        http_sending(http, bytes + at, piece);
        if (cut == PIECES && random_next(random) % 4 == 0)
            piece = random_next(random) % (piece + 1);
        http_sent(http, piece);
        at += piece;
    }
}

static void receive_pieces(struct http *http, const char *bytes, size_t length, enum cut cut,
                           uint32_t *random)
{
    for (size_t at = 0, piece; at < length; at += piece) {
        piece = cut == WHOLE ? length : cut == BYTES ? 1 : 1 + random_next(random) % 40;
        if (piece > length - at)
            piece = length - at;
        http_received(http, bytes + at, piece);
    }
}

static const char *play(const struct plan *plan, const struct fuzz_input *input, enum cut cut)
{
    static struct http http;
    uint32_t random = plan->random;
    const char *at = (const char *)input->at, *end = at + input->left;
    story_begin();
    http_begin(&http, CAPTURE_SOCKET, false);
    for (bool sends = true; at < end; sends = !sends) {
        const char *border = memchr(at, '\0', (size_t)(end - at));
        size_t length = (size_t)((border ? border : end) - at);
        if (sends)
            send_pieces(&http, at, length, cut, &random);
        else
            receive_pieces(&http, at, length, cut, &random);
        fuzz_expect(!story.wrong);
        fuzz_expect(!http_is_idle(&http) || story.open == 0);
        fuzz_expect(!http.off || story.open == 0);
        at += length + 1;
    }
    http_end(&http, plan->flags & BY_PEER, plan->flags & WITH_ERROR ? "connection_reset" : NULL);
    fuzz_expect(!story.wrong && story.open == 0);
    return story_text(cut != WHOLE);
}

static void both_sides(const struct plan *plan, const struct fuzz_input *input)
{
    const char *whole = play(plan, input, WHOLE);
    for (enum cut cut = BYTES; cut <= PIECES; cut++) {
        const char *other = play(plan, input, cut);
        if (strcmp(whole, other) != 0)
            fprintf(stderr, "whole:\n%s\nin pieces (%d):\n%s\n", whole, cut, other);
        fuzz_expect(!strcmp(whole, other));
    }
}

/* ---- bodies ---------------------------------------------------------------------------------------- */

#define SAMPLE 17

struct unpacked {
    uint64_t bytes, hash;
};

static void take(void *context, const void *bytes, size_t length)
{
    struct unpacked *unpacked = context;
    const uint8_t *at = bytes;
    /* Of bombs that would be millions: bytes at certain places, wherever the pieces begin. */
    for (size_t i = (SAMPLE - unpacked->bytes % SAMPLE) % SAMPLE; i < length; i += SAMPLE)
        unpacked->hash = (unpacked->hash ^ at[i]) * UINT64_C(0x100000001B3);
    unpacked->bytes += length;
}

static int unpack(enum decode_coding coding, const struct fuzz_input *input, size_t piece,
                  struct unpacked *unpacked)
{
    struct decoder *decoder = decode_begin(coding);
    int result = 0;
    *unpacked = (struct unpacked){0};
    if (!decoder)
        return 1; /* no such library */
    for (size_t at = 0; at < input->left && !result; at += piece)
        result = decode_feed(decoder, input->at + at, input->left - at < piece ? input->left - at : piece,
                             take, unpacked);
    fuzz_expect(result == 0 || result == -EILSEQ || result == -E2BIG);
    fuzz_expect(unpacked->bytes <= (UINT64_C(1) << 20) + input->left * DECODE_RATIO_MAX);
    decode_end(decoder);
    return result;
}

static void bodies(const struct plan *plan, const struct fuzz_input *input)
{
    enum decode_coding coding = DECODE_GZIP + (plan->flags >> CODING_SHIFT) % 4u;
    struct unpacked whole, other;
    int result = unpack(coding, input, input->left + 1, &whole);
    const size_t pieces[] = {1, 7, 1u + plan->random};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        int again = unpack(coding, input, pieces[i], &other);
        /* The bomb's limit is by what has gone in by then; and of what is damaged as much comes out as had come before. */
        if (result == 0 && again == 0)
            fuzz_expect(whole.bytes == other.bytes && whole.hash == other.hash);
        else
            fuzz_expect(again == result || again == -E2BIG);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct plan plan;
    fuzz_take(&input, &plan, sizeof plan);
    decode_find_libraries();
    if (plan.flags & UNPACK)
        bodies(&plan, &input);
    else
        both_sides(&plan, &input);
    return 0;
}
