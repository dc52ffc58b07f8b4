/* watch.c: what the file system is asked to tell.
 *
 * Of an arena that is there: when it, its board or its lock loses its name. Only where one is missing: when names
 * come into the folder. /dev/shm is a busy place, and what other programs do in it should not wake the
 * agent. */
#include "collector/state.h"

#include "log/log.h"

#include <errno.h>
#include <string.h>

static int watch_folder(struct collector *collector, const char *path)
{
    char folder[ARENA_PATH_MAX];
    size_t length = (size_t)(strrchr(path, '/') - path);
    memcpy(folder, path, length);
    folder[length] = '\0';
    return events_watch_folder(&collector->events, length ? folder : "/");
}

static void note(struct collector *collector, int *watch, int result)
{
    *watch = result;
    /* Absent: that is what the look after this finds, or the watch on the folder. */
    if (result >= 0 || result == -ENOENT)
        return;
    *watch = -1;
    collector->unwatched = true;
    log_often(LOG_WARNING,
              "cannot watch the file system (%s): looking once a second instead; raise "
              "fs.inotify.max_user_watches or max_user_instances",
              strerror(-result));
}

static void watch_files(struct collector *collector, struct station *station)
{
    static const char *const suffixes[3] = {"", ".board", ".lock"};
    for (int i = 0; i < 3; i++) {
        char path[ARENA_SIBLING_MAX];
        arena_sibling(path, station->path, suffixes[i]);
        int watch = events_watch_file(&collector->events, path);
        int old = station->file_watch[i];
        if (old >= 0 && old != watch)
            events_unwatch(&collector->events, old);
        note(collector, &station->file_watch[i], watch);
    }
}

static bool folder_needed(const struct collector *collector, const struct station *station)
{
    return station->wanted && (!station->here || collector->config->all_users);
}

static bool folder_shared(const struct collector *collector, int watch)
{
    for (const struct station *station = collector->stations; station; station = station->next)
        if (station->folder_watch == watch && folder_needed(collector, station))
            return true;
    return false;
}

void watch_update(struct collector *collector)
{
    collector->unwatched = false;
    for (struct station *station = collector->stations; station; station = station->next) {
        if (folder_needed(collector, station))
            note(collector, &station->folder_watch, watch_folder(collector, station->path));
        if (station->here)
            watch_files(collector, station);
    }
    for (struct station *station = collector->stations; station; station = station->next) {
        int watch = station->folder_watch;
        if (watch < 0 || folder_needed(collector, station))
            continue;
        station->folder_watch = -1;
        if (!folder_shared(collector, watch))
            events_unwatch(&collector->events, watch);
    }
}
