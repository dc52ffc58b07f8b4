/* Who a process and a thread are, and when one may say that they are gone. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "identity.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void own_start_time(void **state)
{
    (void)state;
    uint64_t own = identity_start_time(0, 0);
    assert_true(own > 0);
    assert_int_equal(identity_start_time((uint32_t)getpid(), 0), own);
    assert_int_equal(identity_start_time((uint32_t)getpid(), (uint32_t)getpid()), own);
    assert_int_equal(identity_start_time((uint32_t)getpid(), 1), 0); /* no thread of ours */
    assert_int_equal(identity_start_time(0x7FFFFFFF, 0), 0);
    /* as ps sees it */
    char text[1024] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    char *at = strrchr(text, ')') + 1;
    for (int field = 2; field < 22; field++)
        at = strchr(at, ' ') + 1;
    assert_int_equal(strtoull(at, NULL, 10), own);
}

static void names_full_of_brackets(void **state)
{
    char before[16];

    (void)state;
    uint64_t own = identity_start_time(0, 0);
    prctl(PR_GET_NAME, before);
    prctl(PR_SET_NAME, ") S 1 2 3 (");
    assert_int_equal(identity_start_time(0, 0), own);
    prctl(PR_SET_NAME, "a b) 1 1 1 1 1");
    assert_int_equal(identity_start_time(0, 0), own);
    prctl(PR_SET_NAME, before);
}

static struct tally_identity own_identity(void)
{
    return (struct tally_identity){.pid = (uint32_t)getpid(),
                                   .tid = (uint32_t)getpid(),
                                   .start_time = identity_start_time(0, 0),
                                   .pid_namespace = identity_pid_namespace()};
}

static void the_living_are_not_gone(void **state)
{
    struct tally_identity identity = own_identity();

    (void)state;
    assert_true(identity.pid_namespace > 0);
    assert_false(identity_gone(&identity, identity.pid_namespace));
    identity.tid = 0;
    assert_false(identity_gone(&identity, identity.pid_namespace));
}

static void another_start_time_is_another_process(void **state)
{
    struct tally_identity identity = own_identity();

    (void)state;
    identity.start_time++;
    assert_true(identity_gone(&identity, identity.pid_namespace));
}

static void what_cannot_be_known_is_not_gone(void **state)
{
    struct tally_identity identity = own_identity();

    (void)state;
    uint64_t own_namespace = identity.pid_namespace;
    identity.start_time++; /* would be gone */
    assert_false(identity_gone(&identity, own_namespace + 1));
    assert_false(identity_gone(&identity, 0));
    identity.pid_namespace++;
    assert_false(identity_gone(&identity, own_namespace));
    identity = own_identity();
    identity.start_time = 0;
    assert_false(identity_gone(&identity, own_namespace));
    identity = own_identity();
    identity.pid = 0;
    assert_false(identity_gone(&identity, own_namespace));
}

static void the_dead_are_gone(void **state)
{
    struct tally_identity identity = own_identity();

    (void)state;
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    identity.pid = identity.tid = (uint32_t)child;
    identity.start_time = identity_start_time((uint32_t)child, 0);
    assert_true(identity.start_time > 0);
    assert_false(identity_gone(&identity, identity.pid_namespace));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(identity_gone(&identity, identity.pid_namespace));
}

static void *tell_tid(void *out)
{
    *(uint32_t *)out = (uint32_t)syscall(SYS_gettid);
    ((uint32_t *)out)[1] = (uint32_t)identity_start_time((uint32_t)getpid(), *(uint32_t *)out);
    return NULL;
}

static void a_thread_that_ended_is_gone(void **state)
{
    struct tally_identity identity = own_identity();
    uint32_t told[2];
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, tell_tid, told), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    identity.tid = told[0];
    identity.start_time = told[1];
    /* pthread_join() returns when the thread lets go of its stack; its entry in /proc goes a moment later */
    for (int tries = 0; tries < 60000 && !identity_gone(&identity, identity.pid_namespace); tries++)
        usleep(1000);
    assert_true(identity_gone(&identity, identity.pid_namespace));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_start_time),
        cmocka_unit_test(names_full_of_brackets),
        cmocka_unit_test(the_living_are_not_gone),
        cmocka_unit_test(another_start_time_is_another_process),
        cmocka_unit_test(what_cannot_be_known_is_not_gone),
        cmocka_unit_test(the_dead_are_gone),
        cmocka_unit_test(a_thread_that_ended_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
