/* stations.c: which names are watched, and which arena stands under each. */
#include "collector/state.h"

#include "board/agent_lock.h"
#include "log/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_NS     (5 * SECOND_NS)
#define STATIONS_MAX 4096
/* How long an arena without a name is kept at least: a client may have opened it just before, and be about
 * to take a lane. */
#define ORPHAN_KEPT_NS (10 * SECOND_NS)

static const char *base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static struct station *find_station(const struct collector *collector, const char *path)
{
    for (struct station *station = collector->stations; station; station = station->next)
        if (!strcmp(station->path, path))
            return station;
    return NULL;
}

/* Add a name, at the end: the first is the one that the agent must have. */
static int add_station(struct collector *collector, const char *path, uid_t uid, bool create)
{
    struct station **link = &collector->stations;
    unsigned int count = 0;
    struct station *station = find_station(collector, path);
    if (station) {
        station->wanted = true;
        return 0;
    }
    for (; *link; link = &(*link)->next)
        count++;
    station = count < STATIONS_MAX ? calloc(1, sizeof *station) : NULL;
    if (!station)
        return -ENOMEM;
    snprintf(station->path, sizeof station->path, "%s", path);
    station->uid = uid;
    station->create = create;
    station->wanted = true;
    station->lock = -1;
    station->folder_watch = -1;
    for (int i = 0; i < 3; i++)
        station->file_watch[i] = -1;
    *link = station;
    return 0;
}

static int add_default(struct collector *collector, uid_t uid)
{
    char path[ARENA_PATH_MAX];
    int result = arena_path(path, sizeof path, NULL, uid);
    /* Made by its own user alone: one of root's could not be written by them. */
    return result ? result : add_station(collector, path, uid, uid == geteuid());
}

/* Where clients go when a stranger has taken the default name. */
static int add_runtime(struct collector *collector)
{
    char standard[ARENA_PATH_MAX];
    char path[ARENA_PATH_MAX];
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    if (!runtime || runtime[0] != '/' || arena_path(standard, sizeof standard, NULL, geteuid()))
        return 0;
    int length = snprintf(path, sizeof path, "%s/%s", runtime, base_name(standard));
    if (length < 0 || (size_t)length >= sizeof path)
        return 0;
    return add_station(collector, path, geteuid(), false);
}

static bool default_name(const char *name, uid_t *uid)
{
    char made[64];
    unsigned int number;
    if (sscanf(name, "tally-%u.v", &number) != 1)
        return false;
    snprintf(made, sizeof made, "tally-%u.v%u", number, TALLY_ABI);
    *uid = number;
    return !strcmp(name, made);
}

/* users = *: whoever has a default arena now. */
static int add_all_users(struct collector *collector)
{
    DIR *listing = opendir("/dev/shm");
    struct dirent *entry;
    uid_t uid;
    int result = 0;

    if (!listing)
        return -errno;
    do {
        errno = 0;
        entry = readdir(listing);
        if (!entry)
            result = -errno; /* 0: that was all */
        else if (default_name(entry->d_name, &uid))
            result = add_default(collector, uid);
    } while (entry && !result);
    closedir(listing);
    return result;
}

static int add_named(struct collector *collector, const char *name)
{
    char path[ARENA_PATH_MAX];
    uid_t uid = geteuid();
    int result = arena_path(path, sizeof path, name, geteuid());
    if (result)
        return result;
    /* The default name of another user, named outright: then it is that user's. */
    default_name(base_name(path), &uid);
    return add_station(collector, path, uid, uid == geteuid());
}

int stations_configure(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    const struct agent_config *config = collector->config;
    int result = 0;

    for (struct station *station = collector->stations; station; station = station->next)
        station->wanted = false;
    for (unsigned int i = 0; i < config->arena_count && !result; i++)
        result = add_named(collector, config->arenas[i]);
    if (!result && config->arena_count == 1 && !config->arenas[0])
        result = add_runtime(collector);
    for (unsigned int i = 0; i < config->user_count && !result; i++)
        result = add_default(collector, config->users[i]);
    if (!result && config->all_users)
        result = add_all_users(collector);
    if (result)
        snprintf(error, COLLECTOR_ERROR_BYTES, "cannot take over the names of arenas: %s", strerror(-result));
    return result ? -1 : 0;
}

/* Returns 0, or -errno with a sentence. An arena that is absent and need not be made is no mistake. */
static int attach(struct collector *collector, struct station *station, struct attach_problem *problem)
{
    int result = serve_attach(collector, station, problem);
    if (result == -EAGAIN) /* an older copy has been set aside: now there is room for a new one */
        result = serve_attach(collector, station, problem);
    return result == -ENOENT ? 0 : result;
}

