/* carried.c: what clients have carried over out of an arena that had lost its name (shim/carry.c), into that arena's lanes.
 *
 * The lane's position in the database decides what counts, as when a lane is drained: it is the same lane, whether the arena is
 * still open here or not, and the same record counts once, whichever way it comes.
 *
 * Who speaks for an arena moves the positions of its lanes. So a file must be its owner's, or the agent's user's; that
 * the agent's own arenas are of. */
#include "collector/state.h"

#include "arena/record_check.h"
#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (256u * 1024u)

/* ---- whose --------------------------------------------------------------------------- */

static bool of_group(const struct collector *collector, const struct stat *status)
{
    gid_t group = collector->config->group;
    return group != (gid_t)-1 && status->st_gid == group;
}

/* Where another user's own arena stands: no group's, even if the agent serves one. */
static bool of_a_user(const char *path)
{
    char standard[ARENA_PATH_MAX];
    const char *name = strrchr(path, '/');
    unsigned int uid;
    return name && sscanf(name, "/tally-%u.v", &uid) == 1 && uid != geteuid() &&
           arena_path(standard, sizeof standard, NULL, uid) == 0 && !strcmp(path, standard);
}

/* Of an arena that is served, the group's too if it may write there. */
static int may_speak_here(const struct collector *collector, const struct served *served,
                          const struct stat *status)
{
    struct stat arena;
    if (status->st_uid == served->reader.owner)
        return 1;
    if (!of_group(collector, status))
        return 0;
    if (fstat(served->reader.fd, &arena))
        return -errno;
    return of_group(collector, &arena) && (arena.st_mode & S_IWGRP);
}

/* 1, 0 or an error. */
static int may_speak(struct collector *collector, const uint8_t arena[16], const struct stat *status)
{
    char path[ARENA_PATH_MAX];
    char standard[ARENA_PATH_MAX];
    if (status->st_uid == geteuid() || status->st_uid == 0)
        return 1;
    for (const struct served *served = collector->served; served; served = served->next)
        if (!memcmp(served->reader.header.uuid, arena, 16))
            return may_speak_here(collector, served, status);
    /* One that is not here. Of one that was never here there is nothing to spoil. */
    int known = ledger_arena_known(collector->ledger, arena, path, sizeof path);
    if (known <= 0)
        return known < 0 ? known : 1;
    if (of_group(collector, status) && !of_a_user(path))
        return 1;
    return arena_path(standard, sizeof standard, NULL, status->st_uid) == 0 && !strcmp(path, standard);
}

int carried_begin(struct collector *collector, int fd, const struct tally_spill_header *header,
                  const struct stat *status)
{
    struct spill *spill = &collector->spill;
    int result = spill_file_carried(fd, &spill->parcel);
    if (result)
        return result;
    memcpy(spill->arena, header->arena, sizeof spill->arena);
    result = may_speak(collector, header->arena, status);
    return result < 0 ? result : result ? 0 : -EPERM;
}

/* ---- records -------------------------------------------------------------------------- */

struct parcel {
    struct collector *collector;
    const struct spill_found *file;
    struct ledger_arena *arena;
    struct ledger_lane *lane;
    uint32_t number;
};

static int skip(const struct parcel *parcel, uint64_t position, uint64_t sequence, const char *cause,
                const char *detail)
{
    log_often(LOG_WARNING, "spill file %s: %" PRIu64 " records of lane %u lost (%s): %s", parcel->file->name,
              sequence - parcel->lane->sequence, parcel->number, cause, detail);
    return ledger_skip(parcel->collector->ledger, parcel->arena, parcel->number, position, sequence, cause,
                       detail);
}

static int keep(const struct parcel *parcel, const void *bytes, uint64_t position, size_t length,
                uint64_t next_position, uint64_t sequence)
{
    char name[QUARANTINE_NAME_MAX];
    char detail[256];
    int result = quarantine_keep(&parcel->collector->quarantine, parcel->arena->uuid, parcel->number,
                                 position, bytes, length, name);
    snprintf(detail, sizeof detail, "%zu bytes at position %" PRIu64 ", carried over: no record; %s%s",
             length, position, result ? "not kept: " : "kept as ", result ? strerror(-result) : name);
    return skip(parcel, next_position, sequence, "quarantined", detail);
}

/* 1 to go on, 0 to come back to the file, or the ledger's error. Pieces of a lane come in files of their own, and in no order that a
 * listing of folders would show: what is missed may stand in the next one. */
