/* logs.c: spill logs. To the rest of the ledger each is an arena of one lane, there for one transaction. */
#include <errno.h>
#include <stdio.h>

#include "ledger/internal.h"

#include <tally/spill.h>

static struct ledger_arena *find(const struct ledger *ledger, const uint8_t log[16], uid_t uid)
{
    struct ledger_arena_private *arena;
    for (arena = LIST_FIRST(&ledger->arenas); arena; arena = LIST_NEXT(arena, link)) {
        if (arena->log && arena->row.spill_uid == (int64_t)uid && !memcmp(arena->row.uuid, log, 16))
            return arena->arena;
    }
    return NULL;
}

/* A name for people; of no file. */
static void name_log(char *path, size_t bytes, const char *folder, const uint8_t id[16])
{
    int length = snprintf(path, bytes, "%s/" TALLY_SPILL_PREFIX, folder);
    for (int i = 0; i < 16 && length > 0 && (size_t)length + 3 < bytes; i++)
        length += snprintf(path + length, 3, "%02x", id[i]);
}

int ledger_log_open(struct ledger *ledger, const uint8_t log[16], uid_t uid, const char *folder,
                    struct ledger_arena **out)
{
    char path[4096 + 64];
    int result = ledger_begin(ledger);
    if (result)
        return result;
    *out = find(ledger, log, uid);
    if (*out)
        return 0;
    result = ledger_arena_new(ledger, 1, out);
    if (result)
        return result;
    struct ledger_arena *arena = *out;
    struct arena_row *row = &arena->private_->row;
    name_log(path, sizeof(path), folder, log);
    arena->private_->log = arena->private_->brief = true;
    memcpy(arena->uuid, log, 16);
    memcpy(row->uuid, log, 16);
    row->spill_uid = (int64_t)uid;
    row->path = path;
    row->created_unix_ns = row->attached_unix_ns = ledger_now();
    result = store_arena_attach(ledger->store, row);
    row->path = NULL;
    return result ? result : ledger_load_lanes(ledger, arena);
}

static struct ledger_arena *find_arena(const struct ledger *ledger, const uint8_t uuid[16])
{
    struct ledger_arena_private *arena;
    for (arena = LIST_FIRST(&ledger->arenas); arena; arena = LIST_NEXT(arena, link)) {
        if (!arena->log && !memcmp(arena->row.uuid, uuid, 16))
            return arena->arena;
    }
    return NULL;
}

int ledger_arena_open(struct ledger *ledger, const uint8_t uuid[16], const char *name, const char *folder,
                      struct ledger_arena **out)
{
    char path[4096 + 64];
    int result = ledger_begin(ledger);
    if (result)
        return result;
    *out = find_arena(ledger, uuid);
    if (*out)
        return 0;
    result = ledger_arena_new(ledger, TALLY_LANE_COUNT_MAX, out);
    if (result)
        return result;
    struct ledger_arena *arena = *out;
    struct arena_row *row = &arena->private_->row;
    arena->private_->brief = true;
    name_log(path, sizeof(path), folder, uuid);
    memcpy(arena->uuid, uuid, 16);
    memcpy(row->uuid, uuid, 16);
    row->spill_uid = -1;
    row->path = name ? name : path;
    row->created_unix_ns = row->attached_unix_ns = ledger_now();
    result = store_arena_open(ledger->store, row);
    row->path = NULL;
    return result ? result : ledger_load_lanes(ledger, arena);
}

int ledger_arena_known(struct ledger *ledger, const uint8_t uuid[16], char *path, size_t bytes)
{
    return store_arena_known(ledger->store, uuid, path, bytes);
}

const char *ledger_instance(const struct ledger *ledger)
{
    return store_instance(ledger->store);
}

/* Who carries a lane over has left it in good order. A record that comes later opens its tenure again. */
static int settle_lanes(struct ledger *ledger)
{
    struct ledger_lane_private *lane;
    struct ledger_arena_private *arena;
    for (arena = LIST_FIRST(&ledger->arenas); arena; arena = LIST_NEXT(arena, link)) {
        for (uint32_t i = 0; arena->brief && !arena->log && i < arena->arena->lane_count; i++) {
            lane = arena->arena->lanes[i].private_;
            if (!lane || !lane->carried)
                continue;
            int result = lane->cut && lane->lane->tenure_open
                             ? ledger_lose_lane(ledger, arena->arena, i, false, ledger_now())
                             : 0;
            if (result < 0)
                return result;
            ledger_tenure_end(ledger, lane, true);
        }
    }
    return 0;
}

void ledger_lane_carried(struct ledger_arena *arena, uint32_t number, bool whole)
{
    struct ledger_lane_private *lane = arena->lanes[number].private_;
    if (!arena->private_->brief || !lane)
        return;
    lane->cut = !whole;
    lane->carried = true;
}

int ledger_logs_settle(struct ledger *ledger)
{
    struct ledger_arena_private *arena;
    int result = settle_lanes(ledger);
    for (arena = LIST_FIRST(&ledger->arenas); arena; arena = LIST_NEXT(arena, link)) {
        struct ledger_lane *lane = &arena->arena->lanes[0];
        if (!arena->log || !lane->private_ || !lane->tenure_open)
            continue;
        lane->private_->session->spilled = true;
        ledger_tenure_end(ledger, lane->private_, true);
    }
    return result;
}

void ledger_logs_close(struct ledger *ledger)
{
    struct ledger_arena_private *next;
    for (struct ledger_arena_private *arena = LIST_FIRST(&ledger->arenas); arena; arena = next) {
        next = LIST_NEXT(arena, link);
        if (arena->brief)
            ledger_arena_free(ledger, arena->arena);
    }
}
