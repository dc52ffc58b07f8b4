/* leaves.c: see leaves.h. */
#include "capture/leaves.h"

#include <string.h>

#define DEPTH_MAX 16
#define SEED      2166136261u

struct reading {
    struct leaves *leaves;
    const char *end;
    int depth;
    bool free;
    uint32_t path; /* of the value to come */
    uint32_t exact;
    bool lists[DEPTH_MAX]; /* of the containers that are open */
    uint32_t paths[DEPTH_MAX];
    uint32_t exacts[DEPTH_MAX];
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

/* The same name says another thing in the root and in an answer within it, which is one if it says who answered, or what was used. */
#define ANSWERS (1u << 8)

static bool tells_who(const char *name, size_t length)
{
    return named(name, length, "id") || named(name, length, "model") || named(name, length, "status");
}

static unsigned holder(const char *name, size_t length)
{
    static const char *const holders[] = {"message",  "response", "delta",      "result",
                                          "metadata", "body",     "interaction"};
    for (unsigned i = 0; i < sizeof holders / sizeof holders[0]; i++)
        if (named(name, length, holders[i]))
            return 1u << i;
    return 0;
}

static bool is_zero(const char *at, const char *end)
{
    for (; at < end && *at != 'e' && *at != 'E'; at++)
        if (*at >= '1' && *at <= '9')
            return false;
    return true;
}

static void add(struct reading *reading, bool number, bool zero)
{
    struct leaves *leaves = reading->leaves;
    if (number && reading->depth > 1)
        leaves->within |= ANSWERS;
    if (leaves->count == LEAVES_MAX)
        leaves->unlike = true;
    else
        leaves->of[leaves->count++] = (struct leaf){reading->path, number, zero, reading->free};
}

/* Of two members of one name only the last counts: too strange to be compared. */
static void add_name(struct leaves *leaves, uint32_t exact)
{
    for (size_t i = 0; i < leaves->names; i++)
        leaves->unlike |= leaves->paths[i] == exact;
    if (leaves->names == LEAVES_MAX)
        leaves->unlike = true;
    else
        leaves->paths[leaves->names++] = exact;
}

static void read_name(struct reading *reading, const char *name, size_t length, bool of_object)
{
    struct leaves *leaves = reading->leaves;
    reading->path = hash(reading->paths[reading->depth], name, length);
    reading->exact = hash(reading->exacts[reading->depth], name, length);
    reading->free = named(name, length, "type");
    add_name(leaves, reading->exact);
    if (reading->depth == 1 && of_object)
        leaves->within |= holder(name, length);
    else if (reading->depth > 1 && tells_who(name, length))
        leaves->within |= ANSWERS;
    /* Realtime's, each of an answer of its own: they add up */
    if (named(name, length, "input_token_details") || named(name, length, "output_token_details"))
        leaves->unlike = true;
}

/* From behind a quote to behind the next. */
static const char *string_end(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += *at == '\\' ? 2 : 1;
    return at < end ? at + 1 : end;
}

static const char *scalar_end(const char *at, const char *end)
{
    while (at < end && *at != ',' && *at != '}' && *at != ']')
        at++;
    return at;
}

static void open_container(struct reading *reading, bool list)
{
    if (reading->depth + 1 == DEPTH_MAX) {
        reading->leaves->unlike = true;
        return;
    }
    reading->depth++;
    reading->lists[reading->depth] = list;
    reading->paths[reading->depth] = reading->path;
    reading->exacts[reading->depth] = reading->exact;
}

/* One token. Returns where the next one begins. */
static const char *read_token(struct reading *reading, const char *at)
{
    const char *stop = at + 1;
    switch (*at) {
    case '{':
    case '[':
        open_container(reading, *at == '[');
        if (stop < reading->end && (*stop == '}' || *stop == ']'))
            add(reading, false, false);
        return stop;
    case '}':
    case ']':
        reading->depth -= reading->depth > 0;
        return stop;
    case ',':
        /* a name may follow, or the next item */
        reading->path = reading->paths[reading->depth];
        reading->exacts[reading->depth] += reading->lists[reading->depth];
        reading->exact = reading->exacts[reading->depth];
        return stop;
    case '"':
        stop = string_end(at + 1, reading->end);
        if (stop < reading->end && *stop == ':') {
            bool of_object = stop + 1 < reading->end && stop[1] == '{';
            read_name(reading, at + 1, (size_t)(stop - at) - 2, of_object);
            return stop + 1;
        }
        add(reading, false, false);
        return stop;
    default:
        stop = scalar_end(at, reading->end);
        bool number = *at == '-' || (*at >= '0' && *at <= '9');
        if (*at != 'n') /* null says nothing */
            add(reading, number, number && is_zero(at, stop));
        return stop;
    }
}

void leaves_read(struct leaves *leaves, const char *fragment, size_t length)
{
    struct reading reading = {.leaves = leaves, .end = fragment + length, .path = SEED, .exact = SEED};
    leaves->count = leaves->names = 0;
    leaves->within = 0;
    leaves->unlike = false;
    while (fragment < reading.end)
        fragment = read_token(&reading, fragment);
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

static unsigned within(const struct leaves *leaves)
{
    return leaves->within == ANSWERS ? 0 : leaves->within;
}

bool leaves_cover(const struct leaves *newer, const struct leaves *older)
{
    if (newer->unlike || older->unlike || within(newer) != within(older))
        return false;
    for (size_t i = 0; i < older->count; i++)
        if (!says(newer, &older->of[i]))
            return false;
    return true;
}
