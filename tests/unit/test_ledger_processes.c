/* The ledger beside processes that are really there: who has ended, and how. */
#include "unit/ledger_kit.h"

#include "liveness/liveness.h"

#include <signal.h>
#include <sys/wait.h>

static pid_t start_process(int64_t *start_time)
{
    pid_t pid = fork();
    if (!pid) {
        pause();
        _exit(0);
    }
    char path[64];
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(
        fscanf(file,
               "%*d %*s %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &start),
        1);
    fclose(file);
    *start_time = (int64_t)start;
    return pid;
}

static void add_process(struct kit *kit, uint32_t lane, char session, pid_t pid, int64_t start_time)
{
    struct pen p = pen(TALLY_KIND_CLIENT, 0, KIT_TIME);
    pen_id(&p, TALLY_FIELD_session_id, session);
    pen_u32(&p, TALLY_FIELD_pid, (uint32_t)pid);
    pen_u32(&p, TALLY_FIELD_tid, (uint32_t)pid);
    pen_i64(&p, TALLY_FIELD_start_time, start_time);
    pen_i64(&p, TALLY_FIELD_process_start_time, start_time);
    pen_i64(&p, TALLY_FIELD_pid_namespace, (int64_t)liveness_own_namespace());
    pen_u32(&p, TALLY_FIELD_tenure, 1);
    tape_add(kit, lane, &p);
}

static void a_living_process_without_tenures_runs_on(void **state)
{
    struct kit *kit = *state;
    int64_t start;
    pid_t pid = start_process(&start);
    add_process(kit, 0, 'a', pid, start);
    kit_drain(kit);
    kit_leave(kit, 0, true);
    for (int i = 0; i < 3; i++)
        kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients", "NULL");
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT); /* a zombie is gone too */
    kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients", "clean");
    waitpid(pid, NULL, 0);
}

static void a_living_process_with_a_dead_tenure_has_called_exec(void **state)
{
    struct kit *kit = *state;
    int64_t start;
    pid_t pid = start_process(&start);
    add_process(kit, 0, 'a', pid, start);
    add_process(kit, 1, 'b', pid, start + 1); /* whoever had the number before */
    kit_drain(kit);
    kit_leave(kit, 0, false);
    kit_leave(kit, 1, false);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients ORDER BY id", "exec\ndied");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void an_unmarked_owner_that_is_gone_has_died(void **state)
{
    struct kit *kit = *state;
    int64_t start;
    pid_t pid = start_process(&start);
    add_process(kit, 0, 'a', pid, start);
    kit_drain(kit);
    struct ledger_lane_view view = {.owner = (uint32_t)pid,
                                    .drained = true,
                                    .tenure = 1,
                                    .identity = {.pid = (uint32_t)pid,
                                                 .tid = (uint32_t)pid,
                                                 .start_time = (uint64_t)start,
                                                 .pid_namespace = liveness_own_namespace()}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    assert_true(kit->arena->lanes[0].tenure_open);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct ledger_lane_view other = view;
    other.identity.tid++; /* the identity is another's: it says nothing about the owner */
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &other), 0);
    assert_true(kit->arena->lanes[0].tenure_open);
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    assert_true(
        kit->arena->lanes[0].tenure_open); /* the view may be older than its end: it may have left cleanly */
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    assert_false(kit->arena->lanes[0].tenure_open);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients", "died");
}

static void an_owner_that_left_while_it_was_looked_for(void **state)
{
    struct kit *kit = *state;
    int64_t start;
    pid_t pid = start_process(&start);
    add_process(kit, 0, 'a', pid, start);
    kit_drain(kit);
    struct ledger_lane_view view = {.owner = (uint32_t)pid,
                                    .drained = true,
                                    .tenure = 1,
                                    .identity = {.pid = (uint32_t)pid,
                                                 .tid = (uint32_t)pid,
                                                 .start_time = (uint64_t)start,
                                                 .pid_namespace = liveness_own_namespace()}};
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* read before it left, shown after */
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    view.owner = 0;
    view.final_sequence = kit->arena->lanes[0].sequence;
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, 0, &view), 0);
    kit_tick(kit);
    kit_expect(kit, "SELECT ended FROM clients", "clean");
}

#define kit_test(function) cmocka_unit_test_setup_teardown(function, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_living_process_without_tenures_runs_on),
        kit_test(a_living_process_with_a_dead_tenure_has_called_exec),
        kit_test(an_unmarked_owner_that_is_gone_has_died),
        kit_test(an_owner_that_left_while_it_was_looked_for),
    };
    return cmocka_run_group_tests_name("ledger_processes", tests, NULL, NULL);
}
