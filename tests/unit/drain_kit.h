/* drain_kit.h: lanes drained into a ledger that only writes down what it is told. It defines the ledger's functions: for one
 * file of a program.
 */
#ifndef TALLY_TESTS_DRAIN_KIT_H
#define TALLY_TESTS_DRAIN_KIT_H

#include "collector/state.h"

#include <errno.h>
#include <stdio.h>

#include "unit/hand_arena.h"

/* ---- the ledger's double -------------------------------------------------------------- */

#define LANES 4

static struct {
    bool in_transaction;
    struct ledger_lane lanes[LANES];
    uint64_t records, paddings, skips, lost;
    char cause[32];
    uint64_t undecodable; /* sequence that ledger_record() refuses */
    int failure;          /* what ledger_commit() returns */
    unsigned int observed;
    bool drained;
} book;

struct ledger {
    int unused;
};
static struct ledger the_ledger;

int ledger_open(struct ledger **out, const struct ledger_options *options)
{
    (void)options;
    *out = &the_ledger;
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    (void)ledger;
}

const char *ledger_error(const struct ledger *ledger)
{
    (void)ledger;
    return "the double was told to fail";
}

int ledger_attach(struct ledger *ledger, const struct tally_arena_header *header, const char *path,
                  struct ledger_arena **out)
{
    (void)ledger, (void)header, (void)path, (void)out;
    return -ENOSYS;
}

int ledger_detach(struct ledger *ledger, struct ledger_arena *arena, bool retired)
{
    (void)ledger, (void)arena, (void)retired;
    return 0;
}

/* Spill files have tests of their own. */
int ledger_log_open(struct ledger *ledger, const uint8_t log[16], uid_t uid, const char *folder,
                    struct ledger_arena **out)
{
    (void)ledger, (void)log, (void)uid, (void)folder, (void)out;
    return -ENOSYS;
}

int ledger_arena_known(struct ledger *ledger, const uint8_t uuid[16], char *path, size_t bytes)
{
    (void)ledger;
    (void)uuid;
    (void)path;
    (void)bytes;
    return 0;
}

int ledger_arena_open(struct ledger *ledger, const uint8_t uuid[16], const char *name, const char *folder,
                      struct ledger_arena **out)
{
    (void)ledger;
    (void)uuid;
    (void)name;
    (void)folder;
    *out = NULL;
    return -EINVAL;
}

void ledger_lane_carried(struct ledger_arena *arena, uint32_t number, bool whole)
{
    (void)whole;
    (void)arena;
    (void)number;
}

int ledger_lose_gone(struct ledger *ledger, const uint8_t boot_id[16], int64_t now_unix_ns, ledger_gone gone,
                     void *context)
{
    (void)ledger;
    (void)boot_id;
    (void)now_unix_ns;
    (void)gone;
    (void)context;
    return 0;
}

const char *ledger_instance(const struct ledger *ledger)
{
    (void)ledger;
    return "";
}

int ledger_begin(struct ledger *ledger)
{
    (void)ledger;
    book.in_transaction = true;
    return 0;
}

int ledger_commit(struct ledger *ledger)
{
    (void)ledger;
    if (book.failure)
        return book.failure;
    book.in_transaction = false;
    for (int i = 0; i < LANES; i++) {
        book.lanes[i].committed_position = book.lanes[i].position;
        book.lanes[i].committed_sequence = book.lanes[i].sequence;
    }
    return 0;
}

void ledger_abandon(struct ledger *ledger)
{
    (void)ledger;
    book.in_transaction = false;
    for (int i = 0; i < LANES; i++) {
        book.lanes[i].position = book.lanes[i].committed_position;
        book.lanes[i].sequence = book.lanes[i].committed_sequence;
    }
}

bool ledger_in_transaction(const struct ledger *ledger)
{
    (void)ledger;
    return book.in_transaction;
}

