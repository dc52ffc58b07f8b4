/* spill_folder.c: where spill files may stand. */
#include "arena.h"
#include "spill.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEM_DIRECTORY "/var/lib/tally/spill"

/* path and what follows it; empty if it is not a whole one, or too long. */
static void copy_path(char out[SPILL_DIRECTORY_MAX], const char *path, const char *rest)
{
    size_t length = path && path[0] == '/' ? strlen(path) : 0;
    size_t more = strlen(rest);
    out[0] = '\0';
    if (!length || length + more >= SPILL_DIRECTORY_MAX)
        return;
    memcpy(out, path, length);
    memcpy(out + length, rest, more + 1);
}

void spill_configure(void)
{
    struct process *process = &tally_process;
    const char *maximum = secure_getenv("TALLY_SPILL_MAX");
    const char *state = secure_getenv("XDG_STATE_HOME");
    const char *home = secure_getenv("HOME");
    char *end = NULL;

    long long bytes = maximum ? strtoll(maximum, &end, 10) : 0;
    process->spill_bytes_max =
        maximum && *maximum && !*end && bytes >= 0 ? (int64_t)bytes : INT64_C(256) << 20;
    copy_path(process->spill_directory, secure_getenv("TALLY_SPILL_DIR"), "");
    /* As the agent finds its own: config.c. */
    if (state && state[0] == '/')
        copy_path(process->spill_state, state, "/tally/spill");
    else
        copy_path(process->spill_state, geteuid() != 0 ? home : NULL, "/.local/state/tally/spill");
}

/* Nobody but the user, root and the agent can take files away there, or put others in their place. */
static bool acceptable(const char *path, uid_t agent)
{
    struct stat status;
    if (stat(path, &status) || !S_ISDIR(status.st_mode))
        return false;
    if (status.st_uid != geteuid() && status.st_uid != 0 && status.st_uid != agent)
        return false;
    if (status.st_mode & S_ISVTX)
        return true;
    bool group = (status.st_mode & S_IWGRP) && status.st_gid != tally_process.group;
    return !group && !(status.st_mode & S_IWOTH);
}

/* Make a path's folders, those that are missing. */
static void make_directories(const char *path)
{
    char part[SPILL_DIRECTORY_MAX];
    memcpy(part, path, strlen(path) + 1);
    for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(part, 0700);
        *at = '/';
    }
    mkdir(part, 0700);
}

/* What the board says, which an agent may be about to change: the same text twice, or none. */
static bool board_directory(const struct tally_board *board, char out[SPILL_DIRECTORY_MAX])
{
    char again[SPILL_DIRECTORY_MAX];
    /* acquire: pairs with the release in board_spill() of the agent, which ends what it writes with the first byte. */
    if (__atomic_load_n(&board->spill_directory[0], __ATOMIC_ACQUIRE) != '/')
        return false;
    memcpy(out, board->spill_directory, SPILL_DIRECTORY_MAX);
#ifndef __SANITIZE_THREAD__ /* which knows no fences */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
    memcpy(again, board->spill_directory, SPILL_DIRECTORY_MAX);
    return memcmp(out, again, sizeof again) == 0 && out[0] == '/' && memchr(out, '\0', SPILL_DIRECTORY_MAX);
}

/* The agent's own folder first: it surely looks there. The others it looks through as well. */
int spill_folders(int (*use)(void *context, const char *folder), void *context)
{
    const struct process *process = &tally_process;
    char path[SPILL_DIRECTORY_MAX];
    int result = -EACCES;
    /* acquire: pairs with view_new() */
    const struct arena_view *arena = __atomic_load_n(&process->arenas, __ATOMIC_ACQUIRE);
    for (; arena; arena = arena->next)
        if (board_directory(arena_board(arena), path) && acceptable(path, arena->owner) &&
            (result = use(context, path)) != -EAGAIN)
            return result;
    if (process->spill_directory[0] && acceptable(process->spill_directory, 0) &&
        (result = use(context, process->spill_directory)) != -EAGAIN)
        return result;
    if (process->spill_state[0] && !acceptable(process->spill_state, 0))
        make_directories(process->spill_state);
    if (process->spill_state[0] && acceptable(process->spill_state, 0) &&
        (result = use(context, process->spill_state)) != -EAGAIN)
        return result;
    if (geteuid() == 0 && !acceptable(SYSTEM_DIRECTORY, 0))
        make_directories(SYSTEM_DIRECTORY);
    if (acceptable(SYSTEM_DIRECTORY, 0) && (result = use(context, SYSTEM_DIRECTORY)) != -EAGAIN)
        return result;
    return -EACCES;
}
