/* main.c: the parts of the benchmark, run in order. Started by tools/bench/bench.sh, which provides a private
 * arena, state folder and agent. */
#include "peer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    void (*run)(const struct plan *plan);
} parts[] = {
    {"crowd", bench_crowd}, /* first: it looks at an agent that has done nothing yet */
    {"bursts", bench_bursts},
    {"pairs", bench_pairs},
    {"paced", bench_paced},
    {"peers", bench_peers},
    {"python", bench_python},
    {"system-calls", bench_system_calls},
    {"instructions", bench_instructions},
    {"start-up", bench_start_up},
    {"shutdown", bench_shutdown},
    {"cost", bench_cost},
    {"capture", bench_capture},
    {"visible", bench_visible},
    {"disk", bench_disk},
    {"end-to-end", bench_end_to_end},
    {"growth", bench_growth},
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

/* A document goes to the file; without one, to standard output. */
static FILE *json_open(bool json, const char *path)
{
    if (path == NULL)
        return json ? stdout : NULL;

    FILE *file = fopen(path, "we");
    if (file == NULL)
        give_up("%s: %s", path, strerror(errno));
    return file;
}

/* PARTs, divided by commas. */
static bool wanted(const struct plan *plan, const char *part)
{
    size_t length = strlen(part);

    if (plan->only == NULL)
        return true;
    for (const char *at = plan->only; (at = strstr(at, part)) != NULL; at += length)
        if ((at == plan->only || at[-1] == ',') && (at[length] == '\0' || at[length] == ','))
            return true;
    return false;
}

static _Noreturn void usage(void)
{
    char names[256] = "";

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i > 0 ? "|" : "",
                 parts[i].name);
    give_up("usage: bench [--json] [--json-to FILE] [--only %s[,...]] [--scale PERCENT]", names);
}

int main(int argc, char **argv)
{
    struct plan plan = {.arena = getenv("TALLY_ARENA"),
                        .folder = getenv("TALLY_BENCH_FOLDER"),
                        .self = argv[0],
                        .build = getenv("TALLY_BENCH_BUILD"),
                        .peers = getenv("TALLY_BENCH_PEERS"),
                        .machine = getenv("TALLY_BENCH_MACHINE"),
                        .scale = 100};
    const char *json_path = NULL;
    bool json = false;
    bool some = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--json-to") == 0 && i + 1 < argc)
            json_path = argv[++i];
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            plan.only = argv[++i];
        else if (strcmp(argv[i], "--scale") == 0 && i + 1 < argc)
            plan.scale = atoi(argv[++i]);
        else if (strcmp(argv[i], "--shutdown") == 0 && i + 1 < argc)
            return shutdown_child(argv[++i]);
        else if (strcmp(argv[i], "--peer") == 0 && i + 1 < argc)
            return peer_main(argv[++i]);
        else if (strcmp(argv[i], "--steady") == 0 && i + 1 < argc)
            return steady_main(argv[++i]);
        else if (strcmp(argv[i], "--first") == 0)
            return first_main();
        else
            usage();
    }
    if (plan.arena == NULL || plan.folder == NULL || plan.build == NULL || plan.peers == NULL ||
        plan.machine == NULL)
        give_up("the environment is not set up: run tools/bench/bench.sh");
    if (plan.scale < 1 || plan.scale > 1000)
        give_up("--scale takes a percentage from 1 to 1000");
    output_begin(!json, json_open(json, json_path), plan.machine);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!wanted(&plan, parts[i].name))
            continue;
        parts[i].run(&plan);
        some = true;
    }
    output_end();
    if (!some)
        give_up("there is no part '%s'", plan.only);
    return 0;
}
