/* spill.c: spill files into the ledger.
 *
 * Killed right here, wherever here is: a file is renamed before a byte of its records is read, so that its writer, who
 * looks at the name after each write, acknowledges nothing that is not read (write_once(), shim/spill.c). It is removed
 * after the commit that holds its records and the log's new number. In between it lies under its new name, in the own
 * folder or marked with the database's name, and is read again from its beginning by the next agent: numbers
 * that are in the database are skipped. So nothing is lost, and nothing counts twice.
 *
 * A log's files are taken in the order of their index. A file is begun only when the one before it has been renamed, or is
 * of no more use to its writer: whoever lists all folders and then sees a file has seen those before it, but for
 * a race between two folders. So numbers that are missing are believed only at the second look. */
#include "collector/state.h"

#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <testpoint.h>
#include <unistd.h>

/* Folders are looked through when the file system says so, and in any case this often. */
#define SCAN_NS (60 * SECOND_NS)
/* A file in a common folder that belongs to no arena that is known here is left to whom it may belong for so long. */
#define STRANGE_S 60
/* Of one round, so that lanes do not wait: then they have their turn. */
#define ROUND_RECORDS_MAX 20000u
#define ROUND_FILES_MAX   1000u
#define PIECE_BYTES       (256u * 1024u)
#define SECOND_MAX        256u

/* ---- folders ----------------------------------------------------------------------- */

int spill_open(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    int result = spill_folders_find(&spill->folders, collector->config->state_directory);
    spill->fd = -1;
    spill->known = calloc(SPILL_KNOWN_MAX, sizeof *spill->known);
    spill->second = calloc(SECOND_MAX, sizeof *spill->second);
    spill->done = calloc(ROUND_FILES_MAX, sizeof *spill->done);
    return result || (spill->known && spill->second && spill->done) ? result : -ENOMEM;
}

void spill_close(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    if (spill->fd >= 0)
        close(spill->fd);
    spill_list_free(&spill->list);
    spill_folders_free(&spill->folders);
    free(spill->known);
    free(spill->second);
    free(spill->done);
    memset(spill, 0, sizeof *spill);
    spill->fd = -1;
}

static bool serves_others(const struct collector *collector)
{
    if (collector->config->all_users)
        return true;
    for (const struct station *station = collector->stations; station; station = station->next)
        if (station->uid != geteuid())
            return true;
    return false;
}

/* The own folder: for the own user alone, or for the arena's group, or for all whose arenas are served. */
static int make_own(struct collector *collector)
{
    const struct agent_config *config = collector->config;
    const char *path = collector->spill.folders.list[0].path;
    mode_t mode = serves_others(collector) ? 01777 : config->group != (gid_t)-1 ? 01770 : 0700;
    struct stat status = {0};
    if (mkdir(path, 0700) && errno != EEXIST)
        return -errno;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 || fstat(fd, &status) ? -errno : 0;
    if (result == 0 && status.st_uid != geteuid())
        result = -EPERM;
    if (result == 0 && mode == 01770 && fchown(fd, (uid_t)-1, config->group))
        result = -errno;
    if (result == 0 && (status.st_mode & 07777) != mode && fchmod(fd, mode))
        result = -errno;
    if (fd >= 0)
        close(fd);
    /* Who may write there must be able to go there. The database keeps its own mode. */
    if (result == 0 && mode != 0700 && stat(config->state_directory, &status) == 0 &&
        status.st_uid == geteuid() && !(status.st_mode & S_IXOTH))
        chmod(config->state_directory, (status.st_mode & 07777) | S_IXGRP | S_IXOTH);
    return result;
}

/* Where the user's clients go that know of no agent: made now, so that it can be watched. Not what the user has named. */
static void make_users(const struct spill_folder *folder)
{
    char path[SPILL_PATH_MAX];
    if (!folder->state || access(folder->path, F_OK) == 0)
        return;
    memcpy(path, folder->path, strlen(folder->path) + 1);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    mkdir(path, 0700);
}

/* One that does not exist yet is made by the first client that needs it; until then it is looked for at each scan, and no
 * sleep is longer than that. */
