/* soak.c: programs that record at a steady rate until the test says go.
 *
 *   soak steady RATE         one thread, RATE records a second
 *   soak churn RATE AT_ONCE  AT_ONCE children at a time, together RATE records a second; each lives for half a second to
 *                            one and a half and then exits, ends without a word, or is killed in the middle
 *   soak calls RATE          a child that begins calls, tells their progress and ends them, RATE records a second
 *                            in all; it is killed every second or two, with calls in flight
 *
 * values[0]: children killed, [1]: calls begun, [2]: processes that have recorded, [3]: records of calls.
 */
#include "support/program.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define AT_ONCE_MAX 32
#define TICK_NS     5000000
#define CALLS_OPEN  16

static unsigned int random_state;

static unsigned int random_below(unsigned int bound)
{
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 8) % bound;
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- at a rate -------------------------------------------------------------------------- */

/* How many are due now. What could not be done in a tenth of a second is forgotten: a machine that
 * was busy with something else is not answered by a burst. */
struct pace {
    int64_t rate;
    int64_t last_ns;
    int64_t credit; /* in records times 10^9 */
};

static int64_t pace_due(struct pace *pace)
{
    int64_t now = now_ns();

    if (pace->last_ns != 0)
        pace->credit += (now - pace->last_ns) * pace->rate;
    pace->last_ns = now;
    if (pace->credit > pace->rate * 100000000)
        pace->credit = pace->rate * 100000000;
    int64_t due = pace->credit / 1000000000;
    pace->credit -= due * 1000000000;
    return due;
}

static void record_until(struct counters_writer *writer, int64_t rate, int64_t end_ns)
{
    struct pace pace = {.rate = rate};

    atomic_fetch_add(&counters->values[2], 1);
    while (atomic_load(&counters->go) == 0 && (end_ns == 0 || now_ns() < end_ns)) {
        program_records(writer, (uint64_t)pace_due(&pace));
        nanosleep(&(struct timespec){0, TICK_NS}, NULL);
    }
}

/* ---- calls in flight ------------------------------------------------------------------------ */

static void calls_until_killed(int64_t rate)
{
    static struct {
        struct tally_call call;
        int step; /* 0: none is open */
    } calls[CALLS_OPEN];
    struct pace pace = {.rate = rate};
    unsigned int at = 0;

    atomic_fetch_add(&counters->values[2], 1);
    while (atomic_load(&counters->go) == 0) {
        for (int64_t due = pace_due(&pace); due > 0; due--, at = (at + 1) % CALLS_OPEN) {
            struct tally_usage usage = TALLY_USAGE_INIT;
            int *step = &calls[at].step;
            int result;
            usage.provider = "test";
            usage.request_model = "large";
            usage.output_tokens = *step;
            if (*step == 0) {
                result = tally_call_begin(&calls[at].call, &usage);
                atomic_fetch_add(&counters->values[1], result == 0);
            } else if (*step == 1) {
                result = tally_call_progress(&calls[at].call, &usage);
            } else {
                result = tally_call_end(&calls[at].call, &usage);
            }
            if (result != 0)
                program_surprise();
            atomic_fetch_add(&counters->values[3], 1);
            *step = (*step + 1) % 3;
        }
        nanosleep(&(struct timespec){0, TICK_NS}, NULL);
    }
    for (at = 0; at < CALLS_OPEN; at++)
        if (calls[at].step != 0 && tally_call_end(&calls[at].call, NULL) != 0)
            program_surprise();
}

/* ---- children that come and go ---------------------------------------------------------------- */

struct child {
    pid_t pid;
    struct counters_writer *writer;
    int64_t kill_ns; /* 0: it ends by itself */
};

/* One writer a place, whoever stands in it: there are more children than writers. */
static void bear(struct child *child, int64_t rate, bool calls)
{
    int64_t life_ns = INT64_C(500000000) + (int64_t)random_below(1000) * 1000000;
    unsigned int end = calls ? 0 : random_below(3);
    pid_t parent = getpid();

    child->kill_ns = end == 0 ? now_ns() + life_ns : 0;
    child->pid = fork();
    if (child->pid < 0)
        _exit(124);
    if (child->pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    if (calls)
        calls_until_killed(rate);
    else
        record_until(child->writer, rate, end == 0 ? 0 : now_ns() + life_ns);
    if (end == 1)
        _exit(0);
    exit(0);
}

static void tend(struct child *child, int64_t rate, bool calls)
{
    int status;

    if (child->kill_ns != 0 && now_ns() >= child->kill_ns) {
        kill(child->pid, SIGKILL);
        child->kill_ns = 0;
        atomic_fetch_add(&counters->values[0], 1);
    }
    if (child->pid == 0 || waitpid(child->pid, &status, WNOHANG) == child->pid)
        bear(child, rate, calls);
}

static void keep_children(int64_t rate, int at_once, bool calls)
{
    struct child children[AT_ONCE_MAX] = {{0}};

    random_state = (unsigned int)getpid();
    for (int i = 0; i < at_once; i++)
        children[i].writer = program_writer();
    while (atomic_load(&counters->go) == 0) {
        for (int i = 0; i < at_once; i++)
            tend(&children[i], rate / at_once, calls);
        nanosleep(&(struct timespec){0, TICK_NS}, NULL);
    }
    for (int i = 0; i < at_once; i++)
        while (waitpid(children[i].pid, NULL, 0) < 0 && errno == EINTR)
            ;
}

int main(int argc, char **argv)
{
    const char *how = argc > 2 ? argv[1] : "";
    int64_t rate = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    int at_once = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 1;

    program_start();
    if (rate <= 0 || at_once < 1 || at_once > AT_ONCE_MAX)
        return 125;
    if (strcmp(how, "steady") == 0)
        record_until(program_writer(), rate, 0);
    else if (strcmp(how, "churn") == 0)
        keep_children(rate, at_once, false);
    else if (strcmp(how, "calls") == 0)
        keep_children(rate, 1, true);
    else
        return 125;
    return 0;
}
