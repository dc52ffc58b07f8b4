/* fragments.c: see fragments.h. */
#include "capture/fragments.h"
#include "capture/leaves.h"

#include <string.h>

#define CLOSING (BODY_FRAMES_MAX + 1) /* kept free, so that what was opened can be closed */

static char *start_of(struct body *body, size_t which)
{
    char *start = body->text;
    for (size_t i = 0; i < which; i++)
        start += body->lengths[i];
    return start;
}

static void take_out(struct body *body, size_t which)
{
    char *start = start_of(body, which);
    uint16_t length = body->lengths[which];
    const char *end = body->text + body->used + body->built;
    memmove(start, start + length, (size_t)(end - start) - length);
    memmove(body->lengths + which, body->lengths + which + 1,
            (body->count - which - 1u) * sizeof body->lengths[0]);
    body->used -= length;
    body->count--;
}

/* The first says what a stream began with, the newest what came of it: the oldest in between says least. */
static bool give_way(struct body *body)
{
    if (body->count < 2)
        return false;
    take_out(body, 1);
    return true;
}

bool fragments_put(struct body *body, const char *bytes, size_t length)
{
    while (length + body->used + body->built + CLOSING > sizeof body->text)
        if (!give_way(body))
            return false;
    memcpy(body->text + body->used + body->built, bytes, length);
    body->built += (uint16_t)length;
    return true;
}

void fragments_cut(struct body *body, uint16_t length)
{
    body->built = length;
}

bool fragments_commit(struct body *body)
{
    struct leaves newer;
    struct leaves older;
    const char *built = body->text + body->used;
    size_t last = body->count ? body->lengths[body->count - 1] : 0;
    if (last == body->built && !body->last_unlike && !memcmp(built - last, built, last)) {
        body->built = 0;
        return false;
    }
    leaves_read(&newer, built, body->built);
    for (size_t i = body->count; i-- > 0;) {
        leaves_read(&older, start_of(body, i), body->lengths[i]);
        if (leaves_cover(&newer, &older))
            take_out(body, i);
    }
    if (body->count == BODY_FRAGMENTS_MAX)
        take_out(body, 1);
    body->lengths[body->count++] = body->built;
    body->used += body->built;
    body->built = 0;
    body->last_unlike = newer.unlike;
    return true;
}

size_t fragments_print(const struct body *body, char *out, size_t capacity)
{
    size_t count = body->count;
    size_t length = count == 1 ? body->used : body->used + count + 1;
    const char *from = body->text;
    char *to = out;
    if (!count || length > capacity)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (count > 1)
            *to++ = i ? ',' : '[';
        memcpy(to, from, body->lengths[i]);
        to += body->lengths[i];
        from += body->lengths[i];
    }
    if (count > 1)
        *to = ']';
    return length;
}
