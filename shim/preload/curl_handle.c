/* curl_handle.c: a table of handles, and what was set on each.
 *
 * Entries lie in one anonymous mapping, found by the handle's address in a window of slots; nobody waits: a slot is claimed by
 * compare-and-swap, and read without a lock. A handle is put in after it was made and taken out before it is freed, so its address is
 * there once at a time. A thread that dies (or a fork that happens) between claiming and filling a slot costs that slot. */
#include "preload/curl.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define WINDOW  32
#define CLAIMED ((uintptr_t)1)

struct table {
    _Atomic(uintptr_t) keys[CURL_HANDLES + WINDOW];
    struct curl_handle handles[CURL_HANDLES + WINDOW];
};
static _Atomic(struct table *) handle_table;

static struct table *table_made(void)
{
    /* pairs with the exchange below */
    struct table *table = atomic_load_explicit(&handle_table, memory_order_acquire);
    if (table)
        return table;
    int error = errno;
    void *fresh =
        mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh != MAP_FAILED) {
        /* pairs with the loads above and in curl_handle_of() */
        if (atomic_compare_exchange_strong_explicit(&handle_table, &table, fresh, memory_order_acq_rel,
                                                    memory_order_acquire))
            table = fresh;
        else
            munmap(fresh, sizeof *table);
    }
    errno = error;
    return table;
}

