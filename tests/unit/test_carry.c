/* An arena that is gone: found so by two threads, one while the other is writing down what their lanes hold; by a thread that is not heard of
 * again; at the very end of a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <tally/spill.h>
#include <tally/tally.h>
#include <time.h>
#include <unistd.h>

#define LANES 8

static struct {
    char folder[256];
    int recorded;           /* by the second thread; atomic */
    int gone;               /* the arena: the second thread may go on; atomic */
    int held;               /* the first thread stands before its first file's bytes; atomic */
    int release;            /* atomic */
    uint64_t second_begins; /* where the second thread's piece of that lane begins */
    int second_done;        /* atomic */
    uint32_t held_lane;
    int looks_at_the_clock;
    uint64_t highest[LANES];
} scene;

static __thread int is_second;
static __thread time_t ahead_s;

static void breathe(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* The highest number that stands in these bytes. */
static void note_numbers(uint32_t lane, const struct iovec *part)
{
    for (size_t at = 0; at + sizeof(struct tally_record_header) <= part->iov_len;) {
        const struct tally_record_header *record = (const void *)((const char *)part->iov_base + at);
        if (lane < LANES && record->sequence > scene.highest[lane])
            scene.highest[lane] = record->sequence;
        at += record->length;
    }
}

/* The next two in the C library's place. Each thread has a clock of its own, which makes it look for the arena's name when we want it. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    scene.looks_at_the_clock++;
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    out->tv_sec += ahead_s;
    return result;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (count < 2)
        return syscall(SYS_writev, fd, parts, count);
    const struct tally_carried *carried = parts[1].iov_base;
    int nobody = 0;
    if (!is_second &&
        __atomic_compare_exchange_n(&scene.held, &nobody, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        scene.held_lane = carried->lane;
        __atomic_store_n(&scene.gone, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&scene.release, __ATOMIC_SEQ_CST))
            breathe();
    }
    note_numbers(carried->lane, &parts[2]);
    ssize_t put = syscall(SYS_writev, fd, parts, count);
    if (is_second && carried->lane == scene.held_lane) {
        scene.second_begins = carried->from;
        __atomic_store_n(&scene.second_done, 1, __ATOMIC_SEQ_CST);
    }
    return put;
}

static void record(int times)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    for (int i = 0; i < times; i++)
        assert_int_equal(tally_record(&usage), 0);
}

static void *second_thread(void *unused)
{
    (void)unused;
    is_second = 1;
    record(10);
    __atomic_store_n(&scene.recorded, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&scene.gone, __ATOMIC_SEQ_CST))
        breathe();
    /* goes on in the old arena, until it looks for its name */
    while (!__atomic_load_n(&scene.second_done, __ATOMIC_SEQ_CST)) {
        ahead_s++;
        record(1);
    }
    __atomic_store_n(&scene.release, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* The second's file stands there before the first's: it must hold what the first has not written yet, or what reads it finds a gap that
 * nobody may ever fill. */
static void no_piece_goes_before_an_earlier_one(void **state)
{
    char path[300];
    pthread_t second;
    (void)state;
    record(10); /* the first thread's lane is mapped first, so that it comes upon the second's first */
    assert_int_equal(pthread_create(&second, NULL, second_thread, NULL), 0);
    while (!__atomic_load_n(&scene.recorded, __ATOMIC_SEQ_CST))
        breathe();
    snprintf(path, sizeof path, "%s/arena", scene.folder);
    assert_int_equal(unlink(path), 0);
    while (!__atomic_load_n(&scene.held, __ATOMIC_SEQ_CST)) {
        ahead_s++;
        record(1);
    }
    pthread_join(second, NULL);
    assert_int_equal(scene.second_begins, 0);
}

static void *quiet_thread(void *unused)
{
    (void)unused;
    is_second = 1;
    record(10);
    __atomic_store_n(&scene.recorded, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&scene.gone, __ATOMIC_SEQ_CST))
        breathe();
    record(5);
    __atomic_store_n(&scene.recorded, 2, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&scene.release, __ATOMIC_SEQ_CST))
        breathe();
    return NULL;
}

