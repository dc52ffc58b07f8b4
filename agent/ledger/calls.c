/* calls.c: finished calls become rows of usage; calls in flight are merged from their records.
 *
 * The records of one call may lie on several lanes, and so come in any order. Each has a step: BEGIN 0, PROGRESS 1, 2, ...,
 * END last. Of each field the value of the newest step that states it counts, so that the result does not depend on the
 * order. END also says how many records there were; until all are in, the row stays amendable, for a late record
 * would otherwise pass for a new call.
 *
 * A call whose session has ended without END becomes a row with status aborted, which END, if it does come (from a forked
 * child, or a lane that is drained later), overrides: the rollup loses the old row's numbers and gets the new one's.
 */
#include <errno.h>

#include "ledger/internal.h"
#include "understand/provider.h"

/* ---- rows ---- */

static int64_t derive_start(const struct usage_values *values, int64_t begun, int64_t time)
{
    if (begun >= 0)
        return begun;
    if (!usage_number_known(values, USAGE_NUMBER_duration_ns))
        return time;
    int64_t duration = values->numbers[USAGE_NUMBER_duration_ns];
    return duration < time ? time - duration : 0;
}

static int64_t derive_status(const struct usage_values *values)
{
    bool failed =
        (values->texts[USAGE_TEXT_error_type].data && values->texts[USAGE_TEXT_error_type].length) ||
        (usage_number_known(values, USAGE_NUMBER_http_status) &&
         values->numbers[USAGE_NUMBER_http_status] >= 400);
    return failed ? TALLY_STATUS_ERROR : TALLY_STATUS_OK;
}

/* Fill in what every row has. Returns which values were derived, as bits of usage_row.amendable. */
static uint32_t derive(struct usage_values *values, int64_t begun, int64_t time)
{
    uint32_t derived = 0;
    if (!usage_number_known(values, USAGE_NUMBER_start_time_unix_ns)) {
        usage_number_set(values, USAGE_NUMBER_start_time_unix_ns, derive_start(values, begun, time));
        derived |= AMENDABLE_START;
    }
    if (!usage_number_known(values, USAGE_NUMBER_status)) {
        usage_number_set(values, USAGE_NUMBER_status, derive_status(values));
        derived |= AMENDABLE_STATUS;
    }
    return derived;
}

/* What death leaves unsaid: how long it had run, and that its counts are not final. */
static uint32_t derive_aborted(struct usage_values *values, int64_t begun, int64_t time)
{
    uint32_t derived = AMENDABLE_ABORTED | AMENDABLE_STATUS;
    uint32_t flags =
        usage_number_known(values, USAGE_NUMBER_flags) ? (uint32_t)values->numbers[USAGE_NUMBER_flags] : 0;
    usage_number_set(values, USAGE_NUMBER_status, TALLY_STATUS_ABORTED);
    if (!(flags & TALLY_FLAG_ESTIMATED))
        derived |= AMENDABLE_ESTIMATED;
    usage_number_set(values, USAGE_NUMBER_flags, flags | TALLY_FLAG_ESTIMATED);
    derived |= derive(values, begun, time);
    if (!usage_number_known(values, USAGE_NUMBER_duration_ns)) {
        int64_t start = values->numbers[USAGE_NUMBER_start_time_unix_ns];
        usage_number_set(values, USAGE_NUMBER_duration_ns, time > start ? time - start : 0);
        derived |= AMENDABLE_DURATION;
    }
    return derived;
}

/* Whose API it is, by the server's name, where no record says so: begun calls and those that were cut off have no usage object to
 * tell. */
static uint32_t derive_provider(struct usage_values *values)
{
    struct text *provider = &values->texts[USAGE_TEXT_provider];
    const char *name = provider->data && provider->length
                           ? NULL
                           : provider_of_host(values->texts[USAGE_TEXT_server_address]);
    if (!name)
        return 0;
    *provider = (struct text){name, (uint32_t)strlen(name)};
    return AMENDABLE_PROVIDER;
}

