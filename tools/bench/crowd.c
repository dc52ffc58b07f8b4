/* crowd.c: a thousand clients: what the agent does while all are idle, and what a record costs beside so many lanes. */
#include "agent.h"
#include "peer.h"
#include "process.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CROWD        999 /* and this process */
#define WATCH_S      10
#define STEPS        3
#define WATCH_TEXT_S "10"

static const char measure[] = "the agent with 1,000 idle clients";

static struct {
    pid_t pid[CROWD];
    int count;
} crowd;

/* A client that has recorded once and keeps its lane. */
static void be_idle(int ready)
{
    struct tally_usage usage = workload_usage();
    char result = tally_record(&usage) == 0 ? '+' : '-';

    if (write(ready, &result, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void crowd_start(void)
{
    pid_t parent = getpid();
    int ready[2];

    if (pipe2(ready, O_CLOEXEC) != 0)
        give_up("pipe: %s", strerror(errno));
    for (crowd.count = 0; crowd.count < CROWD; crowd.count++) {
        char result = '-';
        pid_t pid = fork();

        if (pid < 0)
            give_up("fork: %s", strerror(errno));
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == parent)
                be_idle(ready[1]);
            _exit(0);
        }
        crowd.pid[crowd.count] = pid;
        if (read(ready[0], &result, 1) != 1 || result != '+')
            give_up("client %d of the crowd cannot record", crowd.count + 2);
    }
    close(ready[0]);
    close(ready[1]);
}

static void crowd_shrink(int count)
{
    while (crowd.count > count) {
        crowd.count--;
        kill(crowd.pid[crowd.count], SIGKILL);
        waitpid(crowd.pid[crowd.count], NULL, 0);
    }
}

/* ---- the agent, watched --------------------------------------------------------------------------- */

static void one(const char *name, const char *unit, double value)
{
    struct series series;

    series_start(&series, unit, name);
    series_add(&series, value);
    output_series(&series);
    series_free(&series);
}

/* The system calls in a trace, by name. */
struct trace {
    struct {
        char name[32];
        int count;
    } call[64];
    int kinds;
    int all;
    int looks; /* calls that follow one another without a pause are one look */
};

#define PAUSE_S 0.2

static void count_calls(const char *path, struct trace *calls)
{
    char line[1024];
    char name[32];
    double before = 0;
    double at;
    FILE *file = fopen(path, "r");

    memset(calls, 0, sizeof(*calls));
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        int i = 0;

        if (sscanf(line, "%*d %lf", &at) == 1) {
            calls->looks += at > before + PAUSE_S;
            before = at;
        }
        if (sscanf(line, "%*d %*f %31[a-z0-9_](", name) !=
            1) /* an exit, a signal, the other half of a call */
            continue;
        calls->all++;
        while (i < calls->kinds && strcmp(calls->call[i].name, name) != 0)
            i++;
        if (i == 64)
            continue;
        if (i == calls->kinds)
            snprintf(calls->call[calls->kinds++].name, sizeof(name), "%s", name);
        calls->call[i].count++;
    }
    if (file != NULL)
        fclose(file);
}

static void print_calls(const char *path)
{
    static struct trace calls;
    char text[400] = "";

    count_calls(path, &calls);
    double calls_s = (double)calls.all / WATCH_S;

    one("system calls a second", "", calls_s);
    for (int i = 0; i < calls.kinds; i++)
        if (calls.call[i].count >= WATCH_S / 2)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %.1f", text[0] != 0 ? ", " : "",
                     calls.call[i].name, (double)calls.call[i].count / WATCH_S);
    output_note("A second: %s.", text);
    double looks_s = (double)calls.looks / WATCH_S;
    output_goal(measure, "no system call but the look each second", looks_s <= 1.2 ? GOAL_MET : GOAL_MISSED,
                "%.1f looks a second, %.1f calls", looks_s, calls_s);
}

