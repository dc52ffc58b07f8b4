#include "config/config.h"

#include <arena_file.h>
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/tally.h>
#include <unistd.h>

#define FAIL(...) fail(error, __VA_ARGS__)

__attribute__((format(printf, 2, 3))) static int fail(char error[CONFIG_ERROR_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, CONFIG_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return -1;
}

static const char help[] =
    "Usage: tallyd [OPTION]...\n"
    "Take usage records out of shared memory into a database.\n"
    "\n"
    "  --state-dir DIR        where usage.db is (default $XDG_STATE_HOME/tally or\n"
    "                         ~/.local/state/tally; /var/lib/tally for root)\n"
    "  --arena NAME           shared memory to serve; may be repeated\n"
    "                         (default $TALLY_ARENA, else /tally-<uid>.v1)\n"
    "  --users LIST           serve these users' default arenas too: names or numbers,\n"
    "                         separated by commas, or * for all (for an agent run by root)\n"
    "  --group GROUP          as TALLY_GROUP: make and accept arenas of this group\n"
    "  --commit-interval MS   how long to gather records for one commit (default 100)\n"
    "  --retention DAYS       age at which single rows are deleted; 0: never (default 30);\n"
    "                         also as 36h, 90m or 60s; hourly sums are kept\n"
    "  --prices FILE          a price list in the form of LiteLLM's\n"
    "                         model_prices_and_context_window.json (default: built in)\n"
    "  --config FILE          read options from a file, as NAME = VALUE\n"
    "  --once                 take what is there, then leave\n"
    "  --foreground           accepted for convenience: tallyd never leaves the foreground\n"
    "  --help, --version\n"
    "\n"
    "Signals: SIGTERM and SIGINT take what is there, commit and leave; SIGHUP reads the\n"
    "configuration file and the price list again.\n";

static int set_number(const char *name, const char *value, int least, int most, int *out,
                      char error[CONFIG_ERROR_BYTES])
{
    char *end;
    errno = 0;
    long number = strtol(value, &end, 10);
    if (errno || end == value || *end || number < least || number > most)
        return FAIL("%s must be a whole number from %d to %d, not \"%s\"", name, least, most, value);
    *out = (int)number;
    return 0;
}

/* Days, or a number with its unit: s, m, h or d. */
static int set_age(const char *name, const char *value, int64_t *seconds, char error[CONFIG_ERROR_BYTES])
{
    static const char units[] = "smhd";
    static const int64_t unit_s[] = {1, 60, 3600, 86400};
    char *end;
    errno = 0;
    long number = strtol(value, &end, 10);
    const char *unit = *end ? strchr(units, *end) : units + 3;
    if (errno || end == value || !unit || (*end && end[1]) || number < 0 ||
        number > CONFIG_RETENTION_S_MAX / unit_s[unit - units])
        return FAIL("%s must be a number of days from 0 to %d, or one with its unit such as 60s, 90m or 36h,"
                    " not \"%s\"",
                    name, (int)(CONFIG_RETENTION_S_MAX / 86400), value);
    *seconds = number * unit_s[unit - units];
    return 0;
}

static int set_text(char **out, const char *value, char error[CONFIG_ERROR_BYTES])
{
    char *copy = strdup(value);
    if (!copy)
        return FAIL("out of memory");
    free(*out);
    *out = copy;
    return 0;
}

static int add_arena(struct agent_config *config, const char *value, char error[CONFIG_ERROR_BYTES])
{
    char path[ARENA_PATH_MAX];
    if (!*value || arena_path(path, sizeof path, value, geteuid()))
        return FAIL("\"%s\" cannot be the name of an arena: a name like /tally-app, or an absolute path",
                    value);
    if (config->arena_count == CONFIG_ARENAS_MAX)
        return FAIL("at most %d arenas can be named", CONFIG_ARENAS_MAX);
    config->arenas[config->arena_count] = strdup(value);
    if (!config->arenas[config->arena_count])
        return FAIL("out of memory");
    config->arena_count++;
    return 0;
}

static int add_user(struct agent_config *config, const char *name, char error[CONFIG_ERROR_BYTES])
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(name, &end, 10);
    if (!strcmp(name, "*")) {
        config->all_users = true;
        return 0;
    }
    if (config->user_count == CONFIG_USERS_MAX)
        return FAIL("at most %d users can be named", CONFIG_USERS_MAX);
    if (name[0] < '0' || name[0] > '9' || errno || *end || number >= (uid_t)-1) {
        struct passwd *found = getpwnam(name);
        if (!found)
            return FAIL("there is no user \"%s\"", name);
        number = found->pw_uid;
    }
    config->users[config->user_count++] = (uid_t)number;
    return 0;
}