static void watch(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    spill->unwatched = false;
    for (unsigned int i = 0; i < spill->folders.count && !collector->once; i++)
        if (events_watch_folder(&collector->events, spill->folders.list[i].path) < 0)
            spill->unwatched = true;
}

int64_t spill_bound_ns(const struct collector *collector)
{
    return collector->spill.unwatched || collector->spill.blind ? SCAN_NS : -1;
}

void spill_prepare(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    int result = make_own(collector);
    if (result)
        log_line(LOG_WARNING, "spill folder %s cannot be had: %s; clients look for another",
                 spill->folders.list[0].path, strerror(-result));
    spill->folders.list[0].told = result != 0;
    for (const struct station *station = collector->stations; station; station = station->next)
        if (geteuid() == 0 && spill_folders_add_user(&spill->folders, station->uid))
            break;
    for (unsigned int i = 1; i < spill->folders.count && !collector->once; i++)
        make_users(&spill->folders.list[i]);
    spill->scanned_ns = 0;
}

const char *spill_directory(const struct collector *collector)
{
    const struct spill_folders *folders = &collector->spill.folders;
    return folders->count && !folders->list[0].told ? folders->list[0].path : "";
}

/* Whether this is no answer to what stands in a folder. One that is absent, or closed to this agent, is one. */
static bool unanswered(int result)
{
    return result && result != -ENOENT && result != -ENOTDIR && result != -EACCES && result != -EPERM &&
           result != -ELOOP;
}

static void scan(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    watch(collector); /* before the look: what comes after it is told */
    spill_list_free(&spill->list);
    spill->next = 0;
    spill->blind = false;
    for (unsigned int i = 0; i < spill->folders.count; i++) {
        struct spill_folder *folder = &spill->folders.list[i];
        int result = spill_list_folder(&spill->list, &spill->folders, i, ledger_instance(collector->ledger));
        if (result && result != -ENOENT && !folder->told)
            log_line(LOG_WARNING, "spill folder %s cannot be looked through: %s", folder->path,
                     strerror(-result));
        folder->told = folder->told || (result && result != -ENOENT);
        spill->blind = spill->blind || unanswered(result);
    }
    spill_list_sort(&spill->list);
}

/* ---- one file ------------------------------------------------------------------------- */

static bool known(const struct spill *spill, const char *name)
{
    for (size_t i = 0; i < spill->known_count && i < SPILL_KNOWN_MAX; i++)
        if (!strcmp(spill->known[i].name, name))
            return true;
    return false;
}

/* Leave it alone from now on, and say why, once. */
static void leave_for_good(struct collector *collector, const struct spill_found *file, const char *why)
{
    struct spill *spill = &collector->spill;
    struct spill_known *entry = &spill->known[spill->known_count++ % SPILL_KNOWN_MAX];
    snprintf(entry->name, sizeof entry->name, "%s", file->name);
    log_often(LOG_WARNING, "spill file %s/%s is left alone: %s", spill->folders.list[file->folder].path,
              file->name, why);
}

static bool same_log(const struct spill_found *a, const struct spill_found *b)
{
    return !memcmp(a->log, b->log, sizeof a->log);
}

/* This file's turn has not come: nor has that of those behind it in its log. */
static void pass_log(struct spill *spill)
{
    struct spill_found file = spill->list.files[spill->next];
    while (spill->next < spill->list.count && same_log(&spill->list.files[spill->next], &file))
        spill->next++;
}

/* In a folder that others use too: is it for this agent? Its arena says so; where nobody is known to serve that, whoever
 * comes after a while. */
static int concerns(struct collector *collector, const struct tally_spill_header *header,
                    const struct stat *status)
{
    static const uint8_t none[16];
    for (const struct served *served = collector->served; served; served = served->next)
        if (!memcmp(served->reader.header.uuid, header->arena, sizeof header->arena))
            return 1;
    if (!memcmp(header->arena, none, sizeof none) ||
        clock_now(CLOCK_REALTIME) / SECOND_NS - status->st_mtime >= STRANGE_S || collector->once)
        return 1;
    return ledger_arena_known(collector->ledger, header->arena, NULL, 0);
}

