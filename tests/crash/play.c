#include "crash/play.h"

#include "crash/ledger_look.h"
#include "crash/marks.h"
#include "crash/puppets.h"
#include "support/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#define SECOND_NS     INT64_C(1000000000)
#define STOP_TIME_NS  (4 * SECOND_NS)  /* to come to a stop */
#define WHOLE_TIME_NS (60 * SECOND_NS) /* for all to end */
#define SLEEP_TIME_NS (4 * SECOND_NS)  /* for an agent to fall asleep */

char play_error[600];

static struct {
    char folder[96], log[128];
    char build[256];
    struct look look;
    struct points writer_points, agent_points;
    struct counters *counters;
    struct puppet puppets[ROLES_MAX];
    const struct schedule *schedule;
    unsigned int count; /* of the cast */
    bool settled;       /* an agent has left in good order after the last writer */
    bool heir_early;    /* the heir came while the agent was there */
    bool board_removed;
    unsigned int said_clean; /* 1 << writer: killed when it had published its end */
} here;

static int wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int wrong(const char *format, ...)
{
    va_list arguments;
    if (play_error[0])
        return -1;
    va_start(arguments, format);
    vsnprintf(play_error, sizeof play_error, format, arguments);
    va_end(arguments);
    return -1;
}

static struct puppet *puppet(enum who who)
{
    return &here.puppets[who];
}

static bool plays(enum who who)
{
    return puppet(who)->started && !puppet(who)->ended;
}

/* ---- the programs ----------------------------------------------------------------------- */

static void redirect(void)
{
    int fd = open(here.log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

static void become_writer(void *context)
{
    unsigned int number = (unsigned int)(uintptr_t)context;
    char program[400];
    char index[8];
    char script[64];
    char *list[16] = {program, index};
    size_t count = 2;
    redirect();
    snprintf(program, sizeof program, "%s/tests/programs/script-static", here.build);
    snprintf(index, sizeof index, "%u", number);
    snprintf(script, sizeof script, "%s", here.schedule->cast->scripts[number]);
    for (char *rest = script, *word; (word = strsep(&rest, " ")) && count < 15;)
        list[count++] = word;
    execv(program, list);
}

static void exec_agent(bool once)
{
    char program[400];
    redirect();
    snprintf(program, sizeof program, "%s/tallyd", here.build);
    execl(program, program, once ? "--once" : "--foreground", "--state-dir", here.look.state, "--arena",
          here.look.arena, (char *)NULL);
}

static void become_agent(void *context)
{
    (void)context;
    exec_agent(false);
}

/* The agent that comes when all is over. */
static int recover(void)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        exec_agent(true);
        _exit(123);
    }
    if (waitpid(pid, &status, 0) != pid || status)
        return wrong("the agent that came last did not take in what was left: status %#x",
                     (unsigned int)status);
    return 0;
}

/* ---- whenever everything stands still ------------------------------------------------------- */

static bool still_sound(void)
{
    pid_t living[2];
    unsigned int count = 0;
    for (enum who who = W1; who <= W2; who++)
        if (plays(who))
            living[count++] = puppet(who)->pid;
    return look_now(&here.look, living, count, play_error, sizeof play_error) == 0;
}

/* How long an agent's thread that does the work sleeps at most. */
static int64_t sleep_ns(void)
{
    const struct strand *strand = &puppet(plays(AGENT) ? AGENT : HEIR)->strands[0];
    return strand->deadline_ns == INT64_MAX ? INT64_MAX : strand->deadline_ns - puppets_now();
}

/* With nobody held, and before time goes on: is there something that nobody will do but for a timeout? A writer that was there before the
 * board looks for it once a second, and the agent for such writers. */
static int still_awake(void)
{
    if (puppets_any_held() || here.schedule->killed)
        return 0;
    bool agent = plays(AGENT) || plays(HEIR);
    if (agent && look_asleep(&here.look) && look_waiting(&here.look, NULL) &&
        (here.schedule->cast->agent_first || sleep_ns() > SECOND_NS))
        return wrong("the agent sleeps, and records wait: nobody has woken it");
    /* Who waits on a board that has been replaced looks for another soon. */
    if (here.board_removed)
        return 0;
    for (enum who who = W1; who <= W2; who++) {
        const struct strand *strand = &puppet(who)->strands[0];
        /* It waits for commits of the board, which is mapped like nothing else that it waits in. */
        if (plays(who) && strand->state == STRAND_WAITS && strand->deadline_ns != INT64_MAX &&
            !look_waiting(&here.look, &puppet(who)->pid))
            return wrong("writer %d waits for a commit that has come", (int)who + 1);
    }
    return 0;
}

