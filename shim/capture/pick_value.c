/* pick_value.c: the rest of pick.h: strings, numbers, true and false. */
#include "capture/pick.h"
#include "capture/values.h"
#include "capture/write.h"

#include <string.h>

#define BASE64_BYTES 192
#define NAME_IS(scan, text)                                                                                  \
    ((scan)->key_length == sizeof(text) - 1 && !memcmp((scan)->key, text, sizeof(text) - 1))

static void note(struct body_scan *scan)
{
    uint8_t flags = scan->path.flags;
    scan->counts = true;
    scan->telling |= (flags & PATH_TELLING) != 0;
    scan->bare |= (flags & PATH_BARE) != 0;
}

/* ---- strings ---- */

void pick_string_begin(struct body *body, struct body_scan *scan)
{
    scan->sink = SINK_NONE;
    switch (scan->path.text) {
    case TEXT_KEPT:
    case TEXT_DIGITS:
        scan->sink = scan->muted ? SINK_NONE : SINK_TEXT;
        break;
    case TEXT_CONTENT:
        scan->sink = body->content ? SINK_NONE : SINK_CONTENT;
        break;
    case TEXT_BYTES:
        if (!scan->muted) {
            pick_abandon(body, scan);
            scan_begin(&body->inner, PLACE_RESPONSE, true);
            scan->sextets = 0;
            scan->bits = 0;
            scan->sink = SINK_BYTES;
        }
        break;
    case TEXT_NOT:
        break;
    default:
        scan->sink = values_begin(body, scan);
    }
    if (scan->sink != SINK_TEXT)
        write_drop(body, scan);
}

/* Whether they fit, and are characters from `first` to `last`. Most of a stream's bytes that are not skipped come this way. */
static bool append(char *to, uint8_t *used, size_t room, const char *bytes, size_t length,
                   unsigned char first, unsigned char last)
{
    bool strange = length > room - *used;
    for (size_t i = 0; i < length && !strange; i++) {
        unsigned char c = (unsigned char)bytes[i];
        strange = c < first || c > last;
        to[*used + i] = bytes[i];
    }
    *used += strange ? 0 : (uint8_t)length;
    return !strange;
}

static void take_name(struct body_scan *scan, const char *bytes, size_t length)
{
    /* these come only as escapes, alone */
    bool quoted = *bytes == '"' || *bytes == '\\';
    scan->wrong =
        quoted || !append(scan->key, &scan->key_length, sizeof scan->key, bytes, length, 0x20, 0x7e);
    if (scan->wrong)
        scan->sink = SINK_NONE;
}

