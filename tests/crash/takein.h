/* takein.h: what the kill points have left goes through the real agent into a real database, many arenas at a time, and
 * the rows are held against the logs. */
#ifndef TESTS_CRASH_TAKEIN_H
#define TESTS_CRASH_TAKEIN_H

#include "crash/inspect.h"
#include "crash/stage.h"

/* One kill point. */
struct takein_trial {
    char arena[96]; /* as TALLY_ARENA */
    char path[128];
    char base[96]; /* where its spill files stand: place.h */
    bool no_lane;  /* the successor had none */
    uint32_t step;
    struct stage stage; /* the log as it was at the end */
    struct inspection inspection;
};

/* Drain arenas into the database in a state folder. 0 or -1 with error[]. */
int takein_run(const char *state, char *const arenas[], unsigned int count, char error[256]);

/* Hold the database against trials whose arenas have been drained, and ask `tally audit`. 0 or -1 with error[]. */
int takein_check(const char *state, const struct takein_trial *trials, unsigned int count, char error[256]);

#endif
