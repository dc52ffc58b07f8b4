/* program.h: what helper programs (tests/programs) share. They stand for users' programs, so they are
 * linked with libtally alone and this is all in a header. Threads: any.
 */
#ifndef TESTS_SUPPORT_PROGRAM_H
#define TESTS_SUPPORT_PROGRAM_H

#include "counters.h"

#include <tally/tally.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Any errno value that tally never sets: calls must leave it alone. */
#define PROGRAM_ERRNO 113

static struct counters *counters;

static inline void program_start(void)
{
    const char *path = getenv(COUNTERS_ENVIRONMENT);
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    counters =
        file < 0 ? MAP_FAILED : mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED)
        _exit(120);
    close(file);
}

static inline void program_surprise(void)
{
    atomic_fetch_add(&counters->surprises, 1);
}

static inline void program_result(int64_t value)
{
    uint32_t index = atomic_fetch_add(&counters->result_count, 1);

    if (index < COUNTERS_RESULTS_MAX)
        atomic_store(&counters->results[index], value);
}

static inline void program_stage(uint32_t stage)
{
    atomic_store(&counters->stage, stage);
}

/* Until the test says go. */
static inline void program_wait(uint32_t go)
{
    while (atomic_load(&counters->go) < go)
        nanosleep(&(struct timespec){0, 500000}, NULL);
}

static inline struct counters_writer *program_writer(void)
{
    uint32_t index = atomic_fetch_add(&counters->writer_count, 1);

    if (index >= COUNTERS_WRITERS_MAX)
        _exit(121);
    return &counters->writers[index];
}

/* The usage of a writer's next record; name: room for the writer's. */
static inline struct tally_usage program_usage(const struct counters_writer *writer, char name[24])
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    snprintf(name, 24, "w%d", (int)(writer - counters->writers));
    usage.provider = "test";
    usage.operation = "chat";
    usage.request_model = "small";
    usage.user = name;
    usage.input_tokens = 1;
    usage.output_tokens = (int64_t)atomic_load(&writer->attempted) + 1;
    return usage;
}

/* A call into tally is about to be made, and has been made: keep the writer's book. */
static inline void program_attempt(struct counters_writer *writer)
{
    atomic_fetch_add(&writer->attempted, 1);
    errno = PROGRAM_ERRNO;
}
static inline int program_attempted(struct counters_writer *writer, int result)
{
    if (errno != PROGRAM_ERRNO)
        program_surprise();
    if (result == 0) {
        atomic_fetch_add(&writer->acknowledged, 1);
    } else {
        atomic_fetch_sub(&writer->attempted, 1);
        atomic_fetch_add(&counters->refused[result < 0 && result > -COUNTERS_ERRORS_MAX ? -result : 0], 1);
    }
    return result;
}

static inline int program_record(struct counters_writer *writer)
{
    char name[24];
    struct tally_usage usage = program_usage(writer, name);

    program_attempt(writer);
    return program_attempted(writer, tally_record(&usage));
}

/* For threads that record without end: where tally is full, let the agent have the processor. */
static inline void program_record_paced(struct counters_writer *writer)
{
    if (program_record(writer) != 0)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static inline void program_records(struct counters_writer *writer, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        program_record(writer);
}

/* How many lines a file of /proc/self has (mappings), and how many descriptors are open. */
static inline uint64_t program_mappings(void)
{
    char buffer[4096];
    uint64_t lines = 0;
    ssize_t got;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

    while ((got = read(file, buffer, sizeof(buffer))) > 0)
        for (ssize_t i = 0; i < got; i++)
            lines += buffer[i] == '\n';
    close(file);
    return lines;
}

static inline uint64_t program_descriptors(void)
{
    uint64_t open_now = 0;

    for (int file = 0; file < 1024; file++)
        open_now += fcntl(file, F_GETFD) >= 0;
    return open_now;
}

#endif