static int settle(enum who who)
{
    if (puppets_settle(puppet(who)))
        return wrong("%s", puppets_error);
    return play_error[0] || !still_sound() ? -1 : 0;
}

static int advance(void)
{
    if (still_awake())
        return -1;
    int result = puppets_advance();
    if (result < 0)
        return wrong("%s", puppets_error);
    return play_error[0] ? -1 : result;
}

/* A shutdown has given its answer; nobody moves. */
static void on_mark(struct puppet *writer, uint64_t mark)
{
    unsigned int number = (unsigned int)(writer - here.puppets);
    int64_t answer = (int64_t)here.counters->values[number];
    uint64_t acknowledged = here.counters->writers[number].acknowledged;
    if (mark != MARK_SHUTDOWN)
        return;
    if (answer != TALLY_DURABLE && answer != TALLY_PUBLISHED)
        wrong("writer %u: tally_shutdown() answered %lld", number + 1, (long long)answer);
    else if (answer == TALLY_DURABLE && look_rows(&here.look, number) < (int64_t)acknowledged)
        wrong("writer %u: tally_shutdown() said \"durable\", and the database has %lld of %llu records",
              number + 1, (long long)look_rows(&here.look, number), (unsigned long long)acknowledged);
}

/* ---- stops ------------------------------------------------------------------------------------- */

static int start(enum who who)
{
    if (puppet(who)->started)
        return 0;
    if (who == HEIR && plays(AGENT))
        here.heir_early = true;
    return puppets_start(puppet(who)) ? wrong("%s", puppets_error) : 0;
}

static int do_deed(const struct stop *stop)
{
    if ((stop->deed != DEED_TERM && stop->deed != DEED_BOARD) || puppet(stop->who)->ended)
        return 0;
    if (!puppet(stop->who)->started && (start(stop->who) || settle(stop->who)))
        return -1;
    if (stop->deed == DEED_TERM)
        kill(puppet(stop->who)->pid, SIGTERM);
    else
        here.board_removed |= unlink(here.look.board) == 0;
    return 0;
}

static bool arrived(const struct stop *stop)
{
    const struct puppet *who = puppet(stop->who);
    if (who->ended)
        return true;
    if (stop->point && stop->deed == DEED_ASLEEP)
        return who->held && look_asleep(&here.look);
    if (stop->point)
        return who->held;
    return stop->who < AGENT || (stop->deed != DEED_TERM && look_asleep(&here.look));
}

static int go_to(const struct stop *stop, unsigned int *reached)
{
    struct puppet *who = puppet(stop->who);
    if (do_deed(stop))
        return -1;
    if (who->ended)
        return 0;
    if (start(stop->who))
        return -1;
    if (stop->point && puppets_arm(who, stop->point, stop->nth))
        return wrong("%s", puppets_error);
    puppets_release(who);
    int64_t until = puppets_now() + STOP_TIME_NS;
    int result = settle(stop->who);
    while (result == 0 && !arrived(stop) && puppets_now() < until)
        result = advance();
    if (result < 0 || !still_sound())
        return -1;
    if (stop->who <= W2 && who->held) { /* now: later its lane may be another's */
        unsigned int said = look_said_end(&here.look, who->pid);
        here.said_clean = (here.said_clean & ~(1u << stop->who)) | said << stop->who;
    }
    *reached += stop->point ? who->held : arrived(stop);
    return puppets_disarm(who) ? wrong("%s", puppets_error) : 0;
}

static int start_others(void)
{
    for (enum who who = W1; who < here.count; who++) {
        if (puppet(who)->started || (who == HEIR && !puppet(AGENT)->ended))
            continue;
        if (start(who) || settle(who))
            return -1;
    }
    return 0;
}

static int release(enum who who)
{
    if (!puppet(who)->held)
        return 0;
    if (here.schedule->killed & 1u << who) {
        if (puppets_kill(puppet(who)))
            return wrong("%s", puppets_error);
    } else {
        puppets_release(puppet(who));
    }
    return settle(who);
}

/* ---- to the end ------------------------------------------------------------------------------------ */

