#include "spill/spill_folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- folders ----------------------------------------------------------------------- */

static int add(struct spill_folders *folders, uid_t owner, bool own, const char *path)
{
    if (strlen(path) >= SPILL_PATH_MAX)
        return -ENAMETOOLONG;
    for (unsigned int i = 0; i < folders->count; i++)
        if (!strcmp(folders->list[i].path, path))
            return 0;
    if (folders->count == SPILL_FOLDERS_MAX)
        return -ENOSPC;
    struct spill_folder *list = realloc(folders->list, (folders->count + 1) * sizeof *list);
    if (!list)
        return -ENOMEM;
    folders->list = list;
    struct spill_folder *folder = &list[folders->count++];
    memset(folder, 0, sizeof *folder);
    snprintf(folder->path, sizeof folder->path, "%s", path);
    folder->owner = owner;
    folder->own = own;
    return 0;
}

static int add_print(struct spill_folders *folders, uid_t owner, bool own, const char *base, const char *rest)
{
    char path[SPILL_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s", base, rest);
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    return add(folders, owner, own, path);
}

/* Who has the database has its spill folder, also where root looks on. */
static uid_t owner_of(const char *state_directory)
{
    struct stat status;
    return stat(state_directory, &status) ? geteuid() : status.st_uid;
}

int spill_folders_find(struct spill_folders *folders, const char *state_directory)
{
    const char *named = secure_getenv("TALLY_SPILL_DIR");
    const char *state = secure_getenv("XDG_STATE_HOME");
    const char *home = secure_getenv("HOME");
    char resolved[PATH_MAX];
    uid_t uid = geteuid();
    memset(folders, 0, sizeof *folders);
    /* Clients stand elsewhere: the board names it in full. */
    const char *base = realpath(state_directory, resolved);
    int result = add_print(folders, owner_of(state_directory), true, base ? base : state_directory, "/spill");
    if (!result && named && named[0] == '/')
        result = add(folders, uid, false, named);
    if (!result && state && state[0] == '/')
        result = add_print(folders, uid, false, state, "/tally/spill");
    else if (!result && uid != 0 && home && home[0] == '/')
        result = add_print(folders, uid, false, home, "/.local/state/tally/spill");
    /* The last, unless it was there already, or nothing said where it is. */
    if (!result && folders->count > 1 && strstr(folders->list[folders->count - 1].path, "/tally/spill"))
        folders->list[folders->count - 1].state =
            !named || strcmp(named, folders->list[folders->count - 1].path);
    return result ? result : add(folders, uid, false, "/var/lib/tally/spill");
}

int spill_folders_add_user(struct spill_folders *folders, uid_t uid)
{
    const struct passwd *user = uid == geteuid() ? NULL : getpwuid(uid);
    return user && user->pw_dir && user->pw_dir[0] == '/'
               ? add_print(folders, uid, false, user->pw_dir, "/.local/state/tally/spill")
               : 0;
}

void spill_folders_free(struct spill_folders *folders)
{
    free(folders->list);
    memset(folders, 0, sizeof *folders);
}

int spill_folder_open(const struct spill_folder *folder)
{
    struct stat status;
    int fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = fstat(fd, &status) ? -errno : 0;
    if (result == 0 && status.st_uid != folder->owner && status.st_uid != 0 && status.st_uid != geteuid())
        result = -EPERM;
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

/* ---- files ----------------------------------------------------------------------------- */

static int add_file(struct spill_list *list, unsigned int folder, const struct spill_name *name,
                    const char *text, bool foreign)
{
    if (list->count == SPILL_FILES_MAX)
        return -EOVERFLOW;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct spill_found *files = realloc(list->files, capacity * sizeof *files);
        if (!files)
            return -ENOMEM;
        list->files = files;
        list->capacity = capacity;
    }
    struct spill_found *found = &list->files[list->count++];
    memset(found, 0, sizeof *found);
    found->folder = folder;
    found->index = name->index;
    memcpy(found->log, name->log, sizeof found->log);
    found->taken = name->taken != NULL;
    found->foreign = foreign;
    memcpy(found->name, text, strlen(text) + 1); /* its length has been checked: spill_name_parse() */
    return 0;
}

int spill_list_folder(struct spill_list *list, const struct spill_folders *folders, unsigned int number,
                      const char *database)
{
    const struct spill_folder *folder = &folders->list[number];
    struct spill_name name;
    struct dirent *entry;
    int result = 0;
    int fd = spill_folder_open(folder);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing) {
        result = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    do {
        errno = 0;
        entry = readdir(listing);
        if (!entry)
            result = -errno; /* 0: that was all */
        else if (spill_name_parse(entry->d_name, &name))
            result = add_file(list, number, &name, entry->d_name,
                              name.taken && !folder->own && strcmp(name.taken, database));
    } while (entry && !result);
    closedir(listing);
    return result;
}

static int compare(const void *left, const void *right)
{
    const struct spill_found *a = left;
    const struct spill_found *b = right;
    int order = memcmp(a->log, b->log, sizeof a->log);
    if (order)
        return order;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return b->taken - a->taken; /* one of the same name is in the way of the other until it is done */
}

void spill_list_sort(struct spill_list *list)
{
    if (list->count)
        qsort(list->files, list->count, sizeof *list->files, compare);
}

void spill_list_free(struct spill_list *list)
{
    free(list->files);
    memset(list, 0, sizeof *list);
}
