/* lanes.c: what the ledger keeps of each lane. */
#include <errno.h>

#include "ledger/internal.h"

static int allocate(struct ledger *ledger, struct ledger_lane *lane, const struct lane_row *row)
{
    lane->private_ = calloc(1, sizeof(*lane->private_));
    if (!lane->private_) {
        ledger_say(ledger, ENOMEM, "out of memory");
        return -ENOMEM;
    }
    lane->private_->lane = lane;
    lane->private_->row = *row;
    return 0;
}

/* A lane has a row and memory from its first record on. */
int ledger_lane_use(struct ledger *ledger, struct ledger_arena *arena, uint32_t number)
{
    struct lane_row row = {
        .arena_id = arena->private_->row.arena_id, .lane = number, .tid = -1, .start_time = -1};
    int result = store_lane_insert(ledger->store, &row, &row.lane_id);
    return result ? result : allocate(ledger, &arena->lanes[number], &row);
}

struct lane_load {
    struct ledger *ledger;
    struct ledger_arena *arena;
    struct ledger_lane_private *lane;
};

static int take_lane_client(void *context, uint32_t client, int64_t client_id)
{
    struct lane_load *load = context;
    struct session *session;
    int result = ledger_session_of_client(load->ledger, client_id, &session);
    return result || !session ? result
                              : ledger_lane_set_client(load->ledger, load->lane, (uint16_t)client, session);
}

static int take_lane(void *context, const struct lane_row *row)
{
    struct lane_load *load = context;
    struct session *session = NULL;
    if (row->lane >= load->arena->lane_count)
        return 0;
    struct ledger_lane *lane = &load->arena->lanes[row->lane];
    int result = allocate(load->ledger, lane, row);
    if (!result && row->client_id)
        result = ledger_session_of_client(load->ledger, row->client_id, &session);
    if (result)
        return result;
    lane->position = lane->committed_position = (uint64_t)row->position;
    lane->sequence = lane->committed_sequence = (uint64_t)row->sequence;
    lane->tenure_open = row->tenure_open && session;
    lane->ended_tenure = row->tenure_open ? 0 : (uint32_t)row->tenure;
    lane->private_->newest_ended_tenure = lane->ended_tenure;
    lane->private_->tenure_serial = 1;
    ledger_lane_set_session(load->ledger, lane->private_, session);
    return 0;
}

int ledger_load_lanes(struct ledger *ledger, struct ledger_arena *arena)
{
    struct lane_load load = {ledger, arena, NULL};
    int result = store_lane_each(ledger->store, arena->private_->row.arena_id, take_lane, &load);
    for (uint32_t i = 0; !result && i < arena->lane_count; i++) {
        load.lane = arena->lanes[i].private_;
        if (load.lane && (arena->lanes[i].tenure_open || arena->private_->brief))
            result = store_lane_client_each(ledger->store, load.lane->row.lane_id, take_lane_client, &load);
    }
    return result;
}

void ledger_lane_touch(struct ledger *ledger, struct ledger_lane_private *lane)
{
    if (!lane->dirty) {
        lane->dirty = true;
        LIST_INSERT_HEAD(&ledger->dirty_lanes, lane, dirty_link);
    }
}

/* The session that is left is touched, so that the commit looks whether it is still needed in memory. */
void ledger_lane_set_session(struct ledger *ledger, struct ledger_lane_private *lane, struct session *session)
{
    if (session)
        session->references++;
    if (lane->session) {
        lane->session->references--;
        ledger_session_touch(ledger, lane->session);
    }
    lane->session = session;
    lane->row.client_id = session ? session->client_id : 0;
}

int ledger_lane_set_client(struct ledger *ledger, struct ledger_lane_private *lane, uint16_t client,
                           struct session *session)
{
    for (uint32_t i = 0; i < lane->client_count; i++)
        if (lane->clients[i].client == client) {
            session->references++;
            lane->clients[i].session->references--;
            ledger_session_touch(ledger, lane->clients[i].session);
            lane->clients[i].session = session;
            return 0;
        }
    if (lane->client_count == lane->client_capacity) {
        uint32_t capacity = lane->client_capacity ? lane->client_capacity * 2 : 4;
        struct lane_client *clients = realloc(lane->clients, capacity * sizeof(*clients));
        if (!clients)
            return ledger_say(ledger, ENOMEM, "out of memory");
        lane->clients = clients;
        lane->client_capacity = capacity;
    }
    lane->clients[lane->client_count++] = (struct lane_client){client, session};
    session->references++;
    return 0;
}

int ledger_lane_clear_clients(struct ledger *ledger, struct ledger_lane_private *lane)
{
    if (!lane->client_count)
        return 0;
    for (uint32_t i = 0; i < lane->client_count; i++) {
        lane->clients[i].session->references--;
        ledger_session_touch(ledger, lane->clients[i].session);
    }
    lane->client_count = 0;
    return store_lane_clients_clear(ledger->store, lane->row.lane_id);
}

/* Memory only. What it referred to is freed by the caller, or by the next commit. */
void ledger_lane_free(struct ledger *ledger, struct ledger_lane *lane)
{
    struct ledger_lane_private *private_ = lane->private_;
    if (!private_)
        return;
    if (private_->dirty)
        LIST_REMOVE(private_, dirty_link);
    for (uint32_t i = 0; i < private_->client_count; i++)
        private_->clients[i].session->references--;
    ledger_lane_set_session(ledger, private_, NULL);
    free(private_->clients);
    free(private_);
    lane->private_ = NULL;
}

int ledger_lane_refused(struct ledger *ledger, struct ledger_arena *arena, struct ledger_lane_private *lane,
                        uint64_t refused, struct session *session)
{
    int64_t now = clamp(refused);
    int64_t more = now - lane->row.refused;
    if (more <= 0)
        return 0;
    struct loss_row loss = {
        .arena_id = arena->private_->row.arena_id,
        .lane = lane->row.lane,
        .client_id = session ? session->client_id : 0,
        .cause = "lane_full",
        .records = more,
        .time_unix_ns = ledger_now(),
    };
    lane->row.refused = now;
    ledger_lane_touch(ledger, lane);
    if (session) {
        session->state.refused = add_saturated(session->state.refused, more);
        ledger_session_touch(ledger, session);
    }
    return store_loss_add(ledger->store, &loss);
}

int ledger_lanes_flush(struct ledger *ledger)
{
    struct ledger_lane_private *lane;
    for (lane = LIST_FIRST(&ledger->dirty_lanes); lane; lane = LIST_NEXT(lane, dirty_link)) {
        lane->row.position = clamp(lane->lane->position);
        lane->row.sequence = clamp(lane->lane->sequence);
        lane->row.tenure_open = lane->lane->tenure_open;
        int result = store_lane_update(ledger->store, &lane->row);
        if (result)
            return result;
    }
    return 0;
}

/* The commit has happened. */
void ledger_lanes_committed(struct ledger *ledger)
{
    struct ledger_lane_private *lane;
    while ((lane = LIST_FIRST(&ledger->dirty_lanes))) {
        LIST_REMOVE(lane, dirty_link);
        lane->dirty = false;
        lane->lane->committed_position = lane->lane->position;
        lane->lane->committed_sequence = lane->lane->sequence;
        lane->lane->ended_tenure = lane->newest_ended_tenure;
    }
}
