/* source.c: see source.h. */
#include "understand/source.h"

#include <string.h>

/* Each object of it, one level of lists deep. */
static void hand_on(const cJSON *tree, source_take *take, void *context)
{
    if (!cJSON_IsArray(tree)) {
        take(context, tree);
        return;
    }
    for (const cJSON *item = tree->child; item; item = item->next)
        take(context, item);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One value and its end, or NULL. Memory for it is bounded by the input: a tree is at most 32 times as long. */
static const cJSON *parse(const char **at, const char *end)
{
    const char *stopped = NULL;
    const cJSON *tree = cJSON_ParseWithLengthOpts(*at, (size_t)(end - *at), &stopped, 0);
    if (tree)
        *at = stopped;
    return tree;
}

static const char *line_end(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline : end;
}

/* `data: {...}`; "event:", "id:" and comments say nothing that the data does not. "data: [DONE]" is none. */
static bool events(const char *at, const char *end, source_take *take, void *context)
{
    bool sound = true;
    while (at < end) {
        const char *line = at;
        const char *stop = line_end(at, end);
        at = stop < end ? stop + 1 : end;
        if (stop - line < 5 || memcmp(line, "data:", 5) != 0)
            continue;
        for (line += 5; line < stop && is_space(*line);)
            line++;
        if (line == stop || (stop - line >= 6 && !memcmp(line, "[DONE]", 6)))
            continue;
        const cJSON *tree = parse(&line, stop);
        if (tree)
            hand_on(tree, take, context);
        else
            sound = false;
    }
    return sound;
}

static bool starts_with(const char *at, const char *end, const char *word)
{
    size_t length = strlen(word);
    return (size_t)(end - at) >= length && !memcmp(at, word, length);
}

bool source_each(const char *json, size_t length, source_take *take, void *context)
{
    const char *at = json;
    const char *end = json + length;
    while (at < end) {
        while (at < end && is_space(*at))
            at++;
        if (at == end)
            return true;
        if (*at != '{' && *at != '[' &&
            (starts_with(at, end, "data:") || starts_with(at, end, "event:") || *at == ':' ||
             starts_with(at, end, "id:") || starts_with(at, end, "retry:")))
            return events(at, end, take, context);
        const cJSON *tree = parse(&at, end);
        if (!tree)
            return false;
        hand_on(tree, take, context);
    }
    return true;
}