static int set_users(struct agent_config *config, const char *value, char error[CONFIG_ERROR_BYTES])
{
    char *copy = strdup(value);
    char *rest = copy;
    char *name;
    int result = copy ? 0 : FAIL("out of memory");

    config->user_count = 0;
    config->all_users = false;
    while (!result && (name = strsep(&rest, ", \t")))
        if (*name)
            result = add_user(config, name, error);
    free(copy);
    return result;
}

int config_set(struct agent_config *config, const char *name, const char *value,
               char error[CONFIG_ERROR_BYTES])
{
    if (!strcmp(name, "state-dir"))
        return *value ? set_text(&config->state_directory, value, error) : FAIL("state-dir is empty");
    if (!strcmp(name, "arena"))
        return add_arena(config, value, error);
    if (!strcmp(name, "prices"))
        return set_text(&config->prices, value, error);
    if (!strcmp(name, "users"))
        return set_users(config, value, error);
    if (!strcmp(name, "group")) {
        config->group = arena_group(value);
        return config->group == (gid_t)-1 ? FAIL("there is no group \"%s\"", value) : 0;
    }
    if (!strcmp(name, "commit-interval"))
        return set_number(name, value, 1, CONFIG_COMMIT_INTERVAL_MS_MAX, &config->commit_interval_ms, error);
    if (!strcmp(name, "retention"))
        return set_age(name, value, &config->retention_s, error);
    return FAIL("unknown option \"%s\"", name);
}

static int default_state_directory(struct agent_config *config, char error[CONFIG_ERROR_BYTES])
{
    char path[4096];
    const char *set = secure_getenv("TALLY_STATE_DIR");
    const char *state_home = secure_getenv("XDG_STATE_HOME");
    const char *home = secure_getenv("HOME");

    if (set && *set)
        return set_text(&config->state_directory, set, error);
    if (geteuid() == 0)
        return set_text(&config->state_directory, "/var/lib/tally", error);
    if (state_home && state_home[0] == '/')
        snprintf(path, sizeof path, "%s/tally", state_home);
    else if (home && home[0] == '/')
        snprintf(path, sizeof path, "%s/.local/state/tally", home);
    else
        return 0; /* it may be named on the command line */
    return set_text(&config->state_directory, path, error);
}

int config_defaults(struct agent_config *config, char error[CONFIG_ERROR_BYTES])
{
    memset(config, 0, sizeof *config);
    config->commit_interval_ms = CONFIG_COMMIT_INTERVAL_MS_DEFAULT;
    config->retention_s = CONFIG_RETENTION_S_DEFAULT;
    config->group = (gid_t)-1;
    const char *group = secure_getenv("TALLY_GROUP");
    if (group && *group && config_set(config, "group", group, error))
        return -1;
    return default_state_directory(config, error);
}

/* The arenas named at one level replace those of the level below. */
static void forget_arenas(struct agent_config *config)
{
    for (unsigned int i = 0; i < config->arena_count; i++)
        free(config->arenas[i]);
    memset(config->arenas, 0, sizeof config->arenas);
    config->arena_count = 0;
}

static int default_arenas(struct agent_config *config, char error[CONFIG_ERROR_BYTES])
{
    const char *set = secure_getenv("TALLY_ARENA");
    if (config->arena_count)
        return 0;
    if (set && *set)
        return add_arena(config, set, error);
    config->arena_count = 1; /* its name stays NULL: the default */
    return 0;
}

