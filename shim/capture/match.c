/* match.c: see match.h. */
#include "capture/match.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Whether text is pattern, where "*" stands for any run of characters. Without recursion: only the last "*" needs to be tried again. */
static bool glob(const char *pattern, size_t pattern_length, const char *text, size_t length)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = pattern_length;
    size_t resume = 0;
    while (t < length) {
        if (p < pattern_length && pattern[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern_length && (pattern[p] | 0x20) == (text[t] | 0x20)) {
            p++;
            t++;
        } else if (star < pattern_length) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern_length && pattern[p] == '*')
        p++;
    return p == pattern_length;
}

static bool is(const char *pattern, const char *text)
{
    return glob(pattern, strlen(pattern), text, strlen(text));
}

/* A pattern without a port holds for any. IPv6 addresses stand in brackets, as in URLs. */
static bool host_is(const char *pattern, size_t length, const char *host)
{
    const char *colon = strrchr(host, ':');
    bool port = colon && !strchr(colon, ']');
    const char *pattern_colon = memrchr(pattern, ':', length);
    bool pattern_port =
        pattern_colon && !memchr(pattern_colon, ']', (size_t)(pattern + length - pattern_colon));
    return glob(pattern, length, host, port && !pattern_port ? (size_t)(colon - host) : strlen(host));
}

/* Names are OpenTelemetry's, or the API's own where it has none. */
#define CHAT       "chat"
#define TEXT       "text_completion"
#define GENERATE   "generate_content"
#define EMBEDDINGS "embeddings"
#define RERANK     "rerank"
#define IMAGE      "image_generation"
#define SPEECH     "speech"
#define TRANSCRIBE "transcription"

/* Paths that nobody else has stand with any host; others only with hosts that are known. What is not here is still recorded if usage
 * with counts comes back. The first that holds counts. */
static const struct {
    const char *host;
    const char *path;
    const char *operation;
    bool streams;
} table[] = {
    {"*", "*/chat/completions", CHAT, false},
    {"*", "*/fim/completions", TEXT, false},
    {"*", "*/v1/completions", TEXT, false},
    {"*", "*/deployments/*/completions", TEXT, false},
    {"*", "*/v1/responses", CHAT, false},
    {"*", "*/openai/responses", CHAT, false},
    {"*", "*/v1/embeddings", EMBEDDINGS, false},
    {"*", "*/deployments/*/embeddings", EMBEDDINGS, false},
    {"*", "*/v1/images/generations", IMAGE, false},
    {"*", "*/v1/images/edits", IMAGE, false},
    {"*", "*/v1/images/variations", IMAGE, false},
    {"*", "*/deployments/*/images/*", IMAGE, false},
    {"*", "*/v1/audio/speech", SPEECH, false},
    {"*", "*/v1/audio/transcriptions", TRANSCRIBE, false},
    {"*", "*/v1/audio/translations", TRANSCRIBE, false},
    {"*", "*/deployments/*/audio/*", TRANSCRIBE, false},
    /* Anthropic, and who offers its API: its clients say so besides, in a header (exchange.c) */
    {"*anthropic*", "*/messages", CHAT, false},
    {"*", "*/anthropic/v1/messages", CHAT, false},
    /* Gemini and Vertex AI */
    {"*", "*/models/*:generateContent", GENERATE, false},
    {"*", "*/models/*:streamGenerateContent", GENERATE, true},
    {"*", "*/endpoints/*:generateContent", GENERATE, false},
    {"*", "*/endpoints/*:streamGenerateContent", GENERATE, true},
    {"*", "*/models/*:embedContent", EMBEDDINGS, false},
    {"*", "*/models/*:batchEmbedContents", EMBEDDINGS, false},
    {"*", "*/models/*:rawPredict", CHAT, false},
    {"*", "*/models/*:streamRawPredict", CHAT, true},
    {"*googleapis.com", "*/models/*:predict", NULL, false},
    {"*googleapis.com", "*/interactions", GENERATE, false},
    /* Bedrock */
    {"*", "/model/*/converse", CHAT, false},
    {"*", "/model/*/converse-stream", CHAT, true},
    {"*", "/model/*/invoke-with-response-stream", CHAT, true},
    {"*", "/model/*/invoke", NULL, false},
    /* Cohere, Voyage, Jina */
    {"api.cohere.*", "/v1/chat", CHAT, false},
    {"api.cohere.*", "/v2/chat", CHAT, false},
    {"api.cohere.*", "/v1/generate", TEXT, false},
    {"api.cohere.*", "/v*/embed", EMBEDDINGS, false},
    {"*", "/v*/rerank", RERANK, false},
    /* Mistral */
    {"*mistral.ai", "/v1/conversations*", CHAT, false},
    {"*mistral.ai", "/v1/agents/completions", CHAT, false},
    {"*mistral.ai", "/v1/ocr", "ocr", false},
    /* Ollama and llama.cpp: paths that many an application has, too */
    {"*ollama*", "*/api/chat", CHAT, false},
    {"*ollama*", "*/api/generate", TEXT, false},
    {"*ollama*", "*/api/embed*", EMBEDDINGS, false},
    {"*:11434", "*/api/chat", CHAT, false},
    {"*:11434", "*/api/generate", TEXT, false},
    {"*:11434", "*/api/embed*", EMBEDDINGS, false},
    /* others */
    {"*perplexity.ai", "*/sonar", CHAT, false},
    {"*.ml.cloud.ibm.com", "/ml/v1/text/chat*", CHAT, false},
    {"*.ml.cloud.ibm.com", "/ml/v1/text/generation*", TEXT, false},
    {"*.snowflakecomputing.com", "/api/v2/cortex/inference:complete", CHAT, false},
    {"api.cloudflare.com", "*/ai/run/*", NULL, false},
    {"*huggingface.co", "*/models/*", NULL, false},
};

