/* curl_api.c: the libcurls of this process; there may be several (OpenSSL's and GnuTLS's are two libraries on Debian). */
#include "preload/curl.h"
#include "preload/real.h"

#include <stdatomic.h>
#include <string.h>

#define APIS 8

const char curl_by_pointer;

static struct {
    struct {
        _Atomic(void *) easy_init; /* NULL: free */
        _Atomic(bool) ready;
        struct curl_api api;
    } known[APIS];
    _Atomic(const struct curl_api *) by_pointer;
} libcurls;

static struct real_function easy_init = {.name = "curl_easy_init"};

static bool fill(struct curl_api *api, void *easy_init_found)
{
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
        {"curl_easy_setopt", offsetof(struct curl_api, easy_setopt)},
        {"curl_easy_perform", offsetof(struct curl_api, easy_perform)},
        {"curl_easy_reset", offsetof(struct curl_api, easy_reset)},
        {"curl_easy_cleanup", offsetof(struct curl_api, easy_cleanup)},
        {"curl_easy_duphandle", offsetof(struct curl_api, easy_duphandle)},
        {"curl_multi_add_handle", offsetof(struct curl_api, multi_add_handle)},
        {"curl_multi_remove_handle", offsetof(struct curl_api, multi_remove_handle)},
        {"curl_multi_info_read", offsetof(struct curl_api, multi_info_read)},
        {"curl_multi_setopt", offsetof(struct curl_api, multi_setopt)},
        {"curl_multi_cleanup", offsetof(struct curl_api, multi_cleanup)},
        {"curl_free", offsetof(struct curl_api, free)},
        {"curl_url_get", offsetof(struct curl_api, url_get)},
    };
    size_t count = sizeof functions / sizeof functions[0];
    memcpy(&api->easy_init, &easy_init_found, sizeof easy_init_found);
    for (size_t i = 0; i < count; i++) {
        void *found = real_beside(easy_init_found, functions[i].name);
        if (!found && i < count - 1)
            return false;
        memcpy((char *)api + functions[i].offset, &found, sizeof found);
    }
    return true;
}

/* Entries are claimed once and never given back: what they were found in stays loaded. */
static const struct curl_api *api_of(void *easy_init_found)
{
    struct curl_api api;
    bool filled = false;
    for (int i = 0; i < APIS; i++) {
        void *there = atomic_load_explicit(&libcurls.known[i].easy_init, memory_order_relaxed);
        if (there == easy_init_found) {
            /* pairs with the release store below; not ready: another thread is at it, and fills the next as well */
            if (atomic_load_explicit(&libcurls.known[i].ready, memory_order_acquire))
                return &libcurls.known[i].api;
            continue;
        }
        if (there)
            continue;
        if (!filled && !fill(&api, easy_init_found))
            return NULL;
        filled = true;
        if (!atomic_compare_exchange_strong_explicit(&libcurls.known[i].easy_init, &there, easy_init_found,
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        libcurls.known[i].api = api;
        /* pairs with the acquire load above */
        atomic_store_explicit(&libcurls.known[i].ready, true, memory_order_release);
        return &libcurls.known[i].api;
    }
    return NULL;
}

const struct curl_api *curl_api_for(const void *caller)
{
    if (caller == &curl_by_pointer)
        /* pairs with curl_api_by_pointer() */
        return atomic_load_explicit(&libcurls.by_pointer, memory_order_acquire);
    void *found = real_function(&easy_init, caller);
    return found ? api_of(found) : NULL;
}

bool curl_api_by_pointer(const void *real)
{
    void *found = real_beside(real, "curl_easy_init");
    const struct curl_api *api = found ? api_of(found) : NULL;
    const struct curl_api *there = NULL;
    if (!api)
        return false;
    /* pairs with curl_api_for(): what the pointer leads to was filled by whoever stored it, or seen ready by it */
    return atomic_compare_exchange_strong_explicit(&libcurls.by_pointer, &there, api, memory_order_acq_rel,
                                                   memory_order_acquire) ||
           there == api;
}
