/* deaths.c: see deaths.h. */
#include "liveness/deaths.h"

#include "liveness/liveness.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Descriptors that are left for all else: the database's files, arenas, spill files. */
#define DESCRIPTORS_LEFT 128u
/* More than there can be lanes in some dozens of arenas. */
#define CAPACITY_MAX 1000000u
#define EVENTS       64

static struct mortal **bucket(struct deaths *deaths, int64_t pid)
{
    return &deaths->buckets[(uint64_t)pid % DEATHS_BUCKETS];
}

static void count_descriptors(struct deaths *deaths)
{
    struct rlimit limit;
    rlim_t most = getrlimit(RLIMIT_NOFILE, &limit) ? 0 : limit.rlim_cur;
    most = most > DESCRIPTORS_LEFT ? most - DESCRIPTORS_LEFT : 0;
    deaths->capacity = most < CAPACITY_MAX ? (uint32_t)most : CAPACITY_MAX;
}

/* The soft limit is for programs that use select(2). */
static bool room(struct deaths *deaths)
{
    struct rlimit limit;
    if (deaths->count < deaths->capacity)
        return true;
    if (deaths->raised)
        return false;
    deaths->raised = true;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return false;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return false;
    count_descriptors(deaths);
    return deaths->count < deaths->capacity;
}

static int begin(struct deaths *deaths)
{
    if (deaths->opened)
        return 0;
    deaths->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (deaths->epoll < 0)
        return -errno;
    deaths->opened = true;
    count_descriptors(deaths);
    return 0;
}

/* The descriptor first, then the look whether the number still is that thread's: if so, it was when the descriptor was made,
 * or the process that had the number before is what the descriptor means; and that one has ended, which is what will be told. */
static int open_pidfd(int64_t pid, int64_t tid, int64_t start_time)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0u);
    if (fd < 0)
        return -errno;
    if (liveness_thread(pid, tid, start_time, 1) == LIVENESS_ALIVE)
        return fd;
    close(fd);
    return -ESRCH;
}

static int add(struct deaths *deaths, int64_t pid, int fd, struct mortal **out)
{
    struct mortal *mortal = calloc(1, sizeof *mortal);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mortal};
    if (!mortal)
        return -ENOMEM;
    if (epoll_ctl(deaths->epoll, EPOLL_CTL_ADD, fd, &event)) {
        int error = errno;
        free(mortal);
        return -error;
    }
    mortal->pid = pid;
    mortal->fd = fd;
    mortal->references = 1;
    mortal->next = *bucket(deaths, pid);
    *bucket(deaths, pid) = mortal;
    deaths->count++;
    *out = mortal;
    return 0;
}

int deaths_await(struct deaths *deaths, int64_t pid, int64_t tid, int64_t start_time, struct mortal **out)
{
    struct mortal *mortal;
    if (deaths->refused)
        return -ENOSYS;
    if (pid <= 0 || pid > INT_MAX)
        return -ESRCH;
    for (mortal = *bucket(deaths, pid); mortal && mortal->pid != pid; mortal = mortal->next)
        ;
    if (mortal) {
        if (liveness_thread(pid, tid, start_time, 1) != LIVENESS_ALIVE)
            return -ESRCH;
        mortal->references++;
        *out = mortal;
        return 0;
    }
    int result = begin(deaths);
    if (result == 0 && !room(deaths))
        result = -EMFILE;
    int fd = result ? result : open_pidfd(pid, tid, start_time);
    result = fd < 0 ? fd : add(deaths, pid, fd, out);
    if (result && fd >= 0)
        close(fd);
    deaths->refused = result == -ENOSYS || result == -EPERM;
    return result;
}

/* It leaves its bucket: who has the number from now on is another. */
static void bury(struct deaths *deaths, struct mortal *mortal)
{
    struct mortal **link = bucket(deaths, mortal->pid);
    while (*link != mortal)
        link = &(*link)->next;
    *link = mortal->next;
    epoll_ctl(deaths->epoll, EPOLL_CTL_DEL, mortal->fd, NULL);
    close(mortal->fd);
    mortal->fd = -1;
    deaths->count--;
}

void deaths_release(struct deaths *deaths, struct mortal *mortal)
{
    if (--mortal->references)
        return;
    if (mortal->gone)
        deaths->gone--;
    else
        bury(deaths, mortal);
    free(mortal);
}

void deaths_look(struct deaths *deaths)
{
    struct epoll_event events[EVENTS];
    int got = EVENTS;
    /* An error is one look late: the next comes in a second. */
    while (deaths->count && got == EVENTS) {
        got = epoll_wait(deaths->epoll, events, EVENTS, 0);
        for (int i = 0; i < got; i++) {
            struct mortal *mortal = events[i].data.ptr;
            bury(deaths, mortal);
            mortal->gone = true;
            deaths->gone++;
        }
    }
}

void deaths_close(struct deaths *deaths)
{
    if (deaths->opened)
        close(deaths->epoll);
    deaths->opened = false;
}