static bool owner_served(const struct collector *collector, const struct stat *status)
{
    gid_t group = collector->config->group;
    return stations_serve_uid(collector, status->st_uid) || (group != (gid_t)-1 && status->st_gid == group);
}

static const char *refusal(int result)
{
    switch (result) {
    case -EACCES:
        return "it is no regular file with one name, or larger than one can be, or may not be read";
    case -EBADMSG:
        return "it is no spill file of this version";
    case -EPERM:
        return "it is about an arena of another user";
    default:
        return strerror(-result);
    }
}

static int rename_new(int directory, const char *name, const char *taken)
{
    if (renameat2(directory, name, directory, taken, RENAME_NOREPLACE) == 0)
        return 0;
    /* Some network file systems cannot do that. */
    return (errno == EINVAL || errno == ENOSYS) && renameat(directory, name, directory, taken) == 0 ? 0
                                                                                                    : -errno;
}

/* Give it the name that says that it is being taken. */
static int rename_taken(struct collector *collector, int directory, struct spill_found *file, int fd)
{
    TESTPOINT(spill_found);
    const struct spill_folder *folder = &collector->spill.folders.list[file->folder];
    char taken[SPILL_NAME_MAX + 32];
    struct stat opened;
    struct stat named;
    int result;
    int length = folder->own ? snprintf(taken, sizeof taken, "%s" TALLY_SPILL_TAKEN, file->name)
                             : snprintf(taken, sizeof taken, "%s" TALLY_SPILL_TAKEN ".%s", file->name,
                                        ledger_instance(collector->ledger));
    if (length < 0 || length >= SPILL_NAME_MAX)
        return -ENAMETOOLONG;
    result = rename_new(directory, file->name, taken);
    if (result == -EEXIST && folder->own) {
        /* Somebody who may write here has been before us: it must not keep the owner's records from being taken. */
        length = snprintf(taken, sizeof taken, "%s" TALLY_SPILL_TAKEN ".%" PRIx64, file->name,
                          (uint64_t)clock_now(CLOCK_REALTIME));
        result =
            length < 0 || length >= SPILL_NAME_MAX ? -ENAMETOOLONG : rename_new(directory, file->name, taken);
    }
    if (result)
        return result;
    TESTPOINT(spill_renamed);
    memcpy(file->name, taken, (size_t)length + 1);
    file->taken = true;
    /* Somebody has put another in its place meanwhile: the next look sees what it is. */
    if (fstat(fd, &opened) || fstatat(directory, taken, &named, AT_SYMLINK_NOFOLLOW) ||
        opened.st_ino != named.st_ino || opened.st_dev != named.st_dev)
        return -ESTALE;
    return 0;
}

/* It is what it should be, and only may not be opened now. Then those behind it in its log have to wait: were they taken, its
 * records would count as missing, and never again be wanted. */
static bool unreadable(const struct collector *collector, int directory, const struct spill_found *file)
{
    struct stat status;
    if (fstatat(directory, file->name, &status, AT_SYMLINK_NOFOLLOW))
        return errno != ENOENT; /* nobody can tell */
    return S_ISREG(status.st_mode) && status.st_nlink == 1 &&
           status.st_size <= (off_t)SPILL_FILE_BYTES_LIMIT && owner_served(collector, &status);
}

/* As begin_file(), which found this in the way. */
static int refuse(struct collector *collector, int directory, const struct spill_found *file, int fd,
                  int result)
{
    if (fd >= 0)
        close(fd);
    if ((result == -EACCES && !unreadable(collector, directory, file)) || result == -EBADMSG ||
        result == -EPERM) {
        leave_for_good(collector, file, refusal(result));
        return 2;
    }
    log_often(LOG_WARNING, "spill file %s/%s cannot be read: %s",
              collector->spill.folders.list[file->folder].path, file->name, strerror(-result));
    return 0;
}

