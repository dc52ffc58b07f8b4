/* ledger.c: opening, transactions, failure; records dispatched and accounted for. */
#include "ledger/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "liveness/liveness.h"

int64_t ledger_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int ledger_say(struct ledger *ledger, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ledger->error, sizeof(ledger->error), format, arguments);
    va_end(arguments);
    return -error;
}

const char *ledger_error(const struct ledger *ledger)
{
    if (!ledger)
        return "out of memory";
    return ledger->error[0] ? ledger->error : store_error(ledger->store);
}

/* ---- opening ---- */

int ledger_open(struct ledger **out, const struct ledger_options *options)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    *out = ledger;
    if (!ledger)
        return -ENOMEM;
    ledger->options = *options;
    ledger->options.state_directory = NULL; /* the caller's memory: of use here only */
    cost_use(&ledger->costing, options->prices);
    ledger->own_namespace = liveness_own_namespace();
    /* Guards against chosen hash keys only: without it all is correct, if slower under attack. */
    if (getrandom(&ledger->seed, sizeof(ledger->seed), GRND_NONBLOCK) != sizeof(ledger->seed))
        ledger->seed = (uint64_t)ledger_now();
    int result = store_open(&ledger->store, options->state_directory);
    if (result)
        return result;
    ledger->stale = true;
    return ledger_refresh(ledger);
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    if (ledger->store)
        store_rollback(ledger->store);
    ledger_unload(ledger);
    while (!LIST_EMPTY(&ledger->arenas))
        ledger_arena_free(ledger, LIST_FIRST(&ledger->arenas)->arena);
    ledger_rollups_free(ledger);
    free(ledger->merge_buffer);
    store_close(ledger->store);
    free(ledger);
}

void ledger_set_prices(struct ledger *ledger, const struct price_table *prices)
{
    cost_use(&ledger->costing, prices);
}

/* ---- transactions ---- */

bool ledger_in_transaction(const struct ledger *ledger)
{
    return ledger->in_transaction;
}

int ledger_begin(struct ledger *ledger)
{
    ledger->error[0] = 0;
    if (ledger->in_transaction)
        return 0;
    int result = ledger_refresh(ledger);
    if (!result)
        result = store_begin(ledger->store);
    if (result)
        return result;
    ledger->in_transaction = true;
    ledger->figures_at_begin = ledger->figures;
    return 0;
}

static int flush_sessions(struct ledger *ledger)
{
    struct session *session;
    for (session = LIST_FIRST(&ledger->dirty_sessions); session; session = LIST_NEXT(session, dirty_link)) {
        int result = store_client_update(ledger->store, session->client_id, &session->state);
        if (result)
            return result;
    }
    return 0;
}

static void sessions_committed(struct ledger *ledger)
{
    struct session *session;
    while ((session = LIST_FIRST(&ledger->dirty_sessions))) {
        LIST_REMOVE(session, dirty_link);
        session->dirty = false;
        ledger_session_release(ledger, session);
    }
}

int ledger_commit(struct ledger *ledger)
{
    if (!ledger->in_transaction)
        return 0;
    ledger->error[0] = 0;
    int result = ledger_logs_settle(ledger);
    if (!result)
        result = ledger_calls_flush(ledger);
    if (!result)
        result = flush_sessions(ledger);
    if (!result)
        result = ledger_lanes_flush(ledger);
    if (!result)
        result = ledger_rollups_flush(ledger);
    if (!result)
        result = store_commit(ledger->store);
    if (result)
        return result;
    /* From here on the records are on disk, and only from here on may the board say so. */
    ledger->in_transaction = false;
    ledger->figures.commits++;
    ledger_lanes_committed(ledger);
    ledger_logs_close(ledger);
    sessions_committed(ledger);
    return 0;
}

void ledger_abandon(struct ledger *ledger)
{
    if (!ledger->in_transaction)
        return;
    store_rollback(ledger->store);
    ledger->in_transaction = false;
    ledger->figures = ledger->figures_at_begin;
    ledger_unload(ledger);
    ledger->costing.table_id = 0; /* its row may have gone with the transaction */
    ledger->stale = true;
    /* What failed is what the caller wants to report; if this fails too, the next ledger_begin() tries again. */
    char error[sizeof(ledger->error)];
    snprintf(error, sizeof(error), "%s", ledger_error(ledger));
    ledger_refresh(ledger);
    memcpy(ledger->error, error, sizeof(error));
}

/* ---- arenas ---- */

