/* arena.h: an arena as this process sees it: its header mapped for writing, its board for reading.
 * Views are made once, linked for ever, and never unmapped: other threads may be reading them.
 */
#ifndef TALLY_SHIM_ARENA_H
#define TALLY_SHIM_ARENA_H

#include "process.h"

struct arena_view {
    struct arena_view *next;
    char path[ARENA_PATH_MAX];
    dev_t device;
    ino_t inode;
    uid_t owner;
    uint32_t reclaiming; /* a thread of this process uses `guarded`; atomic */
    uint8_t *guarded;    /* the header once more, a private page behind it; NULL: not needed yet */
    uint32_t gone;       /* its name is gone, or another's: take no more lanes here */
    struct tally_arena_header shape; /* the header as checked at opening; what is mapped is never believed */
    struct tally_arena_header *header;
    const struct tally_board *board; /* never NULL: the empty board if there is none; atomic */
};

/* A board that says: nothing durable, do not ring. */
extern const struct tally_board arena_no_board;

/* The arena for the calling thread's effective uid, made if absent. On success *fd is open on it; the caller closes it. */
int arena_get(struct arena_view **out, int *fd);

/* The arena's word `reclaim`, where the robust list's node has its private page behind it; NULL: no memory. By one thread at
 * a time: under view->reclaiming. */
uint32_t *arena_reclaim_word(struct arena_view *view, int fd);

/* Count a refusal in some arena of this process, if it has one. */
void arena_count_refusal(enum tally_refusal cause);

/* Whether the arena still has its name; else its `gone` is set. One system call. */
bool arena_named(struct arena_view *arena);

/* Look for a (new) board. Five system calls. */
void arena_look_for_board(struct arena_view *arena);

static inline const struct tally_board *arena_board(const struct arena_view *arena)
{
    /* acquire: pairs with the release in arena_look_for_board(), behind which the board has been checked. */
    return __atomic_load_n(&arena->board, __ATOMIC_ACQUIRE);
}

/* The board's entry for a lane; any lane of the empty board is its zeros. */
static inline const struct tally_board_lane *arena_board_lane(const struct tally_board *board, uint32_t lane)
{
    const struct tally_board_lane *lanes =
        (const struct tally_board_lane *)(const void *)((const uint8_t *)board + TALLY_BOARD_LANES_OFFSET);
    return board == &arena_no_board ? (const struct tally_board_lane *)(const void *)board->reserved1
                                    : &lanes[lane];
}

/* Its name is gone, and so is the agent that served it (as far as can be seen): who holds the lock beside the name serves its
 * successor. */
bool arena_abandoned(const struct arena_view *arena);

/* Whether an agent serves the arena, as far as one can tell; true if one cannot. Three system calls. */
bool arena_has_agent(const struct arena_view *arena);

/* Ring the doorbell if it still stands at what the board announced. */
void arena_ring(const struct arena_view *arena, uint64_t announced);

#endif
