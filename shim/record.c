/* The public calls that record. */
#include "encode.h"
#include "lane.h"
#include "process.h"
#include "spill.h"

#include <string.h>

TALLY_API const char *tally_version(void)
{
    return TALLY_VERSION;
}

TALLY_API int tally_init(const struct tally_options *options)
{
    struct thread *thread = &tally_thread;
    if (!thread_enter(thread))
        return -EBUSY;
    struct slow_path slow = slow_path_begin();
    int result = process_start(options);
    slow_path_end(slow);
    thread_leave(thread);
    return result;
}

/* The thread's lane, taken if need be. NULL with *result 0: tally is disabled. */
static struct lane_view *thread_lane(struct thread *thread, int *result)
{
    uint64_t generation = process_generation();
    if (likely(generation && thread->generation == generation && thread->lane))
        return thread->lane;
    *result = lane_take(thread);
    return *result ? NULL : thread->lane;
}

static int put_in_lane(struct lane_view *lane, struct tally_record_header *record)
{
    /* The process itself is known in its tenure, or not yet; a client object may have come in the place of a released one. */
    uint32_t introduced = lane->introduced[record->client];
    if (unlikely(record->client ? introduced != tally_process.clients[record->client]->generation
                                : introduced == 0)) {
        int result = lane_introduce(lane, record->client);
        if (result)
            return result;
    }
    return lane_write(lane, record);
}

/* No lane (NULL), or the lane did not take the record and returned `result`. */
static __attribute__((noinline)) int put_elsewhere(struct thread *thread, struct lane_view *lane,
                                                   struct tally_record_header *record, int result)
{
    if (result == -ESTALE) {
        /* Its arena has been deleted: on a lane of the next one there is room. */
        lane = thread_lane(thread, &result);
        if (lane)
            result = put_in_lane(lane, record);
    }
    if (result == 0 || tally_process.overflow != TALLY_OVERFLOW_SPILL)
        return result;
    result = spill_write(thread, record);
    if (result && lane)
        __atomic_fetch_add(&lane->arena->header->refused[TALLY_REFUSED_SPILL], 1, __ATOMIC_RELAXED);
    else if (result)
        arena_count_refusal(TALLY_REFUSED_SPILL);
    return result;
}

/* One record of a client, on the calling thread's lane. */
static int put(struct thread *thread, uint16_t kind, uint16_t client, const struct tally_usage *usage,
               const struct encode_call *call)
{
    uint64_t buffer[TALLY_RECORD_BYTES_MAX / 8];
    struct tally_record_header *record = (struct tally_record_header *)(void *)buffer;
    int result = 0;
    struct lane_view *lane = thread_lane(thread, &result);
    if (unlikely(!lane && (result == 0 || !process_generation())))
        return result; /* disabled, or not even started */
    int length = encode_usage((uint8_t *)(record + 1), usage, call);
    if (unlikely(length < 0))
        return length;
    record->length = (uint32_t)sizeof *record + (uint32_t)length;
    record->kind = kind;
    record->client = client;
    record->time_unix_ns = clock_ns(CLOCK_REALTIME);
    if (likely(lane))
        result = put_in_lane(lane, record);
    return likely(result == 0) ? 0 : put_elsewhere(thread, lane, record, result);
}

/* A signal handler interrupted a tally call of this very thread: the lane is being written, or taken, and then
 * it is counted in the arena that the process found last. */
static int reentered(const struct thread *thread)
{
    const struct lane_view *lane = thread->lane;
    /* acquire: pairs with the release in view_new(). */
    const struct arena_view *arena = __atomic_load_n(&tally_process.arenas, __ATOMIC_ACQUIRE);
    if (lane && process_generation() && lane->generation == process_generation())
        arena = lane->arena;
    if (arena)
        __atomic_fetch_add(&arena->header->refused[TALLY_REFUSED_REENTERED], 1, __ATOMIC_RELAXED);
    return -EBUSY;
}

static int record(uint16_t kind, uint16_t client, const struct tally_usage *usage,
                  const struct encode_call *call)
{
    struct thread *thread = &tally_thread;
    if (unlikely(!thread_enter(thread)))
        return reentered(thread);
    int result = put(thread, kind, client, usage, call);
    thread_leave(thread);
    return result;
}

static bool usage_valid(const struct tally_usage *usage)
{
    /* There is one version so far; a caller built with a later header brings more than we know, and it is ignored. */
    return usage && usage->size >= sizeof *usage;
}

/* The place of a client object among the process's sessions; -1: not a live one. */
static int client_index(const struct tally_client *client)
{
    if (!client)
        return 0;
    for (int i = 1; i < PROCESS_CLIENTS_MAX; i++)
        if (__atomic_load_n(&tally_process.clients[i], __ATOMIC_RELAXED) == client)
            return client->state == CLIENT_LIVE ? i : -1;
    return -1;
}

TALLY_API int tally_record(const struct tally_usage *usage)
{
    if (unlikely(!usage_valid(usage)))
        return -EINVAL;
    return record(TALLY_KIND_USAGE, 0, usage, NULL);
}

TALLY_API int tally_client_record(struct tally_client *client, const struct tally_usage *usage)
{
    int index = client_index(client);
    if (index < 0 || !usage_valid(usage))
        return -EINVAL;
    return record(TALLY_KIND_USAGE, (uint16_t)index, usage, NULL);
}

