/* Two writers and an agent, stopped at named places in all orders of up to three stops, and released in all orders.
 *
 * play.h says what a schedule is and what is looked at. The short form tries all schedules of one and two stops, and a part of those
 * of three, always the same; TALLY_TEST_LONG=1 all. Those of one and two stops again with each of their stops as a SIGKILL, and
 * a part of those of three.
 *
 * TALLY_CAST=NAME             one cast, or those whose names begin so
 * TALLY_SCHEDULE=CAST:NUMBER  one schedule */
#include "support/test.h"

#include "crash/play.h"
#include "support/tries.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define WORKERS    2
#define ORDERS_MAX 6 /* of three */
/* Of those that are killed: in the short form where there is more than one stop, in the long form where there are three. */
#define KILLED_EVERY      5
#define KILLED_EVERY_LONG 10

/* Writer's points are counted: the first record that is published introduces the client. */
#define COUNT_OF(list) (sizeof(list) / sizeof(list)[0])

static const struct stop sleep_stops[] = {
    {W1, NULL, 0, 0},
    {W1, "before_publish", 2, 0},
    {W1, "after_publish", 2, 0},
    {W1, "announce_read", 2, 0},
    {W1, "ring", 1, 0},
    {W2, NULL, 0, 0},
    {W2, "before_publish", 2, 0},
    {W2, "after_publish", 2, 0},
    {W2, "announce_read", 2, 0},
    {W2, "ring", 1, 0},
    {AGENT, NULL, 0, 0},
    {AGENT, "gathering_announced", 1, 0},
    {AGENT, "sleep_chosen", 1, 0},
    {AGENT, "sleep_announced", 1, 0},
    {AGENT, "sleep_barrier", 1, 0},
    {AGENT, "sleep_looked", 1, 0},
    {AGENT, "doorbell_armed", 1, 0},
    {AGENT, "doorbell_armed", 1, DEED_ASLEEP},
    {AGENT, "doorbell_answered", 1, 0},
    {AGENT, "woken", 1, 0},
};

static const struct stop lane_stops[] = {
    {W1, NULL, 0, 0},
    {W1, "robust_cas", 1, 0},
    {W1, "lane_taken", 1, 0},
    {W1, "before_publish", 1, 0},
    {W1, "after_publish", 2, 0},
    {W1, "lane_finished", 1, 0},
    {W1, "lane_left", 1, 0},
    {W2, NULL, 0, 0},
    {W2, "robust_cas", 1, 0},
    {W2, "lane_taken", 1, 0},
    {W2, "before_publish", 1, 0},
    {W2, "after_publish", 1, 0},
    {W2, "after_publish", 3, 0},
    {W2, "lane_finished", 1, 0},
    {AGENT, NULL, 0, 0},
    /* Both lanes are read once when the arena is attached: the third time is the first round. */
    {AGENT, "owner_read", 3, 0},
    {AGENT, "header_read", 3, 0},
    {AGENT, "records_read", 1, 0},
    {AGENT, "committed", 1, 0},
    {AGENT, "published", 1, 0},
};

static const struct stop spill_stops[] = {
    {W1, NULL, 0, 0},
    {W1, "before_publish", 5, 0},
    {W1, "spill_file_made", 1, 0},
    {W1, "spill_before_write", 1, 0},
    {W1, "spill_after_write", 1, 0},
    {W1, "spill_looked", 1, 0},
    {W1, "spill_before_write", 2, 0},
    {W1, "spill_after_write", 2, 0},
    {W2, NULL, 0, 0},
    {W2, "spill_file_made", 1, 0},
    {W2, "spill_before_write", 2, 0},
    {W2, "spill_after_write", 2, 0},
    {AGENT, NULL, 0, 0},
    {AGENT, "lanes_drained", 1, 0},
    {AGENT, "spill_found", 1, 0},
    {AGENT, "spill_renamed", 1, 0},
    {AGENT, "spill_read", 1, 0},
    {AGENT, "round_drained", 1, 0},
    {AGENT, "committed", 1, 0},
    {AGENT, "published", 1, 0},
    {AGENT, "spill_committed", 1, 0},
    {AGENT, "spill_removed", 1, 0},
};