static int take_record(const struct parcel *parcel, struct tally_record_header *record)
{
    struct ledger_lane *lane = parcel->lane;
    int result = 0;
    if (record->position < lane->position || record->sequence <= lane->sequence)
        return 1; /* had */
    if (record->position > lane->position || record->sequence > lane->sequence + 1) {
        if (!spill_second_look(&parcel->collector->spill, parcel->file, lane->position))
            return 0;
        result = skip(parcel, record->position, record->sequence - 1, "arena_deleted",
                      "nobody has carried them over");
    }
    if (!result)
        result = ledger_record(parcel->collector->ledger, parcel->arena, parcel->number, record);
    if (result == -EBADMSG)
        result = keep(parcel, record, record->position, record->length, record->position + record->length,
                      record->sequence);
    parcel->collector->batch.records++;
    return result ? result : 1;
}

/* As take_record(). */
static int take_padding(const struct parcel *parcel, const void *bytes, uint64_t position)
{
    if (parcel->lane->position != position)
        return 1;
    int result = ledger_record(parcel->collector->ledger, parcel->arena, parcel->number, bytes);
    return result ? result : 1;
}

/* 1 to go on, 0 to come back to the file, 2 at its end, or an error. */
static int take_records(const struct parcel *parcel, struct spill_piece *piece)
{
    struct spill *spill = &parcel->collector->spill;
    size_t at = 0;
    for (;;) {
        size_t next = at;
        int result = 1;
        bool whole;
        uint64_t position = spill_carried_position(piece, &spill->parcel, at);
        switch (spill_carried_find(piece, &spill->parcel, at, &next)) {
        case SPILL_RECORD:
            result = take_record(parcel, (struct tally_record_header *)(void *)(piece->bytes + at));
            break;
        case SPILL_PADDING:
            result = take_padding(parcel, piece->bytes + at, position);
            break;
        case SPILL_DAMAGED: /* how many there were the next record's number says */
            if (position >= parcel->lane->position)
                result = keep(parcel, piece->bytes + at, position, next - at, parcel->lane->position,
                              parcel->lane->sequence);
            result = result ? result : 1;
            break;
        case SPILL_MORE:
            spill->offset = piece->offset + at;
            return 1;
        case SPILL_END:
            whole = parcel->lane->position >= spill->parcel.to;
            /* Its writer may have found its name gone, and be writing it once more. */
            if (!whole && !spill_second_look(spill, parcel->file, parcel->lane->position))
                return 0;
            ledger_lane_carried(parcel->arena, parcel->number, whole);
            return 2;
        }
        if (result <= 0)
            return result;
        at = next;
    }
}

/* What the database has already is not read again: it may have been written over while it was copied. */
static void pass_known(struct spill *spill, const struct ledger_lane *lane)
{
    uint64_t known = lane->position > spill->parcel.from ? lane->position - spill->parcel.from : 0;
    if (spill->offset < SPILL_CARRIED_OFFSET + known)
        spill->offset = SPILL_CARRIED_OFFSET + known;
}

/* One that has never been seen gets a name by its first file: another user's the name by which may_speak() knows whose it is, or
 * of all the lanes that its clients have carried over the first alone would come in. */
static int open_arena(struct collector *collector, const struct spill_found *file, struct ledger_arena **out)
{
    const struct spill *spill = &collector->spill;
    char standard[ARENA_PATH_MAX];
    bool named = spill->uid != geteuid() && spill->uid != 0 &&
                 arena_path(standard, sizeof standard, NULL, spill->uid) == 0;
    return ledger_arena_open(collector->ledger, spill->arena, named ? standard : NULL,
                             spill->folders.list[file->folder].path, out);
}

int carried_take(struct collector *collector, const struct spill_found *file)
{
    struct spill *spill = &collector->spill;
    struct parcel parcel = {.collector = collector, .file = file, .number = spill->parcel.lane};
    uint64_t room;
    int result = batch_room(collector, PIECE_BYTES, &room);
    if (!result)
        result = open_arena(collector, file, &parcel.arena);
    if (result)
        return result;
    if (parcel.number >= parcel.arena->lane_count)
        return 2;
    parcel.lane = &parcel.arena->lanes[parcel.number];
    pass_known(spill, parcel.lane);
    struct spill_piece piece = {.bytes = collector->batch.bytes + collector->batch.used,
                                .offset = spill->offset};
    ssize_t got = spill_file_read(spill->fd, piece.bytes, (size_t)room / 8 * 8, spill->offset);
    if (got < 0) {
        log_often(LOG_WARNING, "spill file %s cannot be read: %s", file->name, strerror((int)-got));
        return 0;
    }
    piece.length = (size_t)got;
    piece.end = (size_t)got < (size_t)room / 8 * 8;
    collector->batch.used += (piece.length + 63) / 64 * 64;
    if (collector->batch.used > BATCH_BYTES_MAX)
        collector->batch.used = BATCH_BYTES_MAX;
    return take_records(&parcel, &piece);
}