static int await_writers(void)
{
    int64_t until = puppets_now() + WHOLE_TIME_NS;
    while (plays(W1) || plays(W2)) {
        int result = advance();
        if (result < 0)
            return -1;
        if (result == 1 || puppets_now() > until)
            return wrong("writer %d does not come to its end", plays(W1) ? 1 : 2);
        if (here.count > HEIR && puppet(AGENT)->ended && !puppet(HEIR)->started && start_others())
            return -1;
    }
    return 0;
}

/* It must get to sleep with nothing left to do, and leave when it is told to. */
static int dismiss(enum who who)
{
    int64_t until = puppets_now() + SLEEP_TIME_NS;
    int result = 0;
    while (result == 0 && plays(who) && !look_asleep(&here.look) && puppets_now() < until)
        result = advance();
    if (result >= 0)
        result = still_awake();
    if (result < 0 || !still_sound())
        return -1;
    if (!plays(who))
        return 0;
    kill(puppet(who)->pid, SIGTERM);
    until = puppets_now() + WHOLE_TIME_NS;
    result = settle(who);
    while (result == 0 && plays(who) && puppets_now() < until)
        result = advance();
    if (result < 0)
        return -1;
    if (plays(who))
        return wrong("the agent does not leave");
    here.settled = here.settled || puppet(who)->status == 0;
    return 0;
}

static int expect_status(enum who who)
{
    const struct puppet *one = puppet(who);
    if (!one->started || one->status == 0)
        return 0;
    if (WIFSIGNALED(one->status) && WTERMSIG(one->status) == SIGKILL && here.schedule->killed & 1u << who)
        return 0;
    if (who == HEIR && here.heir_early && WIFEXITED(one->status) && WEXITSTATUS(one->status) == 1)
        return 0; /* it has said who serves the folder */
    return wrong("%s ended with status %#x",
                 (const char *[]){"writer 1", "writer 2", "the agent", "the heir"}[who],
                 (unsigned int)one->status);
}

static int expect_books(void)
{
    struct look_end ends[2];
    for (enum who who = W1; who <= W2; who++) {
        ends[who] =
            (struct look_end){.pid = puppet(who)->pid,
                              .attempted = here.counters->writers[who].attempted,
                              .acknowledged = here.counters->writers[who].acknowledged,
                              .killed = (here.schedule->killed & 1u << who) && puppet(who)->status != 0,
                              .said_clean = here.said_clean & 1u << who};
        if (here.counters->surprises)
            return wrong("a writer was surprised: %llu", (unsigned long long)here.counters->surprises);
        if (!ends[who].killed && ends[who].attempted != ends[who].acknowledged)
            return wrong("writer %d: a record was refused", (int)who + 1);
    }
    if (look_end(&here.look, ends, play_error, sizeof play_error))
        return -1;
    return look_audit(&here.look, here.build) ? wrong("tally audit does not account for all") : 0;
}

static int perform(const struct schedule *schedule, struct played *played)
{
    if (schedule->cast->agent_first && schedule->stops[0]->who != AGENT && (start(AGENT) || settle(AGENT)))
        return -1;
    for (unsigned int i = 0; i < schedule->count && !played->futile; i++) {
        if (go_to(schedule->stops[i], &played->reached))
            return -1;
        played->futile = i + 1 < schedule->count && puppet(schedule->stops[i + 1]->who)->ended;
    }
    if (played->futile)
        return 0;
    if (start_others())
        return -1;
    for (enum who who = W1; who < here.count; who++)
        played->held |= (unsigned int)puppet(who)->held << who;
    for (unsigned int i = 0; i < schedule->release_count; i++)
        if (release(schedule->release[i]))
            return -1;
    if (start_others() || await_writers())
        return -1;
    for (enum who who = AGENT; who < here.count; who++)
        if (dismiss(who))
            return -1;
    for (enum who who = W1; who < here.count; who++)
        if (expect_status(who))
            return -1;
    if (!here.settled && recover())
        return -1;
    return expect_books();
}

