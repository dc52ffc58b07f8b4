/* Robust words: the kernel marks what a dead owner held, the host's own robust mutexes are served beside ours, and a
 * word that is not ours is never touched. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "robust.h"
#include "support/skip.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tally/abi.h>
#include <unistd.h>

#define WORDS 4

#if defined(__SANITIZE_THREAD__)
#define SANITIZED_THREADS true
#else
#define SANITIZED_THREADS false
#endif

/* Shared pages that end in a guarded word, each followed by a private page, as lanes are mapped. */
struct fixture {
    uint8_t *pages[WORDS];
    pthread_mutex_t *mutexes; /* the host's: shared, robust */
};

static uint32_t *word(const struct fixture *fixture, int index)
{
    return (uint32_t *)(void *)(fixture->pages[index] + TALLY_PAGE_BYTES - TALLY_GUARDED_WORD_FROM_END);
}

static uint32_t own_tid(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static struct robust_list_head *head(void)
{
    bool busy = true;
    struct robust_list_head *found = robust_head(&busy);

    assert_non_null(found);
    assert_false(busy);
    return found;
}

static int setup(void **state)
{
    static struct fixture fixtures;
    struct fixture *fixture = &fixtures;
    pthread_mutexattr_t attributes;

    memset(fixture, 0, sizeof(*fixture));

    for (int i = 0; i < WORDS; i++) {
        fixture->pages[i] =
            mmap(NULL, 2 * TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fixture->pages[i] == MAP_FAILED ||
            mmap(fixture->pages[i], TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            return -1;
    }
    fixture->mutexes =
        mmap(NULL, TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    for (int i = 0; i < WORDS; i++)
        pthread_mutex_init(&fixture->mutexes[i], &attributes);
    pthread_mutexattr_destroy(&attributes);
    *state = fixture;
    return robust_self_test() ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < WORDS; i++)
        munmap(fixture->pages[i], 2 * TALLY_PAGE_BYTES);
    munmap(fixture->mutexes, TALLY_PAGE_BYTES);
    return 0;
}

/* Run it in a child, which then dies of SIGKILL. */
static void in_a_child(struct fixture *fixture, void (*run)(struct fixture *))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        run(fixture);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* How many nodes the calling thread's list has; fails if it does not come back to its head. */
static int list_length(void)
{
    struct robust_list_head *list = head();
    uintptr_t at = (uintptr_t)list->list.next & ~(uintptr_t)1;
    int length = 0;

    while (at != (uintptr_t)&list->list) {
        assert_true(length++ < 1000);
        memcpy(&at, (const void *)at,
               sizeof(at)); // NOLINT(performance-no-int-to-ptr): nodes may be unaligned
        at &= ~(uintptr_t)1;
    }
    return length;
}

static void taken_and_left(void **state)
{
    struct fixture *fixture = *state;
    uint32_t tid = own_tid();

    int before = list_length();
    for (int order = 0; order < 2; order++) {
        for (int i = 0; i < WORDS; i++) {
            assert_true(robust_take(head(), word(fixture, i), 0, tid));
            assert_int_equal(*word(fixture, i), tid);
            assert_int_equal(list_length(), before + i + 1);
        }
        /* last in first out, and first in first out */
        for (int i = 0; i < WORDS; i++) {
            int index = order ? i : WORDS - 1 - i;
            robust_leave(head(), word(fixture, index), tid);
            assert_int_equal(*word(fixture, index), 0);
            assert_int_equal(list_length(), before + WORDS - 1 - i);
        }
    }
    /* nothing of all this lies in shared memory: it held the word and nothing else */
    for (int i = 0; i < WORDS; i++)
        for (uint32_t at = 0; at < TALLY_PAGE_BYTES; at++)
            assert_int_equal(fixture->pages[i][at], 0);
}

static void take_all(struct fixture *fixture)
{
    for (int i = 0; i < WORDS; i++)
        if (!robust_take(head(), word(fixture, i), 0, own_tid()))
            _exit(1);
}

static void a_dead_owner_is_marked(void **state)
{
    struct fixture *fixture = *state;

    in_a_child(fixture, take_all);
    for (int i = 0; i < WORDS; i++) {
        assert_true(*word(fixture, i) & FUTEX_OWNER_DIED);
        assert_true(robust_free(*word(fixture, i)));
    }
    /* and may be followed */
    assert_true(robust_take(head(), word(fixture, 0), *word(fixture, 0), own_tid()));
    assert_int_equal(*word(fixture, 0), own_tid());
    robust_leave(head(), word(fixture, 0), own_tid());
    assert_int_equal(*word(fixture, 0), 0);
}

static void take_and_leave_all(struct fixture *fixture)
{
    take_all(fixture);
    for (int i = 0; i < WORDS; i++)
        robust_leave(head(), word(fixture, i), own_tid());
}

static void what_was_left_is_not_marked(void **state)
{
    struct fixture *fixture = *state;

    in_a_child(fixture, take_and_leave_all);
    for (int i = 0; i < WORDS; i++)
        assert_int_equal(*word(fixture, i), 0);
}

static void mix_with_mutexes(struct fixture *fixture)
{
    for (int i = 0; i < WORDS; i++) {
        pthread_mutex_lock(&fixture->mutexes[i]);
        if (!robust_take(head(), word(fixture, i), 0, own_tid()))
            _exit(1);
    }
    pthread_mutex_unlock(&fixture->mutexes[0]);
    robust_leave(head(), word(fixture, 1), own_tid());
    pthread_mutex_unlock(&fixture->mutexes[2]);
    pthread_mutex_unlock(&fixture->mutexes[1]);
    robust_leave(head(), word(fixture, 3), own_tid());
    pthread_mutex_lock(&fixture->mutexes[1]);
}

static void beside_the_hosts_robust_mutexes(void **state)
{
    struct fixture *fixture = *state;

    if (SANITIZED_THREADS)
        skip_because("ThreadSanitizer knows better about the order of our locks");

    in_a_child(fixture, mix_with_mutexes);
    static const int mutex_results[WORDS] = {0, EOWNERDEAD, 0, EOWNERDEAD};
    static const bool word_died[WORDS] = {true, false, true, false};
    for (int i = 0; i < WORDS; i++) {
        assert_int_equal(pthread_mutex_lock(&fixture->mutexes[i]), mutex_results[i]);
        if (mutex_results[i])
            pthread_mutex_consistent(&fixture->mutexes[i]);
        assert_int_equal(pthread_mutex_unlock(&fixture->mutexes[i]), 0);
        assert_int_equal((*word(fixture, i) & FUTEX_OWNER_DIED) != 0, word_died[i]);
    }
}

static void a_word_that_is_anothers_stays(void **state)
{
    struct fixture *fixture = *state;
    int before = list_length();

    *word(fixture, 0) = 12345;
    assert_false(robust_take(head(), word(fixture, 0), 0, own_tid()));
    assert_int_equal(*word(fixture, 0), 12345);
    assert_int_equal(list_length(), before);
    /* taken, and then scribbled on by a neighbour */
    assert_true(robust_take(head(), word(fixture, 1), 0, own_tid()));
    *word(fixture, 1) = 777;
    robust_leave(head(), word(fixture, 1), own_tid());
    assert_int_equal(*word(fixture, 1), 777);
    assert_int_equal(list_length(), before);
}

static void take_and_be_scribbled_on(struct fixture *fixture)
{
    take_all(fixture);
    *word(fixture, 1) = 777;
    memset(fixture->pages[2], 0xEE, TALLY_PAGE_BYTES);
}

static void scribbling_stops_nobody_elses_mark(void **state)
{
    struct fixture *fixture = *state;

    in_a_child(fixture, take_and_be_scribbled_on);
    assert_true(*word(fixture, 0) & FUTEX_OWNER_DIED);
    assert_int_equal(*word(fixture, 1), 777);
    assert_true(*word(fixture, 3) & FUTEX_OWNER_DIED);
}

static void *take_in_a_thread(void *argument)
{
    struct fixture *fixture = argument;

    take_all(fixture);
    if (*word(fixture, 0) != own_tid())
        abort();
    syscall(SYS_exit, 0); /* none of the library's destructors */
    return NULL;
}

static void a_thread_that_vanished_is_marked(void **state)
{
    struct fixture *fixture = *state;

    if (SANITIZED_THREADS)
        skip_because("ThreadSanitizer waits for ever for a thread that ends by a bare system call");
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, take_in_a_thread, fixture), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int i = 0; i < WORDS; i++)
        assert_true(*word(fixture, i) & FUTEX_OWNER_DIED);
}

static void take_and_become_another(struct fixture *fixture)
{
    take_all(fixture);
    execl("/bin/sh", "sh", "-c", "kill -9 $$", (char *)NULL);
}

static void exec_is_marked(void **state)
{
    struct fixture *fixture = *state;

    in_a_child(fixture, take_and_become_another);
    for (int i = 0; i < WORDS; i++)
        assert_true(*word(fixture, i) & FUTEX_OWNER_DIED);
}

static void busy_while_an_operation_is_pending(void **state)
{
    struct robust_list_head *list = head();
    bool busy = false;

    (void)state;
    list->list_op_pending = &list->list; /* as in the middle of pthread_mutex_lock() */
    assert_null(robust_head(&busy));
    assert_true(busy);
    list->list_op_pending = NULL;
    assert_non_null(robust_head(&busy));
    assert_false(busy);
}

static void without_the_kernels_guard(void **state)
{
    struct fixture *fixture = *state;
    int before = list_length();

    assert_true(robust_take(NULL, word(fixture, 0), 0, own_tid()));
    assert_int_equal(list_length(), before);
    robust_leave(NULL, word(fixture, 0), own_tid());
    assert_int_equal(*word(fixture, 0), 0);
}

#define robust_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        robust_test(taken_and_left),
        robust_test(a_dead_owner_is_marked),
        robust_test(what_was_left_is_not_marked),
        robust_test(beside_the_hosts_robust_mutexes),
        robust_test(a_word_that_is_anothers_stays),
        robust_test(scribbling_stops_nobody_elses_mark),
        robust_test(a_thread_that_vanished_is_marked),
        robust_test(exec_is_marked),
        robust_test(busy_while_an_operation_is_pending),
        robust_test(without_the_kernels_guard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
