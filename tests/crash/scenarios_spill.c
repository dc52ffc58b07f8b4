/* scenarios_spill.c: victims whose records go to files. */
#include "crash/scenarios.h"

#include "crash/stage.h"

#include <lane.h>
#include <process.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A full lane, with few records. */
static void fill(void)
{
    scenario_must(stage_record(0), "prepare");
    const struct lane_view *lane = tally_thread.lane;
    while (lane->ring_bytes - lane->tail > 2 * (uint64_t)TALLY_RECORD_BYTES_MAX)
        scenario_must(stage_record(3000), "fill");
    scenario_fill_but(0);
}

static void spill_one(size_t json)
{
    scenario_must(stage_record(json), "spill");
    if (!tally_thread.spill)
        stage_fail("there was room in the lane");
}

static void one_more(void)
{
    stage_begin();
    scenario_must(stage_record(0), "the record was not spilled");
    if (!tally_thread.spill)
        stage_fail("there was room in a lane");
    stage_end();
}

static void first(void)
{
    fill();
    one_more();
}

static void further(void)
{
    fill();
    spill_one(0);
    one_more();
}

/* The present file may not grow; another one may. */
static void limited(void)
{
    struct rlimit limit = {.rlim_cur = 1800, .rlim_max = RLIM_INFINITY};
    fill();
    spill_one(2000);
    scenario_must(setrlimit(RLIMIT_FSIZE, &limit), "setrlimit");
    one_more();
}

static void quota(void)
{
    fill();
    spill_one(2000);
    stage_begin();
    if (stage_record(1000) != -ENOSPC)
        stage_fail("more was spilled than may be");
    stage_end();
}

static void back_to_ring(void)
{
    fill();
    spill_one(0);
    stage_pause();
    uint64_t tail = tally_thread.lane->tail;
    stage_begin();
    scenario_must(stage_record(0), "the drained lane took no record");
    tally_shutdown(0);
    if (tally_thread.lane->tail == tail)
        stage_fail("the record did not go to the ring");
    stage_end();
}

static void call(void)
{
    struct tally_call handle;
    scenario_must(stage_record(0), "prepare");
    scenario_must(stage_call_begin(&handle), "tally_call_begin");
    fill();
    stage_begin();
    stage_call_progress(&handle);
    stage_call_end(&handle);
    stage_end();
}

static void client_object(void)
{
    scenario_must(stage_record(0), "prepare");
    struct tally_client *client = tally_client_new(NULL);
    if (!client)
        stage_fail("tally_client_new");
    fill();
    stage_begin();
    stage_client_record(client);
    stage_client_release(client);
    stage_end();
}

/* ---- ends, threads ----------------------------------------------------------------------- */

static void shutdown_spilling(void)
{
    fill();
    spill_one(0);
    stage_begin();
    tally_shutdown(0);
    stage_end();
}

/* What the library has registered runs before what was registered before it. */
static void exit_spilling(void)
{
    scenario_must(atexit(stage_end), "atexit");
    fill();
    spill_one(0);
    stage_begin();
    exit(0);
}

static void *thread_ending(void *argument)
{
    stage_join();
    fill();
    spill_one(0);
    stage_begin();
    return argument;
}

static void thread_exit(void)
{
    pthread_t thread;
    scenario_must(pthread_create(&thread, NULL, thread_ending, NULL), "pthread_create");
    /* Not pthread_join(): run_thread() in scenarios.c. */
    for (;;)
        pause();
}

static void *thread_spilling(void *argument)
{
    fill();
    spill_one(0);
    return argument;
}

/* The log goes on: the next thread has the full lane, too. */
static void next_thread(void)
{
    pthread_t thread;
    scenario_must(pthread_create(&thread, NULL, thread_spilling, NULL), "pthread_create");
    scenario_must(pthread_join(thread, NULL), "pthread_join");
    one_more();
}

/* ---- no lane -------------------------------------------------------------------------------- */

static void no_lane(void)
{
    pthread_t thread;
    int ready = 0;
    scenario_must(pthread_create(&thread, NULL, scenario_thread_with_lane, &ready), "pthread_create");
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        usleep(20);
    one_more();
}

static void no_arena(void)
{
    scenario_must(tally_init(NULL), "tally_init");
    stage_begin();
    scenario_must(stage_record(0), "the first record was not spilled");
    scenario_must(stage_record(0), "the second record was not spilled");
    stage_end();
}

