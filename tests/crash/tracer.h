/* tracer.h: run a victim to any of its instructions, and no further.
 *
 * Victims are forked, not exec'd, so that all of them have the same code at the same addresses. The first is
 * single-stepped from stage_begin() to stage_end() and its instruction pointers are kept: the path. To bring a later one
 * to step N, a breakpoint is set where the path first reaches the last new address before step N, and
 * the rest, which is what a loop has done already, is single-stepped. Every step is reached exactly; few are stepped through.
 *
 * One victim at a time; the caller has no other children. Functions return 0, or -1 with a sentence in tracer_error.
 */
#ifndef TESTS_CRASH_TRACER_H
#define TESTS_CRASH_TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct path {
    uintptr_t *at;        /* instruction pointer after so many steps; `steps` + 1 of them */
    uint32_t *checkpoint; /* the last step, up to this one, that came to an address for the first time */
    uint32_t steps;
};

struct victim {
    pid_t pid;
    pid_t tid;   /* of the thread, or of the child, between stage_begin() and stage_end() */
    pid_t child; /* that it has forked; 0: none. Born between the two, it stands still where it was born */
    bool ended;  /* the thread has come to an end by itself */
};

extern char tracer_error[256];

/* Fork a victim and bring it to stage_begin(). on_pause: called at each stage_pause(), may be NULL. */
int tracer_start(struct victim *victim, void (*run)(void), int (*on_pause)(void *), void *argument);

/* From stage_begin() on to the entry, or to the exit, of the next call of this number. cut: it is to write only half of what it is
 * asked to; then the exit alone makes sense. */
int tracer_to_call(struct victim *victim, long which, bool exit, bool cut);

/* One instruction on. */
int tracer_step(struct victim *victim);

/* Step a victim to its end, or until `until` says so. */
int tracer_record(struct victim *victim, struct path *path, bool (*until)(void *), void *argument);
void tracer_forget(struct path *path);

/* From stage_begin() to step `step`, by way of the checkpoint of step *from, which is at most `step`; *from becomes the
 * checkpoint. Victims differ a little: a number has a digit more, and memcpy() takes another branch. Returns 1 if this one never came
 * by the checkpoint: take a fresh one and an earlier checkpoint. *exact: whether it stands where the path says. */
int tracer_seek(struct victim *victim, const struct path *path, uint32_t step, uint32_t *from, bool *exact);

/* SIGKILL, and wait until the kernel has done with it. */
void tracer_kill(struct victim *victim);

#endif
