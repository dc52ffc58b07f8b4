#include "board/agent_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTEMPTS_MAX 16

/* Existing first: fs.protected_regular refuses O_CREAT on another's file in a sticky directory. */
static int open_lock(const char *path, uid_t owner)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -errno : fd;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? -EAGAIN : -errno;
    /* A root agent serves this user's arena: its clients must be able to ask for the lock. */
    if (owner != geteuid() && geteuid() == 0 && fchown(fd, owner, (gid_t)-1)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int agent_lock_named(int fd, const char *path)
{
    struct stat held;
    struct stat named;
    if (fstat(fd, &held))
        return -errno;
    if (lstat(path, &named))
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    return held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* The agent writes its pid into the file, for people: the kernel does not tell who holds such a lock. */
static pid_t read_holder(int fd)
{
    char text[24] = "";
    return pread(fd, text, sizeof text - 1, 0) > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

static void write_holder(int fd)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    /* Only a courtesy: without it the message names no pid. */
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)length, 0) < 0)
        return;
}

static int lock_file(int fd, const char *path, uid_t owner, pid_t *holder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat status;

    if (fstat(fd, &status))
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_nlink > 1 || (status.st_mode & 0077) ||
        (status.st_uid != geteuid() && status.st_uid != owner && status.st_uid != 0))
        return -EACCES;
    if (fcntl(fd, F_OFD_SETLK, &lock)) {
        *holder = read_holder(fd);
        return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
    }
    /* Deleted between open and lock: this lock is nobody's; once more. */
    int named = agent_lock_named(fd, path);
    return named > 0 ? 0 : named < 0 ? named : -EAGAIN;
}

int agent_lock_take(const char *path, uid_t owner, pid_t *holder)
{
    int result = -EAGAIN;
    *holder = 0;
    for (int attempt = 0; attempt < ATTEMPTS_MAX && result == -EAGAIN; attempt++) {
        int fd = open_lock(path, owner);
        result = fd < 0 ? fd : lock_file(fd, path, owner, holder);
        if (result == 0) {
            write_holder(fd);
            return fd;
        }
        if (fd >= 0)
            close(fd);
    }
    return result;
}
