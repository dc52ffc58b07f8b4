/* shapes.c: what providers call what. A row: path, what is meant, how to take it. */
#include "understand/shapes.h"
#include "understand/quirks.h"

#include <stddef.h>

// clang-format off
#define Q(name) QUANTITY_##name
#define F(name) FIGURE_##name
#define NAME(text) {text, sizeof(text) - 1}
#define PATH(...)  {PATH_OF(__VA_ARGS__, PATH_3, PATH_2, PATH_1)(__VA_ARGS__)}
#define PATH_OF(a, b, c, macro, ...) macro
#define PATH_1(a)       NAME(a)
#define PATH_2(a, b)    NAME(a), NAME(b)
#define PATH_3(a, b, c) NAME(a), NAME(b), NAME(c)
#define END {.path = {{NULL, 0}}}
// clang-format on

/* What a call cost, as the provider states it, whatever the shape: OpenRouter, Perplexity, DeepInfra, xAI. OpenRouter's `cost`
 * is what it charges itself; where the user brought a key of his own (is_byok) the upstream provider charges him besides. */
#define COSTS                                                                                                \
    {PATH("cost"), F(provider_cost), DOLLARS, NULL},                                                         \
        {PATH("cost", "total_cost"), F(provider_cost), DOLLARS, NULL},                                       \
        {PATH("estimated_cost"), F(provider_cost), DOLLARS, NULL},                                           \
        {PATH("cost_in_usd_ticks"), F(provider_cost), TICKS, NULL},                                          \
        {PATH("cost_details", "upstream_inference_cost"), F(upstream_cost), DOLLARS, NULL},                  \
    {                                                                                                        \
        PATH("is_byok"), F(own_key), YES, NULL                                                               \
    }

/* Searches made for the model: Anthropic; OpenRouter; Perplexity; xAI counts sources. */
#define SEARCHES                                                                                             \
    {PATH("server_tool_use", "web_search_requests"), Q(web_searches), ELSE, NULL},                           \
        {PATH("server_tool_use_details", "web_search_requests"), Q(web_searches), ELSE, NULL},               \
        {PATH("num_search_queries"), Q(web_searches), ELSE, NULL},                                           \
    {                                                                                                        \
        PATH("num_sources_used"), Q(web_searches), ELSE, NULL                                                \
    }

/* OpenAI's chat, completions and embeddings, and everybody who took them for a model: Azure, Mistral, DeepSeek, Groq, xAI, OpenRouter,
 * Together, Fireworks, Cerebras, Perplexity, Moonshot, Voyage, vLLM, ... Prompt includes cached, completion includes reasoning. */
static const struct rule openai_chat[] = {
    {PATH("prompt_tokens"), Q(input_tokens), IS, NULL},
    {PATH("promptTokens"), Q(input_tokens), ELSE, NULL},
    {PATH("completion_tokens"), Q(output_tokens), IS, NULL},
    {PATH("completionTokens"), Q(output_tokens), ELSE, NULL},
    {PATH("total_tokens"), F(total_tokens), IS, NULL},
    {PATH("totalTokens"), F(total_tokens), ELSE, NULL},
    {PATH("prompt_tokens_details", "cached_tokens"), Q(cache_read_tokens), IS, NULL},
    {PATH("prompt_token_details", "cached_tokens"), Q(cache_read_tokens), ELSE, NULL}, /* Mistral, once */
    {PATH("prompt_cache_hit_tokens"), Q(cache_read_tokens), ELSE, NULL},               /* DeepSeek */
    {PATH("num_cached_tokens"), Q(cache_read_tokens), ELSE, NULL},                     /* Mistral */
    {PATH("cached_tokens"), Q(cache_read_tokens), ELSE, NULL},           /* Together, Moonshot */
    {PATH("cache_read_input_tokens"), Q(cache_read_tokens), ELSE, NULL}, /* gateways to Claude */
    {PATH("prompt_tokens_details", "cache_write_tokens"), F(cache_write_tokens), IS, NULL},
    {PATH("prompt_tokens_details", "cache_creation_tokens"), F(cache_write_tokens), ELSE, NULL}, /* LiteLLM */
    {PATH("prompt_tokens_details", "cache_creation_input_tokens"), F(cache_write_tokens), ELSE,
     NULL}, /* Qwen */
    {PATH("cache_creation_input_tokens"), F(cache_write_tokens), ELSE, NULL},
    {PATH("prompt_tokens_details", "audio_tokens"), Q(input_audio_tokens), IS, NULL},
    {PATH("prompt_tokens_details", "image_tokens"), Q(input_image_tokens), IS, NULL},
    {PATH("prompt_tokens_details", "video_tokens"), Q(input_video_tokens), IS, NULL},
    {PATH("completion_tokens_details", "reasoning_tokens"), Q(reasoning_tokens), IS, NULL},
    {PATH("reasoning_tokens"), Q(reasoning_tokens), ELSE, NULL}, /* Perplexity */
    {PATH("completion_tokens_details", "audio_tokens"), Q(output_audio_tokens), IS, NULL},
    {PATH("completion_tokens_details", "image_tokens"), Q(output_image_tokens), IS, NULL},
    {PATH("prompt_audio_seconds"), Q(input_audio_ms), SECONDS, NULL}, /* Mistral */
    SEARCHES,
    COSTS,
    END,
};

