/* peers.c: tally_record() beside what others build such things with, each in a process of its own, in turns. */
#include "agent.h"
#include "peer.h"

#include <string.h>

#define STRETCH 25
#define MAX     16

/* The first of a table is tally. */
static struct peer native[] = {
    {.kind = "tally", .name = "tally_record", .burst = 400, .sustained = 50000, .paced = true},
    {.kind = "tally-large", .name = "tally_record, lane of 16 MiB", .sustained = 50000},
    {.kind = "ring", .name = "bare SPSC ring", .burst = 400, .sustained = 50000, .paced = true},
    {.kind = "ring-clock",
     .name = "bare SPSC ring + clock_gettime",
     .burst = 400,
     .sustained = 50000,
     .paced = true},
    {.kind = "lttng-fields",
     .name = "LTTng-UST, the record's fields",
     .burst = 400,
     .sustained = 50000,
     .paced = true},
    {.kind = "lttng-bytes",
     .name = "LTTng-UST, as many ready bytes",
     .burst = 400,
     .sustained = 50000,
     .paced = true},
    {.kind = "boost", .name = "Boost message_queue", .burst = 400, .sustained = 20000, .paced = true},
    {.kind = "iceoryx", .name = "iceoryx", .burst = 200, .sustained = 20000, .paced = true},
    {.kind = "queue", .name = "POSIX message queue", .burst = 400, .sustained = 20000, .paced = true},
    {.kind = "datagram",
     .name = "Unix datagram to a daemon",
     .burst = 200,
     .sustained = 10000,
     .paced = true},
    {.kind = "redis", .name = "Redis XADD, appendonly", .burst = 100, .sustained = 2000, .paced = true},
    {.kind = "aeron", .name = "Aeron IPC", .burst = 400, .sustained = 50000, .paced = true},
    {.kind = "autocommit", .name = "SQLite autocommit, FULL", .burst = 10, .sustained = 50, .paced = true},
};

static struct peer python[] = {
    {.kind = "python-tally",
     .name = "tally_record through ctypes",
     .burst = 400,
     .sustained = 20000,
     .paced = true},
    {.kind = "python-tracker",
     .name = "queue and thread, to SQLite",
     .burst = 400,
     .sustained = 20000,
     .paced = true},
    {.kind = "python-call", .name = "a ctypes call alone", .burst = 400, .sustained = 20000, .paced = true},
};

static struct series series[MAX];

static size_t find(const struct peer *peers, size_t count, const char *kind)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(peers[i].kind, kind) == 0 && peers[i].pid != 0)
            return i;
    return count;
}

/* `of` at most `factor` times the peer of that kind. */
static void goal(const struct peer *peers, size_t count, size_t of, const char *kind, double factor,
                 const char *measure, const char *aim)
{
    size_t peer = find(peers, count, kind);

    if (peer == count || peers[of].pid == 0) {
        output_goal(measure, aim, GOAL_UNKNOWN, "%s is not here", kind);
        return;
    }
    double ratio = series_ratio(&series[of], &series[peer]);
    output_goal(measure, aim, ratio <= factor ? GOAL_MET : GOAL_MISSED, "%.2f of it, %.0f ns beside %.0f",
                ratio, series_median(&series[of]), series_median(&series[peer]));
}

/* The like of tally_record() is what takes the fields one by one; who hands over bytes made ready has done less. */
static void lttng_goals(const struct peer *peers, size_t count, size_t of, double factor, const char *measure,
                        const char *aim, const char *aim_of_bytes)
{
    goal(peers, count, of, "lttng-fields", factor, measure, aim);
    goal(peers, count, of, "lttng-bytes", factor, measure, aim_of_bytes);
}

enum table { BURSTS, PROCESSOR, SUSTAINED, PACED };

static int records_of(const struct peer *peer, enum table table)
{
    return table <= PROCESSOR ? peer->burst : table == SUSTAINED ? peer->sustained : peer->paced;
}

static void print(const struct peer *peers, size_t count, enum table table)
{
    if (peers[0].pid == 0)
        give_up("%s: %s", peers[0].name, peers[0].trouble);
    output_series(&series[0]);
    for (size_t i = 1; i < count; i++) {
        if (records_of(&peers[i], table) == 0)
            continue;
        if (peers[i].pid == 0)
            output_missing(peers[i].name, peers[i].trouble);
        else
            output_peer(&series[i], &series[0]);
    }
}

static void start_series(const struct peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        series_start(&series[i], "ns", peers[i].name);
}

static void free_series(size_t count)
{
    for (size_t i = 0; i < count; i++)
        series_free(&series[i]);
}

/* No agent works in another contender's turn. */
static void await_agents(const struct plan *plan)
{
    agent_await_quiet(agent_pid());
    agent_await_quiet_of(plan->folder, "tally-large");
}

static void in_a_row(const struct plan *plan, struct peer *peers, size_t count, int rounds, enum table table)
{
    start_series(peers, count);
    for (int round = -1; round < rounds; round++)
        for (size_t turn = 0; turn < count; turn++) {
            size_t i = (turn + (size_t)(round + 1)) % count; /* each comes first in its turn */
            int records = records_of(&peers[i], table);

            await_agents(plan);
            double ns = records == 0         ? 0
                        : table == PROCESSOR ? peer_processor(&peers[i], records)
                                             : peer_burst(&peers[i], records);

            if (round >= 0 && ns > 0)
                series_add(&series[i], ns);
        }
    print(peers, count, table);
}