int stations_attach(struct collector *collector, bool starting, char error[COLLECTOR_ERROR_BYTES])
{
    for (struct station *station = collector->stations; station; station = station->next) {
        struct attach_problem problem = {.untrusted = false};
        if (station->here || !station->wanted)
            continue;
        station->retry_ns = 0;
        int result = attach(collector, station, &problem);
        if (!result)
            continue;
        station->retry_ns = clock_now(CLOCK_MONOTONIC) + RETRY_NS;
        /* A stranger who sits on the default name sends clients to the runtime folder, and us too. */
        bool elsewhere = problem.untrusted && station->next && !collector->config->arenas[0];
        if (starting && station == collector->stations && !elsewhere) {
            snprintf(error, COLLECTOR_ERROR_BYTES, "%s", problem.text);
            return -1;
        }
        log_often(LOG_WARNING, "%s", problem.text);
    }
    return 0;
}

/* The lock's file has been deleted, and perhaps made again by another agent. Lock the name anew. */
static bool lock_holds(struct station *station)
{
    char path[ARENA_SIBLING_MAX];
    pid_t holder;
    arena_sibling(path, station->path, ".lock");
    if (agent_lock_named(station->lock, path)) /* or it cannot be told now */
        return true;
    int fd = agent_lock_take(path, station->here->reader.owner, &holder);
    close(station->lock);
    station->lock = fd < 0 ? -1 : fd;
    return fd >= 0;
}

/* Whether the arena that is served here still is what the names say. */
static bool check_station(struct collector *collector, struct station *station)
{
    struct served *here = station->here;
    if (!arena_reader_named(&here->reader, station->path)) {
        serve_orphan(collector, station);
        return false;
    }
    int result = lock_holds(station) ? serve_check_board(collector, here) : -EBUSY;
    if (!result)
        return true;
    /* Without lock or board it is not ours to serve. What is in the database stays; the lanes wait. */
    log_often(LOG_WARNING, "arena %s is left for now: its %s cannot be had: %s", station->path,
              result == -EBUSY ? "lock" : "board", strerror(-result));
    station->here = NULL;
    if (serve_detach(collector, here, false))
        ledger_abandon(collector->ledger);
    return false;
}

void stations_check(struct collector *collector)
{
    char error[COLLECTOR_ERROR_BYTES];

    if (collector->config->all_users && add_all_users(collector))
        log_often(LOG_WARNING, "cannot look for users' arenas");
    for (struct station *station = collector->stations; station; station = station->next)
        if (station->here)
            check_station(collector, station);
    stations_attach(collector, false, error);
    watch_update(collector);
    /* What changed before the watches were there has gone unseen: once more. */
    for (struct station *station = collector->stations; station; station = station->next) {
        struct stat status;
        bool appeared = !station->here && station->wanted && !lstat(station->path, &status);
        if (station->here ? !check_station(collector, station) : appeared && !station->retry_ns)
            collector->events.names = true;
    }
}

void stations_retire(struct collector *collector)
{
    gone_settle(collector);
    int64_t now = clock_now(CLOCK_MONOTONIC);
    struct served *next;

    for (struct served *served = collector->served; served; served = next) {
        next = served->next;
        if (!served->orphaned || served->in_use || now - served->orphaned_ns < ORPHAN_KEPT_NS)
            continue;
        log_line(LOG_NOTE, "arena %s, which had been removed, is drained", served->path);
        if (serve_detach(collector, served, true)) {
            log_often(LOG_WARNING, "%s", ledger_error(collector->ledger));
            ledger_abandon(collector->ledger);
        }
    }
    for (struct station *station = collector->stations; station; station = station->next) {
        if (station->wanted)
            continue;
        if (station->here && serve_detach(collector, station->here, false) == 0)
            station->here = NULL;
        if (!station->here && station->lock >= 0) {
            close(station->lock);
            station->lock = -1;
        }
    }
}

enum event_name stations_relevant(void *context, const char *name)
{
    const struct collector *collector = context;
    struct spill_name spill;
    uid_t uid;

    if (spill_name_parse(name, &spill))
        return spill.taken ? EVENT_NONE : EVENT_SPILL;
    if (collector->config->all_users && default_name(name, &uid))
        return EVENT_ARENA;
    for (const struct station *station = collector->stations; station; station = station->next) {
        const char *base = base_name(station->path);
        size_t length = strlen(base);
        if (!strncmp(name, base, length) &&
            (!name[length] || !strcmp(name + length, ".board") || !strcmp(name + length, ".lock")))
            return EVENT_ARENA;
    }
    return EVENT_NONE;
}

bool stations_serve_uid(const struct collector *collector, uid_t uid)
{
    if (collector->config->all_users || uid == geteuid() || uid == 0)
        return true;
    for (const struct station *station = collector->stations; station; station = station->next)
        if (station->uid == uid)
            return true;
    return false;
}

int64_t stations_retry_ns(const struct collector *collector)
{
    int64_t earliest = 0;
    for (const struct station *station = collector->stations; station; station = station->next)
        if (station->wanted && !station->here && station->retry_ns &&
            (!earliest || station->retry_ns < earliest))
            earliest = station->retry_ns;
    return earliest;
}

void stations_release(struct collector *collector)
{
    struct station *next;

    while (collector->served)
        if (serve_detach(collector, collector->served, false))
            break;
    for (struct station *station = collector->stations; station; station = next) {
        next = station->next;
        if (station->lock >= 0)
            close(station->lock);
        free(station);
    }
    collector->stations = NULL;
}