/* The row of a call as far as its records are in. values: room for its values with what is derived. */
static void row_of_call(const struct call *call, struct usage_values *values, struct usage_row *row)
{
    *values = call->values;
    *row = (struct usage_row){
        .client_id = call->client_id,
        .lane_id = call->lane_id,
        .sequence = call->sequence,
        .time_unix_ns = call->time,
        .call_id = call->call_id,
        .call_step = call->step,
        .call_records = call->records,
        .call_records_total = call->records_total,
        .field_steps = call->steps,
        .values = values,
    };
    uint32_t derived = call->ended ? derive(values, call->begun, call->time)
                                   : derive_aborted(values, call->begun, call->time);
    derived |= derive_provider(values);
    bool whole = call->ended && call->records_total >= 0 && call->records >= call->records_total;
    if (!whole)
        row->amendable = AMENDABLE_OPEN | derived | (call->begun >= 0 ? AMENDABLE_BEGUN : 0);
}

/* The other way round: forget what was derived. */
static void values_of_row(const struct usage_row *row, struct call *call)
{
    struct usage_values *values = &call->values;
    *values = *row->values;
    memcpy(call->steps, row->field_steps, sizeof(call->steps));
    call->ended = !(row->amendable & AMENDABLE_ABORTED);
    call->begun = -1;
    /* A start that is both derived and from BEGIN is BEGIN's time; if it was stated, BEGIN's time plays no part. */
    if (row->amendable & AMENDABLE_BEGUN)
        call->begun = values->numbers[USAGE_NUMBER_start_time_unix_ns];
    if (row->amendable & AMENDABLE_START)
        values->numbers_known &= ~(1u << USAGE_NUMBER_start_time_unix_ns);
    if (row->amendable & AMENDABLE_DURATION)
        values->numbers_known &= ~(1u << USAGE_NUMBER_duration_ns);
    if (row->amendable & AMENDABLE_STATUS)
        values->numbers_known &= ~(1u << USAGE_NUMBER_status);
    if (row->amendable & AMENDABLE_PROVIDER)
        values->texts[USAGE_TEXT_provider] = (struct text){NULL, 0};
    if (row->amendable & AMENDABLE_ESTIMATED)
        values->numbers[USAGE_NUMBER_flags] &= ~(int64_t)TALLY_FLAG_ESTIMATED;
}

/* All records of the call are in, and what they left unsaid its usage object may tell, such as whose API it was: a single
 * record must not guess that, for another might state it. tally reprice does the same to rows that are final. */
static const struct understood *understand_whole(const struct usage_row *row, struct usage_values *values,
                                                 struct understood *understood)
{
    return !row->amendable && cost_understand(values, understood) ? understood : NULL;
}

/* understood: of just this row's usage object, or NULL. */
static int insert_row(struct ledger *ledger, struct usage_row *row, const struct understood *understood,
                      struct text service)
{
    enum understood_kind kind;
    int result = cost_row(&ledger->costing, ledger->store, understood, row, &kind);
    if (!result)
        result = store_usage_insert(ledger->store, row);
    if (!result && (kind == UNDERSTOOD_UNKNOWN || kind == UNDERSTOOD_DAMAGED))
        result = store_unknown_shape(ledger->store, row->values->texts[USAGE_TEXT_provider],
                                     kind == UNDERSTOOD_UNKNOWN ? "unknown" : "damaged", row->time_unix_ns);
    if (result)
        return result;
    ledger->figures.rows++;
    if (row->amendable)
        ledger->amendable++;
    return ledger_rollup_add(ledger, row, service, 1);
}

/* ---- calls in flight ---- */

static uint64_t hash_call_id(const struct ledger *ledger, const uint8_t call_id[16])
{
    return table_hash(ledger->seed, call_id, 16);
}

static struct call *find_call(const struct ledger *ledger, const uint8_t call_id[16])
{
    uint64_t hash = hash_call_id(ledger, call_id);
    for (struct table_node *node = table_chain(&ledger->calls, hash); node; node = node->next) {
        struct call *call = TABLE_ITEM(node, struct call, by_call_id);
        if (node->hash == hash && !memcmp(call->call_id, call_id, 16))
            return call;
    }
    return NULL;
}

