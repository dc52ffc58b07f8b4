/* curl_multi.c: what programs call instead of libcurl's functions for many transfers at a time.
 *
 * A transfer's result is told by curl_multi_info_read(). Programs that never ask (they wait until none is running) take the handle out
 * instead, and libcurl then throws the message away; so it is read here before. Messages about other handles that come by then are kept, and
 * given out first when the program asks.
 *
 * What is known of a multi handle belongs to the thread that uses it, as libcurl demands. */
#include "capture/pool.h"
#include "preload/curl.h"
#include "preload/interpose.h"
#include "preload/real.h"

#include <stdatomic.h>
#include <string.h>

#define MULTIS  512
#define WINDOW  32
#define CLAIMED ((uintptr_t)1)

/* Messages that libcurl gave and the program has not seen. */
struct queue {
    unsigned first, count;
    struct curl_message messages[];
};
#define QUEUE_MAX ((POOL_SMALL_BYTES - sizeof(struct queue)) / sizeof(struct curl_message))

struct multi {
    const struct curl_api *api;
    struct queue *queue; /* NULL: nothing in it */
    bool pushes; /* servers may push: libcurl then copies handles by itself, our callbacks with them */
};

static struct {
    _Atomic(uintptr_t) keys[MULTIS + WINDOW];
    struct multi multis[MULTIS + WINDOW];
} known;

