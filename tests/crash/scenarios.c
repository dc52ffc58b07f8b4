#include "crash/scenarios.h"

#include "crash/stage.h"

#include <lane.h>
#include <process.h>

#include <pthread.h>
#include <unistd.h>

void scenario_must(int result, const char *what)
{
    if (result)
        stage_fail(what);
}

/* ---- before and after the victim --------------------------------------------------- */

void scenario_predecessor(void)
{
    for (int i = 0; i < 3; i++)
        scenario_must(stage_record(0), "predecessor");
    stage_begin();
    stage_record(200);
    stage_end();
}

/* As in a C library whose robust list is not as we know it. */
void scenario_unguarded_predecessor(void)
{
    scenario_must(tally_init(NULL), "tally_init");
    tally_process.robust = false;
    scenario_predecessor();
}

void scenario_successor(void)
{
    scenario_must(stage_record(0), "the next owner's first record");
    scenario_must(stage_record(0), "the next owner's second record");
    tally_shutdown(0);
}

/* ---- tally_record -------------------------------------------------------------------- */

static void first_use(void)
{
    stage_begin();
    stage_record(0);
    stage_end();
}

/* Of the thread, in a process that has been one of tally's before: what is left is the taking of a lane. */
static void first_lane(void)
{
    scenario_must(tally_init(NULL), "tally_init");
    first_use();
}

static void steady(void)
{
    scenario_must(stage_record(0), "prepare");
    scenario_must(stage_record(0), "prepare");
    stage_begin();
    stage_record(0);
    stage_end();
}

/* Bytes of a record with so much usage_json. */
static uint64_t record_bytes(size_t json)
{
    uint64_t tail = tally_thread.lane->tail;
    scenario_must(stage_record(json), "measure");
    return tally_thread.lane->tail - tail;
}

void scenario_fill_but(uint64_t left)
{
    uint64_t bytes = record_bytes(8);
    const struct lane_view *lane = tally_thread.lane;
    uint64_t ring = lane->ring_bytes;
    while (lane->tail + left + 2 * bytes <= ring)
        scenario_must(stage_record(8), "fill");
    /* one record of another length, so that it comes out even */
    uint64_t rest = ring - lane->tail - left;
    if (rest > bytes)
        scenario_must(stage_record(8 + rest - bytes), "fill");
    else if (rest == bytes)
        scenario_must(stage_record(8), "fill");
    if (ring - lane->tail != left)
        stage_fail("the lane could not be filled evenly");
}

static void wrap(void)
{
    scenario_must(stage_record(0), "prepare");
    scenario_fill_but(48);
    stage_pause();
    stage_begin();
    scenario_must(stage_record(0), "the lane did not go round");
    stage_end();
}

/* No padding: the record before it ends where the ring does. */
static void wrap_evenly(void)
{
    scenario_must(stage_record(0), "prepare");
    scenario_fill_but(0);
    stage_pause();
    stage_begin();
    scenario_must(stage_record(0), "the lane did not go round");
    stage_end();
}

static void last_fit(void)
{
    scenario_must(stage_record(0), "prepare");
    uint64_t bytes = record_bytes(8);
    scenario_fill_but(bytes);
    stage_begin();
    if (stage_record(8))
        stage_fail("the record that just fits was refused");
    stage_end();
}

static void full(void)
{
    scenario_must(stage_record(0), "prepare");
    scenario_fill_but(0);
    stage_begin();
    if (stage_record(0) != -EAGAIN)
        stage_fail("a full lane took a record");
    stage_end();
}

/* ---- threads ----------------------------------------------------------------------------- */

static void *thread_first_use(void *argument)
{
    stage_join();
    first_use();
    return argument;
}

static void *thread_exit(void *argument)
{
    stage_join();
    scenario_must(stage_record(0), "thread");
    scenario_must(stage_record(0), "thread");
    stage_begin();
    return argument;
}

static void run_thread(void *(*function)(void *))
{
    pthread_t thread;
    scenario_must(pthread_create(&thread, NULL, function, NULL), "pthread_create");
    /* Not pthread_join(): whoever waits there would be woken, and go on beside the one that is stepped. */
    for (;;)
        pause();
}

static void second_thread(void)
{
    scenario_must(stage_record(0), "prepare");
    run_thread(thread_first_use);
}

static void ending_thread(void)
{
    run_thread(thread_exit);
}

/* ---- calls, shutdown, client objects -------------------------------------------------------- */

static void call(void)
{
    struct tally_call handle;
    scenario_must(stage_record(0), "prepare");
    stage_begin();
    stage_call_begin(&handle);
    stage_call_progress(&handle);
    stage_call_end(&handle);
    stage_end();
}

static void call_first_use(void)
{
    struct tally_call handle;
    scenario_must(tally_init(NULL), "tally_init");
    stage_begin();
    stage_call_begin(&handle);
    stage_end();
}

