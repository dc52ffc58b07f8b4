/* exchange.c: see exchange.h. An exchange is a block of the pool; its decoder, if it needs one, is another. */
#include "capture/exchange_state.h"
#include "platform.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct exchange) <= POOL_SMALL_BYTES, "an exchange fits a block");

/* Usage in a response of an unknown host stands at the end of some kilobytes; who downloads more than this is not
 * looked at to its end. */
#define MAYBE_BYTES_MAX (16u << 20)

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Whether it may be touched. In a forked child it is the parent's, and its memory a copy that nobody needs; a vfork child shares it. */
static bool own(const struct exchange *exchange)
{
    return exchange && exchange->pid == getpid();
}

struct exchange *exchange_open(enum capture_layer layer, bool tls)
{
    if (!capture_is_on(layer))
        return NULL;
    int saved = errno;
    struct exchange *exchange = pool_take(POOL_SMALL);
    errno = saved;
    if (!exchange)
        return NULL;
    /* The bodies are begun when they come: most of the block is theirs. */
    memset(exchange, 0, offsetof(struct exchange, usage_json));
    exchange->pid = getpid();
    exchange->layer = layer;
    exchange->tls = tls;
    form_begin(&exchange->form);
    for (int i = 0; i < EXCHANGE_COUNT_HEADERS; i++)
        exchange->counts[i] = -1;
    body_begin(&exchange->request, BODY_NONE, NULL);
    body_begin(&exchange->response, BODY_NONE, NULL);
    return exchange;
}

void exchange_method(struct exchange *exchange, const char *method, size_t length)
{
    if (exchange)
        exchange_copy(exchange->method, sizeof exchange->method, method, length);
}

