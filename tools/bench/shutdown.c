/* shutdown.c: what an orderly end costs, in fresh processes that recorded 20 calls. */
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 20

/* A peer's way to an orderly end: the lines that it has kept in memory go to a file, and, to be
 * durable, to the disk. */
static int64_t flush_lines(const char *folder, bool durable)
{
    char lines[RECORDS * 200];
    char path[512];
    int64_t start;
    int64_t took;
    int file;

    snprintf(path, sizeof(path), "%s/flush.%d", folder, (int)getpid());
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        give_up("%s: %s", path, strerror(errno));
    memset(lines, 'x', sizeof(lines));
    start = now_ns();
    if (write(file, lines, sizeof(lines)) != (ssize_t)sizeof(lines) || (durable && fdatasync(file) != 0))
        give_up("%s: %s", path, strerror(errno));
    took = now_ns() - start;
    close(file);
    unlink(path);
    return took;
}

/* The fresh process: what it prints is the time, and what was reached. */
int shutdown_child(const char *timeout_ms)
{
    struct tally_usage usage = workload_usage();
    const char *folder = getenv("TALLY_BENCH_FOLDER");
    int timeout = atoi(timeout_ms);
    int64_t peer;
    int64_t start;
    int64_t took;
    int reached;

    for (int i = 0; i < RECORDS; i++) {
        int result = tally_record(&usage);

        if (result != 0)
            give_up("tally_record: %s", strerror(-result));
    }
    start = now_ns();
    reached = tally_shutdown(timeout);
    took = now_ns() - start;
    peer = flush_lines(folder, timeout > 0);
    printf("%d %" PRId64 " %" PRId64 "\n", reached, took, peer);
    return 0;
}

static void fresh_process(const struct plan *plan, const char *timeout_ms, int *reached, int64_t *took,
                          int64_t *peer)
{
    char self[512];
    char option[] = "--shutdown";
    char timeout[16];
    char *arguments[] = {self, option, timeout, NULL};
    posix_spawn_file_actions_t actions;
    FILE *answer;
    int channel[2];
    int status;
    pid_t pid;

    snprintf(self, sizeof(self), "%s", plan->self);
    snprintf(timeout, sizeof(timeout), "%s", timeout_ms);
    if (pipe2(channel, O_CLOEXEC) != 0)
        give_up("pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel[1], STDOUT_FILENO);
    if ((errno = posix_spawn(&pid, self, &actions, NULL, arguments, environ)) != 0)
        give_up("%s: %s", self, strerror(errno));
    posix_spawn_file_actions_destroy(&actions);
    close(channel[1]);
    answer = fdopen(channel[0], "r");
    if (answer == NULL || fscanf(answer, "%d %" SCNd64 " %" SCNd64, reached, took, peer) != 3)
        give_up("a fresh process gave no answer");
    fclose(answer);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        give_up("a fresh process failed");
}

void bench_shutdown(const struct plan *plan)
{
    struct series published;
    struct series durable;
    struct series written;
    struct series synced;
    int rounds = rounds_of(plan, 100);
    int missed = 0;

    setenv("TALLY_BENCH_FOLDER", plan->folder, 1);
    series_start(&published, "us", "tally_shutdown(0)");
    series_start(&written, "us", "write(2) of 20 lines");
    series_start(&durable, "us", "tally_shutdown(1000)");
    series_start(&synced, "us", "write(2) of 20 lines + fdatasync");
    output_section("Shutdown after 20 records",
                   "A fresh process each; microseconds. The peers flush what they kept in memory.");
    for (int round = 0; round < rounds; round++) {
        int64_t took;
        int64_t peer;
        int reached;

        fresh_process(plan, "0", &reached, &took, &peer);
        if (reached < TALLY_PUBLISHED)
            give_up("tally_shutdown(0): %s", strerror(-reached));
        series_add(&published, (double)took / 1000);
        series_add(&written, (double)peer / 1000);
        fresh_process(plan, "1000", &reached, &took, &peer);
        missed += reached != TALLY_DURABLE;
        series_add(&durable, (double)took / 1000);
        series_add(&synced, (double)peer / 1000);
    }
    double published_us = series_median(&published);
    double durable_us = series_median(&durable);
    output_series(&published);
    output_peer(&written, &published);
    output_series(&durable);
    output_peer(&synced, &durable);
    output_goal("tally_shutdown(0) after 20 records", "below 1 us", published_us < 1 ? GOAL_MET : GOAL_MISSED,
                "%.2f us", published_us);
    output_goal("tally_shutdown(1000), durable", "below 5 ms where fdatasync costs 0.4 ms",
                durable_us < 5000 ? GOAL_MET : GOAL_MISSED, "%.2f ms; write and fdatasync %.2f ms",
                durable_us / 1000, series_median(&synced) / 1000);
    output_note("tally_shutdown(1000) found its records durable in %d of %d processes.", rounds - missed,
                rounds);
    series_free(&published);
    series_free(&durable);
    series_free(&written);
    series_free(&synced);
}