static const struct stop shutdown_stops[] = {
    {W1, NULL, 0, 0},
    {W1, "after_publish", 2, 0},
    {W1, "shutdown_looked", 1, 0},
    {W1, "shutdown_waits", 1, 0},
    {W1, "shutdown_waits", 2, 0},
    {W2, NULL, 0, 0},
    {W2, "after_publish", 2, 0},
    {W2, "shutdown_looked", 1, 0},
    {W2, "shutdown_waits", 1, 0},
    {AGENT, NULL, 0, 0},
    {AGENT, "round_drained", 1, 0},
    {AGENT, "committed", 1, 0},
    {AGENT, "positions_published", 1, 0},
    {AGENT, "published", 1, 0},
    {AGENT, NULL, 0, DEED_TERM},
    {AGENT, "agent_stopping", 1, DEED_TERM},
    {AGENT, "board_left", 1, DEED_TERM},
    {AGENT, "board_left", 1, DEED_BOARD},
    {AGENT, "board_filled", 1, DEED_BOARD},
    {AGENT, "board_taken", 1, DEED_BOARD},
    {HEIR, NULL, 0, 0},
    {HEIR, "lock_taken", 1, 0},
    {HEIR, "board_filled", 1, 0},
    {HEIR, "board_taken", 1, 0},
    {HEIR, "committed", 1, 0},
};

static const struct cast casts[] = {
    /* Seen to fail: no look at the lanes after the announcement; the announcement after the look; no ring; a ring
     * that wakes and does not add. */
    {.name = "sleep and wake",
     .scripts = {"r2", "r2"},
     .lanes = "2",
     .lane_kib = "32",
     .agent_first = true,
     .alike = true,
     .stops = sleep_stops,
     .stop_count = COUNT_OF(sleep_stops),
     .every = 40},
    /* Seen to fail: a tenure that ends at the first look that finds nobody there; the final number published after the
     * lane was left. */
    {.name = "lane takeover",
     .scripts = {"t r2", "t r2"},
     .lanes = "2",
     .lane_kib = "32",
     .stops = lane_stops,
     .stop_count = COUNT_OF(lane_stops),
     .every = 40},
    /* Seen to fail: a record acknowledged without a look at the file's name, or numbered anew in the next file; a file
     * removed before the commit. */
    {.name = "spill against ring",
     .scripts = {"b7 r1", "b6 r1"},
     .lanes = "2",
     .lane_kib = "16",
     .stops = spill_stops,
     .stop_count = COUNT_OF(spill_stops),
     .every = 60},
    /* Seen to fail: the board published before the commit. */
    {.name = "shutdown against agent restart",
     .scripts = {"r2 s1000", "r2 s1000 r1"},
     .lanes = "2",
     .lane_kib = "32",
     .heir = true,
     .stops = shutdown_stops,
     .stop_count = COUNT_OF(shutdown_stops),
     .every = 100},
};

/* What a worker tells the test. Shared. */
struct report {
    uint64_t tried, killed, stops, reached;
    char error[1400];
};

static bool long_form(void)
{
    const char *value = getenv("TALLY_TEST_LONG");
    return value && value[0] && strcmp(value, "0") != 0;
}

/* ---- all schedules, one after the other --------------------------------------------------- */

struct course {
    struct report *report;
    unsigned int worker;
    uint64_t number; /* of the schedule, in the cast's whole course */
    int64_t only;    /* -1: all */
    int result;
    /* these stops, with some order of release or other: */
    uint64_t combination; /* the how manieth */
    bool known, futile;   /* it has been played; play.h */
    unsigned int held;
    unsigned int orders[ORDERS_MAX], order_count; /* that have been played */
};

/* Who is held, in the order in which they are let go: as a number. */
static unsigned int order_of(const struct course *course, const struct schedule *schedule)
{
    unsigned int order = 0;
    for (unsigned int i = 0; i < schedule->release_count; i++)
        if (course->held & 1u << schedule->release[i])
            order = order * (ROLES_MAX + 1) + schedule->release[i] + 1;
    return order;
}

