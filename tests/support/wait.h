/* wait.h: wait for something to become true, and fail the test if it does not within a generous time.
 * The only place where tests sleep: between two looks. */
#ifndef TESTS_SUPPORT_WAIT_H
#define TESTS_SUPPORT_WAIT_H

#include <stdint.h>
#include <time.h>

#define WAIT_SECONDS 60

static inline int64_t wait_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

#define wait_until(condition)                                                                                \
    do {                                                                                                     \
        int64_t wait_deadline_ = wait_now_ms() + WAIT_SECONDS * INT64_C(1000);                               \
        while (!(condition)) {                                                                               \
            if (wait_now_ms() > wait_deadline_)                                                              \
                fail_msg("waited %d s in vain for: %s", WAIT_SECONDS, #condition);                           \
            nanosleep(&(struct timespec){0, 1000000}, NULL);                                                 \
        }                                                                                                    \
    } while (0)

#endif