static void take_text(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    if (append(scan->value, &scan->value_length, sizeof scan->value, bytes, length, 0x20, 0xff))
        return;
    scan->sink = SINK_NONE;
    write_drop(body, scan);
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void take_base64(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    char out[BASE64_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int value = sextet(bytes[i]);
        if (value < 0 && bytes[i] != '=')
            pick_fault(body);
        if (value < 0)
            continue;
        scan->bits = scan->bits << 6 | (uint32_t)value;
        if (scan->sextets++ > 0)
            out[used++] = (char)(scan->bits >> (8 - 2 * scan->sextets));
        scan->sextets &= 3;
        if (used == sizeof out) {
            scan_feed(body, &body->inner, out, used);
            used = 0;
        }
    }
    scan_feed(body, &body->inner, out, used);
}

void pick_string_take(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    switch (scan->sink) {
    case SINK_NAME:
        take_name(scan, bytes, length);
        break;
    case SINK_TEXT:
        take_text(body, scan, bytes, length);
        break;
    case SINK_CONTENT:
        pick_content(body);
        scan->sink = SINK_NONE;
        break;
    case SINK_BYTES:
        take_base64(body, scan, bytes, length);
        break;
    case SINK_VALUE:
    case SINK_METADATA:
        values_take(body, scan, bytes, length);
        break;
    default:
        break;
    }
}

/* type tells most, then code, then status; as the agent has it. */
static void keep_error(struct body *body, const struct body_scan *scan)
{
    uint8_t rank = NAME_IS(scan, "type") ? 3 : NAME_IS(scan, "code") ? 2 : 1;
    if (scan->frames[scan->depth - 1].place != PLACE_ERROR || rank < body->error_rank)
        return;
    body->error_rank = rank;
    memcpy(body->error_type, scan->value, scan->value_length);
    body->error_type[scan->value_length] = '\0';
}

static bool is_number(const char *at, const char *end)
{
    const char *digits;
    at += at < end && *at == '-';
    for (digits = at; at < end && *at >= '0' && *at <= '9'; at++)
        ;
    if (at == digits)
        return false;
    if (at < end && *at == '.') {
        for (digits = ++at; at < end && *at >= '0' && *at <= '9'; at++)
            ;
        if (at == digits)
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        for (digits = at; at < end && *at >= '0' && *at <= '9'; at++)
            ;
        if (at == digits)
            return false;
    }
    return at == end;
}

static bool value_is_number(const struct body_scan *scan)
{
    return is_number(scan->value, scan->value + scan->value_length);
}

/* Events by which an API says that the answer is complete. */
static void note_ending(struct body *body, const struct body_scan *scan)
{
    static const char *const endings[] = {"message_stop", "message-end", "response.completed",
                                          "response.incomplete", "response.failed"};
    if (scan->depth - 1 != scan->base || !NAME_IS(scan, "type"))
        return;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        body->ending |=
            scan->value_length == strlen(endings[i]) && !memcmp(scan->value, endings[i], scan->value_length);
}

/* A document that stands alone, with its counts, is an answer; of a list's items there may be more. Bedrock's ConverseStream ends with its
 * counts, which are in no other of its events. */
void pick_over(struct body *body, const struct body_scan *scan)
{
    bool alone = body->format == BODY_JSON && scan->base == 0;
    body->over |= body->ending || ((alone || scan->root == PLACE_AWS_PAYLOAD) && scan->counts);
}

/* A class of error is a word; what has spaces is a message, and may repeat what was asked. */
static bool is_message(const struct body_scan *scan)
{
    return scan->frames[scan->depth - 1].place == PLACE_ERROR && memchr(scan->value, ' ', scan->value_length);
}

static void text_end(struct body *body, struct body_scan *scan)
{
    char quoted[2 * BODY_TEXT_BYTES_MAX + 2];
    size_t length = 0;
    bool digits = scan->path.text == TEXT_DIGITS;
    if ((digits && !value_is_number(scan)) || is_message(scan)) {
        write_drop(body, scan);
        return;
    }
    quoted[length++] = '"';
    for (uint8_t i = 0; i < scan->value_length; i++) {
        if (scan->value[i] == '"' || scan->value[i] == '\\')
            quoted[length++] = '\\';
        quoted[length++] = scan->value[i];
    }
    quoted[length++] = '"';
    write_scalar(body, scan, quoted, length);
    if (!(scan->path.flags & PATH_WEIGHTLESS))
        scan->worth = true;
    if (digits)
        note(scan);
    keep_error(body, scan);
    note_ending(body, scan);
}

void pick_string_end(struct body *body, struct body_scan *scan)
{
    if (scan->sink == SINK_TEXT)
        text_end(body, scan);
    else if (scan->sink == SINK_BYTES)
        scan_end(body, &body->inner);
    else if (scan->sink == SINK_VALUE || scan->sink == SINK_METADATA)
        values_end(body, scan);
}

/* ---- other scalars ---- */

bool pick_number(struct body *body, struct body_scan *scan)
{
    if (scan->depth <= scan->base)
        return true;
    if (scan->path.number == NUMBER_METADATA && !scan->wrong)
        values_scalar(body, scan, scan->value, scan->value_length);
    if (scan->path.number != NUMBER_COUNT) {
        write_drop(body, scan);
        return true;
    }
    if (scan->wrong) {
        pick_fault(body);
        write_drop(body, scan);
        return true;
    }
    if (!value_is_number(scan))
        return false;
    write_scalar(body, scan, scan->value, scan->value_length);
    scan->worth = true;
    note(scan);
    return true;
}

void pick_literal(struct body *body, struct body_scan *scan)
{
    bool yes = scan->literal == SCAN_TRUE;
    if (scan->depth <= scan->base)
        return;
    if (scan->path.flags & PATH_STREAM) {
        body->streams = yes;
    } else if (scan->path.text == TEXT_METADATA && scan->literal != SCAN_NULL) {
        values_scalar(body, scan, yes ? "true" : "false", yes ? 4 : 5);
    } else if (scan->path.flags & PATH_LITERAL && scan->literal != SCAN_NULL) {
        write_scalar(body, scan, yes ? "true" : "false", yes ? 4 : 5);
    } else {
        write_drop(body, scan);
    }
}
