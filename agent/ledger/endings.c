/* endings.c: what is seen from outside. Owners leave lanes, processes are gone; tenures and sessions end. */
#include <errno.h>
#include <linux/futex.h>

#include "ledger/internal.h"
#include "liveness/liveness.h"

/* An owner that the kernel has not marked is looked at by its number each time, and by its start time only
 * once in so many looks: numbers come back slowly, and reading /proc costs fifty times as much. */
#define LOOKS_TO_EXACT 16
/* A process that cannot be seen, and has no lane, is taken to be gone when it has spilled nothing for so long. */
#define QUIET_NS INT64_C(60000000000)

/* ---- tenures ---- */

/* A thread of our own PID namespace that is gone though its word is not marked: after exec by a thread
 * that does not lead its process, or where a thread has no robust list. */
static bool owner_gone(const struct ledger *ledger, struct ledger_lane_private *lane,
                       const struct ledger_lane_view *view)
{
    uint32_t tid = view->owner & FUTEX_TID_MASK;
    uint32_t before = lane->vanished;
    lane->vanished = 0;
    if (!tid || (view->owner & FUTEX_OWNER_DIED))
        return true;
    if (!ledger->own_namespace || view->identity.pid_namespace != ledger->own_namespace ||
        view->identity.tid != tid)
        return false;
    /* The first thread is there as long as its process is; or as good as there, if it has left alone and unmarked. */
    if (view->awaited && view->identity.tid == view->identity.pid)
        return false;
    /* At first, and then not all lanes in the same second. */
    bool exact =
        before || !lane->looks || (lane->looks + lane->row.lane / LOOKS_TO_EXACT) % LOOKS_TO_EXACT == 0;
    lane->looks++;
    if (liveness_thread(view->identity.pid, tid, clamp(view->identity.start_time), exact) != LIVENESS_GONE)
        return false;
    /* This look is younger than the view: the thread may have recorded, marked its end and left in between. What
     * stands in a view that is read from now on is its last word. */
    lane->vanished = tid;
    return before == tid;
}

/* Whose refusals they are is sure only while the tenure that is known is the one that refused. */
static int observe_refused(struct ledger *ledger, struct ledger_arena *arena,
                           struct ledger_lane_private *lane, const struct ledger_lane_view *view, bool gone)
{
    bool known = lane->lane->tenure_open && view->tenure == lane->row.tenure;
    if (clamp(view->refused_full) <= lane->row.refused || (!known && !gone))
        return 0;
    int result = ledger_begin(ledger);
    if (result)
        return result;
    return ledger_lane_refused(ledger, arena, lane, view->refused_full, known ? lane->session : NULL);
}

int ledger_observe(struct ledger *ledger, struct ledger_arena *arena, uint32_t number,
                   const struct ledger_lane_view *view)
{
    if (number >= arena->lane_count)
        return ledger_say(ledger, EINVAL, "lane %u of an arena with %u", number, arena->lane_count);
    int result = ledger_refresh(ledger);
    if (result)
        return result;
    struct ledger_lane *lane = &arena->lanes[number];
    struct ledger_lane_private *private_ = lane->private_;
    if (!private_)
        return 0; /* a lane that refuses is full of records that come first */
    bool gone = owner_gone(ledger, private_, view);
    result = observe_refused(ledger, arena, private_, view, gone);
    if (result)
        return result;
    /* The owner word may be older than the tenure; not if the tenure was known at the observation before. */
    bool settled = private_->observed_serial == private_->tenure_serial;
    private_->observed_serial = private_->tenure_serial;
    if (!lane->tenure_open || !gone || !view->drained || !settled)
        return 0;
    result = ledger_begin(ledger);
    if (!result)
        ledger_tenure_end(ledger, private_, view->final_sequence == lane->sequence);
    return result;
}

/* ---- sessions ---- */

enum verdict { VERDICT_RUNNING, VERDICT_GONE, VERDICT_EXEC };

static enum verdict judge(const struct ledger *ledger, const struct session *session)
{
    bool visible = ledger->own_namespace && session->pid > 0 &&
                   (uint64_t)session->pid_namespace == ledger->own_namespace;
    if (!visible) {
        /* One with a lane is known to be gone by it; of one that only spills nothing is to be seen but files. */
        int64_t quiet = session->spilled ? ledger_now() - session->state.last_unix_ns : INT64_MAX;
        return quiet > -QUIET_NS && quiet < QUIET_NS ? VERDICT_RUNNING : VERDICT_GONE;
    }
    switch (liveness_process(session->pid, session->process_start_time)) {
    case LIVENESS_GONE:
        return VERDICT_GONE;
    case LIVENESS_EXITING:
        return VERDICT_RUNNING;
    default:
        /* Alive, and yet its lanes were taken from it: it runs another program now. Where all ended cleanly its threads
         * may just have left, and others come. */
        return session->state.tenures_died ? VERDICT_EXEC : VERDICT_RUNNING;
    }
}

static int abort_calls(struct ledger *ledger, struct session *session)
{
    struct call *call;
    while ((call = LIST_FIRST(&session->calls))) {
        int result = ledger_call_abort(ledger, call);
        if (result)
            return result;
    }
    return 0;
}

/* Client objects that were not released end as their process does. */
int ledger_end_session(struct ledger *ledger, struct session *session, enum client_ended how, int64_t now)
{
    struct session *child;
    int result = abort_calls(ledger, session);
    for (child = LIST_FIRST(&session->children); child; child = LIST_NEXT(child, sibling)) {
        if (!result)
            result = abort_calls(ledger, child);
        if (child->state.ended == CLIENT_RUNNING) {
            child->state.complete = session->state.lost == 0;
            ledger_session_end(ledger, child, how, now);
        }
    }
    session->state.complete = session->state.lost == 0;
    ledger_session_end(ledger, session, how, now);
    return result;
}

int ledger_tick(struct ledger *ledger, int64_t now_unix_ns)
{
    struct session *session;
    struct session *next;
    int result = ledger_refresh(ledger);
    if (result)
        return result;
    for (session = LIST_FIRST(&ledger->waiting); session; session = next) {
        next = LIST_NEXT(session, waiting_link);
        if (!session->waiting)
            continue; /* ended with its parent, just now */
        enum verdict verdict = judge(ledger, session);
        if (verdict == VERDICT_RUNNING) {
            session->gone_before = false;
            continue;
        }
        if (!session->gone_before) {
            session->gone_before = true;
            continue;
        }
        result = ledger_begin(ledger);
        if (result)
            return result;
        enum client_ended how = session->state.tenures_died ? CLIENT_DIED
                                : session->state.tenures    ? CLIENT_CLEAN
                                                            : CLIENT_UNKNOWN; /* it never had a lane */
        result =
            ledger_end_session(ledger, session, verdict == VERDICT_EXEC ? CLIENT_EXEC : how, now_unix_ns);
        if (result)
            return result;
    }
    return 0;
}
