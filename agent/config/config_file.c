#include "config/config.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

struct file_reading {
    struct agent_config *config;
    char *error; /* of the first bad line */
    bool failed;
};

/* Called by inih for each NAME = VALUE; returns 0 for a bad one, and inih then remembers its line. */
static int take_option(void *context, const char *section, const char *name, const char *value)
{
    struct file_reading *reading = context;
    bool users = !strcmp(section, "arenas") && !strcmp(name, "users");

    if (reading->failed)
        return 0;
    if (*section && strcmp(section, "arenas")) {
        snprintf(reading->error, CONFIG_ERROR_BYTES, "unknown section [%s]", section);
        reading->failed = true;
    } else if (*section && !users) {
        snprintf(reading->error, CONFIG_ERROR_BYTES, "unknown option \"%s\" in section [%s]", name, section);
        reading->failed = true;
    } else if (config_set(reading->config, name, value ? value : "", reading->error)) {
        reading->failed = true;
    }
    return !reading->failed;
}

int config_read_file(struct agent_config *config, const char *path, char error[CONFIG_ERROR_BYTES])
{
    char reason[CONFIG_ERROR_BYTES] = "not a line of the form NAME = VALUE";
    struct file_reading reading = {.config = config, .error = reason};
    errno = 0;
    int line = ini_parse(path, take_option, &reading);

    if (line == -1) {
        snprintf(error, CONFIG_ERROR_BYTES, "cannot read %.200s: %s", path, strerror(errno));
        return -1;
    }
    if (line == -2) {
        snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
        return -1;
    }
    if (line > 0) {
        snprintf(error, CONFIG_ERROR_BYTES, "%.200s, line %d: %.250s", path, line, reason);
        return -1;
    }
    return 0;
}
