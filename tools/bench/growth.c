/* growth.c: what the agent takes for a record on an empty database and on a large one, and how long a report over the large
 * one takes. Both agents stand as contenders (peers/stand), with databases of their own. */
#include "agent.h"
#include "peer.h"
#include "process.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_FULL 10000000
#define BATCH      20000

enum { LARGE, EMPTY, BOTH };

static struct peer agents[BOTH] = {
    [LARGE] = {.kind = "grown-large", .name = "large database", .ready_s = 900},
    [EMPTY] = {.kind = "grown-empty", .name = "empty database"},
};
static const char flat[] = "flat: within 1.1 x of an empty one";

static enum goal_state state_of(bool met)
{
    return met ? GOAL_MET : GOAL_MISSED;
}

/* ---- taking records ------------------------------------------------------------------- */

struct taking {
    struct series cpu;
    struct series rows;
};

static void take(const struct plan *plan, int which, struct taking *taking, bool counts)
{
    struct peer *peer = &agents[which];
    char pid[16];

    agent_pid_of(plan->folder, peer->kind, pid);
    agent_await_quiet(pid);
    int64_t cpu = agent_cpu_ns(pid);
    int64_t start = now_ns();
    if (peer_burst(peer, BATCH) <= 0) /* it answers when all are durable */
        give_up("%s: %s", peer->name, peer->trouble);
    int64_t took = now_ns() - start;
    agent_await_quiet(pid);
    cpu = agent_cpu_ns(pid) - cpu;
    if (!counts)
        return;
    series_add(&taking->cpu, (double)cpu / BATCH);
    series_add(&taking->rows, BATCH / ((double)took / 1e9));
}

static void print_taking(struct taking taking[BOTH])
{
    double cpu = series_ratio(&taking[LARGE].cpu, &taking[EMPTY].cpu);
    double rows = series_ratio(&taking[LARGE].rows, &taking[EMPTY].rows);

    output_series(&taking[LARGE].cpu);
    output_peer(&taking[EMPTY].cpu, &taking[LARGE].cpu);
    output_series(&taking[LARGE].rows);
    output_peer(&taking[EMPTY].rows, &taking[LARGE].rows);
    output_goal("a record into a large database, agent's processor", flat, state_of(cpu <= 1.1),
                "%.2f x, %.2f us", cpu, series_median(&taking[LARGE].cpu) / 1000);
    output_goal("a record into a large database, rows a second", flat, state_of(rows >= 1 / 1.1),
                "%.2f of it, %.0f", rows, series_median(&taking[LARGE].rows));
}

static void compare_taking(const struct plan *plan)
{
    struct taking taking[BOTH];
    int rounds = rounds_of(plan, 25);

    for (int i = 0; i < BOTH; i++) {
        series_start(&taking[i].cpu, "ns",
                     i == LARGE ? "agent's processor a record, large" : "agent's processor a record, empty");
        series_start(&taking[i].rows, "rows/s", i == LARGE ? "made durable, large" : "made durable, empty");
    }
    for (int round = -1; round < rounds; round++)
        for (int i = 0; i < BOTH; i++)
            take(plan, (i + round + 1) % BOTH, &taking[(i + round + 1) % BOTH], round >= 0);
    print_taking(taking);
    for (int i = 0; i < BOTH; i++) {
        series_free(&taking[i].cpu);
        series_free(&taking[i].rows);
    }
}

/* ---- reports ---------------------------------------------------------------------------- */

static int64_t ask(const struct plan *plan, int which, const char *sql)
{
    sqlite3_stmt *query;
    sqlite3 *database;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s.state/usage.db", plan->folder, agents[which].kind);
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, sql, -1, &query, NULL) != SQLITE_OK)
        give_up("%s: %s", path, sqlite3_errmsg(database));
    int64_t number = 0;
    while (sqlite3_step(query) == SQLITE_ROW)
        number = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    sqlite3_close(database);
    return number;
}

