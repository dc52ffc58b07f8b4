/* The board is taken whole, never goes back, and one agent has an arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/agent_lock.h"
#include "board/board.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "unit/hand_arena.h"

#define LANES 8

static struct hand_arena arena;
static char path[320];
static struct tally_board_lane lanes[LANES];

static int set_up(void **state)
{
    (void)state;
    hand_arena_make(&arena, LANES);
    snprintf(path, sizeof path, "%s.board", arena.path);
    memset(lanes, 0, sizeof lanes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hand_arena_remove(&arena);
    return 0;
}

static ino_t inode(const char *name)
{
    struct stat status;
    return stat(name, &status) ? 0 : status.st_ino;
}

static void a_new_board_says_what_the_database_holds(void **state)
{
    struct board board;
    struct stat status;
    (void)state;
    lanes[3] = (struct tally_board_lane){.position = 4096, .sequence = 17, .ended_tenures = 2};
    assert_int_equal(board_take(&board, path, arena.header, false, lanes), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal((uint64_t)status.st_size, tally_board_bytes(LANES));
    assert_true(status.st_blocks * 512 >= status.st_size); /* no holes */
    assert_int_equal(board.shared->magic, TALLY_BOARD_MAGIC);
    assert_int_equal(board.shared->generation, 1);
    assert_int_equal(board.shared->agent.pid, getpid());
    assert_int_equal(board.lanes[3].position, 4096);
    assert_int_equal(board.lanes[3].sequence, 17);
    board_leave(&board, false);
}

static void it_is_used_again_and_never_goes_back(void **state)
{
    struct board board;
    (void)state;
    assert_int_equal(board_take(&board, path, arena.header, false, lanes), 0);
    assert_true(board_publish(&board, 1, 800, 10, 0));
    assert_false(board_publish(&board, 1, 720, 9, 0));
    assert_int_equal(board.lanes[1].position, 800);
    board_announce(&board, TALLY_AGENT_ASLEEP, 7); /* and then it was killed */
    ino_t first = inode(path);

    struct board next;
    memset(lanes, 0, sizeof lanes);
    lanes[1].position = 400; /* of a database that is older */
    lanes[1].sequence = 5;
    assert_int_equal(board_take(&next, path, arena.header, false, lanes), 0);
    assert_int_equal(inode(path), first);
    assert_int_equal(next.shared->generation, 2);
    assert_int_equal(TALLY_ANNOUNCED_STATE(next.shared->announce), TALLY_AGENT_BUSY);
    assert_int_equal(next.lanes[1].position, 800);
    assert_int_equal(lanes[1].position, 800); /* and the caller is told */
    assert_int_equal(lanes[1].sequence, 10);
    board_leave(&next, false);
    board_leave(&board, false);
}

static void readers_of_a_replaced_board_are_told(void **state)
{
    struct board board;
    struct board next;
    (void)state;
    assert_int_equal(board_take(&board, path, arena.header, false, lanes), 0);
    board_announce(&board, TALLY_AGENT_GATHERING, 1);
    ino_t first = inode(path);
    arena.header->uuid[0] ^= 1; /* another arena under the same name */
    memset(lanes, 0, sizeof lanes);
    assert_int_equal(board_take(&next, path, arena.header, false, lanes), 0);
    assert_int_not_equal(inode(path), first);
    assert_int_equal(TALLY_ANNOUNCED_STATE(board.shared->announce), TALLY_AGENT_MOVED);
    assert_int_equal(next.shared->generation, 1);
    board_leave(&next, false);
    board_leave(&board, true);
}

static void a_strange_board_is_replaced(void **state)
{
    struct board board;
    char other[330];
    (void)state;
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "short", 5), 5);
    close(fd);
    assert_int_equal(board_take(&board, path, arena.header, false, lanes), 0);
    board_leave(&board, false);
    assert_int_equal(chmod(path, 0666), 0); /* others may have written it */
    ino_t first = inode(path);
    assert_int_equal(board_take(&board, path, arena.header, false, lanes), 0);
    assert_int_not_equal(inode(path), first);
    board_leave(&board, false);
    snprintf(other, sizeof other, "%s.elsewhere", path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(board_take(&board, path, arena.header, false, lanes), 0);
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    board_leave(&board, false);
}

