/* Spill files: what has no room in shared memory is kept all the same, and counted once. */
#include "support/test.h"

#include "support/tries.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static void spilling_room(struct room *room, const char *lanes)
{
    room_set(room, "TALLY_OVERFLOW", "spill");
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_LANES", lanes);
}

/* Everything that the programs wrote is in the database once; nothing was refused. */
static void expect_all(struct room *room)
{
    books_await_ended(room);
    assert_int_equal(room_refused(room), 0);
    books_expect_complete(room, 0);
}

static int64_t logs(const struct room *room)
{
    return books_number(room, "SELECT count(*) FROM arenas WHERE spill_uid >= 0");
}

/* The first spill file in a folder of the room. */
static void find_file(const struct room *room, const char *folder, char path[ROOM_PATH_MAX * 2])
{
    char directory[ROOM_PATH_MAX];
    struct dirent *entry;

    snprintf(directory, sizeof(directory), "%s/%s", room->directory, folder);
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    path[0] = '\0';
    while (path[0] == '\0' && (entry = readdir(listing)) != NULL)
        if (strstr(entry->d_name, ".spill") != NULL)
            snprintf(path, ROOM_PATH_MAX * 2, "%s/%s", directory, entry->d_name);
    closedir(listing);
    assert_true(path[0] != '\0');
}

/* ---- where from, who takes it --------------------------------------------------------- */

static void by_default_a_full_lane_spills(void **state)
{
    struct room *room = *state;

    spilling_room(room, "4");
    room_set(room, "TALLY_OVERFLOW", "");
    room_run(room, "client", "record=1000", "together=2,500", "exit=0", NULL);
    room_run(room, "client-static", "record=1000", "exit=0", NULL);
    assert_true(books_spill_files(room) >= 2);
    agent_start(room);
    expect_all(room);
    books_expect_text(room, "2", "SELECT count(*) FROM clients WHERE ended = 'clean' AND complete = 1");
    /* afterwards the lane serves again */
    int64_t before = logs(room);
    room_run(room, "client", "record=20", "exit=0", NULL);
    expect_all(room);
    assert_int_equal(logs(room), before);
}

static void a_stopped_agent_takes_it_when_it_goes_on(void **state)
{
    struct room *room = *state;

    spilling_room(room, "4");
    agent_start(room);
    agent_pause(room);
    room_run(room, "client", "record=2000", "exit=0", NULL);
    /* the board names the agent's own folder */
    char path[ROOM_PATH_MAX * 2];
    find_file(room, "state/spill", path);
    struct audit audit;
    books_audit(room, &audit);
    assert_int_equal(audit.status, 0);
    assert_true(audit.waiting > 2000);
    assert_int_equal(audit.written, audit.persisted + audit.waiting);
    agent_resume(room);
    expect_all(room);
}

static void a_restarted_agent_takes_it(void **state)
{
    struct room *room = *state;

    spilling_room(room, "4");
    agent_start(room);
    struct program *client =
        room_start(room, "client", "record=5", "stage=1", "await=1", "record=2000", "raise=9", NULL);
    room_await_stage(room, 1);
    books_await_drained(room);
    agent_kill(room);
    room_go(room, 1);
    room_expect_signal(room, client, SIGKILL);
    agent_start(room);
    expect_all(room);
    books_expect_text(room, "died|1", "SELECT ended || '|' || complete FROM clients");
}

static void recover_takes_it(void **state)
{
    struct room *room = *state;

    spilling_room(room, "4");
    /* more than an agent takes in one round */
    room_run(room, "client", "together=4,30000", "exit=0", NULL);
    agent_recover(room);
    expect_all(room);
}

