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
    double young;         /* of these, as many as are younger than a row may be */
    double rows;          /* what the database holds */
    double most_rows;     /* ... and the most that it held at any reading so far */
};

struct gauges {
    struct gauge *list;
    size_t count, room;
    double kept_s; /* how old a row may be */
};

/* Read everything, four times a second, until so many seconds have passed. agent: its process. */
void gauges_read(struct gauges *gauges, const struct room *room, pid_t agent, double seconds);
void gauges_free(struct gauges *gauges);

/* What is compared of a third of the readings: its greatest, or its median, for what has spikes. */
enum gauge_sort { GAUGE_GREATEST, GAUGE_MEDIAN };

struct gauge_rule {
    const char *name;
    const char *unit;
    double unit_size;
    size_t field;   /* offsetof(struct gauge, ...) */
    size_t divisor; /* another field, for what grows with the rate; the same one: none */
    enum gauge_sort sort;
    double factor;
    double constant; /* in the field's own unit */
};
/* The readings after `warm_s` seconds are parted into thirds. The last third's figure must not exceed the first's
 * by more than a factor and a constant. Prints a `# note:` with the three thirds. Returns whether it is flat. */
bool gauges_flat(const struct gauges *gauges, double warm_s, const struct gauge_rule *rule);

#endif
