/* loader.c: a program that is not linked with tally (its archive variant is the one to run: nothing of the archive is
 * taken) and loads the library while it runs, as an extension of an interpreter would.
 *
 *   loader LIBRARY N      load it, N records on two threads, unload, load again, N records more
 */
#include "support/counters.h"

#include <tally/tally.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct counters *counters;
static int (*record)(const struct tally_usage *);
static uint64_t count;

static void *record_some(void *unused)
{
    uint32_t index = atomic_fetch_add(&counters->writer_count, 1);
    struct counters_writer *writer = &counters->writers[index];
    char name[24];

    snprintf(name, sizeof(name), "w%u", index);
    for (uint64_t i = 1; i <= count; i++) {
        struct tally_usage usage = TALLY_USAGE_INIT;
        usage.provider = "test";
        usage.user = name;
        usage.output_tokens = (int64_t)i;
        atomic_store(&writer->attempted, i);
        if (record(&usage) != 0)
            atomic_fetch_add(&counters->surprises, 1);
        atomic_store(&writer->acknowledged, i);
    }
    return unused;
}

static void *find(void *library, const char *name)
{
    void *symbol = dlsym(library, name);

    if (symbol == NULL)
        _exit(126);
    return symbol;
}

int main(int argc, char **argv)
{
    const char *counters_path = getenv(COUNTERS_ENVIRONMENT);
    int file = counters_path ? open(counters_path, O_RDWR | O_CLOEXEC) : -1;
    pthread_t thread;

    if (argc < 3 || file < 0)
        return 125;
    counters = mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    count = strtoull(argv[2], NULL, 10);
    for (int round = 0; round < 3; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            return 124;
        *(void **)&record = find(library, "tally_record");
        if (dlsym(library, "lane_write") != NULL || dlsym(RTLD_DEFAULT, "tally_record") != NULL)
            atomic_fetch_add(&counters->surprises,
                             1); /* too much is visible, or this program is linked with tally */
        record_some(NULL);
        if (pthread_create(&thread, NULL, record_some, NULL) != 0)
            return 123;
        pthread_join(thread, NULL);
        dlclose(library);
        /* a thread that ends after dlclose() runs the library's destructor: it has to be there still */
        if (pthread_create(&thread, NULL, record_some, NULL) != 0)
            return 123;
        pthread_join(thread, NULL);
    }
    return 0;
}