int ledger_attach(struct ledger *ledger, const struct tally_arena_header *header, const char *path,
                  struct ledger_arena **out)
{
    struct ledger_arena_private *other;
    struct ledger_arena *arena;
    *out = NULL;
    if (ledger->in_transaction)
        return ledger_say(ledger, EINVAL, "%s: an arena is attached within a transaction", path);
    for (other = LIST_FIRST(&ledger->arenas); other; other = LIST_NEXT(other, link)) {
        if (!other->log && !memcmp(other->row.uuid, header->uuid, 16))
            return ledger_say(ledger, EEXIST, "%s: this arena is attached already, under another name", path);
    }
    int result = ledger_begin(ledger);
    if (!result)
        result = ledger_arena_new(ledger, header->lane_count, &arena);
    if (result) {
        ledger_abandon(ledger);
        return result;
    }
    struct arena_row *row = &arena->private_->row;
    memcpy(arena->uuid, header->uuid, 16);
    memcpy(row->uuid, header->uuid, 16);
    row->spill_uid = -1;
    memcpy(row->boot_id, header->boot_id, 16);
    row->path = path;
    row->created_unix_ns = clamp(header->created_unix_ns);
    row->attached_unix_ns = ledger_now();
    result = store_arena_attach(ledger->store, row);
    row->path = NULL;
    if (!result)
        result = ledger_load_lanes(ledger, arena);
    if (!result)
        result = ledger_commit(ledger);
    if (result) {
        ledger_arena_free(ledger, arena);
        ledger_abandon(ledger);
        return result;
    }
    *out = arena;
    return 0;
}

static int retire(struct ledger *ledger, struct ledger_arena *arena)
{
    int result = ledger_begin(ledger);
    if (result)
        return result;
    for (uint32_t i = 0; i < arena->lane_count; i++)
        if (arena->lanes[i].private_)
            ledger_tenure_end(ledger, arena->lanes[i].private_, false);
    result = store_arena_retire(ledger->store, arena->private_->row.arena_id, ledger_now());
    return result ? result : ledger_commit(ledger);
}

int ledger_detach(struct ledger *ledger, struct ledger_arena *arena, bool retired)
{
    if (ledger->in_transaction)
        return ledger_say(ledger, EINVAL, "an arena is detached within a transaction");
    int result = retired ? retire(ledger, arena) : 0;
    if (result) {
        ledger_abandon(ledger);
        return result;
    }
    ledger_arena_free(ledger, arena);
    return 0;
}

/* ---- records ---- */

static int check_place(struct ledger *ledger, const struct ledger_arena *arena, uint32_t lane)
{
    return lane < arena->lane_count
               ? 0
               : ledger_say(ledger, EINVAL, "lane %u of an arena with %u", lane, arena->lane_count);
}

/* One record of a call: whose API it was is often said by another of them, and a guess must not go before that. */
static void understand_step(struct ledger *ledger)
{
    struct text *provider = &ledger->usage.values.texts[USAGE_TEXT_provider];
    struct text stated = *provider;
    cost_understand(&ledger->usage.values, &ledger->understood);
    *provider = stated;
}

/* What decodes only in part is not touched: the caller keeps its bytes. */
static int decode(struct ledger *ledger, const struct tally_record_header *record)
{
    int result = 0;
    switch (record->kind) {
    case TALLY_KIND_USAGE:
        result = decode_usage(record, &ledger->usage, &ledger->scratch);
        if (!result)
            cost_understand(&ledger->usage.values, &ledger->understood);
        break;
    case TALLY_KIND_CALL_BEGIN:
    case TALLY_KIND_CALL_PROGRESS:
    case TALLY_KIND_CALL_END:
        result = decode_usage(record, &ledger->usage, &ledger->scratch);
        if (!result && !ledger->usage.has_call_id)
            result = -EBADMSG;
        if (!result)
            understand_step(ledger);
        break;
    case TALLY_KIND_CLIENT:
        result = decode_client(record, &ledger->client, &ledger->scratch);
        if (!result && !ledger->client.has_session_id)
            result = -EBADMSG;
        break;
    case TALLY_KIND_CLIENT_END:
        result = decode_client(record, &ledger->client, &ledger->scratch);
        break;
    default: /* of a newer client: counted, not understood */
        break;
    }
    if (result)
        ledger_say(ledger, -result, "record %llu: its fields do not decode",
                   (unsigned long long)record->sequence);
    return result;
}

static int apply(struct ledger *ledger, struct place *place)
{
    switch (place->record->kind) {
    case TALLY_KIND_USAGE:
        return ledger_apply_usage(ledger, place, &ledger->usage);
    case TALLY_KIND_CALL_BEGIN:
    case TALLY_KIND_CALL_PROGRESS:
    case TALLY_KIND_CALL_END:
        return ledger_apply_call(ledger, place, &ledger->usage);
    case TALLY_KIND_CLIENT:
        return ledger_apply_client(ledger, place, &ledger->client);
    case TALLY_KIND_CLIENT_END:
        return ledger_apply_client_end(ledger, place, &ledger->client);
    default:
        return ledger_attribute(ledger, place);
    }
}

/* written comes from the sequence, persisted from counting: the audit compares the two. The records of a
 * client object count for it and for its process. */
static void account(struct ledger *ledger, struct session *session, const struct place *place)
{
    struct client_state *state = &session->state;
    state->written += (int64_t)(place->record->sequence - place->lane->sequence);
    state->persisted++;
    if (place->time > state->last_unix_ns)
        state->last_unix_ns = place->time;
    ledger_session_touch(ledger, session);
}

