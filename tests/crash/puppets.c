#include "crash/puppets.h"

#include "crash/marks.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRAP_BYTE  0xCC
#define SECOND_NS  INT64_C(1000000000)
#define TICK_NS    1000 /* what a look at the clock takes */
#define PATIENCE_S 120  /* for something that is none of the waits that are known */
#define OPTIONS                                                                                              \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP |              \
     PTRACE_O_EXITKILL)
#define STACK_LOOK   (256 * 1024)
#define AUXV_IGNORED 1

char puppets_error[256];

static struct {
    struct puppet *list;
    unsigned int count;
    int64_t monotonic_ns, realtime_ns; /* the same moment */
} stage;

static int fail(const char *what, long detail)
{
    snprintf(puppets_error, sizeof puppets_error, "%s (%ld, errno %d)", what, detail, errno);
    return -1;
}

int64_t puppets_now(void)
{
    return stage.monotonic_ns;
}

bool puppets_any_held(void)
{
    for (unsigned int i = 0; i < stage.count; i++)
        if (stage.list[i].held)
            return true;
    return false;
}

/* ---- memory, registers ---------------------------------------------------------------- */

static void poke(pid_t tid, size_t offset, uint64_t value)
{
    ptrace(PTRACE_POKEUSER, tid, offset, value);
}

static void skip_call(const struct strand *strand, int64_t result)
{
    poke(strand->tid, offsetof(struct user, regs.orig_rax), UINT64_MAX);
    poke(strand->tid, offsetof(struct user, regs.rax), (uint64_t)result);
}

static int set_byte(const struct puppet *puppet, uintptr_t at, uint8_t byte)
{
    return pwrite(puppet->memory, &byte, 1, (off_t)at) == 1 ? 0 : fail("code cannot be written", (long)at);
}

/* Without the vDSO the C library asks the kernel for the time, and the kernel us. */
static int hide_vdso(struct puppet *puppet)
{
    static uint64_t stack[STACK_LOOK / 8];
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, puppet->pid, NULL, &registers))
        return fail("PTRACE_GETREGS", 0);
    ssize_t got = pread(puppet->memory, stack, sizeof stack, (off_t)registers.rsp);
    size_t words = got > 0 ? (size_t)got / 8 : 0;
    size_t at = 1;
    for (int list = 0; list < 2; list++) { /* arguments, environment */
        while (at < words && stack[at])
            at++;
        at++;
    }
    for (; at + 1 < words && stack[at] != AT_NULL; at += 2) {
        uint64_t ignored = AUXV_IGNORED;
        if (stack[at] == AT_PHDR)
            puppet->base = stack[at + 1] - sizeof(Elf64_Ehdr);
        if (stack[at] == AT_SYSINFO_EHDR &&
            pwrite(puppet->memory, &ignored, 8, (off_t)(registers.rsp + at * 8)) != 8)
            return fail("the stack cannot be written", 0);
    }
    return puppet->base ? 0 : fail("no auxiliary vector", (long)words);
}

/* ---- strands ---------------------------------------------------------------------------- */

static struct strand *add_strand(struct puppet *puppet, pid_t tid)
{
    for (uint32_t i = 0; i < STRANDS_MAX; i++) {
        struct strand *strand = &puppet->strands[i];
        if (i < puppet->strand_count && strand->state != STRAND_GONE)
            continue;
        *strand = (struct strand){.tid = tid, .state = STRAND_STOPPED, .deadline_ns = INT64_MAX};
        if (i == puppet->strand_count)
            puppet->strand_count++;
        return strand;
    }
    return NULL;
}

static struct strand *find_strand(pid_t tid, struct puppet **owner)
{
    for (unsigned int i = 0; i < stage.count; i++)
        for (uint32_t j = 0; j < stage.list[i].strand_count; j++)
            if (stage.list[i].strands[j].tid == tid && stage.list[i].strands[j].state != STRAND_GONE) {
                *owner = &stage.list[i];
                return &stage.list[i].strands[j];
            }
    /* a new thread: whose? */
    for (unsigned int i = 0; i < stage.count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task/%d", (int)stage.list[i].pid, (int)tid);
        if (stage.list[i].started && !stage.list[i].ended && access(path, F_OK) == 0) {
            *owner = &stage.list[i];
            return add_strand(*owner, tid);
        }
    }
    return NULL;
}

