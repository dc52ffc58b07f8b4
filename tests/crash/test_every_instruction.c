/* Kill a client at every instruction of what it does, one fresh client each, and look at what is left: in shared memory,
 * to the next owner, and in the database.
 *
 * TALLY_CRASH_TAKEIN=K  every K-th kill point goes through the agent in scenarios that are not short (default: every one)
 * TALLY_CRASH_ONLY=NAME one scenario
 * TALLY_TEST_LONG=1     scenarios, too, of which most is stepped through in others; and chosen(), below
 * TALLY_CRASH_KEEP=1    leave arenas and database of a failure in /dev/shm
 */
#include "support/test.h"

#include "crash/inspect.h"
#include "crash/place.h"
#include "crash/scenarios.h"
#include "crash/stage.h"
#include "crash/takein.h"
#include "crash/tracer.h"
#include "crash/witness.h"
#include "support/tries.h"

#include <arena_file.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define WORKERS 2
#define BATCH   48
/* One of so many of the library's own steps, in the short form, and of the C library's, in both. */
#define SAMPLE_OWN 4u
#define SAMPLE     64u

/* What a worker tells the test. Shared. */
struct report {
    uint32_t steps;
    uint32_t tried;
    uint32_t inexact; /* killed, but not just where the path says */
    uint32_t taken_in;
    char error[512];
};

struct worker {
    const struct scenario *scenario;
    struct report *report;
    unsigned int number;
    struct path seed;
    struct path path;
    struct witness witness; /* of the path, where records go to files */
    pid_t unguarded;        /* a dead owner that nobody has marked */
    char state[96];
    struct takein_trial *trials;
    unsigned int trial_count;
    struct inspection inspection;
};

static struct worker self;
static unsigned long long kill_points; /* of all scenarios */

static int failed(const char *what, uint32_t step)
{
    uintptr_t at = step <= self.path.steps && self.path.at ? self.path.at[step] : 0;
    snprintf(self.report->error, sizeof self.report->error,
             "%s: killed at step %u of %u, address %#lx (first_use %#lx): %s", self.scenario->name, step,
             self.path.steps, (unsigned long)at, (unsigned long)(uintptr_t)scenario_successor, what);
    return -1;
}

/* ---- names ------------------------------------------------------------------------- */

static void name_trial(struct takein_trial *trial, unsigned int slot)
{
    char name[64];
    snprintf(name, sizeof name, "/tally-crash-%07d-%u-%03u", (int)getppid(), self.number, slot);
    snprintf(trial->base, sizeof trial->base, "/dev/shm%s", name);
    trial->no_lane = self.scenario->no_lane;
    if (self.scenario->no_arena)
        snprintf(trial->arena, sizeof trial->arena, "/dev/shm%s.none/arena", name); /* no such folder */
    else
        snprintf(trial->arena, sizeof trial->arena, "%s", name);
    snprintf(trial->path, sizeof trial->path, "%s%s", self.scenario->no_arena ? "" : "/dev/shm",
             trial->arena);
}

static void remove_trial(const struct takein_trial *trial)
{
    static const char *const suffixes[] = {"", ".board", ".lock"};
    char path[128];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(path, sizeof path, "%s%s", trial->path, suffixes[i]);
        unlink(path);
    }
    place_clear(trial->base, self.state);
}

/* Remove what trials have left by design; returns -1 if there was anything else. */
static int sweep(void)
{
    char prefix[64];
    char path[320];
    int result = 0;
    snprintf(prefix, sizeof prefix, "tally-crash-%07d-%u-", (int)getppid(), self.number);
    DIR *directory = opendir("/dev/shm");
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)))
            continue;
        const char *rest = entry->d_name + strlen(prefix) + 3;
        if (*rest && strcmp(rest, ".board") && strcmp(rest, ".lock")) {
            result = -1;
            snprintf(self.report->error, sizeof self.report->error, "%s: left /dev/shm/%s",
                     self.scenario->name, entry->d_name);
        }
        snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
        unlink(path);
    }
    if (directory)
        closedir(directory);
    return result;
}

