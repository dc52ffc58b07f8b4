/* Each system call of the agent fails in turn, with each error that makes sense for it, and reads and writes come short.
 * Two ways: the call is not made and says that it failed; or it is made, and says so all the same, as
 * file systems over a network do. The agent has to go on by itself, or to end with a status that is not 0 and
 * a sentence. Afterwards everything is in the database, once. */
#include "crash/agent_scene.h"
#include "crash/situations.h"

#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <sys/syscall.h>

enum way { WAY_NOT_MADE, WAY_MADE, WAY_SHORT };

struct fault {
    uint32_t thread, number;
    long which;
    enum way way;
    int error;
    bool fired;
};

#define FAULTS_MAX 32768

static unsigned long long faults;

static struct {
    struct fault faults[FAULTS_MAX];
    uint32_t count;
} plan;

/* futex(2): the C library ends the process if there is none. kill(2) is not here: its errors say whether a process is there, and a lie about that is believed. */
static const struct {
    long which;
    bool may_come_short;
    bool may_be_made; /* and yet report an error */
    int errors[6];
} table[] = {
    {__NR_openat, false, false, {EACCES, EMFILE, ENOSPC, EIO, ENOMEM, EINTR}},
    {__NR_pread64, true, false, {EIO, EINTR, ENOMEM}},
    {__NR_read, true, false, {EIO, EINTR}},
    {__NR_pwrite64, true, true, {ENOSPC, EIO, EINTR}},
    {__NR_write, true, true, {ENOSPC, EIO, EINTR}},
    {__NR_fdatasync, false, true, {EIO, ENOSPC, EINTR}},
    {__NR_fsync, false, true, {EIO, ENOSPC}},
    {__NR_ftruncate, false, true, {EIO, ENOSPC, EINTR}},
    {__NR_fallocate, false, false, {ENOSPC, EINTR, EIO}},
    {__NR_mmap, false, false, {ENOMEM}},
    {__NR_mremap, false, false, {ENOMEM}},
    {__NR_brk, false, false, {ENOMEM}},
    {__NR_mprotect, false, false, {ENOMEM}},
    {__NR_madvise, false, false, {ENOMEM}},
    {__NR_fcntl, false, false, {EINTR, ENOLCK, EIO, EAGAIN}},
    {__NR_newfstatat, false, false, {EIO, ENOMEM, EACCES}},
    {__NR_access, false, false, {EIO, ENOMEM}},
    {__NR_fchown, false, false, {EPERM, EIO}},
    {__NR_mkdir, false, false, {ENOSPC, EIO, EACCES}},
    {__NR_unlink, false, true, {EIO, EACCES}},
    {__NR_rename, false, true, {ENOSPC, EIO, EACCES}},
    {__NR_renameat2, false, true, {ENOSPC, EIO, EACCES, EINVAL}},
    {__NR_renameat, false, true, {ENOSPC, EIO}},
    {__NR_unlinkat, false, true, {EIO, EACCES, EROFS}},
    {__NR_fchmod, false, false, {EIO, EPERM}},
    {__NR_close, false, true, {EIO, EINTR}},
    {__NR_clone, false, false, {EAGAIN, ENOMEM}},
    {__NR_clone3, false, false, {EAGAIN, ENOMEM}},
    {__NR_eventfd2, false, false, {EMFILE, ENOMEM}},
    {__NR_inotify_init1, false, false, {EMFILE, ENOMEM}},
    {__NR_inotify_add_watch, false, false, {ENOSPC, ENOMEM, EACCES}},
    {__NR_signalfd4, false, false, {EMFILE, ENOMEM}},
    {__NR_ppoll, false, false, {EINTR, ENOMEM}},
    {__NR_getrandom, false, false, {EINTR, ENOSYS}},
    {__NR_membarrier, false, false, {ENOSYS, EPERM, ENOMEM}},
    {__NR_futex, false, false, {EINTR}},
    {__NR_readlink, false, false, {EIO, ENOMEM}},
    {__NR_getdents64, false, false, {EIO, ENOMEM}},
    {__NR_prlimit64, false, false, {EPERM}},
    {__NR_epoll_create1, false, false, {EMFILE, ENOMEM, ENOSYS}},
    {__NR_epoll_ctl, false, false, {ENOMEM, ENOSPC}},
    {__NR_epoll_wait, false, false, {EINTR}},
    {__NR_pidfd_open, false, false, {EMFILE, ENOMEM, EPERM, ENOSYS, ENODEV}},
};

