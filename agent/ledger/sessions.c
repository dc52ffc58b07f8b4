/* sessions.c: who the clients are. Their tenures begin with CLIENT records and end here. */
#include <errno.h>
#include <stdio.h>

#include "ledger/internal.h"

/* ---- finding ---- */

static uint64_t hash_session_id(const struct ledger *ledger, const uint8_t session_id[16])
{
    return table_hash(ledger->seed, session_id, 16);
}

static uint64_t hash_client_id(const struct ledger *ledger, int64_t client_id)
{
    return table_hash(ledger->seed, &client_id, sizeof(client_id));
}

static struct session *in_memory(const struct ledger *ledger, const uint8_t session_id[16])
{
    uint64_t hash = hash_session_id(ledger, session_id);
    for (struct table_node *node = table_chain(&ledger->sessions, hash); node; node = node->next) {
        struct session *session = TABLE_ITEM(node, struct session, by_session_id);
        if (node->hash == hash && !memcmp(session->session_id, session_id, 16))
            return session;
    }
    return NULL;
}

static struct session *client_in_memory(const struct ledger *ledger, int64_t client_id)
{
    uint64_t hash = hash_client_id(ledger, client_id);
    for (struct table_node *node = table_chain(&ledger->clients, hash); node; node = node->next) {
        struct session *session = TABLE_ITEM(node, struct session, by_client_id);
        if (node->hash == hash && session->client_id == client_id)
            return session;
    }
    return NULL;
}

/* A session in memory from its row; its parent, which may need another query, comes after. */
int ledger_session_load(struct ledger *ledger, const struct client_row *row, struct session **out)
{
    struct text service = row->identity.service;
    struct session *session = calloc(1, sizeof(*session) + service.length + 1);
    if (!session)
        return ledger_say(ledger, ENOMEM, "out of memory");
    char *copy = (char *)(session + 1);
    if (service.data)
        memcpy(copy, service.data, service.length);
    session->service = (struct text){copy, service.length};
    session->client_id = row->client_id;
    session->parent_id = row->identity.parent_id;
    session->state = row->state;
    session->pid = row->identity.pid;
    session->process_start_time = row->identity.process_start_time;
    session->pid_namespace = row->identity.pid_namespace;
    memcpy(session->session_id, row->identity.session_id, 16);
    LIST_INIT(&session->children);
    LIST_INIT(&session->calls);
    if (table_insert(&ledger->sessions, &session->by_session_id,
                     hash_session_id(ledger, session->session_id))) {
        free(session);
        return ledger_say(ledger, ENOMEM, "out of memory");
    }
    if (table_insert(&ledger->clients, &session->by_client_id, hash_client_id(ledger, session->client_id))) {
        table_remove(&ledger->sessions, &session->by_session_id);
        free(session);
        return ledger_say(ledger, ENOMEM, "out of memory");
    }
    if (session->state.ended == CLIENT_RUNNING) {
        ledger->figures.sessions_running++;
        if (!session->state.tenures_open && !session->parent_id)
            ledger_session_wait(ledger, session);
    }
    *out = session;
    return 0;
}

struct load {
    struct ledger *ledger;
    struct session *session;
};

static int take_session(void *context, const struct client_row *row)
{
    struct load *load = context;
    return ledger_session_load(load->ledger, row, &load->session);
}

/* Parents are processes and have none themselves: one step up is all. */
int ledger_session_adopt(struct ledger *ledger, struct session *session)
{
    struct session *parent = NULL;
    if (!session->parent_id || session->parent)
        return 0;
    int result = ledger_session_of_client(ledger, session->parent_id, &parent);
    if (result || !parent || parent == session)
        return result;
    session->parent = parent;
    parent->references++;
    LIST_INSERT_HEAD(&parent->children, session, sibling);
    return 0;
}

/* *out NULL: there is no such session. */
int ledger_session_find(struct ledger *ledger, const uint8_t session_id[16], struct session **out)
{
    struct load load = {ledger, NULL};
    *out = in_memory(ledger, session_id);
    if (*out)
        return 0;
    int result = store_client_by_session(ledger->store, session_id, take_session, &load);
    *out = load.session;
    if (result > 0)
        result = ledger_session_adopt(ledger, load.session);
    return result < 0 ? result : 0;
}

int ledger_session_of_client(struct ledger *ledger, int64_t client_id, struct session **out)
{
    struct load load = {ledger, NULL};
    *out = client_in_memory(ledger, client_id);
    if (*out)
        return 0;
    int result = store_client_by_id(ledger->store, client_id, take_session, &load);
    *out = load.session;
    if (result > 0) /* at most one step more: a parent has none */
        result = ledger_session_adopt(ledger, load.session);
    return result < 0 ? result : 0;
}