void *scenario_thread_with_lane(void *argument)
{
    scenario_must(stage_record(0), "thread");
    __atomic_store_n((int *)argument, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
    return argument;
}

static void shutdown_lanes(void)
{
    scenario_must(stage_record(0), "prepare");
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        int ready = 0;
        scenario_must(pthread_create(&thread, NULL, scenario_thread_with_lane, &ready), "pthread_create");
        while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
            usleep(20);
    }
    stage_begin();
    if (tally_shutdown(0) != TALLY_PUBLISHED)
        stage_fail("tally_shutdown");
    stage_end();
}

static void record_after_shutdown(void)
{
    scenario_must(stage_record(0), "prepare");
    if (tally_shutdown(0) != TALLY_PUBLISHED)
        stage_fail("tally_shutdown");
    stage_begin();
    stage_record(0);
    tally_shutdown(0);
    stage_end();
}

static void client_object(void)
{
    scenario_must(stage_record(0), "prepare");
    stage_begin();
    struct tally_client *client = tally_client_new(NULL);
    if (!client)
        stage_fail("tally_client_new");
    stage_client_record(client);
    stage_client_release(client);
    stage_end();
}

const struct scenario scenarios[] = {
    {.name = "record_steady",
     .run = steady,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .thorough = true,
     .steps_min = 200},
    {.name = "record_wrap_with_padding",
     .run = wrap,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .drained = true,
     .steps_min = 200},
    {.name = "record_wrap_evenly",
     .run = wrap_evenly,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .drained = true,
     .steps_min = 200},
    {.name = "record_last_that_fits",
     .run = last_fit,
     .seed = SEED_EMPTY,
     .lanes = "2",
     .lane_kib = "16",
     .next_lane = true,
     .thorough = true,
     .steps_min = 200},
    {.name = "record_lane_full",
     .run = full,
     .seed = SEED_EMPTY,
     .lanes = "2",
     .lane_kib = "16",
     .refused = true,
     .next_lane = true,
     .thorough = true,
     .steps_min = 100},
    {.name = "record_first_in_process",
     .run = first_use,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .steps_min = 2000,
     .only_long = true},
    {.name = "record_first_in_main_thread",
     .run = first_lane,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .steps_min = 1000},
    {.name = "record_first_makes_arena",
     .run = first_use,
     .seed = SEED_NOTHING,
     .lanes = "1",
     .lane_kib = "16",
     .steps_min = 2000},
    {.name = "record_after_init_makes_arena",
     .run = first_lane,
     .seed = SEED_NOTHING,
     .lanes = "1",
     .lane_kib = "16",
     .steps_min = 1000,
     .only_long = true},
    {.name = "record_first_in_thread",
     .run = second_thread,
     .seed = SEED_EMPTY,
     .lanes = "2",
     .lane_kib = "16",
     .steps_min = 1000},
    {.name = "record_after_dead_owner",
     .run = first_lane,
     .seed = SEED_DEAD,
     .lanes = "1",
     .lane_kib = "32",
     .steps_min = 1000},
    {.name = "record_after_half_record",
     .run = first_lane,
     .seed = SEED_HALF_RECORD,
     .lanes = "1",
     .lane_kib = "32",
     .steps_min = 1000},
    {.name = "record_after_half_slot",
     .run = first_lane,
     .seed = SEED_HALF_SLOT,
     .lanes = "1",
     .lane_kib = "32",
     .steps_min = 1000},
    {.name = "record_after_unpublished",
     .run = first_lane,
     .seed = SEED_UNPUBLISHED,
     .lanes = "1",
     .lane_kib = "32",
     .steps_min = 1000},
    {.name = "record_after_unguarded_owner",
     .run = first_lane,
     .seed = SEED_DEAD_UNGUARDED,
     .lanes = "1",
     .lane_kib = "32",
     .steps_min = 1000},
    {.name = "thread_exit",
     .run = ending_thread,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .thorough = true,
     .steps_min = 200},
    {.name = "call_begin_progress_end",
     .run = call,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .thorough = true,
     .steps_min = 600},
    {.name = "call_begin_first_in_thread",
     .run = call_first_use,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .steps_min = 1000},
    {.name = "shutdown_three_lanes",
     .run = shutdown_lanes,
     .seed = SEED_EMPTY,
     .lanes = "4",
     .lane_kib = "16",
     .thorough = true,
     .steps_min = 50},
    {.name = "record_after_shutdown",
     .run = record_after_shutdown,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .thorough = true,
     .steps_min = 200},
    {.name = "client_object",
     .run = client_object,
     .seed = SEED_EMPTY,
     .lanes = "1",
     .lane_kib = "16",
     .steps_min = 2000},
};
const unsigned int scenario_count = sizeof scenarios / sizeof scenarios[0];
