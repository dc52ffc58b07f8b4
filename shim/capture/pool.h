/* pool.h: memory for what is being captured, not from the program's heap: two sizes of blocks, mapped at first use, given out and
 * taken back without a lock.
 *
 *   function             who may call it
 *   pool_take, pool_give any thread, any signal handler, a vfork child; never waits
 *
 * A forked child has a copy, and the same blocks in use: what belongs to the parent's connections is given back when their places are
 * used anew (see generation in exchange.h). */
#ifndef TALLY_CAPTURE_POOL_H
#define TALLY_CAPTURE_POOL_H

#include <stddef.h>

enum pool_size { POOL_SMALL, POOL_LARGE };
#define POOL_SMALL_BYTES (16u << 10) /* a connection, or an exchange */
#define POOL_LARGE_BYTES (44u << 10) /* what zlib needs to inflate */
#define POOL_SMALL_COUNT 4096u
#define POOL_LARGE_COUNT 2048u

/* A block, not cleared; NULL: all are in use, or there is no memory. 64-byte aligned. */
void *pool_take(enum pool_size size);
/* block: from pool_take of this size, or NULL. */
void pool_give(enum pool_size size, void *block);

#endif