static void watch(const struct plan *plan, const char *agent)
{
    char path[512];
    int64_t before = agent_cpu_ns(agent);
    int64_t start = now_ns();

    sleep(WATCH_S);
    double percent = 100.0 * (double)(agent_cpu_ns(agent) - before) / (double)(now_ns() - start);
    double resident = agent_memory(agent, "VmRSS:") / 1024;

    one("processor", "%", percent);
    one("resident, shared memory included", "MiB", resident);
    one("of that its own", "MiB", agent_memory(agent, "RssAnon:") / 1024);
    output_goal(measure, "below 0.1 % of a processor", percent < 0.1 ? GOAL_MET : GOAL_MISSED, "%.3f %%",
                percent);
    output_goal(measure, "below 16 MiB resident", resident < 16 ? GOAL_MET : GOAL_MISSED, "%.1f MiB",
                resident);
    snprintf(path, sizeof(path), "%s/agent.trace", plan->folder);
    const char *words[] = {"timeout", "-s", "INT", WATCH_TEXT_S, "strace", "-f",
                           "-ttt",    "-o", path,  "-p",         agent,    NULL};
    process_run(words, -1); /* it ends by a signal, as it must */
    if (access(path, R_OK) != 0)
        output_missing("system calls", "cannot be counted: no strace here, or it may not trace");
    else
        print_calls(path);
}

/* ---- a record beside so many lanes ------------------------------------------------------------------ */

/* Both are processes of their own: one has a lane among all of these, the other an arena and an agent to itself. */
static void beside(const struct plan *plan)
{
    static const struct {
        const char *name;
        const char *alone;
        int others;
    } steps[STEPS] = {{"tally_record, 1,000 lanes in use", "one lane, in turns with 1,000", CROWD},
                      {"tally_record, 100 lanes in use", "one lane, in turns with 100", 99},
                      {"tally_record, 10 lanes in use", "one lane, in turns with 10", 9}};
    struct peer peers[2] = {{.kind = "tally", .name = "among lanes"},
                            {.kind = "grown-alone", .name = "alone"}};
    struct series series[2];
    int rounds = rounds_of(plan, 200);

    peers_start(peers, 2, plan);
    for (int step = 0; step < STEPS; step++) {
        crowd_shrink(steps[step].others - 1); /* the one among them is one of them */
        series_start(&series[0], "ns", steps[step].name);
        series_start(&series[1], "ns", steps[step].alone);
        for (int round = -rounds / 10; round < rounds; round++)
            for (int i = 0; i < 2; i++) {
                int which = (round + i) & 1;

                agent_await_quiet(agent_pid());
                agent_await_quiet_of(plan->folder, "grown-alone");
                double ns = peer_burst(&peers[which], BURST);
                if (ns <= 0)
                    give_up("%s: %s", peers[which].name, peers[which].trouble);
                if (round >= 0)
                    series_add(&series[which], ns);
            }
        double ratio = series_ratio(&series[0], &series[1]);
        output_series(&series[0]);
        output_peer(&series[1], &series[0]);
        if (step == 0)
            output_goal("a record beside 1,000 lanes", "flat: within 1.1 x of one lane",
                        ratio < 1.1 ? GOAL_MET : GOAL_MISSED, "%.2f x", ratio);
        series_free(&series[0]);
        series_free(&series[1]);
    }
    peers_stop(peers, 2);
}

void bench_crowd(const struct plan *plan)
{
    const char *agent = agent_pid();

    crowd_start();
    workload_drain();
    sleep(15); /* what the agent does after the last of them came is not of the idle */
    output_section(
        "The agent with 1,000 idle clients",
        "Watched for ten seconds, and ten more by strace. A fresh agent: the first part that is run.");
    watch(plan, agent);
    output_section(
        "A record beside other clients' lanes",
        "Bursts of 400, the others idle; in turns with one that has an arena and an agent to itself. "
        "Nanoseconds a record.");
    beside(plan);
}
