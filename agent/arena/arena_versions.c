#include "arena/arena_versions.h"

#include <arena_file.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* tally-<uid>.v<digits>, of another version than this program's. */
static int other_version(const char *name, uid_t uid)
{
    char own[64];
    unsigned int number;
    unsigned int version;
    char rest;
    snprintf(own, sizeof own, "tally-%u.v%u", (unsigned int)uid, TALLY_ABI);
    return sscanf(name, "tally-%u.v%u%c", &number, &version, &rest) == 2 && number == uid &&
           strcmp(name, own) != 0;
}

void arena_versions(uid_t uid, void (*found)(void *context, const char *path, uint32_t abi), void *context)
{
    static const char folder[] = "/dev/shm";
    const struct dirent *entry;
    DIR *listing = opendir(folder);
    while (listing && (entry = readdir(listing))) {
        struct tally_arena_header header;
        struct stat status;
        char path[ARENA_PATH_MAX];
        int fd = -1;
        if (!other_version(entry->d_name, uid))
            continue;
        fd = openat(dirfd(listing), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        /* Only what its owner made: a stranger's file says nothing. The magic number is the same in all versions. */
        if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (status.st_uid == uid || !status.st_uid) &&
            pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
            header.magic == TALLY_ARENA_MAGIC)
            found(context, path, header.abi);
        close(fd);
    }
    if (listing)
        closedir(listing);
}
