/* board.h: the agent's notice to an arena's clients: how far each lane is durable, and whether to ring.
 *
 * Only the agent writes it; clients map it read-only. The agent's own mapping is writable memory that
 * another process could truncate under it only by being its own uid, which could as well kill it: hence
 * plain stores here, where arenas are read with pread(2).
 *
 * One thread, the collector's. Functions return 0 or a negative errno value.
 */
#ifndef TALLY_BOARD_H
#define TALLY_BOARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <tally/abi.h>

struct board {
    struct tally_board *shared; /* NULL: none */
    struct tally_board_lane *lanes;
    uint32_t lane_count;
    size_t bytes;
    dev_t device; /* of its file */
    ino_t inode;
};

/* Take the board at a path: an earlier agent's valid one for this arena in place, else a new one under
 * that name, after having told the readers of the one that it replaces. One of this user's that cannot be read is
 * never replaced: -EPERM if it may not be opened. The caller holds the arena's lock.
 * shared: clients of other uids than the agent's must be able to read it.
 * lanes: lane_count entries. In: what the database holds. Out: what the board says, which is at least that, and
 * more if the database is older than the board (a restored backup). */
int board_take(struct board *board, const char *path, const struct tally_arena_header *arena, bool shared,
               struct tally_board_lane *lanes);

/* Where clients may spill; "" for nowhere. */
void board_spill(struct board *board, const char *directory);

/* Say so to clients that may still have it, and let go. */
void board_leave(struct board *board, bool moved);

/* Announce what the agent does. An atomic store with release; pairs with the load in lane_write(), shim/lane.c. */
void board_announce(struct board *board, enum tally_announcement state, uint32_t doorbell);

/* A lane's durable position and number, and the newest tenure whose end is known. After the commit, never
 * before. Never goes back. Returns whether anything changed. */
bool board_publish(struct board *board, uint32_t lane, uint64_t position, uint64_t sequence,
                   uint32_t ended_tenure);

/* Something has become durable: move the counter and wake whoever waits on it. */
void board_wake(struct board *board);

#endif