static void a_board_for_others_can_be_read_by_them(void **state)
{
    struct board board;
    struct stat status;
    (void)state;
    assert_int_equal(board_take(&board, path, arena.header, true, lanes), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    board_leave(&board, false);
}

/* As when a group is set for an arena that was one user's: readers keep the board that they have. */
static void a_board_changes_its_mode_in_place(void **state)
{
    struct board board;
    struct stat status;
    (void)state;
    lanes[1].position = 640;
    lanes[1].sequence = 8;
    assert_int_equal(board_take(&board, path, arena.header, false, lanes), 0);
    board_leave(&board, false);
    ino_t first = inode(path);
    for (int shared = 1; shared >= 0; shared--) {
        memset(lanes, 0, sizeof lanes);
        assert_int_equal(board_take(&board, path, arena.header, shared, lanes), 0);
        assert_int_equal(inode(path), first);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, shared ? 0644 : 0600);
        assert_int_equal(lanes[1].position, 640);
        board_leave(&board, false);
    }
}

/* What board_take() says to a user whom modes hold back, as they do not root. */
static int taken_by_a_user(void)
{
    struct board board;
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && seteuid(65534))
            _exit(255);
        _exit(-board_take(&board, path, arena.header, false, lanes));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static uint64_t position_on_board(uint32_t lane)
{
    struct tally_board_lane entry = {0};
    int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, &entry, sizeof entry, (off_t)(TALLY_BOARD_LANES_OFFSET + lane * sizeof entry)),
                     sizeof entry);
    close(fd);
    return entry.position;
}

/* It may know more than the database, and nobody can see. */
static void a_board_that_may_not_be_opened_stays(void **state)
{
    char folder[64];
    (void)state;
    /* Not the test's own folder: another user does not come there. */
    snprintf(folder, sizeof folder, "/dev/shm/tally-test-%ld", (long)getpid());
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    snprintf(path, sizeof path, "%s/board", folder);
    lanes[1].position = 640;
    lanes[1].sequence = 8;
    assert_int_equal(taken_by_a_user(), 0);
    ino_t first = inode(path);
    memset(lanes, 0, sizeof lanes); /* a backup is restored */
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(taken_by_a_user(), -EPERM);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(folder, 0), 0); /* nor can it be told whose it is */
    assert_int_equal(taken_by_a_user(), -EPERM);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(inode(path), first);
    assert_int_equal(taken_by_a_user(), 0);
    assert_int_equal(inode(path), first);
    assert_int_equal(position_on_board(1), 640);
    if (geteuid() == 0) { /* a stranger's is no reason to wait */
        assert_int_equal(chown(path, 0, 0), 0);
        assert_int_equal(taken_by_a_user(), 0);
        assert_int_not_equal(inode(path), first);
        assert_int_equal(position_on_board(1), 0);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void one_agent_an_arena(void **state)
{
    char lock[330];
    pid_t holder;
    (void)state;
    snprintf(lock, sizeof lock, "%s.lock", arena.path);
    int first = agent_lock_take(lock, geteuid(), &holder);
    assert_true(first >= 0);
    assert_int_equal(agent_lock_take(lock, geteuid(), &holder), -EBUSY);
    assert_int_equal(holder, getpid());
    struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int reader = open(lock, O_RDONLY);
    assert_int_equal(fcntl(reader, F_OFD_GETLK, &asked), 0); /* as clients ask */
    assert_int_equal(asked.l_type, F_WRLCK);
    close(reader);
    assert_true(agent_lock_named(first, lock));
    assert_int_equal(unlink(lock), 0);
    assert_false(agent_lock_named(first, lock));
    int second = agent_lock_take(lock, geteuid(), &holder);
    assert_true(second >= 0);
    close(first);
    close(second);
    assert_int_equal(chmod(lock, 0666), 0);
    assert_int_equal(agent_lock_take(lock, geteuid(), &holder), -EACCES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_new_board_says_what_the_database_holds), TEST(it_is_used_again_and_never_goes_back),
        TEST(readers_of_a_replaced_board_are_told),     TEST(a_strange_board_is_replaced),
        TEST(a_board_for_others_can_be_read_by_them),   TEST(a_board_that_may_not_be_opened_stays),
        TEST(a_board_changes_its_mode_in_place),        TEST(one_agent_an_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
