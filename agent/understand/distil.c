/* distil.c: what was handed over, without all that says nothing about usage: records are small, and no prompt or completion may
 * get into one. What is kept is named here: numbers where usage stands, and a few texts that are no content. */
#include "understand/find.h"
#include "understand/json.h"
#include "understand/source.h"
#include "understand/understand.h"

#include <string.h>
#include <strings.h>

#define DEPTH_MAX      5
#define TEXT_BYTES_MAX 128
#define FRAGMENTS_MAX  256

struct fragment {
    cJSON *reduced;
    const struct shape *shape;
    bool superfluous;
};

struct distil {
    struct fragment fragments[FRAGMENTS_MAX];
    size_t count;
    const cJSON *whole; /* where there was one object: as it came */
    size_t objects;
    bool failed;
};

static const char *const text_names[] = {
    "type",         "model",         "modelVersion", "id",       "responseId",
    "service_tier", "serviceTier",   "status",       "modality", "ttl",
    "trafficType",  "inference_geo", "speed",        "code",     NULL};
static const char *const answer_names[] = {"type",          "id",         "model",       "modelVersion",
                                           "model_version", "responseId", "response_id", "service_tier",
                                           "status",        NULL};

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names;
}

/* Texts by name only. Lists of numbers are embeddings or tokens. */
static bool is_kept(const cJSON *item, bool in_list)
{
    switch (item->type & 0xff) {
    case cJSON_String:
        return item->string && strlen(item->valuestring) <= TEXT_BYTES_MAX &&
               (is_one_of(item->string, text_names) || !strncasecmp(item->string, "x-amzn-bedrock-", 15));
    case cJSON_Number:
        return !in_list;
    default:
        return true;
    }
}

/* A copy of what is kept; NULL: no memory, or too deep. */
static cJSON *reduce(const cJSON *item, int depth)
{
    cJSON *copy;
    bool list = json_is(item, cJSON_Array);
    if (!list && !json_is(item, cJSON_Object))
        return cJSON_Duplicate(item, 0);
    copy = list ? cJSON_CreateArray() : cJSON_CreateObject();
    for (const cJSON *child = item->child; copy && child && depth < DEPTH_MAX; child = child->next) {
        cJSON *kept = is_kept(child, list) ? reduce(child, depth + 1) : NULL;
        if (kept && list)
            cJSON_AddItemToArray(copy, kept);
        else if (kept)
            cJSON_AddItemToObject(copy, child->string, kept);
    }
    return copy;
}

static void copy_text(cJSON *to, const cJSON *from, const char *name)
{
    const cJSON *item = json_member(from, name);
    if (json_is(item, cJSON_String) && strlen(item->valuestring) <= TEXT_BYTES_MAX && !json_member(to, name))
        cJSON_AddStringToObject(to, name, item->valuestring);
}

/* Counts beside an answer, as native APIs have them: the members that the shape knows, and no others. */
static cJSON *reduce_bare(const struct shape *shape, const cJSON *usage)
{
    cJSON *reduced = cJSON_CreateObject();
    for (const cJSON *child = usage->child; reduced && child; child = child->next) {
        bool kept = is_kept(child, false) && !json_is(child, cJSON_Object) && !json_is(child, cJSON_Array);
        for (const struct rule *rule = shape->rules; rule->path[0].text && !kept; rule++)
            kept = !strcasecmp(rule->path[0].text, child->string);
        cJSON *copy = kept ? reduce(child, 1) : NULL;
        if (copy)
            cJSON_AddItemToObject(reduced, child->string, copy);
    }
    return reduced;
}

static void copy_error(cJSON *to, const cJSON *holder)
{
    const cJSON *error = json_member(holder, "error");
    cJSON *reduced = json_is(error, cJSON_Object) ? cJSON_AddObjectToObject(to, "error") : NULL;
    if (!reduced)
        return;
    copy_text(reduced, error, "type");
    copy_text(reduced, error, "code");
    copy_text(reduced, error, "status");
}

/* By what name find_usage() finds it again, at the top. */
static const char *name_of(const char *member)
{
    if (!strcmp(member, "x_groq"))
        return "usage";
    return !strcmp(member, "ResponseMetadata") ? "headers" : member;
}

