/* play.h: one schedule: two writers and an agent brought to places, in an order, and let go, in an order; then the books.
 *
 * A schedule is a sequence of up to three stops. Each brings one process (starting it, if need be) to a named place, while all others
 * that have been started stand where they are held, wait, or go on if they are woken. When all stops are made, processes that have not
 * been named run, too, until they wait. Then those that are held are released (or killed) in a given order, each
 * running until it waits or ends before the next. Then time goes on until everybody has come to an end.
 *
 * Looked at whenever everything stands still: the board says no more than the database holds; nobody who lives is said to have
 * ended; with nobody held, no agent sleeps while records wait, and no writer waits for a commit that has come. A shutdown that answers
 * "durable" is checked against the database at that very moment. In the end: each record that was acknowledged has one row,
 * each session the end that it had, no file is left, `tally audit` accounts for all.
 */
#ifndef TESTS_CRASH_PLAY_H
#define TESTS_CRASH_PLAY_H

#include <stdbool.h>
#include <stdint.h>

#define STOPS_MAX 3

enum who { W1, W2, AGENT, HEIR, ROLES_MAX };

/* What is done besides. */
enum deed {
    DEED_NONE,
    DEED_TERM,  /* the agent gets SIGTERM before */
    DEED_BOARD, /* the board's name is removed before */
    DEED_ASLEEP /* the agent's other thread goes on until it sleeps */
};

struct stop {
    enum who who;
    const char *point; /* NULL: until it ends or waits; an agent: sleeps */
    unsigned int nth;
    enum deed deed;
};

/* Who plays, and where they may be stopped. */
struct cast {
    const char *name;
    const char *scripts[2]; /* tests/programs/script.c */
    const char *lanes, *lane_kib;
    bool agent_first; /* it is there, and its board, when the writers come */
    bool heir;        /* another agent comes when the first has gone */
    bool alike;       /* the writers do the same: which is called the first does not matter */
    const struct stop *stops;
    unsigned int stop_count;
    unsigned int every; /* of the schedules of three stops, in the short form */
};

struct schedule {
    const struct cast *cast;
    unsigned int count;
    const struct stop *stops[STOPS_MAX];
    unsigned int release_count;
    enum who release[STOPS_MAX]; /* in this order */
    unsigned int killed;         /* 1 << who: killed instead of released */
};

/* Where it plays: a folder, an arena and programs of the build. number: of this process among those that play. */
int play_open(unsigned int number);
void play_close(void);

struct played {
    unsigned int reached; /* how many of the stops were */
    unsigned int held;    /* 1 << who: when the first is let go. To let go anybody else does nothing */
    bool
        futile; /* a stop was for one that had ended. So this is the schedule without it, and was not played on */
};

/* 0, or -1 with play_error. */
int play(const struct schedule *schedule, struct played *played);
extern char play_error[600];
void play_describe(const struct schedule *schedule, char *out, unsigned long bytes);
/* What the agents have said, onto standard error. */
void play_show_log(void);

#endif
