/* events.h: everything that the collector waits for: doorbells (through an eventfd), the file
 * system (inotify), signals (signalfd). One thread. */
#ifndef TALLY_EVENTS_H
#define TALLY_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

enum event_name { EVENT_NONE, EVENT_ARENA, EVENT_SPILL };

struct events {
    int poke;    /* eventfd, for doorbell.h */
    int inotify; /* or a negative errno value: there is none */
    int signals; /* signalfd: SIGTERM, SIGINT, SIGHUP */
    enum event_name (*relevant)(void *context, const char *name);
    void *context;
    bool patient; /* spill files do not end a wait */

    /* set by events_wait(), cleared by who acts on them */
    bool stop;
    bool reload;
    bool names; /* an arena's name came or went */
    bool spill; /* a spill file came */
};

/* relevant: what a file of this name in one of the folders is. Blocks the signals. 0 or -errno. */
int events_open(struct events *events, enum event_name (*relevant)(void *, const char *), void *context);
void events_close(struct events *events);

/* Watch a folder for names that come and go (only relevant ones count), or a file for losing its name; again for
 * the same one is harmless. Returns a number for events_unwatch(), or -errno. */
int events_watch_folder(struct events *events, const char *folder);
int events_watch_file(struct events *events, const char *path);
void events_unwatch(struct events *events, int watch);

/* Wait for at most so long (negative: without bound). Returns whether anything relevant happened. */
bool events_wait(struct events *events, int64_t timeout_ns);

#endif
