/* steady.c: what a record takes where time says little: system calls (strace) and instructions (callgrind), counted. */
#include "process.h"
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PACED 2000

/* `bench --steady COUNT`: the program that is watched. Two getppid() stand round what counts; COUNT negative:
 * one a millisecond. */
int steady_main(const char *text)
{
    struct tally_usage usage = workload_usage();
    struct timespec pause = {.tv_nsec = 1000000};
    int count = atoi(text);

    if (tally_record(&usage) != 0)
        give_up("tally_record: it failed");
    (void)getppid();
    for (int i = 0; i < abs(count); i++) {
        usage.input_tokens = i;
        if (tally_record(&usage) != 0)
            give_up("tally_record: it failed");
        if (count < 0)
            nanosleep(&pause, NULL);
    }
    (void)getppid();
    return 0;
}

/* ---- system calls -------------------------------------------------------------------------------- */

/* Those between the two getppid(), but for the sleeps that make the pace; -1: the trace is not as it should be. */
static int calls_in(const char *path, char *first, size_t first_size)
{
    FILE *trace = fopen(path, "r");
    char line[512];
    int marks = 0;
    int calls = 0;

    if (trace == NULL)
        return -1;
    while (fgets(line, sizeof(line), trace) != NULL) {
        if (strstr(line, "getppid(") != NULL)
            marks++;
        else if (marks == 1 && strstr(line, "nanosleep(") == NULL && strstr(line, "resumed>") == NULL &&
                 calls++ == 0)
            snprintf(first, first_size, "%.*s", (int)strcspn(line, "\"\\\n"), line);
    }
    fclose(trace);
    return marks == 2 ? calls : -1;
}

void bench_system_calls(const struct plan *plan)
{
    char path[512];
    char count[16];
    char first[128] = "";

    snprintf(path, sizeof(path), "%s/trace", plan->folder);
    snprintf(count, sizeof(count), "%d", -PACED);
    const char *words[] = {"strace", "-f", "-o", path, plan->self, "--steady", count, NULL};
    output_section("System calls of steady traffic",
                   "One record a millisecond under strace; by any thread of the writer.");
    if (process_run(words, -1) < 0) {
        output_missing("tally_record",
                       "cannot be counted: no strace here, or it may not trace (tools/bootstrap bench)");
        return;
    }
    int calls = calls_in(path, first, sizeof(first));
    if (calls < 0)
        give_up("%s: not the trace that was expected", path);
    struct series series;
    series_start(&series, "calls", "tally_record, 2,000 of them");
    series_add(&series, calls);
    output_series(&series);
    output_goal("steady traffic, one record a millisecond", "no system call by any writer",
                calls == 0 ? GOAL_MET : GOAL_MISSED, "%d in 2,000 records", calls);
    if (calls > 0)
        output_note("The first of them: %s", first);
    series_free(&series);
}

/* ---- instructions ----------------------------------------------------------------------------------- */

static double instructions(const struct plan *plan, const char *count)
{
    char option[600];
    char path[512];
    char line[512];
    double total = -1;

    snprintf(path, sizeof(path), "%s/callgrind.%s", plan->folder, count);
    snprintf(option, sizeof(option), "--callgrind-out-file=%s", path);
    const char *words[] = {"valgrind",
                           "--tool=callgrind",
                           "--toggle-collect=tally_record",
                           option,
                           plan->self,
                           "--steady",
                           count,
                           NULL};
    if (process_run(words, -1) < 0)
        return -1;
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "totals: ", 8) == 0)
            total = strtod(line + 8, NULL);
    if (file != NULL)
        fclose(file);
    return total;
}

void bench_instructions(const struct plan *plan)
{
    struct series series;

    output_section("Instructions a record", "Counted by callgrind within tally_record(): 600 records less "
                                            "100, so without what the first one takes.");
    double few = instructions(plan, "100");
    double many = instructions(plan, "600");
    if (few <= 0 || many <= few) {
        output_missing("tally_record",
                       "cannot be counted: no valgrind here, or it ended badly (tools/bootstrap bench)");
        return;
    }
    series_start(&series, "", "tally_record");
    series_add(&series, (many - few) / 500);
    output_series(&series);
    output_goal("instructions a record", "stated, and guarded by a test", GOAL_STATED, "%.0f",
                (many - few) / 500);
    series_free(&series);
}