void exchange_host(struct exchange *exchange, const char *host, size_t length)
{
    if (!exchange || !length)
        return;
    exchange_copy(exchange->host, sizeof exchange->host, host, length);
    for (char *at = exchange->host; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at |= 0x20;
}

void exchange_target(struct exchange *exchange, const char *target, size_t length)
{
    if (!exchange)
        return;
    const char *end = target + length;
    const char *scheme = memmem(target, length, "://", 3);
    const char *path = target;
    if (length && *target != '/' && scheme) {
        const char *authority = scheme + 3;
        for (path = authority; path < end && *path != '/' && *path != '?' && *path != '#';)
            path++;
        /* user and password are not for us */
        const char *at = memrchr(authority, '@', (size_t)(path - authority));
        if (at)
            authority = at + 1;
        exchange_host(exchange, authority, (size_t)(path - authority));
    }
    const char *fragment = memchr(path, '#', (size_t)(end - path));
    if (fragment)
        end = fragment;
    const char *query = memchr(path, '?', (size_t)(end - path));
    if (query)
        exchange_take_query(exchange, query + 1, (size_t)(end - query - 1));
    size_t path_length = (size_t)((query ? query : end) - path);
    exchange->path_cut = path_length >= sizeof exchange->path;
    exchange_copy(exchange->path, sizeof exchange->path, path_length ? path : "/",
                  path_length ? path_length : 1);
}

void exchange_request_header(struct exchange *exchange, const char *name, size_t name_length,
                             const char *value, size_t value_length)
{
    if (exchange)
        exchange_take_request_header(exchange, name, name_length, value, value_length);
}

static int hex(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The model that the path names: "anthropic.claude-3-haiku%3A0". */
static void take_model(struct exchange *exchange)
{
    size_t used = 0;
    const char *at = exchange->match.model;
    const char *end = at + exchange->match.model_length;
    for (; at && at < end && used + 1 < sizeof exchange->model; used++) {
        bool escaped = *at == '%' && end - at > 2 && hex(at[1]) >= 0 && hex(at[2]) >= 0;
        if (escaped)
            exchange->model[used] = (char)(hex(at[1]) << 4 | hex(at[2]));
        else
            exchange->model[used] = *at;
        at += escaped ? 3 : 1;
    }
    exchange->model[used] = '\0';
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && !memcmp(text + length - end_length, end, end_length);
}

enum exchange_worth exchange_request_head_end(struct exchange *exchange)
{
    if (!own(exchange) || match_never(exchange->method, exchange->path))
        return EXCHANGE_IGNORED;
    bool matched = match_request(capture_settings.match, exchange->host, exchange->path, &exchange->match);
    if (!matched && exchange->anthropic && ends_with(exchange->path, "/messages")) {
        exchange->match.operation = "chat";
        matched = true;
    }
    exchange->worth = matched && !exchange->path_cut ? EXCHANGE_MATCHED : EXCHANGE_MAYBE;
    take_model(exchange);
    if (!exchange->request_form && !exchange->request_compressed)
        body_begin(&exchange->request, BODY_REQUEST_JSON, capture_settings.metadata);
    /* Here, and not while a response is being read. */
    int saved = errno;
    if (matched)
        decode_find_libraries();
    errno = saved;
    return exchange->worth;
}

void exchange_request_body(struct exchange *exchange, const void *bytes, size_t length)
{
    if (!own(exchange) || exchange->request_compressed)
        return;
    if (exchange->request_form)
        form_feed(&exchange->form, bytes, length);
    else
        (void)body_feed(&exchange->request, bytes, length);
}

void exchange_request_end(struct exchange *exchange)
{
    if (!own(exchange) || exchange->request_over)
        return;
    exchange->request_over = true;
    (void)body_finish(&exchange->request);
    exchange->start_time_unix_ns = now_ns(CLOCK_REALTIME);
    exchange->sent_ns = now_ns(CLOCK_MONOTONIC);
    if (exchange->worth == EXCHANGE_MATCHED)
        exchange_begin_call(exchange);
}

/* Another response in place of the one before: after 1xx, a redirect, a retry. */
static void forget_response(struct exchange *exchange)
{
    decode_end(exchange->decoder);
    exchange->decoder = NULL;
    exchange->coding = DECODE_IDENTITY;
    exchange->response_begun = exchange->response_stream = exchange->sniff = exchange->unreadable = false;
    exchange->format = BODY_NONE;
    exchange->response_bytes = 0;
    exchange->first_token_ns = 0;
    exchange->content_type[0] = exchange->error_type[0] = '\0';
    exchange->fault = NULL;
    for (int i = 0; i < EXCHANGE_COUNT_HEADERS; i++)
        exchange->counts[i] = -1;
    body_begin(&exchange->response, BODY_NONE, NULL);
}

void exchange_status(struct exchange *exchange, int http_status)
{
    if (!own(exchange) || http_status < 200)
        return;
    /* A server may answer before it has read the whole request. */
    exchange_request_end(exchange);
    if (exchange->http_status)
        forget_response(exchange);
    exchange->http_status = http_status;
}

void exchange_response_header(struct exchange *exchange, const char *name, size_t name_length,
                              const char *value, size_t value_length)
{
    if (own(exchange))
        exchange_take_response_header(exchange, name, name_length, value, value_length);
}

static bool type_is(const char *type, const char *what)
{
    size_t length = strlen(what);
    return !strncasecmp(type, what, length) && (!type[length] || type[length] == ';' || type[length] == ' ');
}

/* How to read a body of this type. sniff: the type says nothing, the first byte may. */
static enum body_format format_of(const char *type, bool *sniff)
{
    static const struct {
        const char *type;
        enum body_format format;
    } types[] = {
        {"application/json", BODY_JSON},
        {"text/event-stream", BODY_EVENTS},
        {"application/vnd.amazon.eventstream", BODY_AWS_EVENTS},
        {"application/x-ndjson", BODY_JSON},
        {"application/ndjson", BODY_JSON},
        {"application/jsonl", BODY_JSON},
        {"application/x-jsonlines", BODY_JSON},
        {"application/json-seq", BODY_JSON},
        {"application/stream+json", BODY_JSON},
        {"application/problem+json", BODY_JSON},
        {"application/x-amz-json-1.0", BODY_JSON},
        {"application/x-amz-json-1.1", BODY_JSON},
        {"text/json", BODY_JSON},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (type_is(type, types[i].type))
            return types[i].format;
    *sniff = !type[0] || type_is(type, "text/plain") || type_is(type, "application/octet-stream") ||
             type_is(type, "binary/octet-stream");
    return BODY_NONE;
}

/* Whether answers of this kind come as a stream. NDJSON of one document, and lists, cannot be told from others here. */
static bool streams(const struct exchange *exchange)
{
    return exchange->format == BODY_EVENTS || exchange->format == BODY_AWS_EVENTS ||
           exchange->match.streams || body_streams(&exchange->request) ||
           strcasestr(exchange->content_type, "ndjson");
}

enum exchange_worth exchange_response_head_end(struct exchange *exchange, bool decoded)
{
    if (!own(exchange))
        return EXCHANGE_IGNORED;
    if (!exchange->http_status) /* 100 to 199: the answer is still to come */
        return exchange->worth;
    bool sniff = false;
    exchange->format = format_of(exchange->content_type, &sniff);
    exchange->sniff = sniff && exchange->worth == EXCHANGE_MATCHED;
    exchange->response_stream = streams(exchange);
    exchange->response_begun = true;
    if (decoded)
        exchange->coding = DECODE_IDENTITY;
    if (exchange->format != BODY_NONE)
        body_begin(&exchange->response, exchange->format, NULL);
    else if (exchange->worth == EXCHANGE_MAYBE &&
             exchange->http_status < 300) /* else another answer may follow */
        exchange->worth = EXCHANGE_IGNORED;
    if (exchange->coding != DECODE_IDENTITY && exchange->worth != EXCHANGE_IGNORED) {
        int saved = errno;
        decode_find_libraries();
        exchange->decoder = decode_begin(exchange->coding);
        errno = saved;
        exchange->unreadable = !exchange->decoder;
        if (exchange->unreadable)
            exchange->fault = "content_encoding";
    }
    return exchange->worth;
}

/* A type that says nothing: by the first character. */
static void settle_format(struct exchange *exchange, const unsigned char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && (bytes[at] == ' ' || bytes[at] == '\n' || bytes[at] == '\r' || bytes[at] == '\t'))
        at++;
    if (at == length)
        return;
    exchange->sniff = false;
    if (bytes[at] == '{' || bytes[at] == '[')
        exchange->format = BODY_JSON;
    else if (bytes[at] == 'd' || bytes[at] == 'e' || bytes[at] == 'i' || bytes[at] == ':')
        exchange->format = BODY_EVENTS;
    exchange->response_stream = streams(exchange);
    if (exchange->format != BODY_NONE)
        body_begin(&exchange->response, exchange->format, NULL);
}

static void look(struct exchange *exchange, unsigned news)
{
    bool content = news & BODY_CONTENT && !exchange->first_token_ns;
    if (content)
        exchange->first_token_ns = now_ns(CLOCK_MONOTONIC);
    if (news & BODY_FAULT && !exchange->fault)
        exchange->fault = "body";
    /* Also of an answer that is no stream: between its usage and its end code of the program's may run, and be killed. */
    if (exchange->begun && (news & BODY_USAGE || (content && exchange->response_stream)))
        exchange_progress(exchange);
}

static void take_decoded(void *context, const void *bytes, size_t length)
{
    struct exchange *exchange = context;
    if (exchange->sniff)
        settle_format(exchange, bytes, length);
    if (exchange->format != BODY_NONE)
        look(exchange, body_feed(&exchange->response, bytes, length));
}

void exchange_response_body(struct exchange *exchange, const void *bytes, size_t length)
{
    if (!own(exchange) || !exchange->response_begun || exchange->unreadable ||
        exchange->worth == EXCHANGE_IGNORED)
        return;
    exchange->response_bytes += length;
    if (exchange->worth == EXCHANGE_MAYBE && exchange->response_bytes > MAYBE_BYTES_MAX)
        return;
    int saved = errno;
    if (!exchange->decoder) {
        take_decoded(exchange, bytes, length);
    } else if (decode_feed(exchange->decoder, bytes, length, take_decoded, exchange)) {
        exchange->unreadable = true;
        exchange->fault = "content_encoding";
    }
    errno = saved;
}

static void finish(struct exchange *exchange, int32_t status, const char *error_type)
{
    int saved = errno;
    if (exchange->response_begun && exchange->format != BODY_NONE)
        look(exchange, body_finish(&exchange->response));
    exchange_end_call(exchange, status, error_type);
    decode_end(exchange->decoder);
    pool_give(POOL_SMALL, exchange);
    errno = saved;
}

void exchange_close(struct exchange *exchange, enum exchange_end end, const char *error_type)
{
    /* A child's copy is left where it is: of a vfork child it would be no copy. */
    if (!own(exchange))
        return;
    /* Many close the connection when they have read "[DONE]". */
    if ((end == EXCHANGE_CUT || end == EXCHANGE_CANCELLED) && body_is_over(&exchange->response))
        end = EXCHANGE_COMPLETE;
    switch (end) {
    case EXCHANGE_COMPLETE:
        finish(exchange, TALLY_STATUS_UNKNOWN, NULL);
        break;
    case EXCHANGE_CUT:
        finish(exchange, TALLY_STATUS_ERROR, error_type ? error_type : "connection_closed");
        break;
    case EXCHANGE_CANCELLED:
        finish(exchange, TALLY_STATUS_CANCELLED, error_type);
        break;
    case EXCHANGE_FAILED:
        finish(exchange, TALLY_STATUS_ERROR, error_type ? error_type : "no_response");
        break;
    }
}

void exchange_give_up(struct exchange *exchange, const char *why)
{
    if (!own(exchange))
        return;
    exchange->fault = why;
    finish(exchange, TALLY_STATUS_UNKNOWN, NULL);
}