static double report_ms(const struct plan *plan, int which)
{
    char tally[512];
    char state[512];

    snprintf(tally, sizeof(tally), "%s/tally", plan->build);
    snprintf(state, sizeof(state), "%s/%s.state", plan->folder, agents[which].kind);
    const char *words[] = {tally,         "report", "--by", "request_model", "--since", "all",
                           "--state-dir", state,    NULL};
    int64_t ns = process_run(words, -1);
    if (ns < 0)
        give_up("tally report failed");
    return (double)ns / 1e6;
}

static void compare_reports(const struct plan *plan, int64_t calls)
{
    struct series report[BOTH];
    struct series query;
    struct series raw;
    int rounds = rounds_of(plan, 30);

    series_start(&report[LARGE], "ms", "tally report by model, large");
    series_start(&report[EMPTY], "ms", "the same, empty: what a process costs");
    series_start(&query, "ms", "the difference: what the query costs");
    series_start(&raw, "ms", "GROUP BY over the calls themselves");
    for (int round = -1; round < rounds; round++) {
        double ms[BOTH];

        for (int i = 0; i < BOTH; i++)
            ms[(i + round + 1) % BOTH] = report_ms(plan, (i + round + 1) % BOTH);
        if (round < 0)
            continue;
        series_add(&report[LARGE], ms[LARGE]);
        series_add(&report[EMPTY], ms[EMPTY]);
        series_add(&query, ms[LARGE] - ms[EMPTY]);
    }
    int64_t start = now_ns();
    ask(plan, LARGE,
        "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cost_picodollars), request_model "
        "FROM usage GROUP BY request_model");
    series_add(&raw, (double)(now_ns() - start) / 1e6);
    output_series(&report[LARGE]);
    output_peer(&report[EMPTY], &report[LARGE]);
    output_series(&query);
    output_series(&raw);
    double most = series_median(&report[LARGE]);
    output_goal("a report by model over 10 million calls", "below 50 ms",
                calls < CALLS_FULL * 99LL / 100 ? GOAL_UNKNOWN : state_of(most < 50),
                "%.0f ms, %.0f of them the query; %.1f million calls", most, series_median(&query),
                (double)calls / 1e6);
    series_free(&report[LARGE]);
    series_free(&report[EMPTY]);
    series_free(&query);
    series_free(&raw);
}

void bench_growth(const struct plan *plan)
{
    char calls_text[32];
    int calls = (int)((int64_t)CALLS_FULL * (plan->scale < 100 ? plan->scale : 100) / 100);

    snprintf(calls_text, sizeof(calls_text), "%d", calls);
    setenv("TALLY_BENCH_CALLS", calls_text, 1);
    int64_t start = now_ns();
    peers_start(agents, BOTH, plan);
    double seconds = (double)(now_ns() - start) / 1e9;
    for (int i = 0; i < BOTH; i++)
        if (agents[i].pid == 0)
            give_up("%s: %s", agents[i].name, agents[i].trouble);
    int64_t before = ask(plan, LARGE, "SELECT count(*) FROM usage");
    if (ask(plan, LARGE, "SELECT sum(calls) FROM usage_hourly") != before ||
        ask(plan, LARGE, "SELECT sum(calls) FROM usage_daily") != before)
        give_up("the large database is not what it was meant to be: see peers/fill");
    output_section(
        "As the database grows",
        "An agent each, in turns: 20,000 records at a time, from the first to the last one's being "
        "durable. Reports: whole processes.");
    compare_taking(plan);
    compare_reports(plan, before);
    output_note(
        "%.2f million calls of 90 days, 15 services, 10 models, 5 teams: %lld rows of usage_hourly, %lld of "
        "usage_daily; made in %.0f s. --scale 10: a tenth of them.",
        (double)before / 1e6, (long long)ask(plan, LARGE, "SELECT count(*) FROM usage_hourly"),
        (long long)ask(plan, LARGE, "SELECT count(*) FROM usage_daily"), seconds);
    peers_stop(agents, BOTH);
}
