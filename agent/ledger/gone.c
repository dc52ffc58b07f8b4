/* gone.c: arenas of which nothing is left, though they were not drained to the end: the host has been restarted, or somebody
 * deleted them while no agent had them open. Whoever wrote there last may have written more than anybody will read. */
#include <errno.h>

#include "ledger/internal.h"
#include "liveness/liveness.h"

struct gone_arena {
    int64_t id;
    bool other_boot;
};

struct search {
    struct ledger *ledger;
    const uint8_t *boot_id;
    ledger_gone gone;
    void *context;
    struct gone_arena *found;
    size_t count;
    int lost; /* lanes */
};

static bool attached(const struct ledger *ledger, int64_t arena_id)
{
    const struct ledger_arena_private *arena;
    for (arena = LIST_FIRST(&ledger->arenas); arena; arena = LIST_NEXT(arena, link))
        if (arena->row.arena_id == arena_id)
            return true;
    return false;
}

static int take_arena(void *context, const struct arena_row *row)
{
    static const uint8_t unknown[16];
    struct search *search = context;
    bool other_boot = memcmp(row->boot_id, search->boot_id, 16) && memcmp(row->boot_id, unknown, 16) &&
                      memcmp(search->boot_id, unknown, 16);
    if (attached(search->ledger, row->arena_id) || !row->path ||
        !search->gone(search->context, row->uuid, row->path))
        return 0;
    struct gone_arena *found = realloc(search->found, (search->count + 1) * sizeof(*found));
    if (!found)
        return -ENOMEM;
    search->found = found;
    found[search->count++] = (struct gone_arena){row->arena_id, other_boot};
    return 0;
}

/* Whether the session has a tenure in another arena too. */
static bool elsewhere(const struct ledger_arena *arena, const struct session *session)
{
    uint32_t here = 0;
    for (uint32_t i = 0; i < arena->lane_count; i++)
        here += arena->lanes[i].tenure_open && arena->lanes[i].private_->session == session;
    return session->state.tenures_open > here;
}

static enum liveness process_liveness(const struct ledger *ledger, const struct ledger_arena *arena,
                                      const struct session *session)
{
    bool visible = ledger->own_namespace && session->pid > 0 &&
                   (uint64_t)session->pid_namespace == ledger->own_namespace;
    if (visible)
        return liveness_process(session->pid, session->process_start_time);
    /* Not to be seen from here: it lives if it has a lane elsewhere. */
    return elsewhere(arena, session) ? LIVENESS_ALIVE : LIVENESS_GONE;
}

/* A process that lives has moved on, or will: it finds the name gone and carries over what nobody has read (shim/carry.c). Of one that
 * is dead nobody can say what it had written last. */
int ledger_lose_lane(struct ledger *ledger, struct ledger_arena *arena, uint32_t number, bool other_boot,
                     int64_t now)
{
    struct ledger_lane_private *lane = arena->lanes[number].private_;
    struct session *session = lane->session;
    struct loss_row loss = {
        .arena_id = arena->private_->row.arena_id,
        .lane = number,
        .client_id = session->client_id,
        .cause = other_boot ? "host_restart" : "arena_deleted",
        .numbered = true,
        .records = -1,
        .time_unix_ns = now,
        .detail = other_boot ? "not known to be drained when the host stopped"
                             : "not known to be drained when the arena was deleted",
    };
    bool alive = !other_boot && process_liveness(ledger, arena, session) != LIVENESS_GONE;
    ledger_tenure_end(ledger, lane, alive);
    if (alive)
        return 0;
    int result = store_loss_add(ledger->store, &loss);
    if (!result)
        result = ledger_end_session(ledger, session, CLIENT_DIED, now);
    session->state.complete = false;
    return result < 0 ? result : 1;
}

static int lose_arena(struct search *search, const struct gone_arena *gone, int64_t now)
{
    struct ledger *ledger = search->ledger;
    struct ledger_arena *arena;
    int result = ledger_arena_new(ledger, TALLY_LANE_COUNT_MAX, &arena);
    if (result)
        return result;
    arena->private_->row.arena_id = gone->id;
    result = ledger_load_lanes(ledger, arena);
    for (uint32_t i = 0; !result && i < arena->lane_count; i++) {
        if (!arena->lanes[i].tenure_open)
            continue;
        result = ledger_lose_lane(ledger, arena, i, gone->other_boot, now);
        search->lost += result > 0;
        result = result < 0 ? result : 0;
    }
    if (!result)
        result = store_arena_retire(ledger->store, gone->id, now);
    if (!result)
        result = ledger_lanes_flush(ledger);
    if (!result)
        ledger_lanes_committed(ledger); /* its lanes are about to go; the rows are in the transaction */
    ledger_arena_free(ledger, arena);
    return result;
}

int ledger_lose_gone(struct ledger *ledger, const uint8_t boot_id[16], int64_t now_unix_ns, ledger_gone gone,
                     void *context)
{
    struct search search = {.ledger = ledger, .boot_id = boot_id, .gone = gone, .context = context};
    if (ledger->in_transaction)
        return ledger_say(ledger, EINVAL, "within a transaction");
    int result = ledger_refresh(ledger);
    if (!result)
        result = store_arena_each_live(ledger->store, take_arena, &search);
    for (size_t i = 0; !result && i < search.count; i++) {
        result = ledger_begin(ledger);
        if (!result)
            result = lose_arena(&search, &search.found[i], now_unix_ns);
    }
    free(search.found);
    if (!result)
        result = ledger_commit(ledger);
    if (result)
        ledger_abandon(ledger);
    return result ? result : search.lost;
}
