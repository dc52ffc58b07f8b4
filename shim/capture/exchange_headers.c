/* exchange_headers.c: what headers say: of a request who pays, and what for; of a response how to read it. */
#include "capture/exchange_state.h"
#include "digest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const exchange_count_headers[EXCHANGE_COUNT_HEADERS] = {
    "x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count", "x-amzn-bedrock-cache-write-input-token-count"};

static const char *const wanted[] = {
    /* of requests */
    "host", "authorization", "x-api-key", "api-key", "x-goog-api-key", "openai-organization",
    "openai-project", "traceparent", "x-tally-tags", "anthropic-version", "content-encoding", "content-type",
    /* of responses */
    "x-amzn-errortype"};

static bool is(const char *name, size_t length, const char *what)
{
    return strlen(what) == length && !strncasecmp(name, what, length);
}

bool exchange_wants_header(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (is(name, length, wanted[i]))
            return true;
    for (size_t i = 0; i < EXCHANGE_COUNT_HEADERS; i++)
        if (is(name, length, exchange_count_headers[i]))
            return true;
    return false;
}

void exchange_copy(char *to, size_t to_bytes, const char *from, size_t length)
{
    if (length >= to_bytes) {
        length = to_bytes - 1;
        /* not within a character of several bytes */
        while (length && ((unsigned char)from[length] & 0xC0) == 0x80)
            length--;
    }
    memcpy(to, from, length);
    to[length] = '\0';
}

static void trim(const char **at, size_t *length)
{
    while (*length && (**at == ' ' || **at == '\t')) {
        (*at)++;
        (*length)--;
    }
    while (*length && ((*at)[*length - 1] == ' ' || (*at)[*length - 1] == '\t'))
        (*length)--;
}

/* The first 12 hex digits of the SHA-256 of a key: enough to tell keys apart, too little to find one. */
static void fingerprint(struct exchange *exchange, const char *key, size_t length)
{
    char digits[DIGEST_TEXT_BYTES];
    if (!length)
        return;
    digest_sha256(key, length, digits);
    exchange_copy(exchange->key_fingerprint, 13, digits, 12);
}

/* "Bearer KEY"; of AWS's signatures, which differ with each request, the access key's id. */
static void take_authorization(struct exchange *exchange, const char *value, size_t length)
{
    static const char credential[] = "Credential=";
    const char *at = memmem(value, length, credential, sizeof credential - 1);
    if (at) {
        at += sizeof credential - 1;
        const char *end = at;
        while (end < value + length && *end != '/' && *end != ',')
            end++;
        fingerprint(exchange, at, (size_t)(end - at));
        return;
    }
    const char *space = memchr(value, ' ', length);
    const char *key = space ? space + 1 : value;
    size_t key_length = (size_t)(value + length - key);
    trim(&key, &key_length);
    fingerprint(exchange, key, key_length);
}

/* 00-<32 hex digits>-<16>-<flags> */
static void take_traceparent(struct exchange *exchange, const char *value, size_t length)
{
    if (length < 55 || value[2] != '-' || value[35] != '-' || value[52] != '-')
        return;
    for (int i = 3; i < 52; i++)
        if (i != 35 && !isxdigit((unsigned char)value[i]))
            return;
    exchange_copy(exchange->trace_id, sizeof exchange->trace_id, value + 3, 32);
    exchange_copy(exchange->span_id, sizeof exchange->span_id, value + 36, 16);
}

