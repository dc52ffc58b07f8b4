/* Who still runs, of processes that are really there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "liveness/liveness.h"
#include "support/skip.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t start_time_of(pid_t pid, pid_t tid)
{
    char path[64];
    char text[1024] = "";
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
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

static void this_process_lives(void **state)
{
    (void)state;
    pid_t pid = getpid();
    int64_t start = start_time_of(pid, pid);
    /* A name made to mislead whoever reads stat. */
    assert_int_equal(prctl(PR_SET_NAME, "a) Z 1 2 (", 0, 0, 0), 0);
    assert_int_equal(liveness_process(pid, start), LIVENESS_ALIVE);
    assert_int_equal(liveness_process(pid, 0), LIVENESS_ALIVE);
    assert_int_equal(liveness_process(pid, start + 1), LIVENESS_GONE);
    assert_int_equal(liveness_thread(pid, pid, start, 1), LIVENESS_ALIVE);
    assert_int_equal(liveness_thread(pid, pid, start + 1, 1), LIVENESS_GONE);
    assert_int_equal(liveness_thread(pid, pid, start + 1, 0), LIVENESS_ALIVE);
    assert_true(liveness_own_namespace() != 0);
}

static void numbers_that_cannot_be(void **state)
{
    (void)state;
    const int64_t numbers[] = {0, -1, INT64_MIN, INT64_MAX, 0x7fffffff};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_int_equal(liveness_process(numbers[i], 1), LIVENESS_GONE);
        assert_int_equal(liveness_thread(numbers[i], numbers[i], 1, 1), LIVENESS_GONE);
        assert_int_equal(liveness_thread(getpid(), numbers[i], 1, 0), LIVENESS_GONE);
    }
}

static void a_zombie_is_gone(void **state)
{
    (void)state;
    siginfo_t info;
    pid_t pid = fork();
    if (!pid) {
        pause();
        _exit(0);
    }
    int64_t start = start_time_of(pid, pid);
    assert_int_equal(liveness_process(pid, start), LIVENESS_ALIVE);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
    assert_int_equal(liveness_process(pid, start), LIVENESS_ALIVE);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(liveness_process(pid, start), LIVENESS_GONE);
    assert_int_equal(liveness_thread(pid, pid, start, 1), LIVENESS_GONE);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(liveness_process(pid, start), LIVENESS_GONE);
}

static int said[2];

static void *stay(void *unused)
{
    (void)unused;
    char state = 'R';
    char path[64];
    struct timespec moment = {0, 1000000};
    /* Until the leader is the zombie that it is when it has left. */
    snprintf(path, sizeof path, "/proc/%d/stat", (int)getpid());
    while (state != 'Z') {
        FILE *file = fopen(path, "r");
        if (!file || fscanf(file, "%*d %*s %c", &state) != 1)
            state = 'R';
        if (file)
            fclose(file);
        nanosleep(&moment, NULL);
    }
    if (write(said[1], "x", 1) != 1)
        _exit(1);
    pause();
    return NULL;
}

static void a_process_outlives_its_leader(void **state)
{
    (void)state;
    char byte;
#ifdef __SANITIZE_THREAD__
    skip_because("ThreadSanitizer ends a process with its first thread");
#endif
    assert_int_equal(pipe(said), 0);
    pid_t pid = fork();
    if (!pid) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, stay, NULL))
            _exit(1);
        syscall(SYS_exit, 0); /* the leader alone */
    }
    int64_t start = start_time_of(pid, pid);
    assert_int_equal(read(said[0], &byte, 1), 1);
    assert_int_equal(liveness_process(pid, start), LIVENESS_ALIVE);
    assert_int_equal(liveness_process(pid, start + 1), LIVENESS_GONE);
    assert_int_equal(liveness_thread(pid, pid, start, 1), LIVENESS_GONE);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(liveness_process(pid, start), LIVENESS_GONE);
    close(said[0]);
    close(said[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_process_lives),
        cmocka_unit_test(numbers_that_cannot_be),
        cmocka_unit_test(a_zombie_is_gone),
        cmocka_unit_test(a_process_outlives_its_leader),
    };
    return cmocka_run_group_tests_name("liveness", tests, NULL, NULL);
}