static size_t window_of(const void *easy)
{
    return (size_t)(((uint64_t)(uintptr_t)easy >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) % CURL_HANDLES;
}

struct curl_handle *curl_handle_of(const void *easy)
{
    /* pairs with table_made() */
    struct table *table = atomic_load_explicit(&handle_table, memory_order_acquire);
    if (!table || !easy)
        return NULL;
    size_t first = window_of(easy);
    for (size_t i = first; i < first + WINDOW; i++) {
        /* pairs with the release store in curl_handle_made() */
        if (atomic_load_explicit(&table->keys[i], memory_order_acquire) == (uintptr_t)easy)
            return &table->handles[i];
    }
    return NULL;
}

void curl_note_reset(struct curl_handle *handle)
{
    handle->notes = (struct curl_notes){.fields_size = -1};
}

static void copy_notes(struct curl_handle *to, const struct curl_handle *from)
{
    to->notes = from->notes;
    memcpy(to->place, from->place, (size_t)from->notes.host_length + from->notes.path_length);
    memcpy(to->picked, from->picked, from->notes.picked_length);
}

void curl_handle_made(void *easy, const struct curl_api *api, const struct curl_handle *like)
{
    struct table *table = easy ? table_made() : NULL;
    if (!table)
        return;
    size_t first = window_of(easy);
    for (size_t i = first; i < first + WINDOW; i++) {
        uintptr_t nobody = 0;
        /* pairs with curl_handle_gone(): what the last one left is not written after we claim it */
        if (atomic_load_explicit(&table->keys[i], memory_order_relaxed) ||
            !atomic_compare_exchange_strong_explicit(&table->keys[i], &nobody, CLAIMED, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        struct curl_handle *handle = &table->handles[i];
        handle->api = api;
        handle->easy = easy;
        handle->multi = NULL;
        handle->transfer = (struct curl_transfer){0};
        if (like)
            copy_notes(handle, like);
        else
            curl_note_reset(handle);
        /* pairs with curl_handle_of() */
        atomic_store_explicit(&table->keys[i], (uintptr_t)easy, memory_order_release);
        return;
    }
}

void curl_handle_gone(struct curl_handle *handle)
{
    struct table *table = atomic_load_explicit(&handle_table, memory_order_relaxed);
    handle->easy = NULL;
    /* pairs with the claim in curl_handle_made() */
    atomic_store_explicit(&table->keys[handle - table->handles], 0, memory_order_release);
}

bool curl_handle_is(const void *pointer)
{
    const struct table *table = atomic_load_explicit(&handle_table, memory_order_relaxed);
    uintptr_t at = (uintptr_t)pointer;
    if (!table || at < (uintptr_t)table->handles || at >= (uintptr_t)(table + 1))
        return false;
    return (at - (uintptr_t)table->handles) % sizeof(struct curl_handle) == 0;
}

struct curl_handle *curl_handle_next(const void *multi, size_t *place)
{
    /* pairs with table_made() */
    struct table *table = atomic_load_explicit(&handle_table, memory_order_acquire);
    while (table && *place < CURL_HANDLES + WINDOW) {
        size_t i = (*place)++;
        /* pairs with curl_handle_made() */
        if (atomic_load_explicit(&table->keys[i], memory_order_acquire) > CLAIMED &&
            table->handles[i].multi == multi)
            return &table->handles[i];
    }
    return NULL;
}

/* ---- what is set ------------------------------------------------------------------ */

static bool same_word(const char *a, size_t length, const char *word)
{
    return length == strlen(word) && !strncasecmp(a, word, length);
}

/* Of a URL host, port and path are kept. What stands before and after them may be secret. */
static void note_url(struct curl_handle *handle, const char *url)
{
    struct curl_notes *notes = &handle->notes;
    notes->has_url = false;
    notes->host_length = notes->path_length = 0;
    if (!url)
        return;
    const char *mark = strstr(url, "://");
    notes->tls = mark && same_word(url, (size_t)(mark - url), "https");
    if (mark && !notes->tls && !same_word(url, (size_t)(mark - url), "http"))
        return;
    const char *host = mark ? mark + 3 : url;
    const char *path = host + strcspn(host, "/?#");
    for (const char *at = host; at < path; at++)
        if (*at == '@')
            host = at + 1;
    size_t host_length = (size_t)(path - host);
    size_t path_length = strcspn(path, "?#");
    if (host_length + path_length > CURL_PLACE_BYTES)
        return;
    memcpy(handle->place, host, host_length);
    memcpy(handle->place + host_length, path, path_length);
    notes->host_length = (uint16_t)host_length;
    notes->path_length = (uint16_t)path_length;
    notes->has_url = true;
}

static void note_method(struct curl_notes *notes, const char *method)
{
    notes->custom_method[0] = '\0';
    if (method && strlen(method) < sizeof notes->custom_method)
        memcpy(notes->custom_method, method, strlen(method) + 1);
}

static void note_fields(struct curl_handle *handle, int option, const char *fields)
{
    struct curl_notes *notes = &handle->notes;
    notes->method = METHOD_POST;
    notes->fields = fields;
    notes->copied_fields = option == OPT_COPYPOSTFIELDS && fields;
    notes->picked_length = 0;
    if (notes->copied_fields) {
        notes->fields = NULL;
        curl_body_pick(handle, fields, notes->fields_size < 0 ? strlen(fields) : (size_t)notes->fields_size);
    }
}

static void note_callback(struct curl_notes *notes, int option, void *value)
{
    switch (option) {
    case OPT_WRITEFUNCTION:
        notes->write_function = value;
        break;
    case OPT_WRITEDATA:
        notes->write_data = value;
        notes->write_data_set = true;
        break;
    case OPT_HEADERFUNCTION:
        notes->header_function = value;
        break;
    case OPT_HEADERDATA:
        notes->header_data = value;
        break;
    case OPT_READFUNCTION:
        notes->read_function = value;
        break;
    case OPT_READDATA:
        notes->read_data = value;
        break;
    default:
        break;
    }
}

/* As libcurl lets one option undo another. */
void curl_note(struct curl_handle *handle, int option, void *value)
{
    struct curl_notes *notes = &handle->notes;
    bool on = value != NULL; /* a long or a pointer */
    switch (option) {
    case OPT_URL:
        note_url(handle, value);
        break;
    case OPT_CURLU:
        notes->url_object = value;
        break;
    case OPT_CUSTOMREQUEST:
        note_method(notes, value);
        break;
    case OPT_HTTPGET:
        notes->method = on ? METHOD_GET : notes->method;
        break;
    case OPT_POST:
        notes->method = on ? METHOD_POST : METHOD_GET;
        break;
    case OPT_UPLOAD:
    case OPT_PUT:
        notes->method = on ? METHOD_PUT : METHOD_GET;
        break;
    case OPT_NOBODY:
        notes->method = on ? METHOD_HEAD : notes->method == METHOD_HEAD ? METHOD_GET : notes->method;
        break;
    case OPT_MIMEPOST:
    case OPT_HTTPPOST:
        notes->method = on ? METHOD_FORM : METHOD_GET;
        break;
    case OPT_POSTFIELDS:
    case OPT_COPYPOSTFIELDS:
        note_fields(handle, option, value);
        break;
    case OPT_POSTFIELDSIZE:
    case OPT_POSTFIELDSIZE_LARGE:
        notes->fields_size = (int64_t)(intptr_t)value;
        break;
    case OPT_HTTPHEADER:
        notes->headers = value;
        break;
    case OPT_HEADER:
        notes->header_in_body = on;
        break;
    case OPT_ACCEPT_ENCODING:
        notes->accepts_encoding = on;
        break;
    case OPT_HTTP_CONTENT_DECODING:
        notes->keeps_encoding = !on;
        break;
    case OPT_CONNECT_ONLY:
        notes->connect_only = on;
        break;
    default:
        note_callback(notes, option, value);
        break;
    }
}
