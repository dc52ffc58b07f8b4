/* node.c: the layer within node. The program is given a hook script (shim/node/hook.js) by NODE_OPTIONS, which loads this library a second time,
 * as an addon, and tells it what node's clients send and receive.
 *
 * NODE_OPTIONS is set here, in the process that is node, before it reads its environment: who merely starts node, or a program that embeds
 * it, never sees it. The addon's interface, Node-API, is stable over node's versions; its functions are node's own, so references to
 * them are weak, and in every other program nothing of this is ever called. One thread of JavaScript calls at a time for each environment
 * (worker threads have their own), and an exchange stays in the one that opened it. */
#include "capture/exchange.h"
#include "preload/interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- starting ---- */

/* Where the hook lies: beside this library. */
static bool find_hook(char *path, size_t bytes)
{
    Dl_info info;
    if (!dladdr(&capture_settings, &info) || !info.dli_fname)
        return false;
    const char *slash = strrchr(info.dli_fname, '/');
    int length = snprintf(path, bytes, "%.*s/tally-node.js", slash ? (int)(slash - info.dli_fname) : 1,
                          slash ? info.dli_fname : ".");
    return length > 0 && (size_t)length < bytes && !access(path, R_OK);
}

/* Whether node is told to let programs load named files only: then it would not start for want of the right to read the hook, and lets nobody load
 * addons anyway. How it was called is read from /proc: not every C library gives it to constructors. */
static bool is_restricted(const char *options)
{
    static const char *const words[] = {"--permission", "--experimental-permission", "--experimental-policy"};
    char line[8192];
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, line, sizeof line);
    size_t length = got > 0 ? (size_t)got : 0;
    bool found = false;
    if (file >= 0)
        close(file);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        found |= strstr(options, words[i]) || memmem(line, length, words[i], strlen(words[i]));
    return found;
}

/* In NODE_OPTIONS a path with spaces stands in quotes. */
__attribute__((constructor)) static void node_start(void)
{
    char path[PATH_MAX];
    char options[2 * PATH_MAX + 64];
    const char *name = program_invocation_short_name;
    capture_settings_read();
    if (!capture_is_on(CAPTURE_NODE) || (strcmp(name, "node") != 0 && strcmp(name, "nodejs") != 0))
        return;
    const char *before = getenv("NODE_OPTIONS");
    if (!before)
        before = "";
    if (is_restricted(before) || !find_hook(path, sizeof path) || strpbrk(path, "\"\\"))
        return;
    int length =
        snprintf(options, sizeof options, "--require \"%s\"%s%s", path, before[0] ? " " : "", before);
    if (length > 0 && (size_t)length < sizeof options && !setenv("TALLY_NODE_OPTIONS", before, 1))
        setenv("NODE_OPTIONS", options, 1);
}

/* ---- the addon: Node-API, version 1 ---- */

typedef struct napi_env_opaque *napi_env;
typedef struct napi_value_opaque *napi_value;
typedef struct napi_call_opaque *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);
typedef void (*napi_finalize)(napi_env env, void *data, void *hint);

#define NODE_API(name, ...) extern int name(napi_env env, __VA_ARGS__) __attribute__((weak))
NODE_API(napi_get_cb_info, napi_callback_info info, size_t *count, napi_value *arguments, napi_value *self,
         void **data);
NODE_API(napi_create_function, const char *name, size_t length, napi_callback callback, void *data,
         napi_value *out);
NODE_API(napi_set_named_property, napi_value object, const char *name, napi_value value);
NODE_API(napi_create_external, void *data, napi_finalize finalize, void *hint, napi_value *out);
NODE_API(napi_get_value_external, napi_value value, void **out);
NODE_API(napi_get_value_string_utf8, napi_value value, char *out, size_t bytes, size_t *length);
NODE_API(napi_get_value_int32, napi_value value, int32_t *out);
NODE_API(napi_get_value_bool, napi_value value, bool *out);
NODE_API(napi_create_int32, int32_t value, napi_value *out);
NODE_API(napi_get_buffer_info, napi_value value, void **data, size_t *length);

/* What JavaScript holds. Kept apart from the exchange, which ends earlier: until JavaScript's object is collected. */
struct node_call {
    _Atomic(bool) taken;
    struct exchange *exchange;
};
#define NODE_CALLS 8192
static struct node_call node_calls[NODE_CALLS];

/* NULL: all are held. */
static struct node_call *call_take(void)
{
    static _Atomic(unsigned) next;
    for (unsigned tries = 0; tries < NODE_CALLS; tries++) {
        struct node_call *call =
            &node_calls[atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % NODE_CALLS];
        /* acquire: pairs with the release in call_finalize(), so that what the last one left is not written after this */
        if (!atomic_exchange_explicit(&call->taken, true, memory_order_acquire))
            return call;
    }
    return NULL;
}

#define ARGUMENTS_MAX 5
struct arguments {
    napi_env env;
    size_t count;
    napi_value values[ARGUMENTS_MAX];
    struct node_call *call; /* the first argument, if it is one */
};

static void arguments_get(struct arguments *arguments, napi_env env, napi_callback_info info)
{
    memset(arguments, 0, sizeof *arguments);
    arguments->env = env;
    arguments->count = ARGUMENTS_MAX;
    if (napi_get_cb_info(env, info, &arguments->count, arguments->values, NULL, NULL))
        arguments->count = 0;
    void *data = NULL;
    if (arguments->count && !napi_get_value_external(env, arguments->values[0], &data))
        arguments->call = data;
}

static struct exchange *exchange_of(const struct arguments *arguments)
{
    return arguments->call ? arguments->call->exchange : NULL;
}

