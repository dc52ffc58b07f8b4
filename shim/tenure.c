/* Taking and leaving lanes. Slow path: system calls are allowed, waiting and allocation are not. */
#include "lane.h"

#include "encode.h"
#include "identity.h"
#include "robust.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Owner words of lanes that seem taken, looked at before we rather take a fresh lane. */
#define LOOKS_BEFORE_FRESH 64
/* No lane gets this far in a thousand years. */
#define SEQUENCE_MAX (UINT64_C(1) << 48)
/* After a failure: how long a thread's records are refused without another try. */
#define RETRY_NS UINT64_C(100000000)

void lane_key_create(void (*destructor)(void *))
{
    tally_process.thread_key_made = pthread_key_create(&tally_process.thread_key, destructor) == 0;
}

void thread_watch_exit(struct thread *thread)
{
    if (tally_process.thread_key_made)
        pthread_setspecific(tally_process.thread_key, thread);
}

/* ---- views -------------------------------------------------------------------- */

/* The ring and header of a lane, and behind them a private page for the node and the view itself. */
static int view_map(struct arena_view *arena, int fd, uint32_t lane, struct lane_view **out)
{
    uint32_t bytes = arena->shape.lane_bytes;
    off_t offset = (off_t)tally_lane_offset(&arena->shape, lane);
    struct rlimit limit;
    int result;

    /* A hole would be a SIGBUS on a full file system, on reads too; SIGXFSZ would kill the host. */
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur < (uint64_t)offset + bytes)
        return -EFBIG;
    while ((result = posix_fallocate(fd, offset, bytes)) == EINTR)
        ;
    if (result)
        return -result;
    uint8_t *at =
        mmap(NULL, bytes + TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) == MAP_FAILED) {
        result = -errno;
        munmap(at, bytes + TALLY_PAGE_BYTES);
        return result;
    }
    madvise(at, bytes, MADV_DONTFORK);
    madvise(at, bytes, MADV_DONTDUMP);
    struct lane_view *view = (struct lane_view *)(void *)(at + bytes);
    view->ring = at;
    view->header = (struct tally_lane_header *)(void *)(at + arena->shape.ring_bytes);
    view->ring_bytes = arena->shape.ring_bytes;
    view->arena = arena;
    view->board = &arena_no_board;
    view->lane = lane;
    view->holder = gettid_now();
    /* release: pairs with the acquire loads of the list's head in this file and in shutdown.c. */
    struct lane_view *first = __atomic_load_n(&tally_process.lanes, __ATOMIC_RELAXED);
    do
        view->next = first;
    while (!__atomic_compare_exchange_n(&tally_process.lanes, &first, view, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
    *out = view;
    return 0;
}

bool thread_gone(uint32_t tid)
{
    return syscall(SYS_tgkill, getpid(), (pid_t)tid, 0) && errno == ESRCH;
}

/* The node may be used by one thread at a time: claim the view. */
static bool view_claim(struct lane_view *view)
{
    uint32_t holder = __atomic_load_n(&view->holder, __ATOMIC_RELAXED);
    if (holder &&
        (!robust_free(__atomic_load_n(&view->header->owner, __ATOMIC_RELAXED)) || !thread_gone(holder)))
        return false;
    /* acquire: pairs with the release in view_unclaim(): what the last holder wrote to the view is seen. */
    return __atomic_compare_exchange_n(&view->holder, &holder, gettid_now(), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void view_unclaim(struct lane_view *view)
{
    __atomic_store_n(&view->holder, 0, __ATOMIC_RELEASE); /* pairs with the acquire in view_claim() */
}

static struct lane_view *view_of(const struct arena_view *arena, uint32_t lane)
{
    struct lane_view *view =
        __atomic_load_n(&tally_process.lanes, __ATOMIC_ACQUIRE); /* pairs with view_map() */
    while (view && (view->arena != arena || view->lane != lane))
        view = view->next;
    return view;
}

/* ---- taking ---------------------------------------------------------------------- */

static struct tally_lane_entry *lane_entry(const struct arena_view *arena, uint32_t lane)
{
    return (struct tally_lane_entry *)(void *)((uint8_t *)arena->header + TALLY_LANE_TABLE_OFFSET) + lane;
}

/* The lane is ours. Is it sound, and is there room in it? Goes on where the log ends: at `tail`, with the number of the
 * slot whose tail it is. A predecessor killed at any instruction of lane_write() has left no more to do than that. */
static int adopt(struct lane_view *view)
{
    const struct tally_lane_header *header = view->header;
    const struct tally_lane_slot *slots = header->slot;
    const struct tally_board *board = arena_board(view->arena);
    uint64_t tail = __atomic_load_n(&header->tail, __ATOMIC_RELAXED);
    int slot = slots[0].tail == tail ? 0 : slots[1].tail == tail ? 1 : -1;
    /* A number beyond reach would only be quarantined record by record; the agent has the same bound: PLAUSIBLE_MAX. */
    if (tail % 8 || slot < 0 || slots[slot].sequence > SEQUENCE_MAX)
        return -EBADMSG;
    view->board = board;
    /* acquire: as in refresh_durable() */
    uint64_t durable = __atomic_load_n(&arena_board_lane(board, view->lane)->position, __ATOMIC_ACQUIRE);
    if (durable > tail || tail - durable > view->ring_bytes)
        return -EAGAIN; /* no board, a stale one, or damage: not to be told apart from here */
    if (tail - durable + 2 * TALLY_RECORD_BYTES_MAX > view->ring_bytes)
        return -EAGAIN; /* the agent is behind: another lane serves better */
    __atomic_store_n(&view->tail, tail, __ATOMIC_RELAXED);
    __atomic_store_n(&view->introduced[0], 0, __ATOMIC_RELAXED);
    memset(view->introduced + 1, 0, sizeof view->introduced - sizeof view->introduced[0]);
    /* release: pairs with the acquire in lane_finish(). */
    __atomic_store_n(&view->sequence, slots[slot].sequence, __ATOMIC_RELEASE);
    view->durable = durable;
    view->offset = (uint32_t)(tail % view->ring_bytes);
    view->looked_ns = clock_ns(CLOCK_REALTIME);
    view->looked_commits = __atomic_load_n(&board->commit_counter, __ATOMIC_RELAXED);
    view->stale = false;
    view->blocked_ns = 0;
    view->refused_before = __atomic_load_n(&header->refused_full, __ATOMIC_RELAXED);
    return 0;
}

static void tenure_begin(struct lane_view *view)
{
    struct tally_lane_entry *entry = lane_entry(view->arena, view->lane);
    struct tally_identity *identity = &view->header->identity;
    uint64_t start_time = view->tid == tally_process.pid ? tally_process.start_time
                                                         : identity_start_time(tally_process.pid, view->tid);
    /* Start time first to unknown, and known last: our tid beside a predecessor's start time would say that we
     * are gone, and reclaim() in another process would give the lane away. Release: pairs with the two reads there. */
    __atomic_store_n(&identity->start_time, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&identity->tid, view->tid, __ATOMIC_RELEASE);
    __atomic_store_n(&identity->pid, tally_process.pid, __ATOMIC_RELAXED);
    __atomic_store_n(&identity->pid_namespace, tally_process.pid_namespace, __ATOMIC_RELAXED);
    __atomic_store_n(&identity->start_time, start_time, __ATOMIC_RELEASE);
    view->tenure = __atomic_add_fetch(&entry->tenures, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->hint, view->tid, __ATOMIC_RELAXED);
    __atomic_store_n(&view->generation, process_generation(), __ATOMIC_RELAXED);
}

/* Try to take the lane of a claimed view. On failure the claim is given back. */
static int view_take(struct lane_view *view)
{
    bool busy = false;
    int result = -EBUSY;
    uint32_t *word = &view->header->owner;
    struct robust_list_head *head = tally_process.robust ? robust_head(&busy) : NULL;
    /* musl tells the kernel of a thread's list when the thread first locks a robust mutex. */
    if (!head && tally_process.robust && !busy && robust_self_test())
        head = robust_head(&busy);
    /* A plain look first: with a living owner of the same tid (another pid namespace), `pending` and a death would mark it dead. */
    uint32_t owner = __atomic_load_n(word, __ATOMIC_RELAXED);
    view->tid = gettid_now();
    if ((head || !tally_process.robust) && robust_free(owner) && robust_take(head, word, owner, view->tid)) {
        view->guarded = head != NULL;
        result = adopt(view);
        if (result == 0) {
            tenure_begin(view);
            TESTPOINT(lane_taken);
            return 0;
        }
        if (result == -EBADMSG)
            __atomic_store_n(&lane_entry(view->arena, view->lane)->hint, TALLY_LANE_DAMAGED,
                             __ATOMIC_RELAXED);
        robust_leave(head, word, view->tid);
    }
    view_unclaim(view);
    return result;
}

/* Lanes that this process has had before and left: no mapping to make. */
static struct lane_view *take_known(const struct arena_view *arena)
{
    struct lane_view *view =
        __atomic_load_n(&tally_process.lanes, __ATOMIC_ACQUIRE); /* pairs with view_map() */
    for (int tries = 0; view && tries < LOOKS_BEFORE_FRESH; view = view->next) {
        if (view->arena != arena || !robust_free(__atomic_load_n(&view->header->owner, __ATOMIC_RELAXED)))
            continue;
        tries++;
        if (view_claim(view) && view_take(view) == 0)
            return view;
    }
    return NULL;
}

static uint32_t owner_word(const struct arena_view *arena, int fd, uint32_t lane)
{
    uint32_t word = 1; /* a short read: taken */
    off_t at = (off_t)(tally_lane_offset(&arena->shape, lane) + arena->shape.lane_bytes -
                       TALLY_GUARDED_WORD_FROM_END);
    return pread(fd, &word, sizeof word, at) == (ssize_t)sizeof word ? word : 1;
}

static bool owner_identity(const struct arena_view *arena, int fd, uint32_t lane, struct tally_identity *out)
{
    off_t at = (off_t)(tally_lane_offset(&arena->shape, lane) + arena->shape.ring_bytes +
                       offsetof(struct tally_lane_header, identity));
    return pread(fd, out, sizeof *out, at) == (ssize_t)sizeof *out;
}

static int take_lane(struct arena_view *arena, int fd, uint32_t lane, struct lane_view **out)
{
    struct lane_view *view = view_of(arena, lane);
    if (view && !view_claim(view))
        return -EBUSY;
    if (!view) {
        int result = view_map(arena, fd, lane, &view);
        if (result)
            return result;
    }
    *out = view;
    return view_take(view);
}

/* Whether nobody has this thread number. Under the reclaim word: who takes the number now cannot have taken the lane
 * before, and from now on finds it taken, or marked and free. */
static bool tid_unused(uint32_t tid)
{
    return kill((pid_t)tid, 0) && errno == ESRCH;
}

/* The owner of a lane is gone though its word is not marked: it was not guarded, or a thread other than the leader has
 * exec'd, whose tid changes first. Under the arena's reclaim word, so that nobody marks a word that has passed on to a
 * new owner of the same number meanwhile. */
static void reclaim(struct arena_view *arena, int fd, uint32_t lane, uint32_t word)
{
    struct tally_identity identity;
    struct tally_identity again;
    if (!owner_identity(arena, fd, lane, &identity) || identity.tid != (word & FUTEX_TID_MASK) ||
        !identity_gone(&identity, tally_process.pid_namespace))
        return;
    uint32_t nobody = 0;
    /* acquire, release: one thread of this process at a time uses the list node. */
    if (!__atomic_compare_exchange_n(&arena->reclaiming, &nobody, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return;
    bool busy;
    struct robust_list_head *head = tally_process.robust ? robust_head(&busy) : NULL;
    uint32_t *lock = arena_reclaim_word(arena, fd);
    uint32_t seen = lock ? __atomic_load_n(lock, __ATOMIC_RELAXED) : 1;
    uint32_t tid = gettid_now();
    if ((head || !tally_process.robust) && robust_free(seen) && robust_take(head, lock, seen, tid)) {
        /* The identity may have been read while a new owner wrote its own: words of one pread are of different ages,
         * those of two are not both wrong in the same way. */
        if (owner_word(arena, fd, lane) == word && tid_unused(word & FUTEX_TID_MASK) &&
            owner_identity(arena, fd, lane, &again) && memcmp(&identity, &again, sizeof identity) == 0 &&
            identity_gone(&identity, tally_process.pid_namespace)) {
            struct lane_view *view = view_of(arena, lane);
            if (view || view_map(arena, fd, lane, &view) == 0) {
                /* relaxed: the dead owner's stores are as visible as its end, which we have seen by the kernel. */
                __atomic_compare_exchange_n(&view->header->owner, &word, FUTEX_OWNER_DIED, false,
                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED);
                if (view->holder == tid)
                    view_unclaim(view);
            }
        }
        robust_leave(head, lock, tid);
    }
    __atomic_store_n(&arena->reclaiming, 0, __ATOMIC_RELEASE);
}

/* Low lanes first, so that memory that has been touched is used again. First round: lanes that their hints call free,
 * and a bounded number of others; second round: every lane, also those whose owner has to be declared dead. */
static int take_by_table(struct arena_view *arena, int fd, struct lane_view **out)
{
    const struct tally_board *board = arena_board(arena);
    int failure = -EUSERS;
    for (int round = 0; round < 2; round++) {
        int looks = 0;
        bool no_fresh = false;
        for (uint32_t lane = 0; lane < arena->shape.lane_count; lane++) {
            struct tally_lane_entry *entry = lane_entry(arena, lane);
            uint32_t hint = __atomic_load_n(&entry->hint, __ATOMIC_RELAXED);
            uint32_t tenures = __atomic_load_n(&entry->tenures, __ATOMIC_RELAXED);
            if (hint == TALLY_LANE_DAMAGED || (no_fresh && !tenures))
                continue;
            if (hint && round == 0) {
                uint32_t ended =
                    __atomic_load_n(&arena_board_lane(board, lane)->ended_tenures, __ATOMIC_RELAXED);
                if ((ended != tenures || !tenures) && looks++ >= LOOKS_BEFORE_FRESH)
                    continue;
            }
            uint32_t word = owner_word(arena, fd, lane);
            if (!robust_free(word) && round == 1) {
                reclaim(arena, fd, lane, word);
                word = owner_word(arena, fd, lane);
            }
            if (!robust_free(word))
                continue;
            int result = take_lane(arena, fd, lane, out);
            if (result == 0)
                return 0;
            if (result == -ENOSPC || result == -EFBIG || result == -ENOMEM) {
                /* No room for another lane: one that has been used before needs none. */
                no_fresh = true;
                failure = result;
            }
        }
    }
    return failure;
}

static int take_any(struct lane_view **out, struct arena_view **from)
{
    struct arena_view *arena;
    int fd;
    int result = arena_get(&arena, &fd);
    if (result)
        return result;
    *from = arena;
    const struct tally_board *board = arena_board(arena);
    uint64_t announce = __atomic_load_n(&board->announce, __ATOMIC_RELAXED);
    if (board == &arena_no_board || TALLY_ANNOUNCED_STATE(announce) == TALLY_AGENT_MOVED)
        arena_look_for_board(arena);
    *out = take_known(arena);
    if (!*out)
        result = take_by_table(arena, fd, out);
    close(fd);
    return result;
}

/* Each record that is turned away for want of a lane is counted, also those for which nobody looks again. */
static int refuse(const struct thread *thread)
{
    /* Where it spills it is not turned away yet. */
    if (thread->refuser && tally_process.overflow != TALLY_OVERFLOW_SPILL)
        __atomic_fetch_add(&thread->refuser->header->refused[TALLY_REFUSED_NO_LANE], 1, __ATOMIC_RELAXED);
    return thread->refusal;
}

/* ---- introducing ---------------------------------------------------------------------- */

int lane_introduce(struct lane_view *lane, uint16_t index)
{
    uint64_t buffer[(sizeof(struct tally_record_header) + IDENTITY_BYTES_MAX + 256) / 8];
    struct tally_record_header *record = (struct tally_record_header *)(void *)buffer;
    const struct tally_client *client = tally_process.clients[index];
    uint8_t *fields = (uint8_t *)(record + 1);
    uint8_t *at = fields + client->identity_bytes;

    memcpy(fields, client->identity, client->identity_bytes);
    at = encode_number(at, TALLY_FIELD_tid, lane->tid);
    at = encode_number(at, TALLY_FIELD_start_time, lane->header->identity.start_time);
    if (index == 0) {
        /* How the predecessor ended stays known, however late the agent looks. */
        at = encode_number(at, TALLY_FIELD_tenure, lane->tenure);
        at = encode_number(at, TALLY_FIELD_predecessor_sequence, lane->sequence);
        at = encode_number(at, TALLY_FIELD_predecessor_final,
                           __atomic_load_n(&lane->header->final_sequence, __ATOMIC_RELAXED));
        at = encode_number(at, TALLY_FIELD_predecessor_refused, lane->refused_before);
    }
    record->length = (uint32_t)(sizeof *record + (size_t)(at - fields));
    record->kind = TALLY_KIND_CLIENT;
    record->client = index;
    record->time_unix_ns = clock_ns(CLOCK_REALTIME);
    int result = lane_write(lane, record);
    if (result == 0)
        __atomic_store_n(&lane->introduced[index], client->generation, __ATOMIC_RELAXED);
    return result;
}

static int take(struct thread *thread)
{
    /* Before anything of the thread is touched: it is the parent's. */
    if (process_generation() && process_is_vfork_child())
        return -EAGAIN;
    if (thread->lane && thread->lane->generation == process_generation() && process_generation())
        lane_give_up(thread); /* it is stale */
    thread->lane = NULL;
    int result = process_start(NULL);
    if (result || tally_process.disabled)
        return result;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (thread->refused_until && now < thread->refused_until)
        return refuse(thread);
    struct lane_view *lane = NULL;
    thread->refuser = NULL;
    result = take_any(&lane, &thread->refuser);
    if (result) {
        thread->refusal = result;
        thread->refused_until = now + RETRY_NS;
        process_debug("tally: no lane for thread %u: error %d", gettid_now(), -result);
        return refuse(thread);
    }
    /* Once more, now that the lane is ours: an agent that came since the first look, and saw no lane in use, sleeps without a bound
     * until it is rung; one that comes later finds this lane owned and does not. */
    if (arena_board(lane->arena) == &arena_no_board)
        arena_look_for_board(lane->arena);
    lane->board = arena_board(lane->arena);
    thread->refused_until = 0;
    thread->lane = lane;
    thread->generation = process_generation();
    thread_watch_exit(thread);
    return lane_introduce(lane, 0);
}

int lane_take(struct thread *thread)
{
    struct slow_path slow = slow_path_begin();
    /* A handler that forks here would return, in the child, into a lane whose mapping has not come along. */
    uint64_t signals = signals_block();
    int result = take(thread);
    signals_restore(signals);
    slow_path_end(slow);
    return result;
}

/* ---- leaving ----------------------------------------------------------------------------- */

void lane_give_up(struct thread *thread)
{
    struct lane_view *lane = thread->lane;
    bool busy = false;
    struct robust_list_head *head = lane->guarded ? robust_head(&busy) : NULL;
    thread->lane = NULL;
    lane_finish(lane);
    TESTPOINT(lane_finished);
    if (lane->guarded && !head)
        return; /* cannot unlink now: the kernel marks it when the thread ends */
    __atomic_store_n(&lane_entry(lane->arena, lane->lane)->hint, 0, __ATOMIC_RELAXED);
    robust_leave(head, &lane->header->owner, lane->tid);
    TESTPOINT(lane_left);
    view_unclaim(lane);
}

/* The thread's last destructors may record once more; then a lane is taken again and this runs again. */
void lane_thread_exit(struct thread *thread)
{
    if (!thread->lane || thread->lane->generation != process_generation() || !thread_enter(thread))
        return;
    int saved = errno;
    uint64_t signals = signals_block(); /* as in lane_take() */
    lane_give_up(thread);
    signals_restore(signals);
    errno = saved;
    thread_leave(thread);
}

static void replace(const struct lane_view *lane)
{
    /* If it cannot be had, nothing can be done. */
    (void)mmap(lane->ring, lane->arena->shape.lane_bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

/* In the child. If a signal handler forked in the middle of lane_write(), or of publishing final sequences, the child returns into
 * it and must find memory where the lanes were; what it then writes there is nobody's: the parent does it to the lanes. The nodes'
 * pages came along by copy-on-write. Lanes are taken and left with signals blocked. */
void lane_after_fork(struct thread *thread)
{
    if (thread->lane && thread->busy)
        replace(thread->lane);
    if (thread->publishing)
        for (const struct lane_view *lane = tally_process.lanes; lane; lane = lane->next)
            replace(lane);
    thread->refused_until = 0;
}
