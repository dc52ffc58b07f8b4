/* inspect.h: read an arena as a stranger, from the description of the format alone, and hold it against the log of what
 * was called. pread(2) only. None of the library's code.
 */
#ifndef TESTS_CRASH_INSPECT_H
#define TESTS_CRASH_INSPECT_H

#include "crash/stage.h"

#include <stdbool.h>
#include <tally/abi.h>
#include <tally/record.h>

#define INSPECT_LANES_MAX   4
#define INSPECT_CLIENTS_MAX 8
#define INSPECT_LOGS_MAX    6

struct inspect_lane {
    uint64_t tail, sequence, final_sequence;
    uint32_t owner;
    /* from here the next look goes on: what lies below may have been given back */
    uint64_t seen_position, seen_sequence;
    bool introduced[INSPECT_CLIENTS_MAX];
    uint32_t tenure_pid; /* of the newest CLIENT record of a process */
};

/* A log in spill files: its records have one number each, in however many files they stand. */
struct inspect_log {
    uint8_t id[16];
    uint32_t pid;                          /* as its CLIENT record says */
    uint64_t highest;                      /* number */
    int32_t entry[STAGE_ENTRIES_MAX + 32]; /* by number: which call's record; -1: a CLIENT record */
    bool introduced[INSPECT_CLIENTS_MAX];
};

struct inspection {
    uint8_t uuid[16];
    uint32_t lanes;
    struct inspect_lane lane[INSPECT_LANES_MAX];
    uint64_t refused; /* as counted in the arena: no lane, no room, nowhere to spill to */
    uint32_t logs;
    struct inspect_log log[INSPECT_LOGS_MAX];
    uint32_t found[STAGE_ENTRIES_MAX]; /* how often each call's record was found */
    char error[256];
};

/* Read the records that have come since the last look and check them one by one. Returns 0, 1 if there is no such arena, or
 * -1 with error[]. */
int inspect_read(struct inspection *inspection, const char *path);

/* The same for the spill files of a folder, whatever an agent has made of their names. 0, also if there is no folder, or -1. */
int inspect_spilled(struct inspection *inspection, const char *folder);

/* Hold the log against what has been found: acknowledged: once; refused: not at all; in flight: at most once. 0 or -1. */
int inspect_compare(struct inspection *inspection);

/* No lane is owned, but for one by `except` (a dead owner that the kernel was not asked to look after; 0: none). 0 or -1. */
int inspect_owners(struct inspection *inspection, uint32_t except);

/* Between inspect.c and inspect_spill.c: a field's number, or UINT64_MAX; the call whose record this is, written by the
 * process `pid`, or -1; error[] from a format, and -1. */
uint64_t inspect_number(const struct tally_record_header *record, uint8_t id);
int inspect_call(struct inspection *inspection, const struct tally_record_header *record, uint32_t pid);
int inspect_wrong(struct inspection *inspection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
