/* scenarios.h: what victims do. */
#ifndef TESTS_CRASH_SCENARIOS_H
#define TESTS_CRASH_SCENARIOS_H

#include <stdbool.h>
#include <stdint.h>

/* How the arena looks before the victim starts. */
enum seed {
    SEED_NOTHING,        /* there is none */
    SEED_EMPTY,          /* nobody has written to it */
    SEED_DEAD,           /* its owner has been killed between two calls */
    SEED_HALF_RECORD,    /* its owner has been killed while it wrote a record: ... half of it is there */
    SEED_HALF_SLOT,      /* ... the record and the slot's tail */
    SEED_UNPUBLISHED,    /* ... everything but the lane's tail */
    SEED_DEAD_UNGUARDED, /* as SEED_DEAD, and the kernel was not asked to mark its lane */
    SEEDS
};

struct scenario {
    const char *name;
    enum seed seed;
    const char *lanes, *lane_kib; /* of the arena */
    void (*run)(void);
    bool next_lane; /* the successor may need a lane of its own: the victim's is full */
    bool refused;   /* its record is */
    bool drained;   /* an agent drains it at stage_pause() */
    bool thorough; /* short enough that every kill point goes through the real agent in the short form, too */
    bool only_long;     /* in the long form alone: most of it is stepped through elsewhere */
    uint32_t steps_min; /* fewer would mean that it did not do what it should */
};

extern const struct scenario scenarios[];
extern const unsigned int scenario_count;

/* The predecessor of SEED_DEAD and after; the successor. */
void scenario_predecessor(void);
void scenario_unguarded_predecessor(void);
void scenario_successor(void);

#endif