static void resume(struct strand *strand)
{
    int how = strand->enters_wait ? PTRACE_SYSCALL : PTRACE_CONT;
    strand->state = strand->enters_wait ? STRAND_WAITS : STRAND_RUNS;
    strand->enters_wait = false;
    ptrace(how, strand->tid, NULL, strand->signal); /* fails only for one that is being killed */
    strand->signal = 0;
}

/* ---- calls -------------------------------------------------------------------------------- */

static int64_t read_time(const struct puppet *puppet, uint64_t from)
{
    struct timespec time = {0};
    if (pread(puppet->memory, &time, sizeof time, (off_t)from) != (ssize_t)sizeof time)
        return 0;
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

static void answer_clock(const struct puppet *puppet, const struct strand *strand, const uint64_t *argument)
{
    bool wall = argument[0] == CLOCK_REALTIME || argument[0] == CLOCK_REALTIME_COARSE;
    if ((int)argument[0] == CLOCK_PROCESS_CPUTIME_ID || (int)argument[0] == CLOCK_THREAD_CPUTIME_ID ||
        argument[0] > CLOCK_BOOTTIME)
        return;
    stage.monotonic_ns += TICK_NS;
    stage.realtime_ns += TICK_NS;
    int64_t now = wall ? stage.realtime_ns : stage.monotonic_ns;
    struct timespec time = {now / SECOND_NS, now % SECOND_NS};
    bool put = pwrite(puppet->memory, &time, sizeof time, (off_t)argument[1]) == (ssize_t)sizeof time;
    skip_call(strand, put ? 0 : -EFAULT);
}

static void enter_futex(const struct puppet *puppet, struct strand *strand, const uint64_t *argument)
{
    int operation = (int)argument[1] & FUTEX_CMD_MASK;
    if (operation != FUTEX_WAIT && operation != FUTEX_WAIT_BITSET)
        return;
    strand->enters_wait = true;
    strand->call = __NR_futex;
    strand->word = argument[0];
    strand->deadline_ns = INT64_MAX;
    if (!argument[3])
        return;
    strand->deadline_ns = read_time(puppet, argument[3]);
    if (operation == FUTEX_WAIT)
        strand->deadline_ns += stage.monotonic_ns;
    else if (argument[1] & FUTEX_CLOCK_REALTIME)
        strand->deadline_ns += stage.monotonic_ns - stage.realtime_ns;
    poke(strand->tid, offsetof(struct user, regs.r10), 0);
}

static void enter_poll(const struct puppet *puppet, struct strand *strand, const uint64_t *argument)
{
    int64_t timeout = argument[2] ? read_time(puppet, argument[2]) : -1;
    if (timeout == 0)
        return;
    strand->enters_wait = true;
    strand->call = __NR_ppoll;
    strand->word = 0;
    strand->deadline_ns = timeout < 0 ? INT64_MAX : stage.monotonic_ns + timeout;
    if (timeout > 0)
        poke(strand->tid, offsetof(struct user, regs.rdx), 0);
}

static void on_call(struct puppet *puppet, struct strand *strand)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, strand->tid, sizeof info, &info) < 0 ||
        info.op != PTRACE_SYSCALL_INFO_SECCOMP)
        return;
    const uint64_t *argument = (const uint64_t *)info.seccomp.args;
    switch (info.seccomp.nr) {
    case __NR_clock_gettime:
        answer_clock(puppet, strand, argument);
        break;
    case __NR_futex:
        enter_futex(puppet, strand, argument);
        break;
    case __NR_ppoll:
        enter_poll(puppet, strand, argument);
        break;
    case __NR_clock_nanosleep: /* who sleeps has slept */
        stage.monotonic_ns += read_time(puppet, argument[2]);
        stage.realtime_ns += read_time(puppet, argument[2]);
        skip_call(strand, 0);
        break;
    case __NR_membarrier:
        if (argument[0] == MEMBARRIER_CMD_GLOBAL)
            skip_call(strand, 0);
        break;
    case __NR_getpriority:
        if (argument[0] == MARK_CALL && puppet->marked)
            puppet->marked(puppet, argument[1]);
        break;
    default:
        break;
    }
}

