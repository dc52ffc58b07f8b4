/* witness.h: which of a victim's steps leave something behind, should it be killed after them.
 *
 * Of a process that is killed there remain: what it has asked the kernel for, by system calls; what it has written to memory that it
 * shares; and its robust list, which the kernel reads when a thread ends. Everything else is gone with it. So if neither
 * a call nor a change of these lies between two of its instructions, killing it at the one or at the other is the same death, and one
 * of them will do.
 *
 * This is looked at, not guessed from the code: while the first victim is stepped from instruction to instruction, all of the arena, the
 * stage, and the robust list of its thread are compared with what they were one step before. That there is no other memory
 * that it could write to and share is looked up after each call, in the kernel's list of its mappings.
 */
#ifndef TESTS_CRASH_WITNESS_H
#define TESTS_CRASH_WITNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WITNESS_NODES_MAX 8

/* The list's head, and what its nodes point to. */
struct witness_list {
    uint64_t head[3];
    uint64_t node[WITNESS_NODES_MAX];
};

struct witness {
    char arena[128];
    int fd; /* of the arena; -1: there is none */
    pid_t tid;
    size_t bytes;
    uint8_t *now, *before;
    struct witness_list list;
    uint64_t instruction; /* where it stands */
    uint8_t *changed;     /* by step */
    uint32_t steps, room;
    char error[256];
};

/* Of a victim that stands at its first step. 0, or -1 with error[]. */
int witness_open(struct witness *witness, const char *arena, pid_t tid);
void witness_close(struct witness *witness);

/* For tracer_record(): called before the first step and after each. True if it cannot be said what the victim shares: error[]. */
bool witness_step(void *witness);

/* Whether the step that led here, from `step` - 1, was a call or has changed anything. */
bool witness_saw(const struct witness *witness, uint32_t step);

#endif