/* An empty call that is in no table. */
static struct call *take_call(struct ledger *ledger, const uint8_t call_id[16])
{
    struct call *call = ledger->free_calls;
    if (call)
        ledger->free_calls = call->next;
    else
        call = calloc(1, sizeof(*call));
    if (!call) {
        ledger_say(ledger, ENOMEM, "out of memory");
        return NULL;
    }
    char *buffer = call->buffer;
    size_t capacity = call->capacity;
    memset(call, 0, sizeof(*call));
    call->buffer = buffer;
    call->capacity = capacity;
    call->begun = -1;
    call->records_total = -1;
    memcpy(call->call_id, call_id, 16);
    return call;
}

static void give_back(struct ledger *ledger, struct call *call)
{
    call->next = ledger->free_calls;
    ledger->free_calls = call;
}

static void touch(struct ledger *ledger, struct call *call)
{
    if (!call->dirty) {
        call->dirty = true;
        call->next = ledger->dirty_calls;
        ledger->dirty_calls = call;
    }
}

/* A call belongs to the session of its newest record, with whose end it ends. */
static void belong_to(struct call *call, struct session *session)
{
    if (call->session == session)
        return;
    if (call->session)
        LIST_REMOVE(call, of_session);
    call->session = session;
    LIST_INSERT_HEAD(&session->calls, call, of_session);
}

static int open_call(struct ledger *ledger, const uint8_t call_id[16], struct call **out)
{
    struct call *call = take_call(ledger, call_id);
    *out = call;
    if (!call)
        return -ENOMEM;
    if (table_insert(&ledger->calls, &call->by_call_id, hash_call_id(ledger, call_id))) {
        give_back(ledger, call);
        return ledger_say(ledger, ENOMEM, "out of memory");
    }
    ledger->figures.open_calls++;
    return 0;
}

/* Out of the tables; its memory goes back once no list has it. */
static int close_call(struct ledger *ledger, struct call *call)
{
    int result = call->stored ? store_call_delete(ledger->store, call->call_id) : 0;
    table_remove(&ledger->calls, &call->by_call_id);
    LIST_REMOVE(call, of_session);
    ledger_session_touch(ledger, call->session);
    ledger->figures.open_calls--;
    call->closed = true;
    if (!call->dirty)
        give_back(ledger, call);
    return result;
}

/* The call becomes a row: with END, or without as aborted. */
static int finish_call(struct ledger *ledger, struct call *call)
{
    struct usage_values values;
    struct usage_row row;
    struct understood understood;
    row_of_call(call, &values, &row);
    int result =
        insert_row(ledger, &row, understand_whole(&row, &values, &understood), call->session->service);
    return result ? result : close_call(ledger, call);
}

int ledger_call_abort(struct ledger *ledger, struct call *call)
{
    ledger->figures.aborted_calls++;
    return finish_call(ledger, call);
}

/* ---- amending ---- */

struct amendment {
    struct ledger *ledger;
    const struct place *place;
    const struct usage_record *record;
};

/* Called with the row as it stands, whose texts are SQLite's until this returns. */
static int amend(void *context, int64_t usage_id, const struct usage_row *old)
{
    struct amendment *amendment = context;
    struct ledger *ledger = amendment->ledger;
    struct session *session;
    struct usage_values values;
    struct usage_row row;
    struct text none = {"", 0};

    int result = ledger_session_of_client(ledger, old->client_id, &session);
    if (!result)
        result = ledger_rollup_add(ledger, old, session ? session->service : none, -1);
    struct call *call = result ? NULL : take_call(ledger, old->call_id);
    if (!call)
        return result ? result : -ENOMEM;
    call->client_id = old->client_id;
    call->lane_id = old->lane_id;
    call->sequence = old->sequence;
    call->time = old->time_unix_ns;
    call->step = old->call_step;
    call->records = old->call_records;
    call->records_total = old->call_records_total;
    values_of_row(old, call);
    result = ledger_call_merge(ledger, call, amendment->place, amendment->record);
    row_of_call(call, &values, &row);
    if (call->client_id != old->client_id)
        session = amendment->place->session;
    struct understood understood;
    enum understood_kind kind;
    if (!result)
        result = cost_row(&ledger->costing, ledger->store, understand_whole(&row, &values, &understood), &row,
                          &kind);
    if (!result)
        result = store_usage_update(ledger->store, usage_id, &row);
    if (!result)
        result = ledger_rollup_add(ledger, &row, session ? session->service : none, 1);
    if (!row.amendable && ledger->amendable)
        ledger->amendable--;
    give_back(ledger, call);
    return result;
}

