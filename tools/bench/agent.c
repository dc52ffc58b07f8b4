/* agent.c: agents, watched from outside. */
#include "agent.h"
#include "bench.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUIET_WITHIN_MS 1000

const char *agent_pid(void)
{
    const char *pid = getenv("TALLY_BENCH_AGENT");

    if (pid == NULL)
        give_up("TALLY_BENCH_AGENT is not set: run tools/bench/bench.sh");
    return pid;
}

static void read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");

    line[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(line, size, file) == NULL)
        line[0] = '\0';
    fclose(file);
}

/* busy: may be NULL; whether any of its threads is not asleep. */
static int64_t look(const char *pid, bool *busy)
{
    char path[600];
    char line[512];
    struct dirent *task;
    int64_t sum = 0;

    snprintf(path, sizeof(path), "/proc/%s/task", pid);
    DIR *tasks = opendir(path);
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        if (!isdigit((unsigned char)task->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid, task->d_name);
        read_line(path, line, sizeof(line));
        sum += strtoll(line, NULL, 10);
        if (busy == NULL)
            continue;
        snprintf(path, sizeof(path), "/proc/%s/task/%s/stat", pid, task->d_name);
        read_line(path, line, sizeof(line));
        const char *name_end = strrchr(line, ')');
        *busy = *busy || (name_end != NULL && name_end[1] == ' ' && name_end[2] != 'S');
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

int64_t agent_cpu_ns(const char *pid)
{
    return look(pid, NULL);
}

double agent_memory(const char *pid, const char *what)
{
    char line[256];
    char path[64];
    double kib = 0;

    snprintf(path, sizeof(path), "/proc/%s/status", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtod(line + strlen(what), NULL);
    if (file != NULL)
        fclose(file);
    return kib;
}

void agent_await_quiet(const char *pid)
{
    const struct timespec rest = {.tv_nsec = 1000000};
    int64_t before = -1;

    for (int ms = 0; ms < QUIET_WITHIN_MS; ms++) {
        bool busy = false;
        int64_t now = look(pid, &busy);

        if (!busy && now == before)
            return;
        before = now;
        nanosleep(&rest, NULL);
    }
}

void agent_pid_of(const char *folder, const char *kind, char pid[16])
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s.agent", folder, kind);
    read_line(path, pid, 16);
    pid[strcspn(pid, "\n")] = '\0';
}

void agent_await_quiet_of(const char *folder, const char *kind)
{
    char pid[16];

    agent_pid_of(folder, kind, pid);
    if (pid[0] != '\0')
        agent_await_quiet(pid);
}
