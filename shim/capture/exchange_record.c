/* exchange_record.c: from what is known of an exchange to the records of a call. */
#include "capture/exchange_state.h"
#include "capture/settings.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What a record is made of, for as long as it is being made. */
struct draft {
    struct tally_usage usage;
    char tags[513];
    char server[256];
    char provider[65];
    char error_type[129];
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const char *text(const char *value)
{
    return value[0] ? value : NULL;
}

static void add_tag(struct draft *draft, const char *name, const char *value)
{
    size_t used = strlen(draft->tags);
    size_t room = sizeof draft->tags - used;
    /* whole or not at all */
    if (strlen(name) + strlen(value) + 2 < room)
        snprintf(draft->tags + used, room, "%s%s=%s", used ? "," : "", name, value);
}

/* Several pairs, or none. */
static void add_metadata(struct draft *draft, const char *metadata)
{
    size_t used = strlen(draft->tags);
    if (metadata[0] && used + strlen(metadata) + 1 < sizeof draft->tags)
        snprintf(draft->tags + used, sizeof draft->tags - used, "%s%s", used ? "," : "", metadata);
}

/* server.address is the host alone. */
static void take_server(struct draft *draft, const char *host)
{
    const char *colon = strrchr(host, ':');
    bool port = colon && !strchr(colon, ']');
    exchange_copy(draft->server, sizeof draft->server, host, port ? (size_t)(colon - host) : strlen(host));
    draft->usage.server_address = text(draft->server);
}

static void describe_request(const struct exchange *exchange, struct draft *draft)
{
    struct tally_usage *usage = &draft->usage;
    const struct body *request = &exchange->request;
    const char *asked = exchange->request_form ? exchange->form.model : body_text(request, BODY_MODEL);
    exchange_copy(draft->tags, sizeof draft->tags, exchange->tags, strlen(exchange->tags));
    add_metadata(draft, body_metadata(request));
    usage->tags = draft->tags; /* more of them may come */
    take_server(draft, exchange->host);
    if (exchange->match.provider) {
        exchange_copy(draft->provider, sizeof draft->provider, exchange->match.provider,
                      exchange->match.provider_length);
        usage->provider = draft->provider;
    }
    usage->operation = exchange->match.operation;
    usage->request_model = exchange->model[0] ? exchange->model : text(asked);
    usage->user = exchange->user[0] ? exchange->user : text(body_text(request, BODY_USER));
    usage->team = text(exchange->team);
    usage->project = text(exchange->project);
    usage->session = text(exchange->session);
    usage->key_fingerprint = text(exchange->key_fingerprint);
    usage->trace_id = text(exchange->trace_id);
    usage->span_id = text(exchange->span_id);
    usage->start_time_unix_ns = exchange->start_time_unix_ns;
    if (exchange->response_stream || exchange->match.streams || body_streams(request))
        usage->flags |= TALLY_FLAG_STREAMED;
}

/* Counts in headers become a fragment of their own, behind the body's. */
static size_t add_headers(const struct exchange *exchange, char *json, size_t used, size_t bytes)
{
    char headers[384];
    size_t length = 0;
    for (int i = 0; i < EXCHANGE_COUNT_HEADERS; i++)
        if (exchange->counts[i] >= 0)
            length += (size_t)snprintf(headers + length, sizeof headers - length, "%s\"%s\":\"%lld\"",
                                       length ? "," : "{\"headers\":{", exchange_count_headers[i],
                                       (long long)exchange->counts[i]);
    if (!length || used + length + 8 > bytes)
        return used;
    if (!used)
        return (size_t)snprintf(json, bytes, "%s}}", headers);
    /* a list of two, or one item more in the list that it is */
    bool list = json[0] == '[';
    if (!list) {
        memmove(json + 1, json, used);
        json[0] = '[';
        used++;
    } else {
        used--;
    }
    return used + (size_t)snprintf(json + used, bytes - used, ",%s}}]", headers);
}

static void take_usage(struct exchange *exchange, struct draft *draft)
{
    size_t length = body_usage_json(&exchange->response, exchange->usage_json, sizeof exchange->usage_json);
    length = add_headers(exchange, exchange->usage_json, length, sizeof exchange->usage_json);
    draft->usage.usage_json = length ? exchange->usage_json : NULL;
    draft->usage.usage_json_length = length;
    if (exchange->first_token_ns && exchange->response_stream)
        draft->usage.time_to_first_token_ns = exchange->first_token_ns - exchange->sent_ns;
    if (exchange->http_status)
        draft->usage.http_status = exchange->http_status;
}

void exchange_begin_call(struct exchange *exchange)
{
    struct draft draft = {.usage = TALLY_USAGE_INIT};
    describe_request(exchange, &draft);
    add_tag(&draft, "tally.layer", capture_layer_names[exchange->layer]);
    /* After an error its end records the call whole. */
    (void)tally_call_begin(&exchange->call, &draft.usage);
    exchange->begun = true;
}

void exchange_progress(struct exchange *exchange)
{
    struct draft draft = {.usage = TALLY_USAGE_INIT};
    if (exchange->response_stream)
        draft.usage.flags = TALLY_FLAG_STREAMED;
    take_usage(exchange, &draft);
    (void)tally_call_progress(&exchange->call, &draft.usage);
}

/* The tier that was asked for, where the answer does not say which it was. */
static void take_tier(const struct exchange *exchange, struct draft *draft)
{
    const char *asked = body_text(&exchange->request, BODY_SERVICE_TIER);
    size_t length = draft->usage.usage_json_length;
    bool stated = length && (memmem(exchange->usage_json, length, "\"service_tier\"", 14) ||
                             memmem(exchange->usage_json, length, "\"serviceTier\"", 13));
    if (!stated && asked[0] && strcmp(asked, "auto") != 0)
        draft->usage.service_tier = asked;
}

/* A class of error: what the answer says, else its status, as OpenTelemetry has it. */
static void take_error(const struct exchange *exchange, struct draft *draft, const char *error_type)
{
    const char *said = body_text(&exchange->response, BODY_ERROR_TYPE);
    if (!error_type && exchange->error_type[0])
        error_type = exchange->error_type;
    if (!error_type && said[0])
        error_type = said;
    if (!error_type && exchange->http_status >= 400) {
        snprintf(draft->error_type, sizeof draft->error_type, "%d", exchange->http_status);
        error_type = draft->error_type;
    }
    draft->usage.error_type = error_type;
}

/* What the row ought to say beside its counts: that there are none, and why. */
static const char *remark(const struct exchange *exchange, int32_t status, bool counts)
{
    if (exchange->fault && !counts)
        return exchange->fault;
    /* of one that broke off nothing else was to be expected */
    bool answered =
        status == TALLY_STATUS_UNKNOWN && exchange->http_status >= 200 && exchange->http_status < 300;
    return answered && !counts ? "no_usage" : NULL;
}

void exchange_end_call(struct exchange *exchange, int32_t status, const char *error_type)
{
    bool counts = body_has_counts(&exchange->response) || exchange->counts[0] >= 0;
    if (!exchange->begun && (exchange->worth != EXCHANGE_MAYBE || !counts))
        return;
    struct draft draft = {.usage = TALLY_USAGE_INIT};
    describe_request(exchange, &draft);
    take_usage(exchange, &draft);
    take_tier(exchange, &draft);
    take_error(exchange, &draft, error_type);
    add_tag(&draft, "tally.layer", capture_layer_names[exchange->layer]);
    const char *why = remark(exchange, status, counts);
    if (why)
        add_tag(&draft, "tally.capture", why);
    draft.usage.status = status;
    draft.usage.duration_ns = exchange->sent_ns ? now_ns(CLOCK_MONOTONIC) - exchange->sent_ns : -1;
    if (exchange->begun)
        (void)tally_call_end(&exchange->call, &draft.usage);
    else
        (void)tally_record(&draft.usage);
}
