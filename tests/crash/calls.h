/* calls.h: run a program and look at each of its system calls, before and after it: let it pass, change it, or end the
 * program there.
 *
 * A look is called at the entry (call->entered) and at the exit of each call, while the program stands still: what it sees
 * of files is what a death at this point leaves. Calls are numbered from 0 in each thread, in the order in which the thread
 * makes them, from the call that begins main() (umask) on; what the dynamic loader does is not looked at.
 *
 * One program at a time; the caller has no other children that end meanwhile.
 */
#ifndef TESTS_CRASH_CALLS_H
#define TESTS_CRASH_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CALLS_MAX 60000u /* a program that makes more does not come to its end */

struct call {
    pid_t pid, tid;
    bool entered;    /* false: it is over, and `result` is known */
    uint32_t thread; /* 0: the first; 1: the next one to be made, ... */
    uint32_t number; /* of this thread's calls */
    long which;      /* __NR_... */
    uint64_t argument[6];
    int64_t result;
};

enum look { LOOK_ON, LOOK_KILL };
typedef enum look (*calls_look)(void *context, const struct call *call);

struct outcome {
    bool killed;  /* by the look */
    bool endless; /* killed, because it made CALLS_MAX calls */
    int status;   /* as of waitpid() */
    uint32_t calls;
};

/* Run it to its end. become: called in the child; it has to exec. clocks: have it ask the kernel for the time, too. */
void calls_run(struct outcome *outcome, void (*become)(void *), calls_look look, void *context, bool clocks);

/* At the entry: do not make the call; it is to return this. At the exit: it has returned this. */
void calls_return(const struct call *call, int64_t result);
/* At the entry: with another argument. */
void calls_argument(const struct call *call, int index, uint64_t value);
/* Read the program's memory; fails the test if that cannot be. */
void calls_read(const struct call *call, void *to, uint64_t from, size_t bytes);
void calls_write(const struct call *call, uint64_t to, const void *from, size_t bytes);
/* A path among the arguments; "" if it has none. */
void calls_text(const struct call *call, uint64_t from, char *to, size_t bytes);
/* The file that a descriptor of the program stands for; "" if none. */
void calls_file(const struct call *call, int fd, char *to, size_t bytes);
const char *calls_name(long which);

#endif
