/* json.c: see json.h. */
#include "understand/json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLOCK_BYTES  16384
#define COUNT_DIGITS 16
#define SCALED_MAX   1e18

struct overflow {
    struct overflow *next;
    max_align_t memory[];
};

static _Thread_local struct {
    bool active;
    size_t used;
    struct overflow *overflows;
    _Alignas(max_align_t) char block[BLOCK_BYTES];
} scratch;

static void *take(size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;
    if (!scratch.active)
        return malloc(bytes);
    if (rounded >= bytes && rounded <= BLOCK_BYTES - scratch.used) {
        void *memory = scratch.block + scratch.used;
        scratch.used += rounded;
        return memory;
    }
    struct overflow *more = bytes < SIZE_MAX - sizeof(*more) ? malloc(sizeof(*more) + bytes) : NULL;
    if (!more)
        return NULL;
    more->next = scratch.overflows;
    scratch.overflows = more;
    return more->memory;
}

/* What was taken while active goes all at once, in json_end(). */
static void give(void *memory)
{
    if (!scratch.active)
        free(memory);
}

/* Before there are threads: the hooks are read without a lock. */
__attribute__((constructor)) static void set_hooks(void)
{
    cJSON_Hooks hooks = {take, give};
    cJSON_InitHooks(&hooks);
}

void json_begin(void)
{
    scratch.active = true;
    scratch.used = 0;
}

void json_end(void)
{
    scratch.active = false;
    while (scratch.overflows) {
        struct overflow *next = scratch.overflows->next;
        free(scratch.overflows);
        scratch.overflows = next;
    }
}

void json_open(const cJSON *object, struct json_object *out)
{
    out->object = json_is(object, cJSON_Object) ? object : NULL;
    out->count = 0;
    for (const cJSON *item = out->object ? object->child : NULL; item; item = item->next) {
        if (out->count < JSON_MEMBERS_MAX) {
            out->lengths[out->count] = (uint32_t)strlen(item->string);
            out->items[out->count] = item;
        }
        out->count++;
    }
}

const cJSON *json_find(const struct json_object *object, const char *name, uint32_t length)
{
    if (object->count > JSON_MEMBERS_MAX)
        return json_member(object->object, name);
    for (uint32_t i = object->count; i-- > 0;)
        if (object->lengths[i] == length && !memcmp(object->items[i]->string, name, length))
            return json_is(object->items[i], cJSON_NULL) ? NULL : object->items[i];
    return NULL;
}

const cJSON *json_member(const cJSON *object, const char *name)
{
    const cJSON *found = NULL;
    if (!json_is(object, cJSON_Object))
        return NULL;
    for (const cJSON *item = object->child; item; item = item->next)
        if (item->string[0] == name[0] && !strcmp(item->string, name))
            found = item;
    return json_is(found, cJSON_NULL) ? NULL : found;
}

const cJSON *json_header(const cJSON *object, const char *name)
{
    if (!json_is(object, cJSON_Object))
        return NULL;
    for (const cJSON *item = object->child; item; item = item->next)
        if (!strcasecmp(item->string, name))
            return item;
    return NULL;
}

static int64_t count_of_text(const char *text)
{
    int64_t count = 0;
    size_t length = strlen(text);
    if (!length || length > COUNT_DIGITS)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        count = count * 10 + (*text - '0');
    }
    return count <= JSON_COUNT_MAX ? count : -1;
}

int64_t json_count(const cJSON *item)
{
    if (json_is(item, cJSON_Array) && item->child && !item->child->next)
        item = item->child;
    if (json_is(item, cJSON_String))
        return count_of_text(item->valuestring);
    if (!json_is(item, cJSON_Number))
        return -1;
    double value = item->valuedouble;
    /* false for what is not a number, too */
    if (!(value >= 0 && value <= (double)JSON_COUNT_MAX))
        return -1;
    int64_t count = (int64_t)value;
    return (double)count == value ? count : -1;
}

/* cJSON has the value as a double only. That is enough: a double keeps 15 significant digits of any decimal, so up to some
 * thousand dollars the nearest picodollar to it is the one that was written; and providers
 * work costs out in doubles themselves (0.0076509169000000005). */
int64_t json_scaled(const cJSON *item, double unit)
{
    double value = -1;
    char *end;
    if (json_is(item, cJSON_Number)) {
        value = item->valuedouble;
    } else if (json_is(item, cJSON_String) && item->valuestring[0] >= '0' && item->valuestring[0] <= '9') {
        value = strtod(item->valuestring, &end);
        if (*end)
            return -1;
    }
    value *= unit;
    return value >= 0 && value <= SCALED_MAX ? (int64_t)(value + 0.5) : -1;
}
