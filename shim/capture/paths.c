/* paths.c: the table. A provider puts its usage, or its answers, somewhere new: add the place here. What the agent can understand
 * of it is agent/understand/find.c's and shapes.c's, which hold the same places.
 *
 * A row: name; what becomes of a string, of a number; where an object, a list leads; flags. */
#include "capture/paths.h"

#include <string.h>

struct row {
    const char *name;
    uint8_t length;
    struct body_path path;
};

#define ROW(name, ...)                                                                                       \
    {                                                                                                        \
        name, sizeof(name) - 1,                                                                              \
        {                                                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define KEEP(name)            ROW(name, .text = TEXT_KEPT)
#define ENTER(name, place)    ROW(name, .object = PLACE_##place)
#define ITEMS(name, place)    ROW(name, .list = PLACE_##place)
#define CONTENT(name)         ROW(name, .text = TEXT_CONTENT, .object = PLACE_CONTENT, .list = PLACE_CONTENT)
#define BARE(name)            ROW(name, .number = NUMBER_COUNT, .flags = PATH_BARE | PATH_TELLING)
#define VALUE(name, which)    ROW(name, .text = TEXT_##which)
#define PLACE(rows, inherits) rows, sizeof(rows) / sizeof((rows)[0]), PLACE_##inherits

/* An answer: who gave it, and what it used. */
static const struct row answer[] = {
    KEEP("id"),
    KEEP("model"),
    KEEP("service_tier"),
    KEEP("status"),
    ROW("type", .text = TEXT_KEPT, .flags = PATH_WEIGHTLESS),
    KEEP("modelVersion"),
    KEEP("responseId"),
    KEEP("model_version"),
    KEEP("response_id"),
    ENTER("usage", USAGE),
    ENTER("usageMetadata", USAGE),
    ENTER("usage_metadata", USAGE),
    ENTER("x_groq", GROQ),
    ENTER("meta", META),
    ENTER("amazon-bedrock-invocationMetrics", USAGE),
    ENTER("serviceTier", TIER),
    ROW("error", .object = PLACE_ERROR, .flags = PATH_LASTING),
    ENTER("status_details", ERROR_HOLDER),
    ITEMS("choices", CHOICE),
    CONTENT("content"), /* Anthropic, llama.cpp */
};

/* The root of a response's document or event: an answer, or what holds one; native APIs' counts; and answers' beginnings. */
static const struct row response[] = {
    ENTER("message", MESSAGE),                                            /* Anthropic: message_start */
    ROW("response", .text = TEXT_CONTENT, .object = PLACE_NESTED),        /* OpenAI; Ollama's text */
    ROW("delta", .text = TEXT_CONTENT, .object = PLACE_DELTA),            /* OpenAI's *.delta; others */
    ENTER("result", RESULT),                                              /* Cloudflare; batches */
    ENTER("interaction", ANSWER),                                         /* Gemini's interactions */
    ENTER("contentBlockDelta", BLOCK),                                    /* Nova */
    ENTER("body", ANSWER),                                                /* batches */
    ROW("metadata", .object = PLACE_METADATA_EVENT, .flags = PATH_ALONE), /* Bedrock, as SDKs wrap it */
    ITEMS("candidates", CANDIDATE),                                       /* Gemini */
    ITEMS("results", TITAN_RESULT),                                       /* Titan */
    BARE("prompt_eval_count"),                                            /* Ollama */
    BARE("eval_count"),
    BARE("tokens_evaluated"), /* llama.cpp */
    BARE("tokens_predicted"),
    BARE("inputTextTokenCount"), /* Titan */
    BARE("totalOutputTextTokenCount"),
    BARE("prompt_token_count"), /* Llama on Bedrock */
    BARE("generation_token_count"),
    CONTENT("text"),       /* Cohere v1 */
    CONTENT("generation"), /* Llama on Bedrock */
    CONTENT("outputText"), /* Titan */
    CONTENT("completion"), /* Anthropic's first API */
    CONTENT("outputs"),    /* Mistral on Bedrock */
    CONTENT("embedding"),
    CONTENT("embeddings"),
    CONTENT("output"),
    ENTER("token", TEXT), /* Hugging Face */
};
static const struct row aws_payload[] = {ROW("bytes", .text = TEXT_BYTES)};
static const struct row message[] = {CONTENT("thinking"), CONTENT("tool_calls")}; /* Ollama */
static const struct row nested[] = {ENTER("body", ANSWER), CONTENT("text")};
static const struct row result[] = {ENTER("message", MESSAGE), CONTENT("response")};
static const struct row metadata_event[] = {ENTER("usage", USAGE)};

/* Where a stream's next part stands. */
static const struct row delta[] = {
    ENTER("usage", USAGE), /* Cohere v2: message-end */
    CONTENT("text"),       /* Anthropic, Bedrock */
    CONTENT("thinking"),    CONTENT("partial_json"),
    CONTENT("content"),     ENTER("reasoningContent", TEXT), /* Bedrock */
    ENTER("toolUse", TEXT), ENTER("message", DELTA_MESSAGE), /* Cohere v2 */
};
static const struct row block[] = {ENTER("delta", DELTA)};
static const struct row delta_message[] = {
    ROW("content", .text = TEXT_CONTENT, .object = PLACE_TEXT, .list = PLACE_CONTENT),
    CONTENT("tool_plan"),
    CONTENT("tool_calls"),
};
static const struct row text[] = {CONTENT("text"), CONTENT("thinking"), CONTENT("input")};
static const struct row choice[] = {
    ENTER("usage", USAGE), /* Moonshot */
    ENTER("delta", CHOICE_DELTA),
    ENTER("message", CHOICE_DELTA),
    CONTENT("text"),
};
static const struct row choice_delta[] = {
    CONTENT("content"),
    CONTENT("reasoning"),
    CONTENT("reasoning_content"),
    CONTENT("reasoning_details"),
    CONTENT("tool_calls"),
    CONTENT("refusal"),
    CONTENT("audio"),
    CONTENT("function_call"),
};
static const struct row candidate[] = {ENTER("content", CANDIDATE_CONTENT)};
static const struct row candidate_content[] = {ITEMS("parts", PART)};
static const struct row part[] = {
    CONTENT("text"),           CONTENT("functionCall"),        CONTENT("inlineData"),
    CONTENT("executableCode"), CONTENT("codeExecutionResult"),
};
static const struct row titan_result[] = {BARE("tokenCount"), CONTENT("outputText")};

static const struct row error[] = {KEEP("type"), KEEP("code"), KEEP("status")};
static const struct row error_holder[] = {ROW("error", .object = PLACE_ERROR, .flags = PATH_LASTING)};
static const struct row tier[] = {KEEP("type")};
static const struct row groq[] = {ENTER("usage", USAGE)};
static const struct row meta[] = {
    ENTER("billed_units", BILLED),
    ENTER("tokens", USAGE),
    ROW("cached_tokens", .number = NUMBER_COUNT),
};

/* Texts within usage: of no others would anybody know what they may say. */
static const struct row usage[] = {
    KEEP("type"),
    KEEP("model"),
    KEEP("id"),
    KEEP("status"),
    KEEP("code"),
    KEEP("modality"),
    KEEP("ttl"),
    KEEP("service_tier"),
    KEEP("serviceTier"),
    KEEP("trafficType"),
    KEEP("inference_geo"),
    KEEP("speed"),
    ENTER("billed_units", BILLED),
};

static const struct row request[] = {
    VALUE("model", MODEL),
    VALUE("service_tier", TIER),
    VALUE("user", USER),
    ROW("stream", .flags = PATH_STREAM),
    ENTER("metadata", REQUEST_METADATA),
};

static const struct {
    const struct row *rows;
    size_t count;
    enum place inherits;
} places[PLACES] = {
    [PLACE_RESPONSE] = {PLACE(response, ANSWER)},
    [PLACE_AWS_PAYLOAD] = {PLACE(aws_payload, RESPONSE)},
    [PLACE_ANSWER] = {PLACE(answer, NONE)},
    [PLACE_MESSAGE] = {PLACE(message, ANSWER)},
    [PLACE_NESTED] = {PLACE(nested, ANSWER)},
    [PLACE_RESULT] = {PLACE(result, ANSWER)},
    [PLACE_DELTA] = {PLACE(delta, NONE)},
    [PLACE_METADATA_EVENT] = {PLACE(metadata_event, NONE)},
    [PLACE_BLOCK] = {PLACE(block, NONE)},
    [PLACE_CHOICE] = {PLACE(choice, NONE)},
    [PLACE_CHOICE_DELTA] = {PLACE(choice_delta, NONE)},
    [PLACE_CANDIDATE] = {PLACE(candidate, NONE)},
    [PLACE_CANDIDATE_CONTENT] = {PLACE(candidate_content, NONE)},
    [PLACE_PART] = {PLACE(part, NONE)},
    [PLACE_DELTA_MESSAGE] = {PLACE(delta_message, NONE)},
    [PLACE_TEXT] = {PLACE(text, NONE)},
    [PLACE_TITAN_RESULT] = {PLACE(titan_result, NONE)},
    [PLACE_ERROR] = {PLACE(error, NONE)},
    [PLACE_ERROR_HOLDER] = {PLACE(error_holder, NONE)},
    [PLACE_TIER] = {PLACE(tier, NONE)},
    [PLACE_GROQ] = {PLACE(groq, NONE)},
    [PLACE_META] = {PLACE(meta, NONE)},
    [PLACE_USAGE] = {PLACE(usage, NONE)},
    [PLACE_BILLED] = {PLACE(usage, NONE)},
    [PLACE_REQUEST] = {PLACE(request, NONE)},
};

/* Counts of tokens are what no other service's usage has. */
static bool tells(const char *name, uint8_t length)
{
    return memmem(name, length, "oken", 4);
}

static struct body_path in_usage(enum place place, struct body_path path, const char *name, uint8_t length)
{
    path.text = path.text ? path.text : TEXT_DIGITS;
    path.number = NUMBER_COUNT;
    path.object = path.object ? path.object : (uint8_t)place;
    path.list = (uint8_t)place;
    path.flags = PATH_LITERAL;
    if (place == PLACE_BILLED || tells(name, length))
        path.flags |= PATH_TELLING;
    return path;
}

struct body_path paths_find(enum place place, const char *name, uint8_t length)
{
    struct body_path path = {0};
    if (place == PLACE_REQUEST_METADATA)
        return (struct body_path){.text = TEXT_METADATA, .number = NUMBER_METADATA, .flags = PATH_LITERAL};
    for (enum place in = place; in != PLACE_NONE; in = places[in].inherits) {
        const struct row *row = places[in].rows;
        for (size_t left = places[in].count; left; left--, row++) {
            if (row->length == length && !memcmp(row->name, name, length)) {
                path = row->path;
                goto found;
            }
        }
    }
found:
    return place_is_usage((uint8_t)place) ? in_usage(place, path, name, length) : path;
}

struct body_path paths_item(enum place place, uint8_t number)
{
    struct body_path path = {.object = (uint8_t)place};
    /* of several answers to one request the first will do */
    if ((place == PLACE_CHOICE || place == PLACE_CANDIDATE) && number > 1)
        path.object = PLACE_NONE;
    if (place_is_usage((uint8_t)place))
        path.list = (uint8_t)place;
    return path;
}
