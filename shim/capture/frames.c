/* frames.c: AWS's event stream (application/vnd.amazon.eventstream). A frame: its length, that of its headers, a CRC; headers; a payload;
 * a CRC. All numbers are big-endian. CRCs are not verified: what came over the wire came by TCP, and mostly by TLS. */
#include "capture/fragments.h"
#include "capture/framing.h"
#include "capture/pick.h"

#include <string.h>

#define PRELUDE_BYTES 12u
#define CRC_BYTES     4u
#define FRAME_MAX     (25u << 20) /* AWS's own limit is 24 MiB */
#define HEADERS_MAX   (128u << 10)

enum { PRELUDE, NAME_LENGTH, NAME, TYPE, VALUE_LENGTH, VALUE, PAYLOAD, CRC, LOST };

/* Of a header's value, by type; 255: two bytes of length come first. */
static const uint8_t type_bytes[] = {0, 0, 1, 2, 4, 8, 255, 255, 8, 16};

void frames_begin(struct body *body)
{
    body->framing = (struct body_framing){.state = PRELUDE, .left = PRELUDE_BYTES};
    scan_begin(&body->scan, PLACE_AWS_PAYLOAD, true);
}

static void lose(struct body *body)
{
    body->framing.state = LOST;
    pick_abandon(body, &body->scan);
    pick_fault(body);
}

static uint32_t big_endian(const char *bytes, size_t length)
{
    uint32_t value = 0;
    while (length--)
        value = value << 8 | (unsigned char)*bytes++;
    return value;
}

static void expect(struct body *body, uint8_t state, uint32_t bytes)
{
    body->framing.state = state;
    body->framing.left = bytes;
    body->framing.at = 0;
}

static void payload_begins(struct body *body)
{
    struct body_framing *framing = &body->framing;
    if (framing->payload_bytes)
        expect(body, PAYLOAD, framing->payload_bytes);
    else
        expect(body, CRC, CRC_BYTES);
}

static void header_begins(struct body *body)
{
    if (body->framing.headers_left)
        expect(body, NAME_LENGTH, 1);
    else
        payload_begins(body);
}

static void prelude_read(struct body *body)
{
    struct body_framing *framing = &body->framing;
    uint32_t total = big_endian(framing->word, 4);
    uint32_t headers = big_endian(framing->word + 4, 4);
    if (total > FRAME_MAX || headers > HEADERS_MAX || total < PRELUDE_BYTES + headers + CRC_BYTES) {
        lose(body);
        return;
    }
    framing->headers_left = headers;
    framing->payload_bytes = total - PRELUDE_BYTES - headers - CRC_BYTES;
    header_begins(body);
}

static bool name_is(const struct body_framing *framing, const char *name)
{
    return framing->at == strlen(name) && !memcmp(framing->word, name, framing->at);
}

/* An exception's name is a word of the API: it tells what went wrong, in place of a document. */
static void exception_read(struct body *body)
{
    static const char head[] = "{\"error\":{\"type\":\"";
    char *type = body->error_type;
    size_t length = strlen(type);
    body->framing.exception = false;
    fragments_cut(body, 0);
    if (!length || !fragments_put(body, head, sizeof head - 1) || !fragments_put(body, type, length) ||
        !fragments_put(body, "\"}}", 3))
        fragments_cut(body, 0);
    else
        fragments_commit(body);
}

static void exception_byte(struct body *body, char c)
{
    size_t length = strlen(body->error_type);
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                 c == '.' || c == '-';
    if (length < BODY_TEXT_BYTES_MAX && plain) {
        body->error_type[length] = c;
        body->error_type[length + 1] = '\0';
    }
}

static void value_ends(struct body *body)
{
    if (body->framing.exception)
        exception_read(body);
    header_begins(body);
}

static void value_begins(struct body *body, uint32_t bytes)
{
    if (bytes > body->framing.headers_left)
        lose(body);
    else if (bytes)
        expect(body, VALUE, bytes);
    else
        value_ends(body);
}

/* The part of a frame that is now complete. */
static void part_read(struct body *body)
{
    struct body_framing *framing = &body->framing;
    uint8_t byte = (uint8_t)framing->word[0];
    switch (framing->state) {
    case PRELUDE:
        prelude_read(body);
        break;
    case NAME_LENGTH:
        framing->exception = false;
        if (!byte || byte > framing->headers_left)
            lose(body);
        else
            expect(body, NAME, byte);
        break;
    case NAME:
        framing->exception = name_is(framing, ":exception-type") || name_is(framing, ":error-code");
        if (framing->headers_left)
            expect(body, TYPE, 1);
        else
            lose(body);
        break;
    case TYPE:
        framing->type = byte;
        if (byte >= sizeof type_bytes)
            lose(body);
        else if (type_bytes[byte] != 255)
            value_begins(body, type_bytes[byte]);
        else if (framing->headers_left < 2)
            lose(body);
        else
            expect(body, VALUE_LENGTH, 2);
        framing->exception &= byte == 7; /* a string */
        if (framing->exception)
            body->error_type[0] = '\0';
        break;
    case VALUE_LENGTH:
        value_begins(body, big_endian(framing->word, 2));
        break;
    case VALUE:
        value_ends(body);
        break;
    case PAYLOAD:
        scan_end(body, &body->scan);
        expect(body, CRC, CRC_BYTES);
        break;
    default:
        expect(body, PRELUDE, PRELUDE_BYTES);
    }
}

static bool in_headers(uint8_t state)
{
    return state >= NAME_LENGTH && state <= VALUE;
}

static void take_part(struct body *body, const char *bytes, uint32_t length)
{
    struct body_framing *framing = &body->framing;
    framing->left -= length;
    if (in_headers(framing->state))
        framing->headers_left -= length;
    if (framing->state == PAYLOAD) {
        scan_feed(body, &body->scan, bytes, length);
        return;
    }
    for (uint32_t i = 0; i < length; i++) {
        if (framing->state == VALUE && framing->exception)
            exception_byte(body, bytes[i]);
        else if (framing->state != VALUE && framing->at < sizeof framing->word)
            framing->word[framing->at++] = bytes[i];
        else if (framing->state == NAME)
            framing->word[0] = '\0'; /* longer than any that is looked for */
    }
}

void frames_feed(struct body *body, const char *at, const char *end)
{
    while (at < end && body->framing.state != LOST) {
        size_t there = (size_t)(end - at);
        uint32_t length = there < body->framing.left ? (uint32_t)there : body->framing.left;
        take_part(body, at, length);
        at += length;
        if (!body->framing.left)
            part_read(body);
    }
}