/* In the child: what on_call() wants to see. Everything else goes its way untouched. */
static int install_filter(void)
{
#define SEEN(call)                                                                                           \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        SEEN(clock_gettime),
        SEEN(futex),
        SEEN(ppoll),
        SEEN(clock_nanosleep),
        SEEN(membarrier),
        SEEN(getpriority),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
#undef SEEN
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* ---- traps ---------------------------------------------------------------------------------- */

int puppets_disarm(struct puppet *puppet)
{
    int result = 0;
    if (!puppet->ended)
        for (size_t i = 0; i < puppet->trap_count; i++)
            if (set_byte(puppet, puppet->traps[i].at, puppet->traps[i].byte))
                result = -1;
    puppet->trap_count = 0;
    return result;
}

/* Over the instruction at a point, while there is no trap. */
static int step(struct puppet *puppet, struct strand *strand)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, strand->tid, NULL, NULL) || waitpid(strand->tid, &status, __WALL) < 0)
        return fail("PTRACE_SINGLESTEP", puppet->pid);
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && status >> 16 == 0
               ? 0
               : fail("a step did not end as it should", status);
}

int puppets_arm(struct puppet *puppet, const char *point, unsigned int nth)
{
    uintptr_t offsets[POINT_COPIES_MAX];
    size_t count = points_find(puppet->points, point, offsets);
    if (count == 0) {
        snprintf(puppets_error, sizeof puppets_error, "there is no test point %s", point);
        return -1;
    }
    for (uint32_t i = 0; i < puppet->strand_count; i++)
        if (puppet->strands[i].state == STRAND_HELD && step(puppet, &puppet->strands[i]))
            return -1;
    for (size_t i = 0; i < count; i++) {
        puppet->traps[i].at = puppet->base + offsets[i];
        if (pread(puppet->memory, &puppet->traps[i].byte, 1, (off_t)puppet->traps[i].at) != 1 ||
            set_byte(puppet, puppet->traps[i].at, TRAP_BYTE))
            return fail("a trap cannot be set", (long)i);
        puppet->trap_count = i + 1;
    }
    puppet->countdown = nth;
    return 0;
}

static int on_trap(struct puppet *puppet, struct strand *strand)
{
    struct user_regs_struct registers;
    size_t i = 0;
    if (ptrace(PTRACE_GETREGS, strand->tid, NULL, &registers))
        return fail("PTRACE_GETREGS", 0);
    while (i < puppet->trap_count && puppet->traps[i].at != registers.rip - 1)
        i++;
    if (i == puppet->trap_count)
        return fail("stopped where nothing stops", (long)registers.rip);
    poke(strand->tid, offsetof(struct user, regs.rip), registers.rip - 1);
    if (--puppet->countdown == 0) {
        strand->state = STRAND_HELD;
        puppet->held = true;
        return puppets_disarm(puppet);
    }
    if (set_byte(puppet, puppet->traps[i].at, puppet->traps[i].byte) || step(puppet, strand))
        return -1;
    return set_byte(puppet, puppet->traps[i].at, TRAP_BYTE);
}

/* ---- stops ----------------------------------------------------------------------------------- */

static void on_end(struct puppet *puppet, struct strand *strand, int status)
{
    strand->state = STRAND_GONE;
    if (strand->tid != puppet->pid)
        return;
    puppet->ended = true;
    puppet->held = false;
    puppet->status = status;
    for (uint32_t i = 0; i < puppet->strand_count; i++)
        puppet->strands[i].state = STRAND_GONE;
    close(puppet->memory);
    puppet->memory = -1;
}

static int handle(pid_t tid, int status)
{
    struct puppet *puppet;
    struct strand *strand = find_strand(tid, &puppet);
    if (!strand)
        return 0; /* a thread whose process has ended */
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
        on_end(puppet, strand, status);
        return 0;
    }
    int event = status >> 16;
    strand->state = STRAND_STOPPED;
    if (event == PTRACE_EVENT_SECCOMP)
        on_call(puppet, strand);
    else if (event == 0 && WSTOPSIG(status) == SIGTRAP)
        return on_trap(puppet, strand);
    else if (event == 0 && WSTOPSIG(status) != (SIGTRAP | 0x80))
        strand->signal = WSTOPSIG(status);
    return 0;
}

