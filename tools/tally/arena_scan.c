#include "arena_scan.h"
#include "command.h"
#include "state.h"
#include "arena_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A slot is missed only if the writer publishes twice within one copy of the header: soon one is not. */
#define LOOKS_MAX 100

/* Smaller than this no record is. */
#define RECORD_BYTES_MIN sizeof(struct tally_record_header)

enum agent_presence arena_agent(const char *path)
{
    char sibling[ARENA_SIBLING_MAX];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    arena_sibling(sibling, path, ".lock");
    int fd = open(sibling, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? AGENT_NONE : AGENT_UNKNOWN;
    int result = fcntl(fd, F_OFD_GETLK, &lock);
    close(fd);
    if (result != 0)
        return AGENT_UNKNOWN;
    return lock.l_type == F_UNLCK ? AGENT_NONE : AGENT_RUNNING;
}

/* ---- the board -------------------------------------------------------------------------------- */

static int open_board(struct arena_scan *scan)
{
    char sibling[ARENA_SIBLING_MAX];
    struct stat status;

    arena_sibling(sibling, scan->path, ".board");
    int fd = open(sibling, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        pread(fd, &scan->board, sizeof(scan->board), 0) == (ssize_t)sizeof(scan->board) &&
        scan->board.magic == TALLY_BOARD_MAGIC && scan->board.abi == TALLY_ABI &&
        scan->board.lane_count == scan->reader.header.lane_count &&
        memcmp(scan->board.arena_uuid, scan->reader.header.uuid, sizeof(scan->board.arena_uuid)) == 0) {
        scan->board.agent_version[sizeof(scan->board.agent_version) - 1] = '\0';
        scan->board.spill_directory[sizeof(scan->board.spill_directory) - 1] = '\0';
        scan->board_there = true;
        return fd;
    }
    close(fd);
    return -1;
}

static void read_durable(const struct arena_scan *scan, int board, struct lane_scan *lane)
{
    off_t offset = TALLY_BOARD_LANES_OFFSET + (off_t)lane->lane * (off_t)sizeof(lane->durable);

    if (!scan->board_there ||
        pread(board, &lane->durable, sizeof(lane->durable), offset) != (ssize_t)sizeof(lane->durable))
        memset(&lane->durable, 0, sizeof(lane->durable));
}

/* ---- lanes --------------------------------------------------------------------------------------- */

static const char *lane_trouble(const struct arena_scan *scan, const struct lane_scan *lane)
{
    const struct lane_head *look = &lane->look;

    if (!look->slotted)
        return "no slot fits its tail";
    if (look->tail % 8 != 0)
        return "its tail is not aligned";
    if (look->sequence > look->tail / RECORD_BYTES_MIN)
        return "more records than its tail has room for";
    if (!scan->board_there)
        return NULL;
    if (look->tail < lane->durable.position || look->sequence < lane->durable.sequence)
        return "its tail is behind what is durable";
    if (look->tail - lane->durable.position > scan->reader.header.ring_bytes)
        return "its tail is further on than its ring is long";
    return NULL;
}

static int scan_lane(const struct arena_scan *scan, int board, struct lane_scan *lane)
{
    read_durable(scan, board, lane);
    for (int looks = 0; looks < LOOKS_MAX; looks++) {
        int error = lane_read_head(&scan->reader, lane->lane, &lane->look);
        if (error != 0)
            return error;
        if (lane->look.slotted)
            break;
    }
    lane->trouble = lane_trouble(scan, lane);
    /* The agent may have moved on, and the writer a lap further, between the two reads. The board as it is now is no
     * older than the tail: if that fits, or has passed the tail already, nothing is wrong. */
    if (lane->trouble != NULL && lane->look.slotted && lane->look.tail >= lane->durable.position) {
        read_durable(scan, board, lane);
        if (lane->look.tail % 8 == 0 && lane->look.tail < lane->durable.position)
            lane->durable =
                (struct tally_board_lane){.position = lane->look.tail, .sequence = lane->look.sequence};
        lane->trouble = lane_trouble(scan, lane);
    }
    return 0;
}

static bool ever_used(const struct lane_scan *lane)
{
    const struct lane_head *look = &lane->look;

    return look->owner != 0 || look->tail != 0 || look->identity.tid != 0 || look->refused_full != 0 ||
           lane->tenures != 0 || lane->trouble != NULL;
}

static int scan_lanes(struct arena_scan *scan, int board)
{
    struct arena_table *table = must_allocate(sizeof(*table));
    size_t capacity = 0;
    int error = arena_reader_table(&scan->reader, table);

    memcpy(scan->refused, table->refused, sizeof(scan->refused));
    for (uint32_t i = 0; error == 0 && i < scan->reader.header.lane_count; i++) {
        struct lane_scan lane = {.lane = i, .tenures = table->entries[i].tenures};
        error = scan_lane(scan, board, &lane);
        if (error != 0 || !ever_used(&lane))
            continue;
        if (scan->lane_count == capacity) {
            capacity = capacity * 2 + 16;
            scan->lanes = must_resize(scan->lanes, capacity, sizeof(*scan->lanes));
        }
        scan->lanes[scan->lane_count++] = lane;
        scan->damaged += lane.trouble != NULL;
        scan->held += lane.look.owner != 0 && (lane.look.owner & FUTEX_OWNER_DIED) == 0;
    }
    free(table);
    return error;
}

int arena_scan(struct arena_scan *scan, const char *path)
{
    struct stat status;
    uid_t uid = geteuid();

    memset(scan, 0, sizeof(*scan));
    scan->reader.fd = -1;
    scan->path = must_copy(path);
    /* root may look at anybody's. */
    if (uid == 0 && lstat(path, &status) == 0)
        uid = status.st_uid;
    int error = arena_reader_open(&scan->reader, path, uid, arena_group(getenv("TALLY_GROUP")));
    if (error != 0)
        return error;
    int board = open_board(scan);
    error = scan_lanes(scan, board);
    if (board >= 0)
        close(board);
    scan->agent = arena_agent(path);
    return error;
}

void arena_scan_free(struct arena_scan *scan)
{
    if (scan->reader.fd >= 0)
        arena_reader_close(&scan->reader);
    free(scan->lanes);
    free(scan->path);
    memset(scan, 0, sizeof(*scan));
    scan->reader.fd = -1;
}

const char *arena_scan_error(int error)
{
    switch (error) {
    case -ENOENT:
        return "does not exist: nobody has recorded anything yet, or TALLY_ARENA is another";
    case -EACCES:
    case -EPERM:
        return "is not yours, or not to be trusted (owner, links or mode): run it as the owner, or remove it "
               "if "
               "it is a stranger's";
    case -EBADMSG:
        return "is no arena of this version's layout: stop its clients and remove it, or use the 'tally' "
               "that "
               "belongs to them";
    case -ENODATA:
        return "has been cut short: somebody who may write it has truncated it";
    default:
        return strerror(-error);
    }
}

const struct lane_scan *arena_scan_lane(const struct arena_scan *scan, uint32_t lane)
{
    for (size_t i = 0; i < scan->lane_count; i++) {
        if (scan->lanes[i].lane == lane)
            return &scan->lanes[i];
    }
    return NULL;
}

int arena_paths(const struct common *common, char **paths)
{
    size_t count = common->arena_count != 0 ? common->arena_count : 1;

    for (size_t i = 0; i < count; i++) {
        const char *name = common->arena_count != 0 ? common->arenas[i] : getenv("TALLY_ARENA");
        paths[i] = state_arena_path(name);
        if (paths[i] == NULL) {
            while (i-- > 0)
                free(paths[i]);
            return -1;
        }
    }
    return (int)count;
}
