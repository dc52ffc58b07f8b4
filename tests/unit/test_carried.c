/* Files of what clients have carried over, taken in by a real collector into a real database: files that are written while they
 * are found, that come in the wrong order, that stop short, and those of another user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tally/abi.h>
#include <tally/spill.h>
#include <unistd.h>

#include "support/skip.h"

#define RING_BYTES   126976u
#define RECORD_BYTES ((uint32_t)sizeof(struct tally_record_header))
#define STRANGER     65534

static struct {
    char folder[256];
    char state[300];
    char arena[300];
    char late[512]; /* the file that is written out when it is about to be renamed */
    unsigned char bytes[8192];
    size_t length;
    size_t early; /* of its bytes: there from the beginning */
} scene;

/* In the C library's place: the last moment in which a writer finds its file's name there, and is content. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
int renameat2(int old_folder, const char *old, int folder, const char *name, unsigned int flags)
{
    const char *late = strrchr(scene.late, '/');
    if (late && !strcmp(late + 1, old)) {
        int file = open(scene.late, O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_int_equal(write(file, scene.bytes + scene.early, scene.length - scene.early),
                         (ssize_t)(scene.length - scene.early));
        close(file);
        scene.late[0] = '\0';
    }
    return (int)syscall(SYS_renameat2, old_folder, old, folder, name, flags);
}

static int set_up(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char path[600];
    memset(&scene, 0, sizeof scene);
    snprintf(scene.folder, sizeof scene.folder, "%s/tally-unit-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(scene.folder))
        return -1;
    snprintf(scene.state, sizeof scene.state, "%s/state", scene.folder);
    snprintf(scene.arena, sizeof scene.arena, "%s/arena", scene.folder);
    snprintf(path, sizeof path, "%s/spill", scene.state);
    setenv("HOME", scene.folder, 1);
    setenv("XDG_STATE_HOME", scene.folder, 1);
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("TALLY_SPILL_DIR");
    *state = &scene;
    return mkdir(scene.state, 0700) || mkdir(path, 0700);
}

static int tear_down(void **state)
{
    char command[400];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", scene.folder);
    return system(command);
}

/* One file's bytes: records `first` to `last` of a lane in which each has the same length and the first stands at 0. */
static void compose(uint8_t log, uint32_t lane, uint64_t first, uint64_t last)
{
    struct tally_spill_header header = {.magic = TALLY_CARRIED_MAGIC, .abi = TALLY_ABI, .index = 1};
    struct tally_carried carried = {.from = (first - 1) * RECORD_BYTES,
                                    .lane = lane,
                                    .ring_bytes = RING_BYTES,
                                    .to = last * RECORD_BYTES};
    memset(header.arena, 0xA7, sizeof header.arena);
    header.log[15] = log;
    memcpy(scene.bytes, &header, sizeof header);
    memcpy(scene.bytes + sizeof header, &carried, sizeof carried);
    scene.length = sizeof header + sizeof carried;
    for (uint64_t number = first; number <= last; number++) {
        struct tally_record_header record = {
            .length = RECORD_BYTES, .kind = 99, .sequence = number, .position = (number - 1) * RECORD_BYTES};
        record.checksum = tally_checksum(&record, RECORD_BYTES);
        assert_in_range(scene.length + RECORD_BYTES, 0, sizeof scene.bytes);
        memcpy(scene.bytes + scene.length, &record, RECORD_BYTES);
        scene.length += RECORD_BYTES;
    }
}

/* `bytes` of what has been composed. */
static void place(uint8_t log, size_t bytes, uid_t uid, gid_t gid)
{
    snprintf(scene.late, sizeof scene.late, "%s/spill/tally-%032x-1.spill", scene.state, log);
    int file = open(scene.late, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, scene.bytes, bytes), (ssize_t)bytes);
    if (uid != geteuid())
        assert_int_equal(fchown(file, uid, gid), 0);
    close(file);
    scene.early = bytes;
    if (bytes == scene.length)
        scene.late[0] = '\0';
}

static void put(uint8_t log, uint32_t lane, uint64_t first, uint64_t last, uid_t uid)
{
    compose(log, lane, first, last);
    place(log, scene.length, uid, uid);
}

static void take(bool strangers, gid_t group)
{
    struct agent_config config = {.state_directory = scene.state,
                                  .arenas = {scene.arena},
                                  .arena_count = 1,
                                  .all_users = strangers,
                                  .group = group,
                                  .commit_interval_ms = 100,
                                  .once = true};
    struct collector_once done;
    char error[COLLECTOR_ERROR_BYTES] = "";
    if (collector_run_once(&config, &done, error))
        fail_msg("%s", error);
}

