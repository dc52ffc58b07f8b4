/* The write path. What a death at any instruction leaves behind is argued where it happens; what takes and leaves
 * lanes is in tenure.c. */
#include "lane.h"

#include "carry.h"
#include "shutdown.h"

#include <string.h>
#include <sys/stat.h>

#define SECOND UINT64_C(1000000000)

/* Read the board's word on how far the lane is durable. Whatever it says, the view's never goes back and never
 * passes the tail. */
static void refresh_durable(struct lane_view *lane)
{
    /* acquire: pairs with the release in board_publish() of the agent: what it committed it has read; the
     * ring space below may be written again. */
    uint64_t position =
        __atomic_load_n(&arena_board_lane(lane->board, lane->lane)->position, __ATOMIC_ACQUIRE);
    if (position > lane->durable && position <= lane->tail)
        lane->durable = position;
}

/* Deleted or replaced. An agent that has it open drains it to the end; lest there be none, what is in our lanes goes to
 * files. What comes next goes to the arena's successor. */
static bool moved_away(struct lane_view *lane)
{
    if (lane->stale || arena_named(lane->arena))
        return lane->stale;
    lane->stale = true;
    tally_thread.generation = 0; /* sends the owner's next record the long way, through lane_take() */
    carry_over(lane->arena);
    return true;
}

/* About once a second while there is no sign of an agent, and when the board says `moved`: is there a new board, is the arena
 * still there? While commits go on there is nothing to look for, and no system call. */
static __attribute__((noinline)) void look(struct lane_view *lane, uint64_t now_ns)
{
    lane->looked_ns = now_ns;
    lane->board = arena_board(lane->arena);
    if (unlikely(__atomic_load_n(&tally_process.carried_ns, __ATOMIC_RELAXED))) {
        struct slow_path late = slow_path_begin();
        carry_late();
        slow_path_end(late);
    }
    uint32_t commits = __atomic_load_n(&lane->board->commit_counter, __ATOMIC_RELAXED);
    uint64_t announce = __atomic_load_n(&lane->board->announce, __ATOMIC_RELAXED);
    bool moved = TALLY_ANNOUNCED_STATE(announce) == TALLY_AGENT_MOVED;
    if (lane->board != &arena_no_board && !moved && commits != lane->looked_commits) {
        lane->looked_commits = commits;
        return;
    }
    struct slow_path slow = slow_path_begin();
    if (!moved_away(lane)) {
        /* Also where nobody says that it has moved: it may have been deleted while no agent was there to say so. */
        arena_look_for_board(lane->arena);
        lane->board = arena_board(lane->arena);
    }
    slow_path_end(slow);
}

/* The same after a publication. The agent of a board that was not known before has not been told of the record. */
static void look_and_ring(struct lane_view *lane, uint64_t now_ns)
{
    const struct tally_board *before = lane->board;
    look(lane, now_ns);
    if (lane->board == before)
        return;
    int saved = errno;
    uint64_t announce = __atomic_load_n(&lane->board->announce, __ATOMIC_RELAXED);
    if (TALLY_ANNOUNCED_STATE(announce) == TALLY_AGENT_ASLEEP)
        arena_ring(lane->arena, announce);
    errno = saved;
}

static bool half_full(const struct lane_view *lane)
{
    return lane->tail - lane->durable > lane->ring_bytes / 2;
}

/* The board announces that the agent waits: ring if it wants to be woken for this. */
static __attribute__((noinline)) void announced(struct lane_view *lane, uint64_t announce, uint64_t now_ns)
{
    switch (TALLY_ANNOUNCED_STATE(announce)) {
    case TALLY_AGENT_GATHERING:
        refresh_durable(lane);
        if (!half_full(lane))
            return;
        break;
    case TALLY_AGENT_ASLEEP:
        break;
    case TALLY_AGENT_MOVED:
        if (now_ns - lane->looked_ns >= SECOND / 100)
            look_and_ring(lane, now_ns);
        return;
    default:
        return;
    }
    int saved = errno;
    arena_ring(lane->arena, announce);
    errno = saved;
}

static int refuse(struct lane_view *lane)
{
    struct tally_lane_header *header = lane->header;
    uint64_t refused = __atomic_load_n(&header->refused_full, __ATOMIC_RELAXED);
    __atomic_store_n(&header->refused_full, refused + 1, __ATOMIC_RELAXED);
    return -EAGAIN;
}

static bool has_room(struct lane_view *lane, uint32_t bytes)
{
    refresh_durable(lane);
    return lane->tail + bytes - lane->durable <= lane->ring_bytes;
}

/* The lane is full by what is known. Returns 0 when there is room after all, -EAGAIN, or -ESTALE. */
static __attribute__((noinline)) int make_room(struct lane_view *lane, uint32_t bytes, uint64_t now_ns)
{
    if (has_room(lane, bytes))
        return 0;
    if (now_ns - lane->looked_ns >= SECOND / 10)
        look(lane, now_ns);
    if (has_room(lane, bytes))
        return 0;
    if (lane->stale)
        return -ESTALE;
    if (tally_process.overflow == TALLY_OVERFLOW_SPILL)
        return -EAGAIN; /* not refused: the caller has another place for it */
    if (tally_process.overflow != TALLY_OVERFLOW_BLOCK)
        return refuse(lane);
    /* Bounded, and not again and again: after a time-out the records of the next second are refused at once. */
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (lane->blocked_ns && now - lane->blocked_ns < SECOND)
        return refuse(lane);
    struct slow_path slow = slow_path_begin();
    uint64_t deadline = now + (uint64_t)tally_process.block_timeout_ms * 1000000;
    bool room = false;
    bool moved = false;
    /* A child that was forked here by a signal handler waits for nothing: the record is its parent's. */
    while (!room && now < deadline && lane->generation == process_generation() &&
           !(moved = moved_away(lane)) && arena_has_agent(lane->arena)) {
        shutdown_wait_commit(lane->arena, deadline, lane->lane, lane->tail + bytes - lane->ring_bytes);
        room = has_room(lane, bytes);
        /* The agent of a new arena may come only now, or one that finds the board deleted and makes another. */
        if (!room)
            arena_look_for_board(lane->arena);
        lane->board = arena_board(lane->arena);
        now = clock_ns(CLOCK_MONOTONIC);
    }
    slow_path_end(slow);
    if (moved)
        return -ESTALE;
    lane->blocked_ns = room ? 0 : now;
    return room ? 0 : refuse(lane);
}

