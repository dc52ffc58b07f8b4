/* body_kit.h: what the tests of picking share: a body fed in pieces, and what was picked compared with all that it said. */
#ifndef TESTS_UNIT_BODY_KIT_H
#define TESTS_UNIT_BODY_KIT_H

#include "unit/understand_kit.h"

#include "capture/body.h"

struct picked {
    struct body body;
    unsigned news;
    size_t length;
    char json[BODY_FRAGMENTS_BYTES + 64];
};

/* piece: bytes at a time, each in memory of just that size; 0: all at once. */
static inline void kit_feed(struct picked *out, enum body_format format, const char *names, const char *bytes,
                            size_t length, size_t piece)
{
    out->news = 0;
    body_begin(&out->body, format, names);
    for (size_t at = 0; at < length;) {
        size_t left = length - at;
        size_t next = piece && piece < left ? piece : left;
        char *exact = malloc(next);
        assert_non_null(exact);
        memcpy(exact, bytes + at, next);
        out->news |= body_feed(&out->body, exact, next);
        free(exact);
        at += next;
    }
}

static inline void kit_pick(struct picked *out, enum body_format format, const char *bytes, size_t length,
                            size_t piece)
{
    kit_feed(out, format, NULL, bytes, length, piece);
    out->news |= body_finish(&out->body);
    out->length = body_usage_json(&out->body, out->json, sizeof out->json - 1);
    out->json[out->length] = '\0';
}

static inline bool kit_same_text(struct text a, struct text b)
{
    return a.length == b.length && (!a.length || !memcmp(a.data, b.data, a.length));
}

/* What differs between two readings, or NULL. */
static inline const char *kit_difference(const struct understood *a, const struct understood *b)
{
    static const char *const texts[] = {
#define UNDERSTOOD_X(name, bytes_max) #name,
        UNDERSTOOD_TEXTS(UNDERSTOOD_X)
#undef UNDERSTOOD_X
    };
    for (int i = 0; i < QUANTITY_COUNT; i++)
        if (a->quantities.of[i] != b->quantities.of[i])
            return kit_quantity_names[i];
    for (int i = 0; i < UNDERSTOOD_TEXT_COUNT; i++)
        if (!kit_same_text(a->texts[i], b->texts[i]))
            return texts[i];
    if (a->provider_cost_picodollars != b->provider_cost_picodollars)
        return "cost";
    if (a->status != b->status)
        return "status";
    if (a->kind != UNDERSTOOD_COUNTS)
        return NULL;
    if (a->shape != b->shape)
        return "shape";
    return a->provider == b->provider ? NULL : "provider";
}

/* Names under which a text may be picked: none of them holds what was said. */
static inline bool kit_is_name(const char *name)
{
    static const char *const names[] = {"id",          "model",        "service_tier",  "status",
                                        "type",        "modelVersion", "responseId",    "response_id",
                                        "code",        "ttl",          "modality",      "model_version",
                                        "serviceTier", "trafficType",  "inference_geo", "speed"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name && !strcmp(name, names[i]))
            return true;
    return false;
}

/* The first text in it that should not be there, or NULL. Digits may be: some write counts so. */
static inline const char *kit_stray_text(const cJSON *item)
{
    for (; item; item = item->next) {
        const char *stray = kit_stray_text(item->child);
        if (stray)
            return stray;
        if (cJSON_IsString(item) && !kit_is_name(item->string) &&
            strspn(item->valuestring, "0123456789.eE+-") != strlen(item->valuestring))
            return item->valuestring;
    }
    return NULL;
}

/* Whether a text stands in it where an answer says something. */
static inline bool kit_is_said(const cJSON *item, const char *text)
{
    static const char *const names[] = {
        "content",     "text",    "thinking",   "arguments", "partial_json",
        "reasoning",   "delta",   "response",   "refusal",   "reasoning_content",
        "output_text", "summary", "outputText", "generation"};
    for (; item; item = item->next) {
        bool named = false;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            named |= item->string && !strcmp(item->string, names[i]);
        if (named && cJSON_IsString(item) && !strcmp(item->valuestring, text))
            return true;
        if (kit_is_said(item->child, text))
            return true;
    }
    return false;
}

/* The same of any text of what was picked: body is JSON, or events. */
static inline bool kit_any_said(const cJSON *picked, const char *body)
{
    for (const cJSON *item = picked; item; item = item->next) {
        if (kit_any_said(item->child, body))
            return true;
        for (const char *line = cJSON_IsString(item) && item->valuestring[0] ? body : NULL; line;
             line = strchr(line, '\n')) {
            line += strspn(line, "\r\n");
            cJSON *document = cJSON_Parse(strncmp(line, "data:", 5) != 0 ? line : line + 5);
            bool said = document && kit_is_said(document, item->valuestring);
            cJSON_Delete(document);
            if (said)
                return true;
        }
    }
    return false;
}

#endif
