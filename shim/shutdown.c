/* Ending cleanly: publish final sequences, wait for durability. */
#include "shutdown.h"

#include "carry.h"
#include "lane.h"
#include "process.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define TIMEOUT_DEFAULT_MS 10000
/* How long to sleep at most before looking again whether there is still an agent, and whether it needs ringing. */
#define SLICE_NS       UINT64_C(20000000)
#define TARGETS_INLINE 32

static struct lane_view *first_lane(void)
{
    return __atomic_load_n(&tally_process.lanes, __ATOMIC_ACQUIRE); /* pairs with the release in view_map() */
}

/* Atomic stores alone: safe in any signal handler, however often, beside whatever writes. */
static void publish(void)
{
    tally_thread.publishing++; /* see lane_after_fork() */
    compiler_barrier();
    for (struct lane_view *lane = first_lane(); lane; lane = lane->next) {
        uint32_t holder = __atomic_load_n(&lane->holder, __ATOMIC_RELAXED);
        /* A lane that was left has its mark, and may be another process's by now. */
        if (holder && __atomic_load_n(&lane->generation, __ATOMIC_RELAXED) == process_generation())
            lane_finish(lane);
    }
    compiler_barrier();
    tally_thread.publishing--;
}

static bool durable(const struct arena_view *arena, uint32_t lane, uint64_t position)
{
    const struct tally_board_lane *entry = arena_board_lane(arena_board(arena), lane);
    /* acquire: pairs with the release in board_publish() of the agent. */
    return __atomic_load_n(&entry->position, __ATOMIC_ACQUIRE) >= position;
}

bool shutdown_wait_commit(const struct arena_view *arena, uint64_t deadline_ns, uint32_t lane,
                          uint64_t position)
{
    const struct tally_board *board = arena_board(arena);
    /* Read before the positions: a commit in between moves it, and the wait returns at once. */
    uint32_t commits =
        __atomic_load_n(&board->commit_counter, __ATOMIC_ACQUIRE); /* pairs with board_publish() */
    if (durable(arena, lane, position))
        return true;
    TESTPOINT(shutdown_looked);
    uint64_t announce = __atomic_load_n(&board->announce, __ATOMIC_RELAXED);
    if (TALLY_ANNOUNCED_STATE(announce) == TALLY_AGENT_GATHERING ||
        TALLY_ANNOUNCED_STATE(announce) == TALLY_AGENT_ASLEEP)
        arena_ring(arena, announce);
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + SLICE_NS;
    if (until > deadline_ns)
        until = deadline_ns;
    struct timespec absolute = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    TESTPOINT(shutdown_waits);
    futex(&board->commit_counter, FUTEX_WAIT_BITSET, commits, &absolute, NULL, FUTEX_BITSET_MATCH_ANY);
    return durable(arena, lane, position);
}

struct target {
    const struct lane_view *lane;
    uint64_t position;
};

/* What stands in carried files and in an arena that nobody serves: as what has been spilled. */
static bool carried(const struct lane_view *lane)
{
    uint64_t tail = __atomic_load_n(&lane->tail, __ATOMIC_RELAXED);
    return arena_abandoned(lane->arena) && __atomic_load_n(&lane->carried, __ATOMIC_RELAXED) >= tail &&
           !durable(lane->arena, lane->lane, tail);
}

/* The lanes' positions as they are now. files: set if what some lane held stands in files. */
static size_t targets_take(struct target *targets, size_t room, bool *files)
{
    size_t count = 0;
    for (const struct lane_view *lane = first_lane(); lane; lane = lane->next) {
        if (carried(lane)) {
            *files = true;
            continue;
        }
        if (count < room)
            targets[count] = (struct target){lane, __atomic_load_n(&lane->tail, __ATOMIC_RELAXED)};
        count++;
    }
    return count;
}

static bool targets_durable(const struct target *targets, size_t count, const struct arena_view **waiting,
                            size_t *which)
{
    for (size_t i = *which; i < count; i++)
        if (!durable(targets[i].lane->arena, targets[i].lane->lane, targets[i].position)) {
            *which = i;
            *waiting = targets[i].lane->arena;
            return false;
        }
    return true;
}

