/* workload.h: the record that is measured, and what it is measured against.
 *
 * One thread a process uses these; each contender writes `count` records and returns the
 * nanoseconds that took. All write the same number of bytes a record.
 */
#ifndef TALLY_BENCH_WORKLOAD_H
#define TALLY_BENCH_WORKLOAD_H

#include "bench.h"

#include <tally/tally.h>

/* Less than half a lane of records of some 128 bytes: a burst does not reach the mark at
 * which the agent is woken early. */
#define BURST 400

struct workload {
    struct tally_usage usage;
    uint32_t record_bytes; /* of one record in the lane, as measured */
    uint8_t *ring;         /* the memcpy peers' memory: shared, touched, as big as a lane's ring */
    uint64_t tail;
    uint64_t *published; /* what the release store goes to */
    int file;            /* the write(2) peer's */
    char line[512];
    size_t line_bytes;
    _Alignas(16) uint8_t record[512];
};

typedef int64_t contender(struct workload *workload, int count);

int64_t run_tally(struct workload *workload, int count);
int64_t run_memcpy(struct workload *workload, int count);
int64_t run_memcpy_clock(struct workload *workload, int count);
int64_t run_write(struct workload *workload, int count);

#define CONTENDERS 4
#define WITH_CLOCK 2 /* the contender whose work is the least that a record with its time stamp could be */
struct contender_entry {
    const char *name;
    contender *run;
};
extern const struct contender_entry contenders[CONTENDERS];
/* Whose turn it is. */
int contender_at(int round, int turn);

/* usage: what all parts record. */
struct tally_usage workload_usage(void);
/* Takes a lane (a record or two), measures the record's size in it. */
void workload_start(struct workload *workload, const struct plan *plan);
/* Make room: wait until the agent has it all. */
void workload_drain(void);

#endif