/* ---- before and after ---------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    return walk->level > 0 ? remove(path) : 0;
}

static void sweep(void)
{
    static const char *const suffixes[] = {"", ".board", ".lock", ".board.new"};
    char path[160];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(path, sizeof path, "/dev/shm%s%s", here.look.arena, suffixes[i]);
        unlink(path);
    }
    nftw(here.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int play_open(unsigned int number)
{
    char path[400];
    const char *build = getenv("TALLY_TEST_BUILD");
    snprintf(here.build, sizeof here.build, "%s", build ? build : "build");
    snprintf(here.look.arena, sizeof here.look.arena, "/tally-play-%d-%u", (int)getppid(), number);
    snprintf(here.look.board, sizeof here.look.board, "/dev/shm%s.board", here.look.arena);
    snprintf(here.folder, sizeof here.folder, "/dev/shm/tally-play-%d-%u.room", (int)getppid(), number);
    snprintf(here.look.state, sizeof here.look.state, "%s/state", here.folder);
    snprintf(here.look.home, sizeof here.look.home, "%s/home", here.folder);
    snprintf(here.log, sizeof here.log, "%s/log", here.folder);
    if (mkdir(here.folder, 0700))
        return wrong("%s: %s", here.folder, strerror(errno));
    snprintf(path, sizeof path, "%s.counters", here.folder);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *here.counters))
        return wrong("%s: %s", path, strerror(errno));
    here.counters = mmap(NULL, sizeof *here.counters, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    setenv(COUNTERS_ENVIRONMENT, path, 1);
    setenv("TALLY_ARENA", here.look.arena, 1);
    setenv("XDG_STATE_HOME", here.look.home, 1);
    setenv("TALLY_OVERFLOW", "spill", 1);
    unsetenv("NOTIFY_SOCKET");
    snprintf(path, sizeof path, "%s/tests/programs/script-static", here.build);
    if (points_read(&here.writer_points, path))
        return wrong("%s has no test points", path);
    snprintf(path, sizeof path, "%s/tallyd", here.build);
    if (points_read(&here.agent_points, path))
        return wrong("%s has no test points", path);
    return 0;
}

void play_close(void)
{
    char path[200];
    sweep();
    rmdir(here.folder);
    snprintf(path, sizeof path, "%s.counters", here.folder);
    unlink(path);
}

void play_show_log(void)
{
    char line[400];
    FILE *file = fopen(here.log, "re");
    while (file && fgets(line, sizeof line, file))
        fprintf(stderr, "# %s", line);
    if (file)
        fclose(file);
}

int play(const struct schedule *schedule, struct played *played)
{
    sweep();
    play_error[0] = '\0';
    *played = (struct played){0};
    here.schedule = schedule;
    here.count = schedule->cast->heir ? HEIR + 1 : HEIR;
    here.settled = here.heir_early = here.board_removed = false;
    here.said_clean = 0;
    setenv("TALLY_LANES", schedule->cast->lanes, 1);
    setenv("TALLY_LANE_KIB", schedule->cast->lane_kib, 1);
    memset(here.counters->writers, 0, 2 * sizeof here.counters->writers[0]);
    here.counters->surprises = 0;
    memset(here.puppets, 0, sizeof here.puppets);
    for (enum who who = W1; who < ROLES_MAX; who++) {
        bool writer = who <= W2;
        here.puppets[who] = (struct puppet){.points = writer ? &here.writer_points : &here.agent_points,
                                            .become = writer ? become_writer : become_agent,
                                            .marked = on_mark,
                                            .context = (void *)(uintptr_t)who};
    }
    puppets_open(here.puppets, here.count);
    int result = perform(schedule, played);
    puppets_close();
    return result;
}

void play_describe(const struct schedule *schedule, char *out, unsigned long bytes)
{
    static const char *const names[] = {"W1", "W2", "agent", "heir"};
    static const char *const deeds[] = {"", " (told to leave)", " (its board removed)", " (asleep)"};
    size_t used = (size_t)snprintf(out, bytes, "%s:", schedule->cast->name);
    for (unsigned int i = 0; i < schedule->count && used < bytes; i++) {
        const struct stop *stop = schedule->stops[i];
        used += (size_t)snprintf(out + used, bytes - used, "%s %s%s to %s", i ? "," : "", names[stop->who],
                                 deeds[stop->deed], stop->point ? stop->point : "its end or sleep");
        if (used < bytes && stop->nth > 1)
            used += (size_t)snprintf(out + used, bytes - used, " no. %u", stop->nth);
    }
    for (unsigned int i = 0; i < schedule->release_count && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s %s%s", i ? "," : "; then",
                                 names[schedule->release[i]],
                                 schedule->killed & 1u << schedule->release[i] ? " killed" : "");
}
