/* platform.h: the few system calls and compiler words that the library uses by name.
 * Raw system calls where the C library's wrapper is a cancellation point or missing. */
#ifndef TALLY_SHIM_PLATFORM_H
#define TALLY_SHIM_PLATFORM_H

#include "testpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Orders memory accesses against a signal handler, or against death, in this very thread. */
#define compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Decimal digits of a number at out (room for 20), no NUL; returns how many. snprintf would do, at a thousand instructions. */
static inline size_t decimal(char *out, unsigned long value)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

static inline uint32_t gettid_now(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static inline long futex(const uint32_t *word, int operation, uint32_t value, const struct timespec *timeout,
                         uint32_t *second, uint32_t third)
{
    return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* fstat(2). The C library's own may hand the kernel an empty path of its own, in a page that nothing else touches. */
static inline int status_of(int fd, struct stat *status)
{
    return fstatat(fd, "", status, AT_EMPTY_PATH);
}

/* Around whatever makes system calls: the caller's errno stays as it was, and a cancellation that is pending
 * waits until we are out. */
struct slow_path {
    int saved_errno;
    int cancel_state;
};
static inline struct slow_path slow_path_begin(void)
{
    struct slow_path path = {.saved_errno = errno};
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &path.cancel_state);
    return path;
}
static inline void slow_path_end(struct slow_path path)
{
    pthread_setcancelstate(path.cancel_state, &path.cancel_state);
    errno = path.saved_errno;
}

/* Block what a signal handler might be called for; not what the thread itself may cause, such as SIGBUS. Returns the mask to
 * go back to. Raw: the C library's wrapper would leave out its own signals. */
static inline uint64_t signals_block(void)
{
    uint64_t saved = 0;
    const uint64_t own = UINT64_C(1) << (SIGILL - 1) | UINT64_C(1) << (SIGTRAP - 1) |
                         UINT64_C(1) << (SIGBUS - 1) | UINT64_C(1) << (SIGFPE - 1) |
                         UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGSYS - 1);
    uint64_t mask = ~own;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, &saved, sizeof mask);
    return saved;
}
static inline void signals_restore(uint64_t saved)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved, NULL, sizeof saved);
}

#endif
