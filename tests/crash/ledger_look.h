/* ledger_look.h: what stands in an arena, on its board and in the database, seen from outside, while all stand still. */
#ifndef TESTS_CRASH_LEDGER_LOOK_H
#define TESTS_CRASH_LEDGER_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct look {
    char arena[64]; /* as TALLY_ARENA */
    char board[96];
    char state[128], home[128];
};

/* One writer, when all is over. */
struct look_end {
    pid_t pid;
    uint64_t attempted, acknowledged;
    bool killed;
    bool said_clean; /* killed when it had published its end already */
};

/* The board is not ahead of the database; none of these processes is said to have ended. 0, or -1 with error. */
int look_now(const struct look *look, const pid_t living[], unsigned int count, char *error, size_t bytes);
/* Whether the agent announces that it sleeps. */
bool look_asleep(const struct look *look);
/* Whether records wait for the agent: in lanes (owner: in those of this process), and in spill files. */
bool look_waiting(const struct look *look, const pid_t *owner);
/* Whether a process has a lane, and all of them say that they ended cleanly. */
bool look_said_end(const struct look *look, pid_t pid);
/* Rows of a writer. */
int64_t look_rows(const struct look *look, unsigned int writer);
/* Each record once, each session ended as it did, nothing left. 0, or -1 with error. */
int look_end(const struct look *look, const struct look_end ends[2], char *error, size_t bytes);
int look_audit(const struct look *look, const char *build);

#endif
