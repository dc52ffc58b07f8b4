/* drain.c: a lane as an attacker may write it, drained into a real ledger: reader, checks, resynchronisation,
 * decoding, sessions, calls, rows, quarantine.
 *
 * Input: struct plan, the four lines of the lane's header, then the ring from the plan's position on.
 * Whatever stands there: the ledger reports no error (it would stop all lanes), the drain makes progress or leaves
 * the lane, and each number that it moved over is counted once, as persisted or as lost.
 */
#include "fuzz/books.h"

#include "collector/state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "unit/hand_arena.h"

enum {
    MEND = 1,     /* write lengths, numbers, checksums and tail so that the fields get through */
    RESTORED = 2, /* the board was ahead of the database */
    SCRIBBLE = 4, /* the last bytes of the input change the ring between two looks */
    DEAD = 8,     /* the owner's word is marked after the first rounds, and the clock ticks */
    COMMIT = 192  /* (both bits) commit, and look into the database; else roll back, which is quicker */
};

struct plan {
    uint8_t flags;
    uint8_t tenures;
    uint16_t start;             /* position in the database, in units of 8 bytes */
    uint32_t sequence;          /* in the database */
    uint32_t restored_position; /* what the board said, beyond the database */
    uint32_t restored_sequence;
};

#define LINES_BYTES (4 * TALLY_CACHE_LINE_BYTES)

static struct {
    struct hand_arena arena;
    struct collector collector;
    struct served served;
    struct agent_config config;
    struct tally_board_lane board_lanes[FUZZ_LANES];
} self;

/* ---- the ledger, and its return to what it was ------------------------------------------ */

static void ledger_start(void)
{
    struct ledger_options options = {.state_directory = self.arena.folder};
    fuzz_expect(ledger_open(&self.collector.ledger, &options) == 0);
    fuzz_expect(ledger_attach(self.collector.ledger, &self.served.reader.header, self.served.path,
                              &self.served.ledger) == 0);
}

static void ledger_renew(void)
{
    ledger_close(self.collector.ledger);
    books_renew();
    ledger_start();
}

