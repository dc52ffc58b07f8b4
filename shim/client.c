/* Client objects: several identities in one process. */
#include "encode.h"
#include "lane.h"
#include "process.h"
#include "shutdown.h"
#include "spill.h"

#include <string.h>
#include <sys/mman.h>

#define RELEASE_TIMEOUT_MS 5000

static size_t client_bytes(void)
{
    return (sizeof(struct tally_client) + TALLY_PAGE_BYTES - 1) / TALLY_PAGE_BYTES * TALLY_PAGE_BYTES;
}

/* A place that is free, with memory; places are used again, their memory is kept. */
static struct tally_client *claim(int *result)
{
    *result = -EMFILE;
    for (int i = 1; i < PROCESS_CLIENTS_MAX; i++) {
        struct tally_client **place = &tally_process.clients[i];
        struct tally_client *client = __atomic_load_n(place, __ATOMIC_ACQUIRE); /* pairs with the CAS below */
        if (!client) {
            void *fresh =
                mmap(NULL, client_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (fresh == MAP_FAILED) {
                *result = -ENOMEM;
                return NULL;
            }
            /* release: pairs with the load above. */
            if (!__atomic_compare_exchange_n(place, &client, (struct tally_client *)fresh, false,
                                             __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
                munmap(fresh, client_bytes());
            else
                client = fresh;
        }
        uint32_t state = CLIENT_FREE;
        /* acquire: pairs with the release of CLIENT_FREE in tally_client_release(). */
        if (__atomic_compare_exchange_n(&client->state, &state, CLIENT_CLAIMED, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return client;
    }
    return NULL;
}

/* A claimed place becomes a session of its own. */
static void client_begin(struct tally_client *client, const struct tally_options *options)
{
    const struct tally_client *process = tally_process.clients[0];
    const char *service = options && options->service ? options->service : process->service;
    const char *tags = options && options->tags ? options->tags : process->tags;
    bool cut = encode_copy(client->service, sizeof client->service, service);
    client->truncated = encode_copy(client->tags, sizeof client->tags, tags) || cut;
    client_identify(client, process);
    __atomic_store_n(&client->state, CLIENT_LIVE, __ATOMIC_RELAXED); /* its users get it from the caller */
}

TALLY_API struct tally_client *tally_client_new(const struct tally_options *options)
{
    struct thread *thread = &tally_thread;
    struct tally_client *client = NULL;
    if (options && options->size != sizeof *options) {
        errno = EINVAL;
        return NULL;
    }
    if (!thread_enter(thread)) {
        errno = EBUSY;
        return NULL;
    }
    struct slow_path slow = slow_path_begin();
    int result = process_start(NULL);
    if (result == 0)
        client = claim(&result);
    if (client)
        client_begin(client, options);
    slow_path_end(slow);
    thread_leave(thread);
    if (!client)
        errno = -result;
    return client;
}

/* Say in the calling thread's lane, or in a spill file, that the session is over, if it ever said a word there or
 * elsewhere. */
static void end_session(struct thread *thread, const struct tally_client *client, uint16_t index)
{
    uint64_t buffer[(sizeof(struct tally_record_header) + 64) / 8];
    struct tally_record_header *record = (struct tally_record_header *)(void *)buffer;
    uint8_t *fields = (uint8_t *)(record + 1);
    bool spilled = __atomic_load_n(&tally_process.spilled, __ATOMIC_RELAXED);
    struct lane_view *lane = thread->generation == process_generation() ? thread->lane : NULL;
    if (!lane && (tally_process.lanes || spilled) && lane_take(thread) == 0)
        lane = thread->lane;
    if (!lane && !spilled)
        return;
    uint8_t *at = encode_bytes(fields, TALLY_FIELD_session_id, TALLY_TYPE_BYTES, client->session_id, 16);
    record->length = (uint32_t)(sizeof *record + (size_t)(at - fields));
    record->kind = TALLY_KIND_CLIENT_END;
    record->client = index;
    record->time_unix_ns = clock_ns(CLOCK_REALTIME);
    int result = lane ? 0 : -EAGAIN;
    if (lane && lane->introduced[index] != client->generation)
        result = lane_introduce(lane, index);
    if (result == 0)
        result = lane_write(lane, record);
    if (result && tally_process.overflow == TALLY_OVERFLOW_SPILL)
        spill_write(thread, record);
}

TALLY_API void tally_client_release(struct tally_client *client)
{
    struct thread *thread = &tally_thread;
    uint16_t index = 0;
    for (uint16_t i = 1; client && i < PROCESS_CLIENTS_MAX; i++)
        if (__atomic_load_n(&tally_process.clients[i], __ATOMIC_RELAXED) == client)
            index = i;
    if (!index || client->state != CLIENT_LIVE)
        return;
    int saved = errno;
    if (!tally_process.disabled && thread_enter(thread)) {
        end_session(thread, client, index);
        thread_leave(thread);
    }
    /* release: pairs with the acquire in claim(). */
    __atomic_store_n(&client->state, CLIENT_FREE, __ATOMIC_RELEASE);
    tally_shutdown(RELEASE_TIMEOUT_MS);
    process_debug("tally: client object %u of process %u released", index, tally_process.pid);
    errno = saved;
}
