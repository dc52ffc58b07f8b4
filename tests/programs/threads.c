/* threads.c: one thread a request.
 *
 *   threads TOTAL AT_ONCE HOW     TOTAL short threads, AT_ONCE at a time, each records once and ends by HOW: return,
 *                                 pthread_exit, raw (a bare system call), destructor (records once more while its
 *                                 thread-specific data are destroyed), cancel (cancelled, deferred)
 *   threads cancelled             a cancellation is pending during tally's slow paths: it must not act there
 *
 * Notes mappings and descriptors after a first round and at the end.
 */
#include "support/program.h"

#include <pthread.h>
#include <sys/syscall.h>

#define AT_ONCE_MAX 64

static const char *how;
static pthread_key_t key;

static void record_late(void *writer)
{
    program_record(writer);
}

static void *request(void *unused)
{
    struct counters_writer *writer = program_writer();

    if (strcmp(how, "destructor") == 0)
        pthread_setspecific(key, writer);
    program_record(writer);
    if (strcmp(how, "pthread_exit") == 0)
        pthread_exit(NULL);
    if (strcmp(how, "raw") == 0)
        syscall(SYS_exit, 0);
    if (strcmp(how, "cancel") == 0) {
        pthread_cancel(pthread_self());
        program_record(writer);
        pthread_testcancel();
        program_surprise();
    }
    return unused;
}

static void requests(int total, int at_once)
{
    pthread_t threads[AT_ONCE_MAX];
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    for (int done = 0; done < total; done += at_once) {
        for (int i = 0; i < at_once; i++)
            if (pthread_create(&threads[i], &attributes, request, NULL) != 0)
                _exit(124);
        for (int i = 0; i < at_once; i++)
            pthread_join(threads[i], NULL);
    }
    pthread_attr_destroy(&attributes);
    program_result((int64_t)program_mappings());
    program_result((int64_t)program_descriptors());
}

/* tally_init, first records, client objects: each opens files, which would be a cancellation point. */
static void *pending(void *unused)
{
    struct counters_writer *writer = program_writer();

    pthread_cancel(pthread_self());
    if (tally_init(NULL) != 0)
        program_surprise();
    program_record(writer);
    struct tally_client *object = tally_client_new(NULL);
    if (object == NULL)
        program_surprise();
    tally_client_release(object);
    program_records(writer, 3000); /* with a full lane: what is done there looks at files, too */
    tally_shutdown(1);
    program_result(1);
    pthread_testcancel();
    program_surprise();
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *value;

    program_start();
    if (argc == 2 && strcmp(argv[1], "cancelled") == 0) {
        if (pthread_create(&thread, NULL, pending, NULL) != 0 || pthread_join(thread, &value) != 0)
            return 124;
        return value == PTHREAD_CANCELED ? 0 : 123;
    }
    if (argc < 4)
        return 125;
    int total = (int)strtol(argv[1], NULL, 10);
    int at_once = (int)strtol(argv[2], NULL, 10);
    how = argv[3];
    /* the destructor of a key made before the library's own runs before that, or after: both are tried */
    pthread_key_create(&key, record_late);
    requests(at_once * 4, at_once);
    requests(total, at_once);
    return 0;
}
