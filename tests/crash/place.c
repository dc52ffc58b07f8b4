#include "crash/place.h"

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/spill.h>
#include <unistd.h>

#define FOLDERS    3
#define PATH_BYTES 320

/* The agent's own, TALLY_SPILL_DIR, in the user's state folder: as clients look for them. */
static void folder_path(int which, const char *base, const char *state, char out[PATH_BYTES])
{
    switch (which) {
    case 0:
        snprintf(out, PATH_BYTES, "%s/spill", state);
        break;
    case 1:
        snprintf(out, PATH_BYTES, "%s.spill", base);
        break;
    default:
        snprintf(out, PATH_BYTES, "%s.home/tally/spill", base);
    }
}

static void batch_path(const char *state, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s.held", state);
}

static void set_home(const char *base)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.home", base);
    setenv("XDG_STATE_HOME", path, 1);
}

void place_enter(const struct scenario *scenario, const char *base)
{
    char path[PATH_BYTES];
    set_home(base);
    unsetenv("TALLY_SPILL_DIR");
    setenv("TALLY_OVERFLOW", scenario->place == PLACE_NONE ? "drop" : "spill", 1);
    setenv("TALLY_SPILL_MAX", scenario->spill_max ? scenario->spill_max : "", 1);
    if (scenario->place != PLACE_NAMED)
        return;
    folder_path(1, base, "", path);
    mkdir(path, 0700);
    setenv("TALLY_SPILL_DIR", path, 1);
}

void place_enter_batch(const char *state)
{
    char path[PATH_BYTES];
    set_home(state);
    batch_path(state, path);
    mkdir(path, 0700);
    setenv("TALLY_SPILL_DIR", path, 1);
}

int place_look(struct inspection *inspection, const char *base, const char *state)
{
    char path[PATH_BYTES];
    int result = 0;
    for (int i = 0; i < FOLDERS && result == 0; i++) {
        folder_path(i, base, state, path);
        result = inspect_spilled(inspection, path);
    }
    return result;
}

/* Call use() for each file of a folder; how many there were, or -1 if one of them failed. */
static int each(const char *folder, int (*use)(const char *folder, const char *name, void *argument),
                void *argument)
{
    DIR *listing = opendir(folder);
    const struct dirent *entry;
    int count = 0;
    while (listing && count >= 0 && (entry = readdir(listing)))
        if (entry->d_name[0] != '.')
            count = use(folder, entry->d_name, argument) ? -1 : count + 1;
    if (listing)
        closedir(listing);
    return count;
}

static int give_taken_name(const char *folder, const char *name, void *argument)
{
    char from[2 * PATH_BYTES];
    char to[2 * PATH_BYTES + 16];
    (void)argument;
    snprintf(from, sizeof from, "%s/%s", folder, name);
    snprintf(to, sizeof to, "%s" TALLY_SPILL_TAKEN, from);
    return rename(from, to);
}

/* In its own folder, where the board has sent the victim. */
int place_rename(const char *base, const char *state)
{
    char path[PATH_BYTES];
    folder_path(0, base, state, path);
    return each(path, give_taken_name, NULL) > 0 ? 0 : -1;
}

/* The database's name for itself, which files bear that were taken in a folder that is not the agent's own. */
static void instance(const char *state, char out[32])
{
    char path[PATH_BYTES];
    sqlite3 *database = NULL;
    sqlite3_stmt *row = NULL;
    out[0] = '\0';
    snprintf(path, sizeof path, "%s/usage.db", state);
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(database, "SELECT value FROM meta WHERE key='instance'", -1, &row, NULL) ==
            SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW)
        snprintf(out, 32, ".%s", (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    sqlite3_close(database);
}

static int move_to_batch(const char *folder, const char *name, void *argument)
{
    const char *state = argument;
    char batch[PATH_BYTES];
    char from[2 * PATH_BYTES];
    char to[2 * PATH_BYTES + 48];
    char mark[32] = "";
    size_t length = strlen(name);
    if (length > strlen(TALLY_SPILL_TAKEN) &&
        !strcmp(name + length - strlen(TALLY_SPILL_TAKEN), TALLY_SPILL_TAKEN))
        instance(state, mark);
    batch_path(state, batch);
    mkdir(batch, 0700);
    snprintf(from, sizeof from, "%s/%s", folder, name);
    snprintf(to, sizeof to, "%s/%s%s", batch, name, mark);
    return rename(from, to);
}

int place_keep(const char *base, const char *state)
{
    char path[PATH_BYTES];
    for (int i = 0; i < FOLDERS; i++) {
        folder_path(i, base, state, path);
        if (each(path, move_to_batch, (void *)(uintptr_t)state) < 0)
            return -1;
    }
    return 0;
}

static int remove_file(const char *folder, const char *name, void *argument)
{
    char path[2 * PATH_BYTES];
    (void)argument;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return unlink(path);
}

void place_clear(const char *base, const char *state)
{
    static const char *const folders[] = {".home/tally/spill", ".home/tally", ".home", ".spill"};
    char path[PATH_BYTES];
    for (int i = 0; i < FOLDERS; i++) {
        folder_path(i, base, state, path);
        each(path, remove_file, NULL);
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s%s", base, folders[i]);
        rmdir(path);
    }
}

unsigned int place_clear_batch(const char *state)
{
    char path[PATH_BYTES];
    batch_path(state, path);
    int left = each(path, remove_file, NULL);
    rmdir(path);
    return left < 0 ? 1 : (unsigned int)left;
}
