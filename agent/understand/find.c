/* find.c: see find.h. */
#include "understand/find.h"
#include "understand/json.h"

#include <stddef.h>
#include <string.h>

/* What holds an answer, in what is handed over. */
static const char *const answers[][3] = {
    {"message"},  /* Anthropic: message_start */
    {"response"}, /* OpenAI: responses' and realtime's events; Cohere v1: stream-end; Gemini's batches */
    {"response", "body"},  /* OpenAI: batches */
    {"delta"},             /* Cohere v2: message-end */
    {"result"},            /* Cloudflare */
    {"result", "message"}, /* Anthropic: batches */
    {"interaction"},       /* Gemini's interactions: interaction.completed */
    {"metadata"},          /* Bedrock: the last event of ConverseStream, as SDKs wrap it */
    {"body"},              /* body and headers, side by side */
    {NULL},
};

/* What holds usage, in an answer. */
static const char *const holders[][3] = {
    {"usage"},
    {"usageMetadata"},
    {"usage_metadata"},
    {"x_groq", "usage"},
    {"meta"}, /* Cohere v1, and all its embeddings and rankings */
    {"amazon-bedrock-invocationMetrics"},
    {"headers"},
    {"ResponseMetadata", "HTTPHeaders"}, /* boto3 */
    {NULL},
};

static const cJSON *follow(const cJSON *object, const char *const path[3])
{
    for (int step = 0; object && step < 3 && path[step]; step++)
        object = json_member(object, path[step]);
    return json_is(object, cJSON_Object) ? object : NULL;
}

const char *find_text(const cJSON *item)
{
    return json_is(item, cJSON_String) && item->valuestring[0] ? item->valuestring : NULL;
}

/* usage: open in out already where it is the root itself. */
static bool take(struct found *out, const struct json_object *root, const cJSON *holder, const cJSON *usage,
                 const char *member, const struct shape *before)
{
    struct json_object open;
    const char *type = find_text(json_get(root, "type"));
    if (!type && member)
        type = find_text(json_member(holder, "type"));
    if (member)
        json_open(usage, &open);
    const struct shape *shape = shape_of(member ? &open : root, type, before);
    /* `meta` and headers hold much else */
    bool usage_by_name = member && member[0] == 'u';
    if (!shape && !(usage_by_name && usage->child && !out->usage.object))
        return false;
    out->usage = member ? open : *root;
    out->holder = holder;
    out->member = member;
    out->shape = shape;
    return shape;
}

/* Moonshot puts a stream's usage into the choice. */
static const cJSON *first_choice(const cJSON *answer)
{
    const cJSON *choices = json_member(answer, "choices");
    return json_is(choices, cJSON_Array) ? choices->child : NULL;
}

static bool find_in(struct found *out, const struct json_object *root, const cJSON *answer,
                    const struct shape *before)
{
    for (size_t i = 0; holders[i][0]; i++) {
        const cJSON *usage = follow(answer, holders[i]);
        if (usage && take(out, root, answer, usage, holders[i][0], before))
            return true;
    }
    const cJSON *usage = json_member(first_choice(answer), "usage");
    return json_is(usage, cJSON_Object) && take(out, root, answer, usage, "usage", before);
}

/* The user's own metadata, which many APIs echo, is never looked into: Bedrock's stands alone in its event. */
static bool may_hold(const struct json_object *root, const char *name)
{
    return strcmp(name, "metadata") != 0 || root->count == 1;
}

void find_usage(const struct json_object *root, const struct shape *before, struct found *out)
{
    out->usage.object = out->holder = NULL;
    out->member = NULL;
    out->shape = NULL;
    if (!root->count)
        return;
    /* what most hand over: the object itself, or an answer with its usage */
    if (!json_get(root, "usage") && !json_get(root, "usageMetadata") &&
        take(out, root, root->object, root->object, NULL, before))
        return;
    if (find_in(out, root, root->object, before))
        return;
    for (size_t i = 0; answers[i][0]; i++) {
        const cJSON *answer = follow(root->object, answers[i]);
        if (answer && may_hold(root, answers[i][0]) && find_in(out, root, answer, before))
            return;
    }
}

const cJSON *find_answer(const struct json_object *root)
{
    for (size_t i = 0; answers[i][0]; i++) {
        const cJSON *answer = follow(root->object, answers[i]);
        if (answer && may_hold(root, answers[i][0]) &&
            (json_member(answer, "id") || json_member(answer, "model") || json_member(answer, "status")))
            return answer;
    }
    return root->object;
}
