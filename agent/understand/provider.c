/* provider.c: see provider.h. */
#include "understand/provider.h"

#include <string.h>
#include <strings.h>

/* A host is this, or ends with "." and this. */
static const struct {
    const char *host;
    const char *provider;
} hosts[] = {
    {"api.openai.com", "openai"},
    {"openai.azure.com", "azure.ai.openai"},
    {"cognitiveservices.azure.com", "azure.ai.openai"},
    {"services.ai.azure.com", "azure.ai.inference"},
    {"api.anthropic.com", "anthropic"},
    {"generativelanguage.googleapis.com", "gcp.gemini"},
    {"aiplatform.googleapis.com", "gcp.vertex_ai"},
    {"amazonaws.com", "aws.bedrock"},
    {"api.aws", "aws.bedrock"},
    {"api.cohere.com", "cohere"},
    {"api.cohere.ai", "cohere"},
    {"api.mistral.ai", "mistral_ai"},
    {"api.deepseek.com", "deepseek"},
    {"api.groq.com", "groq"},
    {"api.x.ai", "x_ai"},
    {"openrouter.ai", "openrouter"},
    {"api.perplexity.ai", "perplexity"},
    {"ml.cloud.ibm.com", "ibm.watsonx.ai"},
    {"api.together.xyz", "together_ai"},
    {"api.fireworks.ai", "fireworks_ai"},
    {"api.cerebras.ai", "cerebras"},
    {"api.voyageai.com", "voyage"},
    {"api.moonshot.ai", "moonshot"},
    {"api.z.ai", "zai"},
    {"router.huggingface.co", "huggingface"},
};

static bool ends_with(struct text text, const char *end)
{
    size_t length = strlen(end);
    if (text.length < length || strncasecmp(text.data + text.length - length, end, length) != 0)
        return false;
    /* regions stand before a "-" in Vertex AI's names */
    return text.length == length || text.data[text.length - length - 1] == '.' ||
           text.data[text.length - length - 1] == '-';
}

const char *provider_of_host(struct text host)
{
    for (size_t i = 0; host.data && i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (ends_with(host, hosts[i].host))
            return hosts[i].provider;
    return NULL;
}

bool text_has(struct text text, const char *part)
{
    size_t length = strlen(part);
    for (uint32_t at = 0; text.data && at + length <= text.length; at++)
        if (!strncasecmp(text.data + at, part, length))
            return true;
    return false;
}

bool text_is(struct text text, const char *whole)
{
    return text.length == strlen(whole) && !strncasecmp(text.data, whole, text.length);
}

bool provider_is_google(const struct understand_hints *hints)
{
    return text_has(hints->provider, "google") || text_has(hints->provider, "gemini") ||
           text_has(hints->provider, "vertex") || text_has(hints->server_address, "googleapis.com") ||
           text_has(hints->request_model, "gemini") || text_has(hints->response_model, "gemini");
}
