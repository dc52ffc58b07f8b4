#include "identity.h"

#include "platform.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static size_t append(char *out, const char *text)
{
    size_t length = strlen(text);
    memcpy(out, text, length + 1);
    return length;
}

static size_t append_number(char *out, uint32_t value)
{
    size_t count = decimal(out, value);
    out[count] = '\0';
    return count;
}

static void stat_path(char *path, uint32_t pid, uint32_t tid)
{
    size_t at = append(path, "/proc/");
    at += pid ? append_number(path + at, pid) : append(path + at, "self");
    if (tid) {
        at += append(path + at, "/task/");
        at += append_number(path + at, tid);
    }
    append(path + at, "/stat");
}

static uint64_t number_at(const char *at)
{
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

uint64_t identity_start_time(uint32_t pid, uint32_t tid)
{
    char path[64];
    char text[1024];
    stat_path(path, pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    /* The name, field 2, may hold anything, also spaces and brackets: count from its last bracket. */
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        if (at)
            at++;
    }
    return at ? number_at(at) : 0;
}

/* The link says "pid:[INODE]". To read it costs less than to follow it, which makes an inode to be looked at. */
uint64_t identity_pid_namespace(void)
{
    static const char link[] = "/proc/self/ns/pid";
    char text[64];
    struct stat status;
    ssize_t length = readlink(link, text, sizeof text - 1);
    if (length > 0) {
        text[length] = '\0';
        uint64_t number = strncmp(text, "pid:[", 5) ? 0 : number_at(text + 5);
        if (number)
            return number;
    }
    return stat(link, &status) ? 0 : status.st_ino;
}

bool identity_gone(const struct tally_identity *identity, uint64_t own_namespace)
{
    if (!identity->pid || !identity->start_time || !own_namespace || identity->pid_namespace != own_namespace)
        return false;
    uint64_t now = identity_start_time(identity->pid, identity->tid);
    if (now)
        return now != identity->start_time;
    /* No such file: gone, if /proc shows others at all (hidepid, or none mounted). */
    return identity_start_time(1, 0) != 0;
}