static bool wait_targets(const struct target *targets, size_t count, uint64_t deadline)
{
    const struct arena_view *arena = NULL;
    size_t which = 0;
    bool waited = false;
    while (!targets_durable(targets, count, &arena, &which)) {
        /* None yet, or one that has been replaced: on that nothing will ever become durable. */
        const struct tally_board *board = arena_board(arena);
        uint64_t announce = __atomic_load_n(&board->announce, __ATOMIC_RELAXED);
        if (board == &arena_no_board || TALLY_ANNOUNCED_STATE(announce) == TALLY_AGENT_MOVED || waited)
            arena_look_for_board(targets[which].lane->arena);
        waited = true;
        if (clock_ns(CLOCK_MONOTONIC) >= deadline || !arena_has_agent(arena))
            /* A commit may have come between the look and the agent's end. */
            return targets_durable(targets, count, &arena, &which);
        shutdown_wait_commit(arena, deadline, targets[which].lane->lane, targets[which].position);
    }
    return true;
}

static int wait_durable(uint64_t deadline)
{
    struct target few[TARGETS_INLINE];
    bool files = false;
    size_t count = targets_take(few, TARGETS_INLINE, &files);
    if (count <= TARGETS_INLINE)
        return wait_targets(few, count, deadline) && !files;
    /* More lanes may come while we allocate; theirs are not records that were there at entry. */
    size_t bytes = count * sizeof(struct target);
    struct target *many = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (many == MAP_FAILED)
        return 0;
    size_t found = targets_take(many, count, &files);
    int result = wait_targets(many, found < count ? found : count, deadline) && !files;
    munmap(many, bytes);
    return result;
}

TALLY_API int tally_shutdown(int timeout_ms)
{
    struct thread *thread = &tally_thread;
    if (!process_generation() || tally_process.disabled)
        return TALLY_DURABLE; /* nothing has been recorded */
    publish();
    if (thread->busy)
        return -EBUSY;
    if (timeout_ms == 0) {
        process_debug("tally: shutdown of process %u: published", tally_process.pid);
        return TALLY_PUBLISHED;
    }
    struct slow_path slow = slow_path_begin();
    uint64_t wait_ms = timeout_ms < 0 ? TIMEOUT_DEFAULT_MS : (uint64_t)timeout_ms;
    bool all = wait_durable(clock_ns(CLOCK_MONOTONIC) + wait_ms * 1000000);
    /* What stands in spill files is safe, but when the agent will have taken it in is not to be seen from here. */
    if (__atomic_load_n(&tally_process.spilled, __ATOMIC_RELAXED))
        all = false;
    slow_path_end(slow);
    process_debug("tally: shutdown of process %u: %s", tally_process.pid, all ? "durable" : "published");
    return all ? TALLY_DURABLE : TALLY_PUBLISHED;
}

/* Once more, after all that runs at exit: its records, and those of threads that go on until the very end. */
__attribute__((destructor)) static void at_unload(void)
{
    struct slow_path slow = slow_path_begin();
    tally_shutdown(0);
    carry_rest();
    slow_path_end(slow);
}

/* ---- signals --------------------------------------------------------------------- */

/* Publish, then die of the signal as if we had not been there: the exit status is the signal's. */
static void on_signal(int signal_number)
{
    int saved = errno;
    struct sigaction action;
    if (process_generation())
        publish();
    process_debug("tally: signal %d in process %u: published", signal_number, tally_process.pid);
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigaction(signal_number, &action, NULL);
    raise(signal_number); /* blocked while we are here; it comes when the handler returns */
    errno = saved;
}

void shutdown_install_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) || (action.sa_flags & SA_SIGINFO) ||
            action.sa_handler != SIG_DFL)
            continue;
        memset(&action, 0, sizeof action);
        sigemptyset(&action.sa_mask);
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART;
        sigaction(signals[i], &action, NULL);
    }
}