/* OpenAI's responses, audio, realtime: details in the plural or the singular. Input includes cached, output reasoning. */
static const struct rule openai_responses[] = {
    {PATH("input_tokens"), Q(input_tokens), IS, NULL},
    {PATH("output_tokens"), Q(output_tokens), IS, NULL},
    {PATH("total_tokens"), F(total_tokens), IS, NULL},
    {PATH("input_tokens_details", "cached_tokens"), Q(cache_read_tokens), IS, NULL},
    {PATH("input_token_details", "cached_tokens"), Q(cache_read_tokens), ELSE, NULL},
    {PATH("input_token_details", "cache_read"), Q(cache_read_tokens), ELSE, NULL}, /* LangChain */
    {PATH("input_tokens_details", "cache_read_input_tokens"), Q(cache_read_tokens), ELSE,
     NULL}, /* Perplexity */
    {PATH("input_tokens_details", "cache_write_tokens"), F(cache_write_tokens), IS, NULL},
    {PATH("input_tokens_details", "cache_creation_input_tokens"), F(cache_write_tokens), ELSE, NULL},
    {PATH("input_token_details", "cache_creation"), F(cache_write_tokens), ELSE, NULL},
    {PATH("input_tokens_details", "audio_tokens"), Q(input_audio_tokens), IS, NULL},
    {PATH("input_token_details", "audio_tokens"), Q(input_audio_tokens), ELSE, NULL},
    {PATH("input_token_details", "audio"), Q(input_audio_tokens), ELSE, NULL},
    {PATH("input_tokens_details", "image_tokens"), Q(input_image_tokens), IS, NULL},
    {PATH("input_token_details", "image_tokens"), Q(input_image_tokens), ELSE, NULL},
    {PATH("input_token_details", "cached_tokens_details", "audio_tokens"), Q(cache_read_audio_tokens), IS,
     NULL},
    {PATH("input_token_details", "cached_tokens_details", "image_tokens"), Q(cache_read_image_tokens), IS,
     NULL},
    {PATH("output_tokens_details", "reasoning_tokens"), Q(reasoning_tokens), IS, NULL},
    {PATH("output_token_details", "reasoning_tokens"), Q(reasoning_tokens), ELSE, NULL},
    {PATH("output_token_details", "reasoning"), Q(reasoning_tokens), ELSE, NULL},
    {PATH("output_tokens_details", "thinking_tokens"), Q(reasoning_tokens), ELSE,
     NULL}, /* Anthropic, in part */
    {PATH("output_tokens_details", "audio_tokens"), Q(output_audio_tokens), IS, NULL},
    {PATH("output_token_details", "audio_tokens"), Q(output_audio_tokens), ELSE, NULL},
    {PATH("output_token_details", "audio"), Q(output_audio_tokens), ELSE, NULL},
    {PATH("output_tokens_details", "image_tokens"), Q(output_image_tokens), IS, NULL},
    {PATH("seconds"), Q(input_audio_ms), SECONDS, NULL}, /* transcriptions billed by time */
    SEARCHES,
    COSTS,
    END,
};

