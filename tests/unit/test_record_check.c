/* What is accepted as a record, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arena/record_check.h"

#define RING 12288u

static _Alignas(8) unsigned char bytes[16384];

static struct tally_record_header *at(uint64_t offset)
{
    return (struct tally_record_header *)(void *)(bytes + offset);
}

static void put(uint64_t offset, uint32_t length, uint64_t position, uint64_t sequence)
{
    memset(bytes + offset, 0x5a, length);
    *at(offset) = (struct tally_record_header){
        .length = length, .kind = TALLY_KIND_USAGE, .position = position, .sequence = sequence};
    at(offset)->checksum = tally_checksum(at(offset), length);
}

static struct record_place place(uint64_t position, uint64_t sequence, uint64_t available)
{
    return (struct record_place){.position = position,
                                 .sequence = sequence,
                                 .available = available,
                                 .published = available,
                                 .ring_bytes = RING};
}

static void a_good_record_is_good(void **state)
{
    (void)state;
    struct record_place here = place(RING + 80, 6, 4096);
    put(0, 128, RING + 80, 7);
    assert_int_equal(record_check(bytes, &here), RECORD_GOOD);
    assert_int_equal(record_check(bytes, &here), RECORD_GOOD); /* the check has left it as it was */
    at(0)->kind = 999;                                         /* of a later version */
    at(0)->checksum = 0;
    at(0)->checksum = tally_checksum(bytes, 128);
    assert_int_equal(record_check(bytes, &here), RECORD_GOOD);
}

static void lengths(void **state)
{
    static const uint32_t bad[] = {0, 4, 7, 9, 32, 4104, 0x80000000, 0xfffffff8, 0xffffffff};
    (void)state;
    struct record_place here = place(0, 0, 8192);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(0, 128, 0, 1);
        at(0)->length = bad[i];
        assert_int_equal(record_check(bytes, &here), RECORD_BAD_LENGTH);
    }
}

static void ends(void **state)
{
    (void)state;
    struct record_place here = place(0, 0, 120);
    put(0, 128, 0, 1);
    assert_int_equal(record_check(bytes, &here), RECORD_BAD_END); /* past the tail */
    here.published = 128;
    assert_int_equal(record_check(bytes, &here), RECORD_UNFETCHED);
    here = place(RING - 64, 0, 4096);
    put(0, 128, RING - 64, 1);
    assert_int_equal(record_check(bytes, &here), RECORD_BAD_END); /* across the ring's end */
}

static void paddings(void **state)
{
    (void)state;
    struct record_place here = place(RING - 64, 3, 200);
    memset(bytes, 0xff, 64);
    at(0)->length = 64;
    at(0)->kind = TALLY_KIND_PADDING;
    assert_int_equal(record_check(bytes, &here), RECORD_PADDING);
    at(0)->length = 56;
    assert_int_equal(record_check(bytes, &here), RECORD_BAD_END);
    here.position = 0;
    assert_int_equal(record_check(bytes, &here), RECORD_BAD_END);
}

static void places_numbers_and_sums(void **state)
{
    (void)state;
    struct record_place here = place(0, 0, 128);
    put(0, 128, 8, 1);
    assert_int_equal(record_check(bytes, &here), RECORD_BAD_PLACE);
    put(0, 128, 0, 2);
    assert_int_equal(record_check(bytes, &here), RECORD_BAD_NUMBER);
    for (size_t bit = 64; bit < 128 * 8; bit++) { /* what follows length, kind and client */
        put(0, 128, 0, 1);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_not_equal(record_check(bytes, &here), RECORD_GOOD);
    }
}

static void resync_finds_the_next_good_one(void **state)
{
    (void)state;
    struct record_place here = place(1000 * 8, 5, 1024);
    memset(bytes, 0xee, sizeof bytes);
    put(256, 128, 8000 + 256, 9);
    assert_int_equal(record_resync(bytes, &here, 0, 20), 256);
    assert_int_equal(record_resync(bytes, &here, 0, 8), 1024); /* numbered past the lane's last */
    assert_int_equal(record_resync(bytes, &here, 264, 20), 1024);
    put(256, 128, 8000 + 256, 5);
    assert_int_equal(record_resync(bytes, &here, 0, 20), 1024); /* taken already */
    put(256, 128, 8000 + 256 - 64, 9);
    assert_int_equal(record_resync(bytes, &here, 0, 20), 1024); /* of an earlier lap */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_record_is_good),
        cmocka_unit_test(lengths),
        cmocka_unit_test(ends),
        cmocka_unit_test(paddings),
        cmocka_unit_test(places_numbers_and_sums),
        cmocka_unit_test(resync_finds_the_next_good_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
