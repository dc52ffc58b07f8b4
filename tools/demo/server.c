/* server: the demo's victim, a pre-forking server as many are: a master that forks workers and
 * replaces those that die, workers with several threads that call a language model (in
 * pretence) and record what it used.
 *
 *     server --counters FILE [--workers N] [--seconds S] [--kills N]
 *     server --show FILE
 *
 * The master is also the misfortune: while the server runs it SIGKILLs workers, each at a moment
 * when one of its threads is between handing a record over and noting that it was taken.
 * After S seconds, or on SIGTERM, it stops the rest with SIGTERM.
 *
 * Independently of tally each thread counts what it did, in a file mapped by all: `tried` before a
 * call into the library, `done` after it returned 0. The file outlives the workers; no
 * count is taken back. What must be in the database at the end follows from these
 * counts alone; --show prints them as CSV.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#define THREADS     3    /* in each worker: one records finished calls, two stream */
#define SPAWNS_MAX  1000 /* workers ever started, replacements included */
#define WORKERS_MAX 256
#define BURST       60
#define CHUNKS      5

struct count {
    uint64_t tried;
    uint64_t done;
};

/* One thread's own account; each line of counts is written by that thread alone. */
struct account {
    _Alignas(128) struct count record;
    struct count begin;
    struct count progress;
    struct count end;
    uint64_t refusals; /* calls into the library that returned an error */
    uint32_t pid;      /* written by the master */
    uint32_t killed;   /* 1: the master killed it */
};

struct counters {
    uint32_t spawned;
    struct account account[SPAWNS_MAX][THREADS];
};

struct options {
    const char *path;
    int workers;
    int seconds;
    int kills;
};

struct server {
    struct options options;
    struct counters *counters;
    pid_t pid[WORKERS_MAX];
    uint32_t spawn[WORKERS_MAX]; /* index into the counters */
    int killed;
    bool stopping;
};

static struct server server = {.options = {.workers = 24, .seconds = 8, .kills = 40}};

