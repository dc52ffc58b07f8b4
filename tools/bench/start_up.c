/* start_up.c: what a fresh process pays: for its first record, and if it never records. */
#include "process.h"
#include "workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* `bench --first`: the fresh process. */
int first_main(void)
{
    struct tally_usage usage = workload_usage();
    int64_t start = now_ns();
    int result = tally_record(&usage);
    int64_t took = now_ns() - start;

    if (result != 0)
        give_up("tally_record: %s", strerror(-result));
    printf("%" PRId64 "\n", took);
    return 0;
}

void bench_start_up(const struct plan *plan)
{
    const char *first_words[] = {plan->self, "--first", NULL};
    struct series first;
    struct series with;
    struct series without;
    struct series more;
    char with_tally[512];
    char with_nothing[512];
    int rounds = rounds_of(plan, 200);

    snprintf(with_tally, sizeof(with_tally), "%s/tools/bench/peers/nothing-tally", plan->build);
    snprintf(with_nothing, sizeof(with_nothing), "%s/tools/bench/peers/nothing-empty", plan->build);
    const char *tally_words[] = {with_tally, NULL};
    const char *empty_words[] = {with_nothing, NULL};
    output_section(
        "Start-up",
        "A fresh process each, microseconds; all but the first are whole processes that do nothing.");
    series_start(&first, "us", "first tally_record of a process");
    series_start(&with, "us", "never records, with libtally.so");
    series_start(&without, "us", "the same with an empty library");
    series_start(&more, "us", "what libtally.so adds to that");
    for (int round = -1; round < rounds; round++) {
        double took = process_number(first_words);
        int64_t alone = process_run(empty_words, -1);
        int64_t linked = process_run(tally_words, -1);

        if (took < 0 || alone < 0 || linked < 0)
            give_up("a fresh process failed (%s)", with_tally);
        if (round < 0)
            continue;
        series_add(&first, took / 1000);
        series_add(&with, (double)linked / 1000);
        series_add(&without, (double)alone / 1000);
        series_add(&more, (double)(linked - alone) / 1000);
    }
    double first_us = series_median(&first);
    double more_us = series_median(&more);
    output_series(&first);
    output_series(&with);
    output_peer(&without, &with);
    output_series(&more);
    output_goal("start-up: first record of a fresh process", "below 60 us",
                first_us < 60 ? GOAL_MET : GOAL_MISSED, "%.0f us", first_us);
    output_goal("start-up: a process that never records", "below 20 us",
                more_us < 20 ? GOAL_MET : GOAL_MISSED, "%.0f us", more_us);
    series_free(&first);
    series_free(&with);
    series_free(&without);
    series_free(&more);
}