/* ---- calls in flight ---------------------------------------------------------------- */

#define CALL_MAGIC UINT32_C(0x11ACCA11)

/* What struct tally_call holds. */
struct call {
    uint32_t magic;
    uint16_t client;
    uint16_t reserved;
    uint8_t id[16];
    uint64_t begin_monotonic_ns;
    uint32_t client_generation;
    uint32_t step;    /* of the newest progress; atomic */
    uint32_t records; /* begin and progress records that stand in a lane; atomic */
    uint32_t ended;   /* atomic */
};
TALLY_LAYOUT(sizeof(struct call) <= sizeof(struct tally_call));

/* Unique for ever: the session's random id plus a count; where there is no session, random bytes of its own. */
static void call_identify(struct call *call, int index)
{
    const struct tally_client *client = tally_process.clients[index];
    uint64_t words[2];
    if (process_generation() && client) {
        memcpy(words, client->session_id, sizeof words);
        words[1] += __atomic_add_fetch(&tally_process.calls, 1, __ATOMIC_RELAXED);
        call->client_generation = client->generation;
    } else if (syscall(SYS_getrandom, words, sizeof words, 0) != (long)sizeof words) {
        words[0] = clock_ns(CLOCK_REALTIME);
        words[1] = (uint64_t)getpid() << 32 ^ (uintptr_t)call;
    }
    memcpy(call->id, words, sizeof words);
    call->client = (uint16_t)index;
    call->begin_monotonic_ns = clock_ns(CLOCK_MONOTONIC);
    call->magic = CALL_MAGIC;
}

/* A forked child has a new session in the client's place; so has a new object in a released one's. Then it is the process's. */
static uint16_t call_client(const struct call *call)
{
    const struct tally_client *client = tally_process.clients[call->client];
    return client && client->state == CLIENT_LIVE && client->generation == call->client_generation
               ? call->client
               : 0;
}

TALLY_API int tally_client_call_begin(struct tally_client *object, struct tally_call *handle,
                                      const struct tally_usage *usage)
{
    struct tally_usage known = TALLY_USAGE_INIT;
    struct encode_call encoded = {.step = 0};
    struct thread *thread = &tally_thread;
    int index = client_index(object);
    if (!handle || index < 0 || (usage && !usage_valid(usage)))
        return -EINVAL;
    if (usage)
        known = *usage;
    struct call *call = (struct call *)(void *)handle;
    memset(handle, 0, sizeof *handle);
    /* Whatever comes of its begin, the call can be ended, and is then recorded whole by its end. */
    if (!thread_enter(thread)) {
        call_identify(call, index);
        return reentered(thread);
    }
    int result = 0;
    thread_lane(thread, &result); /* for the session, whose id is needed for the call's */
    call_identify(call, index);
    if (result == 0 || (process_generation() && tally_process.overflow == TALLY_OVERFLOW_SPILL)) {
        if (known.start_time_unix_ns == -1)
            known.start_time_unix_ns = (int64_t)clock_ns(CLOCK_REALTIME);
        memcpy(encoded.id, call->id, sizeof encoded.id);
        result = put(thread, TALLY_KIND_CALL_BEGIN, (uint16_t)index, &known, &encoded);
        if (result == 0)
            call->records = 1;
    }
    thread_leave(thread);
    return result;
}

TALLY_API int tally_call_begin(struct tally_call *call, const struct tally_usage *usage)
{
    return tally_client_call_begin(NULL, call, usage);
}

TALLY_API int tally_call_progress(struct tally_call *handle, const struct tally_usage *usage)
{
    struct call *call = (struct call *)(void *)handle;
    struct encode_call encoded;
    if (!handle || call->magic != CALL_MAGIC || __atomic_load_n(&call->ended, __ATOMIC_RELAXED) ||
        (usage && !usage_valid(usage)))
        return -EINVAL;
    memcpy(encoded.id, call->id, sizeof encoded.id);
    encoded.step = __atomic_add_fetch(&call->step, 1, __ATOMIC_RELAXED);
    int result = record(TALLY_KIND_CALL_PROGRESS, call_client(call), usage, &encoded);
    if (result == 0)
        __atomic_add_fetch(&call->records, 1, __ATOMIC_RELAXED);
    return result;
}

TALLY_API int tally_call_end(struct tally_call *handle, const struct tally_usage *usage)
{
    struct call *call = (struct call *)(void *)handle;
    struct tally_usage known = TALLY_USAGE_INIT;
    struct encode_call encoded = {.step = TALLY_CALL_STEP_END};
    if (!handle || call->magic != CALL_MAGIC || (usage && !usage_valid(usage)) ||
        __atomic_exchange_n(&call->ended, 1, __ATOMIC_RELAXED))
        return -EINVAL;
    if (usage)
        known = *usage;
    if (known.duration_ns == -1)
        known.duration_ns = (int64_t)(clock_ns(CLOCK_MONOTONIC) - call->begin_monotonic_ns);
    memcpy(encoded.id, call->id, sizeof encoded.id);
    encoded.records = __atomic_load_n(&call->records, __ATOMIC_RELAXED);
    int result = record(TALLY_KIND_CALL_END, call_client(call), &known, &encoded);
    if (result)
        __atomic_store_n(&call->ended, 0, __ATOMIC_RELAXED); /* it may be tried again */
    return result;
}
