/* The arena as a file: names, making, trust, and what is refused. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "arena_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_GROUP ((gid_t)-1)

static char folder[200];
static char arena[256];

static int setup(void **state)
{
    const char *temporary = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof(folder), "%s/arena-file.XXXXXX", temporary ? temporary : "/tmp");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(arena, sizeof(arena), "%s/arena", folder);
    return 0;
}

/* How many names are in the folder. */
static int names(void)
{
    DIR *directory = opendir(folder);
    int count = 0;

    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

static int teardown(void **state)
{
    (void)state;
    unlink(arena);
    return rmdir(folder); /* fails, and the test with it, if something was left in it */
}

static void expect_path(const char *name, uid_t uid, const char *expected)
{
    char path[ARENA_PATH_MAX];

    assert_int_equal(arena_path(path, sizeof(path), name, uid), 0);
    assert_string_equal(path, expected);
}

static void names_and_paths(void **state)
{
    static const char *const bad[] = {"bad/name", "/", ".", "/..", "a/", "/a/b/", "relative/path/x"};
    char path[ARENA_PATH_MAX];
    char longest[ARENA_PATH_MAX + 2];

    (void)state;
    expect_path(NULL, 0, "/dev/shm/tally-0.v1");
    expect_path("", 65534, "/dev/shm/tally-65534.v1");
    expect_path(NULL, 4294967294U, "/dev/shm/tally-4294967294.v1");
    expect_path("/name", 7, "/dev/shm/name");
    expect_path("name", 7, "/dev/shm/name");
    expect_path("/volume/tally", 7, "/volume/tally");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(arena_path(path, sizeof(path), bad[i], 0), -EINVAL);
    memset(longest, 'n', sizeof(longest) - 1);
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(arena_path(path, sizeof(path), longest, 0), -ENAMETOOLONG);
    assert_int_equal(arena_path(path, 10, "/name", 0), -ENAMETOOLONG);
}

static void groups(void **state)
{
    (void)state;
    assert_int_equal(arena_group(NULL), NO_GROUP);
    assert_int_equal(arena_group(""), NO_GROUP);
    assert_int_equal(arena_group("root"), 0);
    assert_int_equal(arena_group("0"), 0);
    assert_int_equal(arena_group("1234"), 1234);
    assert_int_equal(arena_group("no-such-group-here"), NO_GROUP);
    assert_int_equal(arena_group("-1"), NO_GROUP);
    assert_int_equal(arena_group("99999999999999999999"), NO_GROUP);
}

static struct stat file_of(mode_t mode, uid_t uid, gid_t gid)
{
    return (struct stat){.st_mode = mode, .st_uid = uid, .st_gid = gid, .st_nlink = 1};
}

static void whom_to_trust(void **state)
{
    static const struct {
        mode_t mode;
        uid_t uid;
        gid_t gid;
        gid_t group;
        int result;
    } cases[] = {
        {S_IFREG | 0600, 1000, 1000, NO_GROUP, 0},
        {S_IFREG | 0600, 0, 0, NO_GROUP, 0},
        {S_IFREG | 0600, 1001, 1000, NO_GROUP, -EACCES}, /* a stranger's */
        {S_IFREG | 0604, 1000, 1000, NO_GROUP, -EACCES}, /* open to others */
        {S_IFREG | 0602, 1000, 1000, NO_GROUP, -EACCES},
        {S_IFREG | 0660, 1000, 1000, NO_GROUP, -EACCES}, /* open to a group that was not named */
        {S_IFREG | 0660, 1000, 50, 60, -EACCES},
        {S_IFREG | 0660, 1001, 50, 50, 0}, /* the named group's */
        {S_IFREG | 0662, 1001, 50, 50, -EACCES},
        {S_IFDIR | 0700, 1000, 1000, NO_GROUP, -EACCES},
        {S_IFLNK | 0600, 1000, 1000, NO_GROUP, -EACCES},
        {S_IFIFO | 0600, 1000, 1000, NO_GROUP, -EACCES},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stat file = file_of(cases[i].mode, cases[i].uid, cases[i].gid);
        assert_int_equal(arena_file_trusted(&file, 1000, cases[i].group), cases[i].result);
    }
    struct stat file = file_of(S_IFREG | 0600, 1000, 1000);
    file.st_nlink = 2;
    assert_int_equal(arena_file_trusted(&file, 1000, NO_GROUP), -EACCES);
    file.st_nlink = 0;
    assert_int_equal(arena_file_trusted(&file, 1000, NO_GROUP), -ESTALE);
}

static void made_once_and_found_again(void **state)
{
    struct tally_arena_header made;
    struct tally_arena_header found;
    struct stat status;

    (void)state;
    assert_int_equal(arena_file_open(arena, NO_GROUP, false, &made), -ENOENT);
    int file = arena_file_open(arena, NO_GROUP, true, &made);
    assert_true(file >= 0);
    assert_int_equal(fcntl(file, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, tally_arena_bytes(&made));
    assert_int_equal(made.lane_count, TALLY_LANE_COUNT_DEFAULT);
    assert_int_equal(made.lane_bytes, TALLY_LANE_BYTES_DEFAULT);
    assert_true((uint64_t)status.st_blocks * 512 < 1 << 20); /* sparse */
    close(file);
    assert_int_equal(names(), 1);
    file = arena_file_open(arena, NO_GROUP, true, &found);
    assert_true(file >= 0);
    assert_memory_equal(&made, &found, sizeof(made));
    close(file);
    file = arena_file_open_existing(arena, NO_GROUP, O_RDONLY, &found);
    assert_true(file >= 0);
    assert_int_equal(fcntl(file, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(file);
}

static void geometry_from_the_environment(void **state)
{
    static const struct {
        const char *lanes;
        const char *kib;
        uint32_t lane_count;
        uint32_t lane_bytes;
    } cases[] = {
        {"4", "16", 4, 16 * 1024},
        {"1", "17", 1, 16 * 1024}, /* whole pages */
        {"0", "8", TALLY_LANE_COUNT_DEFAULT, TALLY_LANE_BYTES_DEFAULT},
        {"many", "9999999", TALLY_LANE_COUNT_DEFAULT, TALLY_LANE_BYTES_DEFAULT},
        {"16384", "16", 16384, 16 * 1024},
        {"16385", "", TALLY_LANE_COUNT_DEFAULT, TALLY_LANE_BYTES_DEFAULT},
    };
    struct tally_arena_header header;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setenv("TALLY_LANES", cases[i].lanes, 1);
        setenv("TALLY_LANE_KIB", cases[i].kib, 1);
        int file = arena_file_open(arena, NO_GROUP, true, &header);
        assert_true(file >= 0);
        close(file);
        unlink(arena);
        assert_int_equal(header.lane_count, cases[i].lane_count);
        assert_int_equal(header.lane_bytes, cases[i].lane_bytes);
        assert_true(tally_arena_header_sound(&header));
    }
    unsetenv("TALLY_LANES");
    unsetenv("TALLY_LANE_KIB");
}

static void *make(void *out)
{
    struct tally_arena_header header;
    int file = arena_file_open(arena, NO_GROUP, true, &header);

    if (file >= 0)
        close(file);
    memcpy(out, header.uuid, sizeof(header.uuid));
    return file >= 0 ? out : NULL;
}

static void many_makers_make_one(void **state)
{
    pthread_t threads[16];
    uint8_t uuids[16][16];
    void *result;

    (void)state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 16; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, make, uuids[i]), 0);
        for (int i = 0; i < 16; i++) {
            pthread_join(threads[i], &result);
            assert_non_null(result);
        }
        for (int i = 1; i < 16; i++)
            assert_memory_equal(uuids[i], uuids[0], 16);
        assert_int_equal(names(), 1);
        unlink(arena);
    }
}

