/* http.c: see http.h. What the readers of both directions say, told as the story of exchanges.
 *
 * A request stands in the ring of those awaiting a response from its first line on: a response may come before the request has
 * left (401, 413). Then the request counts as ended where the response begins, and the rest of its body is read past.
 *
 * Only POST is told of. Other requests have a place in the ring, without an exchange, so that responses find theirs.
 *
 * Interim responses (1xx) are read past: they would come between a request and its end, and say nothing about the call.
 *
 * Sending. `ahead` is how far the reader is before what has left; `given` where the next byte given stands, counted from what
 * has left. So bytes given again after a partial or refused write (given < ahead) are skipped, as many as there are. They are taken for the
 * same bytes: a program that puts others in their place has broken its own message, and either goes on to garbage, which
 * ends in HTTP_OFF, or has changed a body that is counted by its response.
 */
#include "capture/http.h"

#include <string.h>

void http_begin(struct http *http, enum capture_layer layer, bool tls)
{
    *http = (struct http){0};
    http->layer = layer;
    http->tls = tls;
    http_reader_begin(&http->request, false);
    http_reader_begin(&http->response, true);
}

/* ---- the ring -------------------------------------------------------------------------------------- */

static struct http_awaited *awaited_at(struct http *http, uint32_t index)
{
    return &http->awaited[(http->awaited_first + index) % HTTP_PIPELINED_MAX];
}

void http_give_up(struct http *http, const char *why)
{
    for (uint32_t i = 0; i < http->awaited_count; i++)
        exchange_give_up(awaited_at(http, i)->exchange, why);
    http->awaited_count = 0;
    http->asking = NULL;
    http->off = true;
}

/* The exchange is nobody's business any more; its request and response are still read to their ends. */
static void forget(struct http *http, struct http_awaited *awaited, enum exchange_end end)
{
    if (http->asking == awaited->exchange)
        http->asking = NULL;
    exchange_close(awaited->exchange, end, NULL);
    awaited->exchange = NULL;
}

/* ---- requests -------------------------------------------------------------------------------------- */

/* The last of the ring is the one that is being sent, unless it was answered. */
static struct http_awaited *asking_place(struct http *http)
{
    return awaited_at(http, http->awaited_count - 1);
}

static void ask_head_end(struct http *http)
{
    http->asking_head = false;
    if (http->asking && exchange_request_head_end(http->asking) == EXCHANGE_IGNORED)
        forget(http, asking_place(http), EXCHANGE_COMPLETE);
}

static void ask_end(struct http *http)
{
    if (http->asking_head)
        ask_head_end(http);
    if (http->asking)
        exchange_request_end(http->asking);
    http->asking = NULL;
}

static bool starts_with(struct http_input text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.left >= length && !memcmp(text.at, prefix, length);
}

/* METHOD SP TARGET SP HTTP/1.x. Where the line was cut the target is too, in its query as a rule, and the version is unknown. */
static const char *ask_start(struct http *http)
{
    const struct http_reader *reader = &http->request;
    const char *line = reader->line;
    const char *end = line + reader->line_length;
    const char *space = memchr(line, ' ', reader->line_length);
    if (!space)
        return "http_request_garbage";
    struct http_input method = {line, (size_t)(space - line)};
    const char *target = space + 1;
    if (!reader->line_cut) {
        const char *last = memrchr(target, ' ', (size_t)(end - target));
        if (!last || end - last < 8 || memcmp(last, " HTTP/1.", 8) != 0)
            return "http_request_garbage";
        end = last;
    }
    if (target >= end)
        return "http_request_garbage";
    if (http->awaited_count == HTTP_PIPELINED_MAX)
        return "http_pipelined";
    http->awaited_count++;
    struct http_awaited *awaited = asking_place(http);
    *awaited = (struct http_awaited){
        .head = method.left == 4 && !memcmp(method.at, "HEAD", 4),
        .connect = method.left == 7 && !memcmp(method.at, "CONNECT", 7),
    };
    http->asking_head = true;
    http->asking_absolute = *target != '/';
    if (!starts_with(method, "POST") || method.left != 4)
        return NULL;
    http->asking = awaited->exchange = exchange_open(http->layer, http->tls);
    exchange_method(http->asking, method.at, method.left);
    exchange_target(http->asking, target, (size_t)(end - target));
    return NULL;
}

static bool ask_header(struct http *http)
{
    struct http_input name, value;
    if (!http_reader_header(&http->request, &name, &value))
        return true;
    if (!http_reader_framing(&http->request, name, value))
        return false;
    if (!http->asking || http->request.line_cut)
        return true;
    if (http_is_name(name, "host")) {
        if (!http->asking_absolute)
            exchange_host(http->asking, value.at, value.left);
    } else if (exchange_wants_header(name.at, name.left)) {
        exchange_request_header(http->asking, name.at, name.left, value.at, value.left);
    }
    return true;
}

static const char *read_request(struct http *http, struct http_input input)
{
    struct http_input piece;
    for (;;) {
        const char *why;
        switch (http_reader_next(&http->request, &input, &piece)) {
        case HTTP_MORE:
            return NULL;
        case HTTP_START_LINE:
            why = ask_start(http);
            if (why)
                return why;
            break;
        case HTTP_HEADER:
            if (!ask_header(http))
                return "http_request_length";
            break;
        case HTTP_HEAD_END:
            ask_head_end(http);
            if (!http_reader_body(&http->request, HTTP_BODY_FRAMED))
                return "http_transfer_coding";
            break;
        case HTTP_BODY:
            if (http->asking)
                exchange_request_body(http->asking, piece.at, piece.left);
            break;
        case HTTP_END:
            ask_end(http);
            break;
        default:
            return "http_request_garbage";
        }
    }
}