/* ---- fork -------------------------------------------------------------------------------------- */

/* The child stands still. */
static void forking(void)
{
    fill();
    spill_one(0);
    stage_begin();
    if (fork() < 0)
        stage_fail("fork");
    scenario_must(stage_record(0), "after the fork");
    stage_end();
}

/* The parent, which has the only lane and a log, does nothing more. */
static void forked_child(void)
{
    stage->role = ROLE_PREDECESSOR;
    stage->pid[ROLE_PREDECESSOR] = getpid();
    fill();
    spill_one(0);
    pid_t child = fork();
    if (child < 0)
        stage_fail("fork");
    if (child)
        for (;;)
            pause();
    stage->role = ROLE_VICTIM;
    stage->pid[ROLE_VICTIM] = getpid();
    one_more();
}

/* In the arena there is room for the successor. */
#define FULL_LANE .seed = SEED_EMPTY, .lanes = "2", .lane_kib = "16", .next_lane = true, .place = PLACE_NAMED

const struct scenario spill_scenarios[] = {
    {.name = "spill_first_makes_folder",
     .run = first,
     .seed = SEED_EMPTY,
     .lanes = "2",
     .lane_kib = "16",
     .next_lane = true,
     .place = PLACE_HOME,
     .steps_min = 2000},
    {.name = "spill_first_to_agents_folder", .run = first, FULL_LANE, .drained = true, .steps_min = 2000},
    {.name = "spill_further", .thorough = true, .run = further, FULL_LANE, .steps_min = 400},
    {.name = "spill_taken_before_write",
     .run = further,
     FULL_LANE,
     .drained = true,
     .meanwhile = MEANWHILE_TAKEN_BEFORE,
     .steps_min = 2000},
    {.name = "spill_taken_after_write",
     .run = further,
     FULL_LANE,
     .drained = true,
     .meanwhile = MEANWHILE_TAKEN_AFTER,
     .steps_min = 2000},
    {.name = "spill_renamed_after_write",
     .run = further,
     FULL_LANE,
     .drained = true,
     .meanwhile = MEANWHILE_RENAMED,
     .steps_min = 2000},
    {.name = "spill_short_write", .run = further, FULL_LANE, .meanwhile = MEANWHILE_CUT, .steps_min = 2000},
    {.name = "spill_file_size_limit", .run = limited, FULL_LANE, .steps_min = 2000},
    {.name = "spill_quota_reached",
     .run = quota,
     FULL_LANE,
     .spill_max = "2900",
     .refused = true,
     .only_long = true,
     .steps_min = 400},
    {.name = "spill_back_to_ring",
     .thorough = true,
     .run = back_to_ring,
     FULL_LANE,
     .drained = true,
     .steps_min = 200},
    {.name = "spill_call", .run = call, FULL_LANE, .steps_min = 2000},
    {.name = "spill_client_object", .run = client_object, FULL_LANE, .steps_min = 2000},
    {.name = "spill_shutdown", .thorough = true, .run = shutdown_spilling, FULL_LANE, .steps_min = 50},
    {.name = "spill_exit", .thorough = true, .run = exit_spilling, FULL_LANE, .steps_min = 50},
    {.name = "spill_thread_exit", .thorough = true, .run = thread_exit, FULL_LANE, .steps_min = 200},
    {.name = "spill_next_thread",
     .run = next_thread,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .no_lane = true,
     .place = PLACE_NAMED,
     .steps_min = 400},
    {.name = "spill_no_lane_free",
     .run = no_lane,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .place = PLACE_NAMED,
     .steps_min = 2000},
    {.name = "spill_no_arena",
     .run = no_arena,
     .seed = SEED_NOTHING,
     .lanes = "1",
     .lane_kib = "16",
     .place = PLACE_NAMED,
     .no_arena = true,
     .no_lane = true,
     .steps_min = 2000},
    {.name = "spill_fork", .thorough = true, .run = forking, FULL_LANE, .steps_min = 400},
    {.name = "spill_in_forked_child",
     .run = forked_child,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .next_lane = true,
     .no_lane = true,
     .place = PLACE_NAMED,
     .steps_min = 2000},
};
const unsigned int spill_scenario_count = sizeof spill_scenarios / sizeof spill_scenarios[0];
