/* board.c: a file under the board's name, as a client meets it: looked at, accepted or not, and then read
 * with each record while it goes on changing.
 *
 * Input: struct plan, the board's bytes, and then changes to it: where (two bytes), how many (one), what.
 */
#include "fuzz/client.h"

enum {
    MEND = 1,   /* magic, version, lanes and uuid are this arena's */
    LINK = 2,   /* the name is a symbolic link to it */
    SECOND = 4, /* it has another name besides */
    SHORT = 8,  /* the file is a page only */
    AGENT = 16, /* somebody holds the agent's lock */
    MODE = 32   /* permissions are the plan's */
};

struct plan {
    uint8_t flags;
    uint8_t mode;
    uint8_t records; /* between two changes */
    uint8_t leave;   /* leave the lane at each so manieth change */
};

#define BOARD_BYTES (TALLY_BOARD_LANES_OFFSET + FUZZ_LANES * sizeof(struct tally_board_lane))

static struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

static int make_board(const uint8_t *bytes, const struct plan *plan)
{
    char other[340];
    mode_t mode = plan->flags & MODE ? plan->mode : 0600;
    size_t length = plan->flags & SHORT ? TALLY_BOARD_LANES_OFFSET : BOARD_BYTES;

    snprintf(other, sizeof other, "%s.other", client.board_path);
    unlink(other);
    const char *path = plan->flags & LINK ? other : client.board_path;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    fuzz_expect(fd >= 0 && write(fd, bytes, length) == (ssize_t)length && fchmod(fd, mode) == 0);
    if (plan->flags & LINK)
        fuzz_expect(symlink(other, client.board_path) == 0);
    else if (plan->flags & SECOND)
        fuzz_expect(link(client.board_path, other) == 0);
    return fd;
}

/* Written down a second time: what DESIGN says of a board that is accepted. */
static bool acceptable(const uint8_t *bytes, const struct plan *plan)
{
    struct tally_board board;
    memcpy(&board, bytes, sizeof board);
    bool file = !(plan->flags & (LINK | SECOND | SHORT)) && !(plan->flags & MODE && plan->mode & 022);
    /* not root: a file without the owner's right to read cannot be opened */
    if (geteuid() && plan->flags & MODE && !(plan->mode & 0400))
        return false;
    return file && board.magic == TALLY_BOARD_MAGIC && board.abi == TALLY_ABI &&
           board.lane_count == FUZZ_LANES && !memcmp(board.arena_uuid, client.header.uuid, 16) &&
           board.announce >> 32 != TALLY_AGENT_MOVED;
}

static void change(int fd, struct fuzz_input *input)
{
    uint8_t bytes[256];
    uint16_t where;
    fuzz_take(input, &where, sizeof where);
    size_t length = fuzz_byte(input);
    fuzz_take(input, bytes, length);
    size_t at = where % BOARD_BYTES;
    if (at + length > BOARD_BYTES)
        length = BOARD_BYTES - at;
    fuzz_expect(pwrite(fd, bytes, length, (off_t)at) == (ssize_t)length);
}

static void use(int fd, struct fuzz_input *input, const struct plan *plan)
{
    int64_t number = 0;
    for (int changes = 0; changes < 8; changes++) {
        /* A second or so has passed: the library looks around by itself only then. */
        if (tally_thread.lane)
            tally_thread.lane->looked_ns = 0;
        for (int i = 0; i <= plan->records % 64; i++)
            client_record(number++);
        if (!input->left)
            break;
        change(fd, input);
        if (plan->leave && changes % plan->leave == 0)
            client_leave();
        fuzz_expect(tally_shutdown(plan->flags & AGENT ? 1 : 0) >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[BOARD_BYTES];
    struct fuzz_input input = {data, size};
    struct plan plan;
    int agent = -1;

    if (!client.view)
        client_start();
    client_renew();
    fuzz_take(&input, &plan, sizeof plan);
    fuzz_take(&input, bytes, sizeof bytes);
    if (plan.flags & MEND) {
        struct tally_board board;
        memcpy(&board, bytes, sizeof board);
        board.magic = TALLY_BOARD_MAGIC;
        board.abi = TALLY_ABI;
        board.lane_count = FUZZ_LANES;
        memcpy(board.arena_uuid, client.header.uuid, sizeof board.arena_uuid);
        memcpy(bytes, &board, sizeof board);
    }
    int fd = make_board(bytes, &plan);
    if (plan.flags & AGENT) {
        agent = open(client.lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        fuzz_expect(agent >= 0 && fcntl(agent, F_OFD_SETLK, &lock) == 0);
    }
    arena_look_for_board(client.view);
    fuzz_expect((client.view->board != &arena_no_board) == acceptable(bytes, &plan));
    use(fd, &input, &plan);
    close(fd);
    if (agent >= 0)
        close(agent);
    unlink(client.lock_path);
    return 0;
}
