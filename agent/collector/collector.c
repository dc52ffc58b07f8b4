/* collector.c: the loop. Drain, commit, publish; then gather, or sleep.
 *
 * No wake-up is lost. A writer stores its lane's tail (release), and after a compiler barrier loads the
 * board's announcement (lane_write(), shim/lane.c). The collector stores "asleep at d", where d is the
 * doorbell's value read just before, makes every other thread in the machine pass a full barrier
 * (membarrier), and then looks at all lanes. Of a record published about then, either
 *   - the tail was stored before the writer's barrier: the look sees it, and the collector does not sleep; or
 *   - the tail was stored after it: then the announcement, stored before it, is what the writer loads
 *     next. The doorbell stands at d, or somebody else has rung since. If it stands at d the writer
 *     rings, by one system call that both adds and wakes, so that a death leaves no half of it.
 * The waiting thread (doorbell.c) goes to sleep only if the doorbell still stands at d, which the kernel
 * checks under the lock that a ring takes too: a ring before that makes it come back at once, a ring
 * after it finds it asleep and wakes it.
 * Where membarrier is refused, a wake-up can be lost; every sleep is then bounded by a second.
 *
 * While gathering there is no barrier: a writer that misses the announcement costs at most the commit
 * interval, for that is how long the wait is. */
#include "collector/state.h"

#include "board/agent_lock.h"
#include "liveness/liveness.h"
#include "log/log.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <tally/tally.h>
#include <testpoint.h>
#include <unistd.h>

#define QUIET_NS       SECOND_NS          /* without records: then announce sleep */
#define BOUND_NS       SECOND_NS          /* of a sleep while lanes are in use */
#define RETAIN_NS      (60 * SECOND_NS)   /* at most, between looks for rows past their age */
#define RETAIN_IDLE_NS (3600 * SECOND_NS) /* the same, while nothing goes on */
#define RETAIN_PARTS   8                  /* of the age that rows are kept for, where that is short */
#define CLOCK_EVEN_NS  (3600 * SECOND_NS) /* how long the clock must not have been stepped to be believed */
#define CLOCK_STEP_NS  (10 * SECOND_NS)   /* more than what it is slewed by between two looks */
#define CLOCK_LOOK_NS  (10 * SECOND_NS)   /* between looks at it, until it is believed */
#define RETAIN_TIME_NS (SECOND_NS / 50)   /* of one round; then lanes have their turn */
#define BACKOFF_MIN_NS (100 * 1000000)    /* after an error of the database ... */
#define BACKOFF_MAX_NS (5 * SECOND_NS)    /* ... doubled up to this */
#define LAST_PASSES    8                  /* rounds at the end, while writers go on writing */

/* ---- announcing ----------------------------------------------------------------- */

static void announce_busy(struct collector *collector)
{
    for (struct served *served = collector->served; served; served = served->next)
        if (!served->orphaned)
            board_announce(&served->board, TALLY_AGENT_BUSY, 0);
}

/* Announce gathering or sleep at each doorbell's present value, and have it waited on. */
static void announce(struct collector *collector, enum tally_announcement state)
{
    for (struct served *served = collector->served; served; served = served->next) {
        uint32_t doorbell;
        served->asleep = false;
        /* An arena that cannot be read has no doorbell to be rung; it bounds the sleep: sleep_bound(). */
        if (served->orphaned || arena_reader_doorbell(&served->reader, &doorbell))
            continue;
        board_announce(&served->board, state, doorbell);
        doorbell_arm(&served->doorbell, doorbell);
        served->asleep = state == TALLY_AGENT_ASLEEP && !collector->barrier_refused;
        served->asleep_at = doorbell;
    }
}

/* A full barrier on every CPU that runs a writer. GLOBAL waits for a grace period, some milliseconds in
 * which this thread sleeps: it comes at most once a second, on the way to sleep. The expedited form
 * reaches only processes that have registered; whether all have one cannot know, so it stands in only
 * where GLOBAL is not to be had (nohz_full). */
static void barrier(struct collector *collector)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
        return;
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
    if (!collector->barrier_refused)
        log_line(LOG_NOTE,
                 "membarrier is refused here: the agent looks once a second instead of sleeping on");
    collector->barrier_refused = true;
}

