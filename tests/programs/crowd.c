/* crowd.c: very many at a time.
 *
 *   crowd processes N        start N processes of their own; when all are alive and have recorded, and the test says go,
 *                            every third is killed while it records, the others record and end
 *   crowd forks N AT_ONCE    fork N children, AT_ONCE at a time, and record between forks; of four children one is
 *                            killed while it records, one ends without a word, two end cleanly
 *   crowd threads T N        T threads of N records each
 *
 * The parents of `processes` do not record. values[0]: processes that have recorded, [1]: killed,
 * [2]: ended without a word.
 */
#include "support/program.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PROCESSES_MAX 1024
#define AT_ONCE_MAX   64
#define THREADS_MAX   256

struct child {
    pid_t pid;
    struct counters_writer *writer;
    uint64_t kill_after; /* so many records; 0: it ends by itself */
};

static void go_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
}

/* In bursts, so that a thousand who do this at a time leave the others a turn. */
static void record_until_killed(struct counters_writer *writer)
{
    for (;;) {
        program_records(writer, 50);
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
}

/* Kill it, if its time has come. Returns whether it is gone. */
static bool tend(struct child *child)
{
    int status;

    if (child->kill_after != 0 && atomic_load(&child->writer->acknowledged) >= child->kill_after) {
        kill(child->pid, SIGKILL);
        child->kill_after = 0;
        atomic_fetch_add(&counters->values[1], 1);
    }
    if (waitpid(child->pid, &status, WNOHANG) != child->pid)
        return false;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && status != 0)
        program_surprise();
    child->pid = 0;
    return true;
}

/* ---- processes of their own --------------------------------------------------------------- */

static int one(int index, bool victim)
{
    struct counters_writer *writer = &counters->writers[index];

    program_record(writer);
    atomic_fetch_add(&counters->values[0], 1);
    /* a thousand who look often leave nobody else a turn */
    while (atomic_load(&counters->go) == 0)
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    if (victim)
        record_until_killed(writer);
    program_records(writer, 100);
    return 0;
}

static void become_one(const struct child *child, pid_t parent)
{
    char index[16];

    go_with_parent(parent);
    snprintf(index, sizeof(index), "%d", (int)(child->writer - counters->writers));
    execl("/proc/self/exe", "crowd", "one", index, child->kill_after ? "victim" : "", (char *)NULL);
    _exit(123);
}

static int processes(int total)
{
    static struct child children[PROCESSES_MAX];
    pid_t parent = getpid();
    int left = total;

    if (total > PROCESSES_MAX)
        return 125;
    for (int i = 0; i < total; i++) {
        children[i].writer = program_writer();
        children[i].kill_after = i % 3 == 0 ? 20 + (uint64_t)(i * 37 % 400) : 0;
        children[i].pid = fork();
        if (children[i].pid < 0)
            return 124;
        if (children[i].pid == 0)
            become_one(&children[i], parent);
    }
    while (left > 0) {
        for (int i = 0; i < total; i++)
            left -= children[i].pid != 0 && tend(&children[i]);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return 0;
}

/* ---- forks ------------------------------------------------------------------------------------ */

static void be_child(struct child *child, int number, pid_t parent)
{
    go_with_parent(parent);
    atomic_fetch_add(&counters->values[0], 1);
    if (child->kill_after != 0)
        record_until_killed(child->writer);
    program_records(child->writer, (uint64_t)(1 + number % 5));
    if (number % 4 == 1) {
        atomic_fetch_add(&counters->values[2], 1);
        _exit(0);
    }
    exit(0);
}

static int forks(int total, int at_once)
{
    struct child children[AT_ONCE_MAX] = {{0}};
    struct counters_writer *writer = program_writer();
    pid_t parent = getpid();
    int begun = 0;
    int alive = 0;

    if (at_once > AT_ONCE_MAX)
        return 125;
    program_record(writer);
    while (begun < total || alive > 0) {
        for (int i = 0; i < at_once; i++) {
            struct child *child = &children[i];
            if (child->pid != 0 && tend(child))
                alive--;
            if (child->pid != 0 || begun == total)
                continue;
            child->writer = program_writer();
            child->kill_after = begun % 4 == 0 ? 1 + (uint64_t)(begun % 30) : 0;
            child->pid = fork();
            if (child->pid < 0)
                return 124;
            if (child->pid == 0)
                be_child(child, begun, parent);
            program_record(writer);
            begun++;
            alive++;
        }
        sched_yield();
    }
    return 0;
}

/* ---- threads ------------------------------------------------------------------------------------ */

static uint64_t each;

static void *record_each(void *unused)
{
    program_records(program_writer(), each);
    return unused;
}

static int threads(int total)
{
    pthread_t list[THREADS_MAX];

    if (total > THREADS_MAX)
        return 125;
    for (int i = 0; i < total; i++)
        if (pthread_create(&list[i], NULL, record_each, NULL) != 0)
            return 124;
    for (int i = 0; i < total; i++)
        pthread_join(list[i], NULL);
    return 0;
}

int main(int argc, char **argv)
{
    const char *how = argc > 2 ? argv[1] : "";
    int number = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    const char *argument = argc > 3 ? argv[3] : "";

    program_start();
    if (strcmp(how, "one") == 0)
        return one(number, strcmp(argument, "victim") == 0);
    if (strcmp(how, "processes") == 0)
        return processes(number);
    if (strcmp(how, "forks") == 0)
        return forks(number, (int)strtol(argument, NULL, 10));
    each = strtoull(argument, NULL, 10);
    return strcmp(how, "threads") == 0 ? threads(number) : 125;
}
