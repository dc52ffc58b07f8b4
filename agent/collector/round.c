/* round.c: one look at everything: drain, observe, commit, publish.
 *
 * Killed right here, wherever here is: rows and lanes' positions are in one transaction, and the board
 * moves after its commit. Before the commit nothing has happened; after it the database knows, and the next
 * agent publishes what this one could not (stations.c). Ring space is never given back early. */
#include "collector/state.h"

#include "log/log.h"

#include <errno.h>
#include <string.h>
#include <testpoint.h>

#define FULL_SCAN_NS (60 * SECOND_NS)

int64_t clock_now(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void publish(struct served *served)
{
    bool changed = false;
    for (uint32_t lane = 0; lane < served->reader.header.lane_count; lane++) {
        const struct ledger_lane *known = &served->ledger->lanes[lane];
        if (board_publish(&served->board, lane, known->committed_position, known->committed_sequence,
                          known->ended_tenure))
            changed = true;
    }
    if (changed) {
        TESTPOINT(positions_published);
        board_wake(&served->board);
    }
}

int round_commit(struct collector *collector)
{
    if (ledger_in_transaction(collector->ledger)) {
        int result = ledger_commit(collector->ledger);
        if (result)
            return result;
        TESTPOINT(committed);
        collector->moved = true;
        for (struct served *served = collector->served; served; served = served->next)
            publish(served);
        TESTPOINT(published);
    }
    collector->batch.used = 0;
    collector->batch.records = 0;
    spill_committed(collector);
    return 0;
}

struct look {
    bool thorough;
    bool full;   /* at every lane */
    bool turns;  /* at quiet lanes in turns */
    int64_t now; /* monotonic */
};

/* Whether a lane is worth a look in this round. The table is only a hint, so once a minute, and at
 * first, every lane is. */
static bool due(const struct collector *collector, const struct served *served, uint32_t lane,
                const struct look *look)
{
    const struct lane_state *state = &served->lanes[lane];
    const struct ledger_lane *known = &served->ledger->lanes[lane];
    uint32_t tenures = collector->table.entries[lane].tenures;
    if (look->full || tenures != state->tenures)
        return true;
    if (!state->in_use && !(look->thorough && (tenures || known->position)))
        return false;
    return !look->turns || !quiet_waits(collector, served, lane, look->now);
}

/* The arena's refusal counters, if they have moved. */
static int show_refused(struct collector *collector, struct served *served)
{
    uint64_t refused[TALLY_REFUSALS];
    for (int i = 0; i < TALLY_REFUSALS; i++) {
        uint64_t count = collector->table.refused[i];
        refused[i] = count > PLAUSIBLE_MAX ? served->refused[i] : count;
    }
    if (!memcmp(served->refused, refused, sizeof refused))
        return 0;
    int result = ledger_refused(collector->ledger, served->ledger, refused);
    if (result == 0)
        memcpy(served->refused, refused, sizeof refused);
    return result;
}

/* Whether writers of this arena still ring for each record. Where the doorbell has moved one has rung, or somebody has scribbled on
 * it: then nobody rings until the next announcement. */
static bool still_asleep(struct collector *collector, const struct served *served)
{
    if (!served->asleep || !doorbell_sound(&served->doorbell))
        return false;
    if (collector->table.doorbell == served->asleep_at)
        return true;
    collector->rung = true;
    return false;
}

static int round_arena(struct collector *collector, struct served *served, bool thorough)
{
    struct look look = {.thorough = thorough, .now = clock_now(CLOCK_MONOTONIC)};
    uint32_t lane_count = served->reader.header.lane_count;
    int result = arena_reader_table(&served->reader, &collector->table);

    bool readable = result == 0;
    look.full = !served->scanned_ns || (thorough && look.now - served->scanned_ns >= FULL_SCAN_NS);
    look.turns = readable && collector->turn && still_asleep(collector, served);
    served->in_use = false;
    if (!readable) {
        log_often(LOG_WARNING,
                  "arena %s cannot be read: %s; if it is broken, delete it: clients make a new one",
                  served->path, result == -ENODATA ? "it has been truncated" : strerror(-result));
        memset(&collector->table, 0, sizeof collector->table);
    }
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        if (due(collector, served, lane, &look)) {
            served->lanes[lane].tenures = collector->table.entries[lane].tenures;
            result = drain_lane(collector, served, lane);
            if (result)
                return result;
        }
        if (served->lanes[lane].in_use)
            served->in_use = true;
    }
    if (look.full)
        served->scanned_ns = look.now;
    /* Truncated, and without a name: nothing more can come of it. */
    if (!readable && served->orphaned)
        served->in_use = false;
    return readable ? show_refused(collector, served) : 0;
}

static int round_all(struct collector *collector, bool thorough)
{
    for (struct served *served = collector->served; served; served = served->next) {
        int result = round_arena(collector, served, thorough);
        if (result)
            return result;
    }
    TESTPOINT(lanes_drained);
    int spilled = spill_round(collector, thorough);
    if (spilled)
        return spilled;
    /* Only here, for between two ticks every lane must have been drained: a session is ended by the second
     * tick that finds its process gone. */
    if (thorough) {
        int result = ledger_tick(collector->ledger, clock_now(CLOCK_REALTIME));
        if (result)
            return result;
    }
    TESTPOINT(round_drained);
    return round_commit(collector);
}

int round_run(struct collector *collector, bool thorough)
{
    collector->moved = false;
    collector->pressed = false;
    collector->waiting = false;
    collector->rung = false;
    collector->round++;
    if (thorough)
        deaths_look(&collector->deaths);
    int result = round_all(collector, thorough);
    if (result == 0)
        return 0;
    if (result != -ESTALE) /* the last words are the loop's */
        log_often(LOG_WARNING, "%s", ledger_error(collector->ledger));
    ledger_abandon(collector->ledger);
    collector->batch.used = 0;
    collector->batch.records = 0;
    spill_abandoned(collector);
    /* What had been shown to the ledger and is rolled back has to be shown again. */
    for (struct served *served = collector->served; served; served = served->next) {
        memset(served->refused, 0, sizeof served->refused);
        for (uint32_t lane = 0; lane < served->reader.header.lane_count; lane++) {
            served->lanes[lane].observed_ns = 0;
            served->lanes[lane].in_use = true;
        }
    }
    return result;
}
