/* json.h: cJSON as understanding uses it: in memory of its own, and read by exact names.
 *
 * A usage object has some fifteen nodes; malloc() and free() of each would cost more than all the rest of a record. While
 * a thread is between json_begin() and json_end() its cJSON calls take memory from a block of the thread's own, which
 * json_end() empties at once; what does not fit goes to malloc(). cJSON's hooks are the process's: they are
 * set once, and do for everybody else what malloc() and free() do.
 */
#ifndef TALLY_UNDERSTAND_JSON_H
#define TALLY_UNDERSTAND_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_COUNT_MAX INT64_C(1000000000000000) /* 10^15: exact in a double */

static inline bool json_is(const cJSON *item, int type)
{
    return item && (item->type & 0xff) == type;
}

void json_begin(void);
/* All trees made since json_begin() are gone. */
void json_end(void);

/* An object's members in one row: what it is asked forty times should not be a chase along its list. */
#define JSON_MEMBERS_MAX 64
struct json_object {
    const cJSON *object; /* NULL: none */
    uint32_t count;      /* above JSON_MEMBERS_MAX: look along the list */
    uint32_t lengths[JSON_MEMBERS_MAX];
    const cJSON *items[JSON_MEMBERS_MAX];
};

/* object: an object, or anything else, which has no members. */
void json_open(const cJSON *object, struct json_object *out);
/* As json_member(). */
const cJSON *json_find(const struct json_object *object, const char *name, uint32_t length);
#define json_get(object, name) json_find(object, "" name, sizeof(name) - 1)

/* The member of that very name, the last one if it is there twice (as most parsers have it); null counts as absent. */
const cJSON *json_member(const cJSON *object, const char *name);
/* The same in any case of letters: for names of headers. */
const cJSON *json_header(const cJSON *object, const char *name);
/* A whole number, 0 to 10^15, as a number or in digits as a string; a list of one such (headers); else -1. */
int64_t json_count(const cJSON *item);
/* value * unit, rounded, 0 to 10^18; else -1. */
int64_t json_scaled(const cJSON *item, double unit);

#endif
