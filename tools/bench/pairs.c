/* pairs.c: what a record costs in one process and in two at once, in turns. */
#include "agent.h"
#include "workload.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 4096

/* In memory that both share. Who has nothing to do sleeps: waiting in a loop would take of a core that may be one. */
struct meeting {
    sem_t turn[2];
    uint32_t
        arrived; /* acq_rel add and acquire load in start_together(): nobody measures before both have come */
    uint32_t failed;
    double alone[CONTENDERS][ROUNDS_MAX]; /* of the first process, in ns a record */
    double both[2][CONTENDERS][ROUNDS_MAX];
};

static void hand_over(struct meeting *meeting, int self)
{
    sem_post(&meeting->turn[!self]);
    while (sem_wait(&meeting->turn[self]) != 0)
        if (errno != EINTR || __atomic_load_n(&meeting->failed, __ATOMIC_RELAXED))
            give_up("the other process failed");
}

/* Both are awake then: microseconds of waiting. */
static void start_together(struct meeting *meeting, uint32_t *step)
{
    *step += 2;
    __atomic_fetch_add(&meeting->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&meeting->arrived, __ATOMIC_ACQUIRE) < *step)
        if (__atomic_load_n(&meeting->failed, __ATOMIC_RELAXED))
            give_up("the other process failed");
}

static void measure(struct meeting *meeting, int self, int rounds, const struct plan *plan)
{
    static struct workload workload;
    uint32_t step = 0;

    workload_start(&workload, plan);
    for (int round = 0; round < rounds; round++) {
        if (self == 0) {
            agent_await_quiet(agent_pid());
            run_memcpy(&workload, BURST); /* nobody is the first one after a sleep */
            for (int i = 0; i < CONTENDERS; i++) {
                int c = contender_at(round, i);

                meeting->alone[c][round] = (double)contenders[c].run(&workload, BURST) / BURST;
            }
            workload_drain();
            agent_await_quiet(agent_pid());
        }
        hand_over(meeting, self);
        run_memcpy(&workload, BURST);
        for (int i = 0; i < CONTENDERS; i++) {
            int c = contender_at(round, i);

            start_together(meeting, &step);
            meeting->both[self][c][round] = (double)contenders[c].run(&workload, BURST) / BURST;
        }
        workload_drain();
    }
}

static void spawn_half(struct meeting *meeting, int self, int rounds, const struct plan *plan)
{
    pid_t pid = fork();

    if (pid < 0)
        give_up("fork: %s", strerror(errno));
    if (pid > 0)
        return;
    measure(meeting, self, rounds, plan);
    sem_post(&meeting->turn[!self]); /* which waits for a next round */
    exit(0);
}

static void await_both(struct meeting *meeting)
{
    int status;

    for (int i = 0; i < 2; i++)
        if (wait(&status) < 0 || status != 0) {
            __atomic_store_n(&meeting->failed, 1, __ATOMIC_RELAXED);
            for (int self = 0; self < 2; self++)
                sem_post(&meeting->turn[self]);
            give_up("a measuring process failed");
        }
}

static double print_contender(const struct meeting *meeting, int c, int rounds)
{
    struct series one;
    struct series two;
    char name[128];

    snprintf(name, sizeof(name), "%s, two at once", contenders[c].name);
    series_start(&two, "ns", name);
    series_start(&one, "ns", contenders[c].name);
    for (int round = rounds / 10; round < rounds; round++) {
        series_add(&one, meeting->alone[c][round]);
        series_add(&two, (meeting->both[0][c][round] + meeting->both[1][c][round]) / 2);
    }
    double ratio = series_ratio(&two, &one);
    output_series(&two);
    output_peer(&one, &two);
    series_free(&one);
    series_free(&two);
    return ratio;
}

void bench_pairs(const struct plan *plan)
{
    struct meeting *meeting =
        mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double ratio[CONTENDERS];
    int rounds = rounds_of(plan, 300);

    if (meeting == MAP_FAILED)
        give_up("mmap: %s", strerror(errno));
    if (sem_init(&meeting->turn[0], 1, 0) != 0 || sem_init(&meeting->turn[1], 1, 0) != 0)
        give_up("sem_init: %s", strerror(errno));
    output_section(
        "Two processes at once, bursts of 400 records each",
        "One alone and both started together, in turns. Nanoseconds a record in each; a round of two is "
        "their mean. Ratios: two to one.");
    for (int self = 0; self < 2; self++)
        spawn_half(meeting, self, rounds, plan);
    await_both(meeting);
    for (int c = 0; c < CONTENDERS; c++)
        ratio[c] = print_contender(meeting, c, rounds);
    output_goal("the same from two processes", "within 1.15 x of one",
                ratio[0] <= 1.15 ? GOAL_MET : GOAL_MISSED, "%.2f x; the bare copy with its clock %.2f x",
                ratio[0], ratio[WITH_CLOCK]);
    output_note(
        "Where two processors are halves of one core, the bare copy's ratio is what such a core allows.");
    munmap(meeting, sizeof(*meeting));
}
