/* reader.h: a contender's reader, a process of its own that is gone when the contender is. C and C++. */
#ifndef TALLY_BENCH_READER_H
#define TALLY_BENCH_READER_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static inline void *shared_memory(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED) {
        printf("cannot mmap: %m\n");
        exit(0);
    }
    return memory;
}

/* read_all: never returns. */
static inline void reader_start(void (*read_all)(void))
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0) {
        printf("cannot fork: %m\n");
        exit(0);
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            read_all();
        _exit(0);
    }
}

/* Until the reader's count says so. The count is only ever added to by the reader. */
static inline void reader_await(const uint64_t *taken, uint64_t sent)
{
    while (__atomic_load_n(taken, __ATOMIC_ACQUIRE) < sent) /* pairs with each reader's release add */
        sched_yield();
}

#endif
