/* scribbler.c: somebody who may write an arena, and does: random bytes, forged words, holes.
 *
 *   scribbler PATH FIRST SEED HOW     until the test says go=9; values[0] counts what it did
 *
 * Lanes from FIRST on are its prey; those below it leaves alone, with their owner words. HOW: any of
 *   b  random bytes anywhere in a lane           w  owner words, tails, slots and numbers that look like something
 *   t  the lane table, of all lanes              h  doorbell, refusal counters, reclaim word
 *   p  punched holes                             g  the file grows, and is cut back to its size
 *   s  the file is cut at the first prey lane, and grows back
 */
#include "support/program.h"

#include <linux/falloc.h>
#include <linux/futex.h>
#include <sys/stat.h>
#include <tally/abi.h>

static struct {
    int file;
    uint32_t first;
    uint64_t random;
    uint64_t bytes;
    struct tally_arena_header header;
} self;

/* xorshift */
static uint64_t any(uint64_t below)
{
    self.random ^= self.random << 13;
    self.random ^= self.random >> 7;
    self.random ^= self.random << 17;
    return self.random % below;
}

static void put(const void *bytes, size_t length, uint64_t at)
{
    if (pwrite(self.file, bytes, length, (off_t)at) != (ssize_t)length)
        program_surprise();
}

static uint64_t prey(void)
{
    return tally_lane_offset(&self.header, self.first + (uint32_t)any(self.header.lane_count - self.first));
}

static void scribble_bytes(void)
{
    uint64_t bytes[32];
    size_t length = 1 + any(sizeof(bytes));

    for (size_t i = 0; i < 32; i++)
        bytes[i] = any(UINT64_MAX);
    put(bytes, length, prey() + any(self.header.lane_bytes - length));
}

static void forge_words(void)
{
    const uint64_t numbers[] = {
        0,          any(64) * 8,    any(self.header.ring_bytes), any(self.header.ring_bytes) * 8,
        UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 48,           any(UINT64_MAX)};
    const uint32_t owners[] = {0, 1, (uint32_t)getpid(), FUTEX_OWNER_DIED, FUTEX_WAITERS, UINT32_MAX};
    uint64_t header = prey() + self.header.ring_bytes;
    struct tally_lane_slot slot = {numbers[any(8)], numbers[any(8)]};

    switch (any(4)) {
    case 0:
        put(&owners[any(6)], 4, header + offsetof(struct tally_lane_header, owner));
        break;
    case 1:
        put(&slot, 16, header + offsetof(struct tally_lane_header, slot) + any(2) * 16);
        put(&slot, 8, header + offsetof(struct tally_lane_header, tail));
        break;
    case 2:
        put(&slot, 16, header + offsetof(struct tally_lane_header, final_sequence));
        break;
    default:
        put(numbers, sizeof(struct tally_identity), header + offsetof(struct tally_lane_header, identity));
    }
}

static void forge_table(void)
{
    const uint32_t hints[] = {0, 1, TALLY_LANE_DAMAGED, (uint32_t)getpid()};
    struct tally_lane_entry entry = {(uint32_t)any(UINT32_MAX), hints[any(4)]};

    put(&entry, sizeof(entry), TALLY_LANE_TABLE_OFFSET + any(self.header.lane_count) * sizeof(entry));
}

static void forge_header(void)
{
    uint64_t value = any(2) ? any(UINT64_MAX) : any(1000);

    switch (any(3)) {
    case 0:
        put(&value, 4, offsetof(struct tally_arena_header, doorbell));
        break;
    case 1:
        put(&value, 8, offsetof(struct tally_arena_header, refused) + any(TALLY_REFUSALS) * 8);
        break;
    default:
        put(&value, 4, self.header.header_bytes - TALLY_GUARDED_WORD_FROM_END);
    }
}

static void punch(void)
{
    uint64_t pages = self.header.lane_bytes / TALLY_PAGE_BYTES;

    if (fallocate(self.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)(prey() + any(pages) * TALLY_PAGE_BYTES), TALLY_PAGE_BYTES) != 0)
        program_surprise();
}

static void resize(uint64_t bytes)
{
    if (ftruncate(self.file, (off_t)bytes) != 0 || ftruncate(self.file, (off_t)self.bytes) != 0)
        program_surprise();
}

static void act(char how)
{
    switch (how) {
    case 'b':
        scribble_bytes();
        break;
    case 'w':
        forge_words();
        break;
    case 't':
        forge_table();
        break;
    case 'h':
        forge_header();
        break;
    case 'p':
        punch();
        break;
    case 'g':
        resize(self.bytes + any(1 << 20));
        break;
    case 's':
        resize(tally_lane_offset(&self.header, self.first));
        break;
    default:
        _exit(125);
    }
}

int main(int argc, char **argv)
{
    program_start();
    if (argc != 5)
        return 125;
    self.file = open(argv[1], O_RDWR | O_CLOEXEC);
    self.first = (uint32_t)strtoul(argv[2], NULL, 10);
    self.random = strtoull(argv[3], NULL, 10) * UINT64_C(0x9E3779B97F4A7C15) + 1;
    if (self.file < 0 || pread(self.file, &self.header, sizeof(self.header), 0) != sizeof(self.header) ||
        !tally_arena_header_sound(&self.header))
        return 124;
    self.bytes = tally_arena_bytes(&self.header);
    while (atomic_load(&counters->go) < 9) {
        act(argv[4][any(strlen(argv[4]))]);
        /* let the others have their turn, and reach every state in between */
        if (atomic_fetch_add(&counters->values[0], 1) % 64 == 0)
            nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    return 0;
}