static void more_threads_than_lanes_spill(void **state)
{
    struct room *room = *state;

    spilling_room(room, "2");
    agent_start(room);
    struct program *client = room_start(room, "client", "hold=8", "stage=1", "await=1", "together=8,200",
                                        "release", "exit=0", NULL);
    room_await_stage(room, 1);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(room_result(room, i), 0);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    expect_all(room);
    assert_true(logs(room) >= 6);
    books_expect_text(room, "clean", "SELECT ended FROM clients");
    tries(room_acknowledged(room), "records of threads without a lane");
}

static void without_an_arena_all_is_spilled(void **state)
{
    struct room *room = *state;
    char folder[ROOM_PATH_MAX];

    /* a folder that the client is told, and one of root's that it must not use */
    snprintf(folder, sizeof(folder), "%s/spill", room->directory);
    assert_int_equal(mkdir(folder, 0700), 0);
    room_set(room, "TALLY_OVERFLOW", "spill");
    room_set(room, "TALLY_SPILL_DIR", folder);
    agent_start(room);
    room_set(room, "TALLY_ARENA", "/nonexistent/folder/arena");
    room_run(room, "client", "record=300", "begin", "progress=7", "end", "new=one", "object=3", "free",
             "exit=0", NULL);
    assert_int_equal(room_result(room, 0), 0);
    books_await_ended(room);
    expect_all(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 304);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE call_id IS NOT NULL AND "
                                        "output_tokens = 7 AND status = 'ok'"),
                     1);
    books_expect_text(room, "unknown", "SELECT ended FROM clients WHERE parent_id IS NULL");
    books_expect_text(room, "clean|3",
                      "SELECT ended || '|' || (SELECT count(*) FROM usage WHERE client_id = c.id)"
                      " FROM clients c WHERE service = 'one'");
    tries(room_acknowledged(room), "records without shared memory");
}

/* ---- races ------------------------------------------------------------------------------ */

static void writers_and_taker_race(void **state)
{
    struct room *room = *state;

    spilling_room(room, "1");
    agent_start(room);
    room_run(room, "client", "together=8,2000", "exit=0", NULL);
    /* A bare exit leaves a sanitizer's own thread data behind, in a stack that the next thread gets. */
    room_run(room, "client", "threads=200,3,return", SANITIZED ? "threads=20,3,return" : "threads=20,3,raw",
             "exit=0", NULL);
    expect_all(room);
    assert_true(books_number(room, "SELECT sum(sequence) FROM lanes l JOIN arenas a ON a.id = l.arena_id "
                                   "WHERE spill_uid >= 0") > 0);
    tries(room_acknowledged(room), "records raced with their taker");
}

static void both_sides_killed_at_random(void **state)
{
    struct room *room = *state;
    unsigned int random = 1;

    spilling_room(room, "2");
    for (int round = 0; round < 40; round++) {
        struct program *client = room_start(room, "client", "background=5", "stop", "exit=0", NULL);
        (void)client;
        struct program *long_one = room_start(room, round % 2 ? "client" : "client-static", "background=4",
                                              "stage=1", "await=100", NULL);
        agent_start(room);
        random = random * 1103515245 + 12345;
        nanosleep(&(struct timespec){0, (long)(random >> 16) % 60 * 1000000}, NULL);
        agent_kill(room);
        room_kill(room, long_one);
        room_expect_exit(room, client, 0);
    }
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, 0);
    assert_int_equal(room_refused(room), 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM losses"), 0);
    tries(40, "agents and clients killed at random");
}

static void children_spill_for_themselves(void **state)
{
    struct room *room = *state;

    spilling_room(room, "1");
    room_run(room, "forks", "tree", NULL);
    room_run(room, "forks-static", "tree", NULL);
    agent_start(room);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), room_acknowledged(room));
}

/* ---- limits --------------------------------------------------------------------------------- */