/* Where a stop did not come, or came after its process had ended, some schedules are the same: they are played once. Everything that
 * the players do depends on what was done to them before, so the first schedule of these stops shows who is held in the others. */
static bool played_before(const struct course *course, const struct schedule *schedule)
{
    if (!course->known)
        return false;
    for (unsigned int i = 0; i < course->order_count; i++)
        if (course->orders[i] == order_of(course, schedule))
            return true;
    return course->futile;
}

static void remember(struct course *course, const struct schedule *schedule, const struct played *played)
{
    if (!course->known) {
        course->known = true;
        course->held = played->held;
        course->futile = played->futile;
    }
    course->orders[course->order_count++] = order_of(course, schedule);
}

static void try_one(struct course *course, const struct schedule *schedule)
{
    struct played played;
    struct report *report = course->report;
    int result = play(schedule, &played);
    if (!schedule->killed)
        remember(course, schedule, &played);
    if (result) {
        char text[600];
        play_describe(schedule, text, sizeof text);
        snprintf(report->error, sizeof report->error, "schedule %llu: %s: %s",
                 (unsigned long long)course->number, text, play_error);
        play_show_log();
        course->result = -1;
    }
    if (played.futile)
        return;
    report->tried++;
    report->killed += schedule->killed != 0;
    report->stops += schedule->count;
    report->reached += played.reached;
}

/* Always the same part of those of three stops. */
static bool chosen(const struct course *course, const struct schedule *schedule)
{
    if (course->only >= 0)
        return course->number == (uint64_t)course->only;
    if (!long_form() && schedule->count == STOPS_MAX &&
        (course->number * UINT64_C(0x9E3779B97F4A7C15) >> 32) % schedule->cast->every)
        return false;
    return (course->combination * UINT64_C(0x9E3779B97F4A7C15) >> 40) % WORKERS == course->worker;
}

/* Whether the i-th that is let go is to be killed, once more. */
static bool killed_too(const struct course *course, const struct schedule *schedule, unsigned int i)
{
    unsigned int every = long_form()           ? schedule->count < STOPS_MAX ? 1 : KILLED_EVERY_LONG
                         : schedule->count > 1 ? KILLED_EVERY
                                               : 1;
    return course->held & 1u << schedule->release[i] && (course->number + i) % every == 0;
}

static void consider(struct course *course, struct schedule *schedule)
{
    schedule->killed = 0;
    if (course->result == 0 && chosen(course, schedule) && !played_before(course, schedule)) {
        try_one(course, schedule);
        for (unsigned int i = 0; i < schedule->release_count && course->result == 0; i++) {
            if (!killed_too(course, schedule, i))
                continue;
            schedule->killed = 1u << schedule->release[i];
            try_one(course, schedule);
        }
    }
    course->number++;
}

/* All orders of the processes that are held, from the i-th on. */
static void order(struct course *course, struct schedule *schedule, unsigned int i)
{
    if (i + 1 >= schedule->release_count) {
        consider(course, schedule);
        return;
    }
    for (unsigned int j = i; j < schedule->release_count; j++) {
        enum who first = schedule->release[i];
        schedule->release[i] = schedule->release[j];
        schedule->release[j] = first;
        order(course, schedule, i + 1);
        schedule->release[j] = schedule->release[i];
        schedule->release[i] = first;
    }
}

static void release_all_ways(struct course *course, struct schedule *schedule)
{
    schedule->release_count = 0;
    for (enum who who = W1; who < ROLES_MAX; who++)
        for (unsigned int i = schedule->count; i-- > 0;)
            if (schedule->stops[i]->who == who) {
                if (schedule->stops[i]->point)
                    schedule->release[schedule->release_count++] = who;
                break;
            }
    course->combination++;
    course->known = course->futile = false;
    course->held = course->order_count = 0;
    order(course, schedule, 0);
}