bool ledger_session_in_memory(const struct ledger *ledger, int64_t client_id)
{
    return client_in_memory(ledger, client_id);
}

/* ---- keeping ---- */

void ledger_session_touch(struct ledger *ledger, struct session *session)
{
    if (!session->dirty) {
        session->dirty = true;
        LIST_INSERT_HEAD(&ledger->dirty_sessions, session, dirty_link);
    }
}

void ledger_session_wait(struct ledger *ledger, struct session *session)
{
    if (!session->waiting) {
        session->waiting = true;
        LIST_INSERT_HEAD(&ledger->waiting, session, waiting_link);
    }
    session->gone_before = false;
}

void ledger_session_unwait(struct session *session)
{
    if (session->waiting) {
        session->waiting = false;
        LIST_REMOVE(session, waiting_link);
    }
    session->gone_before = false;
}

void ledger_session_end(struct ledger *ledger, struct session *session, enum client_ended how, int64_t time)
{
    if (session->state.ended == CLIENT_RUNNING)
        ledger->figures.sessions_running--;
    session->state.ended = how;
    session->state.ended_unix_ns = time;
    ledger_session_unwait(session);
    ledger_session_touch(ledger, session);
}

static void run_again(struct ledger *ledger, struct session *session)
{
    if (session->state.ended != CLIENT_RUNNING)
        ledger->figures.sessions_running++;
    session->state.ended = CLIENT_RUNNING;
    session->state.complete = false;
    ledger_session_unwait(session);
    ledger_session_touch(ledger, session);
}

void ledger_session_free(struct ledger *ledger, struct session *session)
{
    if (session->state.ended == CLIENT_RUNNING)
        ledger->figures.sessions_running--;
    if (session->dirty)
        LIST_REMOVE(session, dirty_link);
    ledger_session_unwait(session);
    if (session->parent) {
        LIST_REMOVE(session, sibling);
        session->parent->references--;
    }
    table_remove(&ledger->sessions, &session->by_session_id);
    table_remove(&ledger->clients, &session->by_client_id);
    free(session);
}

void ledger_session_release(struct ledger *ledger, struct session *session)
{
    while (session && session->state.ended != CLIENT_RUNNING && !session->references && !session->dirty &&
           LIST_EMPTY(&session->calls)) {
        struct session *parent = session->parent;
        ledger_session_free(ledger, session);
        session = parent;
    }
}

/* ---- beginning ---- */

static int create_session(struct ledger *ledger, const struct place *place,
                          const struct client_record *record, struct session *parent, struct session **out)
{
    struct client_row row = {
        .identity = {.parent_id = parent ? parent->client_id : 0,
                     .service = record->service,
                     .host = record->host,
                     .executable = record->executable,
                     .tags = record->tags,
                     .resource_attributes = record->resource_attributes,
                     .library_version = record->library_version,
                     .pid = record->pid,
                     .process_start_time = record->process_start_time,
                     .pid_namespace = record->pid_namespace,
                     .uid = record->uid,
                     .truncated = record->truncated,
                     .started_unix_ns = place->time},
        .state = {.last_unix_ns = place->time},
    };
    /* A client object that names no service works for its process's. */
    if (!row.identity.service.data && parent && parent->service.length)
        row.identity.service = parent->service;
    memcpy(row.identity.session_id, record->session_id, 16);
    int result = store_client_insert(ledger->store, &row, &row.client_id);
    if (!result)
        result = ledger_session_load(ledger, &row, out);
    return result ? result : ledger_session_adopt(ledger, *out);
}

/* Its identity is that of its first record for good: rollups are kept under its service. */
static int find_or_create(struct ledger *ledger, const struct place *place,
                          const struct client_record *record, struct session *parent, struct session **out)
{
    int result = ledger_session_find(ledger, record->session_id, out);
    return result || *out ? result : create_session(ledger, place, record, parent, out);
}

static int begin_tenure(struct ledger *ledger, struct place *place, const struct client_record *record)
{
    struct ledger_lane_private *lane = place->private_;
    struct session *session;
    int result = find_or_create(ledger, place, record, NULL, &session);
    if (result)
        return result;
    ledger_lane_set_session(ledger, lane, session);
    result = ledger_lane_clear_clients(ledger, lane);
    if (result)
        return result;
    lane->row.tenure = record->tenure < 0 ? 0 : record->tenure;
    lane->row.tenure_first_sequence = clamp(place->record->sequence);
    lane->row.tenure_first_refused = lane->row.refused;
    lane->row.tid = record->tid;
    lane->row.start_time = record->start_time;
    lane->tenure_serial++;
    lane->lane->tenure_open = true;
    session->state.tenures += !place->arena->private_->log;
    session->state.tenures_open++;
    run_again(ledger, session);
    place->process = place->session = session;
    return 0;
}

