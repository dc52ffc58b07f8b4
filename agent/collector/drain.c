/* drain.c: take one lane's records, from the position that the database knows to the tail.
 *
 * Everything here works on private copies of which each byte was fetched once. What cannot be a record is
 * looked at again in the next round, and only then set aside: a lane is read while it is written, and one
 * more look costs little beside a wrong verdict. */
#include "collector/state.h"

#include "arena/record_check.h"
#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <testpoint.h>

/* The lane being drained. */
struct drain {
    struct collector *collector;
    struct served *served;
    uint32_t number;
    struct ledger_lane *lane;
    struct lane_state *state;
    struct lane_head head;
};

/* A piece of a lane in the batch's memory. */
struct piece {
    unsigned char *bytes;
    uint64_t position;
    uint64_t length;
    uint64_t tail;
};

static int skip(struct drain *drain, uint64_t position, uint64_t sequence, const char *cause,
                const char *detail)
{
    struct collector *collector = drain->collector;
    log_often(LOG_WARNING, "arena %s, lane %u: %" PRIu64 " records lost (%s): %s", drain->served->path,
              drain->number, sequence - drain->lane->sequence, cause, detail);
    collector->moved = true;
    drain->state->suspect = false;
    int result = ledger_begin(collector->ledger);
    if (result == 0)
        result = ledger_skip(collector->ledger, drain->served->ledger, drain->number, position, sequence,
                             cause, detail);
    return result;
}

/* ---- a database older than the board -------------------------------------------- */

/* The board, and with it the writers, were further than the database is: it has been restored from a backup.
 * What lies between may have been written over. */
static bool restored(const struct drain *drain)
{
    /* Aligned: a damaged board must not move the lane to where no record can begin. */
    return drain->state->restored_position % 8 == 0 &&
           drain->state->restored_position > drain->lane->position &&
           drain->state->restored_position <= drain->head.tail &&
           drain->state->restored_sequence >= drain->lane->sequence;
}

static int skip_restored(struct drain *drain)
{
    char detail[160];
    snprintf(detail, sizeof detail, "database restored at position %" PRIu64 ", board at %" PRIu64,
             drain->lane->position, drain->state->restored_position);
    return skip(drain, drain->state->restored_position, drain->state->restored_sequence, "database_restored",
                detail);
}

/* Whether bytes fetched from a position on may have been written over while they were fetched: the writer,
 * who trusts the board, may by now stand anywhere up to one record and its padding past the present tail. */
static int overwritten(struct drain *drain, uint64_t from, bool *out)
{
    struct lane_head now;
    int result = lane_read_head(&drain->served->reader, drain->number, &now);
    *out = result || now.tail < from ||
           now.tail + 2 * TALLY_RECORD_BYTES_MAX - from > drain->served->reader.header.ring_bytes;
    return result;
}

/* ---- what is no record ------------------------------------------------------------- */

static void keep_bytes(struct drain *drain, const void *bytes, uint64_t position, uint64_t length,
                       const char *what, char *detail, size_t detail_bytes)
{
    char name[QUARANTINE_NAME_MAX];
    int result = quarantine_keep(&drain->collector->quarantine, drain->served->reader.header.uuid,
                                 drain->number, position, bytes, (size_t)length, name);
    snprintf(detail, detail_bytes, "%" PRIu64 " bytes at position %" PRIu64 ": %s; %s%s", length, position,
             what, result ? "not kept: " : "kept as ", result ? strerror(-result) : name);
}

/* A check failed at piece + at. The first time: come back to it. Then set aside what lies before the next
 * record that holds, or all of it. Returns 1 to go on, 0 to leave the lane for this round, or an error. */
static int damaged(struct drain *drain, const struct piece *piece, uint64_t at, enum record_verdict verdict)
{
    uint64_t position = piece->position + at;
    struct lane_state *state = drain->state;
    char detail[256];

    if (!state->suspect || state->suspect_position != position) {
        state->suspect = true;
        state->suspect_position = position;
        drain->collector->waiting = true;
        return 0;
    }
    struct record_place place = {.position = position,
                                 .sequence = drain->lane->sequence,
                                 .available = piece->length - at,
                                 .published = piece->tail - position,
                                 .ring_bytes = drain->served->reader.header.ring_bytes};
    uint64_t length = record_resync(piece->bytes + at, &place, 0, drain->head.sequence);
    uint64_t sequence = drain->lane->sequence;
    if (length < place.available)
        sequence = ((struct tally_record_header *)(void *)(piece->bytes + at + length))->sequence - 1;
    else if (position + length == piece->tail && drain->head.sequence > sequence)
        sequence = drain->head.sequence;
    if (length == 0)
        snprintf(detail, sizeof detail, "position %" PRIu64 ": numbers are missing", position);
    else
        keep_bytes(drain, piece->bytes + at, position, length, record_verdict_text(verdict), detail,
                   sizeof detail);
    int result = skip(drain, position + length, sequence, "quarantined", detail);
    return result ? result : 1;
}

