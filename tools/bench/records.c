/* records.c: what a record costs, in bursts and paced. */
#include "agent.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* Whose turn it is: each comes first in one round out of four. */
int contender_at(int round, int turn)
{
    return (round + turn + CONTENDERS * 1000) % CONTENDERS;
}

static void start_all(struct series series[CONTENDERS])
{
    for (int c = 0; c < CONTENDERS; c++)
        series_start(&series[c], "ns", contenders[c].name);
}

static void print_all(struct series series[CONTENDERS])
{
    output_series(&series[0]);
    for (int peer = 1; peer < CONTENDERS; peer++)
        output_peer(&series[peer], &series[0]);
}

static void free_all(struct series series[CONTENDERS])
{
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
        run_memcpy(&workload, BURST); /* nobody is the first one after a sleep */
        for (int i = 0; i < CONTENDERS; i++) {
            int c = contender_at(round, i);
            int64_t ns = contenders[c].run(&workload, BURST);

            if (round >= 0) /* the first tenth warms up */
                series_add(&series[c], (double)ns / BURST);
        }
        workload_drain();
        agent_await_quiet(agent_pid());
    }
    print_all(series);
    double ratio = series_ratio(&series[0], &series[WITH_CLOCK]);
    output_goal("a record of 128 bytes, bursts", "at most 1.6 x (memcpy + release + clock)",
                ratio <= 1.6 ? GOAL_MET : GOAL_MISSED, "%.2f x, %.0f ns", ratio, series_median(&series[0]));
    free_all(series);
    output_note("A record takes %u bytes in its lane, and as many are copied by memcpy.",
                workload.record_bytes);
}

/* ---- paced ------------------------------------------------------------------------------ */

#define STRETCH 25

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
    print_all(series);
    free_all(series);
    output_note("The cost of reading the clock round each call, %.0f ns, has been taken off.", clock_ns);
}
