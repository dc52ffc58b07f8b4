/* lane.c: a client among neighbours that scribble over everything: the arena's header and table before a lane is
 * taken, any of the lanes' headers and rings at any time after.
 *
 * Input: struct plan, 32 bytes of lane table, the four lines of each lane's header, and then
 * changes while records are made: where (four bytes, in the arena), how many (one), what. The fixed part of the arena's
 * header stays: it is believed only when the arena is opened, and arena.c is about that.
 */
#include "fuzz/client.h"

struct plan {
    uint8_t records; /* between two changes */
    uint8_t leave;   /* leave the lane at each so manieth change */
    uint8_t unused[2];
};

#define LINES_BYTES (4 * TALLY_CACHE_LINE_BYTES)

/* A board that says: all is durable up to what the lanes' headers say now. */
static struct {
    struct tally_board board;
    uint8_t gap[TALLY_BOARD_LANES_OFFSET - sizeof(struct tally_board)];
    struct tally_board_lane lanes[FUZZ_LANES];
} notice;

static void set_up(struct fuzz_input *input)
{
    fuzz_take(input, client.bytes + TALLY_LANE_TABLE_OFFSET, FUZZ_LANES * sizeof(struct tally_lane_entry));
    for (uint32_t lane = 0; lane < FUZZ_LANES; lane++)
        fuzz_take(input, (uint8_t *)client_lane(lane) + TALLY_LANE_HEADER_BYTES - LINES_BYTES, LINES_BYTES);
    memset(&notice, 0, sizeof notice);
    notice.board.magic = TALLY_BOARD_MAGIC;
    notice.board.abi = TALLY_ABI;
    notice.board.lane_count = FUZZ_LANES;
    memcpy(notice.board.arena_uuid, client.header.uuid, sizeof notice.board.arena_uuid);
    for (uint32_t lane = 0; lane < FUZZ_LANES; lane++)
        if (client_lane(lane)->tail < UINT64_C(1) << 48) /* further than that no agent follows */
            notice.lanes[lane].position = client_lane(lane)->tail;
    int fd = open(client.board_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    fuzz_expect(fd >= 0 && write(fd, &notice, sizeof notice) == (ssize_t)sizeof notice);
    close(fd);
}

static void change(struct fuzz_input *input)
{
    uint8_t bytes[256];
    uint32_t where;
    fuzz_take(input, &where, sizeof where);
    size_t length = fuzz_byte(input);
    fuzz_take(input, bytes, length);
    uint64_t first = offsetof(struct tally_arena_header, doorbell);
    uint64_t at = first + where % (client.length - first - sizeof bytes);
    memcpy(client.bytes + at, bytes, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct plan plan;
    int64_t number = 0;

    if (!client.view)
        client_start();
    client_renew();
    fuzz_take(&input, &plan, sizeof plan);
    set_up(&input);
    for (int changes = 0; changes < 16; changes++) {
        if (tally_thread.lane)
            tally_thread.lane->looked_ns = 0;
        for (int i = 0; i <= plan.records % 64; i++)
            client_record(number++);
        if (!input.left)
            break;
        change(&input);
        if (plan.leave && changes % plan.leave == 0)
            client_leave();
        fuzz_expect(tally_shutdown(0) >= 0);
    }
    return 0;
}
