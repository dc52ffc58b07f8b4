/* connection_place.h: where connections are found: a place for each descriptor, and some thousands for objects by their address, each with a
 * lock of its own. What is in a place is connection.c's.
 *
 *   function                       who may call it
 *   place_is_used, place_generation any thread, any signal handler, a vfork child
 *   place_lock                      the same, with a generation from place_generation(); who holds it must not wait
 *   place_unlock, place_leave       who holds it
 */
#ifndef TALLY_CAPTURE_CONNECTION_PLACE_H
#define TALLY_CAPTURE_CONNECTION_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/settings.h"

#define PLACE_DESCRIPTORS 65536u

struct place {
    /* Generation of the process in the high half; in the low one the tid of who holds it, 0: nobody; PLACE_ABANDONED beside it. */
    uint64_t lock;
    /* 0: nothing is known. Written under the lock, read by anybody (place_is_used). */
    uint64_t content;
};

/* Whether there is content for this key. One load, for a descriptor; one line of the cache for an address. */
bool place_is_used(enum capture_layer layer, uintptr_t key);

/* The present process's; 0: nothing is known in it, or it is not this process whose memory this is (a vfork child).
 * begin: make it one in which something may be known. */
uint32_t place_generation(bool begin);

/* A place that is held. */
struct place_hold {
    struct place *place;
    uint64_t lock; /* as it is while we hold it */
    bool stale;    /* what is in it is another generation's: a parent's */
    bool torn;     /* and its lock was held when that one forked */
};

/* Find the place and lock it. begin: one that is free, if there is none. False: there is none, or it cannot be had: somebody holds it
 * who will not let go of it (this very thread, interrupted; one that is gone; or a second has passed). The holder then finds
 * it abandoned. */
bool place_lock(struct place_hold *hold, enum capture_layer layer, uintptr_t key, uint32_t generation,
                bool begin);

/* Let go of it. False: somebody has abandoned it: what is known is no longer true. Set it right, and call again. */
bool place_unlock(const struct place_hold *hold);

/* Nothing is known here any more; still to be unlocked. */
void place_clear(enum capture_layer layer, struct place *place);

#endif