static void start(void)
{
    char path[320];
    hand_arena_make(&self.arena, FUZZ_LANES);
    fuzz_expect(arena_reader_open(&self.served.reader, self.arena.path, geteuid(), (gid_t)-1) == 0);
    snprintf(self.served.path, sizeof self.served.path, "%s", self.arena.path);
    self.served.lanes = calloc(FUZZ_LANES, sizeof *self.served.lanes);
    snprintf(path, sizeof path, "%s.board", self.arena.path);
    fuzz_expect(board_take(&self.served.board, path, self.arena.header, false, self.board_lanes) == 0);
    self.collector.config = &self.config;
    self.collector.served = &self.served;
    self.collector.quarantine.state_directory = self.arena.folder;
    self.collector.batch.bytes =
        mmap(NULL, BATCH_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fuzz_expect(self.collector.batch.bytes != MAP_FAILED);
    ledger_start();
    ledger_close(self.collector.ledger);
    books_keep(self.arena.folder);
    ledger_start();
}

/* ---- the lane ------------------------------------------------------------------------------ */

/* Frames that hold, with whatever stands between them: the checks alone would let next to nothing of a random
 * input through. Lengths and kinds are the input's as far as they can be. */
static void mend(uint64_t position, uint64_t sequence, uint64_t bytes)
{
    struct tally_lane_header *header = hand_lane(&self.arena, 0);
    uint32_t ring_bytes = self.arena.header->ring_bytes;
    uint64_t end = position + (bytes < ring_bytes ? bytes / 8 * 8 : ring_bytes);

    while (end - position >= sizeof(struct tally_record_header)) {
        uint32_t to_end = ring_bytes - (uint32_t)(position % ring_bytes);
        struct tally_record_header *record = (void *)(hand_ring(&self.arena, 0) + position % ring_bytes);
        uint64_t most = end - position < to_end ? end - position : to_end;
        if (most > TALLY_RECORD_BYTES_MAX)
            most = TALLY_RECORD_BYTES_MAX;
        if (to_end < sizeof *record || record->kind == TALLY_KIND_PADDING) {
            if (to_end > end - position || to_end > TALLY_RECORD_BYTES_MAX)
                break;
            uint64_t padding = to_end | (uint64_t)TALLY_KIND_PADDING << 32;
            memcpy(record, &padding, sizeof padding);
            position += to_end;
            continue;
        }
        record->length = record->length / 8 * 8;
        if (record->length < sizeof *record || record->length > most)
            record->length = (uint32_t)most;
        record->position = position;
        record->sequence = ++sequence;
        record->checksum = 0;
        record->checksum = tally_checksum(record, record->length);
        position += record->length;
    }
    header->tail = position;
    header->slot[sequence & 1] = (struct tally_lane_slot){position, sequence};
}

static void fill_ring(uint64_t position, const uint8_t *bytes, size_t length)
{
    uint32_t ring_bytes = self.arena.header->ring_bytes;
    for (size_t i = 0; i < length && i < ring_bytes; i++)
        hand_ring(&self.arena, 0)[(position + i) % ring_bytes] = bytes[i];
}

/* ---- what has to hold ---------------------------------------------------------------------- */

static void check_database(void)
{
    const struct ledger_lane *lane = &self.served.ledger->lanes[0];
    sqlite3 *database = books_open();
    fuzz_expect(lane->committed_position == lane->position && lane->committed_sequence == lane->sequence);
    if (books_number(database, "SELECT count(*) FROM lanes")) {
        fuzz_expect(books_number(database, "SELECT position FROM lanes") == (int64_t)lane->position);
        fuzz_expect(books_number(database, "SELECT sequence FROM lanes") == (int64_t)lane->sequence);
    }
    books_balance(database);
    sqlite3_close(database);
}

/* All records that can be taken, or set aside, until the lane stands still. */
static void drain(void)
{
    const struct ledger_lane *lane = &self.served.ledger->lanes[0];
    const struct lane_state *state = &self.served.lanes[0];
    int idle = 0;

    for (int round = 0; idle < 2; round++) {
        uint64_t position = lane->position;
        uint64_t sequence = lane->sequence;
        fuzz_expect(round < 10000);
        self.collector.waiting = false;
        fuzz_expect(drain_lane(&self.collector, &self.served, 0) == 0);
        fuzz_expect(lane->position >= position && lane->sequence >= sequence);
        fuzz_expect(lane->position % 8 == 0);
        idle = lane->position == position && lane->sequence == sequence ? idle + 1 : 0;
    }
    struct lane_head head;
    fuzz_expect(lane_read_head(&self.served.reader, 0, &head) == 0);
    fuzz_expect(state->unreadable || lane->position == head.tail);
}

static void tick(void)
{
    static const int64_t day = 86400 * SECOND_NS;
    self.collector.settling = true;
    for (int i = 0; i < 3; i++) {
        fuzz_expect(drain_lane(&self.collector, &self.served, 0) == 0);
        fuzz_expect(ledger_tick(self.collector.ledger, clock_now(CLOCK_REALTIME) + i * day) == 0);
    }
    self.collector.settling = false;
}

/* ---- one input ------------------------------------------------------------------------------- */

static void set_up(struct fuzz_input *input, const struct plan *plan)
{
    uint64_t position = (uint64_t)plan->start * 8;
    unsigned char *lines = (unsigned char *)hand_lane(&self.arena, 0) + TALLY_LANE_HEADER_BYTES - LINES_BYTES;
    uint32_t ring_bytes = self.arena.header->ring_bytes;

    memset(hand_ring(&self.arena, 0), 0, ring_bytes);
    fuzz_take(input, lines, LINES_BYTES);
    fill_ring(position, input->at, input->left);
    hand_entry(&self.arena, 0)->tenures = plan->tenures;
    memset(self.served.lanes, 0, FUZZ_LANES * sizeof *self.served.lanes);
    self.served.lanes[0].tenures = plan->tenures;
    self.collector.quarantine.counted = 1;
    self.collector.quarantine.bytes = 0;
    self.collector.batch.used = 0;
    self.collector.batch.records = 0;
    if (plan->flags & MEND)
        mend(position, plan->sequence, input->left);
    if (plan->flags & RESTORED) {
        self.served.lanes[0].restored_position = position + plan->restored_position;
        self.served.lanes[0].restored_sequence = (uint64_t)plan->sequence + plan->restored_sequence;
    }
    if (position || plan->sequence)
        fuzz_expect(ledger_skip(self.collector.ledger, self.served.ledger, 0, position, plan->sequence,
                                "quarantined", "where the test begins") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct ledger_figures before;
    struct ledger_figures after;
    struct plan plan;

    if (!self.collector.ledger)
        start();
    fuzz_take(&input, &plan, sizeof plan);
    ledger_figures(self.collector.ledger, &before);
    set_up(&input, &plan);
    drain();
    if (plan.flags & SCRIBBLE && input.left >= 16) {
        fill_ring((uint64_t)plan.start * 8 + 512, input.at + input.left - 16, 16);
        hand_lane(&self.arena, 0)->tail += input.at[input.left - 1] & ~7u;
        hand_lane(&self.arena, 0)->slot[0].tail = hand_lane(&self.arena, 0)->tail;
        drain();
    }
    if (plan.flags & DEAD) {
        hand_lane(&self.arena, 0)->owner = FUTEX_OWNER_DIED;
        tick();
    }
    ledger_figures(self.collector.ledger, &after);
    fuzz_expect(after.records - before.records + after.skipped - before.skipped ==
                self.served.ledger->lanes[0].sequence);
    /* A full batch has committed by itself. */
    if ((plan.flags & COMMIT) == COMMIT || after.commits != before.commits) {
        fuzz_expect(ledger_commit(self.collector.ledger) == 0);
        check_database();
        ledger_renew();
    } else {
        ledger_abandon(self.collector.ledger);
    }
    fuzz_expect(self.served.ledger->lanes[0].position == 0 && self.served.ledger->lanes[0].sequence == 0);
    return 0;
}
