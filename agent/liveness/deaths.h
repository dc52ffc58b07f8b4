/* deaths.h: which of many processes have ended, by one system call for all: a pidfd each, in one epoll descriptor. A pidfd
 * means its process for good, so a number that is given out again does not mislead.
 *
 * It tells the end of whole processes and no more: not that of a thread, not an exec.
 *
 * One thread. Zeroed is empty; deaths_close() when nobody waits any more. Descriptors are closed on exec.
 */
#ifndef TALLY_DEATHS_H
#define TALLY_DEATHS_H

#include <stdbool.h>
#include <stdint.h>

#define DEATHS_BUCKETS 1024u

/* A process that is waited for, by one or more. */
struct mortal {
    struct mortal *next; /* in its bucket */
    int64_t pid;
    int fd; /* -1 when it has ended */
    uint32_t references;
    bool gone;
};

struct deaths {
    struct mortal *buckets[DEATHS_BUCKETS]; /* by pid: those that run */
    bool opened;
    int epoll;
    bool refused;      /* this system has no pidfds, or a filter forbids them: nobody can be waited for */
    bool raised;       /* the limit of descriptors, to what is allowed at most */
    uint32_t count;    /* of pidfds */
    uint32_t capacity; /* of them, so that descriptors are left for all else */
    uint32_t gone;     /* have ended and not been released by all */
};

/* Wait for the process of a living thread, as it names itself in our PID namespace. 0, or a negative errno value: -ESRCH: it does not
 * run, or is another one; -EMFILE: enough descriptors are in use; -ENOSYS, -EPERM: refused, see above; or whatever
 * else the kernel says. */
int deaths_await(struct deaths *deaths, int64_t pid, int64_t tid, int64_t start_time, struct mortal **out);
void deaths_release(struct deaths *deaths, struct mortal *mortal);

/* See who has ended: sets `gone`. */
void deaths_look(struct deaths *deaths);

void deaths_close(struct deaths *deaths);

#endif