static void remove_state(void)
{
    char path[400];
    DIR *directory = opendir(self.state);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        snprintf(path, sizeof path, "%s/%s", self.state, entry->d_name);
        unlink(path);
    }
    if (directory)
        closedir(directory);
    static const char *const folders[] = {"quarantine", "spill"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", self.state, folders[i]);
        rmdir(path);
    }
    rmdir(self.state);
}

/* ---- the predecessor -------------------------------------------------------------------- */

/* Whether the predecessor stands where the seed wants it killed. */
static bool seeded(void *argument)
{
    const struct takein_trial *trial = argument;
    struct tally_arena_header arena;
    struct tally_lane_header lane;
    uint64_t first = 0;
    int fd = open(trial->path, O_RDONLY | O_CLOEXEC);
    bool there =
        pread(fd, &arena, sizeof arena, 0) == (ssize_t)sizeof arena &&
        pread(fd, &lane, sizeof lane, arena.header_bytes + arena.ring_bytes) == (ssize_t)sizeof lane &&
        pread(fd, &first, sizeof first, (off_t)(arena.header_bytes + lane.tail)) == (ssize_t)sizeof first;
    close(fd);
    if (!there)
        return false;
    uint64_t sequence = lane.slot[lane.slot[0].tail == lane.tail ? 0 : 1].sequence;
    const struct tally_lane_slot *next = &lane.slot[(sequence + 1) & 1];
    switch (self.scenario->seed) {
    case SEED_HALF_RECORD:
        return first && next->tail < lane.tail;
    case SEED_HALF_SLOT:
        return next->tail > lane.tail && next->sequence != sequence + 1;
    case SEED_UNPUBLISHED:
        return next->tail > lane.tail && next->sequence == sequence + 1;
    default:
        return true;
    }
}

static int seed(struct takein_trial *trial)
{
    struct tally_arena_header header;
    struct victim predecessor;
    uint32_t from = self.seed.steps;
    bool exact;
    self.unguarded = 0;
    if (self.scenario->seed == SEED_NOTHING)
        return 0;
    int fd = arena_file_open(trial->path, (gid_t)-1, true, &header);
    close(fd);
    if (fd < 0)
        return failed("no arena could be made", 0);
    if (self.scenario->seed == SEED_EMPTY) {
        /* An agent makes the board by which the victim learns that there is room again, and where to spill. */
        char *arenas[] = {trial->arena};
        return self.scenario->drained ? takein_run(self.state, arenas, 1, self.report->error) : 0;
    }
    stage->role = ROLE_PREDECESSOR;
    void (*run)(void) =
        self.scenario->seed == SEED_DEAD_UNGUARDED ? scenario_unguarded_predecessor : scenario_predecessor;
    int result = tracer_start(&predecessor, run, NULL, NULL);
    if (result == 0 && !self.seed.at)
        result = tracer_record(&predecessor, &self.seed, seeded, trial);
    else if (result == 0)
        result = tracer_seek(&predecessor, &self.seed, self.seed.steps, &from, &exact);
    if (result == 0 && !seeded(trial))
        result = failed("the predecessor is not where it should be killed", 0);
    else if (result)
        failed(tracer_error, 0);
    tracer_kill(&predecessor);
    if (self.scenario->seed == SEED_DEAD_UNGUARDED)
        self.unguarded = predecessor.pid;
    return result;
}

/* ---- one kill point ------------------------------------------------------------------------ */

/* The victim waits while an agent drains what it has written so far. */
static int drain_in_pause(void *argument)
{
    struct takein_trial *trial = argument;
    char *arenas[] = {trial->arena};
    if (inspect_read(&self.inspection, trial->path) || place_look(&self.inspection, trial->base, self.state))
        return failed(self.inspection.error, 0);
    return takein_run(self.state, arenas, 1, tracer_error);
}