static int record_numbered(struct ledger *ledger, struct place *place)
{
    int result = apply(ledger, place);
    if (result)
        return result;
    account(ledger, place->process, place);
    if (place->session != place->process)
        account(ledger, place->session, place);
    place->private_->row.persisted++;
    place->lane->sequence = place->record->sequence;
    ledger->figures.records++;
    return 0;
}

int ledger_record(struct ledger *ledger, struct ledger_arena *arena, uint32_t number,
                  const struct tally_record_header *record)
{
    bool padding = record->kind == TALLY_KIND_PADDING;
    int result = ledger_begin(ledger);
    if (!result)
        result = check_place(ledger, arena, number);
    if (result)
        return result;
    struct ledger_lane *lane = &arena->lanes[number];
    /* A second time, or one left out: never, whatever the caller does. */
    if (!padding && (record->position != lane->position || record->sequence != lane->sequence + 1))
        return ledger_say(ledger, EINVAL, "lane %u: record %llu comes after %llu", number,
                          (unsigned long long)record->sequence, (unsigned long long)lane->sequence);
    if (!padding)
        result = decode(ledger, record);
    if (!result && !lane->private_)
        result = ledger_lane_use(ledger, arena, number);
    if (result)
        return result;
    ledger_lane_touch(ledger, lane->private_);
    if (!padding) {
        struct place place = {
            .arena = arena,
            .lane_number = number,
            .lane = lane,
            .private_ = lane->private_,
            .record = record,
            .time = clamp(record->time_unix_ns),
        };
        result = record_numbered(ledger, &place);
    }
    lane->position += record->length;
    return result;
}

/* ---- losses ---- */

int ledger_skip(struct ledger *ledger, struct ledger_arena *arena, uint32_t number, uint64_t position,
                uint64_t sequence, const char *cause, const char *detail)
{
    int result = ledger_begin(ledger);
    if (!result)
        result = check_place(ledger, arena, number);
    if (result)
        return result;
    struct ledger_lane *lane = &arena->lanes[number];
    if (position < lane->position || sequence < lane->sequence)
        return ledger_say(ledger, EINVAL, "lane %u: a skip would go backwards", number);
    if (!lane->private_)
        result = ledger_lane_use(ledger, arena, number);
    if (result || !lane->private_)
        return result;
    struct ledger_lane_private *private_ = lane->private_;
    /* After the end of a tenure what is skipped began with a new one, whose name is lost with it. A log is one process's. */
    if (!lane->tenure_open && !arena->private_->log)
        ledger_lane_set_session(ledger, private_, NULL);
    int64_t lost = clamp(sequence - lane->sequence);
    struct loss_row loss = {
        .arena_id = arena->private_->row.arena_id,
        .lane = number,
        .client_id = private_->row.client_id,
        .cause = cause,
        .numbered = true,
        .records = lost,
        .time_unix_ns = ledger_now(),
        .detail = detail,
    };
    private_->row.lost = add_saturated(private_->row.lost, lost);
    private_->row.quarantines += !strcmp(cause, "quarantined");
    if (private_->session) {
        struct client_state *state = &private_->session->state;
        state->lost = add_saturated(state->lost, lost);
        state->written = add_saturated(state->written, lost);
        ledger_session_touch(ledger, private_->session);
    }
    lane->position = position;
    lane->sequence = sequence;
    ledger_lane_touch(ledger, private_);
    ledger->figures.skipped += (uint64_t)lost;
    return store_loss_add(ledger->store, &loss);
}

static int refused_more(struct ledger *ledger, struct ledger_arena *arena, int64_t *counter, uint64_t now,
                        const char *cause)
{
    int64_t more = clamp(now) - *counter;
    if (more <= 0)
        return 0;
    struct loss_row loss = {
        .arena_id = arena->private_->row.arena_id,
        .lane = -1,
        .cause = cause,
        .records = more,
        .time_unix_ns = ledger_now(),
    };
    int result = ledger_begin(ledger);
    if (result)
        return result;
    *counter += more;
    result = store_loss_add(ledger->store, &loss);
    return result ? result : store_arena_refused(ledger->store, &arena->private_->row);
}

/* Anybody may write the counters: only what they grow by counts. Full lanes count for themselves: ledger_observe(). */
int ledger_refused(struct ledger *ledger, struct ledger_arena *arena, const uint64_t refused[TALLY_REFUSALS])
{
    struct arena_row *row = &arena->private_->row;
    int result = ledger_refresh(ledger);
    if (!result)
        result =
            refused_more(ledger, arena, &row->refused_no_lane, refused[TALLY_REFUSED_NO_LANE], "no_lane");
    if (!result)
        result = refused_more(ledger, arena, &row->refused_reentered, refused[TALLY_REFUSED_REENTERED],
                              "reentered");
    if (!result)
        result =
            refused_more(ledger, arena, &row->refused_no_spill, refused[TALLY_REFUSED_SPILL], "no_spill");
    return result;
}

void ledger_figures(const struct ledger *ledger, struct ledger_figures *out)
{
    *out = ledger->figures;
}
