/* carry.c: out of an arena that has lost its name.
 *
 * Somebody has deleted the arena (systemd's RemoveIPC does so when its user logs out) or put another in its place. An agent
 * that had it open drains it to the end; but there may be none, or it may end before it is through, and then nobody
 * can come to these records but through our mapping. So each process writes its lanes' records that are not
 * known to be durable to a spill file each, as they stand in the ring.
 *
 * Exactly once: they keep their identity, (arena, lane, position, number). The agent counts them only where the database's position
 * of that lane has not passed them, whether that came from the arena itself or from another file; and what it takes from a
 * file moves the same position. So it does not matter who else drains, when, or whether the arena is really gone.
 *
 * A file begins where another ends only when that one stands there whole: who reads the later file finds the earlier one too, or what
 * is missing between them would be taken for lost. So a thread that cannot wait for another's file writes the same once more.
 *
 * Killed right here: what has been written whole is taken in; the rest is lost with the arena, as it is when a
 * process is killed before it has looked for the name. */
#include "carry.h"

#include "spill.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <tally/spill.h>

/* How often a file is written anew at most, because an agent takes it before it is whole. */
#define TRIES 8
/* How often what is left is looked for, by a process that goes on. */
#define LATER_NS UINT64_C(1000000000)

struct parcel {
    struct tally_spill_header header;
    struct tally_carried carried;
    const struct lane_view *lane;
};

/* One call for all of it. */
static int put(int fd, const struct parcel *parcel)
{
    const struct lane_view *lane = parcel->lane;
    uint32_t first = (uint32_t)(parcel->carried.from % lane->ring_bytes);
    size_t length = (size_t)(parcel->carried.to - parcel->carried.from);
    size_t before_end = length < lane->ring_bytes - first ? length : lane->ring_bytes - first;
    struct iovec parts[4] = {
        {(void *)(uintptr_t)&parcel->header, sizeof parcel->header},
        {(void *)(uintptr_t)&parcel->carried, sizeof parcel->carried},
        {lane->ring + first, before_end},
        {lane->ring, length - before_end},
    };
    struct rlimit limit;
    ssize_t all = (ssize_t)(sizeof parcel->header + sizeof parcel->carried + length);
    ssize_t done;
    /* SIGXFSZ would kill the host. */
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur < (rlim_t)all)
        return -EFBIG;
    int result = spill_reserve(all);
    if (result)
        return result;
    do
        done = writev(fd, parts, 4);
    while (done < 0 && errno == EINTR);
    if (done == all)
        return 0;
    result = done < 0 ? -errno : -ENOSPC;
    spill_release(all);
    return result;
}

/* 0: it stands there and is whole; -EAGAIN: another folder may do; -ESTALE: an agent was faster: once more. */
static int put_in(void *context, const char *folder)
{
    const struct parcel *parcel = context;
    char path[SPILL_PATH_BYTES];
    struct stat opened;
    struct stat named;
    spill_path(path, folder, parcel->header.log, parcel->header.index);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -EAGAIN;
    if (tally_process.group != (gid_t)-1 && fchown(fd, (uid_t)-1, tally_process.group) == 0)
        fchmod(fd, 0660);
    int result = put(fd, parcel);
    if (result == 0 && (fstat(fd, &opened) || lstat(path, &named) || opened.st_ino != named.st_ino ||
                        opened.st_dev != named.st_dev))
        result = -ESTALE; /* renamed, and perhaps read before we had written */
    close(fd);
    if (result && result != -ESTALE)
        unlink(path);
    return result && result != -ESTALE ? -EAGAIN : result;
}

/* Whether some of the lane is not known to be durable: from where, up to where. Another thread may be writing it: what its tail had
 * passed is whole. */
static bool undrained(const struct lane_view *lane, uint64_t *from, uint64_t *to)
{
    const struct tally_board *board = arena_board(lane->arena);
    uint64_t tail = __atomic_load_n(&lane->tail, __ATOMIC_RELAXED);
    /* acquire: pairs with the release in lane_write(): what lies below this tail is to be seen. */
    uint64_t published = __atomic_load_n(&lane->header->tail, __ATOMIC_ACQUIRE);
    /* acquire: pairs with the release in raise_to(): the file up to there has its name. */
    uint64_t carried = __atomic_load_n(&lane->carried, __ATOMIC_ACQUIRE);
    *to = published < tail ? published : tail;
    /* acquire: as in refresh_durable() */
    *from = __atomic_load_n(&arena_board_lane(board, lane->lane)->position, __ATOMIC_ACQUIRE);
    if (*from < carried)
        *from = carried;
    return *from < *to && *to - *from <= lane->ring_bytes && *from % 8 == 0 && *to % 8 == 0;
}