static void expect_refused(int expected)
{
    struct tally_arena_header header;

    assert_int_equal(arena_file_open(arena, NO_GROUP, true, &header), expected);
}

static void what_is_no_arena(void **state)
{
    struct tally_arena_header header;

    (void)state;
    assert_int_equal(mkdir(arena, 0700), 0);
    struct tally_arena_header unused;
    assert_true(arena_file_open(arena, NO_GROUP, true, &unused) < 0);
    rmdir(arena);
    assert_int_equal(symlink("elsewhere", arena), 0);
    expect_refused(-ELOOP);
    unlink(arena);
    assert_int_equal(mkfifo(arena, 0600), 0);
    expect_refused(-EACCES);
    unlink(arena);
    int file = open(arena, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    expect_refused(-EBADMSG); /* empty */
    close(file);
    unlink(arena);
    /* truncated, of another ABI, with impossible geometry, open to others */
    file = arena_file_open(arena, NO_GROUP, true, &header);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)tally_arena_bytes(&header) - 1), 0);
    expect_refused(-EBADMSG);
    assert_int_equal(ftruncate(file, (off_t)tally_arena_bytes(&header)), 0);
    struct tally_arena_header wrong = header;
    wrong.abi++;
    assert_int_equal(pwrite(file, &wrong, sizeof(wrong), 0), sizeof(wrong));
    expect_refused(-EBADMSG);
    wrong = header;
    wrong.lane_bytes += 8;
    assert_int_equal(pwrite(file, &wrong, sizeof(wrong), 0), sizeof(wrong));
    expect_refused(-EBADMSG);
    wrong = header;
    wrong.lane_count = 0;
    assert_int_equal(pwrite(file, &wrong, sizeof(wrong), 0), sizeof(wrong));
    expect_refused(-EBADMSG);
    assert_int_equal(pwrite(file, &header, sizeof(header), 0), sizeof(header));
    assert_int_equal(fchmod(file, 0666), 0);
    expect_refused(-EACCES);
    assert_int_equal(fchmod(file, 0600), 0);
    char second[300];
    snprintf(second, sizeof(second), "%s.second", arena);
    assert_int_equal(link(arena, second), 0);
    expect_refused(-EACCES);
    unlink(second);
    close(file);
    file = arena_file_open(arena, NO_GROUP, false, &wrong);
    assert_true(file >= 0);
    close(file);
}

static void a_group_arena(void **state)
{
    struct tally_arena_header header;
    struct stat status;
    gid_t group = geteuid() == 0 ? 54321 : getegid();

    (void)state;
    int file = arena_file_open(arena, group, true, &header);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(status.st_gid, group);
    assert_int_equal(status.st_mode & 07777, 0660);
    close(file);
    expect_refused(-EACCES); /* by one who has not named the group */
}

static void files_may_not_grow(void **state)
{
    int status;

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct tally_arena_header header;
        struct rlimit limit = {4096, RLIM_INFINITY};
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(arena_file_open(arena, NO_GROUP, true, &header) == -EFBIG ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* and not SIGXFSZ */
    assert_int_equal(names(), 0);
}

#define file_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_paths),
        cmocka_unit_test(groups),
        cmocka_unit_test(whom_to_trust),
        file_test(made_once_and_found_again),
        file_test(geometry_from_the_environment),
        file_test(many_makers_make_one),
        file_test(what_is_no_arena),
        file_test(a_group_arena),
        file_test(files_may_not_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
