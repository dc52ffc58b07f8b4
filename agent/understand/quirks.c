/* quirks.c: see quirks.h. */
#include "understand/quirks.h"
#include "understand/json.h"

#include <string.h>
#include <strings.h>

/* Sums stay far from the end of 64 bits: an input of any length that is handed over holds too few counts of 10^15. */
static void add(struct figures *figures, int figure, int64_t count)
{
    if (count < 0)
        return;
    if (figures->of[figure] < 0)
        figures->of[figure] = 0;
    if (figures->of[figure] <= JSON_COUNT_MAX)
        figures->of[figure] += count;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = json_member(object, name);
    return json_is(item, cJSON_String) ? item->valuestring : "";
}

/* Pages of documents are read as pictures of them (258 tokens a page), and counted as such. */
static void modalities(const cJSON *list, struct figures *figures, int audio, int image, int video)
{
    const cJSON *item;
    for (item = list ? list->child : NULL; item; item = item->next) {
        const char *modality = text_of(item, "modality");
        int64_t count = json_count(json_member(item, "tokenCount"));
        if (count < 0)
            count = json_count(json_member(item, "token_count"));
        if (count < 0)
            count = json_count(json_member(item, "tokens"));
        if (!strcasecmp(modality, "AUDIO"))
            add(figures, audio, count);
        else if (!strcasecmp(modality, "IMAGE") || !strcasecmp(modality, "DOCUMENT"))
            add(figures, image, count);
        else if (!strcasecmp(modality, "VIDEO") && video >= 0)
            add(figures, video, count);
    }
}

void quirk_input_modalities(const cJSON *item, struct figures *figures)
{
    modalities(item, figures, QUANTITY_input_audio_tokens, QUANTITY_input_image_tokens,
               QUANTITY_input_video_tokens);
}

void quirk_output_modalities(const cJSON *item, struct figures *figures)
{
    modalities(item, figures, QUANTITY_output_audio_tokens, QUANTITY_output_image_tokens, -1);
}

void quirk_cache_modalities(const cJSON *item, struct figures *figures)
{
    modalities(item, figures, QUANTITY_cache_read_audio_tokens, QUANTITY_cache_read_image_tokens, -1);
}

void quirk_iterations(const cJSON *item, struct figures *figures)
{
    const cJSON *one;
    for (one = item ? item->child : NULL; one; one = one->next) {
        const cJSON *written = json_member(one, "cache_creation");
        int64_t all = json_count(json_member(one, "cache_creation_input_tokens"));
        int64_t hour = json_count(json_member(written, "ephemeral_1h_input_tokens"));
        if (strcmp(text_of(one, "type"), "compaction") != 0)
            continue;
        add(figures, FIGURE_more_input_tokens, json_count(json_member(one, "input_tokens")));
        add(figures, FIGURE_more_output_tokens, json_count(json_member(one, "output_tokens")));
        add(figures, FIGURE_more_cache_read_tokens, json_count(json_member(one, "cache_read_input_tokens")));
        add(figures, FIGURE_more_cache_write_1h_tokens, hour);
        add(figures, FIGURE_more_cache_write_5m_tokens, hour > 0 && hour <= all ? all - hour : all);
    }
}

void quirk_cache_lifetimes(const cJSON *item, struct figures *figures)
{
    const cJSON *one;
    for (one = item ? item->child : NULL; one; one = one->next) {
        const char *lifetime = text_of(one, "ttl");
        int64_t count = json_count(json_member(one, "inputTokens"));
        if (!strcmp(lifetime, "1h"))
            add(figures, QUANTITY_cache_write_1h_tokens, count);
        else if (!strcmp(lifetime, "5m"))
            add(figures, QUANTITY_cache_write_5m_tokens, count);
    }
}

void quirk_titan_results(const cJSON *item, struct figures *figures)
{
    const cJSON *one;
    for (one = item ? item->child : NULL; one; one = one->next)
        add(figures, QUANTITY_output_tokens, json_count(json_member(one, "tokenCount")));
}
