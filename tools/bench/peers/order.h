/* order.h: how the benchmark speaks with a contender in a process of its own, whatever that is written in. C and C++.
 *
 * The contender says `ready`, or `cannot WHY`, and then obeys lines on its standard input until that ends:
 *
 *     b COUNT    record so many back to back; answers the nanoseconds that took
 *     c COUNT    the same; answers the processor time of the whole process until its reader has all (peers/python.py alone)
 *     p COUNT    record one a millisecond; answers COUNT numbers, the nanoseconds of each call
 *
 * Before it answers it waits until its reader has had it all, outside the measured time: no contender's
 * reader works in another one's turn. peers/python.py speaks the same.
 */
#ifndef TALLY_BENCH_ORDER_H
#define TALLY_BENCH_ORDER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What every peer carries where it carries bytes: as many as a record of tally's takes. */
struct message {
    uint64_t number;
    uint64_t time_ns;
    char filling[112];
};

typedef void record_one(uint64_t number);
typedef void await_reader(void);

static inline int64_t order_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Two readings of the clock, which stand round each paced call: the median of many. */
static inline int64_t order_clock_ns(void)
{
    int64_t seen[256] = {0};
    int below = 0;

    for (int i = 0; i < 1001; i++) {
        int64_t start = order_now_ns();
        int64_t ns = order_now_ns() - start;

        seen[ns < 255 ? ns : 255]++;
    }
    for (int ns = 0; ns < 256; ns++)
        if ((below += (int)seen[ns]) > 500)
            return ns;
    return 255;
}

/* Inlined into its caller, and `record` with it: no contender pays for a call through a pointer. */
static inline __attribute__((always_inline)) int order_serve(record_one *record, await_reader *await)
{
    char order[64];
    uint64_t number = 0;
    int64_t clock_ns = order_clock_ns();

    for (int i = 0; i < 2; i++) /* what a first record costs is not the question here */
        record(++number);
    await();
    printf("ready\n");
    fflush(stdout);
    while (fgets(order, sizeof(order), stdin) != NULL) {
        long count = strtol(order + 1, NULL, 10);
        int64_t start = order_now_ns();

        if (order[0] == 'b') {
            for (long i = 0; i < count; i++)
                record(++number);
            printf("%lld", (long long)(order_now_ns() - start));
        }
        for (long i = 0; order[0] == 'p' && i < count; i++) {
            int64_t when = start + (i + 1) * 1000000;
            struct timespec until = {(time_t)(when / 1000000000), (long)(when % 1000000000)};

            while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
                ;
            int64_t before = order_now_ns();
            record(++number);
            int64_t ns = order_now_ns() - before - clock_ns;
            printf("%lld ", (long long)(ns > 1 ? ns : 1));
        }
        await();
        printf("\n");
        fflush(stdout);
    }
    return 0;
}

#endif