static const struct option options[] = {
    {"state-dir", required_argument, NULL, 's'},
    {"arena", required_argument, NULL, 's'},
    {"users", required_argument, NULL, 's'},
    {"group", required_argument, NULL, 's'},
    {"prices", required_argument, NULL, 's'},
    {"retention", required_argument, NULL, 's'},
    {"commit-interval", required_argument, NULL, 's'},
    {"config", required_argument, NULL, 'c'},
    {"foreground", no_argument, NULL, 'f'},
    {"once", no_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

/* One pass over the command line. first: look for what comes before everything else (--config, --help,
 * --version, mistakes); otherwise set the options. */
static enum config_outcome read_arguments(struct agent_config *config, int argc, char **argv, bool first,
                                          char error[CONFIG_ERROR_BYTES])
{
    bool arenas_seen = false;
    int index = 0;
    int found;

    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while ((found = getopt_long(argc, argv, ":", options, &index)) != -1) {
        const char *name = found == 's' ? options[index].name : "";
        if (first && found == 'h')
            return fputs(help, stdout) < 0 || fflush(stdout) ? CONFIG_BAD : CONFIG_DONE;
        if (first && found == 'v')
            return printf("tallyd %s\n", TALLY_VERSION) < 0 || fflush(stdout) ? CONFIG_BAD : CONFIG_DONE;
        if (first && found == 'c' && set_text(&config->file, optarg, error))
            return CONFIG_BAD;
        if (found == '?')
            return FAIL("unknown option \"%s\" (see tallyd --help)", argv[optind - 1]), CONFIG_BAD;
        if (found == ':')
            return FAIL("option \"%s\" needs a value (see tallyd --help)", argv[optind - 1]), CONFIG_BAD;
        if (found == 'o')
            config->once = true;
        if (first || found != 's')
            continue;
        if (!strcmp(name, "arena") && !arenas_seen) {
            forget_arenas(config);
            arenas_seen = true;
        }
        if (config_set(config, name, optarg, error))
            return CONFIG_BAD;
    }
    if (optind < argc)
        return FAIL("unexpected argument \"%s\" (see tallyd --help)", argv[optind]), CONFIG_BAD;
    return CONFIG_RUN;
}

enum config_outcome config_read(struct agent_config *config, int argc, char **argv,
                                char error[CONFIG_ERROR_BYTES])
{
    enum config_outcome outcome = CONFIG_BAD;
    snprintf(error, CONFIG_ERROR_BYTES, "cannot write to standard output");
    if (config_defaults(config, error) == 0)
        outcome = read_arguments(config, argc, argv, true, error);
    if (outcome == CONFIG_RUN && config->file && config_read_file(config, config->file, error))
        outcome = CONFIG_BAD;
    if (outcome == CONFIG_RUN)
        outcome = read_arguments(config, argc, argv, false, error);
    if (outcome == CONFIG_RUN && default_arenas(config, error))
        outcome = CONFIG_BAD;
    if (outcome == CONFIG_RUN && !config->state_directory) {
        FAIL("neither XDG_STATE_HOME nor HOME is set: name a folder with --state-dir");
        outcome = CONFIG_BAD;
    }
    if (outcome != CONFIG_RUN)
        config_release(config);
    return outcome;
}

void config_release(struct agent_config *config)
{
    forget_arenas(config);
    free(config->state_directory);
    free(config->prices);
    free(config->file);
    config->prices = NULL;
    config->state_directory = NULL;
    config->file = NULL;
}

int config_make_state_directory(const char *path, char error[CONFIG_ERROR_BYTES])
{
    char part[4096];
    struct stat status;
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof part)
        return FAIL("the state folder's name is too long");
    memcpy(part, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        /* What cannot be made here is reported below, if it matters. */
        if (mkdir(part, 0755) && errno != EEXIST && errno != EACCES && errno != EROFS && errno != EPERM)
            return FAIL("cannot make folder %s: %s; name another with --state-dir", part, strerror(errno));
        part[i] = '/';
    }
    if (mkdir(path, 0750) && errno != EEXIST)
        return FAIL("cannot make folder %s: %s; name another with --state-dir", path, strerror(errno));
    if (stat(path, &status) || !S_ISDIR(status.st_mode))
        return FAIL("%s is not a folder: name another with --state-dir", path);
    if (access(path, R_OK | W_OK | X_OK))
        return FAIL("cannot write to folder %s: %s; name another with --state-dir", path, strerror(errno));
    return 0;
}