/* What the kernel says of a thread that was let into a wait. */
static bool sleeps(const struct puppet *puppet, const struct strand *strand)
{
    char path[64];
    char text[128];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)puppet->pid, (int)strand->tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *end = strrchr(text, ')');
    return end && end[2] == 'S';
}

enum motion { MOTION_NONE, MOTION_PERHAPS, MOTION_SURE };

/* Whether any thread (of one puppet) moves: surely, or perhaps, as it may not sleep yet or have been woken. */
static enum motion motion(const struct puppet *puppet)
{
    enum motion found = MOTION_NONE;
    for (uint32_t i = 0; i < puppet->strand_count; i++) {
        const struct strand *strand = &puppet->strands[i];
        if (strand->state == STRAND_RUNS)
            return MOTION_SURE;
        if (strand->state == STRAND_WAITS && !sleeps(puppet, strand))
            found = MOTION_PERHAPS;
    }
    return found;
}

/* Take one stop. 1: there was none. */
static int take_stop(bool wait)
{
    int status;
    pid_t tid = waitpid(-1, &status, __WALL | (wait ? 0 : WNOHANG));
    if (tid == 0 || (tid < 0 && errno == ECHILD && !wait)) {
        sched_yield(); /* they have the same processor */
        return 1;
    }
    if (tid < 0)
        return fail(errno == EINTR ? "somebody neither moves nor waits" : "waitpid", 0);
    return handle(tid, status);
}

static bool let_go(struct puppet *puppet)
{
    bool any = false;
    for (uint32_t i = 0; i < puppet->strand_count; i++)
        if (puppet->strands[i].state == STRAND_STOPPED) {
            resume(&puppet->strands[i]);
            any = true;
        }
    return any;
}

/* One puppet, until its threads are held, gone or wait. */
static int drive(struct puppet *puppet)
{
    for (;;) {
        let_go(puppet);
        enum motion found = motion(puppet);
        int result = take_stop(found == MOTION_SURE);
        if (result < 0)
            return result;
        if (result == 1 && found == MOTION_NONE)
            return 0;
    }
}

/* Two looks that find the same with no stop in between: nobody has moved between them. */
static int all_still(bool *still)
{
    *still = true;
    for (int look = 0; look < 2 && *still; look++) {
        for (unsigned int i = 0; i < stage.count; i++)
            if (stage.list[i].started && !stage.list[i].ended && motion(&stage.list[i]) != MOTION_NONE)
                *still = false;
        int result = take_stop(false);
        if (result < 0)
            return result;
        if (result == 0)
            *still = false;
    }
    return 0;
}

static bool stopped(const struct puppet *puppet)
{
    for (uint32_t i = 0; puppet->started && i < puppet->strand_count; i++)
        if (puppet->strands[i].state == STRAND_STOPPED)
            return true;
    return false;
}

int puppets_settle(struct puppet *first)
{
    bool still = false;
    if (first->started && stopped(first) && drive(first))
        return -1;
    while (!still) {
        if (all_still(&still))
            return -1;
        for (unsigned int i = 0; i < stage.count; i++)
            if (stopped(&stage.list[i])) {
                still = false;
                if (drive(&stage.list[i]))
                    return -1;
                break;
            }
    }
    return 0;
}

/* ---- time --------------------------------------------------------------------------------------- */

/* The wait is over: its timeout has come. */
static int expire(struct puppet *puppet, struct strand *strand)
{
    int status;
    if (ptrace(PTRACE_INTERRUPT, strand->tid, NULL, NULL) || waitpid(strand->tid, &status, __WALL) < 0)
        return fail("PTRACE_INTERRUPT", puppet->pid);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
        return fail("a wait did not end as it should", status);
    poke(strand->tid, offsetof(struct user, regs.rax), strand->call == __NR_ppoll ? 0 : (uint64_t)-ETIMEDOUT);
    strand->state = STRAND_STOPPED;
    return puppets_settle(puppet);
}

