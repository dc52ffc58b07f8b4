#include "crash/tracer.h"

#include "crash/stage.h"

#include <errno.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_MAX   200000u
#define BREAKPOINT  0xCC
#define NEAR        64u /* steps, where a shortcut may lead */
#define ROUND_STEPS 4u  /* as long as so many steps takes a round from a breakpoint to itself */
#define OPTIONS     (PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD)

char tracer_error[256];

static int fail(const char *what, int status)
{
    snprintf(tracer_error, sizeof tracer_error, "%s (status %#x, errno %d)", what, (unsigned int)status,
             errno);
    return -1;
}

static uintptr_t instruction_pointer(pid_t tid)
{
    struct user_regs_struct registers;
    return ptrace(PTRACE_GETREGS, tid, NULL, &registers) ? 0 : registers.rip;
}

static bool trapped(int status)
{
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

static void become_victim(void (*run)(void))
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
        stage_fail("PTRACE_TRACEME");
    run();
    _exit(0);
}

/* A stop that says that a child has been born. */
static bool forked(struct victim *victim, pid_t tid, int status)
{
    unsigned long child = 0;
    if (!trapped(status) || status >> 16 != PTRACE_EVENT_FORK)
        return false;
    ptrace(PTRACE_GETEVENTMSG, tid, NULL, &child);
    victim->child = (pid_t)child;
    return true;
}

static int own(struct victim *victim)
{
    int status;
    if (waitpid(victim->pid, &status, 0) != victim->pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, victim->pid, NULL, OPTIONS) || ptrace(PTRACE_CONT, victim->pid, NULL, NULL))
        return fail("the victim could not be traced", status);
    return 0;
}

int tracer_start(struct victim *victim, void (*run)(void), int (*on_pause)(void *), void *argument)
{
    stage->phase = STAGE_PREPARING;
    victim->ended = false;
    victim->child = 0;
    victim->pid = fork();
    if (victim->pid == 0)
        become_victim(run);
    if (victim->pid < 0)
        return fail("fork", 0);
    stage->pid[stage->role] = victim->pid;
    if (own(victim))
        return -1;
    for (;;) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 || WIFEXITED(status) || WIFSIGNALED(status))
            return fail("the victim ended before its beginning", status);
        victim->tid = tid;
        if (trapped(status) && !forked(victim, tid, status) && stage->phase == STAGE_BEGUN)
            return 0;
        /* SIGSTOP: a child's beginning */
        int pass_on = trapped(status) || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status);
        if (trapped(status) && stage->phase == STAGE_PAUSED && on_pause && on_pause(argument))
            return -1;
        if (ptrace(PTRACE_CONT, tid, NULL, pass_on))
            return fail("PTRACE_CONT", status);
    }
}

int tracer_to_call(struct victim *victim, long which, bool exit, bool cut)
{
    struct __ptrace_syscall_info info = {0};
    bool found = false;
    while (!found || (exit && info.op != PTRACE_SYSCALL_INFO_EXIT)) {
        int status;
        if (ptrace(PTRACE_SYSCALL, victim->tid, NULL, NULL) || waitpid(victim->tid, &status, __WALL) < 0)
            return fail("PTRACE_SYSCALL", 0);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
            return fail("the victim does not make the call that it should stop at", status);
        if (ptrace(PTRACE_GET_SYSCALL_INFO, victim->tid, sizeof info, &info) < 0)
            return fail("PTRACE_GET_SYSCALL_INFO", status);
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY || (long)info.entry.nr != which)
            continue;
        found = true;
        if (cut &&
            ptrace(PTRACE_POKEUSER, victim->tid, offsetof(struct user, regs.rdx), info.entry.args[2] / 2))
            return fail("PTRACE_POKEUSER", status);
    }
    return 0;
}

int tracer_step(struct victim *victim)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, victim->tid, NULL, NULL) || waitpid(victim->tid, &status, __WALL) < 0)
        return fail("PTRACE_SINGLESTEP", 0);
    forked(victim, victim->tid, status);
    if (WIFEXITED(status) && victim->tid != victim->pid) {
        victim->ended = true;
        return 0;
    }
    return trapped(status) ? 0 : fail("the victim did not survive a step", status);
}

/* ---- the path --------------------------------------------------------------------- */

struct seen {
    uintptr_t *table;
    size_t size; /* a power of two, never full */
};

