/* settings.h: what the environment says about capturing; read once, at load. */
#ifndef TALLY_CAPTURE_SETTINGS_H
#define TALLY_CAPTURE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

enum capture_layer { CAPTURE_CURL, CAPTURE_OPENSSL, CAPTURE_SOCKET, CAPTURE_NODE, CAPTURE_LAYERS };

struct capture_settings {
    bool ready;              /* the environment has been read */
    bool on[CAPTURE_LAYERS]; /* TALLY_CAPTURE, default all; all false with TALLY_DISABLE=1 */
    bool debug;              /* TALLY_DEBUG */
    char metadata[256];      /* TALLY_METADATA: names of metadata keys that may be kept, as tags */
    char match[1024];        /* TALLY_MATCH: HOST/PATH patterns, see match.h */
};
extern struct capture_settings capture_settings;

/* "curl", "openssl", "socket", "node". */
extern const char *const capture_layer_names[CAPTURE_LAYERS];

/* Read the environment; idempotent, cheap: no system call. */
void capture_settings_read(void);

static inline bool capture_is_on(enum capture_layer layer)
{
    return __builtin_expect(capture_settings.on[layer], 0);
}

#endif
