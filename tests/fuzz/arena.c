/* arena.c: a file under an arena's name, opened by the agent and by a client, and read as far as it lets itself be read.
 *
 * Input: struct plan, then the file's first bytes. Both sides decide alike; what they accept can be read to its end, or
 * is found truncated, and nothing else happens.
 */
#include "fuzz/fuzz.h"

#include "arena/arena_reader.h"
#include "arena/lane_reader.h"

#include <arena_file.h>
#include <errno.h>
#include <fcntl.h>

enum {
    MEND = 1,   /* magic, version and derived sizes are made to hold */
    SHRINK = 2, /* the file is truncated once it is open */
    MODE = 4    /* its permissions are the plan's */
};

struct plan {
    uint8_t flags;
    uint8_t mode;
    uint16_t lanes_looked_at;
    uint32_t missing;     /* bytes by which the file is shorter than its header says */
    uint32_t shrunken_to; /* in pages */
};

/* Sparse, but a file of the greatest geometry costs nothing only where files may be that large. */
#define FILE_BYTES_MAX (UINT64_C(1) << 38)

static char path[300];
static char folder[256];

static uint64_t make_file(struct fuzz_input *input, const struct plan *plan)
{
    unsigned char first[2 * TALLY_PAGE_BYTES];
    struct tally_arena_header header;
    size_t length = input->left < sizeof first ? input->left : sizeof first;

    fuzz_take(input, first, length);
    if (length < sizeof header)
        memset(first + length, 0, sizeof header - length);
    memcpy(&header, first, sizeof header);
    if (plan->flags & MEND) {
        header.magic = TALLY_ARENA_MAGIC;
        header.abi = TALLY_ABI;
        header.lane_count = header.lane_count % TALLY_LANE_COUNT_MAX + 1;
        header.header_bytes = tally_arena_header_bytes(header.lane_count);
        header.lane_bytes = TALLY_LANE_BYTES_MIN + header.lane_bytes %
                                                       (TALLY_LANE_BYTES_MAX - TALLY_LANE_BYTES_MIN + 1) /
                                                       TALLY_PAGE_BYTES * TALLY_PAGE_BYTES;
        header.ring_bytes = header.lane_bytes - TALLY_LANE_HEADER_BYTES;
        memcpy(first, &header, sizeof header);
        if (length < sizeof header)
            length = sizeof header;
    }
    uint64_t bytes = tally_arena_bytes(&header);
    if (!(plan->flags & MEND) && bytes > FILE_BYTES_MAX)
        bytes = length;
    bytes = bytes > plan->missing ? bytes - plan->missing : 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_expect(fd >= 0 && write(fd, first, length) == (ssize_t)length);
    fuzz_expect(ftruncate(fd, (off_t)bytes) == 0);
    fuzz_expect(fchmod(fd, plan->flags & MODE ? plan->mode : 0600) == 0);
    close(fd);
    return bytes;
}

/* 0 or -ENODATA, and nothing else. */
static void expect_read(int result)
{
    fuzz_expect(result == 0 || result == -ENODATA);
}

static void read_lane(const struct arena_reader *reader, uint32_t lane)
{
    struct lane_head head;
    uint64_t ring_bytes = reader->header.ring_bytes;
    int result = lane_read_head(reader, lane, &head);
    expect_read(result);
    if (result || !head.slotted)
        return;
    uint64_t bytes = head.tail < ring_bytes ? head.tail : ring_bytes;
    if (bytes > 3 * TALLY_RECORD_BYTES_MAX)
        bytes = 3 * TALLY_RECORD_BYTES_MAX;
    void *buffer = malloc(bytes ? (size_t)bytes : 1);
    fuzz_expect(buffer);
    expect_read(lane_read_ring(reader, lane, head.tail - bytes, head.tail, buffer));
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena_table table;
    struct fuzz_input input = {data, size};
    struct arena_reader reader;
    struct tally_arena_header header;
    struct plan plan;
    uint32_t doorbell;

    if (!folder[0]) {
        fuzz_folder(folder, sizeof folder);
        snprintf(path, sizeof path, "%s/arena", folder);
    }
    fuzz_take(&input, &plan, sizeof plan);
    uint64_t bytes = make_file(&input, &plan);
    int agents = arena_reader_open(&reader, path, geteuid(), (gid_t)-1);
    int clients = arena_file_open_existing(path, (gid_t)-1, O_RDWR, &header);
    fuzz_expect((agents == 0) == (clients >= 0));
    if (agents) {
        fuzz_expect(agents == clients);
        fuzz_expect(agents == -EBADMSG || agents == -EACCES);
        unlink(path); /* of whatever mode */
        return 0;
    }
    fuzz_expect(memcmp(&header, &reader.header, sizeof header) == 0);
    fuzz_expect(bytes >= tally_arena_bytes(&header));
    close(clients);
    if (plan.flags & SHRINK)
        fuzz_expect(truncate(path, (off_t)plan.shrunken_to * TALLY_PAGE_BYTES) == 0);
    expect_read(arena_reader_table(&reader, &table));
    expect_read(arena_reader_doorbell(&reader, &doorbell));
    for (uint32_t lane = 0; lane < header.lane_count && lane <= plan.lanes_looked_at % 64; lane++)
        read_lane(&reader, lane);
    read_lane(&reader, header.lane_count - 1);
    arena_reader_close(&reader);
    unlink(path);
    return 0;
}
