/* Records without end: 20,000 a second from programs that come, go and are killed, while rows grow old and are deleted.
 * What the agent takes up must stay the same. Seconds in the short form, half an hour in `make soak`
 * (TALLY_TEST_SOAK_SECONDS): then a row is kept for a minute.
 *
 * Nothing is asserted on wall time. Readings are compared with earlier ones of the same run, and the database with the rows
 * that it has to hold. */
#include "support/test.h"

#include "support/gauges.h"
#include "support/tries.h"

#define RATE_STEADY 2500
#define STEADY      6
#define RATE_CHURN  4000
#define AT_ONCE     8
#define RATE_CALLS  1000

#define MIB (1024.0 * 1024.0)

enum { KILLED = 0, CALLS_BEGUN = 1, PROCESSES = 2, CALL_RECORDS = 3 };

struct soak {
    double seconds; /* after the warm-up */
    int kept_s;     /* retention */
    double warm_s;
};

/* The agent looks once in an eighth of a row's age. */
#define KEPT_MARGIN 1.125

static struct soak plan(void)
{
    const char *said = getenv("TALLY_TEST_SOAK_SECONDS");
    const char *longer = getenv("TALLY_TEST_LONG");
    double seconds = said ? strtod(said, NULL) : 0;
    struct soak soak = {.seconds = 16, .kept_s = 5};

    if (said == NULL && longer != NULL && strcmp(longer, "0") != 0)
        seconds = 1800;
    if (seconds > 0) {
        soak.seconds = seconds;
        soak.kept_s = seconds >= 300 ? 60 : seconds / 5 < 5 ? 5 : (int)(seconds / 5);
    }
    /* until rows have gone for the first time, and their pages have been used again */
    soak.warm_s = soak.kept_s * 2.0;
    if (seconds > soak.warm_s * 2)
        soak.seconds -= soak.warm_s;
    return soak;
}

/* ---- the agent and its programs ------------------------------------------------------------- */

/* A program of the room, for it has options that others have no need of. */
static struct program *start_agent(struct room *room, int kept_s)
{
    char path[ROOM_PATH_MAX];
    char retention[32];
    char board[ROOM_PATH_MAX];

    snprintf(path, sizeof(path), "%s/tallyd", room_build());
    snprintf(retention, sizeof(retention), "%ds", kept_s);
    snprintf(board, sizeof(board), "%s.board", room->arena_path);
    room->talkative = true; /* it logs */
    struct program *agent = room_start(room, path, "--foreground", "--state-dir", room->state, "--arena",
                                       room->arena, "--retention", retention, NULL);
    wait_until(access(board, F_OK) == 0 && books_number(room, "SELECT count(*) FROM meta") > 0);
    return agent;
}

static void start_programs(struct room *room, struct program *programs[STEADY + 2])
{
    char rate[3][16];
    char at_once[16];

    snprintf(rate[0], sizeof(rate[0]), "%d", RATE_STEADY);
    snprintf(rate[1], sizeof(rate[1]), "%d", RATE_CHURN);
    snprintf(rate[2], sizeof(rate[2]), "%d", RATE_CALLS);
    snprintf(at_once, sizeof(at_once), "%d", AT_ONCE);
    for (int i = 0; i < STEADY; i++)
        programs[i] = room_start(room, i % 2 ? "soak" : "soak-static", "steady", rate[0], NULL);
    /* these have the lowest lanes and writers */
    for (int i = 0; i < STEADY; i++)
        wait_until(atomic_load(&room->counters->writers[i].acknowledged) > 0);
    programs[STEADY] = room_start(room, "soak", "churn", rate[1], at_once, NULL);
    programs[STEADY + 1] = room_start(room, "soak-static", "calls", rate[2], NULL);
    wait_until(atomic_load(&room->counters->values[CALLS_BEGUN]) > 0);
}

/* Stop the agent until lanes are full and spill files have begun: what takes those in is then in use before
 * anything is measured. */
static void have_a_backlog(struct room *room, const struct program *agent)
{
    assert_int_equal(kill(agent->pid, SIGSTOP), 0);
    wait_until(books_spill_files(room) >= STEADY);
    assert_int_equal(kill(agent->pid, SIGCONT), 0);
    wait_until(books_spill_files(room) == 0);
}

/* ---- what has to hold ---------------------------------------------------------------------------- */