int ledger_record(struct ledger *ledger, struct ledger_arena *arena, uint32_t number,
                  const struct tally_record_header *record)
{
    (void)ledger, (void)arena;
    assert_true(book.in_transaction);
    if (record->kind == TALLY_KIND_PADDING) {
        book.paddings++;
    } else {
        assert_int_equal(record->position, book.lanes[number].position);
        assert_int_equal(record->sequence, book.lanes[number].sequence + 1);
        if (record->sequence == book.undecodable)
            return -EBADMSG;
        book.records++;
        book.lanes[number].sequence++;
    }
    book.lanes[number].position += record->length;
    return 0;
}

int ledger_skip(struct ledger *ledger, struct ledger_arena *arena, uint32_t number, uint64_t position,
                uint64_t sequence, const char *cause, const char *detail)
{
    (void)ledger, (void)arena, (void)detail;
    assert_true(book.in_transaction);
    assert_true(position >= book.lanes[number].position && sequence >= book.lanes[number].sequence);
    book.skips++;
    book.lost += sequence - book.lanes[number].sequence;
    snprintf(book.cause, sizeof book.cause, "%s", cause);
    book.lanes[number].position = position;
    book.lanes[number].sequence = sequence;
    return 0;
}

int ledger_observe(struct ledger *ledger, struct ledger_arena *arena, uint32_t number,
                   const struct ledger_lane_view *view)
{
    (void)ledger, (void)arena, (void)number;
    book.observed++;
    book.drained = view->drained;
    return 0;
}

int ledger_refused(struct ledger *ledger, struct ledger_arena *arena, const uint64_t refused[TALLY_REFUSALS])
{
    (void)ledger, (void)arena, (void)refused;
    return 0;
}

int ledger_tick(struct ledger *ledger, int64_t now_unix_ns)
{
    (void)ledger, (void)now_unix_ns;
    return 0;
}

int ledger_retain(struct ledger *ledger, int64_t now_unix_ns)
{
    (void)ledger, (void)now_unix_ns;
    return 0;
}

void ledger_figures(const struct ledger *ledger, struct ledger_figures *out)
{
    (void)ledger;
    memset(out, 0, sizeof *out);
}

/* ---- set-up ----------------------------------------------------------------------------- */

static struct hand_arena arena;
static struct collector collector;
static struct served served;
static struct ledger_arena ledger_arena;
static struct agent_config config;
static struct tally_board_lane board_lanes[LANES];

static int set_up(void **state)
{
    char path[320];
    (void)state;
    memset(&book, 0, sizeof book);
    memset(&collector, 0, sizeof collector);
    memset(&served, 0, sizeof served);
    memset(board_lanes, 0, sizeof board_lanes);
    hand_arena_make(&arena, LANES);
    assert_int_equal(arena_reader_open(&served.reader, arena.path, geteuid(), (gid_t)-1), 0);
    ledger_arena.lane_count = LANES;
    ledger_arena.lanes = book.lanes;
    served.ledger = &ledger_arena;
    served.lanes = calloc(LANES, sizeof *served.lanes);
    snprintf(served.path, sizeof served.path, "%s", arena.path);
    snprintf(path, sizeof path, "%s.board", arena.path);
    assert_int_equal(board_take(&served.board, path, arena.header, false, board_lanes), 0);
    collector.config = &config;
    collector.ledger = &the_ledger;
    collector.served = &served;
    collector.quarantine.state_directory = arena.folder;
    collector.batch.bytes =
        mmap(NULL, BATCH_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return collector.batch.bytes == MAP_FAILED;
}

static int tear_down(void **state)
{
    (void)state;
    board_leave(&served.board, false);
    arena_reader_close(&served.reader);
    free(served.lanes);
    munmap(collector.batch.bytes, BATCH_BYTES_MAX);
    hand_arena_remove(&arena);
    return 0;
}

/* Rounds, a few, as the collector makes them. */
static void rounds(int count)
{
    while (count-- > 0)
        assert_int_equal(round_run(&collector, true), 0);
}

#endif
