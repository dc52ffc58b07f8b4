#include "arena.h"

#include "identity.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const struct tally_board arena_no_board = {0};

static struct {
    struct arena_view view;
    uint32_t taken; /* atomic */
} first;

static size_t view_bytes(void)
{
    return (sizeof(struct arena_view) + TALLY_PAGE_BYTES - 1) / TALLY_PAGE_BYTES * TALLY_PAGE_BYTES;
}

/* Room for a view. The first, which is the only one but for processes that outlive their arena, needs no mapping. */
static struct arena_view *view_room(void)
{
    if (!__atomic_exchange_n(&first.taken, 1, __ATOMIC_RELAXED))
        return &first.view;
    void *fresh = mmap(NULL, view_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return fresh == MAP_FAILED ? NULL : fresh;
}

static void view_room_back(struct arena_view *view)
{
    if (view == &first.view)
        __atomic_store_n(&first.taken, 0, __ATOMIC_RELAXED); /* nothing has been written to it */
    else
        munmap(view, view_bytes());
}

uint32_t *arena_reclaim_word(struct arena_view *view, int fd)
{
    uint32_t bytes = view->shape.header_bytes;
    if (!view->guarded) {
        uint8_t *at =
            mmap(NULL, bytes + TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            return NULL;
        if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
            munmap(at, bytes + TALLY_PAGE_BYTES);
            return NULL;
        }
        view->guarded = at;
    }
    return (uint32_t *)(void *)(view->guarded + bytes - TALLY_GUARDED_WORD_FROM_END);
}

static int view_new(const char *path, int fd, const struct tally_arena_header *shape,
                    const struct stat *status, struct arena_view **out)
{
    struct arena_view *view = view_room();
    if (!view)
        return -ENOMEM;
    void *header = mmap(NULL, shape->header_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED) {
        int result = -errno;
        view_room_back(view);
        return result;
    }
    view->header = header;
    memcpy(view->path, path, strlen(path) + 1);
    view->device = status->st_dev;
    view->inode = status->st_ino;
    view->owner = status->st_uid;
    view->shape = *shape;
    view->board = &arena_no_board;
    /* release: pairs with the acquire in view_find(). Two threads may each add one for the same arena: harmless. */
    struct arena_view *next = __atomic_load_n(&tally_process.arenas, __ATOMIC_RELAXED);
    do
        view->next = next;
    while (!__atomic_compare_exchange_n(&tally_process.arenas, &next, view, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
    *out = view;
    return 0;
}

static struct arena_view *view_find(const char *path, const struct stat *status)
{
    /* acquire: pairs with the release in view_new(). */
    struct arena_view *view = __atomic_load_n(&tally_process.arenas, __ATOMIC_ACQUIRE);
    for (; view; view = view->next)
        if (!__atomic_load_n(&view->gone, __ATOMIC_RELAXED) && view->device == status->st_dev &&
            view->inode == status->st_ino && !strcmp(view->path, path))
            return view;
    return NULL;
}

static int get_at(const char *path, struct arena_view **out, int *fd)
{
    struct tally_arena_header shape;
    struct stat status;
    *fd = arena_file_open_status(path, tally_process.group, true, &shape, &status);
    if (*fd < 0)
        return *fd;
    *out = view_find(path, &status);
    if (*out && memcmp((*out)->shape.uuid, shape.uuid, sizeof shape.uuid) != 0) {
        __atomic_store_n(&(*out)->gone, 1, __ATOMIC_RELAXED); /* an inode number used again */
        *out = NULL;
    }
    int result = *out ? 0 : view_new(path, *fd, &shape, &status, out);
    if (result)
        close(*fd);
    return result;
}

int arena_get(struct arena_view **out, int *fd)
{
    char path[ARENA_PATH_MAX];
    int result = arena_path(path, sizeof path, tally_process.arena_name, geteuid());
    if (result)
        return result;
    result = get_at(path, out, fd);
    if (result != -EACCES || tally_process.arena_name[0])
        return result;
    /* The default name is a stranger's: the user's own runtime folder, where the agent looks too. */
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    const char *base = strrchr(path, '/');
    char other[ARENA_PATH_MAX];
    if (!runtime || runtime[0] != '/' || strlen(runtime) + strlen(base) >= sizeof other)
        return result;
    memcpy(other, runtime, strlen(runtime));
    memcpy(other + strlen(runtime), base, strlen(base) + 1);
    return get_at(other, out, fd);
}

void arena_count_refusal(enum tally_refusal cause)
{
    struct arena_view *arena =
        __atomic_load_n(&tally_process.arenas, __ATOMIC_ACQUIRE); /* pairs with view_new() */
    if (arena)
        __atomic_fetch_add(&arena->header->refused[cause], 1, __ATOMIC_RELAXED);
}

bool arena_named(struct arena_view *arena)
{
    struct stat status;
    if (stat(arena->path, &status) == 0 && status.st_dev == arena->device && status.st_ino == arena->inode)
        return true;
    __atomic_store_n(&arena->gone, 1, __ATOMIC_RELAXED);
    return false;
}

static bool board_acceptable(const struct stat *status, const struct arena_view *arena)
{
    return S_ISREG(status->st_mode) && status->st_nlink == 1 && !(status->st_mode & (S_IWGRP | S_IWOTH)) &&
           (status->st_uid == geteuid() || status->st_uid == 0 || status->st_uid == arena->owner) &&
           (uint64_t)status->st_size >= tally_board_bytes(arena->shape.lane_count);
}

/* Whether it is the board that we have: the same agent's. Should that have made another since, it says on ours that it has moved. */
static bool board_known(const struct arena_view *arena, const struct tally_board *board)
{
    const struct tally_board *known = arena_board(arena);
    return known != &arena_no_board && TALLY_ANNOUNCED_STATE(known->announce) != TALLY_AGENT_MOVED &&
           known->generation == board->generation &&
           memcmp(&known->agent, &board->agent, sizeof known->agent) == 0;
}

void arena_look_for_board(struct arena_view *arena)
{
    char path[ARENA_SIBLING_MAX];
    struct stat status;
    arena_sibling(path, arena->path, ".board");
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    uint64_t bytes = tally_board_bytes(arena->shape.lane_count);
    void *at = MAP_FAILED;
    if (status_of(fd, &status) == 0 && board_acceptable(&status, arena))
        at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return;
    const struct tally_board *board = at;
    if (board->magic != TALLY_BOARD_MAGIC || board->abi != TALLY_ABI ||
        board->lane_count != arena->shape.lane_count ||
        memcmp(board->arena_uuid, arena->shape.uuid, sizeof board->arena_uuid) != 0 ||
        TALLY_ANNOUNCED_STATE(board->announce) == TALLY_AGENT_MOVED || board_known(arena, board)) {
        munmap(at, bytes);
        return;
    }
    /* release: pairs with the acquire in arena_board(). The board before it stays mapped: others may be reading it. */
    __atomic_store_n(&arena->board, board, __ATOMIC_RELEASE);
}

static bool process_gone(const struct tally_identity *identity)
{
    struct tally_identity process = *identity;
    process.tid = 0;
    return identity_gone(&process, tally_process.pid_namespace);
}

bool arena_abandoned(const struct arena_view *arena)
{
    const struct tally_board *board = arena_board(arena);
    return __atomic_load_n(&arena->gone, __ATOMIC_RELAXED) &&
           (board == &arena_no_board || process_gone(&board->agent));
}

bool arena_has_agent(const struct arena_view *arena)
{
    char path[ARENA_SIBLING_MAX];
    arena_sibling(path, arena->path, ".lock");
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int result = fcntl(fd, F_OFD_GETLK, &lock);
        close(fd);
        return result || lock.l_type != F_UNLCK;
    }
    if (errno == ENOENT)
        return false;
    /* An agent of another uid keeps its lock to itself; the board says who it is. */
    const struct tally_board *board = arena_board(arena);
    return board != &arena_no_board && !process_gone(&board->agent);
}

void arena_ring(const struct arena_view *arena, uint64_t announced)
{
    uint32_t *doorbell = &arena->header->doorbell;
    if (__atomic_load_n(doorbell, __ATOMIC_RELAXED) != TALLY_ANNOUNCED_DOORBELL(announced))
        return;
    TESTPOINT(ring);
    /* Adds and wakes in one call: there is no instruction between at which a death would leave a moved bell and a sleeper. */
    syscall(SYS_futex, doorbell, FUTEX_WAKE_OP, 1, NULL, doorbell,
            FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_LT, 0));
}
