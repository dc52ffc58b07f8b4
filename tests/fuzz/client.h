/* client.h: a client in the fuzzer's own process, in an arena of its own. Each input finds the
 * arena as new: the library maps it once, and its contents are put back.
 */
#ifndef TESTS_FUZZ_CLIENT_H
#define TESTS_FUZZ_CLIENT_H

#include "fuzz/fuzz.h"

#include "arena/record_check.h"

#include <arena.h>
#include <errno.h>
#include <fcntl.h>
#include <lane.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tally/tally.h>

static struct {
    char folder[256];
    char path[300];
    char board_path[320];
    char lock_path[320];
    int fd;
    uint8_t *bytes; /* the neighbour's own mapping of the whole arena */
    uint64_t length;
    struct tally_arena_header header;
    struct arena_view *view;
} client;

static inline struct tally_lane_header *client_lane(uint32_t lane)
{
    return (void *)(client.bytes + tally_lane_offset(&client.header, lane) + client.header.ring_bytes);
}

static inline void client_start(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;

    fuzz_folder(client.folder, sizeof client.folder);
    snprintf(client.path, sizeof client.path, "%s/arena", client.folder);
    snprintf(client.board_path, sizeof client.board_path, "%s.board", client.path);
    snprintf(client.lock_path, sizeof client.lock_path, "%s.lock", client.path);
    setenv("TALLY_ARENA", client.path, 1);
    setenv("TALLY_LANES", "4", 1);
    setenv("TALLY_LANE_KIB", "16", 1);
    setenv("TALLY_OVERFLOW", "block", 1);
    setenv("TALLY_BLOCK_MS", "1", 1);
    fuzz_expect(tally_record(&usage) == 0);
    client.fd = arena_file_open_existing(client.path, (gid_t)-1, O_RDWR, &client.header);
    fuzz_expect(client.fd >= 0 && client.header.lane_count == FUZZ_LANES);
    client.length = tally_arena_bytes(&client.header);
    client.bytes = mmap(NULL, client.length, PROT_READ | PROT_WRITE, MAP_SHARED, client.fd, 0);
    fuzz_expect(client.bytes != MAP_FAILED);
    client.view = tally_thread.lane->arena;
}

/* What an exiting thread does; the next record takes a lane anew. */
static inline void client_leave(void)
{
    tally_thread.refused_until = 0;
    if (tally_thread.lane)
        lane_give_up(&tally_thread);
}

/* The arena and what the library knows of it as they were at first. */
static inline void client_renew(void)
{
    const struct tally_board *board = client.view->board;
    client_leave();
    memcpy(client.bytes, &client.header, sizeof client.header);
    memset(client.bytes + sizeof client.header, 0, client.header.header_bytes - sizeof client.header);
    for (uint32_t lane = 0; lane < FUZZ_LANES; lane++)
        memset(client_lane(lane), 0, TALLY_LANE_HEADER_BYTES);
    for (struct lane_view *lane = tally_process.lanes; lane; lane = lane->next) {
        lane->board = &arena_no_board;
        lane->holder = 0;
    }
    if (board != &arena_no_board)
        munmap((void *)(uintptr_t)board, tally_board_bytes(FUZZ_LANES));
    client.view->board = &arena_no_board;
    unlink(client.board_path);
}

/* A record, after which it stands in the thread's lane, whole and under its number; or it was refused. */
static inline void client_record(int64_t number)
{
    _Alignas(8) uint8_t bytes[TALLY_RECORD_BYTES_MAX];
    struct tally_usage usage = TALLY_USAGE_INIT;

    usage.provider = "test";
    usage.output_tokens = number;
    int result = tally_record(&usage);
    if (result) {
        fuzz_expect(result == -EAGAIN || result == -EUSERS);
        return;
    }
    const struct lane_view *lane = tally_thread.lane;
    fuzz_expect(lane && lane->lane < FUZZ_LANES);
    fuzz_expect(lane->durable <= lane->tail && lane->tail - lane->durable <= lane->ring_bytes);
    fuzz_expect(lane->offset == lane->tail % lane->ring_bytes);
    /* One field of four bytes and one of a text: 8 + 8 after the header. */
    uint32_t length = (uint32_t)sizeof(struct tally_record_header) + 16;
    struct record_place place = {.position = lane->tail - length,
                                 .sequence = lane->sequence - 1,
                                 .available = length,
                                 .published = length,
                                 .ring_bytes = lane->ring_bytes};
    memcpy(bytes, lane->ring + place.position % lane->ring_bytes, length);
    fuzz_expect(record_check(bytes, &place) == RECORD_GOOD);
}

#endif
