/* leaves.h: what a fragment says, and whether another says all of it too. */
#ifndef TALLY_CAPTURE_LEAVES_H
#define TALLY_CAPTURE_LEAVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAVES_MAX 96

struct leaf {
    uint32_t path; /* of names; the items of a list have the list's */
    bool number;
    bool zero;
    bool free; /* need not be said again */
};

struct leaves {
    size_t count;
    size_t names;
    unsigned within; /* what holds the answer; the root itself: 0 */
    bool unlike;     /* nothing covers it, and it covers nothing */
    struct leaf of[LEAVES_MAX];
    uint32_t paths[LEAVES_MAX]; /* of each name, by items too */
};

/* fragment: compact JSON of the scanner's own writing: names without escapes, no white space, sound. Other bytes do no harm. */
void leaves_read(struct leaves *leaves, const char *fragment, size_t length);

/* Whether newer says all that older does, and no 0 in place of a count. */
bool leaves_cover(const struct leaves *newer, const struct leaves *older);

#endif
