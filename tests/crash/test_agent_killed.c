/* The agent SIGKILLed at the entry and at the exit of each system call that it makes. After each death an agent that is
 * left in peace has to have everything in the database, once.
 *
 * Between two calls the agent writes to memory that others see too, the board and SQLite's index of its log: a
 * death at a call's exit lies before those writes, one at the next call's entry after them. */
#include "crash/agent_scene.h"
#include "crash/situations.h"

#include "support/test.h"
#include "support/tries.h"

#include <sys/syscall.h>

struct kill_point {
    uint32_t thread, number;
    bool entered;
    long which;
    char file[80];
};

#define POINTS_MAX 32768

static unsigned long long deaths;

static struct {
    struct kill_point points[POINTS_MAX];
    uint32_t count;
    bool all;
} path;

/* Deaths before and after a call that changes nothing outside of the process are the same death, unless
 * memory was written in between: its entry alone will do. */
static bool changes_nothing(long which)
{
    switch (which) {
    case __NR_pread64:
    case __NR_read:
    case __NR_newfstatat:
    case __NR_getpid:
    case __NR_geteuid:
    case __NR_brk:
    case __NR_access:
    case __NR_rt_sigaction:
    case __NR_rt_sigprocmask:
    case __NR_getrandom:
    case __NR_getdents64:
    case __NR_kill:
    case __NR_madvise:
        return true;
    default:
        return false;
    }
}

static enum look note(void *context, const struct call *call)
{
    (void)context;
    if (!call->entered && !path.all && changes_nothing(call->which))
        return LOOK_ON;
    if (!call->entered && call->which == __NR_exit_group)
        return LOOK_ON;
    assert_true(path.count < POINTS_MAX);
    path.points[path.count++] = (struct kill_point){
        .thread = call->thread, .number = call->number, .entered = call->entered, .which = call->which};
    return LOOK_ON;
}

static enum look kill_here(void *context, const struct call *call)
{
    const struct kill_point *point = context;
    bool here =
        call->thread == point->thread && call->number == point->number && call->entered == point->entered;
    return here ? LOOK_KILL : LOOK_ON;
}

/* The short form goes in strides where the agent does much the same again. */
static void kill_everywhere(struct scene *scene, uint32_t stride)
{
    struct outcome outcome;
    uint32_t killed = 0;
    uint32_t missed = 0;

    path.count = 0;
    path.all = scene_long();
    scene_prepare(scene);
    scene_reset(scene);
    scene_run(scene, &outcome, note, NULL);
    assert_true(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    scene_settle(scene);
    scene_expect_complete(scene);
    for (uint32_t i = 0; i < path.count; i += path.all ? 1 : stride) {
        struct kill_point *point = &path.points[i];
        snprintf(scene->trying, sizeof scene->trying, "killed at the %s of %s, call %u of thread %u",
                 point->entered ? "entry" : "exit", calls_name(point->which), point->number, point->thread);
        scene_reset(scene);
        scene_run(scene, &outcome, kill_here, point);
        assert_false(outcome.endless);
        /* Threads take turns as they please: the other one's last calls may not come. */
        killed += outcome.killed;
        missed += !outcome.killed;
        scene_expect_board_behind(scene);
        scene_settle(scene);
        scene_expect_complete(scene);
    }
    scene->trying[0] = '\0';
    deaths += killed;
    assert_true(killed * stride > (path.all ? stride : 1) * 150 && missed * 20 < killed);
    print_message("# note: agent killed at %u of %u points of its calls: %s\n", killed, path.count,
                  scene->name);
}

static void test_fresh(void **state)
{
    struct scene *scene = *state;
    scene->name = "--once, a new state folder";
    scene->once = true;
    kill_everywhere(scene, 3);
}

static void test_existing(void **state)
{
    struct scene *scene = *state;
    scene->name = "--once, a database with records";
    scene->once = true;
    scene->existing = true;
    kill_everywhere(scene, 4);
}

static void test_serving(void **state)
{
    struct scene *scene = *state;
    scene->name = "serving, until SIGTERM";
    scene->existing = true;
    kill_everywhere(scene, 4);
}

static void test_retention(void **state)
{
    struct scene *scene = *state;
    scene->name = "serving, old rows are deleted";
    scene->existing = true;
    scene->retention = true;
    kill_everywhere(scene, 4);
}

static void test_situation(void **state)
{
    struct scene *scene = *state;
    kill_everywhere(scene, scene->situation->stride_killed);
}

int main(void)
{
    struct CMUnitTest tests[32] = {
        cmocka_unit_test_setup_teardown(test_fresh, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(test_existing, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(test_serving, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(test_retention, scene_setup, scene_teardown),
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
    int failures = _cmocka_run_group_tests("agent killed at its calls", tests, count, NULL, NULL);
    tries(deaths, "deaths of the agent");
    return failures;
}
