/* gauges.h: what a running agent takes up, read from outside, again and again, and whether it stays the same.
 *
 * Used by the test's main thread. Functions fail the test rather than return an error.
 */
#ifndef TESTS_SUPPORT_GAUGES_H
#define TESTS_SUPPORT_GAUGES_H

#include "room.h"

/* One reading. */
struct gauge {
    double at_s;          /* since the first */
    double memory;        /* the agent's proportional set size, bytes */
    double descriptors;   /* its open descriptors */
    double threads;       /* its threads */
    double database;      /* allocated bytes of usage.db */
    double log;           /* ... of its write-ahead log and index */
    double shared_memory; /* ... of arena and board */
    double spill;         /* ... of files in the spill folder */
    double waiting;       /* bytes that stand in lanes and are not durable */
    double delay_ms;      /* of a record on lane 0, from publication to durability */
    double acknowledged;  /* records that programs were told to be kept, ever */
    double kept;          /* of these, the most that were younger than the retention at any reading so far */
};

struct gauges {
    struct gauge *list;
    size_t count, room;
    double kept_s; /* how long a row is kept, at most */
};

/* Read everything, four times a second, until so many seconds have passed. agent: its process. */
void gauges_read(struct gauges *gauges, const struct room *room, pid_t agent, double seconds);
void gauges_free(struct gauges *gauges);

/* What is compared of a third of the readings: its greatest, or its median, for what has spikes. */
enum gauge_sort { GAUGE_GREATEST, GAUGE_MEDIAN };

/* The readings after `warm` seconds are parted into thirds. The last third's figure must not exceed the first's
 * by more than a factor and a constant. Prints a `# note:` with the three thirds, and fails the test otherwise.
 * of: which field; per_kept: divided by .kept, for what grows with the rate. */
struct gauge_rule {
    const char *name;
    const char *unit;
    double unit_size;
    size_t field; /* offsetof(struct gauge, ...) */
    enum gauge_sort sort;
    bool per_kept;
    double factor;
    double constant; /* in the field's own unit */
};
/* Returns whether it is flat. */
bool gauges_flat(const struct gauges *gauges, double warm_s, const struct gauge_rule *rule);

#endif