static int64_t number(const char *question)
{
    char path[400];
    sqlite3 *database;
    sqlite3_stmt *statement;
    snprintf(path, sizeof path, "%s/usage.db", scene.state);
    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, question, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t result = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return result;
}

static void expect(int64_t persisted, int64_t losses)
{
    assert_int_equal(number("SELECT coalesce(sum(persisted), 0) FROM lanes"), persisted);
    assert_int_equal(number("SELECT count(*) FROM losses"), losses);
}

/* ---- in the making ------------------------------------------------------------------------ */

/* Found when only so much of it was there, and written to its end before it is renamed: its writer finds the name, and is
 * content with it. */
static void written_while_it_is_found(void **state)
{
    const size_t heads = sizeof(struct tally_spill_header) + sizeof(struct tally_carried);
    (void)state;
    for (size_t early = 0; early <= heads + RECORD_BYTES; early += 8) {
        uint8_t log = (uint8_t)(early / 8 + 1);
        compose(log, log, 1, 5);
        place(log, early, geteuid(), getegid());
        take(false, (gid_t)-1);
        expect(log * 5, 0);
    }
}

/* ---- in the wrong order ---------------------------------------------------------------------- */

/* Of one process: a serial number whose lowest byte has come round, or two threads; so the later piece is looked at first. */
static void pieces_in_the_wrong_order(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 9; i++)
        put((uint8_t)(i + 1), 3, (uint64_t)(8 - i) * 10 + 1, (uint64_t)(8 - i) * 10 + 10, geteuid());
    take(false, (gid_t)-1);
    take(false, (gid_t)-1); /* a leaving agent does not look for ever: the rest waits for the next */
    expect(90, 0);
}

/* A piece that nobody has written is missed after all, and under its name. */
static void a_piece_is_missing(void **state)
{
    (void)state;
    put(1, 3, 41, 50, geteuid());
    put(2, 3, 1, 30, geteuid());
    take(false, (gid_t)-1);
    expect(40, 1);
    assert_int_equal(number("SELECT records FROM losses WHERE cause = 'arena_deleted'"), 10);
}

/* Its writer was killed while it wrote. How much was to come nobody knows: a loss by name, without a number; and once. */
static void a_file_that_stops_short(void **state)
{
    (void)state;
    compose(1, 3, 1, 5);
    scene.length -= RECORD_BYTES + 24;
    place(1, scene.length, geteuid(), getegid());
    put(2, 4, 1, 5, geteuid());
    take(false, (gid_t)-1);
    expect(3 + 5, 1);
    assert_int_equal(number("SELECT count(*) FROM losses WHERE cause = 'arena_deleted' AND records IS NULL "
                            "AND lane = 3"),
                     1);
    assert_int_equal(number("SELECT count(*) FROM lanes WHERE tenure_open"), 0);
    take(false, (gid_t)-1);
    expect(3 + 5, 1);
}

/* But it has been written once more. */
static void a_file_written_once_more(void **state)
{
    (void)state;
    put(2, 3, 1, 5, geteuid());
    compose(1, 3, 1, 5);
    scene.length -= RECORD_BYTES + 24;
    place(1, scene.length, geteuid(), getegid());
    take(false, (gid_t)-1);
    expect(5, 0);
}

/* ---- of others ------------------------------------------------------------------------------ */

/* All of a user's lanes, of an arena that nobody here has ever seen: the first of them makes it known. */
static void lanes_of_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip_because("only root has other users' files");
    for (uint8_t lane = 0; lane < 5; lane++)
        put((uint8_t)(lane + 1), lane, 1, 10, STRANGER);
    take(true, (gid_t)-1);
    expect(50, 0);
    put(9, 2, 11, 20, STRANGER);
    take(true, (gid_t)-1);
    expect(60, 0);
    /* but nobody else's */
    put(10, 2, 31, 40, STRANGER - 1);
    take(true, (gid_t)-1);
    expect(60, 0);
}

/* A group has arenas of its own. To belong to it gives nobody a say in another user's. */
static void a_group_speaks_for_no_users_arena(void **state)
{
    enum { GROUP = 4444 };
    (void)state;
    if (geteuid() != 0)
        skip_because("only root has other users' files");
    put(1, 0, 1, 10, STRANGER);
    take(true, GROUP);
    expect(10, 0);
    compose(2, 0, 31, 40);
    place(2, scene.length, STRANGER - 1, GROUP);
    take(true, GROUP);
    expect(10, 0);
    compose(3, 0, 11, 20); /* the user's own, if it be in the group */
    place(3, scene.length, STRANGER, GROUP);
    take(true, GROUP);
    expect(20, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_while_it_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pieces_in_the_wrong_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_piece_is_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_stops_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_written_once_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lanes_of_another_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_group_speaks_for_no_users_arena, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
