/* doctor_arena.c: shared memory and the agent that serves it. */
#include "arena_scan.h"
#include "doctor.h"
#include "arena/arena_versions.h"
#include "arena_file.h"

#include <tally/tally.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define ROOM_MIN     (16ull << 20)
#define FULL_PERCENT 80u

static void check_folder(struct doctor *doctor, const char *path)
{
    char *copy = must_copy(path);
    const char *folder = dirname(copy);
    struct statfs system;
    char size[NUMBER_BYTES];
    char room[NUMBER_BYTES];

    if (statfs(folder, &system) != 0) {
        doctor_find(doctor, FINDING_FAIL, "memory",
                    "Mount a tmpfs there, or set TALLY_ARENA to a path on one.", "%s: %s", folder,
                    strerror(errno));
    } else if (access(folder, W_OK | X_OK) != 0) {
        doctor_find(doctor, FINDING_FAIL, "memory",
                    "Give it mode 1777, or set TALLY_ARENA to a path in a folder that may be written.",
                    "%s may not be written by you: no arena can be made in it", folder);
    } else {
        uint64_t unit = (uint64_t)system.f_bsize;
        bool memory = system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
        bool tight = system.f_bavail * unit < ROOM_MIN;
        const char *remedy = NULL;
        if (tight)
            remedy = "Free some, or make it larger (mount -o remount,size=...; docker --shm-size).";
        else if (!memory)
            remedy = "It works, but a lane on a disk is slower: a tmpfs is better.";
        doctor_find(doctor, remedy != NULL ? FINDING_WARN : FINDING_OK, "memory", remedy,
                    "%s: %s of %s free%s", folder, bytes_text(system.f_bavail * unit, room),
                    bytes_text(system.f_blocks * unit, size), memory ? "" : ", not a tmpfs");
    }
    free(copy);
}

static void check_file(struct doctor *doctor, const struct arena_scan *scan)
{
    const struct tally_arena_header *header = &scan->reader.header;
    struct stat status;
    char room[NUMBER_BYTES];
    char ring[NUMBER_BYTES];

    if (fstat(scan->reader.fd, &status) != 0)
        return;
    doctor_find(doctor, FINDING_OK, "arena", NULL,
                "%s: layout %u, mode %04o, uid %u, %u lanes of %s, %s in use", scan->path, header->abi,
                (unsigned)(status.st_mode & 07777), (unsigned)status.st_uid, header->lane_count,
                bytes_text(header->ring_bytes, ring), bytes_text((uint64_t)status.st_blocks * 512, room));
}

static void check_lanes(struct doctor *doctor, const struct arena_scan *scan)
{
    uint32_t count = scan->reader.header.lane_count;

    if (scan->held >= count)
        doctor_find(doctor, FINDING_FAIL, "lanes",
                    "Records of further threads are refused: make a larger arena (TALLY_LANES for the first "
                    "client), or use fewer threads.",
                    "all %u are held", count);
    else if (scan->held * 100 >= (size_t)count * FULL_PERCENT)
        doctor_find(doctor, FINDING_WARN, "lanes",
                    "Make a larger arena (TALLY_LANES for the first client) soon.", "%zu of %u are held",
                    scan->held, count);
    else
        doctor_find(doctor, FINDING_OK, "lanes", NULL, "%zu of %u are held, %zu were ever used", scan->held,
                    count, scan->lane_count);
    for (size_t i = 0; i < scan->lane_count; i++) {
        if (scan->lanes[i].trouble != NULL)
            doctor_find(doctor, FINDING_FAIL, "lane",
                        "Something wrote where it must not. The lane is left alone by clients, what can be "
                        "saved of it is "
                        "quarantined; look for a stray write in its last owner.",
                        "%u (last owner pid %u): %s", scan->lanes[i].lane, scan->lanes[i].look.identity.pid,
                        scan->lanes[i].trouble);
    }
}

static void check_refusals(struct doctor *doctor, const struct arena_scan *scan)
{
    uint64_t full = 0;

    for (size_t i = 0; i < scan->lane_count; i++)
        full += scan->lanes[i].trouble == NULL ? scan->lanes[i].look.refused_full : 0;
    if (full != 0)
        doctor_find(doctor, FINDING_WARN, "refused", "Keep an agent running; it empties lanes.",
                    "%" PRIu64 " records since the arena was made, because a lane was full", full);
    if (scan->refused[TALLY_REFUSED_NO_LANE] != 0)
        doctor_find(doctor, FINDING_WARN, "refused", "Make room in /dev/shm, or a larger arena.",
                    "%" PRIu64 " records since the arena was made, because no lane was to be had",
                    scan->refused[TALLY_REFUSED_NO_LANE]);
    if (scan->refused[TALLY_REFUSED_SPILL] != 0)
        doctor_find(doctor, FINDING_WARN, "refused",
                    "Keep an agent running; see that a spill folder may be written, and TALLY_SPILL_MAX.",
                    "%" PRIu64 " records since the arena was made, because no spill file could take them",
                    scan->refused[TALLY_REFUSED_SPILL]);
    if (scan->refused[TALLY_REFUSED_REENTERED] != 0)
        doctor_find(doctor, FINDING_WARN, "refused", "Do not record in handlers that interrupt recording.",
                    "%" PRIu64 " records since the arena was made, in signal handlers",
                    scan->refused[TALLY_REFUSED_REENTERED]);
}

