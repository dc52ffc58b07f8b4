/* understand.h: what a provider's own usage object says, as counts that mean the same for all providers.
 *
 * Pure computation on the caller's memory: any thread, no state but a thread's own scratch memory (json.h), no system call.
 * The object was written by a client and is believed in nothing: whatever it is, the answer is counts within their ranges.
 */
#ifndef TALLY_UNDERSTAND_UNDERSTAND_H
#define TALLY_UNDERSTAND_UNDERSTAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/rows.h"
#include "understand/quantities.h"

/* What is known of the call besides. Only what an object itself leaves open is taken from here. */
struct understand_hints {
    struct text provider; /* any spelling: "openai", "azure.ai.openai", "xai" */
    struct text operation;
    struct text request_model;
    struct text response_model;
    struct text server_address;
};

enum understood_kind {
    UNDERSTOOD_COUNTS,  /* it states at least one quantity, or a cost */
    UNDERSTOOD_NOTHING, /* sound, and states no usage: null, an error, a stream's chunk without any */
    UNDERSTOOD_UNKNOWN, /* a usage object of a shape that nobody knows */
    UNDERSTOOD_DAMAGED  /* no JSON */
};

/* X(name, bytes_max): texts that the object states; cut at a character's border. */
#define UNDERSTOOD_TEXTS(X)                                                                                  \
    X(response_model, 200)                                                                                   \
    X(response_id, 128)                                                                                      \
    X(service_tier, 32)  /* "flex", "priority", "batch", "standard", ...: as stated, see shapes.c */         \
    X(error_type, 128)   /* a class: "server_error", "overloaded_error" */                                   \
    X(inference_geo, 32) /* Anthropic: "us", "global"; some places cost more */                              \
    X(speed, 32)         /* Anthropic: "fast", "standard" */

enum understood_text {
#define UNDERSTOOD_X(name, bytes_max) UNDERSTOOD_TEXT_##name,
    UNDERSTOOD_TEXTS(UNDERSTOOD_X)
#undef UNDERSTOOD_X
        UNDERSTOOD_TEXT_COUNT
};

/* Not to be copied: the texts point into it. */
struct understood {
    enum understood_kind kind;
    bool known;        /* kind is COUNTS or NOTHING */
    const char *shape; /* "openai chat", ...: of a static table; NULL: none */
    const char *
        provider; /* static, OpenTelemetry's name, by host or shape; NULL: cannot be told, or the hints say */
    struct quantities quantities;             /* what is not stated is -1 */
    int64_t provider_cost_picodollars;        /* -1: not stated */
    int32_t status;                           /* TALLY_STATUS_*; an incomplete answer is one */
    struct text texts[UNDERSTOOD_TEXT_COUNT]; /* data NULL: not stated */
    char memory[640];
    uint32_t memory_used;
};

/* json: one usage object; a response body or stream event that holds one; an array of those in the order in which they
 * came; the same one after another (NDJSON, server-sent events); or an object of response headers. hints: may be NULL.
 * Never fails: see kind. */
void understand(const struct understand_hints *hints, const char *json, size_t length,
                struct understood *out);

/* The same input reduced to what says something about usage, without anything that was said or answered, so that it may go into a
 * record: a bare usage object as it is, else an array of reduced objects, those left out that a later one makes
 * superfluous. Understood, it yields the same. Returns the length; 0: nothing is in it that could be kept, or it does not fit. */
size_t understand_distil(const char *json, size_t length, char *buffer, size_t capacity);

#endif
