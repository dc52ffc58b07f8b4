#include "arena/lane_reader.h"

#include <errno.h>
#include <string.h>
#include <testpoint.h>

/* What of the header is read: its four lines at the page's end. */
#define LINES_BYTES  (4 * TALLY_CACHE_LINE_BYTES)
#define LINES_OFFSET (TALLY_LANE_HEADER_BYTES - LINES_BYTES)

/* How often a header is read when no slot fits its tail: one read's words are of different ages, and a
 * writer that publishes twice between the tail's and the slots' leaves none that fits. */
#define LOOKS_MAX 8

/* ThreadSanitizer does not know fences, and refuses to be built with them. It sees nothing of other
 * processes anyway. */
static inline void acquire_fence(void)
{
#ifndef __SANITIZE_THREAD__
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

static void take_lines(const unsigned char *lines, struct lane_head *head)
{
    struct tally_lane_slot slot[2];
#define TAKE(member, out)                                                                                    \
    memcpy(&(out), lines + offsetof(struct tally_lane_header, member) - LINES_OFFSET, sizeof(out))
    TAKE(identity, head->identity);
    TAKE(final_sequence, head->final_sequence);
    TAKE(refused_full, head->refused_full);
    TAKE(tail, head->tail);
    TAKE(slot, slot);
#undef TAKE
    /* A lane that has never been written has tail 0 and empty slots: sequence 0, which fits. */
    head->slotted = slot[0].tail == head->tail || slot[1].tail == head->tail;
    head->sequence = slot[0].tail == head->tail ? slot[0].sequence : slot[1].sequence;
    /* Both: only in a lane not written yet, or whose first record stands at slot 1. The greater is newer. */
    if (slot[0].tail == slot[1].tail && slot[1].sequence > head->sequence)
        head->sequence = slot[1].sequence;
}

int lane_read_head(const struct arena_reader *reader, uint32_t lane, struct lane_head *head)
{
    _Alignas(64) unsigned char lines[LINES_BYTES];
    uint64_t header_offset = tally_lane_offset(&reader->header, lane) + reader->header.ring_bytes;
    uint32_t owner;

    int result = arena_reader_bytes(reader, &owner, sizeof owner,
                                    header_offset + offsetof(struct tally_lane_header, owner));
    if (result)
        return result;
    head->owner = owner;
    TESTPOINT(owner_read);
    for (int attempt = 0; attempt < LOOKS_MAX; attempt++) {
        /* Pairs with the release of the owner word in robust_leave(), shim/robust.c: what is read from here on is at
         * least as new as the word above. */
        acquire_fence();
        result = arena_reader_bytes(reader, lines, sizeof lines, header_offset + LINES_OFFSET);
        if (result)
            return result;
        take_lines(lines, head);
        if (head->slotted)
            break;
    }
    /* Pairs with the release store of tail in lane_write(), shim/lane.c: the records fetched next are
     * at least as new as the tail above. */
    acquire_fence();
    TESTPOINT(header_read);
    return 0;
}

bool lane_head_same(const struct lane_head *a, const struct lane_head *b)
{
    return a->owner == b->owner && a->tail == b->tail && a->sequence == b->sequence &&
           a->slotted == b->slotted && a->final_sequence == b->final_sequence &&
           a->refused_full == b->refused_full && memcmp(&a->identity, &b->identity, sizeof a->identity) == 0;
}

int lane_read_again(const struct arena_reader *reader, uint32_t lane, const struct lane_head *known,
                    struct lane_head *head)
{
    _Alignas(64) unsigned char lines[LINES_BYTES];
    uint64_t header_offset = tally_lane_offset(&reader->header, lane) + reader->header.ring_bytes;

    int result = arena_reader_bytes(reader, lines, sizeof lines, header_offset + LINES_OFFSET);
    if (result)
        return result;
    take_lines(lines, head);
    memcpy(&head->owner, lines + offsetof(struct tally_lane_header, owner) - LINES_OFFSET,
           sizeof head->owner);
    return lane_head_same(head, known) ? 0 : lane_read_head(reader, lane, head);
}

int lane_read_ring(const struct arena_reader *reader, uint32_t lane, uint64_t from, uint64_t to, void *bytes)
{
    uint64_t ring = tally_lane_offset(&reader->header, lane);
    uint64_t ring_bytes = reader->header.ring_bytes;
    uint64_t wanted = to - from;
    uint64_t offset = from % ring_bytes;
    uint64_t first = wanted < ring_bytes - offset ? wanted : ring_bytes - offset;

    int result = arena_reader_bytes(reader, bytes, (size_t)first, ring + offset);
    if (result == 0 && first < wanted)
        result = arena_reader_bytes(reader, (char *)bytes + first, (size_t)(wanted - first), ring);
    return result;
}
