/* decode_region.c: a mapping from which a decoder's library gets its memory, and which ends with the decoder.
 *
 * The library's state, tables and window: a dozen blocks, some of them taken and given back with each block of the stream. First
 * fit, neighbours that are free grow together when somebody looks for room. Pages that are never touched are never there.
 */
#include "capture/decode_coding.h"

#include <sys/mman.h>

#include "platform.h"

/* Stands before each block, one after another up to the region's end. */
struct block {
    size_t bytes; /* with this head */
    bool free;
} __attribute__((aligned(64)));

struct region {
    size_t bytes;
} __attribute__((aligned(64)));

struct region *region_begin(size_t bytes)
{
    struct region *region =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return NULL;
    madvise(region, bytes, MADV_DONTDUMP);
    region->bytes = bytes;
    struct block *first = (struct block *)(region + 1);
    first->bytes = bytes - sizeof *region;
    first->free = true;
    return region;
}

static struct block *next_of(const struct region *region, struct block *block)
{
    char *next = (char *)block + block->bytes;
    return next < (const char *)region + region->bytes ? (struct block *)next : NULL;
}

void *region_take(struct region *region, size_t bytes)
{
    if (!region || bytes > region->bytes)
        return NULL;
    size_t wanted = ((bytes + 63) & ~(size_t)63) + sizeof(struct block);
    for (struct block *block = (struct block *)(region + 1); block; block = next_of(region, block)) {
        if (!block->free)
            continue;
        for (struct block *next; (next = next_of(region, block)) && next->free;)
            block->bytes += next->bytes;
        if (block->bytes < wanted)
            continue;
        if (block->bytes - wanted > sizeof *block) {
            struct block *rest = (struct block *)((char *)block + wanted);
            rest->bytes = block->bytes - wanted;
            rest->free = true;
            block->bytes = wanted;
        }
        block->free = false;
        return block + 1;
    }
    return NULL;
}

void region_give(struct region *region, void *block)
{
    (void)region;
    if (block)
        ((struct block *)block - 1)->free = true;
}

void region_end(struct region *region)
{
    munmap(region, region->bytes);
}
