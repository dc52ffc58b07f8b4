/* serve.c: one arena, from its name to being drained, and away from it again. */
#include "collector/state.h"

#include "board/agent_lock.h"
#include "liveness/liveness.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <testpoint.h>
#include <unistd.h>

#define PROBLEM(code, ...) (snprintf(problem->text, sizeof problem->text, __VA_ARGS__), (code))

static int open_problem(const char *path, int result, struct attach_problem *problem)
{
    problem->untrusted = result == -EACCES;
    if (result == -EACCES)
        return PROBLEM(
            result,
            "arena %s is not to be trusted: it must be a regular file with one name, of this user or "
            "root, that may be read and is closed to others; mend or remove it, or name another with --arena",
            path);
    if (result == -EBADMSG)
        return PROBLEM(result,
                       "%s is no arena of this version, or it is truncated; remove it, or name another "
                       "with --arena",
                       path);
    return PROBLEM(result, "cannot open arena %s: %s; if that cannot be mended, name another with --arena",
                   path, strerror(-result));
}

static int take_lock(struct station *station, uid_t owner, struct attach_problem *problem)
{
    char path[ARENA_SIBLING_MAX];
    pid_t holder;

    if (station->lock >= 0)
        return 0;
    arena_sibling(path, station->path, ".lock");
    int fd = agent_lock_take(path, owner, &holder);
    if (fd == -EBUSY)
        return PROBLEM(fd, "another agent (process %ld) serves arena %s; stop it first", (long)holder,
                       station->path);
    if (fd == -EACCES)
        return PROBLEM(
            fd,
            "%s may not be opened, or is not to be trusted: it must be a regular file of this user "
            "or root, closed to others; mend that, or remove it",
            path);
    if (fd < 0)
        return PROBLEM(fd, "cannot lock %s: %s", path, strerror(-fd));
    station->lock = fd;
    TESTPOINT(lock_taken);
    return 0;
}

/* Open it for reading, made first if it is missing and to be made. Whoever holds the lock is the agent of this name. */
static int open_arena(struct collector *collector, struct station *station, struct served *served,
                      struct attach_problem *problem)
{
    struct tally_arena_header header;
    gid_t group = collector->config->group;
    int result = arena_reader_open(&served->reader, station->path, station->uid, group);
    if (result == 0) {
        result = take_lock(station, served->reader.owner, problem);
        if (result)
            arena_reader_close(&served->reader);
        return result;
    }
    if (result != -ENOENT)
        return open_problem(station->path, result, problem);
    if (!station->create || collector->once)
        return -ENOENT;
    result = take_lock(station, geteuid(), problem);
    if (result == -ENOENT)
        return PROBLEM(-ENOTDIR, "there is no folder for arena %s: make it, or name another with --arena",
                       station->path);
    if (result)
        return result;
    int fd = arena_file_open(station->path, group, true, &header);
    if (fd < 0)
        return open_problem(station->path, fd, problem);
    close(fd);
    result = arena_reader_open(&served->reader, station->path, station->uid, group);
    return result ? open_problem(station->path, result, problem) : 0;
}

/* An arena that is already being served under another name, or a copy of one. */
static bool known_already(const struct collector *collector, const struct served *served)
{
    for (struct served *other = collector->served; other; other = other->next)
        if (!memcmp(other->reader.header.uuid, served->reader.header.uuid, 16))
            return true;
    return false;
}

/* Whether somebody who still lives writes this lane, as far as one can tell: then the arena is in use and no copy. */
static bool held(const struct lane_head *head)
{
    const struct tally_identity *identity = &head->identity;
    uint32_t tid = head->owner & FUTEX_TID_MASK;
    if (!tid || head->owner & FUTEX_OWNER_DIED || tid != identity->tid)
        return false;
    return identity->pid_namespace != liveness_own_namespace() ||
           liveness_thread(identity->pid, identity->tid, (int64_t)identity->start_time, 0) != LIVENESS_GONE;
}

/* Whether the arena is a copy from an earlier day, 1 or 0, whose next records would look like ones that are in already: some
 * lane says in good order that it is younger than what the database holds of it, and none is further or held. One lane
 * alone proves nothing: whoever may write an arena may wipe a lane's header (a punched hole suffices), and must not
 * by this make all the others go unread. A negative errno value: it looks like one, but for a lane that could not be read. */
