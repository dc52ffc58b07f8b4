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

/* Where a victim's spill files go, when it needs any. */
enum place {
    PLACE_NONE,  /* nowhere: what has no room is refused */
    PLACE_NAMED, /* TALLY_SPILL_DIR, which exists */
    PLACE_HOME,  /* in the user's state folder, which does not */
};

/* What happens between the victim's stage_begin() and the first instruction that it is killed at: it comes to its first
 * write(2), and ... */
enum meanwhile {
    MEANWHILE_NOTHING,      /* it does not even come to that */
    MEANWHILE_TAKEN_BEFORE, /* ... before it an agent takes its file in and removes it */
    MEANWHILE_TAKEN_AFTER,  /* ... after it */
    MEANWHILE_RENAMED,      /* ... after it an agent renames its file, and dies */
    MEANWHILE_CUT,          /* ... only half of it is written */
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
    enum place place;
    enum meanwhile meanwhile;
    const char *spill_max; /* TALLY_SPILL_MAX; NULL: the default */
    bool no_arena;         /* none can be made */
    bool no_lane;          /* its successor gets none that has room */
    bool only_long;        /* in the long form alone: most of it is stepped through elsewhere */
    uint32_t steps_min;    /* fewer would mean that it did not do what it should */
};

extern const struct scenario scenarios[];
extern const unsigned int scenario_count;
extern const struct scenario spill_scenarios[];
extern const unsigned int spill_scenario_count;

/* The predecessor of SEED_DEAD and after; the successor. */
void scenario_predecessor(void);
void scenario_unguarded_predecessor(void);
void scenario_successor(void);

/* For both tables. */
void scenario_must(int result, const char *what);
/* Write until just `left` bytes of the ring, counted from its beginning, are free. */
void scenario_fill_but(uint64_t left);
void *scenario_thread_with_lane(void *argument);

#endif
