/* Lanes drained into a ledger that only writes down what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/drain_kit.h"

#include <dirent.h>
#include <linux/futex.h>

static uint64_t tail_of(uint32_t lane)
{
    return hand_lane(&arena, lane)->tail;
}

static unsigned int quarantined_files(void)
{
    char path[300];
    unsigned int count = 0;
    struct dirent *entry;
    snprintf(path, sizeof path, "%s/quarantine", arena.folder);
    DIR *listing = opendir(path);
    while (listing && (entry = readdir(listing)))
        count += entry->d_name[0] != '.';
    if (listing)
        closedir(listing);
    return count;
}

/* ---- tests -------------------------------------------------------------------------------- */

static void many_laps_with_padding(void **state)
{
    uint64_t written = 0;
    (void)state;
    for (uint32_t lap = 0; lap < 300; lap++) {
        for (uint32_t i = 0; i < 9; i++, written++)
            hand_record(&arena, 1, 40 + (written * 56) % 1200);
        rounds(1);
        assert_int_equal(served.board.lanes[1].position, tail_of(1));
        assert_int_equal(served.board.lanes[1].sequence, written);
    }
    assert_int_equal(book.records, written);
    assert_true(book.paddings > 50);
    assert_int_equal(book.skips, 0);
    assert_true(book.drained);
}

static void a_full_ring_of_smallest_and_largest(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        hand_record(&arena, 0, 4096);
    for (uint32_t i = 0; i < arena.header->ring_bytes / 40; i++)
        hand_record(&arena, 3, 40);
    rounds(1);
    assert_int_equal(book.records, 3 + arena.header->ring_bytes / 40);
    assert_true(collector.pressed);
}

static void a_small_batch_commits_in_between(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 300; i++)
        hand_record(&arena, 0, 40);
    collector.batch.used = BATCH_BYTES_MAX - BATCH_BYTES_MIN; /* not even the lane's piece fits */
    rounds(1);
    assert_int_equal(book.records, 300);
    assert_int_equal(book.skips, 0);
}

static void nothing_is_given_back_before_the_commit(void **state)
{
    (void)state;
    hand_record(&arena, 0, 128);
    book.failure = -ENOSPC;
    assert_int_equal(round_run(&collector, true), -ENOSPC);
    assert_int_equal(served.board.lanes[0].position, 0);
    assert_false(book.in_transaction);
    book.failure = 0;
    rounds(1);
    assert_int_equal(served.board.lanes[0].position, 128);
    assert_int_equal(served.board.lanes[0].sequence, 1);
}

static void damage_counts_at_the_second_look(void **state)
{
    (void)state;
    hand_record(&arena, 2, 128);
    struct tally_record_header *bad = hand_record(&arena, 2, 128);
    hand_record(&arena, 2, 128);
    bad->time_unix_ns ^= 1;
    rounds(1);
    assert_int_equal(book.records, 1);
    assert_int_equal(book.skips, 0);
    assert_true(collector.waiting);
    bad->time_unix_ns ^= 1; /* it was only seen too early */
    rounds(1);
    assert_int_equal(book.records, 3);
    assert_int_equal(book.skips, 0);
    assert_int_equal(quarantined_files(), 0);
}

static void one_damaged_record_costs_one(void **state)
{
    (void)state;
    hand_record(&arena, 2, 128);
    struct tally_record_header *bad = hand_record(&arena, 2, 256);
    hand_record(&arena, 2, 128);
    hand_record(&arena, 2, 128);
    memset(bad, 0xcc, 200);
    rounds(2);
    assert_int_equal(book.records, 3);
    assert_int_equal(book.lost, 1);
    assert_string_equal(book.cause, "quarantined");
    assert_int_equal(served.board.lanes[2].position, tail_of(2));
    assert_int_equal(quarantined_files(), 1);
    hand_record(&arena, 2, 128);
    rounds(1);
    assert_int_equal(book.records, 4);
}

static void damage_up_to_the_tail(void **state)
{
    (void)state;
    hand_record(&arena, 2, 128);
    hand_record(&arena, 2, 256);
    hand_record(&arena, 2, 128);
    memset(hand_ring(&arena, 2) + 128, 0, 384);
    rounds(2);
    assert_int_equal(book.records, 1);
    assert_int_equal(book.lost, 2);
    assert_int_equal(book.lanes[2].sequence, 3);
    assert_int_equal(served.board.lanes[2].position, tail_of(2));
    hand_record(&arena, 2, 128);
    rounds(1);
    assert_int_equal(book.records, 2);
}

static void a_gap_in_the_numbers(void **state)
{
    (void)state;
    hand_record(&arena, 2, 128);
    hand_publish(&arena, 2, 128, 5); /* as if 2 to 5 took no room */
    hand_record(&arena, 2, 128);
    rounds(2);
    assert_int_equal(book.records, 2);
    assert_int_equal(book.lost, 4);
    assert_int_equal(book.lanes[2].sequence, 6);
}

static void fields_that_do_not_decode(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        hand_record(&arena, 0, 128);
    book.undecodable = 3;
    rounds(1);
    assert_int_equal(book.records, 4);
    assert_int_equal(book.lost, 1);
    assert_int_equal(quarantined_files(), 1);
}

