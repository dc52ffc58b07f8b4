/* inspect.h: read an arena as a stranger, from the description of the format alone, and hold it against the log of what
 * was called. pread(2) only. None of the library's code.
 */
#ifndef TESTS_CRASH_INSPECT_H
#define TESTS_CRASH_INSPECT_H

#include "crash/stage.h"

#include <stdbool.h>
#include <tally/abi.h>

#define INSPECT_LANES_MAX   4
#define INSPECT_CLIENTS_MAX 8

struct inspect_lane {
    uint64_t tail, sequence, final_sequence;
    uint32_t owner;
    /* from here the next look goes on: what lies below may have been given back */
    uint64_t seen_position, seen_sequence;
    bool introduced[INSPECT_CLIENTS_MAX];
    uint32_t tenure_pid; /* of the newest CLIENT record of a process */
};

struct inspection {
    uint8_t uuid[16];
    uint32_t lanes;
    struct inspect_lane lane[INSPECT_LANES_MAX];
    uint32_t found[STAGE_ENTRIES_MAX]; /* how often each call's record was found */
    char error[256];
};

/* Read the records that have come since the last look and check them one by one. Returns 0, 1 if there is no such arena, or
 * -1 with error[]. */
int inspect_read(struct inspection *inspection, const char *path);

/* Hold the log against what has been found: acknowledged: once; refused: not at all; in flight: at most once. 0 or -1. */
int inspect_compare(struct inspection *inspection);

/* No lane is owned, but for one by `except` (a dead owner that the kernel was not asked to look after; 0: none). 0 or -1. */
int inspect_owners(struct inspection *inspection, uint32_t except);

#endif
