/* A spill file, whoever wrote it: its name, its header, and where records are found in its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spill/spill_folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/skip.h"

#define LOG    "0123456789abcdef00112233445566ff"
#define LENGTH 80u

static _Alignas(8) unsigned char bytes[65536];

static size_t put(size_t at, uint64_t offset, uint64_t sequence)
{
    struct tally_record_header *record = (struct tally_record_header *)(void *)(bytes + at);
    memset(record, 0x5a, LENGTH);
    *record = (struct tally_record_header){
        .length = LENGTH, .kind = TALLY_KIND_USAGE, .position = offset + at, .sequence = sequence};
    record->checksum = tally_checksum(record, LENGTH);
    return at + LENGTH;
}

static void names(void **state)
{
    struct spill_name name;
    (void)state;
    assert_true(spill_name_parse("tally-" LOG "-1.spill", &name));
    assert_true(name.index == 1 && !name.taken && name.log[0] == 0x01 && name.log[15] == 0xff);
    assert_true(spill_name_parse("tally-" LOG "-4294967295.spill.taken", &name));
    assert_true(name.index == UINT32_MAX && !strcmp(name.taken, ""));
    assert_true(spill_name_parse("tally-" LOG "-2.spill.taken.00ff", &name));
    assert_string_equal(name.taken, "00ff");
    static const char *const others[] = {"",
                                         "tally-",
                                         "tally-0.v1",
                                         "tally-" LOG,
                                         "tally-" LOG "-.spill",
                                         "tally-" LOG "-0.spill",
                                         "tally-" LOG "-01.spill",
                                         "tally-" LOG "-4294967296.spill",
                                         "tally-" LOG "-99999999999999999999999.spill",
                                         "tally-" LOG "-1.spillx",
                                         "tally-" LOG "-1.spill.takenx",
                                         "tally-" LOG "f-1.spill",
                                         "tally-0123456789ABCDEF00112233445566FF-1.spill",
                                         "../tally-" LOG "-1.spill"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(spill_name_parse(others[i], &name));
    char long_name[400];
    snprintf(long_name, sizeof long_name, "tally-" LOG "-1.spill.taken.%0300d", 1);
    assert_false(spill_name_parse(long_name, &name));
}

static void records_one_after_the_other(void **state)
{
    struct spill_piece piece = {bytes, 0, 64, true};
    size_t next = 0;
    size_t at = 0;
    (void)state;
    for (uint64_t number = 1; number <= 20; number++)
        piece.length = put(piece.length, 64, number);
    while (at < piece.length) {
        assert_int_equal(spill_piece_find(&piece, at, &next), SPILL_RECORD);
        at += LENGTH;
    }
    assert_int_equal(spill_piece_find(&piece, at, &next), SPILL_END);
}

/* Wherever a piece or the file ends: never a record that is not whole, and never damage. */
static void every_end(void **state)
{
    struct spill_piece piece = {bytes, 0, 64, true};
    size_t next = 0;
    (void)state;
    put(put(0, 64, 1), 64, 2);
    for (piece.length = LENGTH; piece.length < 2 * LENGTH; piece.length++) {
        piece.end = true;
        assert_int_equal(spill_piece_find(&piece, LENGTH, &next), SPILL_END);
        piece.end = false;
        assert_int_equal(spill_piece_find(&piece, LENGTH, &next), SPILL_MORE);
    }
}

static void damage_ends_at_the_next_record(void **state)
{
    struct spill_piece piece = {bytes, 0, 64, true};
    size_t next = 0;
    (void)state;
    for (uint64_t number = 1; number <= 5; number++)
        piece.length = put(piece.length, 64, number);
    for (size_t broken = LENGTH; broken < 2 * LENGTH; broken++) {
        bytes[broken] ^= 0x10;
        assert_int_equal(spill_piece_find(&piece, LENGTH, &next), SPILL_DAMAGED);
        assert_int_equal(next, 2 * LENGTH);
        bytes[broken] ^= 0x10;
    }
    /* a record that was moved is none */
    memmove(bytes + LENGTH, bytes + 2 * LENGTH, LENGTH);
    assert_int_equal(spill_piece_find(&piece, LENGTH, &next), SPILL_DAMAGED);
}

/* A number that nobody can have written is damage: counting what is missing before it would overflow the books. */
static void numbers_out_of_reach(void **state)
{
    const uint64_t none[] = {0, SPILL_NUMBER_MAX + 1, UINT64_MAX};
    struct spill_piece piece = {bytes, 0, 64, true};
    size_t next = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        put(0, 64, none[i]);
        piece.length = put(LENGTH, 64, 7);
        assert_int_equal(spill_piece_find(&piece, 0, &next), SPILL_DAMAGED);
        assert_int_equal(next, LENGTH);
    }
    put(0, 64, SPILL_NUMBER_MAX);
    assert_int_equal(spill_piece_find(&piece, 0, &next), SPILL_RECORD);
}

