/* read.c: which shape an object has, and what the shape's rules find in it. */
#include "understand/json.h"
#include "understand/shapes.h"

#include <string.h>

static bool marked(const struct shape *shape, const struct json_object *usage)
{
    for (const struct name *marker = shape->markers; marker->text; marker++)
        if (json_find(usage, marker->text, marker->length))
            return true;
    return false;
}

/* The images API splits its input into text and image, and has no cache. */
static bool of_images(const struct json_object *usage)
{
    const cJSON *details = json_get(usage, "input_tokens_details");
    return json_member(details, "image_tokens") && json_member(details, "text_tokens") &&
           !json_member(details, "cached_tokens");
}

/* Input and output tokens alone may be anybody's: then the event tells, or the object before. */
static const struct shape *of_responses(const struct json_object *usage, const char *type,
                                        const struct shape *before)
{
    if (type &&
        (!strcmp(type, "message_start") || !strcmp(type, "message_delta") || !strcmp(type, "message")))
        return shape_of_messages;
    if (type && !strcmp(type, "speech.audio.done"))
        return shape_of_speech;
    if (before == shape_of_messages)
        return before;
    return of_images(usage) ? shape_of_images : shape_of_responses;
}

const struct shape *shape_of(const struct json_object *usage, const char *type, const struct shape *before)
{
    for (const struct shape *const *shape = shapes; *shape; shape++)
        if (marked(*shape, usage))
            return *shape == shape_of_responses ? of_responses(usage, type, before) : *shape;
    for (const struct rule *rule = shape_of_headers->rules; rule->path[0].text; rule++)
        if (json_header(usage->object, rule->path[0].text))
            return shape_of_headers;
    return NULL;
}

static int64_t value_of(const cJSON *item, enum how how)
{
    switch (how) {
    case SECONDS:
        return json_scaled(item, 1e3);
    case DOLLARS:
        return json_scaled(item, 1e12);
    case TICKS:
        return json_scaled(item, 1e2);
    case YES:
        return cJSON_IsTrue(item) ? 1 : -1;
    default:
        return json_count(item);
    }
}

static void apply(const struct rule *rule, const cJSON *item, struct figures *figures)
{
    int64_t value;
    if (rule->how == QUIRK) {
        rule->quirk(item, figures);
        return;
    }
    if (rule->how == ELSE && figures->of[rule->figure] >= 0)
        return;
    value = value_of(item, rule->how);
    if (value >= 0)
        figures->of[rule->figure] = value;
}

void shape_read(const struct shape *shape, const struct json_object *usage, struct figures *figures)
{
    for (int i = 0; i < FIGURE_COUNT; i++)
        figures->of[i] = -1;
    for (const struct rule *rule = shape->rules; rule->path[0].text; rule++) {
        const struct name *first = &rule->path[0];
        const cJSON *item = rule->how == HEADER ? json_header(usage->object, first->text)
                                                : json_find(usage, first->text, first->length);
        for (int step = 1; item && step < PATH_MAX_STEPS && rule->path[step].text; step++)
            item = json_member(item, rule->path[step].text);
        if (item)
            apply(rule, item, figures);
    }
}