/* Anthropic, wherever it is served. Thinking is part of the output. Of the iterations within a request those that compact the
 * conversation are billed, and not in the main counts. */
static const struct rule anthropic_messages[] = {
    {PATH("input_tokens"), Q(input_tokens), IS, NULL},
    {PATH("output_tokens"), Q(output_tokens), IS, NULL},
    {PATH("total_tokens"), F(total_tokens), IS, NULL}, /* some gateways */
    {PATH("cache_read_input_tokens"), Q(cache_read_tokens), IS, NULL},
    {PATH("cache_creation_input_tokens"), F(cache_write_tokens), IS, NULL},
    {PATH("cache_creation", "ephemeral_5m_input_tokens"), Q(cache_write_5m_tokens), IS, NULL},
    {PATH("cache_creation", "ephemeral_1h_input_tokens"), Q(cache_write_1h_tokens), IS, NULL},
    {PATH("output_tokens_details", "thinking_tokens"), Q(reasoning_tokens), IS, NULL},
    {PATH("output_tokens_details", "reasoning_tokens"), Q(reasoning_tokens), ELSE, NULL},
    {PATH("iterations"), 0, QUIRK, quirk_iterations},
    SEARCHES,
    COSTS,
    END,
};

/* Gemini and Vertex AI, in REST's spelling and in that of the Python SDK. Details are lists by modality. */
static const struct rule gemini[] = {
    {PATH("promptTokenCount"), Q(input_tokens), IS, NULL},
    {PATH("prompt_token_count"), Q(input_tokens), ELSE, NULL},
    {PATH("candidatesTokenCount"), Q(output_tokens), IS, NULL},
    {PATH("responseTokenCount"), Q(output_tokens), ELSE, NULL}, /* Live */
    {PATH("candidates_token_count"), Q(output_tokens), ELSE, NULL},
    {PATH("response_token_count"), Q(output_tokens), ELSE, NULL},
    {PATH("totalTokenCount"), F(total_tokens), IS, NULL},
    {PATH("total_token_count"), F(total_tokens), ELSE, NULL},
    {PATH("thoughtsTokenCount"), Q(reasoning_tokens), IS, NULL},
    {PATH("thoughts_token_count"), Q(reasoning_tokens), ELSE, NULL},
    {PATH("toolUsePromptTokenCount"), F(tool_tokens), IS, NULL},
    {PATH("tool_use_prompt_token_count"), F(tool_tokens), ELSE, NULL},
    {PATH("cachedContentTokenCount"), Q(cache_read_tokens), IS, NULL},
    {PATH("cached_content_token_count"), Q(cache_read_tokens), ELSE, NULL},
    {PATH("promptTokensDetails"), 0, QUIRK, quirk_input_modalities},
    {PATH("promptTokenDetails"), 0, QUIRK, quirk_input_modalities}, /* embeddings */
    {PATH("prompt_tokens_details"), 0, QUIRK, quirk_input_modalities},
    {PATH("toolUsePromptTokensDetails"), 0, QUIRK, quirk_input_modalities},
    {PATH("tool_use_prompt_tokens_details"), 0, QUIRK, quirk_input_modalities},
    {PATH("cacheTokensDetails"), 0, QUIRK, quirk_cache_modalities},
    {PATH("cache_tokens_details"), 0, QUIRK, quirk_cache_modalities},
    {PATH("candidatesTokensDetails"), 0, QUIRK, quirk_output_modalities},
    {PATH("responseTokensDetails"), 0, QUIRK, quirk_output_modalities},
    {PATH("candidates_tokens_details"), 0, QUIRK, quirk_output_modalities},
    END,
};

