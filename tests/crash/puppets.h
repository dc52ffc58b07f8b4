/* puppets.h: a few processes that move one at a time, stand still at named places, and have a clock of their own.
 *
 * Each is traced. A thread moves until it is held at a test point, has ended, or waits in futex(2) or ppoll(2); then the next
 * process has its turn. Whether it waits is not guessed: the wait's entry has been seen, the kernel says that the thread sleeps, and a
 * second look finds the same with no stop in between. Nobody outside could wake it: so nothing will move before somebody is released or
 * time goes on.
 *
 * Time goes on only when the test says so: clocks are answered by the tracer (the vDSO is hidden, so that they are asked for by system
 * calls), waits with a timeout are made waits without, and puppets_advance() ends the one that is due next. So a timeout that
 * expires is an event like others, none expires by accident, and a wake-up that was lost cannot hide behind one.
 * membarrier(2) is answered at once: whoever stands still has passed a barrier.
 *
 * One set of them in a process, which has no other children. Functions return 0, or -1 with a sentence in puppets_error.
 */
#ifndef TESTS_CRASH_PUPPETS_H
#define TESTS_CRASH_PUPPETS_H

#include "crash/points.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PUPPETS_MAX 4
#define STRANDS_MAX 8

enum strand_state { STRAND_GONE, STRAND_STOPPED, STRAND_RUNS, STRAND_WAITS, STRAND_HELD };

/* A thread of a puppet. */
struct strand {
    pid_t tid;
    enum strand_state state;
    int signal;          /* to be delivered when it goes on */
    bool enters_wait;    /* it stands at a wait's entry */
    long call;           /* of a wait: __NR_futex or __NR_ppoll */
    uint64_t word;       /* of a futex wait */
    int64_t deadline_ns; /* puppets_now(); INT64_MAX: none */
};

struct puppet {
    const struct points *points;
    void (*become)(void *); /* called in the child; it has to exec */
    void (*marked)(struct puppet *, uint64_t mark);
    void *context;
    /* the rest belongs to puppets.c, and may be read */
    pid_t pid;
    bool started, ended, held;
    int status; /* as of waitpid(), once it has ended */
    struct strand strands[STRANDS_MAX];
    uint32_t strand_count;
    uintptr_t base;
    int memory;
    unsigned int countdown;
    struct {
        uintptr_t at;
        uint8_t byte;
    } traps[POINT_COPIES_MAX];
    size_t trap_count;
};

extern char puppets_error[256];

/* Before the first is started. They are found by their order in `puppets`. */
void puppets_open(struct puppet *puppets, unsigned int count);
/* SIGKILL for all that are left. */
void puppets_close(void);

/* Bring it to its program's first instruction. */
int puppets_start(struct puppet *puppet);
/* It is to be held at the nth time that it comes to a point from now on. */
int puppets_arm(struct puppet *puppet, const char *point, unsigned int nth);
int puppets_disarm(struct puppet *puppet);
void puppets_release(struct puppet *puppet);
/* SIGKILL, and wait until it is gone. */
int puppets_kill(struct puppet *puppet);

/* Let all who are not held move, one process at a time, this one first, until nothing moves. */
int puppets_settle(struct puppet *first);
/* Let time go on to the next deadline. 1: there is none. */
int puppets_advance(void);
int64_t puppets_now(void); /* CLOCK_MONOTONIC, as they see it */
bool puppets_any_held(void);

#endif