/* A thread records once more after another has carried over what it had, and then never again, nor does it end. */
static void another_thread_sees_to_what_came_after(void **state)
{
    char path[300];
    pthread_t quiet;
    int found = 0;
    (void)state;
    scene.recorded = scene.gone = scene.release = 0;
    memset(scene.highest, 0, sizeof scene.highest);
    record(2);
    assert_int_equal(pthread_create(&quiet, NULL, quiet_thread, NULL), 0);
    while (__atomic_load_n(&scene.recorded, __ATOMIC_SEQ_CST) < 1)
        breathe();
    snprintf(path, sizeof path, "%s/arena", scene.folder);
    assert_int_equal(unlink(path), 0);
    while (access(path, F_OK)) { /* it has seen that, and made another */
        ahead_s++;
        record(1);
    }
    __atomic_store_n(&scene.gone, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&scene.recorded, __ATOMIC_SEQ_CST) < 2)
        breathe();
    for (int i = 0; i < 4; i++) {
        ahead_s++;
        record(1);
    }
    for (int lane = 0; lane < LANES; lane++)
        found += scene.highest[lane] == 1 + 10 + 5;
    assert_int_equal(found, 1);
    __atomic_store_n(&scene.release, 1, __ATOMIC_SEQ_CST);
    pthread_join(quiet, NULL);
}

static void at_the_very_end(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/arena", scene.folder);
    if (unlink(path))
        _exit(2);
    record(3);
}

/* What a program's own exit handler records comes after the library's. */
static void recorded_by_an_exit_handler(void **state)
{
    char pattern[300];
    glob_t files;
    int status;
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        scene.held = 1; /* nobody is to stand in a file here */
        atexit(at_the_very_end);
        record(1);
        exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    snprintf(pattern, sizeof pattern, "%s/tally-*.spill", scene.folder);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_int_equal(files.gl_pathc, 1);
    assert_int_equal(unlink(files.gl_pathv[0]), 0);
    globfree(&files);
}

/* The arena's successor has an agent, which will never come to what stands in the old one: that is not waited for, and is not called durable. */
static void shutdown_after_an_arena_has_gone(void **state)
{
    char path[300];
    int status;
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct flock whole = {.l_type = F_WRLCK};
        scene.held = 1;
        record(3);
        snprintf(path, sizeof path, "%s/arena", scene.folder);
        unlink(path);
        ahead_s += 2;
        record(1);
        snprintf(path, sizeof path, "%s/arena.lock", scene.folder);
        int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fcntl(lock, F_OFD_SETLK, &whole))
            _exit(2);
        scene.looks_at_the_clock = 0;
        int result = tally_shutdown(2000);
        unlink(path);
        _exit(result != TALLY_PUBLISHED ? 3 : scene.looks_at_the_clock > 20 ? 4 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int set_up(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char path[300];
    (void)state;
    snprintf(scene.folder, sizeof scene.folder, "%s/tally-unit-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(scene.folder))
        return -1;
    snprintf(path, sizeof path, "%s/arena", scene.folder);
    setenv("TALLY_ARENA", path, 1);
    setenv("TALLY_SPILL_DIR", scene.folder, 1);
    setenv("TALLY_LANES", "8", 1);
    setenv("XDG_STATE_HOME", scene.folder, 1);
    return 0;
}

static int tear_down(void **state)
{
    char command[400];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", scene.folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_by_an_exit_handler), /* the first: its process must not have recorded yet */
        cmocka_unit_test(shutdown_after_an_arena_has_gone),
        cmocka_unit_test(no_piece_goes_before_an_earlier_one),
        cmocka_unit_test(another_thread_sees_to_what_came_after),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    fflush(NULL);
    _exit(failed); /* a process that exits carries over what is left: here, into a folder that is no more */
}
