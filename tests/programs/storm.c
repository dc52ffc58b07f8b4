/* storm.c: a timer's signal handler calls tally as often as it can, in the middle of whatever tally call it hits.
 *
 *   storm SIGNALS HOW     until SIGNALS handlers have run. HOW: record, call (begin, progress, end), shutdown,
 *                         threads (several threads are hit), first (a fresh thread each time: its taking of a lane is hit)
 *
 * The handler's records have a writer of their own. values[0] is how many of its calls were refused as reentered.
 */
#include "support/program.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static struct counters_writer *handler_writer;
static _Atomic uint64_t signals;
static uint64_t signals_wanted;
static const char *how;
static _Atomic bool handling; /* one handler at a time keeps the handler's book */

static void count_reentered(int result)
{
    if (result == -EBUSY)
        atomic_fetch_add(&counters->values[0], 1);
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    int saved = errno;
    if (atomic_fetch_add(&signals, 1) >= signals_wanted)
        return; /* threads are ending: one past its destructors would take a lane that nobody gives back */
    if (strcmp(how, "shutdown") == 0) {
        int result = tally_shutdown(0);
        if (result != TALLY_PUBLISHED && result != TALLY_DURABLE && result != -EBUSY)
            program_surprise();
    } else if (!atomic_exchange(&handling, true)) {
        count_reentered(program_record(handler_writer));
        atomic_store(&handling, false);
    }
    errno = saved;
}

static bool done(void)
{
    return atomic_load(&signals) >= signals_wanted;
}

static void *record_until_done(void *unused)
{
    struct counters_writer *writer = program_writer();

    while (!done())
        program_record(writer);
    return unused;
}

static void *record_once(void *writer)
{
    program_record(writer);
    return NULL;
}

static void calls_until_done(void)
{
    while (!done()) {
        struct tally_usage usage = TALLY_USAGE_INIT;
        struct tally_call call;
        usage.provider = "test";
        if (tally_call_begin(&call, &usage) != 0)
            continue;
        usage.output_tokens = 1;
        while (tally_call_progress(&call, &usage) == -EAGAIN)
            ;
        while (tally_call_end(&call, &usage) == -EAGAIN)
            ;
        atomic_fetch_add(&counters->values[1], 1);
    }
}

static void fresh_threads_until_done(void)
{
    pthread_t thread;
    struct counters_writer *writer = program_writer();

    while (!done()) {
        if (pthread_create(&thread, NULL, record_once, writer) != 0)
            _exit(124);
        pthread_join(thread, NULL);
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    pthread_t threads[3];

    program_start();
    if (argc < 3)
        return 125;
    signals_wanted = strtoull(argv[1], NULL, 10);
    how = argv[2];
    handler_writer = program_writer();
    program_record(program_writer());
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 50}, {0, 50}}, NULL);
    if (strcmp(how, "threads") == 0) {
        for (int i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, record_until_done, NULL);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
    } else if (strcmp(how, "call") == 0) {
        calls_until_done();
    } else if (strcmp(how, "first") == 0) {
        fresh_threads_until_done();
    } else {
        record_until_done(NULL);
    }
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    return 0;
}