static cJSON *reduce_answer(const cJSON *root, const struct found *found, const cJSON *answer)
{
    cJSON *reduced = cJSON_CreateObject();
    if (!reduced)
        return NULL;
    copy_text(reduced, root, "type");
    for (const char *const *name = answer_names; *name; name++)
        copy_text(reduced, answer, *name);
    const cJSON *tier = json_member(json_member(answer, "serviceTier"), "type"); /* Bedrock's */
    if (json_is(tier, cJSON_String) && strlen(tier->valuestring) <= TEXT_BYTES_MAX)
        cJSON_AddStringToObject(reduced, "service_tier", tier->valuestring);
    copy_error(reduced, json_is(json_member(answer, "error"), cJSON_Object) ? answer : root);
    cJSON *usage = found->usage.object ? reduce(found->usage.object, 1) : NULL;
    if (usage)
        cJSON_AddItemToObject(reduced, name_of(found->member), usage);
    return reduced;
}

static void take_fragment(void *context, const cJSON *object)
{
    struct distil *distil = context;
    struct json_object root;
    struct found found;
    struct fragment *last = distil->count ? &distil->fragments[distil->count - 1] : NULL;
    json_open(object, &root);
    distil->whole = distil->objects++ ? NULL : object;
    find_usage(&root, last ? last->shape : NULL, &found);
    const cJSON *answer = found.member ? found.holder : find_answer(&root);
    bool says = found.usage.object || json_is(json_member(answer, "error"), cJSON_Object) ||
                json_is(json_get(&root, "error"), cJSON_Object) || json_member(answer, "status");
    if (!says)
        return;
    cJSON *reduced = found.usage.object && !found.member ? reduce_bare(found.shape, object)
                                                         : reduce_answer(object, &found, answer);
    /* a stream of more than that: the oldest say least */
    if (distil->count == FRAGMENTS_MAX) {
        memmove(distil->fragments + 1, distil->fragments + 2, (FRAGMENTS_MAX - 2) * sizeof(*last));
        distil->count--;
    }
    distil->failed |= !reduced;
    if (reduced)
        distil->fragments[distil->count++] = (struct fragment){reduced, found.shape, false};
}

/* Whether `newer` says all that `older` does: the same members, and no 0 in place of a count. */
static bool covers(const cJSON *newer, const cJSON *older)
{
    if (json_is(older, cJSON_Number))
        return json_is(newer, cJSON_Number) && (newer->valuedouble != 0 || older->valuedouble == 0);
    for (const cJSON *child = json_is(older, cJSON_Object) ? older->child : NULL; child;
         child = child->next) {
        if (!strcmp(child->string, "type") || !strcmp(child->string, "status"))
            continue;
        const cJSON *same = json_member(newer, child->string);
        if (!same || !covers(same, child))
            return false;
    }
    return newer;
}

static void prune(struct distil *distil)
{
    for (size_t older = 0; older < distil->count; older++) {
        struct fragment *fragment = &distil->fragments[older];
        for (size_t newer = older + 1; newer < distil->count && !fragment->superfluous; newer++)
            if (distil->fragments[newer].shape == fragment->shape &&
                !(fragment->shape && fragment->shape->traits & ADDS))
                fragment->superfluous = covers(distil->fragments[newer].reduced, fragment->reduced);
    }
}

/* The text's length; 0: it does not fit. */
static size_t print(cJSON *item, char *buffer, size_t capacity)
{
    /* cJSON asks for a little more than it needs */
    if (capacity > INT32_MAX || !cJSON_PrintPreallocated(item, buffer, (int)capacity, 0))
        return 0;
    return strlen(buffer);
}

static size_t print_all(struct distil *distil, char *buffer, size_t capacity)
{
    cJSON *list = cJSON_CreateArray();
    cJSON *one = NULL;
    int count = 0;
    for (size_t i = 0; list && i < distil->count; i++) {
        if (distil->fragments[i].superfluous)
            continue;
        one = distil->fragments[i].reduced;
        count++;
        if (!cJSON_AddItemReferenceToArray(list, one))
            return 0;
    }
    return count == 0 || !list ? 0 : print(count == 1 ? one : list, buffer, capacity);
}

size_t understand_distil(const char *json, size_t length, char *buffer, size_t capacity)
{
    struct distil distil = {.count = 0};
    size_t used = 0;
    json_begin();
    source_each(json, length, take_fragment, &distil);
    if (!distil.failed && distil.count) {
        prune(&distil);
        /* nothing was in it but usage: as received */
        if (distil.whole && length <= capacity &&
            cJSON_Compare(distil.whole, distil.fragments[0].reduced, 1)) {
            memcpy(buffer, json, length);
            used = length;
        } else {
            used = print_all(&distil, buffer, capacity);
        }
    }
    json_end();
    return used;
}
