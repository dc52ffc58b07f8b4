/* stored.c: records in the database: how many bytes they take, and how soon they are seen. */
#include "workload.h"

#include <sqlite3.h>
#include <stdio.h>
#include <time.h>

#define ROWS        50000
#define INTERVAL_MS 100 /* tallyd's default --commit-interval */

static sqlite3 *open_database(const struct plan *plan)
{
    sqlite3 *database;
    char path[512];

    snprintf(path, sizeof(path), "%s/state/usage.db", plan->folder);
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        give_up("%s: %s", path, sqlite3_errmsg(database));
    return database;
}

static sqlite3_stmt *prepare(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *query;

    if (sqlite3_prepare_v2(database, sql, -1, &query, NULL) != SQLITE_OK)
        give_up("SQLite: %s", sqlite3_errmsg(database));
    return query;
}

static int64_t number(sqlite3_stmt *query)
{
    if (sqlite3_step(query) != SQLITE_ROW)
        give_up("SQLite: a query has no row");
    int64_t value = sqlite3_column_int64(query, 0);
    sqlite3_reset(query);
    return value;
}

void bench_disk(const struct plan *plan)
{
    static struct workload workload;
    struct series stored;
    struct series line;
    sqlite3 *database;

    workload_start(&workload, plan);
    database = open_database(plan);
    sqlite3_stmt *size =
        prepare(database, "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
                          "pragma_freelist_count, pragma_page_size");
    int64_t before = number(size);
    run_tally(&workload, ROWS);
    workload_drain();
    series_start(&stored, "bytes", "in the database, indexes and rollups too");
    series_start(&line, "bytes", "as a JSON line");
    series_add(&stored, (double)(number(size) - before) / ROWS);
    series_add(&line, (double)workload.line_bytes);
    output_section(
        "Bytes on disk a record",
        "What 50,000 records add to the database, pages in use; the line has the call's own fields alone.");
    double share = series_ratio(&stored, &line);
    output_series(&stored);
    output_peer(&line, &stored);
    output_goal("bytes on disk a record", "at most a third of a JSON line",
                share <= 1.0 / 3 ? GOAL_MET : GOAL_MISSED, "%.2f of it, %.0f of %.0f", share,
                series_median(&stored), series_median(&line));
    sqlite3_finalize(size);
    sqlite3_close(database);
    series_free(&stored);
    series_free(&line);
}

/* Milliseconds from a record until another process' query sees it. */
static double seen_after_ms(struct workload *workload, sqlite3_stmt *last)
{
    struct timespec rest = {.tv_nsec = 200000};
    int64_t before = number(last);
    int64_t start = now_ns();

    run_tally(workload, 1);
    while (number(last) == before) {
        if (now_ns() - start > 30 * INT64_C(1000000000))
            give_up("a record is not to be seen after 30 s");
        nanosleep(&rest, NULL);
    }
    return (double)(now_ns() - start) / 1e6;
}

static void latency(struct workload *workload, sqlite3_stmt *last, const char *name, int rounds)
{
    struct series series;

    series_start(&series, "ms", name);
    for (int round = 0; round < rounds; round++) {
        /* at ever another moment of the agent's rhythm */
        struct timespec pause = {.tv_nsec = (round * 37 % 101) * 1000000L};

        nanosleep(&pause, NULL);
        series_add(&series, seen_after_ms(workload, last));
    }
    double most = series_share(&series, 0.99);
    output_series(&series);
    output_goal("record to visible in a query, 99 %", "below the commit interval of 100 ms + 10 ms",
                most < INTERVAL_MS + 10 ? GOAL_MET : GOAL_MISSED, "%.1f ms", most);
    series_free(&series);
}

void bench_visible(const struct plan *plan)
{
    static struct workload workload;
    sqlite3 *database;

    workload_start(&workload, plan);
    database = open_database(plan);
    sqlite3_stmt *last = prepare(database, "SELECT max(id) FROM usage");
    output_section("From the record to a query that sees it",
                   "A reader asks five times a millisecond, at ever other moments of the agent's rhythm.");
    latency(&workload, last, "tally_record to visible", rounds_of(plan, 150));
    sqlite3_finalize(last);
    sqlite3_close(database);
}
