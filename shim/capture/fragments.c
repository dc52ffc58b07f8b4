/* fragments.c: see fragments.h. Fragments are compact JSON of the scanner's own writing: names without escapes, no white space, sound. */
#include "capture/fragments.h"

#include <string.h>

#define LEAVES_MAX 96
#define DEPTH_MAX  (BODY_FRAMES_MAX + 2)
#define CLOSING    (BODY_FRAMES_MAX + 1) /* kept free, so that what was opened can be closed */

/* ---- what a fragment says: its leaves ---- */

struct leaf {
    uint32_t path; /* of names; a list's items have its own */
    bool number;
    bool zero;
    bool free; /* need not be said again */
};

struct leaves {
    size_t count; /* above LEAVES_MAX: not all are here */
    bool adds;
    struct leaf of[LEAVES_MAX];
};

static bool named(const char *name, size_t length, const char *text)
{
    return strlen(text) == length && !memcmp(name, text, length);
}

static uint32_t hash(uint32_t seed, const char *bytes, size_t length)
{
    while (length--)
        seed = (seed ^ (unsigned char)*bytes++) * 16777619u;
    return (seed ^ '.') * 16777619u;
}

static const char *string_end(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += *at == '\\' ? 2 : 1;
    return at < end ? at : end;
}

static const char *scalar_end(const char *at, const char *end)
{
    while (at < end && *at != ',' && *at != '}' && *at != ']')
        at++;
    return at;
}

static bool is_zero(const char *at, const char *end)
{
    for (; at < end && *at != 'e' && *at != 'E'; at++)
        if (*at >= '1' && *at <= '9')
            return false;
    return true;
}

static void add(struct leaves *leaves, struct leaf leaf)
{
    if (leaves->count < LEAVES_MAX)
        leaves->of[leaves->count] = leaf;
    leaves->count++;
}

static void read_leaves(const char *at, size_t length, struct leaves *out)
{
    const char *end = at + length;
    uint32_t paths[DEPTH_MAX + 1] = {2166136261u};
    int depth = 0;
    bool free = false;
    uint32_t path = paths[0];
    out->count = 0;
    out->adds = false;
    while (at < end) {
        const char *stop = at + 1;
        if (*at == '{' || *at == '[') {
            if (depth < DEPTH_MAX)
                paths[++depth] = path;
            if (stop < end && (*stop == '}' || *stop == ']'))
                add(out, (struct leaf){.path = path});
        } else if (*at == '}' || *at == ']') {
            depth -= depth > 0;
            path = paths[depth];
        } else if (*at == '"') {
            stop = string_end(at + 1, end);
            size_t bytes = (size_t)(stop - at) - 1;
            stop += stop < end;
            if (stop < end && *stop == ':') {
                path = hash(paths[depth], at + 1, bytes);
                free = named(at + 1, bytes, "type") || named(at + 1, bytes, "status");
                /* Realtime's, each of an answer of its own */
                out->adds |= named(at + 1, bytes, "input_token_details") ||
                             named(at + 1, bytes, "output_token_details");
                stop++;
            } else {
                add(out, (struct leaf){.path = path, .free = free});
            }
        } else if (*at != ',') {
            stop = scalar_end(at, end);
            bool number = *at == '-' || (*at >= '0' && *at <= '9');
            add(out, (struct leaf){path, number, number && is_zero(at, stop), false});
        } else {
            path = paths[depth];
        }
        at = stop;
    }
}

static bool says(const struct leaves *newer, const struct leaf *leaf)
{
    for (size_t i = 0; i < newer->count; i++) {
        const struct leaf *same = &newer->of[i];
        if (same->path == leaf->path && same->number == leaf->number && (!same->zero || leaf->zero))
            return true;
    }
    return leaf->free;
}

/* Whether newer says all that older does, and no 0 in place of a count. What adds up is each time something else. */
static bool covers(const struct leaves *newer, const struct leaves *older)
{
    if (older->adds || older->count > LEAVES_MAX || newer->count > LEAVES_MAX)
        return false;
    for (size_t i = 0; i < older->count; i++)
        if (!says(newer, &older->of[i]))
            return false;
    return true;
}

/* ---- the store ---- */

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
    if (last == body->built && !memcmp(built - last, built, last)) {
        read_leaves(built, last, &newer);
        if (!newer.adds) {
            body->built = 0;
            return false;
        }
    }
    read_leaves(built, body->built, &newer);
    for (size_t i = body->count; i-- > 0;) {
        read_leaves(start_of(body, i), body->lengths[i], &older);
        if (covers(&newer, &older))
            take_out(body, i);
    }
    if (body->count == BODY_FRAGMENTS_MAX)
        take_out(body, 1);
    body->lengths[body->count++] = body->built;
    body->used += body->built;
    body->built = 0;
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
