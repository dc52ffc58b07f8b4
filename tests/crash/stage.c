#include "crash/stage.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <tally/record.h>
#include <time.h>
#include <unistd.h>

struct stage *stage;

static char json[TALLY_RECORD_BYTES_MAX];

#define CLOCKS 8 /* those that a process may ask for: CLOCK_REALTIME to CLOCK_BOOTTIME */

#define stop() __asm__ volatile("int3" ::: "memory")

void stage_pause(void)
{
    stage->phase = STAGE_PAUSED;
    stop();
}

/* The clocks, as they were when the victim began. To be stepped takes long: then the library would look for a new board in between, as it
 * does now and then, and the kernel's own code behind clock_gettime(3), in the vDSO, would never find two equal
 * values. So all victims go the same way. */
static struct {
    bool stand;
    struct timespec at[CLOCKS];
} clocks;

static void stop_clocks(void)
{
    for (clockid_t which = 0; which < CLOCKS; which++)
        syscall(SYS_clock_gettime, which, &clocks.at[which]);
    clocks.stand = true;
}

/* In place of the C library's, for all of this program.
 * NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
int clock_gettime(clockid_t which, struct timespec *now)
{
    if (!clocks.stand || which < 0 || which >= CLOCKS)
        return (int)syscall(SYS_clock_gettime, which, now);
    *now = clocks.at[which];
    return 0;
}

void stage_begin(void)
{
    stop_clocks();
    stage->phase = STAGE_BEGUN;
    stop();
}

void stage_end(void)
{
    stage->phase = STAGE_ENDED;
    stop();
}

void stage_join(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        stage_fail("PTRACE_TRACEME");
}

void stage_fail(const char *what)
{
    fprintf(stderr, "victim: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static struct stage_entry *entry_open(uint32_t kind, uint32_t number)
{
    uint32_t index = stage->entries;
    if (index >= STAGE_ENTRIES_MAX)
        stage_fail("too many records for the log");
    struct stage_entry *entry = &stage->entry[index];
    entry->role = stage->role;
    entry->kind = kind;
    entry->number = number;
    entry->state = STAGE_ATTEMPTED;
    stage->entries = index + 1;
    return entry;
}

static int entry_close(struct stage_entry *entry, int result)
{
    entry->result = result;
    entry->state = STAGE_RETURNED;
    return result;
}

static struct tally_usage usage_of(uint32_t number)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    usage.provider = "openai";
    usage.operation = "chat";
    usage.request_model = "gpt-4o-mini";
    usage.input_tokens = number;
    usage.output_tokens = 64;
    return usage;
}

int stage_record(size_t json_bytes)
{
    struct tally_usage usage = usage_of(++stage->next);
    if (json_bytes) {
        memset(json, ' ', sizeof json);
        usage.usage_json = json;
        usage.usage_json_length = json_bytes;
    }
    struct stage_entry *entry = entry_open(TALLY_KIND_USAGE, stage->next);
    return entry_close(entry, tally_record(&usage));
}

int stage_client_record(struct tally_client *client)
{
    struct tally_usage usage = usage_of(++stage->next);
    struct stage_entry *entry = entry_open(TALLY_KIND_USAGE, stage->next);
    return entry_close(entry, tally_client_record(client, &usage));
}

/* A best effort, but one that succeeds where there is room. */
void stage_client_release(struct tally_client *client)
{
    struct stage_entry *entry = entry_open(TALLY_KIND_CLIENT_END, 0);
    tally_client_release(client);
    entry_close(entry, 0);
}

int stage_call_begin(struct tally_call *call)
{
    struct tally_usage usage = usage_of(stage->call = ++stage->next);
    struct stage_entry *entry = entry_open(TALLY_KIND_CALL_BEGIN, stage->call);
    return entry_close(entry, tally_call_begin(call, &usage));
}

int stage_call_progress(struct tally_call *call)
{
    struct tally_usage usage = usage_of(stage->call);
    struct stage_entry *entry = entry_open(TALLY_KIND_CALL_PROGRESS, stage->call);
    return entry_close(entry, tally_call_progress(call, &usage));
}

int stage_call_end(struct tally_call *call)
{
    struct tally_usage usage = usage_of(stage->call);
    struct stage_entry *entry = entry_open(TALLY_KIND_CALL_END, stage->call);
    return entry_close(entry, tally_call_end(call, &usage));
}
