#include "audit_data.h"
#include "command.h"
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GROW(array, count)                                                                                   \
    do {                                                                                                     \
        if (((count) & ((count)-1)) == 0)                                                                    \
            (array) = must_resize(array, (count) == 0 ? 1 : (count)*2, sizeof(*(array)));                    \
        memset(&(array)[count], 0, sizeof(*(array)));                                                        \
    } while (0)

void audit_problem(struct audit *audit, char *sentence)
{
    GROW(audit->problems, audit->problem_count);
    audit->problems[audit->problem_count++] = sentence;
}

/* ---- the database ---------------------------------------------------------------------------------- */

static char *copy_text(sqlite3_stmt *row, int column)
{
    const char *text = db_text(row, column, NULL);

    return text != NULL ? must_copy(text) : NULL;
}

static int each(struct audit *audit, struct db *db, const char *sql,
                void (*take)(struct audit *audit, sqlite3_stmt *row))
{
    sqlite3_stmt *statement = db_prepare(db, sql);
    int row;

    if (statement == NULL)
        return EXIT_PROBLEM;
    while ((row = db_step(db, statement)) == 1)
        take(audit, statement);
    sqlite3_finalize(statement);
    return row < 0 ? EXIT_PROBLEM : EXIT_SUCCESS;
}

static void take_arena(struct audit *audit, sqlite3_stmt *row)
{
    GROW(audit->arenas, audit->arena_count);
    struct audit_arena *arena = &audit->arenas[audit->arena_count++];
    const void *uuid = sqlite3_column_blob(row, 1);

    arena->id = sqlite3_column_int64(row, 0);
    if (uuid != NULL && sqlite3_column_bytes(row, 1) == (int)sizeof(arena->uuid))
        memcpy(arena->uuid, uuid, sizeof(arena->uuid));
    arena->path = copy_text(row, 2);
    arena->retired = !db_is_null(row, 3);
    arena->refused[TALLY_REFUSED_NO_LANE] = sqlite3_column_int64(row, 4);
    arena->refused[TALLY_REFUSED_REENTERED] = sqlite3_column_int64(row, 5);
    arena->refused[TALLY_REFUSED_SPILL] = sqlite3_column_int64(row, 6);
    arena->spill_uid = sqlite3_column_int64(row, 7);
}

static size_t arena_by_id(const struct audit *audit, int64_t id)
{
    for (size_t i = 0; i < audit->arena_count; i++) {
        if (audit->arenas[i].id == id)
            return i;
    }
    return SIZE_MAX;
}

static void take_lane(struct audit *audit, sqlite3_stmt *row)
{
    size_t arena = arena_by_id(audit, sqlite3_column_int64(row, 1));
    if (arena == SIZE_MAX) {
        audit_problem(audit, must_copy("a lane in the database belongs to no arena there"));
        return;
    }
    GROW(audit->lanes, audit->lane_count);
    struct audit_lane *lane = &audit->lanes[audit->lane_count++];

    lane->id = sqlite3_column_int64(row, 0);
    lane->arena = arena;
    lane->lane = (uint32_t)sqlite3_column_int64(row, 2);
    lane->position = sqlite3_column_int64(row, 3);
    lane->sequence = sqlite3_column_int64(row, 4);
    lane->persisted = sqlite3_column_int64(row, 5);
    lane->lost = sqlite3_column_int64(row, 6);
    lane->refused = sqlite3_column_int64(row, 7);
    lane->quarantines = sqlite3_column_int64(row, 8);
    lane->client_id = sqlite3_column_int64(row, 9);
    lane->newest = lane->sequence;
    lane->state = audit->arenas[arena].spill_uid >= 0 ? LANE_READ : LANE_ARENA_GONE;
}

static void take_loss(struct audit *audit, sqlite3_stmt *row)
{
    GROW(audit->losses, audit->loss_count);
    struct audit_loss *loss = &audit->losses[audit->loss_count++];

    loss->arena = arena_by_id(audit, sqlite3_column_int64(row, 0));
    loss->lane = sqlite3_column_int64(row, 1);
    loss->client_id = sqlite3_column_int64(row, 2);
    loss->cause = copy_text(row, 3);
    if (loss->cause == NULL)
        loss->cause = must_copy("unknown");
    loss->numbered = sqlite3_column_int(row, 4) != 0;
    loss->counted = !db_is_null(row, 5);
    loss->records = sqlite3_column_int64(row, 5);
    loss->first_ns = sqlite3_column_int64(row, 6);
    loss->last_ns = sqlite3_column_int64(row, 7);
    loss->detail = copy_text(row, 8);
    audit->lost_unknown = audit->lost_unknown || !loss->counted;
}