static void add(const struct call *call, enum way way, int error)
{
    assert_true(plan.count < FAULTS_MAX);
    plan.faults[plan.count++] = (struct fault){
        .thread = call->thread, .number = call->number, .which = call->which, .way = way, .error = error};
}

/* An unlocking that fails leaves SQLite in its own way for its busy timeout, again and again: right, but slow. */
static bool slow(const struct call *call)
{
    struct flock lock;

    if (call->which != __NR_fcntl || (call->argument[1] != F_SETLK && call->argument[1] != F_OFD_SETLK))
        return false;
    calls_read(call, &lock, call->argument[2], sizeof lock);
    return lock.l_type == F_UNLCK && !scene_long();
}

static enum look note(void *context, const struct call *call)
{
    (void)context;
    if (!call->entered || slow(call))
        return LOOK_ON;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].which != call->which)
            continue;
        for (int e = 0; e < 6 && table[i].errors[e]; e++) {
            add(call, WAY_NOT_MADE, table[i].errors[e]);
            if (table[i].may_be_made && e == 0)
                add(call, WAY_MADE, call->which == __NR_close ? EINTR : EIO);
        }
        if (table[i].may_come_short && call->argument[2] > 1)
            add(call, WAY_SHORT, 0);
    }
    return LOOK_ON;
}

/* A brk(2) that fails says where the break still is, and only the kernel knows; malloc() then tries mmap(2), which has to
 * fail too. */
static bool fail_break(const struct fault *fault, const struct call *call)
{
    if (fault->which != __NR_brk || call->thread != fault->thread || !call->entered)
        return false;
    if (call->number == fault->number && call->which == __NR_brk)
        calls_argument(call, 0, UINT64_MAX);
    else if (fault->fired && call->number == fault->number + 1 && call->which == __NR_mmap)
        calls_return(call, -ENOMEM);
    else
        return false;
    return true;
}

static enum look fail_here(void *context, const struct call *call)
{
    struct fault *fault = context;
    if (fail_break(fault, call)) {
        fault->fired = true;
        return LOOK_ON;
    }
    if (call->thread != fault->thread || fault->which == __NR_brk)
        return LOOK_ON;
    /* An agent that serves makes a call more or fewer as its waits come out: then the next one of the kind. */
    if (call->entered && !fault->fired && call->number >= fault->number && call->which == fault->which) {
        fault->fired = true;
        fault->number = call->number;
    }
    if (!fault->fired || call->number != fault->number)
        return LOOK_ON;
    if (call->entered && fault->way == WAY_NOT_MADE)
        calls_return(call, -fault->error);
    else if (call->entered && fault->way == WAY_SHORT)
        calls_argument(call, 2, call->argument[2] / 2);
    else if (!call->entered && fault->way == WAY_MADE)
        calls_return(call, -fault->error);
    return LOOK_ON;
}

static void describe(struct scene *scene, const struct fault *fault)
{
    static const char *const ways[] = {"fails with", "is made, and says", "comes short"};
    snprintf(scene->trying, sizeof scene->trying, "%s, call %u of thread %u, %s %s", calls_name(fault->which),
             fault->number, fault->thread, ways[fault->way],
             fault->way == WAY_SHORT ? "" : strerrorname_np(fault->error));
}

struct tally_of_ends {
    uint32_t tried, recovered, stopped;
};

static void try_fault(struct scene *scene, struct fault *fault, struct tally_of_ends *ends)
{
    struct outcome outcome;

    describe(scene, fault);
    scene_reset(scene);
    scene_run(scene, &outcome, fail_here, fault);
    if (outcome.endless)
        fail_msg("it made %u calls, and had not come to its end", outcome.calls);
    if (!WIFEXITED(outcome.status))
        fail_msg("it died: status 0x%x", (unsigned)outcome.status);
    ends->tried += fault->fired;
    ends->recovered += fault->fired && WEXITSTATUS(outcome.status) == 0;
    ends->stopped += fault->fired && WEXITSTATUS(outcome.status) != 0;
    scene_expect_board_behind(scene);
    if (WEXITSTATUS(outcome.status) != 0)
        scene_expect_sentence(scene);
    else
        scene_expect_drained(scene); /* it said that all is well: then it has to be */
    scene_settle(scene);
    scene_expect_complete(scene);
}

