/* The checksum: fixed values (it is part of the format), and that it sees what befalls records. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <string.h>
#include <tally/record.h>

static uint64_t words[TALLY_RECORD_BYTES_MAX / 8];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        words[i] = i * UINT64_C(0x0123456789ABCDEF) + 7;
}

static void values_of_the_format(void **state)
{
    (void)state;
    fill();
    assert_int_equal(tally_checksum(words, 8), 0xEB100CD9);
    assert_int_equal(tally_checksum(words, 40), 0xFC94B994);
    assert_int_equal(tally_checksum(words, 48), 0x6D014898);
    assert_int_equal(tally_checksum(words, 4096), 0x4F1AF989);
}

static void every_bit_counts(void **state)
{
    (void)state;
    for (uint32_t length = 40; length <= 136; length += 8) {
        fill();
        uint32_t whole = tally_checksum(words, length);
        for (uint32_t bit = 0; bit < length * 8; bit++) {
            words[bit / 64] ^= UINT64_C(1) << bit % 64;
            assert_int_not_equal(tally_checksum(words, length), whole);
            words[bit / 64] ^= UINT64_C(1) << bit % 64;
        }
    }
}

static void length_and_order_count(void **state)
{
    (void)state;
    fill();
    uint32_t whole = tally_checksum(words, 96);
    assert_int_not_equal(tally_checksum(words, 88), whole);
    assert_int_not_equal(tally_checksum(words, 104), whole);
    for (int i = 0; i < 11; i++) {
        uint64_t swapped = words[i];
        words[i] = words[i + 1];
        words[i + 1] = swapped;
        assert_int_not_equal(tally_checksum(words, 96), whole);
        words[i + 1] = words[i];
        words[i] = swapped;
    }
    memset(words, 0, sizeof(words));
    assert_int_not_equal(tally_checksum(words, 40), 0); /* a hole in the file is no record */
}

/* A record torn at any word: the rest is of the record that stood there before. */
static void tears_are_seen(void **state)
{
    uint64_t before[17];
    uint64_t after[17];
    uint64_t torn[17];

    (void)state;
    for (size_t i = 0; i < 17; i++) {
        before[i] = i * 31 + 1;
        after[i] = i * 37 + 2;
    }
    uint32_t whole = tally_checksum(after, sizeof(after));
    for (size_t at = 0; at < 17; at++) {
        memcpy(torn, after, sizeof(torn));
        memcpy(torn + at, before + at, (17 - at) * 8);
        assert_int_not_equal(tally_checksum(torn, sizeof(torn)), whole);
        memcpy(torn, before, sizeof(torn));
        memcpy(torn + at, after + at, (17 - at) * 8);
        assert_int_equal(tally_checksum(torn, sizeof(torn)) == whole, at == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_the_format),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(length_and_order_count),
        cmocka_unit_test(tears_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
