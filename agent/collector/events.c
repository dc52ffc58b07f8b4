#include "collector/events.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <testpoint.h>
#include <time.h>
#include <unistd.h>

int events_open(struct events *events, enum event_name (*relevant)(void *, const char *), void *context)
{
    sigset_t blocked;
    sigset_t taken;

    memset(events, 0, sizeof *events);
    events->relevant = relevant;
    events->context = context;
    sigemptyset(&taken);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGHUP);
    blocked = taken;
    sigaddset(&blocked, SIGUSR1); /* the doorbells' threads let it in, to be interrupted */
    if (sigprocmask(SIG_BLOCK, &blocked, NULL))
        return -errno;
    signal(SIGPIPE, SIG_IGN);
    events->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Refused, or a user's instances are used up: one can look oneself, once a second. Then it says why. */
    events->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (events->inotify < 0)
        events->inotify = -errno;
    events->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (events->poke >= 0 && events->signals >= 0)
        return 0;
    int error = errno;
    events_close(events);
    return -error;
}

void events_close(struct events *events)
{
    int *descriptors[] = {&events->poke, &events->inotify, &events->signals};
    for (int i = 0; i < 3; i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
}

int events_watch_folder(struct events *events, const char *folder)
{
    if (events->inotify < 0)
        return events->inotify;
    int watch =
        inotify_add_watch(events->inotify, folder, IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR);
    return watch < 0 ? -errno : watch;
}

int events_watch_file(struct events *events, const char *path)
{
    if (events->inotify < 0)
        return events->inotify;
    /* IN_ATTRIB comes with each change of the number of names, also while the file is open. */
    int watch =
        inotify_add_watch(events->inotify, path, IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_DONT_FOLLOW);
    return watch < 0 ? -errno : watch;
}

void events_unwatch(struct events *events, int watch)
{
    inotify_rm_watch(events->inotify, watch);
}

static void read_names(struct events *events)
{
    _Alignas(struct inotify_event) char bytes[8192];
    ssize_t got;

    while ((got = read(events->inotify, bytes, sizeof bytes)) > 0) {
        for (char *at = bytes; at < bytes + got;) {
            struct inotify_event *event = (struct inotify_event *)(void *)at;
            enum event_name kind = event->len ? events->relevant(events->context, event->name) : EVENT_NONE;
            /* Without a name: a watched file or folder itself, or events have been lost. */
            bool lost = !event->len;
            if (lost || kind == EVENT_ARENA)
                events->names = true;
            if (lost || (kind == EVENT_SPILL && event->mask & (IN_CREATE | IN_MOVED_TO)))
                events->spill = true;
            at += sizeof *event + event->len;
        }
    }
}

static void read_signals(struct events *events)
{
    struct signalfd_siginfo signal;
    while (read(events->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGHUP)
            events->reload = true;
        else
            events->stop = true;
    }
}

/* One poll. Returns whether it ended before its time. */
static bool poll_once(struct events *events, int64_t timeout_ns, bool *poked)
{
    struct pollfd polled[] = {
        {.fd = events->poke, .events = POLLIN},
        {.fd = events->inotify, .events = POLLIN},
        {.fd = events->signals, .events = POLLIN},
    };
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    uint64_t pokes;

    int ready = ppoll(polled, 3, timeout_ns < 0 ? NULL : &timeout, NULL);
    if (ready <= 0)
        return ready < 0;
    TESTPOINT(woken);
    *poked = polled[0].revents && read(events->poke, &pokes, sizeof pokes) > 0;
    if (polled[1].revents)
        read_names(events);
    if (polled[2].revents)
        read_signals(events);
    return true;
}

bool events_wait(struct events *events, int64_t timeout_ns)
{
    struct timespec now;
    bool poked = false;
    int64_t left = timeout_ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t deadline = now.tv_sec * INT64_C(1000000000) + now.tv_nsec + timeout_ns;
    /* What other programs do in the same folders does not end the wait. */
    while (poll_once(events, left, &poked)) {
        if (poked || events->names || events->stop || events->reload || (events->spill && !events->patient))
            return true;
        if (timeout_ns < 0)
            continue;
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = deadline - now.tv_sec * INT64_C(1000000000) - now.tv_nsec;
        if (left < 0)
            left = 0;
    }
    return false;
}
