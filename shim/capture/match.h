/* match.h: which requests look like calls of an LLM's API: a table of hosts and paths, and the user's own rows (TALLY_MATCH). */
#ifndef TALLY_CAPTURE_MATCH_H
#define TALLY_CAPTURE_MATCH_H

#include <stdbool.h>
#include <stddef.h>

struct match {
    const char *operation; /* gen_ai.operation.name; NULL: not told by the path */
    const char *provider;  /* where the path or the user's row tells; NULL: the agent tells by host */
    const char *model;     /* in the path: Gemini, Bedrock, Azure; NULL: not there */
    size_t model_length;   /* bytes of it, still percent-encoded */
    bool streams;          /* the path says so: :streamGenerateContent, /converse-stream */
};

/* method: upper case. host: lower case, without port. path: without query, not decoded. Whether it matches. */
bool match_request(const char *method, const char *host, const char *path, struct match *out);

/* Whether it certainly is none, whatever comes back: what is free, lists, files (GET /v1/models, count_tokens), or a method that
 * cannot be a call. */
bool match_never(const char *method, const char *host, const char *path);

/* TALLY_MATCH: "HOST/PATH[=PROVIDER],...", "*" for any run of characters in either. Whether it is sound; why: one sentence for people. */
bool match_check(const char *rows, char *why, size_t why_bytes);

#endif
