/* calls.c: calls in flight that change hands.
 *
 *   calls threads N      N calls begun on one thread, told of on a second, ended on a third, all at the same time
 *   calls ended          what is refused: ending twice, telling of what has ended or was never begun
 */
#include "support/program.h"

#include <pthread.h>

#define CALLS_MAX 2000

static struct tally_call calls[CALLS_MAX];
static _Atomic int begun;
static _Atomic int told;
static int call_count;

static int retry(int (*step)(struct tally_call *, const struct tally_usage *), struct tally_call *call,
                 const struct tally_usage *usage)
{
    int result;

    do
        result = step(call, usage);
    while (result == -EAGAIN);
    if (result != 0)
        program_surprise();
    return result;
}

static void *begin_all(void *unused)
{
    for (int i = 0; i < call_count; i++) {
        struct tally_usage usage = TALLY_USAGE_INIT;
        char name[24];
        snprintf(name, sizeof(name), "call %d", i);
        usage.provider = "test";
        usage.request_model = "large";
        usage.user = name;
        usage.input_tokens = i;
        retry(tally_call_begin, &calls[i], &usage);
        atomic_store(&begun, i + 1);
    }
    return unused;
}

static void *tell_all(void *unused)
{
    for (int i = 0; i < call_count; i++) {
        while (atomic_load(&begun) <= i)
            sched_yield();
        for (int64_t tokens = 1; tokens <= 3; tokens++) {
            struct tally_usage usage = TALLY_USAGE_INIT;
            usage.output_tokens = tokens;
            usage.response_model = "large-2";
            retry(tally_call_progress, &calls[i], &usage);
        }
        atomic_store(&told, i + 1);
    }
    return unused;
}

static void *end_all(void *unused)
{
    for (int i = 0; i < call_count; i++) {
        while (atomic_load(&told) <= i)
            sched_yield();
        struct tally_usage usage = TALLY_USAGE_INIT;
        usage.output_tokens = 1000 + i;
        usage.status = TALLY_STATUS_OK;
        retry(tally_call_end, &calls[i], &usage);
    }
    return unused;
}

static int on_three_threads(void)
{
    void *(*const runs[])(void *) = {begin_all, tell_all, end_all};
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, runs[i], NULL) != 0)
            return 124;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

static int refused(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct tally_call call;
    struct tally_call never = {{0}};

    usage.provider = "test";
    program_result(tally_call_begin(&call, &usage));
    usage.input_tokens = -5;
    program_result(tally_call_progress(&call, &usage)); /* -ERANGE; the call goes on */
    usage.input_tokens = 7;
    program_result(tally_call_end(&call, &usage));
    program_result(tally_call_end(&call, &usage));
    program_result(tally_call_progress(&call, &usage));
    program_result(tally_call_end(&never, NULL));
    program_result(tally_call_progress(&never, NULL));
    program_result(tally_call_begin(NULL, NULL));
    program_result(tally_record(NULL));
    usage.size = 3;
    program_result(tally_record(&usage));
    return 0;
}

int main(int argc, char **argv)
{
    program_start();
    if (argc == 3 && strcmp(argv[1], "threads") == 0) {
        call_count = (int)strtol(argv[2], NULL, 10);
        return call_count <= CALLS_MAX ? on_three_threads() : 125;
    }
    return refused();
}
