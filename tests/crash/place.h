/* place.h: where victims' spill files stand: a folder, or a user's state folder, of each trial's own; and the agent's, which
 * belongs to a worker's batch. When a trial is over its files are kept in a folder of the batch, where the agent that takes
 * the batch in finds them.
 */
#ifndef TESTS_CRASH_PLACE_H
#define TESTS_CRASH_PLACE_H

#include "crash/inspect.h"
#include "crash/scenarios.h"

/* base: a path of the trial's own; state: the agent's folder. Set what victims and agents find in the environment. */
void place_enter(const struct scenario *scenario, const char *base);
/* The same for the agent that takes the batch in. */
void place_enter_batch(const char *state);

/* 0 or -1 with the inspection's error[]. */
int place_look(struct inspection *inspection, const char *base, const char *state);
/* As an agent does that dies then; 0, or -1 if there is no file. */
int place_rename(const char *base, const char *state);
/* Keep the trial's files for the batch; 0 or -1. */
int place_keep(const char *base, const char *state);
/* Remove them, and the trial's folders. */
void place_clear(const char *base, const char *state);
/* Remove the batch's folder. How many files were left in it. */
unsigned int place_clear_batch(const char *state);

#endif