/* Whether an address is new. */
static bool seen_add(struct seen *seen, uintptr_t address)
{
    size_t at = (address * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (seen->size - 1);
    while (seen->table[at] && seen->table[at] != address)
        at = (at + 1) & (seen->size - 1);
    if (seen->table[at] == address)
        return false;
    seen->table[at] = address;
    return true;
}

int tracer_record(struct victim *victim, struct path *path, bool (*until)(void *), void *argument)
{
    struct seen seen = {.size = 1u << 19};
    path->at = calloc(STEPS_MAX + 1, sizeof *path->at);
    path->checkpoint = calloc(STEPS_MAX + 1, sizeof *path->checkpoint);
    seen.table = calloc(seen.size, sizeof *seen.table);
    int result = path->at && path->checkpoint && seen.table ? 0 : fail("no memory", 0);
    path->steps = 0;
    while (result == 0) {
        uint32_t step = path->steps;
        path->at[step] = victim->ended ? 0 : instruction_pointer(victim->tid);
        bool fresh = path->at[step] && seen_add(&seen, path->at[step]);
        path->checkpoint[step] = fresh || step == 0 ? step : path->checkpoint[step - 1];
        if (victim->ended || stage->phase == STAGE_ENDED || (until && until(argument)))
            break;
        if (step == STEPS_MAX)
            result = fail("too long to be stepped through", 0);
        else
            result = tracer_step(victim);
        path->steps++;
    }
    free(seen.table);
    return result;
}

void tracer_forget(struct path *path)
{
    free(path->at);
    free(path->checkpoint);
    memset(path, 0, sizeof *path);
}

/* Run until an address is reached: a breakpoint in this victim's own copy of the page. 1: it never was. */
static int run_to(struct victim *victim, uintptr_t address)
{
    struct user_regs_struct registers;
    int status;
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, victim->tid, address, NULL);
    if (errno)
        return fail("PTRACE_PEEKTEXT", 0);
    if (ptrace(PTRACE_POKETEXT, victim->tid, address, (word & ~0xFFL) | BREAKPOINT))
        return fail("PTRACE_POKETEXT", 0);
    do {
        if (ptrace(PTRACE_CONT, victim->tid, NULL, NULL) || waitpid(victim->tid, &status, __WALL) < 0)
            return fail("PTRACE_CONT", 0);
    } while (forked(victim, victim->tid, status));
    if (WIFEXITED(status) && victim->tid != victim->pid) {
        victim->ended = true;
        return 1;
    }
    if (!trapped(status))
        return fail("the victim did not come to a breakpoint", status);
    if (ptrace(PTRACE_GETREGS, victim->tid, NULL, &registers))
        return fail("PTRACE_GETREGS", status);
    if (registers.rip != address + 1)
        return stage->phase == STAGE_ENDED ? 1 : fail("the victim stopped where nothing stops", status);
    registers.rip = address;
    if (ptrace(PTRACE_SETREGS, victim->tid, NULL, &registers) ||
        ptrace(PTRACE_POKETEXT, victim->tid, address, word))
        return fail("PTRACE_SETREGS", 0);
    return 0;
}

/* How often the path comes by the address of a step, after `from` and up to this one; 0: a breakpoint there would not do, as
 * the victim stands on it, or comes from it to itself. */
static uint32_t count_rounds(const struct path *path, uint32_t from, uint32_t step)
{
    uintptr_t address = path->at[step];
    uint32_t rounds = 0;
    if (address == path->at[from])
        return 0;
    for (uint32_t i = from + 1; i <= step; i++) {
        if (path->at[i] == address && path->at[i - 1] == address)
            return 0;
        rounds += path->at[i] == address;
    }
    return rounds;
}

/* In a loop, or where the same functions are called again: a step near the one that is sought, to which it is quicker to go
 * from one round of its address to the next. Returns `from` if there is none. */
static uint32_t shortcut(const struct path *path, uint32_t from, uint32_t step, uint32_t *rounds)
{
    uint32_t least = step - from;
    uint32_t best = from;
    for (uint32_t at = step; at > from && step - at < NEAR && step - at < least; at--) {
        uint32_t count = path->at[at] ? count_rounds(path, from, at) : 0;
        if (count && ROUND_STEPS * count + step - at < least) {
            least = ROUND_STEPS * count + step - at;
            best = at;
            *rounds = count;
        }
    }
    return best;
}

int tracer_seek(struct victim *victim, const struct path *path, uint32_t step, uint32_t *from, bool *exact)
{
    uint32_t rounds = 0;
    uint32_t at = path->checkpoint[*from];
    *from = at;
    int result = at ? run_to(victim, path->at[at]) : 0;
    /* A victim may go through a loop fewer times (a number has fewer digits) and never come by so often: then it is tried from farther
     * back, and from the beginning, behind which there is nothing, by single steps. */
    uint32_t next = result == 0 && at && step > at ? shortcut(path, at, step, &rounds) : at;
    for (uint32_t i = 0; i < rounds && result == 0; i++) {
        if (i)
            result = tracer_step(victim);
        if (result == 0)
            result = run_to(victim, path->at[next]);
    }
    at = next;
    for (; result == 0 && at < step && !victim->ended && stage->phase != STAGE_ENDED; at++)
        result = tracer_step(victim);
    *exact = at == step && (victim->ended ? 0 : instruction_pointer(victim->tid)) == path->at[step];
    return result;
}

void tracer_kill(struct victim *victim)
{
    int status;
    kill(victim->pid, SIGKILL);
    if (victim->child)
        kill(victim->child, SIGKILL);
    while (waitpid(-1, &status, __WALL) > 0 || errno == EINTR)
        ;
}
