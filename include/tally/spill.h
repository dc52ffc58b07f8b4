/* tally/spill.h: spill files, version 1: where a thread's records go while its lane is full or none can be had.
 *
 * A log of its own, of one process, written by one thread at a time: its records are numbered from 1, whatever the
 * ring does, and the number in a log is a record's identity. Number 1 is the process's CLIENT record. A log may
 * stretch over several files: when the agent has taken a file (renamed it), or a write failed, the next file begins
 * with a CLIENT record of number 1 again, and repeats, under the same numbers, the record whose fate is unknown and
 * the CLIENT record of its client object, if it needed one. So the first record of a number is the record, wherever else
 * the number stands. A reader takes files in the order of their index, skips numbers that it has had, and counts as lost
 * those that are missing.
 *
 * File: header, then records (tally/record.h) one after the other, `position` being the offset in the file.
 * A last record that is cut or fails its checksum was never acknowledged.
 * Name: tally-<log, 32 hex digits>-<index, decimal>.spill; an agent that takes it appends ".taken" and, in a folder that
 * is not its own, "." and its database's name for itself. The log's first 16 hex digits are the same for all logs of
 * a process.
 */
#ifndef TALLY_SPILL_H
#define TALLY_SPILL_H

#include <tally/record.h>

#define TALLY_SPILL_MAGIC  UINT64_C(0x4C4C495053594C54) /* "TLYSPILL" */
#define TALLY_SPILL_PREFIX "tally-"
#define TALLY_SPILL_SUFFIX ".spill"
#define TALLY_SPILL_TAKEN  ".taken"

/* A writer begins another file rather than make one larger; a reader refuses what is. */
#define TALLY_SPILL_FILE_BYTES_MAX (64u * 1024u * 1024u)

struct tally_spill_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t index; /* of this file in its log, from 1 */
    uint8_t log[16];
    uint64_t created_unix_ns;
    uint8_t arena[16]; /* of the process, so that its agent knows whose this is; zeros: it has none */
    uint8_t reserved[8];
};
TALLY_LAYOUT(sizeof(struct tally_spill_header) == 64);

/* Carried over: what stood in a lane, not known to be durable, when its arena was found to have lost its name. A file of the
 * same name and header, but for the magic; then this, then the lane's bytes as they stood in the ring, padding and all, from
 * position `from` up to `to`; if it stops before that its writer died, or has written it once more. They keep their positions and numbers in the lane of the arena that the header names, so that whoever
 * has drained some of them from the arena itself counts none twice. */
#define TALLY_CARRIED_MAGIC UINT64_C(0x5952524143594C54) /* "TLYCARRY" */

struct tally_carried {
    uint64_t from;
    uint32_t lane;
    uint32_t ring_bytes;
    uint64_t to; /* 0: not said */
    uint8_t reserved[8];
};
TALLY_LAYOUT(sizeof(struct tally_carried) == 32);

#endif
