/* process.c: other programs, run to their end. */
#include "process.h"
#include "bench.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int64_t process_run(const char *const *words, int output_file)
{
    posix_spawn_file_actions_t actions;
    char *arguments[PROCESS_WORDS_MAX] = {NULL};
    int status = 0;
    pid_t pid;

    /* exec takes them without const, and changes nothing */
    for (int i = 0; i < PROCESS_WORDS_MAX - 1 && words[i] != NULL; i++)
        memcpy(&arguments[i], &words[i], sizeof(arguments[i]));
    if (arguments[0] == NULL)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (output_file >= 0)
        posix_spawn_file_actions_adddup2(&actions, output_file, STDOUT_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int64_t start = now_ns();
    int failed = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return -1;
    return now_ns() - start;
}

double process_number(const char *const *words)
{
    char line[128] = "";
    int channel[2];
    double number = -1;

    if (pipe2(channel, O_CLOEXEC) != 0)
        return -1;
    if (process_run(words, channel[1]) >= 0 && read(channel[0], line, sizeof(line) - 1) > 0)
        number = strtod(line, NULL);
    close(channel[0]);
    close(channel[1]);
    return number;
}
