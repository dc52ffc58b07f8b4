/* exchange.h: one HTTP request and its response as a layer sees them pass, up to the records that it becomes.
 *
 * Every layer (libcurl, OpenSSL, plain sockets, node) tells the same story by these functions, in this order:
 *
 *     exchange_open
 *     exchange_method, exchange_target, exchange_host, exchange_request_header ...   any order, any number
 *     exchange_request_head_end        -> whether it is worth going on
 *     exchange_request_body ...        bytes after transfer coding is undone
 *     exchange_request_end             the request leaves now: CALL_BEGIN is written (before the bytes leave, if it can be helped)
 *     exchange_status, exchange_response_header ..., exchange_response_head_end      again for 1xx, redirects, retries: the last counts
 *     exchange_response_body ...       bytes after transfer coding is undone; with the first token, and
 *                                      whenever counts have come, CALL_PROGRESS is written
 *     exchange_close                   CALL_END is written, the memory given back
 *
 * Which exchanges are calls: those whose host and path look like an LLM's API (match.h) begin when the request leaves, and are recorded
 * whatever comes back; others are recorded, at their end, if their response carried usage with counts at a known path.
 *
 * An exchange belongs to one thread at a time: its layer sees to that. Functions take NULL and do nothing. They allocate nothing but from
 * the pool, keep errno, never wait. An exchange that was opened before a fork is the parent's: in the child
 * its functions do nothing, and its copy of the memory is left where it is (a vfork child has no copy to give back). The bytes that are handed over are never kept nor changed. */
#ifndef TALLY_CAPTURE_EXCHANGE_H
#define TALLY_CAPTURE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "capture/settings.h"

struct exchange;

enum exchange_end {
    EXCHANGE_COMPLETE, /* the response came to its end */
    EXCHANGE_CUT,      /* the connection ended, or was reset, before the response did */
    EXCHANGE_CANCELLED, /* the program gave up: closed the connection, removed the handle, its callback refused */
    EXCHANGE_FAILED     /* no response could be had: connecting, TLS, a time-out */
};

/* NULL: the layer is off, or there is no memory (counted). tls: for the port that is meant by default. */
struct exchange *exchange_open(enum capture_layer layer, bool tls);

void exchange_method(struct exchange *exchange, const char *method, size_t length);
/* Path and query, or a whole URL, which also sets the host. Only the path is looked at: queries hold keys. */
void exchange_target(struct exchange *exchange, const char *target, size_t length);
/* Host, perhaps with a port. */
void exchange_host(struct exchange *exchange, const char *host, size_t length);
/* Each header of the request, or at least those that exchange_wants_header() names. Values over 4 KiB may be left out. */
void exchange_request_header(struct exchange *exchange, const char *name, size_t name_length,
                             const char *value, size_t value_length);
/* Whether the exchange looks at requests' or responses' headers of this name, so that a reader need not keep others. */
bool exchange_wants_header(const char *name, size_t length);

enum exchange_worth {
    EXCHANGE_IGNORED, /* nothing of it will be recorded: close it, look no further until the next request */
    EXCHANGE_MAYBE,   /* if usage comes back */
    EXCHANGE_MATCHED
};
enum exchange_worth exchange_request_head_end(struct exchange *exchange);
void exchange_request_body(struct exchange *exchange, const void *bytes, size_t length);
void exchange_request_end(struct exchange *exchange);

void exchange_status(struct exchange *exchange, int http_status);
void exchange_response_header(struct exchange *exchange, const char *name, size_t name_length,
                              const char *value, size_t value_length);
/* decoded: whatever Content-Encoding says, the bytes to come are decoded already (libcurl does, if asked). */
enum exchange_worth exchange_response_head_end(struct exchange *exchange, bool decoded);
void exchange_response_body(struct exchange *exchange, const void *bytes, size_t length);

/* error_type: for FAILED and CUT, a class in a few words ("timeout", "connection_reset", "curl_28"), or NULL. */
void exchange_close(struct exchange *exchange, enum exchange_end end, const char *error_type);

/* The layer could not follow any further (`why`: a word, static: "http_garbage"): the call is ended with what is known by now, tokens
 * unknown unless they had come, tagged tally.capture=<why>. Gives the memory back. */
void exchange_give_up(struct exchange *exchange, const char *why);

#endif
