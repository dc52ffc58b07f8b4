/* settings.c: see settings.h. */
#include "capture/settings.h"

#include <stdlib.h>
#include <string.h>

struct capture_settings capture_settings;
const char *const capture_layer_names[CAPTURE_LAYERS] = {"curl", "openssl", "socket", "node"};

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] && strcmp(value, "0") != 0;
}

/* Too long is as good as not there: half a pattern would mean something else. */
static void copy(char *to, size_t bytes, const char *name)
{
    const char *value = getenv(name);
    size_t length = value ? strlen(value) : 0;
    if (length < bytes && value)
        memcpy(to, value, length + 1);
    else
        to[0] = '\0';
}

/* Whether a word stands in a list with commas. */
static bool holds(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; *at;) {
        size_t item = strcspn(at, ",");
        if (item == length && !memcmp(at, word, length))
            return true;
        at += item + (at[item] == ',');
    }
    return false;
}

void capture_settings_read(void)
{
    struct capture_settings *settings = &capture_settings;
    if (settings->ready)
        return;
    const char *layers = getenv("TALLY_CAPTURE");
    bool disabled = is_set("TALLY_DISABLE");
    for (int layer = 0; layer < CAPTURE_LAYERS; layer++)
        settings->on[layer] = !disabled && (!layers || holds(layers, capture_layer_names[layer]));
    settings->debug = is_set("TALLY_DEBUG");
    copy(settings->metadata, sizeof settings->metadata, "TALLY_METADATA");
    copy(settings->match, sizeof settings->match, "TALLY_MATCH");
    settings->ready = true;
}
