/* clock_preload.c: a clock that the test sets. Built and preloaded by test_clock: CLOCK_REALTIME is ahead by the
 * nanoseconds that stand in the file that TEST_CLOCK names. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t *ahead_ns;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("TEST_CLOCK");
    int file = open(path != NULL ? path : "", O_RDONLY | O_CLOEXEC);
    void *at = mmap(NULL, sizeof(*ahead_ns), PROT_READ, MAP_SHARED, file, 0);

    if (at != MAP_FAILED)
        ahead_ns = at;
    close(file);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    if (result == 0 && clock == CLOCK_REALTIME && ahead_ns != NULL) {
        int64_t time =
            now->tv_sec * INT64_C(1000000000) + now->tv_nsec + __atomic_load_n(ahead_ns, __ATOMIC_RELAXED);
        now->tv_sec = time / INT64_C(1000000000);
        now->tv_nsec = time % INT64_C(1000000000);
    }
    return result;
}
