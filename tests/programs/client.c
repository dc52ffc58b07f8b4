/* client.c: a program that uses tally, step by step as its arguments say. Each is NAME or NAME=ARGUMENTS, and is
 * done by the main thread in turn:
 *
 *   init=signals|null         tally_init(); the result is noted
 *   record=N                  N records as the main thread's writer
 *   fill=N                    until one is refused, at most N
 *   background=T,N            T threads that record until the process ends or `stop`; 0: without a pause, else with one of a
 *                             millisecond after each N records
 *   threads=T,N,HOW           T threads of N records each, that end by return, pthread_exit or raw (a bare
 *                             system call), one after the other
 *   together=T,N              T threads of N records each, at the same time, joined
 *   hold=T                    T threads that record once and stay until `release`; the results are noted
 *   stop, release
 *   shutdown=MS               tally_shutdown(); the result is noted
 *   shutdowns=T,N,MS          T threads that shut down N times each; the results are noted
 *   new=SERVICE,TAG, object=N, free     a client object, N records through it, its release
 *   begin, progress=N, end    a call in flight; N output tokens so far
 *   handler=SIG, ignore=SIG, block=SIG  the program's own disposition; the handler notes the signal as a result
 *   raise=SIG                 a signal to the process
 *   stage=N, await=N          tell the test; wait for it
 *   closefrom=N, descriptors, mappings  the numbers are noted
 *   uid=N                     become another user
 *   refuse=CALL,ERRNO,SECOND  the kernel refuses a system call from now on (refuse.h)
 *   exit=N, _exit=N, quick_exit=N, return=N
 */
#include "support/program.h"
#include "support/refuse.h"

#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#define THREADS_MAX 512

static struct {
    struct counters_writer *writer;
    pthread_t background[THREADS_MAX];
    int background_count;
    int64_t background_burst; /* records between two pauses; 0: no pause */
    pthread_t held[THREADS_MAX];
    int held_count;
    _Atomic int held_ready;
    _Atomic bool stop;
    _Atomic bool release;
    struct tally_client *object;
    struct tally_call call;
    int64_t numbers[3]; /* of the step under way */
    char text[256];
    int status; /* of return */
} self;

static pthread_t start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, argument) != 0)
        _exit(124);
    return thread;
}

/* ---- records -------------------------------------------------------------------- */

