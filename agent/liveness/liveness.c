/* liveness.c: see liveness.h. */
#include "liveness/liveness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PF_EXITING 0x4u /* linux/sched.h; shown in field 9 of stat */

struct stat_line {
    char state;
    unsigned long flags;
    unsigned long long start_time;
    unsigned long pending; /* signals pending for the thread: bit n - 1 */
};

uint64_t liveness_own_namespace(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? (uint64_t)status.st_ino : 0;
}

/* 0, or a negative errno value. The name in parentheses may hold anything: the last ')' ends it. */
static int read_stat(const char *path, struct stat_line *line)
{
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    int error = errno;
    close(fd);
    if (length <= 0)
        return length < 0 ? -error : -ESRCH;
    text[length] = 0;
    const char *rest = strrchr(text, ')');
    /* fields 3, 9, 22, 31 */
    if (!rest || sscanf(rest + 1,
                        " %c %*s %*s %*s %*s %*s %lu %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu"
                        " %*s %*s %*s %*s %*s %*s %*s %*s %lu",
                        &line->state, &line->flags, &line->start_time, &line->pending) != 4)
        return -EIO;
    return 0;
}

/* A leader that has left by pthread_exit() looks like a zombie while its process goes on. */
static int another_thread_runs(int64_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%lld/task", (long long)pid);
    DIR *directory = opendir(path);
    struct dirent *entry;
    int runs = 0;
    while (directory && !runs && (entry = readdir(directory))) {
        struct stat_line line = {0};
        char name[64 + NAME_MAX + 8];
        if (entry->d_name[0] == '.' || strtoll(entry->d_name, NULL, 10) == pid)
            continue;
        snprintf(name, sizeof(name), "%s/%s/stat", path, entry->d_name);
        runs =
            !read_stat(name, &line) && line.state != 'Z' && line.state != 'X' && !(line.flags & PF_EXITING);
    }
    if (directory)
        closedir(directory);
    return runs;
}

static enum liveness judge(const struct stat_line *line, int64_t start_time)
{
    if (start_time > 0 && line->start_time != (unsigned long long)start_time)
        return LIVENESS_GONE;
    if (line->state == 'Z' || line->state == 'X' || line->state == 'x')
        return LIVENESS_GONE;
    /* A thread that SIGKILL has been sent to may take long to notice, as when it waits for a disk. */
    if ((line->flags & PF_EXITING) || (line->pending >> (SIGKILL - 1) & 1))
        return LIVENESS_EXITING;
    return LIVENESS_ALIVE;
}

enum liveness liveness_process(int64_t pid, int64_t start_time)
{
    struct stat_line line = {0};
    char path[64];
    if (pid <= 0 || pid > INT_MAX)
        return LIVENESS_GONE;
    snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    if (read_stat(path, &line)) {
        /* /proc may hide the processes of others (hidepid); kill() does not. */
        return kill((pid_t)pid, 0) && errno == ESRCH ? LIVENESS_GONE : LIVENESS_ALIVE;
    }
    enum liveness liveness = judge(&line, start_time);
    int leader_left = line.state == 'Z' || (line.flags & PF_EXITING);
    if (leader_left && (start_time <= 0 || line.start_time == (unsigned long long)start_time) &&
        another_thread_runs(pid))
        return LIVENESS_ALIVE;
    return liveness;
}

enum liveness liveness_thread(int64_t pid, int64_t tid, int64_t start_time, int exact)
{
    struct stat_line line = {0};
    char path[64];
    if (pid <= 0 || pid > INT_MAX || tid <= 0 || tid > INT_MAX)
        return LIVENESS_GONE;
    if (syscall(SYS_tgkill, (pid_t)pid, (pid_t)tid, 0) && errno == ESRCH)
        return LIVENESS_GONE;
    if (!exact)
        return LIVENESS_ALIVE;
    snprintf(path, sizeof(path), "/proc/%lld/task/%lld/stat", (long long)pid, (long long)tid);
    if (read_stat(path, &line))
        return LIVENESS_ALIVE; /* hidden: its number is all that is known */
    return judge(&line, start_time);
}
