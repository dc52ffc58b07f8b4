/* bench.h: measured series, and the table made of them.
 *
 * A figure alone says more about the machine than about the program. So everything here is measured
 * beside a named peer, in rounds that take turns (tally, peer, tally, peer, ...), and the
 * ratio is formed round by round: what disturbs the machine for a while disturbs both.
 */
#ifndef TALLY_BENCH_H
#define TALLY_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct series {
    const char *name;
    const char *unit; /* "ns", "us", "rows/s" */
    double *value;    /* one a round */
    size_t count;
    size_t room;
};

void series_start(struct series *series, const char *unit, const char *name);
void series_add(struct series *series, double value);
void series_free(struct series *series);

struct spread {
    double low, quarter, median, three_quarters, high;
};
struct spread series_spread(const struct series *series);
double series_median(const struct series *series);
/* That below which this share of all values is. */
double series_share(const struct series *series, double share);
/* Of the series' values to the peer's, round by round. */
struct spread series_ratios(const struct series *series, const struct series *peer);
/* Their median. */
double series_ratio(const struct series *series, const struct series *peer);

/* ---- output: a table as it is measured, a JSON document, and the goals at the end --------------- */

/* json: where that goes, or NULL. machine: in words. */
void output_begin(bool table, FILE *json, const char *machine);
void output_end(void);
void output_section(const char *title, const char *note);
/* One line for tally. */
void output_series(const struct series *series);
/* One line for a peer, measured in the same rounds, with the ratio of tally to it. */
void output_peer(const struct series *peer, const struct series *series);
/* One line for a peer that cannot be had, and why. */
void output_missing(const char *name, const char *why);
/* A remark under the section, as a table's footnote and in the JSON. */
void output_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum goal_state { GOAL_MISSED, GOAL_MET, GOAL_STATED, GOAL_UNKNOWN };
/* What was aimed for, and the figure in words. `measure` and `aim` are kept, not copied. */
void output_goal(const char *measure, const char *aim, enum goal_state state, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- the parts ------------------------------------------------------------------------ */

struct plan {
    const char *only;   /* a part's name, or NULL: all */
    const char *arena;  /* TALLY_ARENA */
    const char *folder; /* of the state and of the peers' files: on one file system */
    const char *self;   /* path of this program, to start fresh processes of it */
    const char *build;  /* the folder of the build */
    const char *peers;  /* where the contenders' scripts are */
    const char *machine;
    int scale; /* percent of the usual number of rounds */
};
int rounds_of(const struct plan *plan, int usual);

void bench_bursts(const struct plan *plan);
void bench_pairs(const struct plan *plan);
void bench_paced(const struct plan *plan);
void bench_peers(const struct plan *plan);
void bench_system_calls(const struct plan *plan);
void bench_instructions(const struct plan *plan);
void bench_start_up(const struct plan *plan);
void bench_crowd(const struct plan *plan);
void bench_disk(const struct plan *plan);
void bench_visible(const struct plan *plan);
void bench_python(const struct plan *plan);
void bench_shutdown(const struct plan *plan);
void bench_cost(const struct plan *plan);
void bench_capture(const struct plan *plan);
void bench_end_to_end(const struct plan *plan);
void bench_growth(const struct plan *plan);
int first_main(void);
int steady_main(const char *text);
int shutdown_child(const char *timeout_ms); /* what a fresh process does */

/* ---- shared ---------------------------------------------------------------------------- */

int64_t now_ns(void);
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