static void *record_for_ever(void *unused)
{
    struct counters_writer *writer = program_writer();

    for (int64_t i = 1; !atomic_load(&self.stop); i++) {
        program_record_paced(writer);
        if (self.background_burst > 0 && i % self.background_burst == 0)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return unused;
}

static void *record_some(void *unused)
{
    program_records(program_writer(), (uint64_t)self.numbers[1]);
    return unused;
}

static void *record_and_pthread_exit(void *unused)
{
    record_some(unused);
    pthread_exit(NULL);
}

static void *record_and_vanish(void *unused)
{
    record_some(unused);
    syscall(SYS_exit, 0);
    return unused;
}

static void *record_and_hold(void *unused)
{
    struct counters_writer *writer = program_writer();

    program_result(program_record(writer));
    atomic_fetch_add(&self.held_ready, 1);
    while (!atomic_load(&self.release))
        nanosleep(&(struct timespec){0, 500000}, NULL);
    return unused;
}

static void *shut_down_often(void *unused)
{
    for (int64_t i = 0; i < self.numbers[1]; i++)
        program_result(tally_shutdown((int)self.numbers[2]));
    return unused;
}

static void step_fill(void)
{
    for (int64_t i = 0; i < self.numbers[0]; i++)
        if (program_record(self.writer) != 0)
            return;
}

static void step_background(void)
{
    self.background_burst = self.numbers[1];
    for (int64_t i = 0; i < self.numbers[0]; i++)
        self.background[self.background_count++] = start_thread(record_for_ever, NULL);
    while (atomic_load(&counters->writer_count) < (uint32_t)self.background_count)
        sched_yield();
}

static void step_stop(void)
{
    atomic_store(&self.stop, true);
    while (self.background_count > 0)
        pthread_join(self.background[--self.background_count], NULL);
    atomic_store(&self.stop, false);
}

static void step_threads(void)
{
    bool raw = strstr(self.text, "raw") != NULL;
    void *(*run)(void *) = raw                                 ? record_and_vanish
                           : strstr(self.text, "pthread_exit") ? record_and_pthread_exit
                                                               : record_some;
    for (int64_t i = 0; i < self.numbers[0]; i++)
        pthread_join(start_thread(run, NULL), NULL);
}

static void step_together(void)
{
    pthread_t threads[THREADS_MAX];

    for (int64_t i = 0; i < self.numbers[0]; i++)
        threads[i] = start_thread(record_some, NULL);
    for (int64_t i = 0; i < self.numbers[0]; i++)
        pthread_join(threads[i], NULL);
}

static void step_hold(void)
{
    atomic_store(&self.held_ready, 0);
    for (int64_t i = 0; i < self.numbers[0]; i++)
        self.held[self.held_count++] = start_thread(record_and_hold, NULL);
    while (atomic_load(&self.held_ready) < self.numbers[0])
        sched_yield();
}

static void step_release(void)
{
    atomic_store(&self.release, true);
    while (self.held_count > 0)
        pthread_join(self.held[--self.held_count], NULL);
    atomic_store(&self.release, false);
}

/* ---- shutdown ---------------------------------------------------------------------- */

static void step_shutdown(void)
{
    errno = PROGRAM_ERRNO;
    program_result(tally_shutdown((int)self.numbers[0]));
    if (errno != PROGRAM_ERRNO)
        program_surprise();
}

static void step_shutdowns(void)
{
    pthread_t threads[THREADS_MAX];

    for (int64_t i = 0; i < self.numbers[0]; i++)
        threads[i] = start_thread(shut_down_often, NULL);
    for (int64_t i = 0; i < self.numbers[0]; i++)
        pthread_join(threads[i], NULL);
}

static void step_init(void)
{
    struct tally_options options = TALLY_OPTIONS_INIT;

    options.signals = 1;
    errno = PROGRAM_ERRNO;
    program_result(tally_init(strcmp(self.text, "signals") == 0 ? &options : NULL));
    if (errno != PROGRAM_ERRNO)
        program_surprise();
}

/* ---- client objects ------------------------------------------------------------------- */

static void step_new(void)
{
    struct tally_options options = TALLY_OPTIONS_INIT;
    char *comma = strchr(self.text, ',');

    if (comma != NULL) {
        *comma = '\0';
        options.tags = comma + 1;
    }
    options.service = self.text;
    self.object = tally_client_new(&options);
    if (self.object == NULL)
        program_surprise();
}

static void step_object(void)
{
    for (int64_t i = 0; i < self.numbers[0]; i++) {
        char name[24];
        struct tally_usage usage = program_usage(self.writer, name);
        program_attempt(self.writer);
        program_attempted(self.writer, tally_client_record(self.object, &usage));
    }
}

static void step_free(void)
{
    errno = PROGRAM_ERRNO;
    tally_client_release(self.object);
    if (errno != PROGRAM_ERRNO)
        program_surprise();
}

/* ---- calls in flight ---------------------------------------------------------------------- */

static void step_begin(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    usage.provider = "test";
    usage.operation = "chat";
    usage.request_model = "large";
    usage.input_tokens = 100;
    program_result(tally_call_begin(&self.call, &usage));
}

static void step_progress(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    usage.output_tokens = self.numbers[0];
    program_result(tally_call_progress(&self.call, &usage));
}

static void step_end(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    usage.status = TALLY_STATUS_OK;
    program_result(tally_call_end(&self.call, &usage));
}

/* ---- signals ------------------------------------------------------------------------------- */

static void note_signal(int signal_number)
{
    program_result(signal_number);
}

static void step_handler(void)
{
    struct sigaction action = {.sa_handler = note_signal};

    sigaction((int)self.numbers[0], &action, NULL);
}

static void step_ignore(void)
{
    signal((int)self.numbers[0], SIG_IGN);
}

static void step_block(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, (int)self.numbers[0]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void step_raise(void)
{
    kill(getpid(), (int)self.numbers[0]);
}

/* ---- the rest ------------------------------------------------------------------------------------ */

static void step_record(void)
{
    program_records(self.writer, (uint64_t)self.numbers[0]);
}
static void step_stage(void)
{
    program_stage((uint32_t)self.numbers[0]);
}
static void step_await(void)
{
    program_wait((uint32_t)self.numbers[0]);
}
static void step_closefrom(void)
{
    syscall(SYS_close_range, (unsigned)self.numbers[0], ~0U, 0U); /* closefrom(3), which musl does not have */
}
static void step_descriptors(void)
{
    program_result((int64_t)program_descriptors());
}
static void step_mappings(void)
{
    program_result((int64_t)program_mappings());
}
static void step_uid(void)
{
    uid_t uid = (uid_t)self.numbers[0];

    if (setgroups(0, NULL) != 0 || setgid(uid) != 0 || setuid(uid) != 0)
        _exit(122);
}
static void step_refuse(void)
{
    if (refuse_call((uint32_t)self.numbers[0], (uint32_t)self.numbers[1], (uint32_t)self.numbers[2]) != 0)
        _exit(77);
}
static void step_exit(void)
{
    exit((int)self.numbers[0]);
}
static void step__exit(void)
{
    _exit((int)self.numbers[0]);
}
static void step_quick_exit(void)
{
    quick_exit((int)self.numbers[0]);
}
static void step_return(void)
{
    self.status = (int)self.numbers[0];
}

static const struct step {
    const char *name;
    void (*run)(void);
} steps[] = {
#define STEP(name)                                                                                           \
    {                                                                                                        \
#name, step_##name                                                                                   \
    }
    STEP(init),        STEP(record),   STEP(fill),    STEP(background), STEP(threads),   STEP(together),
    STEP(hold),        STEP(stop),     STEP(release), STEP(shutdown),   STEP(shutdowns), STEP(new),
    STEP(object),      STEP(free),     STEP(begin),   STEP(progress),   STEP(end),       STEP(handler),
    STEP(ignore),      STEP(block),    STEP(raise),   STEP(stage),      STEP(await),     STEP(closefrom),
    STEP(descriptors), STEP(mappings), STEP(exit),    STEP(_exit),      STEP(uid),       STEP(quick_exit),
    STEP(refuse),      STEP(return ),
};

static void run_step(const char *argument)
{
    size_t length = strcspn(argument, "=");

    snprintf(self.text, sizeof(self.text), "%s", argument[length] ? argument + length + 1 : "");
    memset(self.numbers, 0, sizeof(self.numbers));
    sscanf(self.text, "%ld,%ld,%ld", &self.numbers[0], &self.numbers[1], &self.numbers[2]);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (strlen(steps[i].name) == length && strncmp(steps[i].name, argument, length) == 0) {
            steps[i].run();
            return;
        }
    fprintf(stderr, "client: no step '%s'\n", argument);
    _exit(125);
}

int main(int argc, char **argv)
{
    program_start();
    self.writer = program_writer();
    for (int i = 1; i < argc; i++)
        run_step(argv[i]);
    return self.status;
}