/* ---- waiting ---------------------------------------------------------------------- */

/* How long to sleep at most; negative: until something happens. */
static int64_t sleep_bound(const struct collector *collector)
{
    struct ledger_figures figures;
    int64_t now = clock_now(CLOCK_MONOTONIC);
    int64_t kept = collector->config->retention_s * SECOND_NS;
    int64_t bound = !kept ? -1 : kept < RETAIN_IDLE_NS ? kept : RETAIN_IDLE_NS;
    int64_t spill_bound = spill_bound_ns(collector);
    int64_t retry = stations_retry_ns(collector);
    bool bounded = collector->barrier_refused || collector->unwatched;

    for (const struct served *served = collector->served; served; served = served->next)
        if (served->in_use || served->orphaned || !doorbell_sound(&served->doorbell))
            bounded = true;
    /* Sessions whose lanes are all left may still hold open calls; nothing rings when such a process dies. */
    ledger_figures(collector->ledger, &figures);
    if (bounded || figures.sessions_running || figures.open_calls)
        bound = BOUND_NS;
    if (spill_bound >= 0 && (bound < 0 || spill_bound < bound))
        bound = spill_bound;
    if (retry && (bound < 0 || retry - now < bound))
        bound = retry > now ? retry - now : 0;
    return bound;
}

/* Whether the clock may say what is old: it has not been stepped for a while, an hour or, where ages are short, a part of
 * them. One that is a year ahead for a moment, or at boot until it is set, must not delete what is not to come back. */
static bool clock_trusted(struct collector *collector, int64_t part)
{
    int64_t now = clock_now(CLOCK_MONOTONIC);
    int64_t ahead = clock_now(CLOCK_REALTIME) - clock_now(CLOCK_BOOTTIME);
    int64_t step = ahead - collector->clock_ahead;
    int64_t wait = part < CLOCK_EVEN_NS ? part : CLOCK_EVEN_NS;
    bool first = !collector->even_ns;
    if (first || step > CLOCK_STEP_NS || step < -CLOCK_STEP_NS)
        collector->even_ns = now;
    if (!first && collector->even_ns == now)
        log_line(LOG_WARNING,
                 "the clock has been stepped by %lld seconds: nothing is deleted for its age until it has "
                 "run evenly for %lld seconds",
                 (long long)(step / SECOND_NS), (long long)(wait / SECOND_NS));
    collector->clock_ahead = ahead;
    return now - collector->even_ns >= wait;
}

/* Rows past their age go in slices, between rounds: for a while where much has grown old, and on a machine so busy that
 * this is soon over, at least twice as many as have come in this round; or more would come than go. */
static void retain(struct collector *collector)
{
    struct ledger_figures figures;
    int64_t now = clock_now(CLOCK_MONOTONIC);
    int64_t part = collector->config->retention_s * SECOND_NS / RETAIN_PARTS;
    int64_t until = now + RETAIN_TIME_NS;
    uint64_t gone = 0;
    int result;
    ledger_figures(collector->ledger, &figures);
    /* fewer than before: it is another database */
    uint64_t come = figures.rows > collector->retain_rows ? figures.rows - collector->retain_rows : 0;
    collector->retain_rows = figures.rows;
    if (!collector->config->retention_s || (collector->retained_ns && now < collector->retained_ns))
        return;
    if (!clock_trusted(collector, part)) {
        collector->retained_ns = now + (part < CLOCK_LOOK_NS ? part : CLOCK_LOOK_NS);
        return;
    }
    do {
        result = ledger_retain(collector->ledger, clock_now(CLOCK_REALTIME));
        now = clock_now(CLOCK_MONOTONIC);
        gone += STORE_SLICE_ROWS; /* at most */
    } while (result > 0 && (now < until || gone < 2 * come) && !collector->events.stop);
    collector->retained_ns = result > 0 ? now : now + (part < RETAIN_NS ? part : RETAIN_NS);
    if (result < 0) {
        log_often(LOG_WARNING, "%s; old rows stay for now", ledger_error(collector->ledger));
        ledger_abandon(collector->ledger);
    }
}

