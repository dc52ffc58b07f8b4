#include "state.h"
#include "arena_file.h"
#include "command.h"
#include "config/config.h"

#include <unistd.h>

/* By the agent's own rule: the two must agree on where the database is. */
char *state_directory(const char *option)
{
    struct agent_config config = {0};
    char error[CONFIG_ERROR_BYTES];
    char *directory = NULL;

    if (option != NULL)
        return must_copy(option);
    if (config_defaults(&config, error) != 0) {
        complain("%s", error);
        return NULL;
    }
    if (config.state_directory != NULL)
        directory = must_copy(config.state_directory);
    else
        complain("neither XDG_STATE_HOME nor HOME says where usage.db is: name its folder with --state-dir");
    config_release(&config);
    return directory;
}

char *state_arena_path(const char *name)
{
    char path[ARENA_PATH_MAX];

    if (arena_path(path, sizeof(path), name, geteuid()) == 0)
        return must_copy(path);
    misuse("'%s' cannot be the name of an arena: give /NAME, or a path with more than one slash", name);
    return NULL;
}