/* Not inline: with all that lane_write() keeps in registers its loop would take half as long again. */
static __attribute__((noinline)) uint32_t checksum(const struct tally_record_header *record, uint32_t length)
{
    return tally_checksum(record, length);
}

/* Append a record.
 *
 * Killed right here, wherever here is: a record counts once the store of `tail` has passed it, and everything before that
 * store touches only what nobody reads yet: ring bytes between tail and durable + ring_bytes, and the slot that is not the valid one.
 * The valid slot is the one whose tail equals `tail`. Slots alternate with the sequence's parity, so the one being overwritten
 * belongs to sequence - 2 of what is being written, and its tail is below `tail`; its tail is stored before its sequence, so that on a
 * fresh lane, where both slots say {0, 0}, no half-written slot is valid either. The next owner goes on at `tail` with the number
 * that the valid slot holds. After the store nothing is left to do that another process could miss: tail, sequence and offset are private.
 * A signal handler's own call in between is refused by thread_enter(), and a fork in a handler finds private memory in the lane's place
 * (lane_after_fork). */
int lane_write(struct lane_view *lane, struct tally_record_header *record)
{
    uint32_t length = record->length;
    uint32_t to_end = lane->ring_bytes - lane->offset;
    uint32_t padding = unlikely(length > to_end) ? to_end : 0;
    uint64_t now_ns = record->time_unix_ns;

    if (unlikely(lane->tail + padding + length - lane->durable > lane->ring_bytes)) {
        int result = make_room(lane, padding + length, now_ns);
        if (result)
            return result;
    }
    uint64_t sequence = lane->sequence + 1;
    uint64_t position = lane->tail + padding;
    uint64_t tail = position + length;
    uint32_t offset = lane->offset;
    if (unlikely(padding)) {
        uint64_t pad = (uint64_t)padding | (uint64_t)TALLY_KIND_PADDING << 32;
        memcpy(lane->ring + offset, &pad, sizeof pad);
        offset = 0;
    }
    record->sequence = sequence;
    record->position = position;
    record->checksum = 0;
    record->reserved = 0;
    record->checksum = checksum(record, length);
    memcpy(lane->ring + offset, record, length);

    struct tally_lane_slot *slot = &lane->header->slot[sequence & 1];
    __atomic_store_n(&slot->tail, tail, __ATOMIC_RELAXED);
    compiler_barrier();
    __atomic_store_n(&slot->sequence, sequence, __ATOMIC_RELAXED);
    TESTPOINT(before_publish);
    /* release: pairs with the acquire fences in lane_read() of the agent, and with the acquire of the owner word in robust_take()
     * by the next owner: who sees this tail sees the record and the slot. */
    __atomic_store_n(&lane->header->tail, tail, __ATOMIC_RELEASE);
    TESTPOINT(after_publish);

    __atomic_store_n(&lane->tail, tail, __ATOMIC_RELAXED);
    lane->offset = offset + length == lane->ring_bytes ? 0 : offset + length;
    __atomic_store_n(&lane->sequence, sequence, __ATOMIC_RELAXED);
    /* The store of tail may still sit in this CPU's buffer when the board is read. The agent's membarrier, between its announcement
     * and its last look at the lanes, is the other half: either it sees the tail or we see `asleep`. */
    compiler_barrier();
    uint64_t announce = __atomic_load_n(&lane->board->announce, __ATOMIC_RELAXED);
    TESTPOINT(announce_read);
    /* While records come the agent is gathering, and wants to know of a lane that is half full. */
    if (announce && (TALLY_ANNOUNCED_STATE(announce) != TALLY_AGENT_GATHERING || half_full(lane)))
        announced(lane, announce, now_ns);
    if (unlikely(now_ns - lane->looked_ns >=
                 SECOND)) /* a clock stepped back looks far ahead: one look more */
        look_and_ring(lane, now_ns);
    return 0;
}

/* Monotonic: of two threads that raise it, or of one whose lane has passed on meanwhile, none takes it back. */
void lane_finish(struct lane_view *lane)
{
    /* acquire: pairs with the release in adopt(): who sees a predecessor's number sees that we have written nothing yet. */
    uint64_t sequence = __atomic_load_n(&lane->sequence, __ATOMIC_ACQUIRE);
    if (!__atomic_load_n(&lane->introduced[0], __ATOMIC_RELAXED))
        return; /* no CLIENT record yet: the last record is a predecessor's, who may have died */
    uint64_t *final_sequence = &lane->header->final_sequence;
    uint64_t found = __atomic_load_n(final_sequence, __ATOMIC_RELAXED);
    /* release: pairs with the acquire fence in lane_read() of the agent: with the mark it sees the records. */
    while (found < sequence && !__atomic_compare_exchange_n(final_sequence, &found, sequence, true,
                                                            __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}