/* Gemini's interactions. */
static const struct rule gemini_interactions[] = {
    {PATH("total_input_tokens"), Q(input_tokens), IS, NULL},
    {PATH("total_output_tokens"), Q(output_tokens), IS, NULL},
    {PATH("total_tokens"), F(total_tokens), IS, NULL},
    {PATH("total_thought_tokens"), Q(reasoning_tokens), IS, NULL},
    {PATH("total_reasoning_tokens"), Q(reasoning_tokens), ELSE, NULL},
    {PATH("total_tool_use_tokens"), F(tool_tokens), IS, NULL},
    {PATH("total_cached_tokens"), Q(cache_read_tokens), IS, NULL},
    {PATH("input_tokens_by_modality"), 0, QUIRK, quirk_input_modalities},
    {PATH("tool_use_tokens_by_modality"), 0, QUIRK, quirk_input_modalities},
    {PATH("cached_tokens_by_modality"), 0, QUIRK, quirk_cache_modalities},
    {PATH("output_tokens_by_modality"), 0, QUIRK, quirk_output_modalities},
    END,
};

/* Bedrock's Converse, and Nova by InvokeModel. Cache counts come under two names at once. */
static const struct rule bedrock_converse[] = {
    {PATH("inputTokens"), Q(input_tokens), IS, NULL},
    {PATH("outputTokens"), Q(output_tokens), IS, NULL},
    {PATH("totalTokens"), F(total_tokens), IS, NULL},
    {PATH("cacheReadInputTokens"), Q(cache_read_tokens), IS, NULL},
    {PATH("cacheReadInputTokenCount"), Q(cache_read_tokens), ELSE, NULL},
    {PATH("cacheWriteInputTokens"), F(cache_write_tokens), IS, NULL},
    {PATH("cacheWriteInputTokenCount"), F(cache_write_tokens), ELSE, NULL},
    {PATH("cacheDetails"), 0, QUIRK, quirk_cache_lifetimes},
    END,
};

/* InvokeModel: the last event of a stream; the response's headers. */
static const struct rule bedrock_metrics[] = {
    {PATH("inputTokenCount"), Q(input_tokens), IS, NULL},
    {PATH("outputTokenCount"), Q(output_tokens), IS, NULL},
    {PATH("cacheReadInputTokenCount"), Q(cache_read_tokens), IS, NULL},
    {PATH("cacheWriteInputTokenCount"), F(cache_write_tokens), IS, NULL},
    END,
};
static const struct rule bedrock_headers[] = {
    {PATH("x-amzn-bedrock-input-token-count"), Q(input_tokens), HEADER, NULL},
    {PATH("x-amzn-bedrock-output-token-count"), Q(output_tokens), HEADER, NULL},
    {PATH("x-amzn-bedrock-cache-read-input-token-count"), Q(cache_read_tokens), HEADER, NULL},
    {PATH("x-amzn-bedrock-cache-write-input-token-count"), F(cache_write_tokens), HEADER, NULL},
    END,
};
/* InvokeModel's bodies of Titan and of Llama. */
static const struct rule bedrock_titan[] = {
    {PATH("inputTextTokenCount"), Q(input_tokens), IS, NULL},
    {PATH("totalOutputTextTokenCount"), Q(output_tokens), IS, NULL},
    {PATH("results"), 0, QUIRK, quirk_titan_results},
    END,
};
static const struct rule bedrock_llama[] = {
    {PATH("prompt_token_count"), Q(input_tokens), IS, NULL},
    {PATH("generation_token_count"), Q(output_tokens), IS, NULL},
    END,
};

/* Cohere bills `billed_units`, which leave out what the API itself adds to a prompt; `tokens` and `cached_tokens` count that too. */
static const struct rule cohere[] = {
    {PATH("billed_units", "input_tokens"), Q(input_tokens), IS, NULL},
    {PATH("billed_units", "output_tokens"), Q(output_tokens), IS, NULL},
    {PATH("billed_units", "image_tokens"), F(apart_image_tokens), IS, NULL},
    {PATH("billed_units", "images"), Q(input_images), IS, NULL},
    {PATH("billed_units", "search_units"), Q(search_units), IS, NULL},
    {PATH("tokens", "input_tokens"), Q(input_tokens), ELSE, NULL},
    {PATH("tokens", "output_tokens"), Q(output_tokens), ELSE, NULL},
    {PATH("cached_tokens"), Q(cache_read_tokens), IS, NULL},
    END,
};
static const struct rule cohere_billed[] = {
    {PATH("input_tokens"), Q(input_tokens), IS, NULL},
    {PATH("output_tokens"), Q(output_tokens), IS, NULL},
    {PATH("image_tokens"), F(apart_image_tokens), IS, NULL},
    {PATH("images"), Q(input_images), IS, NULL},
    {PATH("search_units"), Q(search_units), IS, NULL},
    END,
};

