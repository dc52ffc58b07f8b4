#include "crash/calls.h"

#include "support/test.h"

#include <elf.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#define THREADS_MAX 16
#define OPTIONS     (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)

struct thread {
    bool begun;   /* main() has */
    bool skipped; /* the call under way was not made: what it returns is in `result` */
    int64_t result;
    struct call call;
};

static struct {
    struct thread threads[THREADS_MAX];
    uint32_t count;
} traced;

static struct thread *find_thread(pid_t pid, pid_t tid)
{
    for (uint32_t i = 0; i < traced.count; i++)
        if (traced.threads[i].call.tid == tid)
            return &traced.threads[i];
    assert_true(traced.count < THREADS_MAX);
    struct thread *thread = &traced.threads[traced.count];
    *thread = (struct thread){.begun = traced.count > 0, .call = {.pid = pid, .tid = tid}};
    thread->call.thread = traced.count++;
    return thread;
}

static void poke(const struct call *call, size_t offset, uint64_t value)
{
    assert_int_equal(ptrace(PTRACE_POKEUSER, call->tid, offset, value), 0);
}

void calls_return(const struct call *call, int64_t result)
{
    struct thread *thread = find_thread(call->pid, call->tid);
    if (!call->entered) {
        poke(call, offsetof(struct user, regs.rax), (uint64_t)result);
        return;
    }
    poke(call, offsetof(struct user, regs.orig_rax), UINT64_MAX); /* there is no such call */
    thread->skipped = true;
    thread->result = result;
}

void calls_argument(const struct call *call, int index, uint64_t value)
{
    static const size_t offsets[6] = {offsetof(struct user, regs.rdi), offsetof(struct user, regs.rsi),
                                      offsetof(struct user, regs.rdx), offsetof(struct user, regs.r10),
                                      offsetof(struct user, regs.r8),  offsetof(struct user, regs.r9)};
    poke(call, offsets[index], value);
}

void calls_read(const struct call *call, void *to, uint64_t from, size_t bytes)
{
    struct iovec here = {.iov_base = to, .iov_len = bytes};
    struct iovec there = {.iov_base = (void *)(uintptr_t)from, .iov_len = bytes};
    assert_int_equal(process_vm_readv(call->pid, &here, 1, &there, 1, 0), bytes);
}

void calls_write(const struct call *call, uint64_t to, const void *from, size_t bytes)
{
    struct iovec here = {.iov_base = (void *)(uintptr_t)from, .iov_len = bytes};
    struct iovec there = {.iov_base = (void *)(uintptr_t)to, .iov_len = bytes};
    assert_int_equal(process_vm_writev(call->pid, &here, 1, &there, 1, 0), bytes);
}

void calls_text(const struct call *call, uint64_t from, char *to, size_t bytes)
{
    struct iovec here = {.iov_base = to, .iov_len = bytes - 1};
    /* It may end at the end of a page. */
    size_t page = 4096 - from % 4096;
    struct iovec there[2] = {
        {.iov_base = (void *)(uintptr_t)from, .iov_len = page < bytes - 1 ? page : bytes - 1},
        {.iov_base = (void *)(uintptr_t)(from + page), .iov_len = page < bytes - 1 ? bytes - 1 - page : 0}};
    ssize_t got = process_vm_readv(call->pid, &here, 1, there, 2, 0);
    to[got > 0 ? got : 0] = '\0';
}

void calls_file(const struct call *call, int fd, char *to, size_t bytes)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)call->pid, fd);
    ssize_t got = readlink(link, to, bytes - 1);
    to[got > 0 ? got : 0] = '\0';
}

/* ---- running ------------------------------------------------------------------------- */

/* One stop at a call's entry or exit. */
static enum look stopped_at_call(struct thread *thread, calls_look look, void *context)
{
    struct __ptrace_syscall_info info;
    struct call *call = &thread->call;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, call->tid, sizeof info, &info) < 0)
        return LOOK_ON; /* it is dying */
    call->entered = info.op == PTRACE_SYSCALL_INFO_ENTRY;
    if (call->entered) {
        call->which = (long)info.entry.nr;
        for (int i = 0; i < 6; i++)
            call->argument[i] = info.entry.args[i];
        thread->begun = thread->begun || call->which == __NR_umask;
    } else if (thread->skipped) {
        thread->skipped = false;
        call->result = thread->result;
        poke(call, offsetof(struct user, regs.rax), (uint64_t)thread->result);
    } else {
        call->result = info.exit.rval;
    }
    if (!thread->begun)
        return LOOK_ON;
    enum look verdict = look(context, call);
    if (!call->entered)
        call->number++;
    return verdict;
}

