/* arena_copy.h: a second, independent reading of the arena's file, from the description of the format and not from the
 * library's headers: the tests' own idea of what is in it. The file is read with pread, lane by lane. Pure
 * but for the reading; records are counted by kind and checked for position, sequence and checksum.
 */
#ifndef TESTS_SUPPORT_ARENA_COPY_H
#define TESTS_SUPPORT_ARENA_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    COPY_PADDING = 1,
    COPY_CLIENT = 2,
    COPY_USAGE = 3,
    COPY_BEGIN = 4,
    COPY_PROGRESS = 5,
    COPY_END = 6,
    COPY_CLIENT_END = 7,
    COPY_KINDS = 8
};
enum { COPY_LANE_FULL = 0, COPY_NO_LANE = 1, COPY_REENTERED = 2, COPY_SPILL = 3, COPY_REFUSALS = 8 };

struct lane_copy {
    uint64_t tail;
    uint64_t sequence; /* of the slot that is valid */
    uint64_t final_sequence;
    uint64_t refused_full;
    uint32_t owner;
    uint32_t tenures;
    uint32_t pid, tid;
    bool walked; /* its records could be read from a known place to the tail */
    uint64_t kinds[COPY_KINDS];
    uint64_t damaged; /* checks that failed: 0 */
};

struct arena_copy {
    uint8_t uuid[16];
    uint32_t lane_count;
    uint32_t lanes_used; /* with a tenure */
    uint32_t doorbell;
    uint64_t refused[COPY_REFUSALS];
    uint64_t sequences; /* sum over the lanes: numbered records ever written */
    uint64_t kinds[COPY_KINDS];
    uint64_t damaged;
    uint64_t refused_full;
    struct lane_copy *lanes;
};

/* Returns false if there is no arena (or none that can be read). */
bool arena_copy_read(struct arena_copy *copy, const char *path);
void arena_copy_free(struct arena_copy *copy);

/* How many records of a kind stand in the arena; fails the test if it is damaged. 0 if there is no arena. */
uint64_t arena_copy_count(const char *path, int kind);

#endif
