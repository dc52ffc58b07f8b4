/* lane_reader.h: one lane, read without trusting a byte of it.
 *
 * The order is the argument. A look reads the owner word, then (after an acquire fence) the lane's
 * header, each into private memory by pread(2), each value once. Records are fetched after that,
 * up to the tail that the look saw. So:
 *   - if the owner word says "ended", the tail read after it is that owner's last, or a later owner's:
 *     everything that the ended tenure published lies below it (pairs with robust_leave() in shim/robust.c and,
 *     for the dead, with the kernel's store of FUTEX_OWNER_DIED, both of which come after the last tail);
 *   - the bytes below that tail are complete (pairs with the release store of tail in
 *     lane_write(), shim/lane.c), and stay so until the board gives them back.
 *
 * One thread. Functions return 0 or a negative errno value; -ENODATA: the arena has been truncated.
 */
#ifndef TALLY_LANE_READER_H
#define TALLY_LANE_READER_H

#include "arena/arena_reader.h"

#include <stdbool.h>
#include <tally/record.h>

struct lane_head {
    uint32_t owner;
    struct tally_identity identity;
    uint64_t final_sequence;
    uint64_t refused_full;
    uint64_t tail;
    uint64_t sequence; /* at tail; valid only if slotted */
    bool slotted;      /* one of the slots belongs to the tail */
};

/* In every word. */
bool lane_head_same(const struct lane_head *a, const struct lane_head *b);

int lane_read_head(const struct arena_reader *reader, uint32_t lane, struct lane_head *head);

/* The same, where most likely nothing has changed since `known` was read, and `known` is slotted: then it takes one call,
 * not two. That nothing has is all that may be concluded from words of different ages: each is younger than this call, and none of
 * them says that the owner's tenure has ended if known->owner did not. */
int lane_read_again(const struct arena_reader *reader, uint32_t lane, const struct lane_head *known,
                    struct lane_head *head);

/* The ring's bytes [from, to) in order, into bytes (8-aligned, to - from of them). The caller has
 * checked that from <= to <= from + ring_bytes. */
int lane_read_ring(const struct arena_reader *reader, uint32_t lane, uint64_t from, uint64_t to, void *bytes);

#endif
