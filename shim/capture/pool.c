/* pool.c: see pool.h.
 *
 * Blocks have numbers. A number that was never given out comes from a counter, one that was given back from a list whose links stand
 * beside the blocks and not in them, so that nothing of a block is read once somebody else may have it. Chunks of blocks are mapped
 * when the first number in them is taken: a program that makes one call at a time has 2 MiB of addresses less, not 150, which matters under
 * RLIMIT_AS and to mlockall().
 *
 * Killed or forked right here: each step is one atomic store or exchange, so the lists hold at every instruction. A child forked (by another thread)
 * between two steps has one block less; so has a process whose vfork child dies between two. That is bounded, and never wrong.
 */
#include "capture/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "platform.h"

#define SMALL_CHUNK_BLOCKS 64u /* 1 MiB */
#define LARGE_CHUNK_BLOCKS 32u /* 1.4 MiB */
#define CHUNKS             64u

_Static_assert(CHUNKS *SMALL_CHUNK_BLOCKS == POOL_SMALL_COUNT, "chunks hold all small blocks");
_Static_assert(CHUNKS *LARGE_CHUNK_BLOCKS == POOL_LARGE_COUNT, "chunks hold all large blocks");
_Static_assert(POOL_SMALL_BYTES % 64 == 0 && POOL_LARGE_BYTES % 64 == 0, "blocks are aligned");

/* What a link says besides "number + 1 of the next one" and 0, the end. */
#define LINK_IN_USE UINT32_MAX

struct blocks {
    /* Number + 1 of the first free one in the low half, 0: none; above it a count of changes. Without it a thread that read
     * (first, next), slept, and found the same first again would put a `next` there that is long in use. */
    uint64_t free;
    uint32_t fresh; /* numbers from here on were never given out */
    uint32_t *links;
    char *chunks[CHUNKS];
};

static uint32_t small_links[POOL_SMALL_COUNT];
static uint32_t large_links[POOL_LARGE_COUNT];
static struct {
    struct blocks sizes[2];
} pool = {.sizes = {[POOL_SMALL] = {.links = small_links}, [POOL_LARGE] = {.links = large_links}}};

static const struct {
    size_t bytes;
    uint32_t count, chunk_blocks;
} shapes[] = {
    [POOL_SMALL] = {POOL_SMALL_BYTES, POOL_SMALL_COUNT, SMALL_CHUNK_BLOCKS},
    [POOL_LARGE] = {POOL_LARGE_BYTES, POOL_LARGE_COUNT, LARGE_CHUNK_BLOCKS},
};

static uint64_t changed(uint64_t free, uint32_t first)
{
    return ((free >> 32) + 1) << 32 | first;
}

/* A number from the list, + 1; 0: it is empty. */
static uint32_t take_free(struct blocks *blocks)
{
    /* acquire: pairs with the release in give_free(), behind which the link is there. */
    uint64_t free = __atomic_load_n(&blocks->free, __ATOMIC_ACQUIRE);
    while ((uint32_t)free) {
        uint32_t number = (uint32_t)free - 1;
        uint32_t next = __atomic_load_n(&blocks->links[number], __ATOMIC_RELAXED);
        /* If somebody took this block meanwhile `next` is stale, but then the count has moved.
         * acquire, here and on failure: pairs with the release in give_free(), before which the last owner wrote to the block. */
        if (__atomic_compare_exchange_n(&blocks->free, &free, changed(free, next), true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_ACQUIRE))
            return number + 1;
    }
    return 0;
}

static void give_free(struct blocks *blocks, uint32_t number)
{
    uint64_t free = __atomic_load_n(&blocks->free, __ATOMIC_RELAXED);
    do
        __atomic_store_n(&blocks->links[number], (uint32_t)free, __ATOMIC_RELAXED);
    /* release: pairs with the acquires in take_free(): the link above, and all that was done with the block. */
    while (!__atomic_compare_exchange_n(&blocks->free, &free, changed(free, number + 1), true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static uint32_t take_fresh(struct blocks *blocks, uint32_t count)
{
    uint32_t number = __atomic_load_n(&blocks->fresh, __ATOMIC_RELAXED);
    while (number < count)
        if (__atomic_compare_exchange_n(&blocks->fresh, &number, number + 1, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return number + 1;
    return 0;
}

static char *chunk_map(char **place, size_t bytes)
{
    /* acquire: pairs with the exchange below, in whichever thread. */
    char *chunk = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (chunk)
        return chunk;
    char *fresh =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    madvise(fresh, bytes, MADV_DONTDUMP);
    /* release: pairs with the acquire above. acquire on failure: with the winner's release. */
    if (!__atomic_compare_exchange_n(place, &chunk, fresh, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
        munmap(fresh, bytes);
        return chunk;
    }
    return fresh;
}

void *pool_take(enum pool_size size)
{
    struct blocks *blocks = &pool.sizes[size];
    int saved = errno;
    uint32_t number = take_free(blocks);
    if (!number)
        number = take_fresh(blocks, shapes[size].count);
    if (!number)
        return NULL;
    number--;
    uint32_t in_chunk = shapes[size].chunk_blocks;
    char *chunk = chunk_map(&blocks->chunks[number / in_chunk], in_chunk * shapes[size].bytes);
    errno = saved;
    if (!chunk) {
        give_free(blocks, number);
        return NULL;
    }
    __atomic_store_n(&blocks->links[number], LINK_IN_USE, __ATOMIC_RELAXED);
    return chunk + number % in_chunk * shapes[size].bytes;
}

void pool_give(enum pool_size size, void *block)
{
    struct blocks *blocks = &pool.sizes[size];
    size_t chunk_bytes = shapes[size].chunk_blocks * shapes[size].bytes;
    for (uint32_t i = 0; i < CHUNKS && block; i++) {
        /* acquire: pairs with the release in chunk_map(). */
        const char *chunk = __atomic_load_n(&blocks->chunks[i], __ATOMIC_ACQUIRE);
        size_t offset = (size_t)((uintptr_t)block - (uintptr_t)chunk);
        if (!chunk || offset >= chunk_bytes)
            continue;
        uint32_t number = i * shapes[size].chunk_blocks + (uint32_t)(offset / shapes[size].bytes);
        /* Given back twice: the second time means nothing. */
        uint32_t in_use = LINK_IN_USE;
        if (offset % shapes[size].bytes == 0 &&
            __atomic_compare_exchange_n(&blocks->links[number], &in_use, 0, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            give_free(blocks, number);
        return;
    }
}