static void __attribute__((noreturn)) give_up(const char *what)
{
    fprintf(stderr, "server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void pause_us(unsigned int us)
{
    struct timespec span = {us / 1000000, us % 1000000 * 1000L};

    nanosleep(&span, NULL);
}

/* ---- a worker -------------------------------------------------------------------- */

struct thread {
    struct account *account;
    char name[32]; /* the session that its rows carry: "w017.2" */
    unsigned int seed;
};

static bool worker_stops; /* relaxed: the threads look at it between calls, nothing hangs on its order */

static bool stops(void)
{
    return __atomic_load_n(&worker_stops, __ATOMIC_RELAXED);
}

/* The counts are read by other processes, after this one's death too: each store is made where it
 * stands. What the compiler keeps in order a SIGKILL does too, as all is one thread's. */
static void note(uint64_t *count)
{
    __atomic_store_n(count, *count + 1, __ATOMIC_SEQ_CST);
}

static int noted(struct account *account, struct count *count, int result)
{
    if (result == 0)
        note(&count->done);
    else
        note(&account->refusals);
    return result;
}

static struct tally_usage usage_of(const struct thread *thread)
{
    static const char *const models[] = {"gpt-4o-mini", "claude-sonnet-4", "gemini-2.0-flash"};
    static const char *const providers[] = {"openai", "anthropic", "gcp.gemini"};
    struct tally_usage usage = TALLY_USAGE_INIT;
    size_t pick = thread->name[3] % 3u;

    usage.provider = providers[pick];
    usage.request_model = models[pick];
    usage.operation = "chat";
    usage.team = thread->name[2] % 2 ? "search" : "support";
    usage.session = thread->name;
    return usage;
}

/* Records finished calls in bursts. input_tokens is the record's number, so that the database can tell a
 * missing or a doubled record from a right one, not only their number. */
static void record_burst(struct thread *thread)
{
    struct account *account = thread->account;
    struct tally_usage usage = usage_of(thread);

    usage.output_tokens = 64;
    usage.status = TALLY_STATUS_OK;
    for (int i = 0; i < BURST && !stops(); i++) {
        note(&account->record.tried);
        usage.input_tokens = (int64_t)account->record.tried;
        noted(account, &account->record, tally_record(&usage));
    }
    pause_us(100000 + (unsigned int)rand_r(&thread->seed) % 200000);
}

/* One streamed call: begin, some chunks, end. Death in between leaves it to the agent. */
static void stream_call(struct thread *thread)
{
    struct account *account = thread->account;
    struct tally_usage usage = usage_of(thread);
    struct tally_call call;

    usage.flags = TALLY_FLAG_STREAMED;
    note(&account->begin.tried);
    usage.input_tokens = (int64_t)account->begin.tried;
    if (noted(account, &account->begin, tally_call_begin(&call, &usage)) != 0)
        return;
    for (int chunk = 1; chunk <= CHUNKS; chunk++) {
        pause_us(5000 + (unsigned int)rand_r(&thread->seed) % 10000);
        usage.output_tokens = chunk * 12;
        note(&account->progress.tried);
        noted(account, &account->progress, tally_call_progress(&call, &usage));
    }
    usage.status = TALLY_STATUS_OK;
    note(&account->end.tried);
    noted(account, &account->end, tally_call_end(&call, &usage));
}

static void *thread_run(void *argument)
{
    struct thread *thread = argument;

    while (!stops()) {
        if (thread->name[5] == '0')
            record_burst(thread);
        else
            stream_call(thread);
    }
    return NULL;
}

/* Never returns. SIGTERM is blocked in all threads and awaited here: threads finish their calls. */
static void worker_run(uint32_t spawn, const sigset_t *term)
{
    struct thread threads[THREADS];
    pthread_t ids[THREADS];
    int signal;

    for (int i = 0; i < THREADS; i++) {
        threads[i].account = &server.counters->account[spawn][i];
        threads[i].seed = spawn * THREADS + (unsigned int)i;
        snprintf(threads[i].name, sizeof(threads[i].name), "w%03u.%d", (unsigned int)spawn, i);
        if ((errno = pthread_create(&ids[i], NULL, thread_run, &threads[i])) != 0)
            give_up("pthread_create");
    }
    sigwait(term, &signal);
    __atomic_store_n(&worker_stops, true, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    tally_shutdown(2000);
    exit(0);
}

/* ---- the master ------------------------------------------------------------------- */

static void worker_start(int place, const sigset_t *term)
{
    uint32_t spawn = server.counters->spawned;
    pid_t parent = getpid();

    if (spawn == SPAWNS_MAX) {
        fprintf(stderr, "server: too many workers died: more than %d\n", SPAWNS_MAX);
        exit(1);
    }
    server.counters->spawned = spawn + 1;
    server.spawn[place] = spawn;
    server.pid[place] = fork();
    if (server.pid[place] < 0)
        give_up("fork");
    if (server.pid[place] == 0) {
        /* A master that dies must not leave its workers to the machine. */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(1);
        worker_run(spawn, term);
    }
    for (int i = 0; i < THREADS; i++)
        server.counters->account[spawn][i].pid = (uint32_t)server.pid[place];
}

/* Wait for dead workers and, while the server runs, put others in their places. */
static int workers_reap(const sigset_t *term)
{
    int unexpected = 0;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int place = 0; place < server.options.workers; place++) {
            if (server.pid[place] != pid)
                continue;
            bool killed = server.counters->account[server.spawn[place]][0].killed;

            if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL || !killed : WEXITSTATUS(status) != 0) {
                fprintf(stderr, "server: worker %d ended with wait status 0x%x\n", (int)pid,
                        (unsigned int)status);
                unexpected++;
            }
            server.pid[place] = 0;
            if (!server.stopping)
                worker_start(place, term);
        }
    }
    return unexpected;
}

static bool inside_the_library(const struct account *account)
{
    /* Only a hint for choosing the moment, and so read without order; both are whole words. */
    return __atomic_load_n(&account->record.tried, __ATOMIC_RELAXED) !=
           __atomic_load_n(&account->record.done, __ATOMIC_RELAXED) +
               __atomic_load_n(&account->refusals, __ATOMIC_RELAXED);
}

static bool alive(int place)
{
    return server.pid[place] > 0 && server.counters->account[server.spawn[place]][0].killed == 0;
}

/* A worker that is inside tally_record() at this very moment; if none turns up within 50 ms, any. */
static int victim(unsigned int *seed)
{
    int64_t deadline = now_ms() + 50;

    do {
        for (int place = 0; place < server.options.workers; place++)
            if (alive(place) && inside_the_library(server.counters->account[server.spawn[place]]))
                return place;
    } while (now_ms() < deadline);
    return (int)((unsigned int)rand_r(seed) % (unsigned int)server.options.workers);
}