/* Where a path names the model: behind the first, up to the second (or the end). */
static const struct {
    const char *before;
    const char *after;
} models[] = {
    {"/deployments/", "/"}, {"/models/", ":"},  {"/endpoints/", ":"},
    {"/model/", "/"},       {"/engines/", "/"}, {"/ai/run/", ""},
};

static void find_model(const char *path, struct match *out)
{
    for (size_t i = 0; i < sizeof models / sizeof models[0] && !out->model; i++) {
        const char *at = strstr(path, models[i].before);
        if (!at)
            continue;
        at += strlen(models[i].before);
        const char *end = models[i].after[0] ? strstr(at, models[i].after) : at + strlen(at);
        if (end && end > at) {
            out->model = at;
            out->model_length = (size_t)(end - at);
        }
    }
}

struct row {
    const char *host;
    size_t host_length;
    const char *path; /* begins with "/"; NULL: any */
    size_t path_length;
    const char *provider; /* NULL: none */
    size_t provider_length;
};

/* The row at *rows, which moves on to the next; false: there is none. */
static bool next_row(const char **rows, struct row *row)
{
    while (**rows == ',' || **rows == ' ')
        (*rows)++;
    if (!**rows)
        return false;
    memset(row, 0, sizeof *row);
    const char *at = *rows;
    const char *end = at + strcspn(at, ",");
    *rows = end;
    while (end > at && end[-1] == ' ')
        end--;
    const char *equals = memchr(at, '=', (size_t)(end - at));
    if (equals) {
        row->provider = equals + 1;
        row->provider_length = (size_t)(end - row->provider);
        end = equals;
    }
    row->host = at;
    const char *slash = memchr(at, '/', (size_t)(end - at));
    row->host_length = (size_t)((slash ? slash : end) - at);
    row->path = slash;
    row->path_length = slash ? (size_t)(end - slash) : 0;
    return true;
}

bool match_request(const char *rows, const char *host, const char *path, struct match *out)
{
    struct row row;
    memset(out, 0, sizeof *out);
    find_model(path, out);
    bool matches = false;
    while (!matches && next_row(&rows, &row)) {
        matches = host_is(row.host, row.host_length, host) &&
                  (!row.path || glob(row.path, row.path_length, path, strlen(path)));
        if (matches && row.provider_length) {
            out->provider = row.provider;
            out->provider_length = row.provider_length;
        }
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (is(table[i].path, path) && host_is(table[i].host, strlen(table[i].host), host)) {
            out->operation = table[i].operation;
            out->streams = table[i].streams;
            return true;
        }
    if (!matches)
        out->model = NULL;
    return matches;
}

bool match_never(const char *method, const char *path)
{
    static const char *const free_paths[] = {"*/count_tokens",  "*:countTokens",  "*:batchGenerateContent",
                                             "*/tokenize",      "*/detokenize",   "*/moderations",
                                             "*/batches*",      "*/files*",       "*/uploads*",
                                             "*/fine_tuning/*", "*/input_tokens", "*/responses/*/cancel"};
    if (strcmp(method, "POST") != 0)
        return true;
    for (size_t i = 0; i < sizeof free_paths / sizeof free_paths[0]; i++)
        if (is(free_paths[i], path))
            return true;
    return false;
}

bool match_check(const char *rows, char *why, size_t why_bytes)
{
    struct row row;
    if (strlen(rows) >= 1024) {
        snprintf(why, why_bytes,
                 "TALLY_MATCH is longer than 1,023 bytes: use \"*\" to name several hosts in one row");
        return false;
    }
    while (next_row(&rows, &row)) {
        if (!row.host_length || (row.provider && !row.provider_length) ||
            memchr(row.host, ' ', row.host_length)) {
            snprintf(why, why_bytes,
                     "TALLY_MATCH has a row without a %s: write HOST/PATH or HOST/PATH=PROVIDER, separated "
                     "by commas",
                     row.provider && !row.provider_length ? "provider behind its \"=\"" : "host");
            return false;
        }
        if (row.host_length >= 5 && row.path && row.path_length > 1 && row.path[1] == '/' &&
            row.host[row.host_length - 1] == ':') {
            snprintf(why, why_bytes, "TALLY_MATCH wants hosts without \"%.*s//\": write HOST/PATH",
                     (int)row.host_length, row.host);
            return false;
        }
    }
    return true;
}
