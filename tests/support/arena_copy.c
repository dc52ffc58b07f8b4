#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>

/* The format in numbers, from its description. */
enum {
    HEADER_BYTES_AT = 12,
    UUID_AT = 16,
    LANE_COUNT_AT = 32,
    LANE_BYTES_AT = 36,
    RING_BYTES_AT = 40,
    DOORBELL_AT = 128,
    REFUSED_AT = 192,
    TABLE_AT = 1024,
    TABLE_ENTRY_BYTES = 8,
    /* from the start of a lane's last page */
    PID_AT = 3840,
    TID_AT = 3844,
    FINAL_AT = 3904,
    REFUSED_FULL_AT = 3912,
    TAIL_AT = 3968,
    SLOTS_AT = 3976,
    OWNER_AT = 4076,
    /* a record */
    RECORD_HEADER_BYTES = 40,
    RECORD_BYTES_MAX = 4096,
    KIND_AT = 4,
    SEQUENCE_AT = 8,
    POSITION_AT = 16,
    CHECKSUM_AT = 32,
    /* the board */
    BOARD_LANES_AT = 4096,
    BOARD_LANE_BYTES = 24
};

static uint64_t number(const uint8_t *at, int bytes)
{
    uint64_t value = 0;

    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* The high half xor the low half of a 64 by 64 bit product, by schoolbook. */
static uint64_t folded_product(uint64_t a, uint64_t b)
{
    uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
    uint64_t cross_a = (a >> 32) * (b & UINT32_MAX);
    uint64_t cross_b = (a & UINT32_MAX) * (b >> 32);
    uint64_t high = (a >> 32) * (b >> 32);
    uint64_t middle = (low >> 32) + (cross_a & UINT32_MAX) + (cross_b & UINT32_MAX);

    high += (cross_a >> 32) + (cross_b >> 32) + (middle >> 32);
    low = (middle << 32) | (low & UINT32_MAX);
    return high ^ low;
}

static uint32_t checksum(const uint8_t *record, uint32_t length)
{
    const uint64_t golden = 11400714819323198485U;
    uint64_t sum = length * golden;
    uint64_t key = 15111065706836454659U;
    uint32_t at = 0;

    while (length - at >= 16) {
        uint64_t first = number(record + at, 8);
        uint64_t second = number(record + at + 8, 8);
        sum += folded_product(first ^ key, second ^ (key + 10140184033053478359U));
        key += 11562461410679940143U;
        at += 16;
    }
    if (length - at >= 8)
        sum += folded_product(number(record + at, 8) ^ key, 16646288086500911323U);
    sum ^= sum >> 32;
    sum *= golden;
    return (uint32_t)(sum >> 32);
}

/* One record of the ring. Returns its bytes, 0 if it is none. */
static uint32_t walk_record(struct lane_copy *lane, uint8_t *ring, uint32_t ring_bytes, uint64_t position,
                            uint64_t *sequence)
{
    uint8_t *record = ring + position % ring_bytes;
    uint32_t to_end = ring_bytes - (uint32_t)(position % ring_bytes);
    uint32_t length = (uint32_t)number(record, 4);
    uint32_t kind = (uint32_t)number(record + KIND_AT, 2);

    if (length % 8 != 0 || length > to_end || position + length > lane->tail)
        return 0;
    if (kind == COPY_PADDING && length == to_end) {
        lane->kinds[kind]++;
        return length;
    }
    if (kind == 0 || kind >= COPY_KINDS || length < RECORD_HEADER_BYTES || length > RECORD_BYTES_MAX)
        return 0;
    uint32_t stated = (uint32_t)number(record + CHECKSUM_AT, 4);
    memset(record + CHECKSUM_AT, 0, 4);
    lane->damaged += checksum(record, length) != stated;
    lane->damaged += number(record + POSITION_AT, 8) != position;
    uint64_t found = number(record + SEQUENCE_AT, 8);
    lane->damaged += *sequence != 0 && found != *sequence + 1;
    *sequence = found;
    lane->kinds[kind]++;
    return length;
}

static void walk(struct lane_copy *lane, uint8_t *ring, uint32_t ring_bytes, uint64_t from)
{
    uint64_t sequence = 0;
    uint64_t position = from;

    lane->walked = true;
    while (position < lane->tail) {
        uint32_t length = walk_record(lane, ring, ring_bytes, position, &sequence);
        if (length == 0) {
            lane->damaged++;
            return;
        }
        position += length;
    }
    /* numbers are unbroken up to the one that the header states, and from 1 if all is there */
    if (from < lane->tail)
        lane->damaged += sequence != lane->sequence;
    if (from == 0) {
        uint64_t numbered = 0;
        for (int kind = COPY_CLIENT; kind < COPY_KINDS; kind++)
            numbered += lane->kinds[kind];
        lane->damaged += numbered != lane->sequence;
    }
}

static void read_lane_header(struct lane_copy *lane, const uint8_t *page)
{
    lane->tail = number(page + TAIL_AT, 8);
    lane->final_sequence = number(page + FINAL_AT, 8);
    lane->refused_full = number(page + REFUSED_FULL_AT, 8);
    lane->owner = (uint32_t)number(page + OWNER_AT, 4);
    lane->pid = (uint32_t)number(page + PID_AT, 4);
    lane->tid = (uint32_t)number(page + TID_AT, 4);
    for (int slot = 0; slot < 2; slot++)
        if (number(page + SLOTS_AT + slot * 16, 8) == lane->tail) {
            lane->sequence = number(page + SLOTS_AT + slot * 16 + 8, 8);
            return;
        }
    lane->damaged++;
}

/* A position that is the start of a record and still in the ring: 0, or how far the board says it is durable. */
static bool known_start(const char *path, uint32_t index, const struct lane_copy *lane, uint32_t ring_bytes,
                        uint64_t *from)
{
    char board[200];
    uint8_t entry[BOARD_LANE_BYTES];

    *from = 0;
    if (lane->tail <= ring_bytes)
        return true;
    snprintf(board, sizeof(board), "%s.board", path);
    int file = open(board, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool read = pread(file, entry, sizeof(entry), BOARD_LANES_AT + (off_t)index * BOARD_LANE_BYTES) ==
                (ssize_t)sizeof(entry);
    close(file);
    *from = number(entry, 8);
    return read && *from <= lane->tail && lane->tail - *from <= ring_bytes;
}

bool arena_copy_read(struct arena_copy *copy, const char *path)
{
    uint8_t head[256];
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    memset(copy, 0, sizeof(*copy));
    if (file < 0)
        return false;
    assert_int_equal(pread(file, head, sizeof(head), 0), sizeof(head));
    assert_memory_equal(head, "TLYARENA", 8);
    uint64_t header_bytes = number(head + HEADER_BYTES_AT, 4);
    uint32_t lane_bytes = (uint32_t)number(head + LANE_BYTES_AT, 4);
    uint32_t ring_bytes = (uint32_t)number(head + RING_BYTES_AT, 4);
    assert_int_equal(ring_bytes + 4096, lane_bytes);
    memcpy(copy->uuid, head + UUID_AT, 16);
    copy->lane_count = (uint32_t)number(head + LANE_COUNT_AT, 4);
    copy->doorbell = (uint32_t)number(head + DOORBELL_AT, 4);
    for (int i = 0; i < COPY_REFUSALS; i++)
        copy->refused[i] = number(head + REFUSED_AT + i * 8, 8);
    copy->lanes = calloc(copy->lane_count, sizeof(*copy->lanes));
    uint8_t *bytes = malloc(lane_bytes);
    assert_non_null(copy->lanes);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < copy->lane_count; i++) {
        struct lane_copy *lane = &copy->lanes[i];
        uint8_t entry[TABLE_ENTRY_BYTES];
        uint64_t from;
        off_t offset = (off_t)(header_bytes + (uint64_t)i * lane_bytes);
        assert_int_equal(pread(file, entry, sizeof(entry), TABLE_AT + (off_t)i * TABLE_ENTRY_BYTES),
                         sizeof(entry));
        lane->tenures = (uint32_t)number(entry, 4);
        if (lane->tenures == 0)
            continue;
        /* the header first: what stands below its tail then is complete when the ring is read */
        assert_int_equal(pread(file, bytes + ring_bytes, 4096, offset + (off_t)ring_bytes), 4096);
        read_lane_header(lane, bytes + ring_bytes);
        assert_int_equal(pread(file, bytes, ring_bytes, offset), ring_bytes);
        if (known_start(path, i, lane, ring_bytes, &from))
            walk(lane, bytes, ring_bytes, from);
        copy->lanes_used++;
        copy->sequences += lane->sequence;
        copy->refused_full += lane->refused_full;
        copy->damaged += lane->damaged;
        for (int kind = 0; kind < COPY_KINDS; kind++)
            copy->kinds[kind] += lane->kinds[kind];
    }
    free(bytes);
    close(file);
    return true;
}

void arena_copy_free(struct arena_copy *copy)
{
    free(copy->lanes);
    copy->lanes = NULL;
}

uint64_t arena_copy_count(const char *path, int kind)
{
    struct arena_copy copy;

    if (!arena_copy_read(&copy, path))
        return 0;
    uint64_t count = copy.kinds[kind];
    assert_int_equal(copy.damaged, 0);
    arena_copy_free(&copy);
    return count;
}
