/* config.h: what an operator can set, from (each overriding the last) defaults, environment,
 * configuration file, command line. Read by one thread. */
#ifndef TALLY_CONFIG_H
#define TALLY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_ARENAS_MAX 64
#define CONFIG_USERS_MAX  256

#define CONFIG_COMMIT_INTERVAL_MS_DEFAULT 100
#define CONFIG_COMMIT_INTERVAL_MS_MAX     60000
#define CONFIG_RETENTION_S_DEFAULT        (INT64_C(30) * 86400)
#define CONFIG_RETENTION_S_MAX            (INT64_C(36500) * 86400)

struct agent_config {
    char *state_directory;
    char *arenas[CONFIG_ARENAS_MAX]; /* names as TALLY_ARENA; NULL: the default for the effective uid */
    unsigned int arena_count;        /* at least 1 */
    uid_t users[CONFIG_USERS_MAX];   /* whose default arenas are served too */
    unsigned int user_count;
    bool all_users;
    gid_t group; /* as TALLY_GROUP; (gid_t)-1: none */
    int commit_interval_ms;
    int64_t retention_s; /* 0: for ever */
    char *prices;        /* a price list; NULL or "": the built-in one */
    char *file;          /* NULL: none */
    bool once;
};

enum config_outcome {
    CONFIG_RUN,  /* config is filled in */
    CONFIG_DONE, /* --help or --version: said; leave with status 0 */
    CONFIG_BAD   /* error[] is one sentence; leave with status 2 */
};

#define CONFIG_ERROR_BYTES 512

/* Read it all. On anything but CONFIG_RUN there is nothing to release. */
enum config_outcome config_read(struct agent_config *config, int argc, char **argv,
                                char error[CONFIG_ERROR_BYTES]);
void config_release(struct agent_config *config);

/* The part that the `tally` command needs too: defaults and environment alone. state_directory may still be NULL,
 * if neither XDG_STATE_HOME nor HOME says where it is. */
int config_defaults(struct agent_config *config, char error[CONFIG_ERROR_BYTES]);

/* Set one option by its name, as on the command line without the dashes. Returns 0 or -1 with error[]. */
int config_set(struct agent_config *config, const char *name, const char *value,
               char error[CONFIG_ERROR_BYTES]);

/* Read a file of options (config_file.c). Returns 0 or -1 with error[], naming file and line. */
int config_read_file(struct agent_config *config, const char *path, char error[CONFIG_ERROR_BYTES]);

/* Make the state directory and what leads to it. Returns 0 or -1 with error[]. */
int config_make_state_directory(const char *path, char error[CONFIG_ERROR_BYTES]);

#endif
