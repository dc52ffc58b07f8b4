/* http.h: HTTP/1.1 as it passes through a connection in both directions: keep-alive, pipelining, Content-Length, chunked, 1xx,
 * bodies that end with the connection. It tells exchanges (exchange.h) what it reads.
 *
 * A struct http is plain memory of one owner at a time (connection.h locks). Any bytes are sound input: what is not HTTP/1.x, or is
 * too long to follow, ends in HTTP_OFF, for good. Bodies are not kept; of heads only lines that are looked at, HTTP_LINE_MAX bytes at most.
 *
 * Sending. Bytes are looked at before they leave, so that a call has begun when its last byte is out; how many really left is told
 * afterwards. Bytes that were looked at and did not leave are expected to come again and are then skipped. */
#ifndef TALLY_CAPTURE_HTTP_H
#define TALLY_CAPTURE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "capture/exchange.h"

#define HTTP_LINE_MAX      4096
#define HTTP_PIPELINED_MAX 8 /* requests whose responses are still to come */

enum http_state { HTTP_ON, HTTP_OFF };

#include "capture/http_state.h"

/* Whether a connection that begins (or goes on after a pause) with these bytes may be one of HTTP/1.1 with a request that is
 * interesting: "POST " and as much of what follows as is there. Quick: for bytes of any program. */
static inline bool http_may_begin(const void *bytes, size_t length)
{
    return length >= 5 && !__builtin_memcmp(bytes, "POST ", 5);
}

void http_begin(struct http *http, enum capture_layer layer, bool tls);

/* About to be sent. */
enum http_state http_sending(struct http *http, const void *bytes, size_t length);
/* So many bytes were sent, of those given to http_sending() since the last http_sent(); fewer: the rest was not. */
enum http_state http_sent(struct http *http, size_t length);
/* Received. */
enum http_state http_received(struct http *http, const void *bytes, size_t length);

/* The connection is over. by_peer: end of file or reset, else the program closed it. error_type as exchange_close(). Ends what is open. */
void http_end(struct http *http, bool by_peer, const char *error_type);

/* Look no further: what is open is exchange_give_up(why), and the state is HTTP_OFF. */
void http_give_up(struct http *http, const char *why);

/* Nothing is under way: no request begun, no response awaited. Such a connection may be forgotten. */
bool http_is_idle(const struct http *http);

/* Where a request, or a response, may begin: a message is not cut in two if the connection turns out to be another one here. */
bool http_between_requests(const struct http *http);
bool http_between_responses(const struct http *http);
/* In the middle of a request that has been answered: the rest of it was sent by other means, or given up. */
bool http_is_answered(const struct http *http);

#endif
