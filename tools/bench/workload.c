/* workload.c: the contenders. */
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <tally/abi.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (TALLY_LANE_BYTES_DEFAULT - TALLY_LANE_HEADER_BYTES)

const struct contender_entry contenders[CONTENDERS] = {
    {"tally_record", run_tally},
    {"memcpy + release store", run_memcpy},
    {"memcpy + clock + release store", run_memcpy_clock},
    {"write(2) of a ready JSON line", run_write},
};

struct tally_usage workload_usage(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    usage.provider = "openai";
    usage.operation = "chat";
    usage.request_model = "gpt-4o-mini";
    usage.team = "search";
    usage.input_tokens = 812;
    usage.output_tokens = 64;
    usage.duration_ns = 900000000;
    usage.status = TALLY_STATUS_OK;
    return usage;
}

int64_t run_tally(struct workload *workload, int count)
{
    int64_t start = now_ns();

    for (int i = 0; i < count; i++) {
        workload->usage.input_tokens = i;
        int result = tally_record(&workload->usage);
        if (result != 0)
            give_up("tally_record: %s", strerror(-result));
    }
    return now_ns() - start;
}

static inline uint8_t *room_for(struct workload *workload)
{
    uint64_t offset = workload->tail % RING_BYTES;

    if (offset + workload->record_bytes > RING_BYTES) {
        workload->tail += RING_BYTES - offset;
        offset = 0;
    }
    return workload->ring + offset;
}

static inline void publish(struct workload *workload)
{
    workload->tail += workload->record_bytes;
    /* pairs with nobody: it is here for what it costs */
    __atomic_store_n(workload->published, workload->tail, __ATOMIC_RELEASE);
}

int64_t run_memcpy(struct workload *workload, int count)
{
    int64_t start = now_ns();

    for (int i = 0; i < count; i++) {
        memcpy(room_for(workload), workload->record, workload->record_bytes);
        publish(workload);
    }
    return now_ns() - start;
}

int64_t run_memcpy_clock(struct workload *workload, int count)
{
    int64_t start = now_ns();

    for (int i = 0; i < count; i++) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t stamp = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        memcpy(workload->record + 24, &stamp, sizeof(stamp));
        memcpy(room_for(workload), workload->record, workload->record_bytes);
        publish(workload);
    }
    return now_ns() - start;
}

int64_t run_write(struct workload *workload, int count)
{
    int64_t start = now_ns();

    for (int i = 0; i < count; i++)
        if (write(workload->file, workload->line, workload->line_bytes) != (ssize_t)workload->line_bytes)
            give_up("write: %s", strerror(errno));
    return now_ns() - start;
}

/* ---- set-up --------------------------------------------------------------------------- */

/* The tail of the lane that this thread has taken, from the arena's file: how many bytes a record
 * takes is read off there rather than believed. */
static uint64_t own_tail(const struct plan *plan)
{
    struct tally_arena_header header;
    struct tally_lane_header lane;
    struct tally_lane_entry entry;
    char path[512];
    uint64_t tail = 0;
    int file;

    snprintf(path, sizeof(path), "%s%s", strchr(plan->arena + 1, '/') == NULL ? "/dev/shm" : "", plan->arena);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || pread(file, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        !tally_arena_header_sound(&header))
        give_up("%s: cannot be read as an arena", path);
    for (uint32_t i = 0; i < header.lane_count; i++) {
        off_t at = (off_t)(TALLY_LANE_TABLE_OFFSET + i * sizeof(entry));

        if (pread(file, &entry, sizeof(entry), at) != (ssize_t)sizeof(entry) ||
            entry.hint != (uint32_t)syscall(SYS_gettid))
            continue;
        at = (off_t)(tally_lane_offset(&header, i) + header.ring_bytes);
        if (pread(file, &lane, sizeof(lane), at) == (ssize_t)sizeof(lane))
            tail = lane.tail;
    }
    close(file);
    return tail;
}

void workload_drain(void)
{
    int result = tally_shutdown(10000);

    if (result != TALLY_DURABLE)
        give_up("the agent did not take the records within 10 s (%d)", result);
}

void workload_start(struct workload *workload, const struct plan *plan)
{
    char path[512];
    uint64_t before;

    memset(workload, 0, sizeof(*workload));
    workload->usage = workload_usage();
    run_tally(workload, 1);
    before = own_tail(plan);
    run_tally(workload, 100);
    workload->record_bytes = (uint32_t)((own_tail(plan) - before) / 100);
    if (workload->record_bytes < 64 || workload->record_bytes > sizeof(workload->record))
        give_up("a record takes %u bytes: the workload is not what it was meant to be",
                workload->record_bytes);

    workload->ring = mmap(NULL, RING_BYTES + TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (workload->ring == MAP_FAILED)
        give_up("mmap: %s", strerror(errno));
    workload->published = (uint64_t *)(void *)(workload->ring + RING_BYTES);
    memset(workload->record, 0x5a, sizeof(workload->record));

    snprintf(path, sizeof(path), "%s/lines.%d", plan->folder, (int)getpid());
    workload->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (workload->file < 0)
        give_up("%s: %s", path, strerror(errno));
    unlink(path);
    workload->line_bytes = (size_t)snprintf(workload->line, sizeof(workload->line),
                                            "{\"time_unix_ns\":1700000000000000000,\"provider\":\"openai\","
                                            "\"operation\":\"chat\",\"request_model\":\"gpt-4o-mini\","
                                            "\"team\":\"search\",\"input_tokens\":812,\"output_tokens\":64,"
                                            "\"duration_ns\":900000000,\"status\":\"ok\"}\n");
    workload_drain();
}