/* The first record of a tenure also says how its predecessor left the lane. */
static int succeed(struct ledger *ledger, struct place *place, const struct client_record *record)
{
    struct ledger_lane_private *lane = place->private_;
    if (record->predecessor_refused >= 0) {
        int result = ledger_lane_refused(ledger, place->arena, lane, (uint64_t)record->predecessor_refused,
                                         lane->session);
        if (result)
            return result;
    }
    bool clean = record->predecessor_sequence >= 0 &&
                 record->predecessor_final == record->predecessor_sequence &&
                 (uint64_t)record->predecessor_sequence == place->lane->sequence;
    ledger_tenure_end(ledger, lane, clean);
    return begin_tenure(ledger, place, record);
}

static int introduce_client(struct ledger *ledger, struct place *place, const struct client_record *record)
{
    struct ledger_lane_private *lane = place->private_;
    struct session *session;
    int result = ledger_attribute(ledger, place);
    if (result)
        return result;
    struct session *parent = place->process->parent ? place->process->parent : place->process;
    result = find_or_create(ledger, place, record, parent, &session);
    if (result)
        return result;
    result = ledger_lane_set_client(ledger, lane, place->record->client, session);
    if (!result)
        result = store_lane_client_put(ledger->store, lane->row.lane_id, place->record->client,
                                       session->client_id);
    if (result)
        return result;
    session->state.tenures++;
    /* Introduced on one lane and released on another, which may have been drained first: only
     * what happened after the end takes it back. */
    if (session->state.ended != CLIENT_RUNNING && place->time > session->state.ended_unix_ns)
        run_again(ledger, session);
    place->session = session;
    return 0;
}

int ledger_apply_client(struct ledger *ledger, struct place *place, const struct client_record *record)
{
    return place->record->client ? introduce_client(ledger, place, record) : succeed(ledger, place, record);
}

int ledger_apply_client_end(struct ledger *ledger, struct place *place, const struct client_record *record)
{
    struct session *session = NULL;
    int result = ledger_attribute(ledger, place);
    if (!result && record->has_session_id)
        result = ledger_session_find(ledger, record->session_id, &session);
    if (result)
        return result;
    if (!session)
        session = place->session;
    /* Nobody ends another process's objects, nor a process. */
    if (!session->parent || session->parent != place->process)
        return 0;
    place->session = session;
    session->state.complete = session->parent->state.lost == 0;
    ledger_session_end(ledger, session, CLIENT_CLEAN, place->time);
    return 0;
}

/* ---- whose a record is ---- */

/* Records with no CLIENT record before them, as after the loss of one: not dropped, but nobody's. */
static int begin_unknown(struct ledger *ledger, struct place *place)
{
    struct client_record record = {
        .has_session_id = true,
        .pid = -1,
        .tid = -1,
        .start_time = -1,
        .process_start_time = -1,
        .pid_namespace = -1,
        .uid = -1,
    };
    memcpy(record.session_id, place->arena->uuid, 16);
    for (int i = 0; i < 4; i++)
        record.session_id[i] ^= (uint8_t)((place->lane_number + 1) >> (8 * i));
    return begin_tenure(ledger, place, &record);
}

/* A tenure that was thought to have ended goes on. */
static void reopen(struct ledger *ledger, struct ledger_lane_private *lane)
{
    lane->lane->tenure_open = true;
    lane->tenure_serial++;
    lane->session->state.tenures_open++;
    run_again(ledger, lane->session);
}

int ledger_attribute(struct ledger *ledger, struct place *place)
{
    struct ledger_lane_private *lane = place->private_;
    if (!lane->session) {
        int result = begin_unknown(ledger, place);
        if (result)
            return result;
    } else if (!place->lane->tenure_open) {
        reopen(ledger, lane);
    }
    place->process = place->session = lane->session;
    if (place->record->client)
        for (uint32_t i = 0; i < lane->client_count; i++)
            if (lane->clients[i].client == place->record->client)
                place->session = lane->clients[i].session;
    return 0;
}

/* ---- ending ---- */

void ledger_tenure_end(struct ledger *ledger, struct ledger_lane_private *lane, bool clean)
{
    struct session *session = lane->session;
    if (!lane->lane->tenure_open || !session)
        return;
    lane->lane->tenure_open = false;
    lane->newest_ended_tenure = (uint32_t)lane->row.tenure;
    ledger_lane_touch(ledger, lane);
    if (session->state.tenures_open > 0)
        session->state.tenures_open--;
    if (!clean)
        session->state.tenures_died++;
    if (!session->state.tenures_open && session->state.ended == CLIENT_RUNNING)
        ledger_session_wait(ledger, session);
    ledger_session_touch(ledger, session);
}