static size_t window_of(const void *multi)
{
    return (size_t)(((uint64_t)(uintptr_t)multi >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) % MULTIS;
}

static struct multi *multi_of(const void *key)
{
    size_t first = window_of(key);
    for (size_t i = first; key && i < first + WINDOW; i++)
        /* pairs with multi_made() */
        if (atomic_load_explicit(&known.keys[i], memory_order_acquire) == (uintptr_t)key)
            return &known.multis[i];
    return NULL;
}

/* As with handles (curl_handle.c). NULL: no room. */
static struct multi *multi_made(const void *key, const struct curl_api *api)
{
    struct multi *multi = multi_of(key);
    if (multi)
        return multi;
    size_t first = window_of(key);
    for (size_t i = first; i < first + WINDOW; i++) {
        uintptr_t nobody = 0;
        /* pairs with multi_gone() */
        if (atomic_load_explicit(&known.keys[i], memory_order_relaxed) ||
            !atomic_compare_exchange_strong_explicit(&known.keys[i], &nobody, CLAIMED, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        known.multis[i] = (struct multi){.api = api};
        /* pairs with multi_of() */
        atomic_store_explicit(&known.keys[i], (uintptr_t)key, memory_order_release);
        return &known.multis[i];
    }
    return NULL;
}

static void multi_gone(struct multi *multi)
{
    pool_give(POOL_SMALL, multi->queue);
    multi->queue = NULL;
    /* pairs with multi_made() */
    atomic_store_explicit(&known.keys[multi - known.multis], 0, memory_order_release);
}

/* ---- messages --------------------------------------------------------------------------- */

static bool queue_has_room(struct multi *multi)
{
    if (!multi->queue) {
        multi->queue = pool_take(POOL_SMALL);
        if (multi->queue)
            *multi->queue = (struct queue){0, 0};
    }
    return multi->queue && multi->queue->count < QUEUE_MAX;
}

static struct curl_message *queue_at(struct queue *queue, unsigned index)
{
    return &queue->messages[(queue->first + index) % QUEUE_MAX];
}

/* The next of libcurl's messages into the queue. Call only if there is room. left: how many more libcurl has. */
static bool queue_fill(struct multi *multi, void *key, int *left)
{
    struct queue *queue = multi->queue;
    *left = 0;
    const struct curl_message *message = multi->api->multi_info_read(key, left);
    if (message)
        *queue_at(queue, queue->count++) = *message;
    return message != NULL;
}

/* Takes what is there about a handle out. Whether there was something. */
static bool queue_drop(struct multi *multi, const void *easy, int *result)
{
    struct queue *queue = multi->queue;
    bool found = false;
    for (unsigned i = 0; queue && i < queue->count; i++) {
        if (queue_at(queue, i)->easy != easy)
            continue;
        *result = queue_at(queue, i)->data.result;
        found = true;
        for (unsigned j = i--; j + 1 < queue->count; j++)
            *queue_at(queue, j) = *queue_at(queue, j + 1);
        queue->count--;
    }
    return found;
}

/* The transfer leaves the multi handle: done, or given up by the program? */
static void settle(struct multi *multi, void *key, struct curl_handle *handle)
{
    int result, left = 0;
    bool done = queue_drop(multi, handle->easy, &result);
    while (!done && handle->transfer.installed && queue_has_room(multi) && queue_fill(multi, key, &left))
        done = queue_drop(multi, handle->easy, &result);
    if (done)
        curl_transfer_end(handle, result);
    else
        curl_transfer_cancel(handle);
    handle->multi = NULL;
}

void curl_multi_forget(struct curl_handle *handle)
{
    struct multi *multi = multi_of(handle->multi);
    if (multi)
        settle(multi, handle->multi, handle);
    handle->multi = NULL;
}

/* ---- the functions -------------------------------------------------------------------------- */

static const struct curl_api *api_of(const struct curl_handle *handle, const struct multi *multi,
                                     const void *caller)
{
    return handle ? handle->api : multi ? multi->api : curl_api_for(caller);
}

/* curl_easy_perform() comes by here too, from within libcurl. */
static bool is_our_business(const struct curl_handle *handle)
{
    return handle && !handle->transfer.performing;
}

static int add_handle(void *key, void *easy, const void *caller)
{
    struct curl_handle *handle = curl_handle_of(easy);
    const struct curl_api *api = api_of(handle, NULL, caller);
    if (!api)
        return MULTI_INTERNAL_ERROR;
    struct multi *multi = is_our_business(handle) && !handle->multi ? multi_made(key, api) : NULL;
    if (!multi)
        return api->multi_add_handle(key, easy);
    handle->multi = key;
    if (!multi->pushes)
        curl_transfer_begin(handle);
    int result = api->multi_add_handle(key, easy);
    if (result != MULTI_OK) {
        curl_transfer_cancel(handle);
        handle->multi = NULL;
    }
    return result;
}

static int remove_handle(void *key, void *easy, const void *caller)
{
    struct curl_handle *handle = curl_handle_of(easy);
    const struct curl_api *api = api_of(handle, NULL, caller);
    if (!api)
        return MULTI_INTERNAL_ERROR;
    if (is_our_business(handle) && handle->multi == key)
        curl_multi_forget(handle);
    return api->multi_remove_handle(key, easy);
}

static struct curl_message *info_read(void *key, int *left, const void *caller)
{
    struct multi *multi = multi_of(key);
    const struct curl_api *api = api_of(NULL, multi, caller);
    struct curl_message *message;
    if (!api)
        return NULL;
    if (multi && multi->queue && multi->queue->count) {
        struct queue *queue = multi->queue;
        int more = 0;
        if (queue->count < QUEUE_MAX)
            queue_fill(multi, key, &more);
        message = queue_at(queue, 0);
        queue->first = (queue->first + 1) % QUEUE_MAX;
        queue->count--;
        *left = (int)queue->count + more;
    } else
        message = api->multi_info_read(key, left);
    if (message && message->message == MESSAGE_DONE) {
        struct curl_handle *handle = curl_handle_of(message->easy);
        if (is_our_business(handle))
            curl_transfer_end(handle, message->data.result);
    }
    return message;
}

static int multi_setopt(void *key, int option, void *value, const void *caller)
{
    struct multi *multi = multi_of(key);
    const struct curl_api *api = api_of(NULL, multi, caller);
    if (!api)
        return MULTI_INTERNAL_ERROR;
    if (option == MULTI_PUSHFUNCTION && value && capture_is_on(CAPTURE_CURL)) {
        struct curl_handle *handle;
        multi = multi_made(key, api);
        if (multi)
            multi->pushes = true;
        for (size_t place = 0; (handle = curl_handle_next(key, &place));)
            curl_transfer_give_up(handle, "http2_push");
    }
    return api->multi_setopt(key, option, value);
}

static int multi_cleanup(void *key, const void *caller)
{
    struct multi *multi = multi_of(key);
    const struct curl_api *api = api_of(NULL, multi, caller);
    struct curl_handle *handle;
    if (!api)
        return MULTI_INTERNAL_ERROR;
    if (multi) {
        for (size_t place = 0; (handle = curl_handle_next(key, &place));)
            settle(multi, key, handle);
        multi_gone(multi);
    }
    return api->multi_cleanup(key);
}

/* ---- by name, and by pointer ------------------------------------------------------------------ */

INTERPOSE int curl_multi_add_handle(void *multi, void *easy);
INTERPOSE int curl_multi_remove_handle(void *multi, void *easy);
INTERPOSE struct curl_message *curl_multi_info_read(void *multi, int *left);
INTERPOSE int curl_multi_setopt(void *multi, int option, void *value);
INTERPOSE int curl_multi_cleanup(void *multi);

int curl_multi_add_handle(void *multi, void *easy)
{
    return add_handle(multi, easy, REAL_CALLER());
}
static int add_handle_by_pointer(void *multi, void *easy)
{
    return add_handle(multi, easy, &curl_by_pointer);
}

int curl_multi_remove_handle(void *multi, void *easy)
{
    return remove_handle(multi, easy, REAL_CALLER());
}
static int remove_handle_by_pointer(void *multi, void *easy)
{
    return remove_handle(multi, easy, &curl_by_pointer);
}

struct curl_message *curl_multi_info_read(void *multi, int *left)
{
    return info_read(multi, left, REAL_CALLER());
}
static struct curl_message *info_read_by_pointer(void *multi, int *left)
{
    return info_read(multi, left, &curl_by_pointer);
}

int curl_multi_setopt(void *multi, int option, void *value)
{
    return multi_setopt(multi, option, value, REAL_CALLER());
}
static int setopt_by_pointer(void *multi, int option, void *value)
{
    return multi_setopt(multi, option, value, &curl_by_pointer);
}

int curl_multi_cleanup(void *multi)
{
    return multi_cleanup(multi, REAL_CALLER());
}
static int cleanup_by_pointer(void *multi)
{
    return multi_cleanup(multi, &curl_by_pointer);
}

void *curl_multi_by_pointer(const char *name)
{
    const struct {
        const char *name;
        void *function;
    } table[] = {
        {"curl_multi_add_handle", (void *)add_handle_by_pointer},
        {"curl_multi_remove_handle", (void *)remove_handle_by_pointer},
        {"curl_multi_info_read", (void *)info_read_by_pointer},
        {"curl_multi_setopt", (void *)setopt_by_pointer},
        {"curl_multi_cleanup", (void *)cleanup_by_pointer},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (!strcmp(name, table[i].name))
            return table[i].function;
    return NULL;
}
