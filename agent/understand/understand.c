/* understand.c: see understand.h. One object after another: find its usage, read it by its shape, merge it with what
 * came before, and settle the whole. */
#include "understand/understand.h"
#include "understand/find.h"
#include "understand/json.h"
#include "understand/provider.h"
#include "understand/settle.h"
#include "understand/source.h"

#include <string.h>

/* At work on one input. */
struct work {
    struct understood *out;
    const struct understand_hints *hints;
    const struct shape *shape; /* of `figures`, which await more objects of it */
    struct figures figures;
    bool unknown; /* some usage was of no known shape */
};

/* ---- texts ---- */

/* Cut where a character begins. */
static void keep(struct understood *out, enum understood_text which, const char *text)
{
    static const uint16_t bytes_max[] = {
#define UNDERSTOOD_X(name, max) max,
        UNDERSTOOD_TEXTS(UNDERSTOOD_X)
#undef UNDERSTOOD_X
    };
    size_t length = text ? strnlen(text, bytes_max[which] + 1u) : 0;
    struct text *kept = &out->texts[which];
    if (!length)
        return;
    if (length > bytes_max[which])
        for (length = bytes_max[which]; length && ((unsigned char)text[length] & 0xc0) == 0x80;)
            length--;
    /* a newer one goes over the older if it fits there, as it does unless providers change ids as they stream */
    char *to = out->memory + out->memory_used;
    if (kept->data && kept->length >= length)
        to = out->memory + (kept->data - out->memory);
    else if (length > sizeof(out->memory) - out->memory_used)
        return;
    else
        out->memory_used += (uint32_t)length;
    memcpy(to, text, length);
    *kept = (struct text){to, (uint32_t)length};
}

/* Gemini says by what contract the traffic went; two of them are what others call tiers. */
static const char *tier_of_traffic(const char *traffic)
{
    if (traffic && !strcmp(traffic, "ON_DEMAND_FLEX"))
        return "flex";
    if (traffic && !strcmp(traffic, "ON_DEMAND_PRIORITY"))
        return "priority";
    return traffic;
}

static void keep_answer(struct understood *out, const struct json_object *answer)
{
    keep(out, UNDERSTOOD_TEXT_response_model, find_text(json_get(answer, "model")));
    keep(out, UNDERSTOOD_TEXT_response_model, find_text(json_get(answer, "modelVersion")));
    keep(out, UNDERSTOOD_TEXT_response_model, find_text(json_get(answer, "model_version")));
    keep(out, UNDERSTOOD_TEXT_response_id, find_text(json_get(answer, "id")));
    keep(out, UNDERSTOOD_TEXT_response_id, find_text(json_get(answer, "responseId")));
    keep(out, UNDERSTOOD_TEXT_response_id, find_text(json_get(answer, "response_id")));
    keep(out, UNDERSTOOD_TEXT_service_tier, find_text(json_get(answer, "service_tier")));
    /* Bedrock's */
    keep(out, UNDERSTOOD_TEXT_service_tier, find_text(json_member(json_get(answer, "serviceTier"), "type")));
}

static void keep_usage(struct understood *out, const struct json_object *usage)
{
    keep(out, UNDERSTOOD_TEXT_service_tier, tier_of_traffic(find_text(json_get(usage, "trafficType"))));
    keep(out, UNDERSTOOD_TEXT_service_tier, find_text(json_get(usage, "service_tier")));
    keep(out, UNDERSTOOD_TEXT_service_tier, find_text(json_get(usage, "serviceTier")));
    keep(out, UNDERSTOOD_TEXT_inference_geo, find_text(json_get(usage, "inference_geo")));
    keep(out, UNDERSTOOD_TEXT_speed, find_text(json_get(usage, "speed")));
}

static void keep_status(struct understood *out, const struct json_object *root,
                        const struct json_object *answer)
{
    const char *status = find_text(json_get(answer, "status"));
    const cJSON *error = json_get(answer, "error");
    if (!json_is(error, cJSON_Object))
        error = json_get(root, "error");
    if (!json_is(error, cJSON_Object))
        error = json_member(json_get(answer, "status_details"), "error");
    if (status && (!strcmp(status, "completed") || !strcmp(status, "incomplete")))
        out->status = TALLY_STATUS_OK;
    else if (status && !strcmp(status, "cancelled"))
        out->status = TALLY_STATUS_CANCELLED;
    else if (status && !strcmp(status, "failed"))
        out->status = TALLY_STATUS_ERROR;
    if (!json_is(error, cJSON_Object))
        return;
    out->status = TALLY_STATUS_ERROR;
    /* Google's status; OpenAI's code; the type, which all others have */
    keep(out, UNDERSTOOD_TEXT_error_type, find_text(json_member(error, "status")));
    keep(out, UNDERSTOOD_TEXT_error_type, find_text(json_member(error, "code")));
    keep(out, UNDERSTOOD_TEXT_error_type, find_text(json_member(error, "type")));
}

/* ---- counts ---- */

static bool states_any(const struct figures *figures)
{
    for (int i = 0; i < FIGURE_COUNT; i++)
        if (figures->of[i] >= 0 && i != FIGURE_own_key)
            return true;
    return false;
}

