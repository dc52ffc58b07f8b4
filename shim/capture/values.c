/* values.c: see values.h. */
#include "capture/values.h"
#include "capture/pick.h"

#include <string.h>

#define OPEN_METADATA (BODY_VALUES + 1)

static bool is_user_id(const struct body_scan *scan)
{
    return scan->key_length == 7 && !memcmp(scan->key, "user_id", 7);
}

static bool is_named(const struct body *body, const struct body_scan *scan)
{
    const char *at = body->metadata_names;
    while (at && *at) {
        size_t length = strcspn(at, ",");
        if (length == scan->key_length && !memcmp(at, scan->key, length))
            return true;
        at += length;
        at += *at == ',';
    }
    return false;
}

static char plain(char c)
{
    if ((unsigned char)c < 0x20)
        c = '_';
    return c;
}

static void append(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    char *to = body->metadata + body->metadata_length;
    if (scan->wrong || length >= sizeof body->metadata - body->metadata_length) {
        scan->wrong = true;
        return;
    }
    for (size_t i = 0; i < length; i++) {
        bool mark = bytes[i] == ',' || bytes[i] == '=';
        *to = plain(bytes[i]);
        if (mark)
            *to = '_';
        to++;
    }
    body->metadata_length += (uint16_t)length;
}

static void append_mark(struct body *body, struct body_scan *scan, char mark)
{
    append(body, scan, "", 0);
    if (scan->wrong || body->metadata_length + 1u >= sizeof body->metadata)
        scan->wrong = true;
    else
        body->metadata[body->metadata_length++] = mark;
}

static enum scan_sink begin_metadata(struct body *body, struct body_scan *scan)
{
    body->metadata_mark = body->metadata_length;
    body->open = OPEN_METADATA;
    if (body->metadata_length)
        append_mark(body, scan, ',');
    append(body, scan, scan->key, scan->key_length);
    append_mark(body, scan, '=');
    return SINK_METADATA;
}

static enum scan_sink begin_value(struct body *body, enum body_value which)
{
    body->open = (uint8_t)(which + 1);
    body->value_bytes = 0;
    return SINK_VALUE;
}

enum scan_sink values_begin(struct body *body, struct body_scan *scan)
{
    switch (scan->path.text) {
    case TEXT_MODEL:
        return begin_value(body, BODY_MODEL);
    case TEXT_TIER:
        return begin_value(body, BODY_SERVICE_TIER);
    case TEXT_USER:
        return begin_value(body, BODY_USER);
    default:
        return is_named(body, scan) ? begin_metadata(body, scan) : SINK_NONE;
    }
}

static void take(char *value, uint16_t *used, bool *cut, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length && !*cut; i++) {
        *cut = *used == BODY_VALUE_BYTES - 1;
        if (!*cut)
            value[(*used)++] = plain(bytes[i]);
    }
}

void values_take(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    if (scan->sink == SINK_METADATA)
        append(body, scan, bytes, length);
    else
        take(body->values[body->open - 1], &body->value_bytes, &scan->wrong, bytes, length);
}

/* A cut leaves whole characters. */
static void close_value(char *value, uint16_t length, bool cut)
{
    if (cut) {
        uint16_t start = length;
        while (start && ((unsigned char)value[start - 1] & 0xc0) == 0x80)
            start--;
        unsigned char lead = start ? (unsigned char)value[start - 1] : 0;
        unsigned wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
        if (start && length - start + 1u < wanted)
            length = start - 1;
    }
    value[length] = '\0';
}

static void end_metadata(struct body *body, struct body_scan *scan)
{
    const char *pair = body->metadata + body->metadata_mark;
    if (scan->wrong) {
        body->metadata_length = body->metadata_mark;
        pick_fault(body);
    } else if (is_user_id(scan) && !body->values[BODY_USER][0]) {
        uint16_t skipped = (uint16_t)((body->metadata_mark > 0) + scan->key_length + 1);
        uint16_t used = 0;
        bool cut = false;
        take(body->values[BODY_USER], &used, &cut, pair + skipped,
             body->metadata_length - body->metadata_mark - skipped);
        close_value(body->values[BODY_USER], used, cut);
    }
    body->metadata[body->metadata_length] = '\0';
}

void values_end(struct body *body, struct body_scan *scan)
{
    if (scan->sink == SINK_METADATA)
        end_metadata(body, scan);
    else
        close_value(body->values[body->open - 1], body->value_bytes, scan->wrong);
    body->open = 0;
}

void values_scalar(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    if (!is_named(body, scan))
        return;
    begin_metadata(body, scan);
    append(body, scan, bytes, length);
    end_metadata(body, scan);
    body->open = 0;
}

void values_abandon(struct body *body)
{
    if (body->open == OPEN_METADATA) {
        body->metadata_length = body->metadata_mark;
        body->metadata[body->metadata_length] = '\0';
    } else if (body->open) {
        body->values[body->open - 1][0] = '\0';
    }
    body->open = 0;
}
