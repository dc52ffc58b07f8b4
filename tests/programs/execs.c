/* execs.c: programs that record and then become another program.
 *
 *   execs leader N        N records, then exec from the main thread; the new program records N more
 *   execs thread N        the same from another thread, while others record
 *   execs clean N         exec after tally_shutdown(0)
 *   execs quiet N         N records, then one stage more, and when the test lets that stage go, as leader
 *   execs then N          what is exec'd: N records, one stage more, and when the test lets that stage go, exit
 */
#include "support/program.h"

#include <pthread.h>

static uint64_t count;
static char *self_path;
static char *count_text;
static struct counters_writer *first; /* of the threads that go on recording */

static void become(void)
{
    execl(self_path, self_path, "then", count_text, (char *)NULL);
    _exit(126);
}

static void *record_and_become(void *unused)
{
    program_records(program_writer(), count);
    while (atomic_load(&first->acknowledged) < 50)
        sched_yield();
    become();
    return unused;
}

static void *record_for_ever(void *writer)
{
    for (;;)
        program_record_paced(writer);
    return NULL;
}

int main(int argc, char **argv)
{
    const char *scenario = argc > 1 ? argv[1] : "";
    struct counters_writer *writer;
    pthread_t threads[3];

    program_start();
    self_path = argv[0];
    count_text = argc > 2 ? argv[2] : argv[0];
    count = strtoull(count_text, NULL, 10);
    writer = program_writer();
    program_records(writer, count);
    if (strcmp(scenario, "then") == 0) {
        program_wait(atomic_fetch_add(&counters->stage, 1) + 1);
        return 0;
    }
    if (strcmp(scenario, "quiet") == 0)
        program_wait(atomic_fetch_add(&counters->stage, 1) + 1);
    if (strcmp(scenario, "clean") == 0)
        tally_shutdown(0);
    if (strcmp(scenario, "thread") != 0)
        become();
    first = program_writer();
    pthread_create(&threads[0], NULL, record_for_ever, first);
    pthread_create(&threads[1], NULL, record_for_ever, program_writer());
    pthread_create(&threads[2], NULL, record_and_become, NULL);
    pthread_join(threads[2], NULL);
    return 126;
}
