/* usual.c: what a record costs on its usual way, counted by the kernel and by the allocator.
 *
 *   usual RECORDS
 *
 * After its first records no system call is let through but the program's own sleep: others are refused and counted. values[0]:
 * system calls, [1]: allocations, [2]: the number of the last such call.
 */
#include "support/program.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define AT_ONCE 10

static bool counting;

/* ---- allocations ------------------------------------------------------------------- */

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library has names of its own */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

static void count_allocation(void)
{
    if (counting)
        atomic_fetch_add(&counters->values[1], 1);
}

void *malloc(size_t bytes)
{
    count_allocation();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    count_allocation();
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    count_allocation();
    return __libc_realloc(old, bytes);
}
#endif
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

/* ---- system calls --------------------------------------------------------------------- */

/* The call has not been made; to the caller it looks as if the kernel did not know it. */
static void count_call(int signal_number, siginfo_t *info, void *context)
{
    ucontext_t *registers = context;

    (void)signal_number;
    atomic_fetch_add(&counters->values[0], 1);
    atomic_store(&counters->values[2], (uint64_t)info->si_syscall);
    registers->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
}

static void refuse_calls(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
    struct sigaction action = {.sa_sigaction = count_call, .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSYS, &action, NULL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        _exit(122);
}

int main(int argc, char **argv)
{
    uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;

    program_start();
    struct counters_writer *writer = program_writer();
    program_records(writer, AT_ONCE); /* the first takes a lane */
    refuse_calls();
    counting = true;
    for (uint64_t done = 0; done < records; done += AT_ONCE) {
        program_records(writer, AT_ONCE);
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    counting = false;
    _exit(0); /* exit() would say goodbye, by calls */
}
