/* lookup.c: see lookup.h. */
#include "price/lookup.h"

#include <string.h>
#include <strings.h>

/* Providers by the names that clients use, and the prefixes of their entries. local: a model of another's name costs
 * nothing here, so that no other provider's entry counts. */
static const struct provider {
    const char *name;
    const char *prefixes[2];
    bool local;
} providers[] = {
    {"azure", {"azure", "azure_ai"}, false},
    {"azure.ai.openai", {"azure", "azure_ai"}, false},
    {"az.ai.openai", {"azure", "azure_ai"}, false},
    {"azure_openai", {"azure", "azure_ai"}, false},
    {"azure.ai.inference", {"azure_ai", "azure"}, false},
    {"az.ai.inference", {"azure_ai", "azure"}, false},
    {"aws.bedrock", {"bedrock", "bedrock_converse"}, false},
    {"aws_bedrock", {"bedrock", "bedrock_converse"}, false},
    {"gcp.gemini", {"gemini", NULL}, false},
    {"gcp.gen_ai", {"gemini", "vertex_ai"}, false},
    {"google", {"gemini", "vertex_ai"}, false},
    {"google_genai", {"gemini", "vertex_ai"}, false},
    {"google-gla", {"gemini", NULL}, false},
    {"gcp.vertex_ai", {"vertex_ai", NULL}, false},
    {"vertexai", {"vertex_ai", NULL}, false},
    {"google-vertex", {"vertex_ai", NULL}, false},
    {"google_vertex", {"vertex_ai", NULL}, false},
    {"mistral", {"mistral", "codestral"}, false},
    {"mistral_ai", {"mistral", "codestral"}, false},
    {"mistralai", {"mistral", "codestral"}, false},
    {"x_ai", {"xai", NULL}, false},
    {"x.ai", {"xai", NULL}, false},
    {"grok", {"xai", NULL}, false},
    {"cohere", {"cohere", "cohere_chat"}, false},
    {"cohere_chat", {"cohere_chat", "cohere"}, false},
    {"ibm.watsonx.ai", {"watsonx", NULL}, false},
    {"together", {"together_ai", NULL}, false},
    {"togetherai", {"together_ai", NULL}, false},
    {"fireworks", {"fireworks_ai", NULL}, false},
    {"fireworks.ai", {"fireworks_ai", NULL}, false},
    {"moonshotai", {"moonshot", NULL}, false},
    {"alibaba", {"dashscope", NULL}, false},
    {"alibaba.cloud", {"dashscope", NULL}, false},
    {"qwen", {"dashscope", NULL}, false},
    {"nvidia", {"nvidia_nim", NULL}, false},
    {"vercel", {"vercel_ai_gateway", NULL}, false},
    {"hf", {"huggingface", NULL}, false},
    {"ollama", {"ollama", NULL}, true},
    {"vllm", {"vllm", "hosted_vllm"}, true},
    {"hosted_vllm", {"hosted_vllm", NULL}, true},
    {"llama.cpp", {"llama.cpp", NULL}, true},
};

#define KEY_BYTES (PRICE_NAME_BYTES_MAX + 1)

/* ---- text ---- */

static bool same(struct price_text text, const char *word)
{
    return text.length == strlen(word) && !strncasecmp(text.data, word, text.length);
}

static bool begins(struct price_text text, const char *with)
{
    size_t length = strlen(with);
    return text.length >= length && !strncasecmp(text.data, with, length);
}

static struct price_text after(struct price_text text, size_t bytes)
{
    return (struct price_text){text.data + bytes, text.length - bytes};
}

static bool digits(const char *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at[i] < '0' || at[i] > '9')
            return false;
    return true;
}

static int two(const char *at)
{
    return (at[0] - '0') * 10 + (at[1] - '0');
}

/* ---- the forms of a model's name ---- */

/* "us.anthropic.claude-...": a cross-region profile of Bedrock's. */
static struct price_text without_region(struct price_text name)
{
    static const char *const regions[] = {"us.", "eu.", "apac.",   "jp.",    "au.",
                                          "ca.", "sa.", "us-gov.", "global."};
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
        if (begins(name, regions[i]) && name.length > strlen(regions[i]))
            return after(name, strlen(regions[i]));
    return name;
}

/* "claude-3-5-haiku@20241022", "ft:gpt-4o-mini-2024-07-18:org::id". */
static struct price_text without_version(struct price_text name)
{
    const char *at = memchr(name.data, '@', name.length);
    if (at && at > name.data)
        return (struct price_text){name.data, (size_t)(at - name.data)};
    if (begins(name, "ft:")) {
        at = memchr(name.data + 3, ':', name.length - 3);
        if (at)
            return (struct price_text){name.data, (size_t)(at - name.data)};
    }
    return name;
}

static bool is_date(const char *year, const char *month, const char *day)
{
    return digits(year, 4) && digits(month, 2) && digits(day, 2) && (two(year) == 19 || two(year) == 20) &&
           two(month) >= 1 && two(month) <= 12 && two(day) >= 1 && two(day) <= 31;
}

/* "-2024-08-06", "-20240806", "-latest", ":latest". */
static struct price_text without_date(struct price_text name)
{
    const char *end = name.data + name.length;
    size_t cut = 0;
    if (name.length > 11 && end[-11] == '-' && end[-6] == '-' && end[-3] == '-' &&
        is_date(end - 10, end - 5, end - 2))
        cut = 11;
    else if (name.length > 9 && end[-9] == '-' && is_date(end - 8, end - 4, end - 2))
        cut = 9;
    else if (name.length > 7 && (end[-7] == '-' || end[-7] == ':') && !strncasecmp(end - 6, "latest", 6))
        cut = 7;
    return (struct price_text){name.data, name.length - cut};
}

