/* load.c: memory from the database, at opening and after a failure. */
#include <errno.h>

#include "ledger/internal.h"

static int take_running(void *context, const struct client_row *row)
{
    struct ledger *ledger = context;
    struct session *session;
    int result = ledger_session_load(ledger, row, &session);
    return result ? result : ledger_session_adopt(ledger, session);
}

static int take_call_row(void *context, const struct call_row *row)
{
    return ledger_call_load(context, row);
}

/* Everything, of an unloaded ledger. */
static int load(struct ledger *ledger)
{
    int64_t amendable = 0;
    struct ledger_arena_private *arena;
    int result = store_client_each_running(ledger->store, take_running, ledger);
    if (!result)
        result = store_call_each(ledger->store, take_call_row, ledger);
    if (!result)
        result = store_usage_count_amendable(ledger->store, &amendable);
    ledger->amendable = (uint64_t)amendable;
    for (arena = LIST_FIRST(&ledger->arenas); arena; arena = LIST_NEXT(arena, link)) {
        if (!result)
            result = store_arena_read(ledger->store, &arena->row);
        if (!result)
            result = ledger_load_lanes(ledger, arena->arena);
    }
    return result;
}

int ledger_refresh(struct ledger *ledger)
{
    if (!ledger->stale)
        return 0;
    ledger_unload(ledger); /* a load before may have come half the way */
    int result = load(ledger);
    ledger->stale = result != 0;
    return result;
}

/* Forget everything but which arenas are attached. Their lanes go back to what is known to be
 * committed: should loading fail too, the caller at least reads no record for lost. */
void ledger_unload(struct ledger *ledger)
{
    ledger_logs_close(ledger);
    struct ledger_arena_private *arena;
    struct table_node *node;
    size_t from = 0;
    for (arena = LIST_FIRST(&ledger->arenas); arena; arena = LIST_NEXT(arena, link)) {
        for (uint32_t i = 0; i < arena->arena->lane_count; i++) {
            struct ledger_lane *lane = &arena->arena->lanes[i];
            ledger_lane_free(ledger, lane);
            lane->tenure_open = false;
            lane->position = lane->committed_position;
            lane->sequence = lane->committed_sequence;
        }
    }
    ledger_rollups_clear(ledger);
    ledger_calls_free(ledger);
    while ((node = table_take_any(&ledger->sessions, &from)))
        free(TABLE_ITEM(node, struct session, by_session_id));
    table_free(&ledger->sessions);
    table_free(&ledger->clients);
    table_free(&ledger->calls);
    LIST_INIT(&ledger->dirty_sessions);
    LIST_INIT(&ledger->waiting);
    LIST_INIT(&ledger->dirty_lanes);
    ledger->figures.sessions_running = 0;
    ledger->figures.open_calls = 0;
}

int ledger_arena_new(struct ledger *ledger, uint32_t lane_count, struct ledger_arena **out)
{
    struct ledger_arena *arena = calloc(1, sizeof(*arena));
    *out = arena;
    if (arena) {
        arena->lane_count = lane_count;
        arena->lanes = calloc(lane_count, sizeof(*arena->lanes));
        arena->private_ = calloc(1, sizeof(*arena->private_));
    }
    if (!arena || !arena->lanes || !arena->private_) {
        if (arena) {
            free(arena->lanes);
            free(arena->private_);
        }
        free(arena);
        *out = NULL;
        return ledger_say(ledger, ENOMEM, "out of memory");
    }
    arena->private_->arena = arena;
    LIST_INSERT_HEAD(&ledger->arenas, arena->private_, link);
    return 0;
}

void ledger_arena_free(struct ledger *ledger, struct ledger_arena *arena)
{
    for (uint32_t i = 0; i < arena->lane_count; i++)
        ledger_lane_free(ledger, &arena->lanes[i]);
    LIST_REMOVE(arena->private_, link);
    free(arena->private_);
    free(arena->lanes);
    free(arena);
}