/* A record whose frame holds and whose fields do not decode: it alone is set aside. */
static int undecodable(struct drain *drain, const struct tally_record_header *record)
{
    char detail[256];
    keep_bytes(drain, record, record->position, record->length, "its fields do not decode", detail,
               sizeof detail);
    return skip(drain, record->position + record->length, record->sequence, "quarantined", detail);
}

/* ---- records -------------------------------------------------------------------------- */

/* Hand a piece's records to the ledger. Returns 1 to go on with the lane, 0 to leave it for this round, or
 * an error. */
static int take_records(struct drain *drain, const struct piece *piece)
{
    struct collector *collector = drain->collector;
    uint64_t end = piece->position + piece->length;

    while (drain->lane->position < end && collector->batch.records < BATCH_RECORDS_MAX) {
        uint64_t at = drain->lane->position - piece->position;
        struct tally_record_header *record = (void *)(piece->bytes + at);
        struct record_place place = {.position = drain->lane->position,
                                     .sequence = drain->lane->sequence,
                                     .available = piece->length - at,
                                     .published = piece->tail - drain->lane->position,
                                     .ring_bytes = drain->served->reader.header.ring_bytes};
        enum record_verdict verdict = record_check(record, &place);
        if (verdict == RECORD_UNFETCHED)
            return 1;
        if (verdict != RECORD_GOOD && verdict != RECORD_PADDING) {
            int result = damaged(drain, piece, at, verdict);
            if (result <= 0)
                return result;
            continue;
        }
        int result = ledger_record(collector->ledger, drain->served->ledger, drain->number, record);
        if (result == -EBADMSG)
            result = undecodable(drain, record);
        if (result)
            return result;
        drain->state->suspect = false;
        collector->batch.records++;
    }
    return 1;
}

int batch_room(struct collector *collector, uint64_t wanted, uint64_t *room)
{
    uint64_t least = wanted < BATCH_BYTES_MIN ? wanted : BATCH_BYTES_MIN;
    if (BATCH_BYTES_MAX - collector->batch.used < least || collector->batch.records >= BATCH_RECORDS_MAX) {
        int result = round_commit(collector);
        if (result)
            return result;
    }
    uint64_t left = BATCH_BYTES_MAX - collector->batch.used;
    *room = wanted < left ? wanted : left;
    return 0;
}

/* Fetch and take one piece. As take_records(). */
static int take_piece(struct drain *drain)
{
    struct collector *collector = drain->collector;
    struct piece piece = {.position = drain->lane->position, .tail = drain->head.tail};
    bool void_ = false;

    int result = batch_room(collector, piece.tail - piece.position, &piece.length);
    if (result)
        return result;
    piece.bytes = collector->batch.bytes + collector->batch.used;
    /* What the arena's file does is the lane's trouble, not the ledger's: leave the lane. */
    if (lane_read_ring(&drain->served->reader, drain->number, piece.position, piece.position + piece.length,
                       piece.bytes))
        return 0;
    if (restored(drain)) {
        if (overwritten(drain, piece.position, &void_))
            return 0;
        if (void_) {
            result = skip_restored(drain);
            return result ? result : 1;
        }
    }
    result = ledger_begin(collector->ledger);
    if (result)
        return result;
    /* The records stay where they are until the commit; whatever of the piece is left over is fetched again. */
    collector->batch.used += (size_t)(piece.length + 63) / 64 * 64;
    if (collector->batch.used > BATCH_BYTES_MAX)
        collector->batch.used = BATCH_BYTES_MAX;
    return take_records(drain, &piece);
}