static void one_a_millisecond(struct peer *peers, size_t count, int rounds)
{
    double ns[STRETCH];

    start_series(peers, count);
    for (int round = -1; round < rounds; round++)
        for (size_t i = 0; i < count; i++)
            if (peers[i].paced && peer_paced(&peers[i], STRETCH, ns))
                for (int k = 0; k < STRETCH && round >= 0; k++)
                    series_add(&series[i], ns[k]);
    print(peers, count, PACED);
    for (size_t i = 0; i < count; i++)
        if (peers[i].paced && peers[i].pid != 0)
            output_note("%s: 99 %% below %.0f ns, 99.9 %% below %.0f ns.", peers[i].name,
                        series_share(&series[i], 0.99), series_share(&series[i], 0.999));
}

static void tail_goal(const struct peer *peers, size_t count)
{
    static const char measure[] = "one record a millisecond, 99.9 %";
    static const char aim[] = "no tail above the bare ring's";
    size_t ring = find(peers, count, "ring");

    if (ring == count) {
        output_goal(measure, aim, GOAL_UNKNOWN, "ring is not here");
        return;
    }
    double ours = series_share(&series[0], 0.999);
    double its = series_share(&series[ring], 0.999);
    output_goal(measure, aim, ours <= its ? GOAL_MET : GOAL_MISSED, "%.0f ns beside %.0f", ours, its);
}

void bench_peers(const struct plan *plan)
{
    const size_t count = sizeof(native) / sizeof(native[0]);

    peers_start(native, count, plan);
    output_section("Peers: bursts of 400 records, one thread",
                   "Fewer for those that take long; each peer's reader is waited for between bursts. "
                   "Nanoseconds a record.");
    in_a_row(plan, native, count, rounds_of(plan, 100), BURSTS);
    lttng_goals(native, count, 0, 1 / 4., "a record of 128 bytes, bursts",
                "at least 4 x cheaper than LTTng-UST", "the same, of its bytes made ready");
    free_series(count);

    output_section("Peers: sustained", "Many times what a buffer takes, without a stop: what bounds it is "
                                       "mostly the reader. Nanoseconds a record.");
    in_a_row(plan, native, count, rounds_of(plan, 8), SUSTAINED);
    lttng_goals(native, count, 0, 1 / 3., "sustained, the agent draining",
                "at least 3 x cheaper than LTTng-UST", "the same, of its bytes made ready");
    lttng_goals(native, count, 1, 1 / 3., "sustained, 50,000 records, lane of 16 MiB",
                "at least 3 x cheaper than LTTng-UST", "the same, of its bytes made ready");
    output_note(
        "50,000 records fill a lane of 128 KiB 50 times: that row is the agent's speed, rows made durable in "
        "SQLite. A lane of 16 MiB holds them all while the agent drains it.");
    free_series(count);

    output_section("Peers: one record a millisecond",
                   "Each after a sleep, so with cold caches; single calls, nanoseconds.");
    one_a_millisecond(native, count, rounds_of(plan, 40));
    goal(native, count, 0, "ring", 1.5, "one record a millisecond", "at most 1.5 x a bare ring");
    lttng_goals(native, count, 0, 1 / 5., "one record a millisecond", "at least 5 x cheaper than LTTng-UST",
                "the same, of its bytes made ready");
    tail_goal(native, count);
    free_series(count);
    peers_stop(native, count);
}

void bench_python(const struct plan *plan)
{
    const size_t count = sizeof(python) / sizeof(python[0]);

    peers_start(python, count, plan);
    if (python[0].pid == 0) {
        output_section("Python", "");
        output_missing(python[0].name, python[0].trouble);
        return;
    }
    output_section("Python: bursts of 400 records", "One thread records. Nanoseconds a record.");
    in_a_row(plan, python, count, rounds_of(plan, 100), BURSTS);
    double ns = series_median(&series[0]);
    goal(python, count, 0, "python-tracker", 1 / 4., "from Python through ctypes, bursts",
         "at least 4 x cheaper than the tracker");
    output_goal("from Python through ctypes, bursts", "below 1 us", ns < 1000 ? GOAL_MET : GOAL_MISSED,
                "%.0f ns", ns);
    free_series(count);
    output_section(
        "Python: processor time of the program a record",
        "All of its threads, until its reader has all 400: a tracker's thread is the program's own.");
    in_a_row(plan, python, count, rounds_of(plan, 100), PROCESSOR);
    goal(python, count, 0, "python-tracker", 1 / 4., "from Python through ctypes, the program's processor",
         "at least 4 x cheaper than the tracker");
    free_series(count);
    output_section("Python: one record a millisecond", "Each after a sleep; single calls, nanoseconds.");
    one_a_millisecond(python, count, rounds_of(plan, 20));
    goal(python, count, 0, "python-tracker", 1 / 4., "from Python through ctypes, one a millisecond",
         "at least 4 x cheaper than the tracker");
    free_series(count);
    peers_stop(python, count);
}