static void worker_kill(int place)
{
    if (!alive(place))
        return;
    server.counters->account[server.spawn[place]][0].killed = 1;
    kill(server.pid[place], SIGKILL);
    server.killed++;
}

static int serve(const sigset_t *term)
{
    int64_t start = now_ms();
    int64_t length_ms = server.options.seconds * INT64_C(1000);
    unsigned int seed = (unsigned int)getpid();
    struct timespec moment = {0, 20000000};
    int unexpected = 0;

    for (int place = 0; place < server.options.workers; place++)
        worker_start(place, term);
    while (now_ms() - start < length_ms && sigtimedwait(term, NULL, &moment) < 0) {
        unexpected += workers_reap(term);
        /* from the first second to the last, evenly */
        int64_t due = (now_ms() - start - 500) * server.options.kills / (length_ms - 1000);

        while (server.killed < due && server.killed < server.options.kills) {
            worker_kill(victim(&seed));
            unexpected += workers_reap(term);
        }
    }
    server.stopping = true;
    for (int place = 0; place < server.options.workers; place++)
        if (server.pid[place] > 0)
            kill(server.pid[place], SIGTERM);
    for (;;) {
        bool some = false;

        unexpected += workers_reap(term);
        for (int place = 0; place < server.options.workers; place++)
            some |= server.pid[place] > 0;
        if (!some)
            return unexpected;
        sigtimedwait(term, NULL, &moment);
    }
}

/* ---- the account -------------------------------------------------------------------- */

static struct counters *counters_map(bool fresh)
{
    struct counters *counters;
    int file = open(server.options.path,
                    fresh ? O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0600);

    if (file < 0 || (fresh && ftruncate(file, sizeof(struct counters)) != 0))
        give_up(server.options.path);
    counters =
        mmap(NULL, sizeof(struct counters), fresh ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED)
        give_up(server.options.path);
    close(file);
    return counters;
}

static void show(void)
{
    printf(
        "session,pid,killed,records_tried,records_done,begins_tried,begins_done,progress_tried,progress_done,"
        "ends_tried,ends_done,refusals\n");
    for (uint32_t spawn = 0; spawn < server.counters->spawned; spawn++) {
        for (int i = 0; i < THREADS; i++) {
            const struct account *account = &server.counters->account[spawn][i];
            const struct count counts[] = {account->record, account->begin, account->progress, account->end};

            printf("w%03u.%d,%u,%u", (unsigned int)spawn, i, account->pid,
                   server.counters->account[spawn][0].killed);
            for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++)
                printf(",%" PRIu64 ",%" PRIu64, counts[n].tried, counts[n].done);
            printf(",%" PRIu64 "\n", account->refusals);
        }
    }
}

static int number(const char *text, int low, int high)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < low || value > high) {
        fprintf(stderr, "server: '%s' is not a number from %d to %d\n", text, low, high);
        exit(2);
    }
    return (int)value;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"counters", required_argument, NULL, 'c'}, {"workers", required_argument, NULL, 'w'},
        {"seconds", required_argument, NULL, 's'},  {"kills", required_argument, NULL, 'k'},
        {"show", required_argument, NULL, 'p'},     {NULL, 0, NULL, 0}};
    bool only_show = false;
    sigset_t term;
    int code;

    while ((code = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (code) {
        case 'c':
            server.options.path = optarg;
            break;
        case 'p':
            server.options.path = optarg;
            only_show = true;
            break;
        case 'w':
            server.options.workers = number(optarg, 1, WORKERS_MAX);
            break;
        case 's':
            server.options.seconds = number(optarg, 2, 3600);
            break;
        case 'k':
            server.options.kills = number(optarg, 0, SPAWNS_MAX - WORKERS_MAX);
            break;
        default:
            return 2;
        }
    }
    if (server.options.path == NULL) {
        fprintf(stderr,
                "usage: server --counters FILE [--workers N] [--seconds S] [--kills N] | --show FILE\n");
        return 2;
    }
    struct counters *counters = counters_map(!only_show);
    server.counters = counters;
    if (only_show) {
        show();
        return 0;
    }
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigaddset(&term, SIGINT);
    sigprocmask(SIG_BLOCK, &term, NULL);
    int unexpected = serve(&term);

    printf("%" PRIu32 " %d\n", counters->spawned, server.killed);
    return unexpected == 0 ? 0 : 1;
}