/* Just after exec: without the page by which it could read the clocks itself. */
static void hide_clocks(pid_t pid)
{
    struct user_regs_struct registers;
    assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &registers), 0);
    uint64_t at = registers.rsp;
    uint64_t arguments = (uint64_t)ptrace(PTRACE_PEEKDATA, pid, at, NULL);
    at += (arguments + 2) * 8;
    while (ptrace(PTRACE_PEEKDATA, pid, at, NULL) != 0)
        at += 8; /* the environment */
    for (at += 8; ptrace(PTRACE_PEEKDATA, pid, at, NULL) != AT_NULL; at += 16)
        if (ptrace(PTRACE_PEEKDATA, pid, at, NULL) == AT_SYSINFO_EHDR)
            assert_int_equal(ptrace(PTRACE_POKEDATA, pid, at, AT_IGNORE), 0);
}

static void start(struct outcome *outcome, pid_t *pid, void (*become)(void *), void *context)
{
    fflush(NULL);
    memset(outcome, 0, sizeof *outcome);
    traced.count = 0;
    *pid = fork();
    assert_true(*pid >= 0);
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
            _exit(122);
        become(context);
        _exit(123);
    }
    assert_int_equal(waitpid(*pid, &outcome->status, 0), *pid);
    assert_true(WIFSTOPPED(outcome->status));
    find_thread(*pid, *pid);
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, *pid, NULL, OPTIONS), 0);
    assert_int_equal(ptrace(PTRACE_SYSCALL, *pid, NULL, NULL), 0);
}

static void reap(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    while (waitpid(-1, &status, __WALL) > 0 || errno == EINTR)
        ;
}

void calls_run(struct outcome *outcome, void (*become)(void *), calls_look look, void *context, bool clocks)
{
    pid_t pid;
    start(outcome, &pid, become, context);
    for (;;) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        assert_true(tid > 0);
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (tid != pid)
                continue;
            outcome->status = status;
            return;
        }
        struct thread *thread = find_thread(pid, tid);
        int signal_number = WSTOPSIG(status);
        enum look verdict = LOOK_ON;
        if (clocks && signal_number == SIGTRAP && status >> 16 == 0) {
            hide_clocks(pid);
            clocks = false;
        }
        if (signal_number == (SIGTRAP | 0x80)) {
            verdict = stopped_at_call(thread, look, context);
            outcome->calls++;
        }
        if (verdict == LOOK_KILL || outcome->calls == CALLS_MAX) {
            outcome->killed = verdict == LOOK_KILL;
            outcome->endless = !outcome->killed;
            reap(pid);
            return;
        }
        /* SIGTRAP: exec and clone; SIGSTOP: a new thread's beginning. The rest is meant for the program. */
        if (signal_number == (SIGTRAP | 0x80) || signal_number == SIGTRAP || signal_number == SIGSTOP)
            signal_number = 0;
        ptrace(PTRACE_SYSCALL, tid, NULL, signal_number);
    }
}

const char *calls_name(long which)
{
    static const struct {
        long which;
        const char *name;
    } names[] = {
#define NAME(call) {__NR_##call, #call}
        NAME(access),
        NAME(brk),
        NAME(clone),
        NAME(clone3),
        NAME(close),
        NAME(connect),
        NAME(eventfd2),
        NAME(exit_group),
        NAME(fallocate),
        NAME(fchmod),
        NAME(fchown),
        NAME(fcntl),
        NAME(fdatasync),
        NAME(fsync),
        NAME(ftruncate),
        NAME(futex),
        NAME(getdents64),
        NAME(getpid),
        NAME(getrandom),
        NAME(inotify_init1),
        NAME(kill),
        NAME(lseek),
        NAME(madvise),
        NAME(membarrier),
        NAME(mkdir),
        NAME(mmap),
        NAME(mprotect),
        NAME(mremap),
        NAME(munmap),
        NAME(newfstatat),
        NAME(openat),
        NAME(ppoll),
        NAME(pread64),
        NAME(prlimit64),
        NAME(pwrite64),
        NAME(read),
        NAME(readlink),
        NAME(rename),
        NAME(rt_sigaction),
        NAME(rt_sigprocmask),
        NAME(sendmsg),
        NAME(sendto),
        NAME(signalfd4),
        NAME(socket),
        NAME(tgkill),
        NAME(unlink),
        NAME(unlinkat),
        NAME(write),
        NAME(geteuid),
        NAME(umask),
        NAME(renameat2),
        NAME(writev),
        NAME(inotify_add_watch),
        NAME(clock_gettime),
        NAME(epoll_create1),
        NAME(epoll_ctl),
        NAME(epoll_wait),
        NAME(pidfd_open),
#undef NAME
    };
    static char number[24];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].which == which)
            return names[i].name;
    snprintf(number, sizeof number, "call %ld", which);
    return number;
}