/* Whatever stands there: each step goes on, and stays within the piece. */
static void noise(void **state)
{
    uint64_t random = 88172645463325252;
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct spill_piece piece = {bytes, 8 + (size_t)(round * 37) % 20000, 64, round % 2};
        for (size_t i = 0; i < piece.length; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            bytes[i] = round % 3 ? (unsigned char)random : 0;
        }
        piece.length = piece.length / 8 * 8;
        size_t at = 0;
        size_t next = 0;
        enum spill_find found;
        while ((found = spill_piece_find(&piece, at, &next)) == SPILL_DAMAGED) {
            assert_true(next > at && next <= piece.length && next % 8 == 0);
            at = next;
        }
        assert_int_equal(found, piece.end ? SPILL_END : SPILL_MORE);
        /* the next piece holds more than this one's rest, or nothing would move on */
        assert_true(piece.end || piece.length - at <= TALLY_RECORD_BYTES_MAX + 8);
    }
}

static void what_may_be_opened(void **state)
{
    char folder[] = "/tmp/tally-test-spill-XXXXXX";
    struct tally_spill_header header = {.magic = TALLY_SPILL_MAGIC, .abi = TALLY_ABI, .index = 1};
    struct tally_spill_header read;
    struct spill_name name;
    struct stat status;
    (void)state;
    assert_non_null(mkdtemp(folder));
    int directory = open(folder, O_RDONLY | O_DIRECTORY);
    int fd = openat(directory, "plain", O_RDWR | O_CREAT, 0600);
    assert_true(spill_name_parse("tally-" LOG "-1.spill", &name));
    assert_int_equal(spill_file_header(fd, &name, &read), -ENODATA);
    memcpy(header.log, name.log, sizeof header.log);
    assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
    assert_int_equal(spill_file_header(fd, &name, &read), 0);
    name.index = 2;
    assert_int_equal(spill_file_header(fd, &name, &read), -EBADMSG);
    int opened = spill_file_open(directory, "plain", &status);
    assert_true(opened >= 0);
    close(opened);
    assert_int_equal(ftruncate(fd, (off_t)SPILL_FILE_BYTES_LIMIT + 1), 0);
    assert_int_equal(spill_file_open(directory, "plain", &status), -EACCES);
    assert_int_equal(ftruncate(fd, 64), 0);
    assert_int_equal(linkat(directory, "plain", directory, "second", 0), 0);
    assert_int_equal(spill_file_open(directory, "plain", &status), -EACCES);
    assert_int_equal(unlinkat(directory, "second", 0), 0);
    assert_int_equal(symlinkat("plain", directory, "link"), 0);
    assert_int_equal(spill_file_open(directory, "link", &status), -EACCES);
    assert_int_equal(mkfifoat(directory, "fifo", 0600), 0);
    assert_int_equal(spill_file_open(directory, "fifo", &status), -EACCES);
    assert_int_equal(mkdirat(directory, "folder", 0700), 0);
    assert_int_equal(spill_file_open(directory, "folder", &status), -EACCES);
    assert_int_equal(spill_file_open(directory, "absent", &status), -ENOENT);
    unlinkat(directory, "plain", 0);
    unlinkat(directory, "link", 0);
    unlinkat(directory, "fifo", 0);
    unlinkat(directory, "folder", AT_REMOVEDIR);
    close(fd);
    close(directory);
    assert_int_equal(rmdir(folder), 0);
}

/* Root looks on at another user's agent (tally audit): whose database it is, his is the folder beside it. But nobody else's. */
static void folder_of_the_state_folders_owner(void **state)
{
    const char *temporary = getenv("TMPDIR");
    struct spill_folders folders;
    char path[256];
    char spill[300];
    (void)state;
    if (geteuid() != 0)
        skip_because("only root looks on at others");
    snprintf(path, sizeof path, "%s/tally-unit-XXXXXX", temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(path));
    snprintf(spill, sizeof spill, "%s/spill", path);
    assert_int_equal(mkdir(spill, 0700), 0);
    static const struct {
        uid_t state, spill;
        bool good;
    } cases[] = {
        {65534, 65534, true}, {65534, 0, true}, {0, 0, true}, {0, 65534, false}, {1234, 65534, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(chown(path, cases[i].state, (gid_t)-1), 0);
        assert_int_equal(chown(spill, cases[i].spill, (gid_t)-1), 0);
        assert_int_equal(spill_folders_find(&folders, path), 0);
        int fd = spill_folder_open(&folders.list[0]);
        assert_true(cases[i].good ? fd >= 0 : fd == -EPERM);
        if (fd >= 0)
            close(fd);
        spill_folders_free(&folders);
    }
    rmdir(spill);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(records_one_after_the_other),
        cmocka_unit_test(every_end),
        cmocka_unit_test(damage_ends_at_the_next_record),
        cmocka_unit_test(numbers_out_of_reach),
        cmocka_unit_test(noise),
        cmocka_unit_test(what_may_be_opened),
        cmocka_unit_test(folder_of_the_state_folders_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