/* The short form tries every call, with one of its errors: a different one each time it is made. */
static bool chosen(uint32_t index, uint32_t stride)
{
    static uint32_t calls;
    const struct fault *fault = &plan.faults[index];
    uint32_t first = index;
    uint32_t last = index;

    if (scene_long())
        return true;
    while (first > 0 && plan.faults[first - 1].number == fault->number &&
           plan.faults[first - 1].thread == fault->thread)
        first--;
    while (last + 1 < plan.count && plan.faults[last + 1].number == fault->number &&
           plan.faults[last + 1].thread == fault->thread)
        last++;
    if (index == first)
        calls++;
    return calls % stride == 0 && index == first + calls / stride % (last - first + 1);
}

static void fail_everywhere(struct scene *scene, uint32_t stride)
{
    struct outcome outcome;
    struct tally_of_ends ends = {0};

    plan.count = 0;
    scene_prepare(scene);
    scene_reset(scene);
    scene_run(scene, &outcome, note, NULL);
    assert_true(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    scene_settle(scene);
    scene_expect_complete(scene);
    for (uint32_t i = 0; i < plan.count; i++)
        if (chosen(i, stride))
            try_fault(scene, &plan.faults[i], &ends);
    scene->trying[0] = '\0';
    faults += ends.tried;
    /* As a sign that faults are injected at all. */
    assert_true(scene->situation ? ends.recovered > 10 : ends.recovered > 30 && ends.stopped > 10);
    print_message(
        "# note: agent's calls failed %u times, of %u that were planned; it went on after %u, said why and "
        "ended after %u: %s\n",
        ends.tried, plan.count, ends.recovered, ends.stopped, scene->name);
}

static void test_fresh(void **state)
{
    struct scene *scene = *state;
    scene->name = "--once, a new state folder";
    scene->once = true;
    fail_everywhere(scene, 2);
}

static void test_existing(void **state)
{
    struct scene *scene = *state;
    scene->name = "--once, a database with records";
    scene->once = true;
    scene->existing = true;
    fail_everywhere(scene, 4);
}

static void test_serving(void **state)
{
    struct scene *scene = *state;
    scene->name = "serving, old rows are deleted";
    scene->existing = true;
    scene->retention = true;
    fail_everywhere(scene, 2);
}

static enum look fail_listing(void *context, const struct call *call)
{
    char folder[ROOM_PATH_MAX];
    unsigned int *failed = context;

    if (call->which != __NR_getdents64 || !call->entered)
        return LOOK_ON;
    calls_file(call, (int)call->argument[0], folder, sizeof folder);
    if (strstr(folder, "/" SITUATION_FIRST_FOLDER) != NULL) {
        calls_return(call, -EIO);
        *failed += 1;
    }
    return LOOK_ON;
}

/* What is missed in a log may stand where nobody can look: it is not lost. */
static void test_unlisted(void **state)
{
    struct scene *scene = *state;
    struct outcome outcome;
    unsigned int failed = 0;

    situation_two_folders(scene);
    scene_prepare(scene);
    scene_reset(scene);
    scene_run(scene, &outcome, fail_listing, &failed);
    assert_true(failed > 2);
    assert_true(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) != 0);
    scene_expect_sentence(scene);
    scene_settle(scene);
    scene_expect_complete(scene);
    faults += failed;
}

static void test_situation(void **state)
{
    struct scene *scene = *state;
    fail_everywhere(scene, scene->situation->stride_failed);
}

int main(void)
{
    struct CMUnitTest tests[32] = {
        cmocka_unit_test_setup_teardown(test_fresh, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(test_existing, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(test_serving, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(test_unlisted, scene_setup, scene_teardown),
    };
    const char *only = getenv("TALLY_CRASH_ONLY");
    size_t count = only ? 0 : 4;
    for (size_t i = 0; i < situation_count; i++)
        if (!only || strcmp(only, situations[i].name) == 0)
            tests[count++] = (struct CMUnitTest){.name = situations[i].name,
                                                 .test_func = test_situation,
                                                 .setup_func = situation_setup,
                                                 .teardown_func = scene_teardown,
                                                 .initial_state = (void *)(uintptr_t)&situations[i]};
    int failures = _cmocka_run_group_tests("agent's calls fail", tests, count, NULL, NULL);
    tries(faults, "failing calls of the agent");
    return failures;
}
