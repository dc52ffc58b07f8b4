/* lane.h: a lane as its owner sees it: taking, writing, leaving.
 *
 * A tenure is the time in which one thread owns one lane. The owner alone writes the lane; it keeps its
 * tail in private memory, so that nothing a neighbour scribbles moves where it writes.
 *
 *   function           thread                  holding
 *   lane_take          any that has entered    no lane
 *   lane_write         the owner, entered      the lane
 *   lane_introduce     the owner, entered      the lane
 *   lane_give_up       the owner, entered      the lane
 *   lane_thread_exit   the exiting thread      its lane
 *   lane_after_fork    the child's one thread  nothing
 *
 * lane_view lies in the private page behind the lane's mapping, after the robust list's node.
 */
#ifndef TALLY_SHIM_LANE_H
#define TALLY_SHIM_LANE_H

#include "arena.h"
#include "process.h"

struct lane_view {
    uint8_t node[64]; /* the robust list's, at an offset that the C library decides */

    /* read and written with each record */
    uint8_t *ring;
    struct tally_lane_header *header;
    const struct tally_board *board;
    uint64_t tail; /* atomic, as the next: shutdown reads them from other threads */
    uint64_t sequence;
    uint64_t durable; /* as last read from the board; never above tail, never back */
    uint32_t offset;  /* tail % ring_bytes */
    uint32_t ring_bytes;
    uint64_t looked_ns; /* when lane_look() ran last, by the records' clock */

    /* seldom */
    uint32_t looked_commits; /* the board's commit counter then */
    uint32_t lane;
    struct arena_view *arena;
    struct lane_view *next;
    uint32_t holder; /* tid of the thread of this process that has claimed the view; atomic */
    uint32_t tid;    /* as in the owner word */
    uint32_t tenure;
    uint64_t generation;                      /* of the process when taken */
    bool guarded;                             /* by the kernel's robust list */
    bool stale;                               /* leave it before the next record: the arena is gone */
    uint64_t blocked_ns;                      /* monotonic: when waiting for room last timed out */
    uint64_t carrying;                        /* up to where somebody writes files: carry.c; atomic */
    uint64_t carried;                         /* all below it stands in files; atomic */
    uint64_t refused_before;                  /* refused_full as found */
    uint32_t introduced[PROCESS_CLIENTS_MAX]; /* generation of each client known in this tenure */
};
TALLY_LAYOUT(sizeof(struct lane_view) <= TALLY_PAGE_BYTES);

/* Take a lane for the calling thread and write its CLIENT record. 0 or a negative errno value. */
int lane_take(struct thread *thread);

/* Append a record: length, kind, client and time_unix_ns are filled in, fields follow. 0; -EAGAIN (full); -ESTALE: there was no
 * room, and the arena is gone: take another lane. */
int lane_write(struct lane_view *lane, struct tally_record_header *record);

/* See to it that the client (by index) is known in this tenure. */
int lane_introduce(struct lane_view *lane, uint16_t index);

/* End the tenure, with its final sequence. */
void lane_give_up(struct thread *thread);

/* Raise a lane's final sequence; any thread of the owner's process, signal-safe. */
void lane_finish(struct lane_view *lane);

void lane_thread_exit(struct thread *thread);
void lane_after_fork(struct thread *thread);
void lane_key_create(void (*destructor)(void *));

#endif