static void take_client(struct audit *audit, sqlite3_stmt *row)
{
    GROW(audit->clients, audit->client_count);
    struct audit_client *client = &audit->clients[audit->client_count++];

    client->id = sqlite3_column_int64(row, 0);
    client->session = copy_text(row, 1);
    client->service = copy_text(row, 2);
    client->host = copy_text(row, 3);
    client->pid = sqlite3_column_int64(row, 4);
    client->state = copy_text(row, 5);
    client->complete = sqlite3_column_int(row, 6) != 0;
    client->sums.written = sqlite3_column_int64(row, 7);
    client->sums.persisted = sqlite3_column_int64(row, 8);
    client->sums.lost = sqlite3_column_int64(row, 9);
    client->refused = sqlite3_column_int64(row, 10);
    client->object = sqlite3_column_type(row, 11) != SQLITE_NULL;
}

static void take_instance(struct audit *audit, sqlite3_stmt *row)
{
    const char *text = db_text(row, 0, NULL);

    snprintf(audit->instance, sizeof(audit->instance), "%s", text != NULL ? text : "");
}

static int read_database(struct audit *audit, struct db *db)
{
    int64_t newest = 0;
    int64_t count = 0;

    if (db_execute(db, "BEGIN") != EXIT_SUCCESS ||
        each(audit, db, "SELECT value FROM meta WHERE key = 'instance'", take_instance) != EXIT_SUCCESS ||
        each(audit, db,
             "SELECT id, uuid, path, retired_unix_ns, refused_no_lane, refused_reentered, refused_no_spill,"
             " spill_uid FROM arenas ORDER BY id",
             take_arena) != EXIT_SUCCESS ||
        each(audit, db,
             "SELECT id, arena_id, lane, position, sequence, persisted, lost, refused, quarantines, client_id"
             " FROM lanes ORDER BY arena_id, lane",
             take_lane) != EXIT_SUCCESS ||
        each(audit, db,
             "SELECT arena_id, lane, client_id, cause, numbered, records, first_unix_ns, last_unix_ns, detail"
             " FROM losses ORDER BY id",
             take_loss) != EXIT_SUCCESS ||
        each(audit, db,
             "SELECT id, lower(hex(session_id)), service, host, pid, coalesce(ended, 'running'), complete,"
             " written, persisted, lost, refused, parent_id FROM clients ORDER BY id",
             take_client) != EXIT_SUCCESS ||
        db_number(db, "SELECT max(id) FROM clients", 0, &newest) != EXIT_SUCCESS ||
        db_number(db, "SELECT count(*) FROM clients", 0, &count) != EXIT_SUCCESS ||
        db_execute(db, "COMMIT") != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    audit->clients_pruned = newest != count;
    return EXIT_SUCCESS;
}

/* ---- shared memory ------------------------------------------------------------------------------------- */

static struct audit_lane *lane_of(struct audit *audit, size_t arena, uint32_t number)
{
    for (size_t i = 0; i < audit->lane_count; i++) {
        if (audit->lanes[i].arena == arena && audit->lanes[i].lane == number)
            return &audit->lanes[i];
    }
    GROW(audit->lanes, audit->lane_count);
    struct audit_lane *lane = &audit->lanes[audit->lane_count++];
    lane->arena = arena;
    lane->lane = number;
    return lane;
}

/* The agent notes refusals when it next looks; until then their counter in shared memory names them. */
static void take_live_refusal(struct audit *audit, size_t arena, int64_t lane, const char *cause,
                              wide_t records)
{
    GROW(audit->losses, audit->loss_count);
    struct audit_loss *loss = &audit->losses[audit->loss_count++];

    loss->arena = arena;
    loss->lane = lane;
    loss->cause = must_copy(cause);
    loss->detail = must_copy("seen in shared memory, not noted by an agent yet");
    loss->counted = true;
    loss->records = records;
}

static void take_live_lane(struct audit *audit, size_t arena, const struct lane_scan *live)
{
    struct audit_lane *lane = lane_of(audit, arena, live->lane);
    const char *trouble = live->trouble;

    if (trouble == NULL && (live->look.sequence < (unsigned __int128)lane->sequence ||
                            live->look.tail < (unsigned __int128)lane->position))
        trouble = "it is behind what the database holds of it";
    lane->state = trouble != NULL ? LANE_DAMAGED : LANE_READ;
    lane->trouble = trouble;
    if (trouble != NULL)
        return;
    lane->sums.waiting = (wide_t)live->look.sequence - lane->sequence;
    if ((wide_t)live->look.refused_full > lane->refused) {
        take_live_refusal(audit, arena, live->lane, "lane_full",
                          (wide_t)live->look.refused_full - lane->refused);
        lane->refused = live->look.refused_full;
    }
}

static void take_live(struct audit *audit, size_t index, const struct arena_scan *scan)
{
    static const char *const causes[] = {[TALLY_REFUSED_NO_LANE] = "no_lane",
                                         [TALLY_REFUSED_REENTERED] = "reentered",
                                         [TALLY_REFUSED_SPILL] = "no_spill"};

    audit->arenas[index].there = true;
    audit->arenas[index].agent = scan->agent;
    for (int cause = TALLY_REFUSED_NO_LANE; cause <= TALLY_REFUSED_SPILL; cause++) {
        wide_t *refused = &audit->arenas[index].refused[cause];
        if ((wide_t)scan->refused[cause] > *refused) {
            take_live_refusal(audit, index, -1, causes[cause], (wide_t)scan->refused[cause] - *refused);
            *refused = scan->refused[cause];
        }
    }
    for (size_t i = 0; i < scan->lane_count; i++)
        take_live_lane(audit, index, &scan->lanes[i]);
    /* Lanes that the database knows and that look unused: they have lost what they had. */
    for (size_t i = 0; i < audit->lane_count; i++) {
        struct audit_lane *lane = &audit->lanes[i];
        if (lane->arena == index && lane->state == LANE_ARENA_GONE && lane->sequence > 0) {
            lane->state = LANE_DAMAGED;
            lane->trouble = "it is empty, and the database holds records of it";
        }
    }
}

static size_t arena_by_uuid(const struct audit *audit, const uint8_t uuid[16])
{
    for (size_t i = 0; i < audit->arena_count; i++) {
        if (audit->arenas[i].spill_uid < 0 && memcmp(audit->arenas[i].uuid, uuid, 16) == 0)
            return i;
    }
    return SIZE_MAX;
}

struct audit_lane *audit_log(struct audit *audit, const uint8_t log[16], int64_t uid, uint32_t lane,
                             const char *folder)
{
    size_t index = 0;

    while (index < audit->arena_count &&
           (audit->arenas[index].spill_uid != uid || memcmp(audit->arenas[index].uuid, log, 16) != 0))
        index++;
    if (index == audit->arena_count) {
        GROW(audit->arenas, audit->arena_count);
        struct audit_arena *arena = &audit->arenas[audit->arena_count++];
        char hex[33];
        for (size_t i = 0; i < 16; i++)
            snprintf(hex + 2 * i, 3, "%02x", log[i]);
        arena->path = must_print("%s/tally-%s", folder, hex);
        arena->spill_uid = uid;
        memcpy(arena->uuid, log, 16);
    }
    return lane_of(audit, index, lane);
}

/* One arena's file. asked: named by option or environment, so that it counts even if this database has never
 * heard of it; else it may belong to an agent with another database. */
static void take_path(struct audit *audit, const char *path, bool asked)
{
    struct arena_scan scan;
    int error = arena_scan(&scan, path);
    size_t index = error == 0 ? arena_by_uuid(audit, scan.reader.header.uuid) : SIZE_MAX;

    if (error == 0 && index == SIZE_MAX && (asked || !scan.board_there)) {
        GROW(audit->arenas, audit->arena_count);
        index = audit->arena_count++;
        audit->arenas[index].path = must_copy(path);
        audit->arenas[index].spill_uid = -1;
        memcpy(audit->arenas[index].uuid, scan.reader.header.uuid, 16);
    }
    if (index != SIZE_MAX && !audit->arenas[index].there)
        take_live(audit, index, &scan);
    if (error != 0 && error != -ENOENT)
        audit_problem(audit, must_print("%s %s", path, arena_scan_error(error)));
    arena_scan_free(&scan);
}

int audit_read(struct audit *audit, struct db *db, char *const *paths, size_t path_count, bool named)
{
    memset(audit, 0, sizeof(*audit));
    if (db->handle != NULL && read_database(audit, db) != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    size_t known = audit->arena_count;
    for (size_t i = 0; i < known; i++) {
        if (!audit->arenas[i].retired && audit->arenas[i].spill_uid < 0 && audit->arenas[i].path != NULL) {
            char *path = state_arena_path(audit->arenas[i].path);
            if (path != NULL)
                take_path(audit, path, false);
            free(path);
        }
    }
    for (size_t i = 0; i < path_count; i++)
        take_path(audit, paths[i], named);
    audit_spill(audit, db->directory, audit->instance);
    return EXIT_SUCCESS;
}

/* ---- the balance ----------------------------------------------------------------------------------------- */

static void name_losses(struct audit *audit)
{
    for (size_t i = 0; i < audit->loss_count; i++) {
        const struct audit_loss *loss = &audit->losses[i];
        if (!loss->counted || loss->arena == SIZE_MAX)
            continue;
        if (loss->lane < 0) {
            if (!loss->numbered)
                audit->arenas[loss->arena].named_refused += loss->records;
            continue;
        }
        struct audit_lane *lane = lane_of(audit, loss->arena, (uint32_t)loss->lane);
        *(loss->numbered ? &lane->named_lost : &lane->named_refused) += loss->records;
    }
}

/* What does not add up, on one side or the other. */
static void strike(struct audit_sums *sums)
{
    wide_t rest = sums->written - sums->persisted - sums->waiting - sums->lost;

    sums->unaccounted = rest > 0 ? rest : 0;
    sums->twice = rest < 0 ? -rest : 0;
}

static void add(struct audit_sums *total, const struct audit_sums *sums)
{
    total->written += sums->written;
    total->persisted += sums->persisted;
    total->waiting += sums->waiting;
    total->lost += sums->lost;
    total->unaccounted += sums->unaccounted;
    total->twice += sums->twice;
}

static wide_t least(wide_t a, wide_t b)
{
    return a < b ? a : b;
}

static void balance_lane(struct audit *audit, struct audit_lane *lane)
{
    struct audit_sums *sums = &lane->sums;

    /* A loss without a name is no explanation. */
    sums->written = lane->sequence + sums->waiting + lane->refused;
    sums->persisted = lane->persisted;
    sums->lost = least(lane->lost, lane->named_lost) + least(lane->refused, lane->named_refused);
    strike(sums);
    add(&audit->total, sums);
    audit->damaged += lane->state == LANE_DAMAGED;
    if (lane->named_lost > lane->lost || lane->named_refused > lane->refused)
        audit_problem(audit, must_print("lane %u of %s: losses name more records than the lane has lost",
                                        lane->lane, audit->arenas[lane->arena].path));
    if (sums->waiting > 0 && audit->arenas[lane->arena].agent == AGENT_NONE)
        audit->agent_missing = true;
}

static void balance_arena(struct audit *audit, const struct audit_arena *arena)
{
    struct audit_sums sums = {0};

    for (int cause = TALLY_REFUSED_NO_LANE; cause <= TALLY_REFUSED_SPILL; cause++)
        sums.written += arena->refused[cause];
    sums.lost = least(sums.written, arena->named_refused);
    strike(&sums);
    add(&audit->total, &sums);
}

static void balance_client(struct audit *audit, struct audit_client *client)
{
    struct audit_sums *sums = &client->sums;

    /* The records of a client object count for its process too. */
    if (!client->object)
        audit->clients_persisted += sums->persisted;
    for (size_t i = 0; i < audit->lane_count; i++) {
        if (audit->lanes[i].client_id == client->id && audit->lanes[i].id != 0)
            sums->waiting += audit->lanes[i].sums.waiting;
    }
    sums->written += sums->waiting + client->refused;
    sums->lost += client->refused;
    strike(sums);
    if (sums->unaccounted != 0 || sums->twice != 0)
        audit_problem(audit, must_print("client %lld (%s): what it wrote is not what was kept and lost of it",
                                        (long long)client->id, client->session));
}

void audit_balance(struct audit *audit)
{
    wide_t persisted = 0;

    name_losses(audit);
    for (size_t i = 0; i < audit->lane_count; i++) {
        balance_lane(audit, &audit->lanes[i]);
        persisted += audit->lanes[i].persisted;
    }
    for (size_t i = 0; i < audit->arena_count; i++)
        balance_arena(audit, &audit->arenas[i]);
    for (size_t i = 0; i < audit->client_count; i++)
        balance_client(audit, &audit->clients[i]);
    if (!audit->clients_pruned && audit->clients_persisted != persisted)
        audit_problem(audit, must_copy("the sums over clients and over lanes are not the same"));
}

bool audit_clean(const struct audit *audit)
{
    return audit->total.unaccounted == 0 && audit->total.twice == 0 && audit->problem_count == 0 &&
           audit->damaged == 0;
}

void audit_free(struct audit *audit)
{
    for (size_t i = 0; i < audit->arena_count; i++)
        free(audit->arenas[i].path);
    for (size_t i = 0; i < audit->client_count; i++) {
        free(audit->clients[i].session);
        free(audit->clients[i].service);
        free(audit->clients[i].host);
        free(audit->clients[i].state);
    }
    for (size_t i = 0; i < audit->loss_count; i++) {
        free(audit->losses[i].cause);
        free(audit->losses[i].detail);
    }
    for (size_t i = 0; i < audit->problem_count; i++)
        free(audit->problems[i]);
    free(audit->arenas);
    free(audit->lanes);
    free(audit->clients);
    free(audit->losses);
    free(audit->problems);
}