/* Another stop behind these. Where writers are alike the first one named is the first; an heir needs somebody before it. */
static bool sensible(const struct schedule *schedule, const struct stop *next)
{
    bool named[ROLES_MAX] = {false};
    for (unsigned int i = 0; i < schedule->count; i++) {
        if (schedule->stops[i] == next)
            return false;
        named[schedule->stops[i]->who] = true;
    }
    return (!schedule->cast->alike || next->who != W2 || named[W1]) && (next->who != HEIR || named[AGENT]);
}

static void add_stops(struct course *course, struct schedule *schedule, unsigned int wanted)
{
    if (schedule->count == wanted) {
        release_all_ways(course, schedule);
        return;
    }
    for (unsigned int i = 0; i < schedule->cast->stop_count; i++) {
        const struct stop *next = &schedule->cast->stops[i];
        if (!sensible(schedule, next))
            continue;
        schedule->stops[schedule->count++] = next;
        add_stops(course, schedule, wanted);
        schedule->count--;
    }
}

/* ---- workers ------------------------------------------------------------------------------------ */

/* All that one worker plays with on one CPU: only one of them moves at a time. */
static void pin(unsigned int number)
{
    cpu_set_t allowed;
    cpu_set_t one;
    unsigned int seen = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && seen++ == number % (unsigned int)CPU_COUNT(&allowed)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
}

static void run_worker(const struct cast *cast, struct report *report, unsigned int number, int64_t only)
{
    struct course course = {.report = report, .worker = number, .only = only};
    struct schedule schedule = {.cast = cast};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(number);
    if (play_open(number)) {
        snprintf(report->error, sizeof report->error, "%s", play_error);
        course.result = -1;
    }
    for (unsigned int stops = 1; stops <= STOPS_MAX && course.result == 0; stops++)
        add_stops(&course, &schedule, stops);
    play_close();
    _exit(course.result ? 1 : 0);
}

static int64_t wanted(const struct cast *cast)
{
    const char *only = getenv("TALLY_SCHEDULE");
    size_t length = strlen(cast->name);
    return only && !strncmp(only, cast->name, length) && only[length] == ':' ? atoll(only + length + 1) : -1;
}

static void schedules(void **state)
{
    const struct cast *cast = *state;
    struct report sum = {0};
    struct report *reports =
        mmap(NULL, WORKERS * sizeof *reports, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int64_t only = wanted(cast);
    unsigned int workers = only < 0 ? WORKERS : 1;
    pid_t pids[WORKERS];
    bool sound = true;

    if (getenv("TALLY_SCHEDULE") && only < 0)
        skip_because("another is asked for");
    assert_ptr_not_equal(reports, MAP_FAILED);
    fflush(NULL);
    for (unsigned int i = 0; i < workers; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            run_worker(cast, &reports[i], i, only);
        assert_true(pids[i] > 0);
    }
    for (unsigned int i = 0; i < workers; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        sound = sound && status == 0;
        if (status)
            print_message("# %s (status %#x)\n", reports[i].error, (unsigned int)status);
        sum.tried += reports[i].tried;
        sum.killed += reports[i].killed;
        sum.stops += reports[i].stops;
        sum.reached += reports[i].reached;
    }
    munmap(reports, WORKERS * sizeof *reports);
    print_message("# note: %-30s %6llu schedules, %llu of them with a SIGKILL; %llu of %llu stops came\n",
                  cast->name, (unsigned long long)sum.tried, (unsigned long long)sum.killed,
                  (unsigned long long)sum.reached, (unsigned long long)sum.stops);
    tries(sum.tried, "schedules");
    assert_true(sound);
    /* Where stops do not come there is nothing to see. */
    assert_true(only >= 0 || sum.reached * 2 > sum.stops);
}

int main(void)
{
    static struct CMUnitTest tests[COUNT_OF(casts)];
    const char *only = getenv("TALLY_CAST");
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(casts); i++)
        if (!only || strncmp(only, casts[i].name, strlen(only)) == 0)
            tests[count++] = (struct CMUnitTest){
                .name = casts[i].name, .test_func = schedules, .initial_state = (void *)(uintptr_t)&casts[i]};
    return _cmocka_run_group_tests("schedules", tests, count, NULL, NULL);
}