static void the_limit_holds_and_heals(void **state)
{
    struct room *room = *state;

    spilling_room(room, "1");
    room_set(room, "TALLY_SPILL_MAX", "30000");
    agent_start(room);
    agent_pause(room);
    struct program *client = room_start(room, "client", "record=1000", "stage=1", "await=1", "record=20000",
                                        "stage=2", "await=2", "exit=0", NULL);
    room_await_stage(room, 1);
    uint64_t first = room_acknowledged(room);
    assert_int_equal(room->counters->refused[ENOSPC], 1000 - first);
    assert_true(first > 200 && first < 700);
    agent_resume(room);
    books_await_drained(room);
    agent_pause(room);
    /* so many that the process counts anew, which it does every ten milliseconds at most */
    room_go(room, 1);
    room_await_stage(room, 2);
    uint64_t second = room_acknowledged(room) - first;
    if (second <= 200 || second >= 700)
        fail_msg("%llu records were kept at first, and then %llu", (unsigned long long)first,
                 (unsigned long long)second);
    agent_resume(room);
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    assert_int_equal(books_number(room, "SELECT records FROM losses WHERE cause = 'no_spill'"),
                     21000 - first - second);
}

static void threads_leave_no_mappings_and_share_files(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_OVERFLOW", "spill");
    agent_start(room);
    agent_pause(room);
    room_set(room, "TALLY_ARENA", "/nonexistent/folder/arena");
    room_run(room, "client", "threads=20,1,return", "mappings", "descriptors", "threads=500,1,return",
             "mappings", "descriptors", "exit=0", NULL);
    assert_true(room_result(room, 2) <= room_result(room, 0) + 2);
    assert_int_equal(room_result(room, 1), room_result(room, 3));
    assert_int_equal(books_spill_files(room), 1);
    agent_resume(room);
    expect_all(room);
}

/* ---- what stands in the folder ------------------------------------------------------------------ */

static void append(const char *path, const void *bytes, size_t length)
{
    int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, length), length);
    close(file);
}

static void a_torn_end_is_no_loss(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX * 2];
    unsigned char half[56] = {80, 0, 0, 0, 3};

    spilling_room(room, "1");
    room_run(room, "client", "record=1000", "exit=0", NULL);
    find_file(room, "home/tally/spill", path);
    append(path, half, sizeof(half));
    agent_start(room);
    expect_all(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM losses"), 0);
}

static void damage_is_set_aside_and_counted(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX * 2];
    struct audit audit;
    unsigned char byte = 0x55;

    spilling_room(room, "1");
    room_run(room, "client", "record=1000", "exit=0", NULL);
    find_file(room, "home/tally/spill", path);
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(file, &byte, 1, 20000), 1);
    close(file);
    agent_start(room);
    books_await_ended(room);
    books_audit(room, &audit);
    assert_int_equal(audit.status, 0);
    assert_int_equal(audit.lost, 1);
    assert_int_equal(audit.unaccounted, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 999);
    assert_int_equal(books_number(room, "SELECT records FROM losses WHERE cause = 'quarantined'"), 1);
    tries(1, "records damaged in a file");
}

static void a_file_that_is_gone_is_a_named_loss(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX * 2];
    char away[ROOM_PATH_MAX];
    struct audit audit;

    spilling_room(room, "1");
    struct program *client =
        room_start(room, "client", "record=500", "stage=1", "await=1", "record=100", "exit=0", NULL);
    room_await_stage(room, 1);
    find_file(room, "home/tally/spill", path);
    snprintf(away, sizeof(away), "%s/away", room->directory);
    assert_int_equal(rename(path, away), 0);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    agent_start(room);
    books_await_ended(room);
    books_audit(room, &audit);
    assert_int_equal(audit.status, 0);
    assert_int_equal(audit.unaccounted, 0);
    assert_true(audit.lost > 100);
    assert_int_equal(books_number(room, "SELECT records FROM losses WHERE cause = 'spill_missing'"),
                     audit.lost);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 600 - audit.lost);
    tries(1, "files removed");
}

