/* quiet.c: lanes in which nothing happens, and how they are looked at while the agent sleeps: in turns, each every
 * LOOK_TURNS seconds.
 *
 * That is enough, for of what a look each second would find
 *   - a record published: its writer rings, since it finds the agent asleep at the doorbell's value. A ring ends the sleep, and each round
 *     outside of it, as the one that opens it, looks at all lanes in use. Each second's look reads the doorbell, too. Where a ring may be
 *     lost (membarrier refused, a doorbell that cannot be waited on) there are no turns;
 *   - a new owner: taking a lane moves its count in the table, which each second's look reads;
 *   - the owner's process has ended: its pidfd says so, all at once by one call each second. Where it has none (another PID namespace, no
 *     pidfds here, too many) its lanes are looked at each second. So is a lane at which something is odd;
 *   - a refused record: its lane is full, so records have rung.
 * What remains waits for its lane's turn: a thread that has left its lane while its process lives, an exec, what a
 * neighbour has scribbled; and a record whose writer did not ring, because it has been stopped between the two (it rings when it goes on), or
 * because it may not. One that has no board looks for it with its next record that is a second younger, and rings then: look_and_ring(),
 * shim/lane.c.
 *
 * Killed right here, that is a writer between its record and the ring: its process has ended, which the pidfd tells.
 */
#include "collector/state.h"

#include "log/log.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>

#define QUIET_NS  (5 * SECOND_NS) /* without anything new: wait for its owner's end */
#define LIKELY_NS SECOND_NS

static bool owned(uint32_t owner)
{
    return (owner & FUTEX_TID_MASK) && !(owner & FUTEX_OWNER_DIED);
}

/* Nothing about it has to be looked at once more. */
static bool settled(const struct lane_state *state)
{
    return state->observed_ns && !state->suspect && !state->unreadable;
}

bool quiet_waits(const struct collector *collector, const struct served *served, uint32_t lane, int64_t now)
{
    const struct lane_state *state = &served->lanes[lane];
    if (lane % LOOK_TURNS == collector->turn - 1 || now - state->changed_ns < QUIET_NS || !settled(state))
        return false;
    if (!state->in_use)
        return true;
    /* The count first: it spares a line of memory for each lane. */
    return state->mortal && !(collector->deaths.gone && state->mortal->gone);
}

bool quiet_likely(const struct lane_state *state, const struct ledger_lane *known, int64_t now)
{
    const struct lane_head *before = &state->observed;
    return settled(state) && before->slotted && before->tail == known->position &&
           now - state->changed_ns >= LIKELY_NS && (owned(before->owner) || !known->tenure_open);
}

static void release(struct collector *collector, struct lane_state *state)
{
    if (state->mortal)
        deaths_release(&collector->deaths, state->mortal);
    state->mortal = NULL;
}

/* Without a pidfd the lane is looked at each second; try again when it has been quiet for as long once more. */
static void await(struct collector *collector, struct lane_state *state, const struct lane_head *head,
                  int64_t now)
{
    const struct tally_identity *identity = &head->identity;
    struct deaths *deaths = &collector->deaths;
    if (!collector->own_namespace || identity->pid_namespace != collector->own_namespace ||
        identity->tid != (head->owner & FUTEX_TID_MASK) || !identity->start_time || deaths->refused)
        return;
    int result =
        deaths_await(deaths, identity->pid, identity->tid, (int64_t)identity->start_time, &state->mortal);
    if (result)
        state->changed_ns = now;
    if (deaths->refused)
        log_line(LOG_NOTE, "pidfds are refused here: the agent asks for each owner of a lane each second");
}

void quiet_note(struct collector *collector, const struct served *served, uint32_t lane,
                const struct lane_head *head, int64_t now)
{
    struct lane_state *state = &served->lanes[lane];
    const struct lane_head *before = &state->observed;
    bool new = !state->observed_ns || !lane_head_same(before, head);
    bool gone = state->mortal && state->mortal->gone;
    if (gone || (new && (before->owner != head->owner ||
                         memcmp(&before->identity, &head->identity, sizeof head->identity) != 0)))
        release(collector, state);
    if (new || gone)
        state->changed_ns = now;
    else if (collector->turn && served->asleep && !state->mortal && settled(state) && owned(head->owner) &&
             now - state->changed_ns >= QUIET_NS)
        await(collector, state, head, now);
}

void quiet_forget(struct collector *collector, struct served *served)
{
    for (uint32_t lane = 0; served->lanes && lane < served->reader.header.lane_count; lane++)
        release(collector, &served->lanes[lane]);
}
