/* The pool: blocks are apart from each other, aligned, bounded in number; taken and given back by many threads, by signal handlers, by
 * children. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "capture/pool.h"
#include "support/tries.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const size_t sizes[] = {[POOL_SMALL] = POOL_SMALL_BYTES, [POOL_LARGE] = POOL_LARGE_BYTES};
static const unsigned counts[] = {[POOL_SMALL] = POOL_SMALL_COUNT, [POOL_LARGE] = POOL_LARGE_COUNT};

/* Take all that there are, and give them back. How many. */
static unsigned take_all(enum pool_size size)
{
    static void *blocks[POOL_SMALL_COUNT + 1];
    unsigned count = 0;
    while (count <= POOL_SMALL_COUNT && (blocks[count] = pool_take(size)))
        count++;
    for (unsigned i = 0; i < count; i++)
        pool_give(size, blocks[i]);
    return count;
}

static int by_address(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left, b = *(const uintptr_t *)right;
    return a < b ? -1 : a > b;
}

static void as_many_as_promised_and_apart(void **state)
{
    static uintptr_t blocks[POOL_SMALL_COUNT];
    (void)state;
    for (enum pool_size size = POOL_SMALL; size <= POOL_LARGE; size++) {
        for (int round = 0; round < 3; round++) {
            for (unsigned i = 0; i < counts[size]; i++) {
                blocks[i] = (uintptr_t)pool_take(size);
                assert_true(blocks[i] != 0 && blocks[i] % 64 == 0);
                *(unsigned *)blocks[i] = i;
                *(unsigned *)(blocks[i] + sizes[size] - sizeof(unsigned)) = i;
            }
            assert_null(pool_take(size));
            for (unsigned i = 0; i < counts[size]; i++) {
                assert_int_equal(*(unsigned *)blocks[i], i);
                assert_int_equal(*(unsigned *)(blocks[i] + sizes[size] - sizeof(unsigned)), i);
            }
            qsort(blocks, counts[size], sizeof blocks[0], by_address);
            for (unsigned i = 1; i < counts[size]; i++)
                assert_true(blocks[i] - blocks[i - 1] >= sizes[size]);
            for (unsigned i = 0; i < counts[size]; i++)
                pool_give(size, (void *)blocks[(i * 7919u) % counts[size]]);
        }
    }
}

static void what_is_no_block_is_not_taken_back(void **state)
{
    char *block = pool_take(POOL_SMALL);
    (void)state;
    pool_give(POOL_SMALL, NULL);
    pool_give(POOL_SMALL, block + 64);
    pool_give(POOL_LARGE, block);
    pool_give(POOL_SMALL, &block);
    pool_give(POOL_SMALL, block);
    pool_give(POOL_SMALL, block); /* twice */
    assert_int_equal(take_all(POOL_SMALL), POOL_SMALL_COUNT);
    assert_int_equal(take_all(POOL_LARGE), POOL_LARGE_COUNT);
}

#define THREADS 8
#define ROUNDS  40000
static unsigned long long taken;

/* Whoever has a block writes its name all over it, and finds it there. */
static void *take_and_give(void *argument)
{
    uintptr_t self = (uintptr_t)argument;
    void *held[12] = {0};
    enum pool_size held_sizes[12] = {0};
    unsigned long long mine = 0;
    uint32_t random = (uint32_t)self * 77;
    for (int round = 0; round < ROUNDS; round++) {
        random = random * 1664525 + 1013904223;
        unsigned i = (random >> 16) % 12;
        if (held[i]) {
            const uintptr_t *words = held[i];
            for (size_t at = 0; at < 8; at++)
                if (words[at] != self)
                    return held[i];
            pool_give(held_sizes[i], held[i]);
            held[i] = NULL;
        } else {
            held_sizes[i] = random >> 31 ? POOL_LARGE : POOL_SMALL;
            held[i] = pool_take(held_sizes[i]);
            if (!held[i])
                return &taken;
            for (size_t at = 0; at < 8; at++)
                ((uintptr_t *)held[i])[at] = self;
            mine++;
        }
    }
    for (unsigned i = 0; i < 12; i++)
        pool_give(held_sizes[i], held[i]);
    __atomic_fetch_add(&taken, mine, __ATOMIC_RELAXED);
    return NULL;
}

static void many_threads(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(take_all(POOL_SMALL), POOL_SMALL_COUNT);
    assert_int_equal(take_all(POOL_LARGE), POOL_LARGE_COUNT);
}

static volatile sig_atomic_t handled, handler_failed;

static void handler(int signal)
{
    (void)signal;
    void *small = pool_take(POOL_SMALL), *large = pool_take(POOL_LARGE);
    if (!small || !large)
        handler_failed = 1;
    pool_give(POOL_SMALL, small);
    pool_give(POOL_LARGE, large);
    handled++;
}

static void signal_handlers(void **state)
{
    struct itimerval timer = {.it_interval = {.tv_usec = 50}, .it_value = {.tv_usec = 50}};
    struct itimerval off = {0};
    (void)state;
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    while (handled < 300)
        assert_null(take_and_give((void *)99));
    setitimer(ITIMER_REAL, &off, NULL);
    signal(SIGALRM, SIG_DFL);
    assert_false(handler_failed);
    assert_int_equal(take_all(POOL_SMALL), POOL_SMALL_COUNT);
}

static volatile bool stop;

static void *until_stopped(void *argument)
{
    void *result = NULL;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED) && !result)
        result = take_and_give(argument);
    return result;
}

/* Children that are forked at any time have a pool that works, less what threads held that are not theirs. */
static void children(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, until_stopped, (void *)5), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            bool sound = !take_and_give((void *)6) && take_all(POOL_SMALL) >= POOL_SMALL_COUNT - 13;
            _exit(sound ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    void *result;
    pthread_join(thread, &result);
    assert_null(result);
    tries(taken, "blocks taken and given back");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_promised_and_apart),
        cmocka_unit_test(what_is_no_block_is_not_taken_back),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(signal_handlers),
        cmocka_unit_test(children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
