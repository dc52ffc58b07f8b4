/* record_check.h: whether bytes in private memory are the record that must stand there.
 * Pure computation, apart from the checksum field, which is zeroed for a moment. */
#ifndef TALLY_RECORD_CHECK_H
#define TALLY_RECORD_CHECK_H

#include <tally/record.h>

struct record_place {
    uint64_t position;   /* of the first byte */
    uint64_t sequence;   /* of the record before it */
    uint64_t available;  /* bytes in memory from there */
    uint64_t published;  /* bytes up to the tail: available, or more if the rest has not been fetched */
    uint32_t ring_bytes; /* 0: not in a ring, so that nothing wraps */
};

enum record_verdict {
    RECORD_GOOD,
    RECORD_PADDING,
    RECORD_UNFETCHED,  /* good so far, but it reaches past what is available */
    RECORD_BAD_LENGTH, /* 0, no multiple of 8, too long */
    RECORD_BAD_END,    /* crosses the ring's end or the tail, or padding that does not fill */
    RECORD_BAD_PLACE,  /* another position than its own */
    RECORD_BAD_NUMBER, /* not the next sequence number */
    RECORD_BAD_CHECKSUM
};

/* bytes: 8-aligned; at least 8 of them are available. */
enum record_verdict record_check(void *bytes, const struct record_place *place);

/* A verdict in words. */
const char *record_verdict_text(enum record_verdict verdict);

/* Search bytes[at ... available) for the next record that can be told from chance: its own position,
 * its checksum, and a number above the last good one and at most `sequence_max`. Returns its
 * offset, or `available` if there is none. */
uint64_t record_resync(void *bytes, const struct record_place *place, uint64_t at, uint64_t sequence_max);

#endif
