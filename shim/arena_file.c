#include "arena_file.h"

#include "platform.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#define SHM_DIRECTORY "/dev/shm"

static int join(char *out, size_t bytes, const char *first, const char *second)
{
    size_t first_length = strlen(first);
    size_t second_length = strlen(second);
    if (first_length + second_length + 1 > bytes)
        return -ENAMETOOLONG;
    memcpy(out, first, first_length);
    memcpy(out + first_length, second, second_length + 1);
    return 0;
}

int arena_path(char *out, size_t bytes, const char *name, uid_t uid)
{
    char made[64] = "/tally-";
    if (!name || !*name) {
        size_t at = strlen(made);
        at += decimal(made + at, uid);
        made[at++] = '.';
        made[at++] = 'v';
        at += decimal(made + at, TALLY_ABI);
        made[at] = '\0';
        name = made;
    }
    const char *rest = name[0] == '/' ? name + 1 : name;
    if (!strchr(rest, '/')) {
        if (!*rest || !strcmp(rest, ".") || !strcmp(rest, ".."))
            return -EINVAL;
        return join(out, bytes < ARENA_PATH_MAX ? bytes : ARENA_PATH_MAX, SHM_DIRECTORY "/", rest);
    }
    if (name[0] != '/' || name[strlen(name) - 1] == '/')
        return -EINVAL;
    return join(out, bytes < ARENA_PATH_MAX ? bytes : ARENA_PATH_MAX, name, "");
}

void arena_sibling(char *out, const char *path, const char *suffix)
{
    if (join(out, ARENA_SIBLING_MAX, path, suffix))
        out[0] = '\0';
}

gid_t arena_group(const char *value)
{
    if (!value || !*value)
        return (gid_t)-1;
    char *end;
    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (*end == '\0' && value[0] >= '0' && value[0] <= '9' && !errno && number < (gid_t)-1)
        return (gid_t)number;
    struct group found;
    struct group *result = NULL;
    char buffer[4096];
    if (getgrnam_r(value, &found, buffer, sizeof buffer, &result) || !result)
        return (gid_t)-1;
    return found.gr_gid;
}

int arena_file_trusted(const struct stat *status, uid_t uid, gid_t group)
{
    bool of_group = group != (gid_t)-1 && status->st_gid == group;
    if (status->st_nlink == 0)
        return -ESTALE;
    if (!S_ISREG(status->st_mode) || status->st_nlink != 1 || (status->st_mode & S_IRWXO))
        return -EACCES;
    if (status->st_uid != uid && status->st_uid != 0 && !of_group)
        return -EACCES;
    if ((status->st_mode & S_IRWXG) && !of_group)
        return -EACCES;
    return 0;
}

static int read_header(int fd, gid_t group, struct tally_arena_header *header, struct stat *status)
{
    if (status_of(fd, status))
        return -errno;
    int result = arena_file_trusted(status, geteuid(), group);
    if (result)
        return result;
    ssize_t got = pread(fd, header, sizeof *header, 0);
    if (got < 0)
        return -errno;
    if (got != (ssize_t)sizeof *header || !tally_arena_header_sound(header) ||
        (uint64_t)status->st_size < tally_arena_bytes(header))
        return -EBADMSG;
    return 0;
}

static int open_existing(const char *path, gid_t group, int access, struct tally_arena_header *header,
                         struct stat *status)
{
    /* Without O_CREAT: fs.protected_regular refuses it in a sticky directory even for files that exist. */
    int fd = open(path, access | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int result = read_header(fd, group, header, status);
    if (result) {
        close(fd);
        return result;
    }
    return fd;
}

int arena_file_open_existing(const char *path, gid_t group, int access, struct tally_arena_header *header)
{
    struct stat status;
    return open_existing(path, group, access, header, &status);
}

static uint32_t number_from_environment(const char *name, uint32_t otherwise, uint32_t least, uint32_t most)
{
    const char *value = secure_getenv(name);
    if (!value || !*value)
        return otherwise;
    char *end;
    unsigned long number = strtoul(value, &end, 10);
    if (*end || number < least || number > most)
        return otherwise;
    return (uint32_t)number;
}

void arena_boot_id(uint8_t out[16])
{
    memset(out, 0, 16);
    char text[40] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    int nibbles = 0;
    for (ssize_t i = 0; i < got && nibbles < 32; i++) {
        char c = text[i];
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0)
            continue;
        out[nibbles / 2] = (uint8_t)(out[nibbles / 2] << 4 | value);
        nibbles++;
    }
}