/* What the agent has written into its lock file, for people. */
static long agent_pid(const char *path)
{
    char sibling[ARENA_SIBLING_MAX];
    char text[24] = "";

    arena_sibling(sibling, path, ".lock");
    int fd = open(sibling, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    long pid = pread(fd, text, sizeof(text) - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
    close(fd);
    return pid > 0 ? pid : 0;
}

static void check_agent(struct doctor *doctor, const struct arena_scan *scan)
{
    uint64_t waiting = 0;

    for (size_t i = 0; i < scan->lane_count; i++)
        waiting += scan->lanes[i].trouble == NULL
                       ? scan->lanes[i].look.sequence - scan->lanes[i].durable.sequence
                       : 0;
    if (scan->agent == AGENT_NONE)
        doctor_find(doctor, waiting != 0 ? FINDING_FAIL : FINDING_WARN, "agent",
                    "Start tallyd (systemctl --user start tallyd), or run 'tally recover' now and then.",
                    "none runs for %s; %" PRIu64 " records wait", scan->path, waiting);
    else if (scan->agent == AGENT_UNKNOWN)
        doctor_find(doctor, FINDING_WARN, "agent", "Run it as the agent's user.",
                    "whether one runs cannot be seen by you; %" PRIu64 " records wait", waiting);
    else
        doctor_find(doctor, FINDING_OK, "agent", NULL, "runs, pid %ld; %" PRIu64 " records wait",
                    agent_pid(scan->path), waiting);
}

static void check_board(struct doctor *doctor, const struct arena_scan *scan)
{
    if (!scan->board_there) {
        doctor_find(doctor, scan->agent == AGENT_RUNNING ? FINDING_FAIL : FINDING_OK, "board",
                    scan->agent == AGENT_RUNNING
                        ? "Restart tallyd: without its board clients cannot see what is durable."
                        : NULL,
                    "none: no agent has served this arena yet");
        return;
    }
    bool other = strcmp(scan->board.agent_version, TALLY_VERSION) != 0;
    doctor_find(doctor, other ? FINDING_WARN : FINDING_OK, "board",
                other
                    ? "The command and the agent are of different versions: restart tallyd after an upgrade."
                    : NULL,
                "by tallyd %s, generation %u", scan->board.agent_version, scan->board.generation);
}

static void no_arena(struct doctor *doctor, const char *path, int error)
{
    if (error == -ENOENT)
        doctor_find(
            doctor, FINDING_WARN, "arena",
            "The first record makes it. If programs do record: is TALLY_ARENA the same, and the user?",
            "%s does not exist", path);
    else
        doctor_find(doctor, FINDING_FAIL, "arena", NULL, "%s %s", path, arena_scan_error(error));
}

static void other_version(void *context, const char *path, uint32_t abi)
{
    doctor_find(context, FINDING_WARN, "arena",
                "Run the agent that belongs to its clients; if they are gone and drained, remove it.",
                "%s is of layout %u, and this is tally of layout %u: it is left alone", path, abi, TALLY_ABI);
}

/* Where clients go, and the agent looks, when a stranger sits on the default name. */
static void check_fallback(struct doctor *doctor, const char *path)
{
    char standard[ARENA_PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (arena_path(standard, sizeof(standard), NULL, geteuid()) != 0 || strcmp(path, standard) != 0)
        return;
    if (runtime == NULL || runtime[0] != '/') {
        doctor_find(doctor, FINDING_WARN, "arena",
                    "Set XDG_RUNTIME_DIR, or TALLY_ARENA for clients and agent.",
                    "there is no XDG_RUNTIME_DIR to make another in: records go to spill files");
        return;
    }
    char *fallback = must_print("%s/%s", runtime, strrchr(standard, '/') + 1);
    struct arena_scan scan;
    int error = arena_scan(&scan, fallback);
    if (error != 0 && error != -ENOENT) {
        doctor_find(doctor, FINDING_FAIL, "arena", NULL, "%s %s", fallback, arena_scan_error(error));
    } else {
        doctor_find(doctor, FINDING_WARN, "arena", "It works: clients and agent use that one.",
                    "%s %s instead", fallback, error == 0 ? "is used" : "will be made by the first record");
    }
    if (error == 0)
        check_agent(doctor, &scan);
    arena_scan_free(&scan);
    free(fallback);
}

/* Root may look at anybody's arena, but does not use it. */
static bool strangers(const char *path)
{
    char standard[ARENA_PATH_MAX];
    struct stat status;

    return arena_path(standard, sizeof(standard), NULL, geteuid()) == 0 && strcmp(path, standard) == 0 &&
           lstat(path, &status) == 0 && status.st_uid != geteuid() && status.st_uid != 0;
}

void doctor_arena(struct doctor *doctor, const char *path)
{
    struct arena_scan scan;
    int error = arena_scan(&scan, path);
    if (strangers(path))
        error = -EACCES;

    check_folder(doctor, path);
    if (error != 0) {
        no_arena(doctor, path, error);
        if (error == -EACCES)
            check_fallback(doctor, path);
    } else {
        check_file(doctor, &scan);
        check_lanes(doctor, &scan);
        check_refusals(doctor, &scan);
        check_agent(doctor, &scan);
        check_board(doctor, &scan);
    }
    arena_scan_free(&scan);
    if (getenv("TALLY_ARENA") == NULL)
        arena_versions(geteuid(), other_version, doctor);
}