/* k=v,k=v. user, team, project and session are not tags but fields of their own. */
static void take_tags(struct exchange *exchange, const char *value, size_t length)
{
    const struct {
        const char *name;
        char *to;
    } fields[] = {{"user", exchange->user},
                  {"team", exchange->team},
                  {"project", exchange->project},
                  {"session", exchange->session}};
    size_t used = strlen(exchange->tags);
    for (const char *at = value; at < value + length;) {
        const char *end = memchr(at, ',', (size_t)(value + length - at));
        size_t item = (size_t)((end ? end : value + length) - at);
        const char *next = at + item + 1;
        trim(&at, &item);
        const char *equals = memchr(at, '=', item);
        bool field = false;
        for (int i = 0; equals && i < 4 && !field; i++) {
            field = is(at, (size_t)(equals - at), fields[i].name);
            if (field)
                exchange_copy(fields[i].to, 129, equals + 1, item - (size_t)(equals + 1 - at));
        }
        /* whole or not at all */
        if (equals > at && !field && used + 1 + item < sizeof exchange->tags) {
            if (used)
                exchange->tags[used++] = ',';
            memcpy(exchange->tags + used, at, item);
            used += item;
            exchange->tags[used] = '\0';
        }
        at = next;
    }
}

void exchange_take_request_header(struct exchange *exchange, const char *name, size_t name_length,
                                  const char *value, size_t value_length)
{
    trim(&value, &value_length);
    if (is(name, name_length, "host"))
        exchange_host(exchange, value, value_length);
    else if (is(name, name_length, "authorization"))
        take_authorization(exchange, value, value_length);
    else if (is(name, name_length, "x-api-key") || is(name, name_length, "api-key") ||
             is(name, name_length, "x-goog-api-key"))
        fingerprint(exchange, value, value_length);
    else if (is(name, name_length, "openai-organization") && !exchange->team[0])
        exchange_copy(exchange->team, sizeof exchange->team, value, value_length);
    else if (is(name, name_length, "openai-project") && !exchange->project[0])
        exchange_copy(exchange->project, sizeof exchange->project, value, value_length);
    else if (is(name, name_length, "traceparent"))
        take_traceparent(exchange, value, value_length);
    else if (is(name, name_length, "x-tally-tags"))
        take_tags(exchange, value, value_length);
    else if (is(name, name_length, "anthropic-version"))
        exchange->anthropic = true;
    else if (is(name, name_length, "content-encoding"))
        exchange->request_compressed = true;
    else if (is(name, name_length, "content-type") && value_length >= 9 &&
             !strncasecmp(value, "multipart", 9))
        exchange->request_form =
            true; /* others may be JSON whatever they say: `curl -d` says that it is a form */
}

void exchange_take_query(struct exchange *exchange, const char *query, size_t length)
{
    for (const char *at = query; at < query + length;) {
        const char *end = memchr(at, '&', (size_t)(query + length - at));
        size_t item = (size_t)((end ? end : query + length) - at);
        if (item > 4 && !memcmp(at, "key=", 4) && !exchange->key_fingerprint[0])
            fingerprint(exchange, at + 4, item - 4);
        at += item + 1;
    }
}

/* A count in a header, or -1. */
static int64_t count_of(const char *value, size_t length)
{
    int64_t count = 0;
    if (!length || length > 15)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -1;
        count = count * 10 + (value[i] - '0');
    }
    return count;
}

/* "ThrottlingException:http://..." */
static void take_error_type(struct exchange *exchange, const char *value, size_t length)
{
    const char *colon = memchr(value, ':', length);
    size_t word = colon ? (size_t)(colon - value) : length;
    if (!memchr(value, ' ', word)) /* a message is none */
        exchange_copy(exchange->error_type, sizeof exchange->error_type, value,
                      colon ? (size_t)(colon - value) : length);
}

void exchange_take_response_header(struct exchange *exchange, const char *name, size_t name_length,
                                   const char *value, size_t value_length)
{
    trim(&value, &value_length);
    if (is(name, name_length, "content-type"))
        exchange_copy(exchange->content_type, sizeof exchange->content_type, value, value_length);
    else if (is(name, name_length, "content-encoding"))
        exchange->coding = decode_coding_of(value, value_length);
    else if (is(name, name_length, "x-amzn-errortype"))
        take_error_type(exchange, value, value_length);
    for (int i = 0; i < EXCHANGE_COUNT_HEADERS; i++)
        if (is(name, name_length, exchange_count_headers[i]))
            exchange->counts[i] = count_of(value, value_length);
}
