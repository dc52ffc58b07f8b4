#include "arena/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_directory(const char *state_directory)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/quarantine", state_directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) && errno != EEXIST)
        return -errno;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* What earlier agents kept counts against the limit too. */
static int count_kept(struct quarantine *quarantine, int directory)
{
    int copy = fcntl(directory, F_DUPFD_CLOEXEC, 0);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing) {
        int error = errno;
        if (copy >= 0)
            close(copy);
        return -error;
    }
    quarantine->bytes = 0;
    struct dirent *entry;
    while ((entry = readdir(listing))) {
        struct stat status;
        if (!fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) && S_ISREG(status.st_mode))
            quarantine->bytes += (uint64_t)status.st_size;
    }
    closedir(listing);
    quarantine->counted = 1;
    return 0;
}

static int write_whole(int fd, const void *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t put = write(fd, (const char *)bytes + done, length - done);
        if (put < 0 && errno != EINTR)
            return -errno;
        if (put == 0)
            return -EIO;
        if (put > 0)
            done += (size_t)put;
    }
    return fsync(fd) ? -errno : 0;
}

static int write_file(int directory, const char *name, const void *bytes, size_t length)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = write_whole(fd, bytes, length);
    close(fd);
    if (result) {
        unlinkat(directory, name, 0);
        return result;
    }
    return fsync(directory) ? -errno : 0;
}

int quarantine_keep(struct quarantine *quarantine, const uint8_t uuid[16], uint32_t lane, uint64_t position,
                    const void *bytes, size_t length, char name[QUARANTINE_NAME_MAX])
{
    char hex[33];
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
    snprintf(name, QUARANTINE_NAME_MAX, "%s-%u-%llu.bin", hex, lane, (unsigned long long)position);
    int directory = open_directory(quarantine->state_directory);
    if (directory < 0)
        return directory;
    int result = quarantine->counted ? 0 : count_kept(quarantine, directory);
    if (result == 0 && quarantine->bytes + length > QUARANTINE_BYTES_MAX)
        result = -EDQUOT;
    if (result == 0)
        result = write_file(directory, name, bytes, length);
    if (result == 0)
        quarantine->bytes += length;
    close(directory);
    return result;
}
