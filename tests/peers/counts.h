/* counts.h: what each producer has been told is recorded, in a file that outlives it. C and C++.
 *
 *     PRODUCER COUNTS INDEX RECORDS      RECORDS 0: until killed
 *
 * The file: 16 x acknowledged, 16 x received, as 8-byte numbers. A producer adds to its own slot after the call that
 * records has returned; a consumer, where the peer needs one of ours, adds to the other half.
 */
#ifndef TALLY_TESTS_PEERS_COUNTS_H
#define TALLY_TESTS_PEERS_COUNTS_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRODUCERS_MAX 16

struct counts {
    uint64_t acknowledged[PRODUCERS_MAX];
    uint64_t received[PRODUCERS_MAX];
};

/* What every peer carries: 128 bytes. */
struct message {
    uint64_t producer;
    uint64_t number; /* from 1 */
    char filling[112];
};

struct producer {
    struct counts *counts;
    uint64_t index;
    uint64_t records;
};

static inline struct counts *counts_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *mapped =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (mapped == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    close(fd);
    return (struct counts *)mapped;
}

static inline struct producer producer_start(int argc, char **argv)
{
    struct producer producer;

    if (argc != 4 || strtoull(argv[2], NULL, 10) >= PRODUCERS_MAX) {
        fprintf(stderr, "usage: %s COUNTS INDEX RECORDS\n", argv[0]);
        exit(2);
    }
    producer.counts = counts_map(argv[1]);
    producer.index = strtoull(argv[2], NULL, 10);
    producer.records = strtoull(argv[3], NULL, 10);
    return producer;
}

/* Whether record `number` is still to be written. */
static inline int producer_goes_on(const struct producer *producer, uint64_t number)
{
    return producer->records == 0 || number <= producer->records;
}

/* Only its own producer writes a slot; whoever looks on wants no more than a number that was once true. */
static inline void producer_acknowledged(const struct producer *producer, uint64_t number)
{
    __atomic_store_n(&producer->counts->acknowledged[producer->index], number, __ATOMIC_RELAXED);
}

static inline void counts_received(struct counts *counts, uint64_t index)
{
    if (index < PRODUCERS_MAX)
        __atomic_fetch_add(&counts->received[index], 1, __ATOMIC_RELAXED);
}

#endif
