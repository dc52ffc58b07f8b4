/* records.c: what a record costs, in bursts, in two processes at once, and paced. */
#include "workload.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Whose turn it is: each comes first in one round out of four, as what the agent does right after it was
 * waited for disturbs whoever is first. */
static int contender_at(int round, int turn)
{
    return (round + turn + CONTENDERS * 1000) % CONTENDERS;
}

static void start_all(struct series series[CONTENDERS])
{
    for (int c = 0; c < CONTENDERS; c++)
        series_start(&series[c], "ns", contenders[c].name);
}

static void print_all(struct series series[CONTENDERS], const char *aim, double aim_ns)
{
    output_series(&series[0], aim, series_median(&series[0]) < aim_ns);
    for (int peer = 1; peer < CONTENDERS; peer++)
        output_peer(&series[peer], &series[0]);
    for (int c = 0; c < CONTENDERS; c++)
        series_free(&series[c]);
}

void bench_bursts(const struct plan *plan)
{
    static struct workload workload;
    struct series series[CONTENDERS];
    int rounds = rounds_of(plan, 400);

    workload_start(&workload, plan);
    start_all(series);
    output_section(
        "One thread, bursts of 400 records",
        "Less than half a lane, drained between bursts. Nanoseconds a record, its time stamp included.");
    for (int round = -rounds / 10; round < rounds; round++) {
        for (int i = 0; i < CONTENDERS; i++) {
            int c = contender_at(round, i);
            int64_t ns = contenders[c].run(&workload, BURST);

            if (round >= 0) /* the first tenth warms up */
                series_add(&series[c], (double)ns / BURST);
        }
        workload_drain();
    }
    print_all(series, "below 60 ns", 60);
    output_note("A record takes %u bytes in its lane, and as many are copied by memcpy.",
                workload.record_bytes);
}

/* ---- two processes --------------------------------------------------------------------- */

/* In memory that both share. */
struct meeting {
    uint32_t arrived; /* acq_rel add here, acquire load in meet(): nobody measures before both have come */
    uint32_t failed;
    double ns[2][CONTENDERS][4096];
};

static void meet(struct meeting *meeting, uint32_t *step)
{
    *step += 2;
    __atomic_fetch_add(&meeting->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&meeting->arrived, __ATOMIC_ACQUIRE) < *step)
        if (__atomic_load_n(&meeting->failed, __ATOMIC_RELAXED))
            give_up("the other process failed");
}

static void measure_in_pair(struct meeting *meeting, int self, int rounds, const struct plan *plan)
{
    static struct workload workload;
    uint32_t step = 0;

    workload_start(&workload, plan);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < CONTENDERS; i++) {
            int c = contender_at(round, i);

            meet(meeting, &step);
            meeting->ns[self][c][round] = (double)contenders[c].run(&workload, BURST) / BURST;
        }
        workload_drain();
    }
}

static pid_t spawn_half(struct meeting *meeting, int self, int rounds, const struct plan *plan)
{
    pid_t pid = fork();

    if (pid < 0)
        give_up("fork: %s", strerror(errno));
    if (pid == 0) {
        measure_in_pair(meeting, self, rounds, plan);
        exit(0);
    }
    return pid;
}

void bench_pairs(const struct plan *plan)
{
    struct meeting *meeting =
        mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct series series[CONTENDERS];
    int rounds = rounds_of(plan, 300);
    int status;

    if (meeting == MAP_FAILED)
        give_up("mmap: %s", strerror(errno));
    output_section(
        "Two processes at once, bursts of 400 records each",
        "Both start each burst together. Nanoseconds a record in each; a round is the mean of the two.");
    for (int self = 0; self < 2; self++)
        spawn_half(meeting, self, rounds, plan);
    for (int self = 0; self < 2; self++) {
        if (wait(&status) < 0 || status != 0) {
            __atomic_store_n(&meeting->failed, 1, __ATOMIC_RELAXED);
            give_up("a measuring process failed");
        }
    }
    start_all(series);
    for (int c = 0; c < CONTENDERS; c++)
        for (int round = rounds / 10; round < rounds; round++)
            series_add(&series[c], (meeting->ns[0][c][round] + meeting->ns[1][c][round]) / 2);
    print_all(series, "below 60 ns", 60);
    munmap(meeting, sizeof(*meeting));
}

#define STRETCH 25

/* ---- paced ------------------------------------------------------------------------------ */

static void wait_until(int64_t when_ns)
{
    struct timespec when = {when_ns / 1000000000, when_ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        ;
}

/* Each contender reads the clock twice round its work: what that costs alone is taken off. */
static double clock_cost_ns(void)
{
    struct series cost;
    double median;

    series_start(&cost, "ns", "clock");
    for (int i = 0; i < 1001; i++) {
        int64_t start = now_ns();

        series_add(&cost, (double)(now_ns() - start));
    }
    median = series_median(&cost);
    series_free(&cost);
    return median;
}

void bench_paced(const struct plan *plan)
{
    static struct workload workload;
    struct series series[CONTENDERS];
    double clock_ns = clock_cost_ns();
    int stretches = rounds_of(plan, 40);

    workload_start(&workload, plan);
    start_all(series);
    output_section(
        "One thread, one record a millisecond",
        "Each after a sleep, so with caches and branch predictors gone cold; single calls, nanoseconds.");
    /* in stretches, so that each contender has its millisecond's pace and they still take turns */
    for (int stretch = -1; stretch < stretches; stretch++) {
        for (int c = 0; c < CONTENDERS; c++) {
            int64_t when = now_ns();

            for (int i = 0; i < STRETCH; i++) {
                when += 1000000;
                wait_until(when);
                double ns = (double)contenders[c].run(&workload, 1) - clock_ns;

                if (stretch >= 0)
                    series_add(&series[c], ns > 1 ? ns : 1);
            }
        }
    }
    print_all(series, NULL, 0);
    output_note("The cost of reading the clock round each call, %.0f ns, has been taken off.", clock_ns);
}