/* Why a lane cannot be read as it stands, or NULL. */
static const char *unreadable(const struct drain *drain)
{
    uint64_t position = drain->lane->position;
    const struct lane_head *head = &drain->head;

    if (!head->slotted)
        return "neither slot belongs to its tail";
    if (head->tail % 8)
        return "its tail is not aligned";
    if (head->tail < position)
        return "its tail lies before what is in the database";
    if (head->tail - position > drain->served->reader.header.ring_bytes && !restored(drain))
        return "its tail lies further ahead than the ring is long";
    if (head->sequence > PLAUSIBLE_MAX)
        return "its sequence number is beyond all reason";
    if (head->sequence < drain->lane->sequence)
        return "its sequence number lies before what is in the database";
    return NULL;
}

static bool owned(uint32_t owner)
{
    return (owner & FUTEX_TID_MASK) && !(owner & FUTEX_OWNER_DIED);
}

/* Whether the ledger has seen all this already, less than a second ago. A tenure that seems to have ended
 * it has to be shown twice, from looks of different age, before it believes it: that goes on in each round. */
static bool shown(const struct drain *drain, int64_t now)
{
    const struct lane_head *old = &drain->state->observed;
    const struct lane_head *head = &drain->head;
    bool ending = drain->lane->tenure_open && !owned(head->owner);
    return drain->state->observed_ns && now - drain->state->observed_ns < SECOND_NS &&
           !drain->collector->settling && !ending && old->owner == head->owner && old->tail == head->tail &&
           old->final_sequence == head->final_sequence && old->refused_full == head->refused_full;
}

static int observe(struct drain *drain, bool drained)
{
    struct lane_state *state = drain->state;
    int64_t now = clock_now(CLOCK_MONOTONIC);
    TESTPOINT(records_read);
    struct ledger_lane_view view = {.owner = drain->head.owner,
                                    .final_sequence = drain->head.final_sequence,
                                    .refused_full = drain->head.refused_full,
                                    .tenure = state->tenures,
                                    .identity = drain->head.identity,
                                    .drained = drained,
                                    .awaited = state->mortal && !state->mortal->gone};
    if (shown(drain, now))
        return 0;
    int result = ledger_observe(drain->collector->ledger, drain->served->ledger, drain->number, &view);
    if (result)
        return result;
    state->observed = drain->head;
    state->observed_ns = now;
    return 0;
}

static int drain_records(struct drain *drain)
{
    struct collector *collector = drain->collector;
    uint32_t ring_bytes = drain->served->reader.header.ring_bytes;
    uint64_t position = drain->lane->position;
    int result = 1;

    if (drain->head.tail - position > ring_bytes / 2)
        collector->pressed = true;
    if (drain->head.tail - position > ring_bytes) { /* only a restored database gets here: see unreadable() */
        result = skip_restored(drain);
        if (result || drain->head.tail - drain->lane->position > ring_bytes)
            return result;
        result = 1;
    }
    while (result > 0 && drain->lane->position < drain->head.tail)
        result = take_piece(drain);
    if (drain->lane->position != position)
        collector->moved = true;
    return result < 0 ? result : 0;
}

int drain_lane(struct collector *collector, struct served *served, uint32_t lane)
{
    struct drain drain = {.collector = collector,
                          .served = served,
                          .number = lane,
                          .lane = &served->ledger->lanes[lane],
                          .state = &served->lanes[lane]};
    int64_t now = clock_now(CLOCK_MONOTONIC);
    int result = quiet_likely(drain.state, drain.lane, now)
                     ? lane_read_again(&served->reader, lane, &drain.state->observed, &drain.head)
                     : lane_read_head(&served->reader, lane, &drain.head);
    if (result) {
        log_often(LOG_WARNING, "arena %s, lane %u cannot be read: %s", served->path, lane, strerror(-result));
        return 0;
    }
    if (drain.head.refused_full > PLAUSIBLE_MAX)
        drain.head.refused_full = drain.state->observed.refused_full;
    quiet_note(collector, served, lane, &drain.head, now);
    const char *why = unreadable(&drain);
    if (why && !drain.state->unreadable)
        log_often(LOG_WARNING, "arena %s, lane %u cannot be read and is left alone: %s", served->path, lane,
                  why);
    drain.state->unreadable = why != NULL;
    if (!why)
        result = drain_records(&drain);
    if (result == 0)
        result = observe(&drain, !why && drain.lane->position == drain.head.tail);
    drain.state->in_use = owned(drain.head.owner) || drain.lane->tenure_open || drain.state->suspect;
    return result;
}
