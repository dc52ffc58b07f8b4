/* body.h: what is picked out of a request's or a response's body while it passes.
 *
 * Bytes come in pieces of any size and are looked at once; nothing is buffered but the few values that a table (paths.c) names.
 * What is picked is JSON again, in the shape that the provider gave it, without all else: {"model":"..","usage":{..}}. So what
 * the agent's understanding knows of shapes holds for it, and no quirk of a provider is known here.
 *
 * A struct body is plain memory of one owner: no pointers, no allocation, no system call, no lock; it may lie in memory that a fork
 * copies. Any bytes are sound input.
 */
#ifndef TALLY_CAPTURE_BODY_H
#define TALLY_CAPTURE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum body_format {
    BODY_NONE, /* not looked at: images, sound, ... */
    BODY_JSON, /* one document, several one after another (NDJSON), or one list of them (Gemini's streams) */
    BODY_EVENTS, /* text/event-stream: the data of each event is a document */
    BODY_AWS_EVENTS, /* application/vnd.amazon.eventstream: Bedrock's frames; payloads, {"bytes":"<base64>"} included */
    BODY_REQUEST_JSON /* a request's: model, stream, service_tier, user, named metadata */
};

/* What is new since the last call. */
#define BODY_USAGE   1u /* what body_usage_json() yields has changed, and holds counts */
#define BODY_CONTENT 2u /* for the first time: a part of the answer that the user is waiting for */
#define BODY_FAULT   4u /* for the first time: something could not be followed (too deep, too long, no JSON) */

/* Values of a request (from its body) and of a response. */
enum body_value {
    BODY_MODEL,        /* of a request: as asked for */
    BODY_SERVICE_TIER, /* of a request */
    BODY_USER,         /* of a request: "user", Anthropic's metadata.user_id where it is named */
    BODY_ERROR_TYPE,   /* of a response: error.type, error.code, error.status, whichever comes */
    BODY_VALUES
};
#define BODY_VALUE_BYTES 208 /* with the NUL; longer ones are cut at a character's border */

#define BODY_FRAGMENTS_BYTES 3072 /* what is picked out of a response, in all */
#define BODY_METADATA_BYTES  512

#include "capture/body_state.h"

/* Begin. metadata_names: for BODY_REQUEST_JSON, NUL-terminated list of "name,name" (TALLY_METADATA), kept by reference; may be
 * NULL. */
void body_begin(struct body *body, enum body_format format, const char *metadata_names);

/* The next bytes. Returns BODY_* bits. */
unsigned body_feed(struct body *body, const void *bytes, size_t length);

/* The body has come to its end (or was cut off: what was complete by then holds). Returns BODY_* bits. */
unsigned body_finish(struct body *body);

/* What was picked out of a response, as JSON for tally_usage.usage_json: one object, or a list of them in the order in which
 * they came, a later one in place of an earlier one that it makes superfluous. Returns the length; 0: nothing, or it does not fit. */
size_t body_usage_json(const struct body *body, char *out, size_t capacity);

/* Whether a usage object with counts stood at a place that the table knows: enough to take an unknown host for an LLM's API. */
bool body_has_counts(const struct body *body);

/* Whether the answer says itself that it is over ([DONE], message_stop, response.completed, "done":true, the end of the one document):
 * many programs close the connection then, without reading on. */
bool body_is_over(const struct body *body);

/* A value; empty: not stated. Valid until the next call. */
const char *body_text(const struct body *body, enum body_value which);
/* "stream": true. */
bool body_streams(const struct body *body);
/* Named metadata as "name=value,name=value" (commas and "=" in values replaced by "_"); empty: none. */
const char *body_metadata(const struct body *body);

#endif
