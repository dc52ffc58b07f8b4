/* liveness.h: whether a process or thread that named itself in shared memory still runs, as well
 * as one can tell from outside: by number, start time and PID namespace. The names are not trusted: a wrong one gets a
 * wrong answer, and nothing worse.
 *
 * Any thread. No state.
 */
#ifndef TALLY_LIVENESS_H
#define TALLY_LIVENESS_H

#include <stdint.h>

enum liveness {
    LIVENESS_GONE,    /* no such process, or another one under its number, or a zombie */
    LIVENESS_EXITING, /* on its way out: the kernel has begun to take it down */
    LIVENESS_ALIVE,
};

/* The inode of our own PID namespace; 0: not known. */
uint64_t liveness_own_namespace(void);

/* pid: in our own namespace. start_time: field 22 of /proc/<pid>/stat; 0: not known, the number alone counts. */
enum liveness liveness_process(int64_t pid, int64_t start_time);

/* One thread of it. exact false: by its number alone, which takes one short system call. */
enum liveness liveness_thread(int64_t pid, int64_t tid, int64_t start_time, int exact);

#endif