/* What the file system and the operator have asked for. */
static void attend(struct collector *collector)
{
    char error[COLLECTOR_ERROR_BYTES];
    int64_t retry = stations_retry_ns(collector);

    if (collector->events.names || collector->unwatched) {
        collector->events.names = false;
        stations_check(collector);
    } else if (retry && retry <= clock_now(CLOCK_MONOTONIC)) {
        stations_attach(collector, false, error);
    }
}

/* At first at all lanes: it is the look that follows the barrier. Then, at the bound, at those whose turn it is: quiet.c. */
static int look_and_sleep(struct collector *collector)
{
    for (collector->turn = 0;; collector->turn = collector->turn % LOOK_TURNS + 1) {
        int result = round_run(collector, true);
        if (result || collector->moved || collector->waiting || collector->rung)
            return result;
        stations_retire(collector);
        retain(collector);
        TESTPOINT(sleep_looked);
        if (events_wait(&collector->events, sleep_bound(collector)))
            return 0;
        int64_t retry = stations_retry_ns(collector);
        if (collector->unwatched || (retry && retry <= clock_now(CLOCK_MONOTONIC)))
            return 0;
    }
}

/* Nothing has come for a second. Announce it, look once more, sleep. Returns when there is something to
 * do; an error of the ledger is passed on. The announcement holds until the loop goes on: nobody has
 * rung, so looks at the bound need no new one. */
static int sleep_until_rung(struct collector *collector)
{
    TESTPOINT(sleep_chosen);
    announce(collector, TALLY_AGENT_ASLEEP);
    TESTPOINT(sleep_announced);
    barrier(collector);
    TESTPOINT(sleep_barrier);
    /* The pages are not needed until records come. */
    madvise(collector->batch.bytes, BATCH_BYTES_MAX, MADV_DONTNEED);
    int result = look_and_sleep(collector);
    collector->turn = 0;
    return result;
}

/* ---- the loop -------------------------------------------------------------------------- */

static int reload(struct collector *collector, struct agent_config *config, int argc, char **argv)
{
    struct agent_config fresh;
    char error[COLLECTOR_ERROR_BYTES];
    char reason[CONFIG_ERROR_BYTES];

    collector->events.reload = false;
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_now(CLOCK_MONOTONIC) / 1000));
    if (config_read(&fresh, argc, argv, reason) != CONFIG_RUN) {
        log_line(LOG_WARNING, "configuration not taken over: %s", reason);
    } else {
        if (strcmp(fresh.state_directory, config->state_directory))
            log_line(LOG_WARNING, "another state folder takes effect when the agent is restarted");
        if (fresh.group != config->group)
            log_line(LOG_WARNING, "another group holds for arenas that come from now on: restart the agent "
                                  "to have it for those that it serves");
        if (fresh.retention_s != config->retention_s) {
            ledger_set_retention(collector->ledger, fresh.retention_s * SECOND_NS);
            collector->retained_ns = 0; /* at once */
        }
        char *state_directory = fresh.state_directory;
        fresh.state_directory = config->state_directory;
        config->state_directory = state_directory;
        config_release(config);
        *config = fresh;
        if (stations_configure(collector, error)) {
            log_line(LOG_WARNING, "%s", error);
        } else {
            spill_prepare(collector);
            log_line(LOG_NOTE, "configuration read again");
        }
        stations_check(collector);
        prices_reload(collector);
    }
    return sd_notify(0, "READY=1");
}

/* After an error of the database: wait, longer each time, then try again. */
static void back_off(struct collector *collector, int64_t *backoff_ns)
{
    announce_busy(collector);
    *backoff_ns = *backoff_ns ? *backoff_ns * 2 : BACKOFF_MIN_NS;
    if (*backoff_ns > BACKOFF_MAX_NS)
        *backoff_ns = BACKOFF_MAX_NS;
    int64_t until = clock_now(CLOCK_MONOTONIC) + *backoff_ns;
    /* Rings must not shorten it; a signal does. */
    for (int64_t now = until - *backoff_ns; now < until && !collector->events.stop;
         now = clock_now(CLOCK_MONOTONIC))
        events_wait(&collector->events, until - now);
}