/* What it is. 1 if it stops short of saying so: what was acknowledged by now in such a file, if anything, nobody can read. */
static int identify(struct collector *collector, int fd, const struct spill_found *file,
                    struct tally_spill_header *header, const struct stat *status)
{
    struct spill_name name;
    spill_name_parse(file->name, &name);
    int result = spill_file_header(fd, &name, header);
    if (result == 0 && header->magic == TALLY_CARRIED_MAGIC)
        result = carried_begin(collector, fd, header, status);
    if (result != -ENODATA)
        return result;
    memset(header, 0, sizeof *header);
    return 1;
}

/* Open and take a file. Returns 1 if it is under way now, 0 if its turn has not come, 2 if it is none of ours, or the
 * ledger's error. */
static int begin_file(struct collector *collector, int directory, struct spill_found *file)
{
    struct spill *spill = &collector->spill;
    const struct spill_folder *folder = &spill->folders.list[file->folder];
    struct tally_spill_header header;
    struct stat status = {0};
    int fd = spill_file_open(directory, file->name, &status);
    if (fd == -ENOENT)
        return 0; /* another agent's by now */
    int result = fd < 0 ? fd : 0;
    if (result == 0 && !owner_served(collector, &status)) {
        close(fd);
        if (folder->own)
            leave_for_good(collector, file, "it belongs to a user who is not served");
        return 2;
    }
    if (result == 0)
        result = identify(collector, fd, file, &header, &status);
    int ours = result < 0 ? 0 : folder->own || file->taken ? 1 : concerns(collector, &header, &status);
    if (ours > 0 && !file->taken) {
        bool cut = result == 1;
        result = rename_taken(collector, directory, file, fd);
        if (result) {
            log_often(LOG_WARNING, "spill file %s/%s cannot be renamed: %s", folder->path, file->name,
                      strerror(-result));
            close(fd);
            return 0;
        }
        /* In the making when we found it. Its writer may have finished it before the renaming, and been content. */
        if (cut)
            result = identify(collector, fd, file, &header, &status);
    }
    if (result < 0)
        return refuse(collector, directory, file, fd, result);
    if (ours <= 0) {
        close(fd);
        return ours;
    }
    spill->fd = fd;
    spill->uid = status.st_uid;
    spill->carried = header.magic == TALLY_CARRIED_MAGIC;
    spill->offset = spill->carried ? SPILL_CARRIED_OFFSET : sizeof header;
    spill->damaged = false;
    return 1;
}

static void end_file(struct spill *spill)
{
    if (spill->fd >= 0)
        close(spill->fd);
    spill->fd = -1;
}

/* ---- records ------------------------------------------------------------------------------ */

struct take {
    struct collector *collector;
    struct spill_found *file;
    struct ledger_arena *log;
    struct ledger_lane *lane;
};

static int skip(const struct take *take, uint64_t number, const char *cause, const char *detail)
{
    struct collector *collector = take->collector;
    log_often(LOG_WARNING, "spill file %s: %" PRIu64 " records lost (%s): %s", take->file->name,
              number - take->lane->sequence, cause, detail);
    return ledger_skip(collector->ledger, take->log, 0, take->lane->position, number, cause, detail);
}

static void keep_bytes(const struct take *take, const void *bytes, uint64_t offset, size_t length,
                       const char *what, char *detail, size_t detail_bytes)
{
    char name[QUARANTINE_NAME_MAX];
    int result = quarantine_keep(&take->collector->quarantine, take->file->log, take->file->index, offset,
                                 bytes, length, name);
    snprintf(detail, detail_bytes, "%zu bytes at %" PRIu64 " of file %u: %s; %s%s", length, offset,
             take->file->index, what, result ? "not kept: " : "kept as ", result ? strerror(-result) : name);
}

static int damaged(const struct take *take, const struct spill_piece *piece, size_t at, size_t next)
{
    struct spill *spill = &take->collector->spill;
    char detail[256];
    keep_bytes(take, piece->bytes + at, piece->offset + at, next - at, "no record", detail, sizeof detail);
    spill->damaged = true;
    spill->damaged_at = piece->offset + at;
    /* How many there were is seen by the next record's number, if one comes. */
    return skip(take, take->lane->sequence, "quarantined", detail);
}

