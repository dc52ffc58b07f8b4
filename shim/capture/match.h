/* match.h: which requests look like calls of an LLM's API: a table of hosts and paths, and the user's own rows (TALLY_MATCH).
 *
 * Pure computation; any thread, any signal handler. */
#ifndef TALLY_CAPTURE_MATCH_H
#define TALLY_CAPTURE_MATCH_H

#include <stdbool.h>
#include <stddef.h>

struct match {
    const char *operation; /* gen_ai.operation.name, static; NULL: not told by the path */
    const char *provider;  /* of the user's row, not NUL-terminated; NULL: the agent tells by host */
    size_t provider_length;
    const char *model; /* within path, still percent-encoded: Gemini, Bedrock, Azure; NULL: not there */
    size_t model_length;
    bool streams; /* the path says so: :streamGenerateContent, /converse-stream */
};

/* host: with its port, if one was given ("127.0.0.1:11434"). path: without query, not decoded. rows: as TALLY_MATCH, or
 * "". Whether it matches; out is filled in any case with what the path tells. */
bool match_request(const char *rows, const char *host, const char *path, struct match *out);

/* Whether it is no call, whatever comes back: not a POST (what a GET brings was paid for by another request), or free of charge
 * (count_tokens), or about files, batches and models. */
bool match_never(const char *method, const char *path);

/* TALLY_MATCH: "HOST/PATH[=PROVIDER],...", "*" for any run of characters; a host without a port matches any port, one without a path any
 * path. Whether it is sound; why: one sentence for people. */
bool match_check(const char *rows, char *why, size_t why_bytes);

#endif
