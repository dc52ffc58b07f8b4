/* main.c: the parts of the benchmark, run in order. Started by tools/bench/bench.sh, which provides a private
 * arena, state folder and agent. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    void (*run)(const struct plan *plan);
} parts[] = {
    {"bursts", bench_bursts},         {"pairs", bench_pairs}, {"paced", bench_paced},
    {"shutdown", bench_shutdown},     {"cost", bench_cost},   {"capture", bench_capture},
    {"end-to-end", bench_end_to_end},
};

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void give_up(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "bench: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    exit(1);
}

int rounds_of(const struct plan *plan, int usual)
{
    int rounds = usual * plan->scale / 100;

    return rounds > 3 ? rounds : 3;
}

int main(int argc, char **argv)
{
    struct plan plan = {.arena = getenv("TALLY_ARENA"),
                        .folder = getenv("TALLY_BENCH_FOLDER"),
                        .self = argv[0],
                        .scale = 100};
    bool json = false;
    bool some = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            plan.only = argv[++i];
        else if (strcmp(argv[i], "--scale") == 0 && i + 1 < argc)
            plan.scale = atoi(argv[++i]);
        else if (strcmp(argv[i], "--shutdown") == 0 && i + 1 < argc)
            return shutdown_child(argv[++i]);
        else
            give_up(
                "usage: bench [--json] [--only bursts|pairs|paced|shutdown|cost|capture|end-to-end] [--scale "
                "PERCENT]");
    }
    if (plan.arena == NULL || plan.folder == NULL)
        give_up("TALLY_ARENA or TALLY_BENCH_FOLDER is not set: run tools/bench/bench.sh");
    if (plan.scale < 1 || plan.scale > 1000)
        give_up("--scale takes a percentage from 1 to 1000");
    output_begin(json);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (plan.only != NULL && strcmp(plan.only, parts[i].name) != 0)
            continue;
        parts[i].run(&plan);
        some = true;
    }
    output_end();
    if (!some)
        give_up("there is no part '%s'", plan.only);
    return 0;
}