bool spill_second_look(struct spill *spill, const struct spill_found *file, uint64_t position)
{
    if (spill->blind)
        return false;
    for (size_t i = 0; i < spill->second_count; i++) {
        struct spill_second *second = &spill->second[i];
        if (!same_log(&second->file, file) || second->file.index != file->index)
            continue;
        bool moved = second->position != position;
        second->position = position;
        if (!moved)
            *second = spill->second[--spill->second_count];
        return !moved;
    }
    if (spill->second_count == SECOND_MAX)
        return true;
    spill->second[spill->second_count++] = (struct spill_second){*file, position};
    return false;
}

/* Numbers are missing before this one. 1 to go on, 0 to come back to the file, or an error. */
static int missing(const struct take *take, uint64_t number)
{
    struct spill *spill = &take->collector->spill;
    char detail[128];
    if (spill->damaged) {
        spill->damaged = false;
        snprintf(detail, sizeof detail, "at %" PRIu64 " of file %u", spill->damaged_at, take->file->index);
        int result = skip(take, number - 1, "quarantined", detail);
        return result ? result : 1;
    }
    if (!spill_second_look(spill, take->file, take->lane->sequence))
        return 0;
    snprintf(detail, sizeof detail, "before number %" PRIu64 " in file %u: an earlier file is not here",
             number, take->file->index);
    int result = skip(take, number - 1, "spill_missing", detail);
    return result ? result : 1;
}

/* 1 to go on, 0 to come back to the file, or an error. */
static int take_record(const struct take *take, struct tally_record_header *record)
{
    struct collector *collector = take->collector;
    uint64_t number = record->sequence;
    char detail[256];
    if (number <= take->lane->sequence)
        return 1; /* had */
    int result = number > take->lane->sequence + 1 ? missing(take, number) : 1;
    if (result <= 0)
        return result;
    uint64_t offset = record->position;
    record->position = take->lane->position; /* where it stands in the log */
    result = ledger_record(collector->ledger, take->log, 0, record);
    if (result == -EBADMSG) {
        keep_bytes(take, record, offset, record->length, "its fields do not decode", detail, sizeof detail);
        result = skip(take, number, "quarantined", detail);
    }
    collector->batch.records++;
    return result ? result : 1;
}

/* 1 to go on, 0 to come back to the file, 2 at its end, or an error. */
static int take_records(const struct take *take, struct spill_piece *piece)
{
    size_t at = 0;
    for (;;) {
        size_t next = at;
        int result = 1;
        switch (spill_piece_find(piece, at, &next)) {
        case SPILL_RECORD:
            next = at + ((struct tally_record_header *)(void *)(piece->bytes + at))->length;
            result = take_record(take, (struct tally_record_header *)(void *)(piece->bytes + at));
            break;
        case SPILL_DAMAGED:
            result = damaged(take, piece, at, next);
            result = result ? result : 1;
            break;
        case SPILL_MORE:
            take->collector->spill.offset = piece->offset + at;
            return 1;
        case SPILL_END:
        case SPILL_PADDING: /* there is none in a log */
            return 2;
        }
        if (result <= 0)
            return result;
        at = next;
    }
}

/* Fetch and take one piece of the file under way. As take_records(). */
static int take_piece(struct collector *collector, struct spill_found *file)
{
    struct spill *spill = &collector->spill;
    struct take take = {.collector = collector, .file = file};
    uint64_t room;
    int result = batch_room(collector, PIECE_BYTES, &room);
    if (result)
        return result;
    /* Only as many records as it may hold; and aligned, as the records in it are. */
    struct spill_piece piece = {.bytes = collector->batch.bytes + collector->batch.used,
                                .offset = spill->offset};
    ssize_t got = spill_file_read(spill->fd, piece.bytes, (size_t)room / 8 * 8, spill->offset);
    if (got < 0) {
        log_often(LOG_WARNING, "spill file %s cannot be read: %s", file->name, strerror((int)-got));
        return 0;
    }
    piece.length = (size_t)got;
    piece.end = (size_t)got < (size_t)room / 8 * 8;
    if (got == 0)
        return 2;
    result = ledger_log_open(collector->ledger, file->log, spill->uid, spill->folders.list[file->folder].path,
                             &take.log);
    if (result)
        return result;
    take.lane = &take.log->lanes[0];
    collector->batch.used += (piece.length + 63) / 64 * 64;
    if (collector->batch.used > BATCH_BYTES_MAX)
        collector->batch.used = BATCH_BYTES_MAX;
    return take_records(&take, &piece);
}