static void senseless_tails_are_left_alone(void **state)
{
    static const uint64_t tails[] = {1, 132, 64, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63};
    (void)state;
    for (int i = 0; i < 3; i++)
        hand_record(&arena, 0, 128);
    rounds(1);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        hand_publish(&arena, 0, tails[i], 4);
        hand_record(&arena, 1, 128);
        rounds(2);
        assert_int_equal(book.records, 3 + i + 1);
        assert_int_equal(book.lanes[0].position, 384);
        hand_lane(&arena, 0)->tail = 400; /* in bounds, and no slot has it */
        rounds(2);
        assert_int_equal(book.lanes[0].position, 384);
    }
    hand_publish(&arena, 0, 512, UINT64_C(1) << 62);
    rounds(2);
    assert_int_equal(book.lanes[0].position, 384);
    hand_lane(&arena, 0)->slot[0] = (struct tally_lane_slot){0, 0};
    hand_publish(&arena, 0, 512, 2); /* in bounds, and the number goes back */
    rounds(2);
    assert_int_equal(book.lanes[0].position, 384);
    assert_int_equal(book.skips, 0);
    hand_publish(&arena, 0, 384, 3); /* mended: it goes on */
    hand_record(&arena, 0, 128);
    rounds(1);
    assert_int_equal(book.lanes[0].sequence, 4);
}

static void random_bytes_everywhere(void **state)
{
    uint64_t seed = 88172645463325252;
    (void)state;
    size_t first = TALLY_LANE_TABLE_OFFSET;
    size_t bytes = (size_t)tally_arena_bytes(arena.header);
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 8; i++)
            hand_record(&arena, 1, 128); /* into an arena whose header is never asked again */
        for (int i = 0; i < 200; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            size_t at = first + seed % (bytes - first);
            size_t lane = (at - arena.header->header_bytes) / arena.header->lane_bytes;
            if (at < arena.header->header_bytes || lane != 1)
                arena.bytes[at] = (unsigned char)(seed >> 32);
        }
        struct tally_lane_header *header = hand_lane(&arena, round % 2 ? 2 : 3);
        header->tail = (book.lanes[round % 2 ? 2 : 3].position + seed % arena.header->ring_bytes) / 8 * 8;
        header->slot[0] = (struct tally_lane_slot){header->tail, seed % 1000000};
        rounds(2);
    }
    /* The lane that nobody scribbled in has lost nothing. */
    assert_int_equal(book.lanes[1].sequence, 3200);
    assert_int_equal(book.lanes[1].position, tail_of(1));
    assert_true(book.skips > 0);
}

static void a_truncated_arena_is_survived(void **state)
{
    (void)state;
    hand_record(&arena, 0, 128);
    rounds(1);
    assert_int_equal(truncate(arena.path, (off_t)arena.header->header_bytes), 0);
    rounds(2);
    assert_int_equal(truncate(arena.path, 0), 0);
    rounds(2);
    assert_int_equal(book.records, 1);
    /* Whole again, as hand_arena_remove() needs the header's page. */
    assert_int_equal(truncate(arena.path, (off_t)tally_arena_bytes(&served.reader.header)), 0);
    *arena.header = served.reader.header;
}

/* Write `laps` bytes or a little more, draining as an agent would whose database is lost afterwards. */
static void write_and_drain(uint64_t until)
{
    while (tail_of(0) < until) {
        hand_record(&arena, 0, 128);
        rounds(1);
    }
}

static void restore_database(uint64_t position, uint64_t sequence)
{
    served.lanes[0].restored_position = served.board.lanes[0].position;
    served.lanes[0].restored_sequence = served.board.lanes[0].sequence;
    memset(&book, 0, sizeof book);
    book.lanes[0].position = book.lanes[0].committed_position = position;
    book.lanes[0].sequence = book.lanes[0].committed_sequence = sequence;
}

static void a_restored_database_reads_what_is_still_there(void **state)
{
    (void)state;
    write_and_drain(2560);
    restore_database(1280, 10);
    hand_record(&arena, 0, 128);
    rounds(1);
    assert_int_equal(book.records, 11);
    assert_int_equal(book.skips, 0);
    assert_int_equal(served.board.lanes[0].position, 2688);
}

static void a_restored_database_counts_what_is_not(void **state)
{
    (void)state;
    uint64_t ring_bytes = arena.header->ring_bytes;
    write_and_drain(ring_bytes);
    restore_database(1280, 10);
    hand_record(&arena, 0, 128);
    /* Not yet written over, but the writer may be about to: void all the same. */
    rounds(1);
    assert_string_equal(book.cause, "database_restored");
    assert_int_equal(book.lost, ring_bytes / 128 - 10);
    assert_int_equal(book.records, 1);
    assert_int_equal(book.lanes[0].sequence, ring_bytes / 128 + 1);

    write_and_drain(3 * ring_bytes);
    restore_database(1280, 10);
    rounds(1);
    assert_int_equal(book.lost, 3 * ring_bytes / 128 - 10);
    assert_int_equal(book.records, 0);
}

static void endings_are_shown(void **state)
{
    (void)state;
    hand_record(&arena, 0, 128);
    rounds(1);
    assert_true(served.in_use);
    unsigned int before = book.observed;
    rounds(3); /* nothing new: not shown again within a second, unless it is that slow here */
    book.lanes[0].tenure_open = true;
    hand_lane(&arena, 0)->owner = FUTEX_OWNER_DIED;
    rounds(2);
    assert_true(book.observed >= before + 2);
    book.lanes[0].tenure_open = false;
    rounds(1);
    assert_false(served.in_use);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(many_laps_with_padding),
        TEST(a_full_ring_of_smallest_and_largest),
        TEST(a_small_batch_commits_in_between),
        TEST(nothing_is_given_back_before_the_commit),
        TEST(damage_counts_at_the_second_look),
        TEST(one_damaged_record_costs_one),
        TEST(damage_up_to_the_tail),
        TEST(a_gap_in_the_numbers),
        TEST(fields_that_do_not_decode),
        TEST(senseless_tails_are_left_alone),
        TEST(random_bytes_everywhere),
        TEST(a_truncated_arena_is_survived),
        TEST(a_restored_database_reads_what_is_still_there),
        TEST(a_restored_database_counts_what_is_not),
        TEST(endings_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
