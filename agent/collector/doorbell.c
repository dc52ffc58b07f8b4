#include "collector/doorbell.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <testpoint.h>
#include <time.h>
#include <unistd.h>

#define STOP_RETRY_NS 10000000

static long futex_wait(const uint32_t *word, int operation, uint32_t value)
{
    return syscall(SYS_futex, word, operation, value, NULL, NULL, 0) ? -errno : 0;
}

static void poke_collector(const struct doorbell *doorbell)
{
    uint64_t one = 1;
    /* It fails only when the counter is full: then the collector has been poked already. */
    if (write(doorbell->poke, &one, sizeof one) < 0)
        return;
}

static void *wait_for_rings(void *argument)
{
    struct doorbell *doorbell = argument;
    sigset_t interrupt;
    uint32_t seen = 0;

    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
    /* Pairs with the store in doorbell_stop(). */
    while (!__atomic_load_n(&doorbell->stop, __ATOMIC_ACQUIRE)) {
        /* Pairs with the release in doorbell_arm(): `value` is that of the arming seen here or newer. */
        uint32_t armed = __atomic_load_n(&doorbell->armed, __ATOMIC_ACQUIRE);
        if (armed == seen) {
            futex_wait(&doorbell->armed, FUTEX_WAIT_PRIVATE, armed);
            continue;
        }
        seen = armed;
        uint32_t value = __atomic_load_n(&doorbell->value, __ATOMIC_RELAXED);
        /* Shared, not private: the ringers are other processes. */
        TESTPOINT(doorbell_armed);
        long result = futex_wait(doorbell->word, FUTEX_WAIT, value);
        if (result && result != -EAGAIN && result != -EINTR)
            __atomic_store_n(&doorbell->broken, 1, __ATOMIC_RELAXED);
        /* Pairs with the acquire load in doorbell_arm(). */
        __atomic_store_n(&doorbell->answered, armed, __ATOMIC_RELEASE);
        TESTPOINT(doorbell_answered);
        poke_collector(doorbell);
    }
    return NULL;
}

static void interrupted(int signal)
{
    (void)signal; /* only to make futex(2) return EINTR */
}

int doorbell_start(struct doorbell *doorbell, const uint32_t *word, int poke)
{
    struct sigaction action = {.sa_handler = interrupted};
    pthread_attr_t attributes;

    memset(doorbell, 0, sizeof *doorbell);
    doorbell->word = word;
    doorbell->poke = poke;
    doorbell->broken = !word;
    if (!word)
        return 0;
    if (sigaction(SIGUSR1, &action, NULL))
        return -errno;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    int result = pthread_create(&doorbell->thread, &attributes, wait_for_rings, doorbell);
    pthread_attr_destroy(&attributes);
    doorbell->started = result == 0;
    return -result;
}

void doorbell_stop(struct doorbell *doorbell)
{
    if (!doorbell->started)
        return;
    __atomic_store_n(&doorbell->stop, 1, __ATOMIC_RELEASE); /* pairs with the load in wait_for_rings() */
    /* The thread may be about to sleep on either word, after its look at `stop`: interrupt it until it
     * is gone. A wake of the doorbell would do no better, and fails when the arena is truncated. */
    for (;;) {
        struct timespec deadline;
        pthread_kill(doorbell->thread, SIGUSR1);
        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_nsec += STOP_RETRY_NS;
        if (deadline.tv_nsec >= 1000000000) {
            deadline.tv_nsec -= 1000000000;
            deadline.tv_sec++;
        }
        if (!pthread_timedjoin_np(doorbell->thread, NULL, &deadline))
            break;
    }
    doorbell->started = false;
}

void doorbell_arm(struct doorbell *doorbell, uint32_t value)
{
    if (!doorbell->started || !doorbell_sound(doorbell))
        return;
    /* Still waiting from an earlier arming (or about to wait, and then for a value that no longer
     * holds, so that it returns at once): any ring wakes it, for rings go by address, not by value.
     * Pairs with the release store in wait_for_rings(). */
    if (__atomic_load_n(&doorbell->answered, __ATOMIC_ACQUIRE) != doorbell->armed)
        return;
    __atomic_store_n(&doorbell->value, value, __ATOMIC_RELAXED);
    __atomic_fetch_add(&doorbell->armed, 1, __ATOMIC_RELEASE); /* pairs with the load in wait_for_rings() */
    syscall(SYS_futex, &doorbell->armed, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool doorbell_sound(const struct doorbell *doorbell)
{
    /* Written once, by the waiting thread; a round late does no harm. */
    return !__atomic_load_n(&doorbell->broken, __ATOMIC_RELAXED);
}
