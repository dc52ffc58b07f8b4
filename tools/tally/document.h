/* document.h: JSON documents of the command's own shape, on cJSON. Numbers are exact whatever their
 * size, and texts cannot drive a terminal (text_json), which is why neither goes
 * through cJSON's own numbers and strings. Nothing here returns NULL. */
#ifndef TALLY_TOOLS_DOCUMENT_H
#define TALLY_TOOLS_DOCUMENT_H

#include "number.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* {"schema": "tally.report/1", "schema_version": 1} */
cJSON *document_new(const char *name, int version);
cJSON *document_object(void);
cJSON *document_array(void);
void document_append(cJSON *array, cJSON *item);
void document_item(cJSON *object, const char *name, cJSON *item);
void document_text(cJSON *object, const char *name, const char *text); /* NULL: null */
void document_bytes(cJSON *object, const char *name, const char *bytes, size_t length);
void document_integer(cJSON *object, const char *name, wide_t number);
void document_bool(cJSON *object, const char *name, bool value);
void document_time(cJSON *object, const char *name, int64_t unix_ns); /* RFC 3339 */
cJSON *document_string(const char *text);

/* To standard output and free it. Indented, or one line. */
void document_print(cJSON *document);
void document_print_line(cJSON *document);

#endif
