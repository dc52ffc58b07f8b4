#include "board/board.h"

#include <arena_file.h>
#include <errno.h>
#include <fcntl.h>
#include <identity.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tally/tally.h>
#include <testpoint.h>
#include <unistd.h>

/* Map an open board for writing. */
static int map_board(struct board *board, int fd, uint32_t lane_count)
{
    struct stat status;
    if (fstat(fd, &status))
        return -errno;
    board->device = status.st_dev;
    board->inode = status.st_ino;
    board->bytes = (size_t)tally_board_bytes(lane_count);
    void *bytes = mmap(NULL, board->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    board->shared = bytes;
    board->lanes = (struct tally_board_lane *)((char *)bytes + TALLY_BOARD_LANES_OFFSET);
    board->lane_count = lane_count;
    return 0;
}

static void unmap_board(struct board *board)
{
    if (board->shared)
        munmap(board->shared, board->bytes);
    memset(board, 0, sizeof *board);
}

/* Whether a file has been a board of this agent's user: nobody else can have written it. */
static bool ours(const struct stat *status)
{
    return S_ISREG(status->st_mode) && status->st_nlink == 1 && status->st_uid == geteuid() &&
           !(status->st_mode & (S_IWGRP | S_IWOTH));
}

/* A new board may take the place of what stands under the name. Not an errno value: a call that fails says nothing of the kind,
 * whatever its error is. A board that cannot be read this time knows, where the database has been restored from a
 * backup, what no one else does. */
#define REPLACE 1

/* It cannot be opened. One of ours, or where that cannot be told, stays as it is: -EPERM if it may not be opened. */
static int unopened(const char *path, int error)
{
    struct stat status;
    if (error == ENOENT || error == ELOOP)
        return REPLACE;
    if (error != EACCES)
        return -error;
    if (lstat(path, &status))
        return errno == ENOENT ? REPLACE : -EPERM;
    return ours(&status) ? -EPERM : REPLACE;
}

/* REPLACE: it ends before the head does. */
static int read_head(int fd, struct tally_board *head)
{
    size_t done = 0;
    while (done < sizeof *head) {
        ssize_t got = pread(fd, (char *)head + done, sizeof *head - done, (off_t)done);
        if (got == 0)
            return REPLACE;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            done += (size_t)got;
    }
    return 0;
}

/* An open board of ours, all of which is there: as reuse(). */
static int reuse_open(struct board *board, int fd, const struct stat *status,
                      const struct tally_arena_header *arena, mode_t mode)
{
    struct tally_board head;
    uint64_t moved = TALLY_ANNOUNCE(TALLY_AGENT_MOVED, 0);
    int result = read_head(fd, &head);
    if (result)
        return result;
    bool whole = head.magic == TALLY_BOARD_MAGIC;
    bool same = whole && head.abi == TALLY_ABI && head.lane_count == arena->lane_count &&
                !memcmp(head.arena_uuid, arena->uuid, sizeof head.arena_uuid) &&
                (uint64_t)status->st_size == tally_board_bytes(arena->lane_count);
    /* Another mode: from now on others are to read it, or no more. In place, for it may know more than the database. */
    if (same && (status->st_mode & 07777) != mode && fchmod(fd, mode))
        return -errno;
    if (same && TALLY_ANNOUNCED_STATE(head.announce) != TALLY_AGENT_MOVED)
        return map_board(board, fd, arena->lane_count);
    if (whole && pwrite(fd, &moved, sizeof moved, offsetof(struct tally_board, announce)) < 0)
        return -errno;
    return REPLACE;
}

/* An earlier agent's board: into `board` if it is one of this arena that can be used further. One that
 * cannot, but that clients may have mapped, is told that it has been replaced. 0, REPLACE or -errno. */
static int reuse(struct board *board, const char *path, const struct tally_arena_header *arena, mode_t mode)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return unopened(path, errno);
    int result = fstat(fd, &status) ? -errno : 0;
    /* Pages that are holes could not be had on a full file system: what is not all there is made anew. */
    if (result == 0 && ours(&status) && (uint64_t)status.st_size >= TALLY_BOARD_LANES_OFFSET &&
        status.st_blocks * 512 >= status.st_size)
        result = reuse_open(board, fd, &status, arena, mode);
    else if (result == 0)
        result = REPLACE;
    close(fd);
    return result;
}

/* A new board gets its name last, so that it becomes visible whole or not at all. Killed before that, the
 * agent leaves a nameless board under the temporary name, which the next one removes: the
 * arena's lock sees to it that there is only one. */
