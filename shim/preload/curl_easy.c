/* curl_easy.c: what programs call instead of libcurl's functions for single transfers. Each is there twice: for calls from a library or a
 * program, which tell by where they come from which libcurl is meant, and for calls by a pointer that dlsym() gave. */
#include "preload/curl.h"
#include "preload/interpose.h"
#include "preload/real.h"

#include <string.h>

static const struct curl_api *api_of(const struct curl_handle *handle, const void *caller)
{
    return handle ? handle->api : curl_api_for(caller);
}

static void *init(const void *caller)
{
    const struct curl_api *api = curl_api_for(caller);
    void *easy = api ? api->easy_init() : NULL;
    if (capture_is_on(CAPTURE_CURL))
        curl_handle_made(easy, api, NULL);
    return easy;
}

/* Noted when libcurl has taken it. While our callbacks stand before the program's, its own are changed behind ours. */
static int setopt(void *easy, int option, void *value, const void *caller)
{
    struct curl_handle *handle = curl_handle_of(easy);
    const struct curl_api *api = api_of(handle, caller);
    int result = CURL_OK;
    if (!api)
        return CURL_FAILED_INIT;
    if (!handle || !curl_transfer_stands_for(handle, option))
        result = api->easy_setopt(easy, option, value);
    if (handle && result == CURL_OK)
        curl_note(handle, option, value);
    return result;
}

/* The handle may be gone afterwards only if the program frees it in a callback, which libcurl forbids. */
static int perform(void *easy, const void *caller)
{
    struct curl_handle *handle = curl_handle_of(easy);
    const struct curl_api *api = api_of(handle, caller);
    if (!api)
        return CURL_FAILED_INIT;
    if (!handle || handle->multi || handle->transfer.performing)
        return api->easy_perform(easy);
    curl_transfer_begin(handle);
    handle->transfer.performing = true;
    int result = api->easy_perform(easy);
    handle->transfer.performing = false;
    curl_transfer_end(handle, result);
    return result;
}

static void reset(void *easy, const void *caller)
{
    struct curl_handle *handle = curl_handle_of(easy);
    const struct curl_api *api = api_of(handle, caller);
    if (!api)
        return;
    if (handle)
        curl_transfer_cancel(handle);
    api->easy_reset(easy);
    if (handle)
        curl_note_reset(handle);
}

static void cleanup(void *easy, const void *caller)
{
    struct curl_handle *handle = curl_handle_of(easy);
    const struct curl_api *api = api_of(handle, caller);
    if (!api)
        return;
    if (handle) {
        curl_multi_forget(handle);
        curl_transfer_cancel(handle);
        curl_handle_gone(handle);
    }
    api->easy_cleanup(easy);
}

static void *duphandle(void *easy, const void *caller)
{
    struct curl_handle *handle = curl_handle_of(easy);
    const struct curl_api *api = api_of(handle, caller);
    if (!api)
        return NULL;
    if (!handle)
        return api->easy_duphandle(easy);
    bool installed = handle->transfer.installed;
    curl_transfer_take_out(handle);
    void *copy = api->easy_duphandle(easy);
    if (installed)
        curl_transfer_put_in(handle);
    curl_handle_made(copy, api, handle);
    return copy;
}

/* ---- by name, and by pointer ----------------------------------------------------------- */

INTERPOSE void *curl_easy_init(void);
INTERPOSE int curl_easy_setopt(void *easy, int option, void *value);
INTERPOSE int curl_easy_perform(void *easy);
INTERPOSE void curl_easy_reset(void *easy);
INTERPOSE void curl_easy_cleanup(void *easy);
INTERPOSE void *curl_easy_duphandle(void *easy);

void *curl_easy_init(void)
{
    return init(REAL_CALLER());
}
static void *init_by_pointer(void)
{
    return init(&curl_by_pointer);
}

int curl_easy_setopt(void *easy, int option, void *value)
{
    return setopt(easy, option, value, REAL_CALLER());
}
static int setopt_by_pointer(void *easy, int option, void *value)
{
    return setopt(easy, option, value, &curl_by_pointer);
}

int curl_easy_perform(void *easy)
{
    return perform(easy, REAL_CALLER());
}
static int perform_by_pointer(void *easy)
{
    return perform(easy, &curl_by_pointer);
}

void curl_easy_reset(void *easy)
{
    reset(easy, REAL_CALLER());
}
static void reset_by_pointer(void *easy)
{
    reset(easy, &curl_by_pointer);
}

void curl_easy_cleanup(void *easy)
{
    cleanup(easy, REAL_CALLER());
}
static void cleanup_by_pointer(void *easy)
{
    cleanup(easy, &curl_by_pointer);
}

void *curl_easy_duphandle(void *easy)
{
    return duphandle(easy, REAL_CALLER());
}
static void *duphandle_by_pointer(void *easy)
{
    return duphandle(easy, &curl_by_pointer);
}

void *curl_easy_by_pointer(const char *name)
{
    const struct {
        const char *name;
        void *function;
    } table[] = {
        {"curl_easy_init", (void *)init_by_pointer},
        {"curl_easy_setopt", (void *)setopt_by_pointer},
        {"curl_easy_perform", (void *)perform_by_pointer},
        {"curl_easy_reset", (void *)reset_by_pointer},
        {"curl_easy_cleanup", (void *)cleanup_by_pointer},
        {"curl_easy_duphandle", (void *)duphandle_by_pointer},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (!strcmp(name, table[i].name))
            return table[i].function;
    return NULL;
}