/* Ollama's own API. A prompt that was still in its cache is not counted, and left out: unknown. */
static const struct rule ollama[] = {
    {PATH("prompt_eval_count"), Q(input_tokens), IS, NULL},
    {PATH("eval_count"), Q(output_tokens), IS, NULL},
    END,
};
/* llama.cpp's own API. */
static const struct rule llama_cpp[] = {
    {PATH("tokens_evaluated"), Q(input_tokens), IS, NULL},
    {PATH("tokens_predicted"), Q(output_tokens), IS, NULL},
    END,
};
/* Vercel's AI SDK, as programs log it: like OpenAI's. */
static const struct rule ai_sdk[] = {
    {PATH("inputTokens"), Q(input_tokens), IS, NULL},
    {PATH("outputTokens"), Q(output_tokens), IS, NULL},
    {PATH("totalTokens"), F(total_tokens), IS, NULL},
    {PATH("cachedInputTokens"), Q(cache_read_tokens), IS, NULL},
    {PATH("reasoningTokens"), Q(reasoning_tokens), IS, NULL},
    END,
};

/* OpenAI's images and speech: what comes out is images, or sound, unless details say otherwise. */
static const struct rule openai_images[] = {
    {PATH("input_tokens"), Q(input_tokens), IS, NULL},
    {PATH("output_tokens"), Q(output_tokens), IS, NULL},
    {PATH("total_tokens"), F(total_tokens), IS, NULL},
    {PATH("input_tokens_details", "image_tokens"), Q(input_image_tokens), IS, NULL},
    {PATH("input_tokens_details", "cached_tokens"), Q(cache_read_tokens), IS, NULL},
    {PATH("output_tokens"), Q(output_image_tokens), IS, NULL},
    {PATH("output_tokens_details", "image_tokens"), Q(output_image_tokens), IS, NULL},
    COSTS,
    END,
};
static const struct rule openai_speech[] = {
    {PATH("input_tokens"), Q(input_tokens), IS, NULL},
    {PATH("output_tokens"), Q(output_tokens), IS, NULL},
    {PATH("total_tokens"), F(total_tokens), IS, NULL},
    {PATH("output_tokens"), Q(output_audio_tokens), IS, NULL},
    END,
};

/* Whose members these are. */
static const struct name chat_markers[] = {NAME("prompt_tokens"),
                                           NAME("completion_tokens"),
                                           NAME("promptTokens"),
                                           NAME("completionTokens"),
                                           {NULL, 0}};
static const struct name gemini_markers[] = {NAME("promptTokenCount"),
                                             NAME("totalTokenCount"),
                                             NAME("candidatesTokenCount"),
                                             NAME("responseTokenCount"),
                                             NAME("thoughtsTokenCount"),
                                             NAME("toolUsePromptTokenCount"),
                                             NAME("cachedContentTokenCount"),
                                             NAME("trafficType"),
                                             NAME("candidates_token_count"),
                                             NAME("total_token_count"),
                                             {NULL, 0}};
static const struct name cohere_markers[] = {NAME("billed_units"), {NULL, 0}};
static const struct name cohere_billed_markers[] = {NAME("search_units"), NAME("classifications"), {NULL, 0}};
static const struct name anthropic_markers[] = {NAME("cache_creation_input_tokens"),
                                                NAME("cache_read_input_tokens"),
                                                NAME("cache_creation"),
                                                NAME("server_tool_use"),
                                                NAME("iterations"),
                                                NAME("inference_geo"),
                                                {NULL, 0}};
static const struct name realtime_markers[] = {
    NAME("input_token_details"), NAME("output_token_details"), {NULL, 0}};
static const struct name responses_markers[] = {
    NAME("input_tokens"), NAME("output_tokens"), NAME("seconds"), {NULL, 0}};
