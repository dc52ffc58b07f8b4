/* shutdown.h: waiting for durability, and what the process's end asks for beside tally_shutdown() itself. */
#ifndef TALLY_SHIM_SHUTDOWN_H
#define TALLY_SHIM_SHUTDOWN_H

#include "arena.h"

/* Publish on SIGTERM and SIGINT where their disposition is the default. */
void shutdown_install_signals(void);

/* Ring, and wait for one commit (or a little, or until the monotonic deadline), unless the lane is durable up to `position` already.
 * Returns whether it was. Never trust the answer for long: look at the board again. */
bool shutdown_wait_commit(const struct arena_view *arena, uint64_t deadline_ns, uint32_t lane,
                          uint64_t position);

#endif