/* 1: a row was amended. */
static int amend_row(struct ledger *ledger, const struct place *place, const struct usage_record *record)
{
    struct amendment amendment = {ledger, place, record};
    if (!ledger->amendable)
        return 0;
    return store_usage_amendable(ledger->store, record->call_id, amend, &amendment);
}

/* ---- records ---- */

int ledger_apply_usage(struct ledger *ledger, struct place *place, struct usage_record *record)
{
    int result = ledger_attribute(ledger, place);
    if (result)
        return result;
    struct usage_row row = {
        .client_id = place->session->client_id,
        .lane_id = place->private_->row.lane_id,
        .sequence = clamp(place->record->sequence),
        .time_unix_ns = place->time,
        .values = &record->values,
    };
    derive(&record->values, -1, place->time);
    return insert_row(ledger, &row, record->values.usage_json.length ? &ledger->understood : NULL,
                      place->session->service);
}

int ledger_apply_call(struct ledger *ledger, struct place *place, struct usage_record *record)
{
    int result = ledger_attribute(ledger, place);
    struct session *session = place->session;
    if (result || !session) /* there always is one, if only an unknown one */
        return result ? result : -EINVAL;
    struct call *call = find_call(ledger, record->call_id);
    if (!call) {
        result = amend_row(ledger, place, record);
        if (result)
            return result < 0 ? result : 0;
        result = open_call(ledger, record->call_id, &call);
        if (result)
            return result;
    }
    result = ledger_call_merge(ledger, call, place, record);
    if (result)
        return result;
    if (!call->session || call->client_id == session->client_id)
        belong_to(call, session);
    if (call->ended)
        return finish_call(ledger, call);
    touch(ledger, call);
    return 0;
}

/* ---- keeping ---- */

int ledger_calls_flush(struct ledger *ledger)
{
    struct call *call;
    while ((call = ledger->dirty_calls)) {
        if (!call->closed) {
            struct call_row row = {
                .call_id = call->call_id,
                .client_id = call->client_id,
                .lane_id = call->lane_id,
                .sequence = call->sequence,
                .time_unix_ns = call->time,
                .call_step = call->step,
                .begun_unix_ns = call->begun,
                .call_records = call->records,
                .field_steps = call->steps,
                .values = &call->values,
            };
            int result = store_call_put(ledger->store, &row);
            if (result)
                return result;
            call->stored = true;
        }
        call->dirty = false;
        ledger->dirty_calls = call->next;
        if (call->closed)
            give_back(ledger, call);
    }
    return 0;
}

int ledger_call_load(struct ledger *ledger, const struct call_row *row)
{
    struct session *session;
    struct call *call;
    int result = ledger_session_of_client(ledger, row->client_id, &session);
    if (!result && !session)
        return 0; /* a damaged database; nobody could say when it ends */
    if (!result)
        result = open_call(ledger, row->call_id, &call);
    if (result)
        return result;
    call->client_id = row->client_id;
    call->lane_id = row->lane_id;
    call->sequence = row->sequence;
    call->time = row->time_unix_ns;
    call->step = row->call_step;
    call->begun = row->begun_unix_ns;
    call->records = row->call_records;
    call->values = *row->values;
    memcpy(call->steps, row->field_steps, sizeof(call->steps));
    call->stored = true;
    belong_to(call, session);
    return ledger_call_keep_texts(ledger, call);
}

void ledger_calls_free(struct ledger *ledger)
{
    struct call *call;
    struct table_node *node;
    size_t from = 0;
    /* Those closed are in the dirty list alone; those in flight may be in it too. */
    while ((call = ledger->dirty_calls)) {
        ledger->dirty_calls = call->next;
        if (call->closed)
            give_back(ledger, call);
    }
    while ((node = table_take_any(&ledger->calls, &from))) {
        call = TABLE_ITEM(node, struct call, by_call_id);
        if (call->session)
            LIST_REMOVE(call, of_session);
        give_back(ledger, call);
    }
    while ((call = ledger->free_calls)) {
        ledger->free_calls = call->next;
        free(call->buffer);
        free(call);
    }
    ledger->figures.open_calls = 0;
}
