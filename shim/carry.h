/* carry.h: what stands in the lanes of an arena that has lost its name, to files, so that no agent need have it open.
 *
 *   function     thread
 *   carry_over   any that has entered
 *   carry_late   any that has entered
 *   carry_rest   one that exits the process
 */
#ifndef TALLY_SHIM_CARRY_H
#define TALLY_SHIM_CARRY_H

#include "lane.h"

/* The arena's name is gone: write what this process's lanes in it hold and is not known to be durable. */
void carry_over(const struct arena_view *arena);

/* Arenas have gone: what could not be written then, and what threads that do not record any more have written since. */
void carry_late(void);

/* At the process's end: look whether an arena that holds something of ours has lost its name; if so, the same. */
void carry_rest(void);

#endif
