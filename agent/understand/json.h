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
#include <stdint.h>

#define JSON_COUNT_MAX INT64_C(1000000000000000) /* 10^15: exact in a double */

void json_begin(void);
/* All trees made since json_begin() are gone. */
void json_end(void);

/* The member of that very name, the last one if it is there twice (as most parsers have it); null counts as absent. */
const cJSON *json_member(const cJSON *object, const char *name);
/* The same in any case of letters: for names of headers. */
const cJSON *json_header(const cJSON *object, const char *name);
/* A whole number, 0 to 10^15, as a number or in digits as a string; a list of one such (headers); else -1. */
int64_t json_count(const cJSON *item);
/* value * unit, rounded, 0 to 10^18; else -1. */
int64_t json_scaled(const cJSON *item, double unit);

#endif
