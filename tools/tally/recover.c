/* recover.c: what an agent would do once, without one. */
#include "arena_scan.h"
#include "collector/collector.h"
#include "command.h"
#include "document.h"

#include <inttypes.h>
#include <stdio.h>

static const char help[] = "Usage: tally recover [--arena NAME]... [--state-dir DIR] [--json]\n"
                           "\n"
                           "Take what stands in shared memory and in spill files into the database, as an\n"
                           "agent would, and leave. For machines where no agent runs (any more). While one\n"
                           "runs there is nothing to do, and this says so.\n"
                           "\n"
                           "  --arena NAME     instead of TALLY_ARENA or the default; may be repeated\n"
                           "  --state-dir DIR  where usage.db is, or will be\n"
                           "  --json           say what was done as JSON\n";

static int configure(struct agent_config *config, const struct common *common)
{
    char error[CONFIG_ERROR_BYTES];
    const char *environment = getenv("TALLY_ARENA");
    size_t count = common->arena_count != 0 ? common->arena_count : 1;
    int result = config_defaults(config, error);

    if (result == 0 && common->state_directory != NULL)
        result = config_set(config, "state-dir", common->state_directory, error);
    for (size_t i = 0; result == 0 && i < count; i++) {
        const char *name = common->arena_count != 0 ? common->arenas[i] : environment;
        if (name != NULL && name[0] != '\0')
            result = config_set(config, "arena", name, error);
        else
            config->arena_count = 1; /* the default for this user: NULL */
    }
    if (result == 0 && config->state_directory == NULL)
        return misuse(
            "neither XDG_STATE_HOME nor HOME says where usage.db is: name its folder with --state-dir");
    if (result == 0)
        result = config_make_state_directory(config->state_directory, error);
    return result == 0 ? EXIT_SUCCESS : complain("%s", error);
}

static void print(const struct collector_once *done, enum format format)
{
    if (format == FORMAT_JSON) {
        cJSON *document = document_new("recover", 1);
        document_integer(document, "arenas", done->arenas);
        document_integer(document, "spill_files", (wide_t)done->spill_files);
        document_integer(document, "records", (wide_t)done->records);
        document_integer(document, "lost", (wide_t)done->lost);
        document_print(document);
        return;
    }
    printf("%" PRIu64 " record%s taken in from %u arena%s and %" PRIu64 " spill file%s", done->records,
           done->records == 1 ? "" : "s", done->arenas, done->arenas == 1 ? "" : "s", done->spill_files,
           done->spill_files == 1 ? "" : "s");
    if (done->lost != 0)
        printf("; %" PRIu64 " could not be read and count as lost ('tally audit' says why)", done->lost);
    puts(".");
}

int recover_command(int argc, char **argv)
{
    static const struct option longs[] = {COMMON_ARENA, COMMON_STATE, COMMON_FORMAT, COMMON_HELP, COMMON_END};
    struct common common = {0};
    struct agent_config config = {0};
    struct collector_once done = {0};
    char error[COLLECTOR_ERROR_BYTES];
    int status = EXIT_SUCCESS;

    if (option_next(argc, argv, "", longs, help, &common, &status) == OPTIONS_EXIT)
        return status;
    if ((status = no_more_arguments(argc, argv)) != EXIT_SUCCESS ||
        (status = format_without_csv(&common)) != EXIT_SUCCESS)
        return status;
    status = configure(&config, &common);
    if (status == EXIT_SUCCESS && collector_run_once(&config, &done, error) != 0)
        status = complain("%s", error);
    if (status == EXIT_SUCCESS)
        print(&done, common.format);
    config_release(&config);
    return status;
}
