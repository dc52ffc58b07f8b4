/* Who has ended, of processes that are really there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "liveness/deaths.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 150 /* more than are told at a time */

static struct deaths deaths;
static pid_t children[CHILDREN];
static struct mortal *mortals[CHILDREN];

static int64_t start_time_of(pid_t pid)
{
    char path[64];
    char text[1024] = "";
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    const char *at = strrchr(text, ')');
    assert_non_null(at);
    for (int field = 2; field < 22; field++)
        at = strchr(at + 1, ' ');
    assert_int_equal(sscanf(at, "%llu", &start), 1);
    return (int64_t)start;
}

static int descriptors(void)
{
    int count = 0;
    DIR *listing = opendir("/proc/self/fd");
    assert_non_null(listing);
    while (readdir(listing))
        count++;
    closedir(listing);
    return count;
}

static void give_birth(int count)
{
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        if (!children[i]) {
            pause();
            _exit(0);
        }
        assert_true(children[i] > 0);
    }
}

/* Gone, though not waited for: that is when a pidfd tells it. */
static void end(pid_t pid)
{
    siginfo_t info;
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void bury_all(int count)
{
    for (int i = 0; i < count; i++) {
        kill(children[i], SIGKILL);
        assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
    }
}

static int await(int child)
{
    return deaths_await(&deaths, children[child], children[child], start_time_of(children[child]),
                        &mortals[child]);
}

static int set_up(void **state)
{
    (void)state;
    memset(&deaths, 0, sizeof deaths);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    deaths_close(&deaths);
    return 0;
}

static void each_death_is_told_and_no_other(void **state)
{
    int before = descriptors();
    (void)state;
    give_birth(CHILDREN);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(await(i), 0);
    assert_int_equal(deaths.count, CHILDREN);
    deaths_look(&deaths);
    assert_int_equal(deaths.gone, 0);
    for (int i = 0; i < CHILDREN; i++)
        if (i % 4)
            end(children[i]);
    deaths_look(&deaths);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(mortals[i]->gone, i % 4 != 0);
    assert_int_equal(deaths.count, (CHILDREN + 3) / 4);
    assert_int_equal(deaths.gone, CHILDREN - (CHILDREN + 3) / 4);
    /* those that are told keep no descriptor, whoever still refers to them */
    assert_int_equal(descriptors(), before + 1 + (CHILDREN + 3) / 4);
    for (int i = 0; i < CHILDREN; i++)
        deaths_release(&deaths, mortals[i]);
    assert_int_equal(deaths.count, 0);
    assert_int_equal(deaths.gone, 0);
    assert_int_equal(descriptors(), before + 1);
    deaths_close(&deaths);
    assert_int_equal(descriptors(), before);
    bury_all(CHILDREN);
}

static void one_descriptor_a_process(void **state)
{
    struct mortal *again;
    (void)state;
    give_birth(1);
    assert_int_equal(await(0), 0);
    struct mortal *first = mortals[0];
    assert_int_equal(await(0), 0);
    assert_ptr_equal(mortals[0], first);
    assert_int_equal(deaths.count, 1);
    end(children[0]);
    /* a zombie is nobody to wait for, whether it has been told or not */
    assert_int_equal(deaths_await(&deaths, children[0], children[0], 0, &again), -ESRCH);
    deaths_look(&deaths);
    assert_true(first->gone);
    assert_int_equal(deaths_await(&deaths, children[0], children[0], 0, &again), -ESRCH);
    deaths_release(&deaths, first);
    assert_int_equal(deaths.gone, 1);
    deaths_release(&deaths, first);
    assert_int_equal(deaths.gone, 0);
    bury_all(1);
}

static void another_process_under_the_number(void **state)
{
    (void)state;
    give_birth(1);
    int before = descriptors();
    int64_t start = start_time_of(children[0]);
    assert_int_equal(deaths_await(&deaths, children[0], children[0], start + 1, &mortals[0]), -ESRCH);
    assert_int_equal(deaths_await(&deaths, 0, 0, 1, &mortals[0]), -ESRCH);
    assert_int_equal(deaths_await(&deaths, INT64_MAX, 1, 1, &mortals[0]), -ESRCH);
    assert_int_equal(deaths_await(&deaths, children[0], getpid(), start, &mortals[0]), -ESRCH);
    assert_int_equal(deaths.count, 0);
    assert_false(deaths.refused);
    assert_int_equal(descriptors(), before + 1);
    bury_all(1);
}

/* Descriptors are left for all else; of what the soft limit forbids as many are taken as the hard one allows. */
static void no_more_than_there_is_room_for(void **state)
{
    struct rlimit old;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    give_birth(20);
    pid_t child = fork();
    if (!child) { /* a hard limit does not come back */
        struct rlimit limit = {130, 140};
        int result = 0;
        setrlimit(RLIMIT_NOFILE, &limit);
        for (int i = 0; i < 20; i++)
            result |= await(i) != (i < 12 ? 0 : -EMFILE);
        deaths_release(&deaths, mortals[3]);
        result |= await(19) != 0;
        getrlimit(RLIMIT_NOFILE, &limit);
        _exit(result || limit.rlim_cur != 140 || deaths.refused);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    bury_all(20);
}

/* ---- what the kernel refuses ---------------------------------------------------------------- */

static struct {
    bool armed;
    int calls;
    int fail_at;
    int error;
} faults;

static bool refused(void)
{
    if (!faults.armed || faults.calls++ != faults.fail_at)
        return false;
    errno = faults.error;
    return true;
}

int epoll_create1(int flags)
{
    return refused() ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    return refused() ? -1 : (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    return refused() ? -1 : (int)syscall(SYS_epoll_pwait, epoll, events, count, timeout_ms, NULL, (size_t)8);
}

/* For pidfd_open(2).
 * NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long argument[6];
    va_list list;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_pidfd_open && refused())
        return -1;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(list, long);
    va_end(list);
    return real(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}

/* Two that live and one that ends. Whoever could be waited for is told rightly, at the second look at the latest, and nothing is left. */
static void try_fault(int error)
{
    int results[3];
    int before = descriptors();
    memset(&deaths, 0, sizeof deaths);
    children[2] = fork();
    if (!children[2]) {
        pause();
        _exit(0);
    }
    faults.armed = true;
    faults.calls = 0;
    faults.error = error;
    for (int i = 0; i < 3; i++)
        results[i] = await(i);
    end(children[2]);
    deaths_look(&deaths);
    deaths_look(&deaths);
    for (int i = 0; i < 3; i++)
        if (results[i] == 0) {
            assert_int_equal(mortals[i]->gone, i == 2);
            deaths_release(&deaths, mortals[i]);
        }
    faults.armed = false;
    for (int i = 0; i < 3; i++)
        assert_true(results[i] == 0 || results[i] == -error || deaths.refused);
    if (deaths.refused)
        assert_true(error == ENOSYS || error == EPERM);
    assert_int_equal(deaths.count, 0);
    assert_int_equal(deaths.gone, 0);
    deaths_close(&deaths);
    assert_int_equal(descriptors(), before);
    assert_int_equal(waitpid(children[2], NULL, 0), children[2]);
}

static void each_call_fails(void **state)
{
    static const int errors[] = {EMFILE, ENOMEM, ENOSPC, EINTR, EPERM, ENOSYS};
    unsigned long long tried = 0;
    (void)state;
    give_birth(2);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        faults.fail_at = 0;
        do {
            try_fault(errors[i]);
            tried++;
        } while (faults.calls > faults.fail_at++);
    }
    assert_true(tried > 60);
    bury_all(2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_death_is_told_and_no_other),
        TEST(one_descriptor_a_process),
        TEST(another_process_under_the_number),
        TEST(no_more_than_there_is_room_for),
        TEST(each_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