static int older_than_database(const struct served *served)
{
    int older = 0;
    int unread = 0;
    for (uint32_t lane = 0; lane < served->reader.header.lane_count; lane++) {
        const struct ledger_lane *known = &served->ledger->lanes[lane];
        struct lane_head head;
        int result = lane_read_head(&served->reader, lane, &head);
        if (result && result != -ENODATA)
            unread = result;
        if (result || !head.slotted || head.tail % 8)
            continue;
        if (head.tail > known->position || held(&head))
            return 0;
        if (head.tail < known->position && head.sequence <= known->sequence)
            older = 1;
    }
    return older && unread ? unread : older;
}

static bool board_shared(const struct collector *collector, const struct served *served)
{
    return served->reader.owner != geteuid() || collector->config->group != (gid_t)-1;
}

/* Where the board is ahead of the database, this has been restored, or begun anew. */
static void note_restored(struct served *served, const struct tally_board_lane *lanes)
{
    for (uint32_t lane = 0; lane < served->reader.header.lane_count; lane++) {
        if (lanes[lane].position <= served->ledger->lanes[lane].committed_position)
            continue;
        served->lanes[lane].restored_position = lanes[lane].position;
        served->lanes[lane].restored_sequence = lanes[lane].sequence;
    }
}

static int take_board(struct collector *collector, struct served *served)
{
    char path[ARENA_SIBLING_MAX];
    uint32_t lane_count = served->reader.header.lane_count;
    struct tally_board_lane *lanes = calloc(lane_count, sizeof *lanes);
    if (!lanes)
        return -ENOMEM;
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        lanes[lane].position = served->ledger->lanes[lane].committed_position;
        lanes[lane].sequence = served->ledger->lanes[lane].committed_sequence;
        lanes[lane].ended_tenures = served->ledger->lanes[lane].ended_tenure;
    }
    arena_sibling(path, served->path, ".board");
    int result =
        board_take(&served->board, path, &served->reader.header, board_shared(collector, served), lanes);
    if (!result)
        note_restored(served, lanes);
    if (!result)
        board_spill(&served->board, spill_directory(collector));
    free(lanes);
    return result;
}

int serve_check_board(struct collector *collector, struct served *served)
{
    char path[ARENA_SIBLING_MAX];
    struct stat status;
    arena_sibling(path, served->path, ".board");
    int error = lstat(path, &status) ? errno : 0;
    if (!error && status.st_dev == served->board.device && status.st_ino == served->board.inode)
        return 0;
    /* Nobody can tell: it stays in use, or a sound one would be replaced, and with it what it knows of a restored backup. */
    if (error && error != ENOENT && error != ENOTDIR)
        return 0;
    log_often(LOG_WARNING, "board %s has been removed or replaced: making a new one", path);
    board_leave(&served->board, true);
    return take_board(collector, served);
}

/* Set a restored arena aside, under another name, so that its bytes stay for who wants to look, and clients
 * find the name free. */
static int set_aside(struct collector *collector, struct served *served, struct attach_problem *problem)
{
    char aside[ARENA_PATH_MAX + 32];
    const uint8_t *uuid = served->reader.header.uuid;
    snprintf(aside, sizeof aside, "%s.restored-%02x%02x%02x%02x", served->path, uuid[0], uuid[1], uuid[2],
             uuid[3]);
    if (rename(served->path, aside))
        return PROBLEM(-errno,
                       "arena %s is an older copy of one that is in the database, and cannot be renamed "
                       "(%s): remove it",
                       served->path, strerror(errno));
    log_line(LOG_WARNING, "arena %s is an older copy of one that is in the database: set aside as %s",
             served->path, aside);
    if (take_board(collector, served) == 0)
        board_leave(&served->board, true); /* who still writes there learns that it has moved */
    return 0;
}

static void free_served(struct served *served)
{
    doorbell_stop(&served->doorbell);
    board_leave(&served->board, served->orphaned);
    arena_reader_close(&served->reader);
    free(served->lanes);
    free(served);
}

