#include "arena/arena_reader.h"

#include <arena_file.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int arena_reader_bytes(const struct arena_reader *reader, void *out, size_t bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(reader->fd, (char *)out + done, bytes - done, (off_t)(offset + done));
        if (got == 0)
            return -ENODATA;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            done += (size_t)got;
    }
    return 0;
}

static int check_file(struct arena_reader *reader, uid_t uid, gid_t group)
{
    struct stat status;
    if (fstat(reader->fd, &status))
        return -errno;
    int result = arena_file_trusted(&status, uid, group);
    if (result == -ESTALE)
        return -ENOENT; /* deleted between open and now */
    if (result)
        return result;
    result = arena_reader_bytes(reader, &reader->header, sizeof reader->header, 0);
    if (result)
        return result == -ENODATA ? -EBADMSG : result;
    if (!tally_arena_header_sound(&reader->header) ||
        (uint64_t)status.st_size < tally_arena_bytes(&reader->header))
        return -EBADMSG;
    reader->device = status.st_dev;
    reader->inode = status.st_ino;
    reader->owner = status.st_uid;
    return 0;
}

int arena_reader_open(struct arena_reader *reader, const char *path, uid_t uid, gid_t group)
{
    memset(reader, 0, sizeof *reader);
    /* O_NONBLOCK: a fifo under this name must not hold the agent up. */
    reader->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (reader->fd < 0)
        return errno == ELOOP ? -EACCES : -errno;
    int result = check_file(reader, uid, group);
    if (result) {
        close(reader->fd);
        reader->fd = -1;
        return result;
    }
    char *page = mmap(NULL, TALLY_PAGE_BYTES, PROT_READ, MAP_SHARED, reader->fd, 0);
    if (page != MAP_FAILED)
        reader->doorbell = (const uint32_t *)(page + offsetof(struct tally_arena_header, doorbell));
    return 0;
}

void arena_reader_close(struct arena_reader *reader)
{
    if (reader->doorbell) {
        uintptr_t page = (uintptr_t)reader->doorbell - offsetof(struct tally_arena_header, doorbell);
        munmap((void *)page, TALLY_PAGE_BYTES);
    }
    if (reader->fd >= 0)
        close(reader->fd);
    reader->doorbell = NULL;
    reader->fd = -1;
}

int arena_reader_doorbell(const struct arena_reader *reader, uint32_t *out)
{
    return arena_reader_bytes(reader, out, sizeof *out, offsetof(struct tally_arena_header, doorbell));
}

int arena_reader_table(const struct arena_reader *reader, struct arena_table *out)
{
    size_t bytes =
        offsetof(struct arena_table, entries) + reader->header.lane_count * sizeof(struct tally_lane_entry);
    return arena_reader_bytes(reader, out, bytes, offsetof(struct tally_arena_header, doorbell));
}

int arena_reader_named(const struct arena_reader *reader, const char *path)
{
    struct stat status;
    if (lstat(path, &status))
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    return status.st_dev == reader->device && status.st_ino == reader->inode;
}