static int fill_header(struct tally_arena_header *header)
{
    memset(header, 0, sizeof *header);
    header->magic = TALLY_ARENA_MAGIC;
    header->abi = TALLY_ABI;
    header->lane_count =
        number_from_environment("TALLY_LANES", TALLY_LANE_COUNT_DEFAULT, 1, TALLY_LANE_COUNT_MAX);
    header->header_bytes = tally_arena_header_bytes(header->lane_count);
    uint32_t kib = number_from_environment("TALLY_LANE_KIB", TALLY_LANE_BYTES_DEFAULT / 1024,
                                           TALLY_LANE_BYTES_MIN / 1024, TALLY_LANE_BYTES_MAX / 1024);
    header->lane_bytes = kib / 4 * 4 * 1024;
    header->ring_bytes = header->lane_bytes - TALLY_LANE_HEADER_BYTES;
    header->created_unix_ns = clock_ns(CLOCK_REALTIME);
    arena_boot_id(header->boot_id);
    if (getrandom(header->uuid, sizeof header->uuid, 0) != (ssize_t)sizeof header->uuid)
        return -EIO;
    return 0;
}

/* Size, reserve and write a new arena that has no name yet. */
static int initialise(int fd, gid_t group, struct tally_arena_header *header)
{
    struct rlimit limit;
    int result = fill_header(header);
    if (result)
        return result;
    /* SIGXFSZ would kill the host. */
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur < tally_arena_bytes(header))
        return -EFBIG;
    if (group != (gid_t)-1 && fchown(fd, (uid_t)-1, group))
        return -errno;
    if (fchmod(fd, group != (gid_t)-1 ? 0660 : 0600))
        return -errno;
    if (ftruncate(fd, (off_t)tally_arena_bytes(header)))
        return -errno;
    /* Reserved now: a full /dev/shm is an error here and not a SIGBUS at the first touch. */
    while ((result = posix_fallocate(fd, 0, header->header_bytes)) == EINTR)
        ;
    if (result)
        return -result;
    ssize_t put = pwrite(fd, header, sizeof *header, 0);
    return put == (ssize_t)sizeof *header ? 0 : put < 0 ? -errno : -EIO;
}

/* Give an O_TMPFILE file its name, if nobody has it. An unnamed file needs no sweeping up when its
 * maker is killed; a temporary name, where the file system or a missing /proc demands one, does. */
static int make_unnamed(const char *path, gid_t group, struct tally_arena_header *header)
{
    char directory[ARENA_PATH_MAX];
    char self[32] = "/proc/self/fd/";
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, path, length);
    directory[length] = '\0';
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EOPNOTSUPP || errno == EISDIR ? -ENOTSUP : -errno;
    int result = initialise(fd, group, header);
    if (result == 0) {
        self[14 + decimal(self + 14, (unsigned long)fd)] = '\0';
        if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
            result = errno == EEXIST ? -EEXIST : -ENOTSUP;
    }
    close(fd);
    return result;
}

static int make_named(const char *path, gid_t group, struct tally_arena_header *header)
{
    char temporary[ARENA_PATH_MAX + 32];
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return -EIO;
    int length = snprintf(temporary, sizeof temporary, "%s.%016llx.new", path, (unsigned long long)random);
    if (length < 0 || (size_t)length >= sizeof temporary)
        return -ENAMETOOLONG;
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = initialise(fd, group, header);
    close(fd);
    if (result == 0 && syscall(SYS_renameat2, AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (result == 0)
        result = errno == EEXIST ? -EEXIST : -errno;
    unlink(temporary);
    return result;
}

int arena_file_open(const char *path, gid_t group, bool create, struct tally_arena_header *header)
{
    struct stat status;
    return arena_file_open_status(path, group, create, header, &status);
}

int arena_file_open_status(const char *path, gid_t group, bool create, struct tally_arena_header *header,
                           struct stat *status)
{
    int result = -ENOENT;
    /* Deleted or made by another between two steps: look again, but not for ever. */
    for (int attempt = 0; attempt < 16; attempt++) {
        result = open_existing(path, group, O_RDWR, header, status);
        if (result == -ESTALE)
            continue;
        if (result != -ENOENT || !create)
            return result;
        int made = make_unnamed(path, group, header);
        if (made == -ENOTSUP)
            made = make_named(path, group, header);
        if (made && made != -EEXIST)
            return made;
    }
    return result;
}
