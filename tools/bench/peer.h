/* peer.h: contenders in processes of their own, which speak as peers/order.h says. */
#ifndef TALLY_BENCH_PEER_H
#define TALLY_BENCH_PEER_H

#include "bench.h"

#include <stdio.h>
#include <sys/types.h>

struct peer {
    const char *kind; /* what peers/stand calls it */
    const char *name;
    int burst;     /* records in a row while nothing need be waited for */
    int sustained; /* records in a row, many times what its buffer takes */
    bool paced;
    int ready_s; /* how long it may take to be ready; 0: a minute */

    pid_t pid; /* 0: not there, or not any more */
    FILE *orders;
    FILE *answers;
    char trouble[160]; /* why it is not there */
};

/* Start those of `peers`; one that cannot be had keeps pid 0, and says why in `trouble`. */
void peers_start(struct peer *peers, size_t count, const struct plan *plan);
void peers_stop(struct peer *peers, size_t count);
/* Nanoseconds a record of `records` in a row. 0: the peer is out, see `trouble`. */
double peer_burst(struct peer *peer, int records);
/* Processor nanoseconds that its process takes for one of `records`, all of its threads: of contenders in Python. */
double peer_processor(struct peer *peer, int records);
/* One record a millisecond: ns of each. False: the peer is out. */
bool peer_paced(struct peer *peer, int records, double *ns);
/* Such a contender: the whole of `bench --peer NAME`, its kind. */
int peer_main(const char *name);

#endif