static void expect_flat(const struct gauges *gauges, double warm_s)
{
#define OF(field)             offsetof(struct gauge, field), offsetof(struct gauge, field)
#define RATIO(field, divisor) offsetof(struct gauge, field), offsetof(struct gauge, divisor)
    static const struct gauge_rule rules[] = {
        /* 2 MiB: the allocator's and SQLite's cache, which is filled by then, in one more load's pattern */
        {"agent's memory", "MiB", MIB, OF(memory), GAUGE_GREATEST, 1.05, 2 * MIB},
        /* a file that is being opened when we look */
        {"agent's descriptors", "", 1, OF(descriptors), GAUGE_GREATEST, 1, 2},
        {"agent's threads", "", 1, OF(threads), GAUGE_GREATEST, 1, 0},
        /* deletion keeps pace: in the middle of readings, for on a busy machine it may be late for a while */
        {"rows, of those young", "%", 0.01, RATIO(rows, young), GAUGE_MEDIAN, 1.25, 0},
        /* pages are used again: without that the file would double in this time, the rows in it staying as many */
        {"database", "bytes a row", 1, RATIO(database, most_rows), GAUGE_GREATEST, 1.25, 0},
        /* SQLite begins it anew after 16 MiB and what came meanwhile */
        {"write-ahead log", "MiB", MIB, OF(log), GAUGE_GREATEST, 1.25, 16 * MIB},
        /* 24 lanes: fresh ones are taken while the agent has not noticed who died, some six a second */
        {"shared memory", "MiB", MIB, OF(shared_memory), GAUGE_GREATEST, 1, 24 * 136 * 1024.0},
        {"spill files", "MiB", MIB, OF(spill), GAUGE_MEDIAN, 1, 1 * MIB},
        /* half a second's records */
        {"records not yet durable", "KiB", 1024, OF(waiting), GAUGE_MEDIAN, 1.5, 1 * MIB},
        {"until a record is durable", "ms", 1, OF(delay_ms), GAUGE_MEDIAN, 2, 200},
    };
#undef OF
#undef RATIO
    bool flat = true;

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        flat = gauges_flat(gauges, warm_s, &rules[i]) && flat;
    assert_true(flat);
}

static void say(const struct room *room, const struct soak *soak, const struct gauges *gauges)
{
    const struct gauge *first = &gauges->list[0];
    const struct gauge *last = &gauges->list[gauges->count - 1];
    double rate = (last->acknowledged - first->acknowledged) / (last->at_s - first->at_s);

    printf(
        "# note: %.0f s at %.0f records a second, rows kept for %d s; %llu processes recorded, %llu of them "
        "were killed\n",
        last->at_s, rate, soak->kept_s, (unsigned long long)room->counters->values[PROCESSES],
        (unsigned long long)room->counters->values[KILLED]);
    tries((unsigned long long)last->acknowledged, "records in the soak");
}

static void stop_programs(struct room *room, struct program *programs[STEADY + 2], struct program *agent)
{
    room_go(room, 1);
    for (int i = 0; i < STEADY + 2; i++)
        room_expect_exit(room, programs[i], 0);
    books_await_ended(room);
    assert_int_equal(kill(agent->pid, SIGTERM), 0);
    room_expect_exit(room, agent, 0);
}

/* Rows are gone by then, sums stay: each call has been counted once. Of one that was killed, the
 * record under way may be in and not acknowledged. */
static void expect_sums(struct room *room)
{
    int64_t killed = (int64_t)room->counters->values[KILLED];
    int64_t small = books_number(room, "SELECT sum(calls) FROM usage_hourly WHERE request_model = 'small'");
    int64_t large = books_number(room, "SELECT sum(calls) FROM usage_hourly WHERE request_model = 'large'");
    int64_t acknowledged = (int64_t)room_acknowledged(room);
    int64_t begun = (int64_t)room->counters->values[CALLS_BEGUN];
    struct audit audit;

    assert_int_equal(room_refused(room), 0);
    assert_in_range(small, acknowledged, acknowledged + killed);
    assert_in_range(large, begun, begun + killed);
    books_audit(room, &audit);
    assert_int_equal(audit.status, 0);
    assert_int_equal(audit.unaccounted, 0);
    assert_int_equal(audit.waiting, 0);
    assert_int_equal(audit.lost, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM open_calls"), 0);
}

static void nothing_grows(void **state)
{
    struct room *room = *state;
    struct program *programs[STEADY + 2];
    struct soak soak = plan();
    struct gauges gauges = {.kept_s = soak.kept_s * KEPT_MARGIN};

    if (SANITIZED)
        skip_because("what would be measured is the sanitizer's memory");
    room_set(room, "TALLY_OVERFLOW", "spill");
    struct program *agent = start_agent(room, soak.kept_s);
    start_programs(room, programs);
    have_a_backlog(room, agent);
    gauges_read(&gauges, room, agent->pid, soak.warm_s + soak.seconds);
    say(room, &soak, &gauges);
    stop_programs(room, programs, agent);
    expect_sums(room);
    expect_flat(&gauges, soak.warm_s);
    gauges_free(&gauges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(nothing_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
