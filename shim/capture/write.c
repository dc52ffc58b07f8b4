/* write.c: see write.h. */
#include "capture/write.h"
#include "capture/fragments.h"
#include "capture/pick.h"

#include <string.h>

/* What does not fit whole is not written at all: a usage object of which half is missing would say something else. */
void write_bytes(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    if (scan->muted || fragments_put(body, bytes, length))
        return;
    pick_abandon(body, scan);
    pick_fault(body);
}

static uint32_t bit_of(const struct body_scan *scan)
{
    uint32_t hash = scan->key_length;
    for (uint8_t i = 0; i < scan->key_length; i++)
        hash = hash * 31 + (unsigned char)scan->key[i];
    return 1u << (hash >> 3 & 31);
}

bool write_seen(struct body_scan *scan)
{
    const struct body_frame *frame = scan_frame(scan);
    const struct body_path *path = &scan->path;
    bool known = path->text || path->number || path->object || path->list;
    return known && !frame->list && (frame->seen & bit_of(scan));
}

/* Comma and name. */
void write_name(struct body *body, struct body_scan *scan)
{
    char text[BODY_KEY_BYTES_MAX + 4];
    size_t length = 0;
    struct body_frame *frame = scan_frame(scan);
    if (frame->filled)
        text[length++] = ',';
    if (!frame->list) {
        text[length++] = '"';
        memcpy(text + length, scan->key, scan->key_length);
        length += scan->key_length;
        text[length++] = '"';
        text[length++] = ':';
        frame->seen |= bit_of(scan);
    }
    write_bytes(body, scan, text, length);
}

void write_scalar(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    uint16_t mark = body->built;
    if (scan->muted)
        return;
    write_name(body, scan);
    write_bytes(body, scan, bytes, length);
    if (!scan->muted && body->built > mark)
        scan_frame(scan)->filled = true;
}

/* A value that is not kept. Of members of one name the last counts, so it says that there is none. */
void write_drop(struct body *body, struct body_scan *scan)
{
    if (!scan->muted && scan->depth > scan->base && write_seen(scan))
        write_scalar(body, scan, "null", 4);
}
