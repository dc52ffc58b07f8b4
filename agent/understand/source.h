/* source.h: what was handed over, as a row of JSON objects: one, an array of them, one after another, or the `data:` lines of
 * server-sent events. */
#ifndef TALLY_UNDERSTAND_SOURCE_H
#define TALLY_UNDERSTAND_SOURCE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

typedef void source_take(void *context, const cJSON *object);

/* Between json_begin() and json_end(). Trees stay until json_end(). Returns whether all of it was JSON; what was is
 * handed on in any case. */
bool source_each(const char *json, size_t length, source_take *take, void *context);

#endif