/* Between the victim's stage_begin() and the first instruction that it may be killed at. */
static int meanwhile(struct victim *victim, struct takein_trial *trial)
{
    switch (self.scenario->meanwhile) {
    case MEANWHILE_TAKEN_BEFORE:
        return tracer_to_call(victim, SYS_write, false, false) || drain_in_pause(trial) ? -1 : 0;
    case MEANWHILE_TAKEN_AFTER:
        return tracer_to_call(victim, SYS_write, true, false) || drain_in_pause(trial) ? -1 : 0;
    case MEANWHILE_RENAMED:
        return tracer_to_call(victim, SYS_write, true, false) || place_rename(trial->base, self.state) ? -1
                                                                                                       : 0;
    case MEANWHILE_CUT:
        return tracer_to_call(victim, SYS_write, true, true);
    default:
        return 0;
    }
}

static int look(const struct takein_trial *trial, uint32_t step, pid_t unguarded)
{
    if (inspect_read(&self.inspection, trial->path) < 0 ||
        place_look(&self.inspection, trial->base, self.state) || inspect_compare(&self.inspection) ||
        inspect_owners(&self.inspection, (uint32_t)unguarded))
        return failed(self.inspection.error, step);
    return 0;
}

static int succeed(uint32_t step)
{
    int status;
    stage->role = ROLE_SUCCESSOR;
    pid_t pid = stage->pid[ROLE_SUCCESSOR] = fork();
    if (pid == 0) {
        stage->pid[ROLE_SUCCESSOR] = getpid();
        scenario_successor();
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        return failed("the next process could not record", step);
    return 0;
}

/* The successor went on in the victim's lane, where that had room. */
static int check_successor(uint32_t step)
{
    uint32_t lanes = 0;
    for (uint32_t i = 0; i < self.inspection.lanes; i++)
        lanes += self.inspection.lane[i].tail != 0;
    if (lanes > 1 && !self.scenario->next_lane && strcmp(self.scenario->lanes, "1") == 0)
        return failed("the next process took another lane", step);
    return 0;
}

/* The first victim shows the path. */
static int record_path(struct victim *victim, const struct takein_trial *trial)
{
    struct witness *witness = &self.witness;
    if (self.scenario->place == PLACE_NONE)
        return tracer_record(victim, &self.path, NULL, NULL);
    int result = witness_open(witness, trial->path, victim->tid);
    if (result == 0)
        result = tracer_record(victim, &self.path, witness_step, witness);
    if (witness->error[0]) {
        snprintf(tracer_error, sizeof tracer_error, "%s", witness->error);
        return -1;
    }
    return result;
}

/* Bring a fresh victim to a step and kill it there. 1: try again from another checkpoint. */
static int kill_at(struct takein_trial *trial, uint32_t step, uint32_t *from, bool *exact)
{
    struct victim victim;
    memset(stage, 0, sizeof *stage);
    memset(&self.inspection, 0, sizeof self.inspection);
    remove_trial(trial);
    setenv("TALLY_ARENA", trial->arena, 1);
    place_enter(self.scenario, trial->base);
    if (seed(trial))
        return -1;
    stage->role = ROLE_VICTIM;
    int result =
        tracer_start(&victim, self.scenario->run, self.scenario->drained ? drain_in_pause : NULL, trial);
    if (result == 0)
        result = meanwhile(&victim, trial);
    if (result == 0)
        result =
            self.path.at ? tracer_seek(&victim, &self.path, step, from, exact) : record_path(&victim, trial);
    if (result < 0)
        failed(tracer_error, step);
    tracer_kill(&victim);
    return result;
}

static int try_step(struct takein_trial *trial, uint32_t step)
{
    bool exact = true;
    uint32_t from = step;
    uint32_t back = 1;
    int result;
    /* Where a number has other digits a whole branch may not be taken. Checkpoint 0 is always there. */
    for (; (result = kill_at(trial, step, &from, &exact)) == 1; back *= 2)
        from = from > back ? from - back : 0;
    if (result || look(trial, step, self.unguarded) || succeed(step) || look(trial, step, 0) ||
        check_successor(step))
        return -1;
    self.report->tried++;
    self.report->inexact += !exact;
    return 0;
}

/* ---- a worker ------------------------------------------------------------------------------------ */

static int take_in(void)
{
    char *arenas[BATCH];
    char error[256];
    if (!self.trial_count)
        return 0;
    for (unsigned int i = 0; i < self.trial_count; i++)
        arenas[i] = self.trials[i].arena;
    setenv("TALLY_ARENA", arenas[0], 1);
    place_enter_batch(self.state);
    if (takein_run(self.state, arenas, self.trial_count, error) ||
        takein_check(self.state, self.trials, self.trial_count, error)) {
        snprintf(self.report->error, sizeof self.report->error, "%s, in the database: %s",
                 self.scenario->name, error);
        return -1;
    }
    if (place_clear_batch(self.state)) {
        snprintf(self.report->error, sizeof self.report->error, "%s: spill files are left",
                 self.scenario->name);
        return -1;
    }
    self.report->taken_in += self.trial_count;
    self.trial_count = 0;
    remove_state();
    return sweep();
}

static bool owns(uintptr_t at)
{
    extern const char __executable_start;
    extern const char etext;
    return at >= (uintptr_t)&__executable_start && at < (uintptr_t)&etext;
}

/* Whether to kill at this step.
 *
 * Where records go to files most steps are the C library's, and change nothing that outlives the victim: witness.h. Both forms kill
 * before and after each step that does, wherever it stands, and at a part of the C library's others, to see that these deaths are the
 * same indeed. The long form kills besides at every step of the library's own; the short form leaves out most rounds of its loops. */
static bool chosen(uint32_t step)
{
    bool all = getenv("TALLY_TEST_LONG") != NULL;
    uintptr_t at = self.path.at[step];
    if (self.scenario->place == PLACE_NONE || step == self.path.steps || at == 0)
        return true;
    if (witness_saw(&self.witness, step) || witness_saw(&self.witness, step + 1))
        return true;
    if (!owns(at))
        return step % SAMPLE == 0;
    return all || self.path.checkpoint[step] == step || self.scenario->thorough || step % SAMPLE_OWN == 0;
}

/* Each instruction is one worker's, with all its rounds: the paths that they have recorded need not be equal to the step. */
static bool mine(uint32_t step)
{
    return ((uint64_t)self.path.at[step] * UINT64_C(0x9E3779B97F4A7C15) >> 40) % WORKERS == self.number;
}

static int work(uint32_t takein_every)
{
    uint32_t number = 0;
    struct takein_trial *trial = &self.trials[0];
    /* The first victim shows the path, and is killed at its end. */
    name_trial(trial, 0);
    if (try_step(trial, UINT32_MAX))
        return -1;
    place_clear(trial->base, self.state);
    if (sweep())
        return -1;
    remove_state();
    self.report->steps = self.path.steps;
    /* A scenario whose record is quietly refused would show nothing. */
    for (uint32_t i = 0; i < stage->entries; i++)
        if (stage->entry[i].role == ROLE_VICTIM && stage->entry[i].result && !self.scenario->refused)
            return failed("a record was refused", self.path.steps);
    if (self.path.steps < self.scenario->steps_min)
        return failed("so short that it cannot have done what it should", self.path.steps);
    for (uint32_t step = 0; step <= self.path.steps; step++) {
        if (!chosen(step) || !mine(step))
            continue;
        trial = &self.trials[self.trial_count];
        name_trial(trial, self.trial_count);
        if (try_step(trial, step))
            return -1;
        if (number++ % takein_every) {
            remove_trial(trial);
            continue;
        }
        trial->step = step;
        trial->stage = *stage;
        trial->inspection = self.inspection;
        if (place_keep(trial->base, self.state))
            return failed("its spill files cannot be kept", step);
        place_clear(trial->base, self.state);
        if (++self.trial_count == BATCH && take_in())
            return -1;
    }
    return take_in();
}

static void pin(unsigned int number)
{
    cpu_set_t allowed;
    cpu_set_t one;
    unsigned int seen = 0;
    /* Tracer and victim on one CPU: a step costs half as much. */
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

static void run_worker(const struct scenario *scenario, struct report *report, unsigned int number,
                       uint32_t takein_every)
{
    self.scenario = scenario;
    self.report = report;
    self.number = number;
    self.trials = calloc(BATCH, sizeof *self.trials);
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(self.state, sizeof self.state, "/dev/shm/tally-crash-state-%07d-%u", (int)getppid(), number);
    setenv("TALLY_LANES", scenario->lanes, 1);
    setenv("TALLY_LANE_KIB", scenario->lane_kib, 1);
    unsetenv("XDG_RUNTIME_DIR");
    pin(number);
    int result = work(takein_every);
    witness_close(&self.witness);
    if (!result || !getenv("TALLY_CRASH_KEEP")) {
        for (unsigned int i = 0; i <= self.trial_count && i < BATCH; i++)
            place_clear(self.trials[i].base, self.state);
        place_clear_batch(self.state);
        sweep();
        remove_state();
    }
    _exit(result ? 1 : 0);
}

static void every_instruction(void **state)
{
    const struct scenario *scenario = *state;
    struct report *reports =
        mmap(NULL, WORKERS * sizeof *reports, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *every = getenv("TALLY_CRASH_TAKEIN");
    uint32_t takein_every = scenario->thorough || !every ? 1 : (uint32_t)strtoul(every, NULL, 10);
    pid_t workers[WORKERS];
    bool sound = true;

    assert_ptr_not_equal(reports, MAP_FAILED);
    for (unsigned int i = 0; i < WORKERS; i++) {
        workers[i] = fork();
        if (workers[i] == 0)
            run_worker(scenario, &reports[i], i, takein_every ? takein_every : 1);
        assert_true(workers[i] > 0);
    }
    for (unsigned int i = 0; i < WORKERS; i++) {
        int status;
        assert_int_equal(waitpid(workers[i], &status, 0), workers[i]);
        sound = sound && status == 0;
        if (status)
            print_message("# %s (status %#x)\n", reports[i].error, (unsigned int)status);
    }
    print_message("# note: %-28s %6u kill points, %u not where expected, %u through the agent; %u steps\n",
                  scenario->name, reports[0].tried + reports[1].tried,
                  reports[0].inexact + reports[1].inexact, reports[0].taken_in + reports[1].taken_in,
                  reports[0].steps);
    kill_points += reports[0].tried + reports[1].tried;
    munmap(reports, WORKERS * sizeof *reports);
    assert_true(sound);
}

int main(void)
{
    static struct CMUnitTest tests[64];
    size_t count = 0;
    const char *only = getenv("TALLY_CRASH_ONLY");
    /* Who names tests has those of the long form, too. */
    bool all = only || getenv("TALLY_TEST_LONG") || getenv("TALLY_TEST_FILTER");
    for (unsigned int i = 0; i < scenario_count + spill_scenario_count; i++) {
        const struct scenario *scenario =
            i < scenario_count ? &scenarios[i] : &spill_scenarios[i - scenario_count];
        if ((all || !scenario->only_long) && (!only || strcmp(only, scenario->name) == 0))
            tests[count++] = (struct CMUnitTest){.name = scenario->name,
                                                 .test_func = every_instruction,
                                                 .initial_state = (void *)(uintptr_t)scenario};
    }
    int failures = _cmocka_run_group_tests("killed at every instruction", tests, count, NULL, NULL);
    tries(kill_points, "kill points");
    return failures;
}
