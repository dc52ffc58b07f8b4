/* A writer that does what its arguments say, one after the other:
 *
 *   script INDEX [rN | bN | sMS | t]...
 *
 * rN  N records              bN  N records of more than 3 KiB
 * sMS tally_shutdown(MS)     t   the rest in a thread of its own
 *
 * After each shutdown its answer stands in the counters' values[INDEX], and a system call that fails says so to who traces it. */
#include "support/program.h"

#include "crash/marks.h"

#include <pthread.h>
#include <sys/syscall.h>

static struct counters_writer *writer;
static char **script;

static void record_big(void)
{
    static char json[3200];
    char name[24];
    struct tally_usage usage = program_usage(writer, name);

    memset(json, 'x', sizeof(json));
    memcpy(json, "{\"pad\":\"", 8);
    memcpy(json + sizeof(json) - 2, "\"}", 2);
    usage.usage_json = json;
    usage.usage_json_length = sizeof(json);
    program_attempt(writer);
    program_attempted(writer, tally_record(&usage));
}

static void shut_down(int timeout_ms)
{
    int answer = tally_shutdown(timeout_ms);

    atomic_store(&counters->values[writer - counters->writers], (uint64_t)answer);
    syscall(SYS_getpriority, MARK_CALL, MARK_SHUTDOWN);
}

static void *perform(void *argument)
{
    while (*script != NULL) {
        const char *word = *script++;
        int number = atoi(word + 1);
        pthread_t thread;
        switch (word[0]) {
        case 'r':
            program_records(writer, (uint64_t)number);
            break;
        case 'b':
            for (int i = 0; i < number; i++)
                record_big();
            break;
        case 's':
            shut_down(number);
            break;
        case 't':
            if (pthread_create(&thread, NULL, perform, NULL) != 0 || pthread_join(thread, NULL) != 0)
                program_surprise();
            break;
        default:
            program_surprise();
        }
    }
    return argument;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    program_start();
    writer = &counters->writers[atoi(argv[1])];
    script = argv + 2;
    perform(NULL);
    return 0;
}