static int make(struct board *board, const char *temporary, const struct tally_arena_header *arena,
                mode_t mode)
{
    if (unlink(temporary) && errno != ENOENT)
        return -errno;
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = posix_fallocate(fd, 0, (off_t)tally_board_bytes(arena->lane_count));
    result = result ? -result : map_board(board, fd, arena->lane_count);
    if (result == 0) {
        board->shared->magic = TALLY_BOARD_MAGIC;
        board->shared->abi = TALLY_ABI;
        board->shared->lane_count = arena->lane_count;
        memcpy(board->shared->arena_uuid, arena->uuid, sizeof board->shared->arena_uuid);
        if (fchmod(fd, mode))
            result = -errno;
    }
    close(fd);
    if (result) {
        unmap_board(board);
        unlink(temporary);
    }
    return result;
}

static void sign(struct tally_board *shared)
{
    shared->agent.pid = (uint32_t)getpid();
    shared->agent.tid = (uint32_t)getpid();
    shared->agent.start_time = identity_start_time(0, 0);
    shared->agent.pid_namespace = identity_pid_namespace();
    memset(shared->agent_version, 0, sizeof shared->agent_version);
    snprintf(shared->agent_version, sizeof shared->agent_version, "%s", TALLY_VERSION);
    shared->generation++;
}

int board_take(struct board *board, const char *path, const struct tally_arena_header *arena, bool shared,
               struct tally_board_lane *lanes)
{
    char temporary[ARENA_SIBLING_MAX + 8];
    mode_t mode = shared ? 0644 : 0600;

    memset(board, 0, sizeof *board);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    int result = reuse(board, path, arena, mode);
    bool fresh = result == REPLACE;
    if (fresh)
        result = make(board, temporary, arena, mode);
    if (result)
        return result;
    /* A dead agent may have left "asleep" here; nobody listens yet. */
    board_announce(board, TALLY_AGENT_BUSY, 0);
    sign(board->shared);
    for (uint32_t lane = 0; lane < arena->lane_count; lane++)
        board_publish(board, lane, lanes[lane].position, lanes[lane].sequence, lanes[lane].ended_tenures);
    memcpy(lanes, board->lanes, arena->lane_count * sizeof *lanes);
    TESTPOINT(board_filled);
    if (fresh && rename(temporary, path)) {
        result = -errno;
        unlink(temporary);
        unmap_board(board);
    }
    TESTPOINT(board_taken);
    return result;
}

void board_spill(struct board *board, const char *directory)
{
    char *shared = board->shared->spill_directory;
    size_t length = strnlen(directory, TALLY_SPILL_DIRECTORY_BYTES - 1);
    if (!strncmp(shared, directory, TALLY_SPILL_DIRECTORY_BYTES))
        return;
    /* Empty while it changes. Pairs with the acquire in board_directory(), shim/spill_folder.c, which also reads twice. */
    __atomic_store_n(shared, '\0', __ATOMIC_RELEASE);
    if (length == 0)
        return;
    memset(shared + 1, 0, TALLY_SPILL_DIRECTORY_BYTES - 1);
    memcpy(shared + 1, directory + 1, length - 1);
    __atomic_store_n(shared, directory[0], __ATOMIC_RELEASE);
}

void board_leave(struct board *board, bool moved)
{
    if (board->shared) {
        board_announce(board, moved ? TALLY_AGENT_MOVED : TALLY_AGENT_BUSY, 0);
        TESTPOINT(board_left);
    }
    unmap_board(board);
}

void board_announce(struct board *board, enum tally_announcement state, uint32_t doorbell)
{
    /* Pairs with the relaxed load in lane_write(), shim/lane.c; the ordering between this store and
     * the collector's next look at the lanes is barrier()'s, agent/collector/collector.c. */
    __atomic_store_n(&board->shared->announce, TALLY_ANNOUNCE(state, doorbell), __ATOMIC_RELEASE);
}

bool board_publish(struct board *board, uint32_t lane, uint64_t position, uint64_t sequence,
                   uint32_t ended_tenure)
{
    struct tally_board_lane *entry = &board->lanes[lane];
    bool changed = false;

    if (entry->ended_tenures != ended_tenure) {
        __atomic_store_n(&entry->ended_tenures, ended_tenure, __ATOMIC_RELAXED);
        changed = true;
    }
    if (position > entry->position) {
        /* The number first: who sees the position (acquire loads in refresh_durable() and
         * tally_shutdown(), shim/) sees a number at least as new. */
        __atomic_store_n(&entry->sequence, sequence, __ATOMIC_RELEASE);
        __atomic_store_n(&entry->position, position, __ATOMIC_RELEASE);
        changed = true;
    }
    return changed;
}

void board_wake(struct board *board)
{
    /* Pairs with the acquire load of the counter in tally_shutdown(), shim/: it is read before the
     * positions there, and moved after them here, so a waiter that saw old positions finds the
     * counter moved and does not sleep. */
    __atomic_fetch_add(&board->shared->commit_counter, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &board->shared->commit_counter, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