static int board_problem(const struct served *served, int result, struct attach_problem *problem)
{
    /* See reuse(), agent/board/board.c. */
    if (result == -EPERM)
        return PROBLEM(result,
                       "board %s.board cannot be opened, and may know more than the database: let this user "
                       "read and write it; or remove it, if no backup has been put in the database's place",
                       served->path);
    return PROBLEM(result,
                   "cannot have the board of arena %s: %s; mend that, or name another arena with --arena",
                   served->path, strerror(-result));
}

/* What follows once it is open and the ledger knows it. */
static int equip(struct collector *collector, struct served *served, struct attach_problem *problem)
{
    served->lanes = calloc(served->reader.header.lane_count, sizeof *served->lanes);
    if (!served->lanes)
        return PROBLEM(-ENOMEM, "out of memory");
    int result = older_than_database(served);
    if (result < 0)
        return PROBLEM(-EIO, "arena %s cannot be read: %s; if that cannot be mended, remove it", served->path,
                       strerror(-result));
    if (result > 0) {
        result = set_aside(collector, served, problem);
        return result ? result : -ESTALE;
    }
    result = take_board(collector, served);
    if (result)
        return board_problem(served, result, problem);
    if (collector->once)
        return 0;
    result = doorbell_start(&served->doorbell, served->reader.doorbell, collector->events.poke);
    if (result)
        return PROBLEM(result, "cannot start a thread: %s", strerror(-result));
    return 0;
}

int serve_attach(struct collector *collector, struct station *station, struct attach_problem *problem)
{
    struct served *served = calloc(1, sizeof *served);
    if (!served)
        return PROBLEM(-ENOMEM, "out of memory");
    memcpy(served->path, station->path, sizeof served->path);
    int result = open_arena(collector, station, served, problem);
    if (result) {
        free(served);
        return result;
    }
    if (known_already(collector, served)) {
        free_served(served);
        return PROBLEM(-EEXIST, "arena %s is, or is a copy of, one that is being served already",
                       station->path);
    }
    result = ledger_attach(collector->ledger, &served->reader.header, served->path, &served->ledger);
    if (result) {
        free_served(served);
        return PROBLEM(result, "%s", ledger_error(collector->ledger));
    }
    result = equip(collector, served, problem);
    if (result) {
        if (ledger_detach(collector->ledger, served->ledger, result == -ESTALE))
            ledger_abandon(collector->ledger);
        free_served(served);
        return result == -ESTALE ? -EAGAIN : result;
    }
    served->next = collector->served;
    collector->served = served;
    station->here = served;
    return 0;
}

void serve_orphan(struct collector *collector, struct station *station)
{
    struct served *served = station->here;
    (void)collector;
    log_line(LOG_WARNING,
             "arena %s has been removed or replaced while in use: draining what its clients still hold",
             served->path);
    served->orphaned = true;
    served->orphaned_ns = clock_now(CLOCK_MONOTONIC);
    board_announce(&served->board, TALLY_AGENT_MOVED, 0);
    station->here = NULL;
}

int serve_detach(struct collector *collector, struct served *served, bool retired)
{
    struct served **link = &collector->served;
    /* Unbound: its database could not be replaced, and the agent is leaving. */
    int result = served->ledger ? ledger_detach(collector->ledger, served->ledger, retired) : 0;
    if (result)
        return result;
    while (*link != served)
        link = &(*link)->next;
    *link = served->next;
    quiet_forget(collector, served);
    free_served(served);
    return 0;
}

void serve_unbind(struct collector *collector, struct served *served)
{
    /* Not retired: nothing is written, so it cannot fail but within a transaction. */
    ledger_abandon(collector->ledger);
    if (served->ledger && ledger_detach(collector->ledger, served->ledger, false) == 0)
        served->ledger = NULL;
}

int serve_bind_again(struct collector *collector, struct served *served)
{
    int result = ledger_attach(collector->ledger, &served->reader.header, served->path, &served->ledger);
    if (result)
        return result;
    quiet_forget(collector, served);
    memset(served->lanes, 0, served->reader.header.lane_count * sizeof *served->lanes);
    memset(served->refused, 0, sizeof served->refused);
    served->scanned_ns = 0;
    if (served->board.shared) /* nobody but this agent writes to it */
        note_restored(served, served->board.lanes);
    return 0;
}
