/* tallyd: the agent's program. */
#include "collector/collector.h"
#include "log/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A descriptor that a careless parent left closed would be taken by the database, and then written to as
 * standard error. */
static void open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static int run_once(const struct agent_config *config, char error[COLLECTOR_ERROR_BYTES])
{
    struct collector_once done;
    if (collector_run_once(config, &done, error))
        return -1;
    if (done.arenas == 0 && done.spill_files == 0)
        log_line(LOG_NOTE, "there is no arena and no spill file: nothing to take");
    else
        log_line(LOG_NOTE, "%" PRIu64 " records taken from %u arenas and %" PRIu64 " spill files",
                 done.records, done.arenas, done.spill_files);
    return 0;
}

int main(int argc, char **argv)
{
    struct agent_config config;
    char error[COLLECTOR_ERROR_BYTES];
    char reason[CONFIG_ERROR_BYTES];

    open_standard_descriptors();
    umask(0027);
    switch (config_read(&config, argc, argv, reason)) {
    case CONFIG_DONE:
        return 0;
    case CONFIG_BAD:
        log_line(LOG_FATAL, "%s", reason);
        return 2;
    case CONFIG_RUN:
        break;
    }
    int result = config_make_state_directory(config.state_directory, reason);
    if (result)
        log_line(LOG_FATAL, "%s", reason);
    else if ((result = config.once ? run_once(&config, error) : collector_run(&config, argc, argv, error)))
        log_line(LOG_FATAL, "%s", error);
    config_release(&config);
    return result ? 1 : 0;
}
