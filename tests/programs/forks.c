/* forks.c: programs that fork, by name of the scenario.
 *
 *   threaded CHILDREN    threads record while the main thread forks children that record, too
 *   tree DEPTH           a child of a child of a child, each records before and after
 *   handler FORKS        a timer's signal handler forks, often in the middle of tally_record(); the child
 *                        returns from the handler into it and goes on as a client of its own
 *   vfork                a child that borrows its parent's memory records through its parent's lane
 *   vfork-first          the same where the parent has no lane yet: refused, and nothing is harmed
 *   call HOW             begun here, ended in a forked child: HOW is after (the parent has ended) or before
 *   object               a client object used in parent and child
 *   silent               the child records nothing
 */
#include "support/program.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static _Atomic bool stop;

static void *record_for_ever(void *writer)
{
    while (!atomic_load(&stop))
        program_record_paced(writer);
    return NULL;
}

static int await_child(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (status != 0)
        program_surprise();
    return status;
}

/* ---- fork in a process with threads ----------------------------------------------------- */

static void child_of_threads(int number)
{
    struct counters_writer *writer = program_writer();

    program_records(writer, 50);
    program_result(tally_shutdown(0));
    program_records(writer, 5);
    if (number % 2)
        exit(0);
    tally_shutdown(0);
    _exit(0);
}

static int threaded(int children)
{
    struct counters_writer *writer = program_writer();
    struct counters_writer *first = program_writer();
    pthread_t threads[4];

    program_record(writer);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, record_for_ever, i == 0 ? first : program_writer());
    for (int i = 0; i < children; i++) {
        uint64_t before = atomic_load(&first->acknowledged);
        while (atomic_load(&first->acknowledged) < before + 20)
            sched_yield();
        pid_t child = fork();
        if (child == 0)
            child_of_threads(i);
        program_records(writer, 5);
        await_child(child);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

static int tree(int depth)
{
    struct counters_writer *writer = program_writer();

    program_records(writer, 3);
    if (depth > 0) {
        pid_t child = fork();
        if (child == 0)
            exit(tree(depth - 1));
        program_records(writer, 2);
        await_child(child);
    }
    program_records(writer, 2);
    return 0;
}

/* ---- fork in a signal handler --------------------------------------------------------------- */

/* The record in hand when the handler forks is the parent's: in the child it may come to nothing, or
 * be made whole as the child's own, and then it bears another name. */
static struct {
    volatile sig_atomic_t forks_left;
    volatile sig_atomic_t is_child;
    volatile sig_atomic_t
        inside; /* between call and return of tally_record(): no fork in our own bookkeeping */
    char name[24];
    pid_t children[1000];
    volatile sig_atomic_t child_count;
} handler;

static void fork_in_handler(int signal_number)
{
    (void)signal_number;
    if (handler.forks_left <= 0 || handler.is_child || !handler.inside)
        return;
    int saved = errno;
    handler.forks_left--;
    pid_t child = fork();
    if (child == 0) {
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
        handler.is_child = 1;
        handler.name[0] = 'x';
        struct tally_usage usage = TALLY_USAGE_INIT;
        usage.provider = "test";
        usage.user = "in the handler";
        int result = tally_record(&usage);
        if (result != 0 && result != -EBUSY)
            program_surprise();
    } else if (child > 0) {
        handler.children[handler.child_count++] = child;
    }
    errno = saved;
}

static void child_of_handler(void)
{
    struct counters_writer *writer = program_writer();

    program_records(writer, 30);
    exit(0);
}

static int fork_in_handlers(int forks)
{
    struct counters_writer *writer = program_writer();
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};

    program_record(writer);
    handler.forks_left = forks;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 700}, {0, 700}}, NULL);
    while (handler.forks_left > 0) {
        struct tally_usage usage = program_usage(writer, handler.name);
        program_attempt(writer);
        handler.inside = 1;
        int result = tally_record(&usage);
        handler.inside = 0;
        if (handler.is_child)
            child_of_handler();
        program_attempted(writer, result);
    }
    for (int i = 0; i < handler.child_count; i++)
        await_child(handler.children[i]);
    return 0;
}

/* ---- vfork ------------------------------------------------------------------------------------ */

static int borrowed(bool lane_first)
{
    struct counters_writer *writer = program_writer();
    int status;

    if (lane_first)
        program_records(writer, 5);
    pid_t child = vfork();
    if (child == 0) {
        program_records(writer, 5);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        ;
    program_records(writer, 5);
    return status;
}

/* ---- calls and objects across a fork ------------------------------------------------------------- */

static int call_across(const char *how)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct tally_call call;
    bool after = strcmp(how, "after") == 0;

    usage.provider = "test";
    usage.request_model = "large";
    usage.input_tokens = 100;
    program_result(tally_call_begin(&call, &usage));
    pid_t child = fork();
    if (child == 0) {
        if (after)
            program_wait(1);
        usage = (struct tally_usage)TALLY_USAGE_INIT;
        usage.output_tokens = 10;
        program_result(tally_call_progress(&call, &usage));
        usage.output_tokens = 20;
        usage.status = TALLY_STATUS_OK;
        program_result(tally_call_end(&call, &usage));
        program_stage(2);
        exit(0);
    }
    atomic_store(&counters->values[0], (uint64_t)child);
    program_stage(1);
    if (after)
        kill(getpid(), SIGKILL);
    await_child(child);
    return 0;
}

static int object_across(void)
{
    struct tally_options options = TALLY_OPTIONS_INIT;
    struct counters_writer *writers[2] = {program_writer(), program_writer()};

    options.service = "embedded";
    struct tally_client *object = tally_client_new(&options);
    pid_t child = -1;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            struct counters_writer *writer = writers[child == 0];
            char name[24];
            struct tally_usage usage = program_usage(writer, name);
            program_attempt(writer);
            program_attempted(writer, tally_client_record(object, &usage));
        }
        if (round == 0)
            child = fork();
    }
    tally_client_release(object);
    if (child == 0)
        exit(0);
    await_child(child);
    return 0;
}

static int silent(void)
{
    program_records(program_writer(), 5);
    pid_t child = fork();
    if (child == 0) {
        program_result(tally_shutdown(-1));
        exit(0);
    }
    await_child(child);
    return 0;
}

int main(int argc, char **argv)
{
    const char *scenario = argc > 1 ? argv[1] : "";
    const char *argument = argc > 2 ? argv[2] : "";
    int number = (int)strtol(argument, NULL, 10);

    program_start();
    if (strcmp(scenario, "threaded") == 0)
        return threaded(number);
    if (strcmp(scenario, "tree") == 0)
        return tree(number);
    if (strcmp(scenario, "handler") == 0)
        return fork_in_handlers(number);
    if (strcmp(scenario, "vfork") == 0)
        return borrowed(true);
    if (strcmp(scenario, "vfork-first") == 0)
        return borrowed(false);
    if (strcmp(scenario, "call") == 0)
        return call_across(argument);
    if (strcmp(scenario, "object") == 0)
        return object_across();
    if (strcmp(scenario, "silent") == 0)
        return silent();
    return 125;
}