enum http_state http_sending(struct http *http, const void *bytes, size_t length)
{
    if (http->off)
        return HTTP_OFF;
    struct http_input input = {bytes, length};
    uint64_t again = http->ahead > http->given ? http->ahead - http->given : 0;
    if (again > length)
        again = length;
    input.at += again;
    input.left -= (size_t)again;
    http->given += length;
    if (http->ahead < http->given)
        http->ahead = http->given;
    const char *why = read_request(http, input);
    if (why)
        http_give_up(http, why);
    return http->off ? HTTP_OFF : HTTP_ON;
}

enum http_state http_sent(struct http *http, size_t length)
{
    if (http->off)
        return HTTP_OFF;
    if (length > http->given) {
        http_give_up(http, "http_sent_unseen");
        return HTTP_OFF;
    }
    http->ahead -= length;
    http->given = 0;
    return HTTP_ON;
}

/* ---- responses ------------------------------------------------------------------------------------- */

/* HTTP/1.x SP 3DIGIT [SP reason] */
static bool answer_start(struct http *http)
{
    const char *line = http->response.line;
    if (http->response.line_length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return false;
    http->status = 0;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        http->status = http->status * 10 + (line[i] - '0');
    }
    if (http->status < 100 || (http->response.line_length > 12 && line[12] != ' '))
        return false;
    if (!http->awaited_count)
        return false;
    struct http_awaited *awaited = awaited_at(http, 0);
    http->told = http->status >= 200;
    if (!http->told)
        return true;
    if (http->awaited_count == 1) /* it may come before the request has left */
        ask_end(http);
    exchange_status(awaited->exchange, http->status);
    return true;
}

static bool answer_header(struct http *http)
{
    struct http_input name, value;
    if (!http_reader_header(&http->response, &name, &value))
        return true;
    if (!http_reader_framing(&http->response, name, value))
        return false;
    struct exchange *exchange = awaited_at(http, 0)->exchange;
    if (exchange && http->told && !http->response.line_cut && exchange_wants_header(name.at, name.left))
        exchange_response_header(exchange, name.at, name.left, value.at, value.left);
    return true;
}

static const char *answer_head_end(struct http *http)
{
    struct http_awaited *awaited = awaited_at(http, 0);
    enum http_body body = HTTP_BODY_TO_END;
    /* From here on it is another protocol. */
    if (http->status == 101 || (awaited->connect && http->status / 100 == 2))
        return "http_upgrade";
    if (awaited->head || http->status < 200 || http->status == 204 || http->status == 304)
        body = HTTP_BODY_NONE;
    if (awaited->exchange && http->told &&
        exchange_response_head_end(awaited->exchange, false) == EXCHANGE_IGNORED)
        forget(http, awaited, EXCHANGE_COMPLETE);
    return http_reader_body(&http->response, body) ? NULL : "http_transfer_coding";
}

static void answer_end(struct http *http)
{
    if (!http->told)
        return; /* interim: the answer is still to come */
    forget(http, awaited_at(http, 0), EXCHANGE_COMPLETE);
    http->awaited_first = (http->awaited_first + 1) % HTTP_PIPELINED_MAX;
    http->awaited_count--;
    http->told = false;
}

static const char *read_response(struct http *http, struct http_input input)
{
    struct http_input piece;
    for (;;) {
        const char *why = NULL;
        switch (http_reader_next(&http->response, &input, &piece)) {
        case HTTP_MORE:
            return NULL;
        case HTTP_START_LINE:
            if (!answer_start(http))
                return http->awaited_count ? "http_response_garbage" : "http_unasked";
            break;
        case HTTP_HEADER:
            if (!answer_header(http))
                return "http_response_length";
            break;
        case HTTP_HEAD_END:
            why = answer_head_end(http);
            if (why)
                return why;
            break;
        case HTTP_BODY:
            exchange_response_body(awaited_at(http, 0)->exchange, piece.at, piece.left);
            break;
        case HTTP_END:
            answer_end(http);
            break;
        default:
            return "http_response_garbage";
        }
    }
}

enum http_state http_received(struct http *http, const void *bytes, size_t length)
{
    if (http->off)
        return HTTP_OFF;
    const char *why = read_response(http, (struct http_input){bytes, length});
    if (why)
        http_give_up(http, why);
    return http->off ? HTTP_OFF : HTTP_ON;
}

/* ---- the connection's end -------------------------------------------------------------------------- */

void http_end(struct http *http, bool by_peer, const char *error_type)
{
    /* A body that ends with the connection has come to its end, unless something went wrong. */
    if (http->awaited_count && http->response.place == HTTP_TO_END && by_peer && !error_type)
        answer_end(http);
    for (uint32_t i = 0; i < http->awaited_count; i++)
        exchange_close(awaited_at(http, i)->exchange, by_peer ? EXCHANGE_CUT : EXCHANGE_CANCELLED,
                       error_type);
    http->awaited_count = 0;
    http->asking = NULL;
    http->off = true;
}

bool http_between_requests(const struct http *http)
{
    return http->request.place == HTTP_START && !http->request.line_length;
}

bool http_between_responses(const struct http *http)
{
    return http->response.place == HTTP_START && !http->response.line_length;
}

bool http_is_answered(const struct http *http)
{
    return !http->awaited_count && http->request.place != HTTP_START && http_between_responses(http);
}

bool http_is_idle(const struct http *http)
{
    return !http->awaited_count && http_between_requests(http) && http_between_responses(http) &&
           !http->ahead && !http->given;
}