/* ---- a round -------------------------------------------------------------------------------- */

/* Take from the file whose turn it is. 0, or the ledger's error. */
static int take_file(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    struct spill_found *file = &spill->list.files[spill->next];
    if (spill->fd < 0) {
        if (file->foreign || known(spill, file->name)) {
            spill->next++;
            return 0;
        }
        int directory = spill_folder_open(&spill->folders.list[file->folder]);
        int result = directory < 0 ? 0 : begin_file(collector, directory, file);
        if (directory >= 0)
            close(directory);
        if (result == 0)
            pass_log(spill);
        spill->next += result == 2;
        if (result != 1)
            return result < 0 ? result : 0;
    }
    int result = spill->carried ? carried_take(collector, file) : take_piece(collector, file);
    if (result < 0)
        return result;
    collector->moved = true;
    if (result == 1)
        return 0;
    end_file(spill);
    TESTPOINT(spill_read);
    if (result == 2) {
        spill->done[spill->done_count++] = *file;
        spill->next++;
    } else {
        if (!spill->blind)
            spill->scanned_ns = 0; /* look again, then come back to it */
        pass_log(spill);
    }
    return 0;
}

int spill_round(struct collector *collector, bool thorough)
{
    struct spill *spill = &collector->spill;
    int64_t now = clock_now(CLOCK_MONOTONIC);
    uint32_t records = collector->batch.records;
    unsigned int files = 0;

    if (spill->next == spill->list.count &&
        (!spill->scanned_ns || collector->events.spill || collector->once ||
         (thorough && now - spill->scanned_ns >= SCAN_NS))) {
        collector->events.spill = false;
        spill->scanned_ns = now;
        scan(collector);
    }
    while (spill->next < spill->list.count) {
        /* batch_room() commits, and counts from 0 again. */
        uint32_t taken = collector->batch.records >= records ? collector->batch.records - records
                                                             : collector->batch.records;
        if (++files > ROUND_FILES_MAX || spill->done_count == ROUND_FILES_MAX || taken >= ROUND_RECORDS_MAX) {
            if (!collector->once) {
                collector->pressed = true; /* come back at once, when the lanes have had their turn */
                break;
            }
            int result = round_commit(collector);
            if (result)
                return result;
            files = 0;
            records = 0;
        }
        int result = take_file(collector);
        if (result)
            return result;
    }
    if (!spill->scanned_ns)
        collector->waiting = true; /* the second look */
    return 0;
}

static void remove_done(struct collector *collector, const struct spill_found *file)
{
    struct spill *spill = &collector->spill;
    TESTPOINT(spill_committed);
    int directory = spill_folder_open(&spill->folders.list[file->folder]);
    int result = directory < 0 ? directory : unlinkat(directory, file->name, 0) ? -errno : 0;
    if (directory >= 0)
        close(directory);
    if (result && result != -ENOENT)
        leave_for_good(collector, file, "its records are in, but it cannot be removed; remove it");
    TESTPOINT(spill_removed);
    spill->files++;
}

void spill_committed(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    for (size_t i = 0; i < spill->done_count; i++)
        remove_done(collector, &spill->done[i]);
    spill->done_count = 0;
}

void spill_abandoned(struct collector *collector)
{
    struct spill *spill = &collector->spill;
    end_file(spill);
    spill->done_count = 0;
    spill->second_count = 0;
    spill_list_free(&spill->list);
    spill->next = 0;
    spill->scanned_ns = 0;
}
