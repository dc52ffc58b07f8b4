/* collector.h: from shared memory to the ledger, and back to the board. One thread (and one
 * waiting thread for each arena, doorbell.h). */
#ifndef TALLY_COLLECTOR_H
#define TALLY_COLLECTOR_H

#include "config/config.h"

#define COLLECTOR_ERROR_BYTES 768

/* Serve until SIGTERM or SIGINT. The state directory exists. Called with no other thread running: signals are
 * blocked from here on. Returns 0, or -1 with one sentence in error[]. */
int collector_run(struct agent_config *config, int argc, char **argv, char error[COLLECTOR_ERROR_BYTES]);

/* Take what stands in the arenas into the database, end what has ended, commit, and come back: for --once, and for
 * `tally recover`. Arenas that do not exist are not made. Returns 0, or -1 with one sentence in error[]: among
 * others when an agent is running, which does this by itself. */
struct collector_once {
    unsigned int arenas;  /* found and drained */
    uint64_t spill_files; /* taken in */
    uint64_t records;
    uint64_t lost; /* skipped: quarantined or otherwise */
};
int collector_run_once(const struct agent_config *config, struct collector_once *done,
                       char error[COLLECTOR_ERROR_BYTES]);

#endif