/* An earlier agent died between its renaming and its commit, or between its commit and its unlinking. */
static void files_begun_by_a_dead_agent_are_finished_once(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX * 2];
    char taken[ROOM_PATH_MAX * 2 + 10];
    char copy[ROOM_PATH_MAX * 2];
    char command[ROOM_PATH_MAX * 5];

    spilling_room(room, "1");
    agent_start(room);
    agent_pause(room);
    room_run(room, "client", "record=1000", "exit=0", NULL);
    agent_kill(room);
    find_file(room, "state/spill", path);
    snprintf(taken, sizeof(taken), "%s.taken", path);
    snprintf(copy, sizeof(copy), "%s/copy", room->directory);
    snprintf(command, sizeof(command), "cp '%s' '%s'", path, copy);
    assert_int_equal(system(command), 0);
    assert_int_equal(rename(path, taken), 0);
    agent_start(room);
    expect_all(room);
    agent_stop(room);
    /* once more: committed, and not yet removed */
    assert_int_equal(rename(copy, taken), 0);
    agent_start(room);
    expect_all(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 1000);
}

static void what_is_no_spill_file_is_left_alone(void **state)
{
    static const char name[] = "tally-0123456789abcdef0123456789abcdef-";
    struct room *room = *state;
    char path[ROOM_PATH_MAX * 2];
    char text[200];

    spilling_room(room, "1");
    agent_start(room);
    agent_stop(room);
    snprintf(path, sizeof(path), "%s/state/spill/%s1.spill", room->directory, name);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/state/spill/%s2.spill", room->directory, name);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/state/spill/%s3.spill", room->directory, name);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    memset(text, 'x', sizeof(text));
    assert_int_equal(write(file, text, sizeof(text)), sizeof(text));
    close(file);
    agent_start(room);
    room_run(room, "client", "together=3,300", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 900);
    assert_true(agent_said(room, "1.spill is left alone"));
    assert_true(agent_said(room, "2.spill is left alone"));
    assert_true(agent_said(room, "3.spill is left alone"));
    wait_until(books_spill_files(room) == 3); /* files are removed after the commit */
    struct audit audit;
    books_audit(room, &audit);
    assert_int_equal(audit.unaccounted, 0);
    /* they have been told apart from files that wait */
    assert_int_equal(audit.waiting, 0);
}

static void a_strangers_file_is_left_alone(void **state)
{
    struct room *room = *state;
    char path[ROOM_PATH_MAX * 2];

    spilling_room(room, "1");
    agent_start(room);
    agent_pause(room);
    room_run(room, "client", "record=1000", "exit=0", NULL);
    find_file(room, "state/spill", path);
    if (chown(path, 4711, 4711) != 0)
        skip_because("no right to give files away");
    agent_resume(room);
    wait_until(agent_said(room, "belongs to a user who is not served"));
    assert_int_equal(books_spill_files(room), 1);
    assert_int_equal(chown(path, 0, 0), 0);
    /* it is said once and looked at no more; the next agent looks again */
    agent_stop(room);
    agent_start(room);
    expect_all(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(by_default_a_full_lane_spills),
        room_test(a_stopped_agent_takes_it_when_it_goes_on),
        room_test(a_restarted_agent_takes_it),
        room_test(recover_takes_it),
        room_test(more_threads_than_lanes_spill),
        room_test(without_an_arena_all_is_spilled),
        room_test(writers_and_taker_race),
        room_test(both_sides_killed_at_random),
        room_test(children_spill_for_themselves),
        room_test(the_limit_holds_and_heals),
        room_test(threads_leave_no_mappings_and_share_files),
        room_test(a_torn_end_is_no_loss),
        room_test(damage_is_set_aside_and_counted),
        room_test(a_file_that_is_gone_is_a_named_loss),
        room_test(files_begun_by_a_dead_agent_are_finished_once),
        room_test(what_is_no_spill_file_is_left_alone),
        room_test(a_strangers_file_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