static void combine_one(int64_t *old, int64_t more, unsigned traits)
{
    if (more < 0)
        return;
    if (traits & FILLS)
        *old = *old < 0 ? more : *old;
    else if (traits & ADDS && *old >= 0)
        *old = *old <= JSON_COUNT_MAX - more ? *old + more : -1;
    else
        *old = more;
}

/* Settle what was gathered, and take it into the answer. */
static void flush(struct work *work)
{
    struct quantities settled;
    if (!work->shape)
        return;
    settle(work->shape, &work->figures, work->hints, &settled);
    for (int i = 0; i < QUANTITY_COUNT; i++)
        combine_one(&work->out->quantities.of[i], settled.of[i], work->shape->traits);
    combine_one(&work->out->provider_cost_picodollars, settle_cost(&work->figures), work->shape->traits);
    if (!(work->shape->traits & FILLS) || !work->out->shape)
        work->out->shape = work->shape->name;
    if (!work->out->provider && !work->hints->provider.data)
        work->out->provider = work->shape->provider;
    work->shape = NULL;
}

/* The next object of a stream. Counts are cumulative: the newer one replaces, and is never added. A stream's count never goes back to
 * 0: gateways fill in a 0 where they know nothing. */
static void gather(struct work *work, const struct shape *shape, const struct figures *figures)
{
    if (work->shape != shape || shape->traits & ADDS) {
        flush(work);
        work->shape = shape;
        work->figures = *figures;
        return;
    }
    if (shape->traits & LAST_WINS) {
        if (states_any(figures))
            work->figures = *figures;
        return;
    }
    for (int i = 0; i < FIGURE_COUNT; i++)
        if (figures->of[i] > 0 || (figures->of[i] == 0 && work->figures.of[i] <= 0))
            work->figures.of[i] = figures->of[i];
}

/* No request has an input of nothing: a gateway that knows none yet writes 0 into Anthropic's events. */
static void forget_empty_input(const char *type, struct figures *figures)
{
    bool event = type && (!strcmp(type, "message_start") || !strcmp(type, "message_delta"));
    if (event && figures->of[QUANTITY_input_tokens] == 0 && figures->of[QUANTITY_cache_read_tokens] <= 0 &&
        figures->of[FIGURE_cache_write_tokens] <= 0)
        figures->of[QUANTITY_input_tokens] = -1;
}

/* An answer or an event without usage is sound; any other object was meant to be usage. */
static bool is_answer(const cJSON *root)
{
    static const char *const marks[] = {
        "type",  "object",  "error", "choices",    "content",       "candidates",
        "id",    "message", "model", "embeddings", "embedding",     "data",
        "usage", "output",  "done",  "event_type", "promptFeedback"};
    if (!root->child)
        return json_is(root, cJSON_Object);
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (cJSON_GetObjectItemCaseSensitive(root, marks[i]))
            return true;
    return false;
}

static void take_object(void *context, const cJSON *object)
{
    struct work *work = context;
    struct json_object root;
    struct json_object answer;
    struct found found;
    struct figures figures;
    json_open(object, &root);
    find_usage(&root, work->shape, &found);
    if (found.member || !found.usage.object) {
        json_open(found.member ? found.holder : find_answer(&root), &answer);
        keep_answer(work->out, &answer);
        keep_status(work->out, &root, &answer);
    } else {
        /* native APIs state their counts beside the model */
        keep(work->out, UNDERSTOOD_TEXT_response_model, find_text(json_get(&root, "model")));
    }
    if (!found.usage.object) {
        work->unknown |= !json_is(object, cJSON_NULL) && !is_answer(object);
        return;
    }
    if (!found.shape) {
        work->unknown = true;
        return;
    }
    keep_usage(work->out, &found.usage);
    shape_read(found.shape, &found.usage, &figures);
    forget_empty_input(find_text(json_get(&root, "type")), &figures);
    gather(work, found.shape, &figures);
}

void understand(const struct understand_hints *hints, const char *json, size_t length, struct understood *out)
{
    static const struct understand_hints none;
    struct work work = {.out = out};
    memset(out, 0, offsetof(struct understood, memory));
    out->memory_used = 0;
    out->provider_cost_picodollars = -1;
    out->status = TALLY_STATUS_UNKNOWN;
    quantities_init(&out->quantities);
    hints = hints ? hints : &none;
    if (!hints->provider.data)
        out->provider = provider_of_host(hints->server_address);
    work.hints = hints;
    json_begin();
    bool sound = source_each(json, length, take_object, &work);
    flush(&work);
    settle_parts(&out->quantities);
    json_end();
    /* a prompt that is only counted is not used */
    if (text_is(hints->operation, "count_tokens"))
        quantities_init(&out->quantities);
    bool counts = out->provider_cost_picodollars >= 0;
    for (int i = 0; i < QUANTITY_COUNT; i++)
        counts |= out->quantities.of[i] >= 0;
    out->kind = counts         ? UNDERSTOOD_COUNTS
                : work.unknown ? UNDERSTOOD_UNKNOWN
                : sound        ? UNDERSTOOD_NOTHING
                               : UNDERSTOOD_DAMAGED;
    out->known = out->kind == UNDERSTOOD_COUNTS || out->kind == UNDERSTOOD_NOTHING;
}
