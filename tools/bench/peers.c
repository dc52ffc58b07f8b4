/* peers.c: tally_record() beside what others build such things with, each in a process of its own, in turns. */
#include "peer.h"

#include <string.h>

#define STRETCH 25
#define MAX     16

/* `named` for an aim is the peer that is meant, by its kind; the first of a table is tally. */
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

/* What is aimed for: `of` at most `factor` times the peer of that kind; kind NULL: nothing. */
struct aim {
    const char *kind;
    double factor;
    const char *text;
};

static struct series series[MAX];

static void print_aim(const struct peer *peers, size_t count, size_t of, const struct aim *aim)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(peers[i].kind, aim->kind) == 0 && peers[i].pid != 0 && peers[of].pid != 0) {
            double ratio = series_ratio(&series[of], &series[i]);

            output_note("Aim, %s, %s: %s (%.2f of '%s').", peers[of].name, aim->text,
                        ratio <= aim->factor ? "met" : "NOT met", ratio, peers[i].name);
        }
}

static void print_lttng_aim(const struct peer *peers, size_t count, size_t of, double factor,
                            const char *text)
{
    print_aim(peers, count, of, &(struct aim){"lttng-fields", factor, text});
    print_aim(peers, count, of, &(struct aim){"lttng-bytes", factor, text});
}

enum table { BURSTS, SUSTAINED, PACED };

static int records_of(const struct peer *peer, enum table table)
{
    return table == BURSTS ? peer->burst : table == SUSTAINED ? peer->sustained : peer->paced;
}

static void print(const struct peer *peers, size_t count, enum table table)
{
    if (peers[0].pid == 0)
        give_up("%s: %s", peers[0].name, peers[0].trouble);
    output_series(&series[0], NULL, false);
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

static void in_a_row(struct peer *peers, size_t count, int rounds, enum table table)
{
    start_series(peers, count);
    for (int round = -1; round < rounds; round++)
        for (size_t turn = 0; turn < count; turn++) {
            size_t i = (turn + (size_t)(round + 1)) % count; /* each comes first in its turn */
            int records = records_of(&peers[i], table);
            double ns = records > 0 ? peer_burst(&peers[i], records) : 0;

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

void bench_peers(const struct plan *plan)
{
    const size_t count = sizeof(native) / sizeof(native[0]);

    peers_start(native, count, plan);
    output_section("Peers: bursts of 400 records, one thread",
                   "Fewer for those that take long; each peer's reader is waited for between bursts. "
                   "Nanoseconds a record.");
    in_a_row(native, count, rounds_of(plan, 100), BURSTS);
    print_lttng_aim(native, count, 0, 0.25, "at least 4 x cheaper than LTTng-UST");
    free_series(count);

    output_section("Peers: sustained", "Many times what a buffer takes, without a stop: what bounds it is "
                                       "mostly the reader. Nanoseconds a record.");
    in_a_row(native, count, rounds_of(plan, 8), SUSTAINED);
    print_lttng_aim(native, count, 0, 0.33, "at least 3 x cheaper than LTTng-UST");
    print_lttng_aim(native, count, 1, 0.33, "at least 3 x cheaper than LTTng-UST");
    output_note(
        "50,000 records fill a lane of 128 KiB 50 times: that row is the agent's speed, rows made durable in "
        "SQLite. A lane of 16 MiB holds them all while the agent drains it.");
    free_series(count);

    output_section("Peers: one record a millisecond",
                   "Each after a sleep, so with cold caches; single calls, nanoseconds.");
    one_a_millisecond(native, count, rounds_of(plan, 40));
    print_aim(native, count, 0, &(struct aim){"ring", 1.5, "at most 1.5 x a bare ring"});
    print_lttng_aim(native, count, 0, 0.2, "at least 5 x cheaper than LTTng-UST");
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
    in_a_row(python, count, rounds_of(plan, 100), BURSTS);
    print_aim(python, count, 0,
              &(struct aim){"python-tracker", 0.25, "at least 4 x cheaper than the tracker"});
    output_note("Aim, below 1,000 ns: %s.", series_median(&series[0]) < 1000 ? "met" : "NOT met");
    free_series(count);
    output_section("Python: one record a millisecond", "Each after a sleep; single calls, nanoseconds.");
    one_a_millisecond(python, count, rounds_of(plan, 20));
    print_aim(python, count, 0,
              &(struct aim){"python-tracker", 0.25, "at least 4 x cheaper than the tracker"});
    free_series(count);
    peers_stop(python, count);
}