/* Whether it was below. */
static bool raise_to(uint64_t *word, uint64_t value)
{
    uint64_t found = __atomic_load_n(word, __ATOMIC_RELAXED);
    /* release: pairs with the acquire in undrained(). */
    while (found < value)
        if (__atomic_compare_exchange_n(word, &found, value, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            return true;
    return false;
}

/* even_so: though another thread is at it, which may not come to its end. */
static int carry_lane(struct lane_view *lane, bool even_so)
{
    struct parcel parcel = {.lane = lane};
    int result = -ESTALE;
    if (!undrained(lane, &parcel.carried.from, &parcel.carried.to) ||
        (!raise_to(&lane->carrying, parcel.carried.to) && !even_so))
        return 0;
    parcel.carried.lane = lane->lane;
    parcel.carried.ring_bytes = lane->ring_bytes;
    parcel.header = (struct tally_spill_header){
        .magic = TALLY_CARRIED_MAGIC, .abi = TALLY_ABI, .created_unix_ns = clock_ns(CLOCK_REALTIME)};
    memcpy(parcel.header.arena, lane->arena->shape.uuid, sizeof parcel.header.arena);
    spill_identify(parcel.header.log);
    for (int i = 0; i < TRIES && result == -ESTALE; i++) {
        parcel.header.index++;
        result = spill_folders(put_in, &parcel);
    }
    if (result == 0)
        raise_to(&lane->carried, parcel.carried.to);
    else /* to be tried again; should another thread be at it, twice is harmless */
        __atomic_store_n(&lane->carrying, 0, __ATOMIC_RELAXED);
    process_debug("tally: arena of lane %u is gone: its records %s", lane->lane,
                  result ? "cannot be carried over" : "are carried over");
    return result;
}

static bool ours(const struct lane_view *lane)
{
    return __atomic_load_n(&lane->generation, __ATOMIC_RELAXED) == process_generation();
}

enum occasion { NOTICED, LATER, AT_EXIT };

/* Also lanes that our threads have left, and those of threads that will not record again. */
static void carry_arena(const struct arena_view *arena, enum occasion occasion)
{
    /* A handler that forks here would leave a child that goes on to write a file of its parent's. */
    uint64_t signals = signals_block();
    struct lane_view *lane =
        __atomic_load_n(&tally_process.lanes, __ATOMIC_ACQUIRE); /* pairs with view_map() */
    for (; lane; lane = lane->next)
        if (lane->arena == arena && ours(lane) && carry_lane(lane, occasion == AT_EXIT) && occasion == LATER)
            break; /* still no room: nor for the next one */
    signals_restore(signals);
}

void carry_over(const struct arena_view *arena)
{
    carry_arena(arena, NOTICED);
    __atomic_store_n(&tally_process.carried_ns, clock_ns(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
}

void carry_late(void)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    uint64_t before = __atomic_load_n(&tally_process.carried_ns, __ATOMIC_RELAXED);
    uint64_t from;
    uint64_t to;
    if (now - before < LATER_NS || !__atomic_compare_exchange_n(&tally_process.carried_ns, &before, now,
                                                                false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    struct lane_view *lane =
        __atomic_load_n(&tally_process.lanes, __ATOMIC_ACQUIRE); /* pairs with view_map() */
    for (; lane; lane = lane->next)
        if (__atomic_load_n(&lane->arena->gone, __ATOMIC_RELAXED) && ours(lane) &&
            undrained(lane, &from, &to)) {
            carry_arena(lane->arena, LATER);
            return;
        }
}

void carry_rest(void)
{
    const struct arena_view *asked = NULL;
    uint64_t from;
    uint64_t to;
    if (!process_generation() || tally_process.disabled || process_is_vfork_child())
        return;
    struct lane_view *lane =
        __atomic_load_n(&tally_process.lanes, __ATOMIC_ACQUIRE); /* pairs with view_map() */
    for (; lane; lane = lane->next) {
        if (lane->arena == asked || !ours(lane) || !undrained(lane, &from, &to))
            continue;
        asked = lane->arena;
        if (!arena_named(lane->arena))
            carry_arena(lane->arena, AT_EXIT);
    }
}