/* The name, then without version, then without date: each once. Returns how many. */
static int tails(struct price_text name, struct price_text out[3])
{
    int count = 0;
    out[count++] = name;
    name = without_version(name);
    if (name.length != out[count - 1].length)
        out[count++] = name;
    name = without_date(name);
    if (name.length != out[count - 1].length)
        out[count++] = name;
    return count;
}

/* ---- keys ---- */

static const struct price_entry *find(const struct price_table *table, const char *prefix,
                                      struct price_text region, struct price_text name)
{
    char key[KEY_BYTES];
    size_t used = strlen(prefix);
    if (used + region.length + name.length + 2 > sizeof(key) || !name.length)
        return NULL;
    memcpy(key, prefix, used);
    if (used)
        key[used++] = '/';
    if (region.length) {
        memcpy(key + used, region.data, region.length);
        used += region.length;
        key[used++] = '/';
    }
    memcpy(key + used, name.data, name.length);
    const struct price_entry *found = price_table_find(table, key, used + name.length);
    return found && found->cell_count ? found : NULL;
}

/* Whether the entry is this provider's: "cohere" has entries of "cohere_chat", "openai" of "text-completion-openai". */
static bool owned(const struct price_entry *entry, const char *prefix)
{
    size_t length = strlen(prefix);
    struct price_text owner = entry->provider;
    if (begins(owner, prefix) &&
        (owner.length == length || owner.data[length] == '-' || owner.data[length] == '_'))
        return true;
    return owner.length > length && owner.data[owner.length - length - 1] == '-' &&
           !strncasecmp(owner.data + owner.length - length, prefix, length);
}

struct search {
    const struct price_table *table;
    const char *prefixes[3]; /* NULL: the last has been */
    struct price_text region;
    bool anybody; /* entries of other providers too */
};

static const struct price_entry *try_name(const struct search *search, struct price_text name)
{
    const struct price_text none = {"", 0};
    const struct price_entry *found;
    if (search->anybody)
        return find(search->table, "", none, name);
    for (int i = 0; i < 3 && search->prefixes[i]; i++) {
        found = search->region.length ? find(search->table, search->prefixes[i], search->region, name) : NULL;
        if (!found)
            found = find(search->table, search->prefixes[i], none, name);
        if (found)
            return found;
    }
    found = find(search->table, "", none, name);
    for (int i = 0; found && i < 3 && search->prefixes[i]; i++)
        if (owned(found, search->prefixes[i]))
            return found;
    return NULL;
}

/* With its path, then without: "models/gemini-2.5-pro", "openai/gpt-4o", an ARN. */
static const struct price_entry *try_model(const struct search *search, struct price_text model)
{
    struct price_text forms[3];
    while (model.data && model.length) {
        struct price_text bare = without_region(model);
        for (int regional = 0; regional < (bare.length != model.length ? 2 : 1); regional++) {
            int count = tails(regional ? bare : model, forms);
            for (int i = 0; i < count; i++) {
                const struct price_entry *found = try_name(search, forms[i]);
                if (found)
                    return found;
            }
        }
        const char *slash = memchr(model.data, '/', model.length);
        if (!slash)
            break;
        model = after(model, (size_t)(slash + 1 - model.data));
    }
    return NULL;
}

/* "bedrock-runtime.eu-central-1.amazonaws.com". */
static struct price_text region_of(struct price_text host)
{
    struct price_text region = {"", 0};
    if (!host.data || !begins(host, "bedrock"))
        return region;
    const char *dot = memchr(host.data, '.', host.length);
    if (!dot)
        return region;
    struct price_text rest = after(host, (size_t)(dot + 1 - host.data));
    dot = memchr(rest.data, '.', rest.length);
    if (dot && begins(after(rest, (size_t)(dot + 1 - rest.data)), "amazonaws."))
        region = (struct price_text){rest.data, (size_t)(dot - rest.data)};
    return region;
}

const struct price_entry *price_lookup(const struct price_table *table, const struct price_names *names)
{
    struct search search = {.table = table, .region = region_of(names->server_address)};
    char own[65];
    bool local = false;
    int count = 0;
    if (names->provider.data && names->provider.length && names->provider.length < sizeof(own)) {
        for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
            if (same(names->provider, providers[i].name)) {
                local = providers[i].local;
                for (; count < 2 && providers[i].prefixes[count]; count++)
                    search.prefixes[count] = providers[i].prefixes[count];
                break;
            }
        memcpy(own, names->provider.data, names->provider.length);
        own[names->provider.length] = '\0';
        if (!count)
            search.prefixes[count++] = own;
    }
    /* At Azure a request names a deployment, which may be called "gpt-4" and be anything: any entry of the model that
     * answered goes before it. Elsewhere the provider's own price of what was asked for goes before another's. */
    bool deployment = count && !strncmp(search.prefixes[0], "azure", 5) && names->response_model.length;
    for (int step = 0; step < 4; step++) {
        int pass = deployment ? step & 1 : step >> 1;
        bool requested = deployment ? step >> 1 : step & 1;
        if ((pass == 0 && !count) || (pass == 1 && local))
            continue;
        search.anybody = pass == 1;
        const struct price_entry *found =
            try_model(&search, requested ? names->request_model : names->response_model);
        if (found)
            return found;
    }
    return NULL;
}