/* A text, cut to what fits; its length. */
static size_t text_at(const struct arguments *arguments, size_t index, char *out, size_t bytes)
{
    size_t length = 0;
    out[0] = '\0';
    if (index >= arguments->count ||
        napi_get_value_string_utf8(arguments->env, arguments->values[index], out, bytes, &length))
        return 0;
    return length;
}

static void call_finalize(napi_env env, void *data, void *hint)
{
    struct node_call *call = data;
    (void)env;
    (void)hint;
    exchange_close(call->exchange, EXCHANGE_CANCELLED, NULL);
    call->exchange = NULL;
    /* pairs with the acquire in call_take() */
    atomic_store_explicit(&call->taken, false, memory_order_release);
}

/* open(tls, method, target, host) */
static napi_value node_open(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    char text[4096];
    napi_value out = NULL;
    bool tls = false;
    arguments_get(&arguments, env, info);
    if (arguments.count < 4 || napi_get_value_bool(env, arguments.values[0], &tls))
        return NULL;
    struct node_call *call = call_take();
    if (!call)
        return NULL;
    call->exchange = exchange_open(CAPTURE_NODE, tls);
    exchange_method(call->exchange, text, text_at(&arguments, 1, text, sizeof text));
    exchange_target(call->exchange, text, text_at(&arguments, 2, text, sizeof text));
    exchange_host(call->exchange, text, text_at(&arguments, 3, text, sizeof text));
    if (napi_create_external(env, call, call_finalize, NULL, &out)) {
        call_finalize(env, call, NULL);
        return NULL;
    }
    return out;
}

/* requestHeader(call, name, value), responseHeader(call, name, value) */
static napi_value take_header(napi_env env, napi_callback_info info,
                              void (*take)(struct exchange *, const char *, size_t, const char *, size_t))
{
    struct arguments arguments;
    char name[128];
    char value[4096];
    arguments_get(&arguments, env, info);
    size_t length = text_at(&arguments, 1, name, sizeof name);
    take(exchange_of(&arguments), name, length, value, text_at(&arguments, 2, value, sizeof value));
    return NULL;
}
static napi_value node_request_header(napi_env env, napi_callback_info info)
{
    return take_header(env, info, exchange_request_header);
}
static napi_value node_response_header(napi_env env, napi_callback_info info)
{
    return take_header(env, info, exchange_response_header);
}

/* requestHead(call): the worth */
static napi_value node_request_head(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    napi_value out = NULL;
    arguments_get(&arguments, env, info);
    napi_create_int32(env, (int32_t)exchange_request_head_end(exchange_of(&arguments)), &out);
    return out;
}

/* requestBody(call, buffer), responseBody(call, buffer) */
static napi_value take_body(napi_env env, napi_callback_info info,
                            void (*take)(struct exchange *, const void *, size_t))
{
    struct arguments arguments;
    void *bytes = NULL;
    size_t length = 0;
    arguments_get(&arguments, env, info);
    if (arguments.count > 1 && !napi_get_buffer_info(env, arguments.values[1], &bytes, &length) && bytes)
        take(exchange_of(&arguments), bytes, length);
    return NULL;
}
static napi_value node_request_body(napi_env env, napi_callback_info info)
{
    return take_body(env, info, exchange_request_body);
}
static napi_value node_response_body(napi_env env, napi_callback_info info)
{
    return take_body(env, info, exchange_response_body);
}

/* requestEnd(call) */
static napi_value node_request_end(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    arguments_get(&arguments, env, info);
    exchange_request_end(exchange_of(&arguments));
    return NULL;
}

/* status(call, code) */
static napi_value node_status(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    int32_t status = 0;
    arguments_get(&arguments, env, info);
    if (arguments.count > 1 && !napi_get_value_int32(env, arguments.values[1], &status))
        exchange_status(exchange_of(&arguments), status);
    return NULL;
}

/* responseHead(call) */
static napi_value node_response_head(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    arguments_get(&arguments, env, info);
    exchange_response_head_end(exchange_of(&arguments), false);
    return NULL;
}

/* close(call, how, error or undefined) */
static napi_value node_close(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    char error[129];
    int32_t how = EXCHANGE_CANCELLED;
    arguments_get(&arguments, env, info);
    if (!arguments.call || arguments.count < 2)
        return NULL;
    napi_get_value_int32(env, arguments.values[1], &how);
    if (how < EXCHANGE_COMPLETE || how > EXCHANGE_FAILED)
        how = EXCHANGE_CANCELLED;
    size_t length = text_at(&arguments, 2, error, sizeof error);
    exchange_close(arguments.call->exchange, (enum exchange_end)how, length ? error : NULL);
    arguments.call->exchange = NULL;
    return NULL;
}

INTERPOSE napi_value napi_register_module_v1(napi_env env, napi_value exports);
INTERPOSE napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
    static const struct {
        const char *name;
        napi_callback callback;
    } functions[] = {
        {"open", node_open},
        {"requestHeader", node_request_header},
        {"requestHead", node_request_head},
        {"requestBody", node_request_body},
        {"requestEnd", node_request_end},
        {"status", node_status},
        {"responseHeader", node_response_header},
        {"responseHead", node_response_head},
        {"responseBody", node_response_body},
        {"close", node_close},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        napi_value function = NULL;
        if (napi_create_function(env, functions[i].name, strlen(functions[i].name), functions[i].callback,
                                 NULL, &function) ||
            napi_set_named_property(env, exports, functions[i].name, function))
            return exports;
    }
    /* From now on node says itself what it sends; what lies below it must not say it once more. */
    capture_settings.on[CAPTURE_OPENSSL] = false;
    capture_settings.on[CAPTURE_SOCKET] = false;
    return exports;
}