static const struct name ai_sdk_markers[] = {NAME("cachedInputTokens"), NAME("reasoningTokens"), {NULL, 0}};
static const struct name converse_markers[] = {NAME("inputTokens"), NAME("outputTokens"), {NULL, 0}};
static const struct name metrics_markers[] = {NAME("inputTokenCount"), NAME("outputTokenCount"), {NULL, 0}};
static const struct name headers_markers[] = {NAME("x-amzn-bedrock-input-token-count"), {NULL, 0}};
static const struct name titan_markers[] = {NAME("inputTextTokenCount"), {NULL, 0}};
static const struct name llama_markers[] = {NAME("generation_token_count"), {NULL, 0}};
static const struct name interactions_markers[] = {
    NAME("total_input_tokens"), NAME("total_output_tokens"), {NULL, 0}};
static const struct name ollama_markers[] = {NAME("prompt_eval_count"), NAME("eval_count"), {NULL, 0}};
static const struct name llama_cpp_markers[] = {
    NAME("tokens_evaluated"), NAME("tokens_predicted"), {NULL, 0}};
static const struct name total_markers[] = {NAME("total_tokens"), {NULL, 0}};

#define SHAPE(variable, ...) static const struct shape variable = {__VA_ARGS__}

SHAPE(shape_chat, "openai chat", NULL, chat_markers, 0, openai_chat);
SHAPE(shape_gemini, "gemini", "gcp.gemini", gemini_markers, THOUGHTS_APART | LAST_WINS, gemini);
SHAPE(shape_cohere, "cohere", "cohere", cohere_markers, BILLED, cohere);
SHAPE(shape_cohere_billed, "cohere billed units", "cohere", cohere_billed_markers, BILLED, cohere_billed);
SHAPE(shape_anthropic, "anthropic messages", "anthropic", anthropic_markers, CACHE_APART, anthropic_messages);
SHAPE(shape_realtime, "openai realtime", NULL, realtime_markers, ADDS, openai_responses);
SHAPE(shape_responses, "openai responses", NULL, responses_markers, 0, openai_responses);
SHAPE(shape_ai_sdk, "ai sdk", NULL, ai_sdk_markers, 0, ai_sdk);
SHAPE(shape_converse, "bedrock converse", "aws.bedrock", converse_markers, CACHE_APART, bedrock_converse);
SHAPE(shape_metrics, "bedrock invocation metrics", "aws.bedrock", metrics_markers, CACHE_APART | FILLS,
      bedrock_metrics);
SHAPE(shape_headers, "bedrock headers", "aws.bedrock", headers_markers, CACHE_APART | FILLS, bedrock_headers);
SHAPE(shape_titan, "bedrock titan", "aws.bedrock", titan_markers, 0, bedrock_titan);
SHAPE(shape_llama, "bedrock llama", "aws.bedrock", llama_markers, 0, bedrock_llama);
SHAPE(shape_interactions, "gemini interactions", "gcp.gemini", interactions_markers,
      THOUGHTS_APART | LAST_WINS, gemini_interactions);
SHAPE(shape_ollama, "ollama", "ollama", ollama_markers, 0, ollama);
SHAPE(shape_llama_cpp, "llama.cpp", "llama.cpp", llama_cpp_markers, 0, llama_cpp);
/* Voyage, and others' embeddings and rankings. */
SHAPE(shape_total, "total alone", NULL, total_markers, TOTAL_IS_INPUT, openai_chat);
static const struct shape shape_images = {"openai images", NULL, NULL, 0, openai_images};
static const struct shape shape_speech = {"openai speech", NULL, NULL, 0, openai_speech};

/* Where two could be meant, what tells more comes first. */
const struct shape *const shapes[] = {
    &shape_chat,
    &shape_gemini,
    &shape_cohere,
    &shape_cohere_billed,
    &shape_anthropic,
    &shape_realtime,
    &shape_responses,
    &shape_ai_sdk,
    &shape_converse,
    &shape_metrics,
    &shape_titan,
    &shape_llama,
    &shape_interactions,
    &shape_ollama,
    &shape_llama_cpp,
    &shape_total,
    NULL,
};
const struct shape *const shape_of_headers = &shape_headers;
const struct shape *const shape_of_messages = &shape_anthropic;
const struct shape *const shape_of_responses = &shape_responses;
const struct shape *const shape_of_images = &shape_images;
const struct shape *const shape_of_speech = &shape_speech;
