/* doorbell.h: one thread for each arena that waits where its clients ring.
 *
 * futex(2) waits on one word and poll(2) on none, so a thread stands between: it sleeps in
 * FUTEX_WAIT on the doorbell and pokes the collector's eventfd when rung. Asleep it costs nothing; while
 * nobody rings, arming it again costs the collector nothing either.
 *
 * doorbell_start, _arm and _stop: the collector's thread alone.
 */
#ifndef TALLY_DOORBELL_H
#define TALLY_DOORBELL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct doorbell {
    pthread_t thread;
    bool started;
    const uint32_t *word; /* in the arena, mapped read-only: never dereferenced */
    int poke;             /* eventfd */
    uint32_t value;       /* armed for */
    uint32_t armed;       /* private futex: grows with each arming */
    uint32_t answered;    /* the arming that the thread has come back from */
    uint32_t broken;      /* the word cannot be waited on: bound all sleeps */
    uint32_t stop;
};

/* word: its address; poke: an eventfd. The thread waits to be armed. Signals are blocked in it as in its
 * maker, but for SIGUSR1, by which doorbell_stop() interrupts it. */
int doorbell_start(struct doorbell *doorbell, const uint32_t *word, int poke);
void doorbell_stop(struct doorbell *doorbell);

/* Poke the collector when the word is rung, or at once if it is not `value` any more. */
void doorbell_arm(struct doorbell *doorbell, uint32_t value);

/* Whether the doorbell can wake anybody. */
bool doorbell_sound(const struct doorbell *doorbell);

#endif