/* Wait as the last round's outcome asks for. */
static int rest(struct collector *collector, int64_t *active_ns)
{
    int64_t now = clock_now(CLOCK_MONOTONIC);
    if (collector->moved || collector->waiting)
        *active_ns = now;
    if (collector->pressed) { /* writers are fast: go round again at once, but hear signals */
        events_wait(&collector->events, 0);
        return 0;
    }
    if (now - *active_ns >= QUIET_NS) {
        int result = sleep_until_rung(collector);
        if (collector->moved || collector->waiting)
            *active_ns = clock_now(CLOCK_MONOTONIC);
        return result;
    }
    announce(collector, TALLY_AGENT_GATHERING);
    TESTPOINT(gathering_announced);
    collector->events.patient = true;
    events_wait(&collector->events, collector->config->commit_interval_ms * INT64_C(1000000));
    collector->events.patient = false;
    return 0;
}

/* error[] is set only where the ledger cannot be asked for it. */
static int loop(struct collector *collector, struct agent_config *config, int argc, char **argv,
                char error[COLLECTOR_ERROR_BYTES])
{
    int64_t active_ns = clock_now(CLOCK_MONOTONIC);
    int64_t thorough_ns = 0;
    int64_t backoff_ns = 0;

    while (!collector->events.stop) {
        if (collector->events.reload)
            reload(collector, config, argc, argv);
        attend(collector);
        announce_busy(collector);
        int64_t now = clock_now(CLOCK_MONOTONIC);
        bool thorough = now - thorough_ns >= SECOND_NS;
        int result = round_run(collector, thorough);
        if (result == 0) {
            if (backoff_ns)
                log_line(LOG_NOTE, "the database works again");
            backoff_ns = 0;
            thorough_ns = thorough ? now : thorough_ns;
            stations_retire(collector);
            retain(collector);
            result = rest(collector, &active_ns);
        }
        if (result == -ESTALE)
            return result;
        if (result == -EUCLEAN) {
            result = database_replace(collector, error);
            if (result < 0)
                return result;
        }
        if (result)
            back_off(collector, &backoff_ns);
    }
    return 0;
}

static int drain_passes(struct collector *collector)
{
    int result = 0;
    for (int pass = 0; pass < LAST_PASSES; pass++) {
        result = round_run(collector, true);
        if (result || (pass >= 3 && !collector->moved && !collector->waiting))
            break;
    }
    return result;
}

/* Take what is there: at the end, and for --once. Three rounds at least, so that the ledger believes what has
 * ended (see ledger_tick()), and not many more: each takes all that stands there when it begins, and writers who go on
 * writing would never let it end. */
static int drain_all(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    collector->settling = true;
    int result = drain_passes(collector);
    if (result == -EUCLEAN) {
        result = database_replace(collector, error);
        if (result >= 0)
            result = drain_passes(collector);
    }
    if (result && !error[0])
        snprintf(error, COLLECTOR_ERROR_BYTES, "%s", ledger_error(collector->ledger));
    if (!result)
        stations_retire(collector);
    return result;
}

/* ---- setting up, taking down -------------------------------------------------------------- */

static int lock_state(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    char path[4096];
    pid_t holder;
    const char *folder = collector->config->state_directory;
    int length = snprintf(path, sizeof path, "%s/tallyd.lock", folder);
    if (length < 0 || (size_t)length >= sizeof path) {
        snprintf(error, COLLECTOR_ERROR_BYTES, "the state folder's name is too long");
        return -1;
    }
    collector->state_lock = agent_lock_take(path, geteuid(), &holder);
    if (collector->state_lock >= 0)
        return 0;
    if (collector->state_lock == -EBUSY)
        snprintf(
            error, COLLECTOR_ERROR_BYTES,
            "another agent (process %ld) uses the state folder %s; stop it, or name another with --state-dir",
            (long)holder, folder);
    else
        snprintf(error, COLLECTOR_ERROR_BYTES, "cannot lock tallyd.lock in %.500s: %s", folder,
                 strerror(-collector->state_lock));
    return -1;
}