int puppets_advance(void)
{
    struct puppet *puppet = NULL;
    struct strand *next = NULL;
    for (unsigned int i = 0; i < stage.count; i++)
        for (uint32_t j = 0; j < stage.list[i].strand_count; j++) {
            struct strand *strand = &stage.list[i].strands[j];
            if (strand->state == STRAND_WAITS && strand->deadline_ns != INT64_MAX &&
                (!next || strand->deadline_ns < next->deadline_ns)) {
                next = strand;
                puppet = &stage.list[i];
            }
        }
    if (!next)
        return 1;
    if (next->deadline_ns > stage.monotonic_ns) {
        stage.realtime_ns += next->deadline_ns - stage.monotonic_ns;
        stage.monotonic_ns = next->deadline_ns;
    }
    return expire(puppet, next);
}

/* ---- coming and going ------------------------------------------------------------------------------ */

static void nothing(int signal_number)
{
    (void)signal_number; /* only to interrupt waitpid() */
}

void puppets_open(struct puppet *puppets, unsigned int count)
{
    struct sigaction action = {.sa_handler = nothing};
    struct timespec now;
    stage.list = puppets;
    stage.count = count;
    clock_gettime(CLOCK_MONOTONIC, &now);
    stage.monotonic_ns = now.tv_sec * SECOND_NS + now.tv_nsec;
    clock_gettime(CLOCK_REALTIME, &now);
    stage.realtime_ns = now.tv_sec * SECOND_NS + now.tv_nsec;
    for (unsigned int i = 0; i < count; i++)
        puppets[i].memory = -1;
    puppets_error[0] = '\0';
    sigaction(SIGALRM, &action, NULL);
    alarm(PATIENCE_S);
}

static void become(const struct puppet *puppet, int gate)
{
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(0);
    if (read(gate, &byte, 1) != 1 || install_filter())
        _exit(122);
    puppet->become(puppet->context);
    _exit(123);
}

/* Until its exec. */
static int await_exec(struct puppet *puppet)
{
    int status;
    while (waitpid(puppet->pid, &status, __WALL) == puppet->pid) {
        if (!WIFSTOPPED(status))
            break;
        if (status >> 16 == PTRACE_EVENT_EXEC)
            return 0;
        ptrace(PTRACE_CONT, puppet->pid, NULL, NULL);
    }
    puppet->ended = true;
    return fail("a program could not be started", status);
}

int puppets_start(struct puppet *puppet)
{
    char path[64];
    int gate[2];
    if (pipe2(gate, O_CLOEXEC))
        return fail("pipe", 0);
    fflush(NULL);
    puppet->pid = fork();
    if (puppet->pid == 0)
        become(puppet, gate[0]);
    close(gate[0]);
    puppet->started = true;
    int result =
        puppet->pid < 0 || ptrace(PTRACE_SEIZE, puppet->pid, NULL, OPTIONS) ? fail("PTRACE_SEIZE", 0) : 0;
    if (result == 0 && write(gate[1], "", 1) != 1)
        result = fail("pipe", 0);
    close(gate[1]);
    if (result == 0)
        result = await_exec(puppet);
    if (result)
        return result;
    add_strand(puppet, puppet->pid);
    snprintf(path, sizeof path, "/proc/%d/mem", (int)puppet->pid);
    puppet->memory = open(path, O_RDWR | O_CLOEXEC);
    return puppet->memory < 0 ? fail(path, 0) : hide_vdso(puppet);
}

void puppets_release(struct puppet *puppet)
{
    puppet->held = false;
    for (uint32_t i = 0; i < puppet->strand_count; i++)
        if (puppet->strands[i].state == STRAND_HELD)
            puppet->strands[i].state = STRAND_STOPPED;
}

int puppets_kill(struct puppet *puppet)
{
    kill(puppet->pid, SIGKILL);
    while (!puppet->ended)
        if (take_stop(true) < 0)
            return -1;
    return 0;
}

void puppets_close(void)
{
    int status;
    for (unsigned int i = 0; i < stage.count; i++) {
        struct puppet *puppet = &stage.list[i];
        if (puppet->started && !puppet->ended && puppet->pid > 0)
            kill(puppet->pid, SIGKILL);
        if (puppet->memory >= 0)
            close(puppet->memory);
    }
    while (waitpid(-1, &status, __WALL) > 0)
        ;
    alarm(0);
}