static void close_collector(struct collector *collector)
{
    spill_close(collector);
    if (collector->ledger) {
        stations_release(collector);
        ledger_close(collector->ledger);
    }
    deaths_close(&collector->deaths);
    price_table_free(collector->prices);
    if (collector->batch.bytes)
        munmap(collector->batch.bytes, BATCH_BYTES_MAX);
    if (collector->state_lock >= 0)
        close(collector->state_lock);
    events_close(&collector->events);
}

static int open_collector(struct collector *collector, const struct agent_config *config, bool once,
                          char error[COLLECTOR_ERROR_BYTES])
{
    int result;

    memset(collector, 0, sizeof *collector);
    collector->config = config;
    collector->once = once;
    collector->own_namespace = liveness_own_namespace();
    collector->state_lock = -1;
    collector->spill.fd = -1;
    collector->quarantine.state_directory = config->state_directory;
    collector->batch.bytes =
        mmap(NULL, BATCH_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (collector->batch.bytes == MAP_FAILED)
        collector->batch.bytes = NULL;
    collector->events.poke = collector->events.inotify = collector->events.signals = -1;
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error to report, not a death */
    result = collector->batch.bytes ? 0 : -ENOMEM;
    if (result == 0 && !once)
        result = events_open(&collector->events, stations_relevant, collector);
    if (result) {
        snprintf(error, COLLECTOR_ERROR_BYTES, "cannot set up: %s", strerror(-result));
        return -1;
    }
    if (lock_state(collector, error))
        return -1;
    if (prices_open(collector, error) || database_open(collector, error))
        return -1;
    result = spill_open(collector);
    if (result) {
        snprintf(error, COLLECTOR_ERROR_BYTES, "cannot look for spill files: %s", strerror(-result));
        return -1;
    }
    if (stations_configure(collector, error))
        return -1;
    spill_prepare(collector);
    return stations_attach(collector, true, error);
}

static void log_figures(const struct collector *collector)
{
    struct ledger_figures figures;
    ledger_figures(collector->ledger, &figures);
    log_line(LOG_NOTE, "leaving: %llu records in %llu commits, %llu skipped, %llu calls aborted",
             (unsigned long long)figures.records, (unsigned long long)figures.commits,
             (unsigned long long)figures.skipped, (unsigned long long)figures.aborted_calls);
}

int collector_run(struct agent_config *config, int argc, char **argv, char error[COLLECTOR_ERROR_BYTES])
{
    static struct collector collector;
    int result = open_collector(&collector, config, false, error);

    if (result == 0) {
        error[0] = '\0';
        log_line(LOG_NOTE, "tallyd %s serves %s, state in %s", TALLY_VERSION,
                 collector.stations ? collector.stations->path : "nothing", config->state_directory);
        collector.events.names = true; /* begin to watch them */
        sd_notify(0, "READY=1");
        result = loop(&collector, config, argc, argv, error);
        sd_notify(0, "STOPPING=1");
        TESTPOINT(agent_stopping);
        if (result == 0)
            result = drain_all(&collector, error);
        if (result == -ESTALE)
            snprintf(error, COLLECTOR_ERROR_BYTES, "another agent has taken over the database in %s: leaving",
                     config->state_directory);
        if (collector.ledger)
            log_figures(&collector);
    }
    close_collector(&collector);
    return result ? -1 : 0;
}

int collector_run_once(const struct agent_config *config, struct collector_once *done,
                       char error[COLLECTOR_ERROR_BYTES])
{
    static struct collector collector;
    struct ledger_figures figures;
    int result = open_collector(&collector, config, true, error);

    memset(done, 0, sizeof *done);
    if (result == 0) {
        for (struct served *served = collector.served; served; served = served->next)
            done->arenas++;
        error[0] = '\0';
        result = drain_all(&collector, error);
        if (collector.ledger) {
            ledger_figures(collector.ledger, &figures);
            done->records = figures.records;
            done->lost = figures.skipped;
        }
        done->spill_files = collector.spill.files;
    }
    if (result == 0 && collector.spill.blind) {
        snprintf(error, COLLECTOR_ERROR_BYTES,
                 "not all spill folders could be looked through: mend that and run this once more");
        result = -EIO;
    }
    close_collector(&collector);
    return result ? -1 : 0;
}
