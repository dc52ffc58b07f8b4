/* The arena changes under its clients and its agent: deleted with no agent there, or with one that ends before it is through; of
 * another version; under a name that a stranger has. What happens to records, what is counted as lost, who says so. */
#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <tally/spill.h>

/* As systemd's RemoveIPC: everything of the user's in /dev/shm. */
static void remove_ipc(const struct room *room)
{
    static const char *const suffixes[] = {"", ".board", ".lock"};

    for (int i = 0; i < 3; i++) {
        char path[sizeof(room->arena_path) + 8];
        snprintf(path, sizeof(path), "%s%s", room->arena_path, suffixes[i]);
        unlink(path);
    }
}

/* Every writer's records are there, once each: all that were acknowledged, and one more at most that was under way. */
static void expect_rows(const struct room *room)
{
    for (uint32_t i = 0; i < room->counters->writer_count; i++) {
        int64_t rows = books_number(room, "SELECT count(*) FROM usage WHERE user = 'w%u'", i);
        int64_t last =
            books_number(room, "SELECT coalesce(max(output_tokens), 0) FROM usage WHERE user = 'w%u'", i);
        int64_t distinct =
            books_number(room, "SELECT count(DISTINCT output_tokens) FROM usage WHERE user = 'w%u'", i);
        assert_in_range(rows, room->counters->writers[i].acknowledged, room->counters->writers[i].attempted);
        assert_int_equal(rows, last);
        assert_int_equal(rows, distinct);
    }
}

static bool all_in(const struct room *room)
{
    return books_spill_files(room) == 0 &&
           books_number(room, "SELECT count(*) FROM usage") >= (int64_t)room_acknowledged(room);
}

static void expect_even_books(const struct room *room)
{
    struct audit audit;

    expect_rows(room);
    assert_int_equal(books_spill_files(room), 0);
    books_audit(room, &audit);
    if (audit.status != 0) {
        char *output;
        room_capture(room, &output, "tally", "audit", (char *)NULL);
        print_error("%s\n", output);
        free(output);
    }
    assert_int_equal(audit.unaccounted, 0);
    assert_int_equal(audit.waiting, 0);
    assert_int_equal(audit.lost, 0);
    assert_int_equal(audit.status, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM losses"), 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM lanes WHERE persisted <> sequence"), 0);
}

/* ---- deleted, and nobody had it open ------------------------------------------------------ */

/* The client finds out when it ends; or, with a second gone by, as it records. Before any agent has ever been there. */
static void deleted_before_any_agent(void **state)
{
    struct room *room = *state;

    struct program *client = room_start(room, "client", "together=3,10", "record=10", "stage=1", "await=1",
                                        "record=10", "new=x", "object=5", "begin", "exit=0", NULL);
    room_await_stage(room, 1);
    assert_int_equal(unlink(room->arena_path), 0);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    agent_recover(room);
    expect_even_books(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE status <> 'aborted'"), 55);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE status = 'aborted'"), 1);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM clients WHERE ended IS NOT NULL AND complete = 1"), 2);
    /* again: nothing twice */
    agent_recover(room);
    expect_even_books(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 56);
}

/* How many lanes of the arena have been taken. */
static uint32_t lanes_taken(const struct room *room)
{
    struct tally_lane_entry entries[64] = {{0, 0}};
    uint32_t taken = 0;
    int file = open(room->arena_path, O_RDONLY | O_CLOEXEC);

    assert_true(file >= 0);
    assert_true(pread(file, entries, sizeof(entries), TALLY_LANE_TABLE_OFFSET) >= 0);
    close(file);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        taken += entries[i].tenures > 0;
    return taken;
}

/* The agent leaves, its user's shared memory is removed, programs go on: what a logout does to those under nohup. Among them
 * one that is killed after it has noticed. */
static void removed_after_the_agent_left(void **state)
{
    struct room *room = *state;
    enum { ROUNDS = 5 };

    room_set(room, "TALLY_OVERFLOW", "spill"); /* they never stop */
    for (int i = 0; i < ROUNDS; i++) {
        agent_start(room);
        /* with pauses: what they spill meanwhile, an agent that gets little of a busy machine has to take in */
        struct program *client = room_start(room, i % 2 ? "client" : "client-static", "background=2,20",
                                            "await=1", "stop", "exit=0", NULL);
        uint64_t before = room_acknowledged(room);
        wait_until(room_acknowledged(room) >= before + 100);
        if (i % 2)
            agent_kill(room);
        else
            agent_stop(room);
        before = room_acknowledged(room);
        wait_until(room_acknowledged(room) >= before + 50);
        remove_ipc(room);
        /* It records on, notices, and makes a new one; each of its threads by itself, within a second. What a thread that has not
         * noticed has recorded meanwhile is lost if the process is killed. */
        wait_until(access(room->arena_path, F_OK) == 0);
        wait_until(lanes_taken(room) >= 2);
        before = room_acknowledged(room);
        wait_until(room_acknowledged(room) >= before + 50);
        if (i >= 3) {
            room_kill(room, client);
        } else {
            room_go(room, 1);
            room_expect_exit(room, client, 0);
        }
        agent_start(room);
        wait_until(all_in(room));
        agent_stop(room);
        agent_recover(room);
        expect_even_books(room);
        room_go(room, 0);
    }
    tries(ROUNDS, "arenas removed under living clients with no agent there");
}

/* The agent has it open, and dies before it is through. */
static void agent_dies_while_it_drains_an_orphan(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_OVERFLOW", "spill");
    agent_start(room);
    struct program *client = room_start(room, "client", "background=2", "await=1", "stop", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") > 0);
    agent_pause(room);
    uint64_t before = room_acknowledged(room);
    wait_until(room_acknowledged(room) >= before + 50);
    assert_int_equal(unlink(room->arena_path), 0);
    wait_until(access(room->arena_path, F_OK) == 0);
    agent_kill(room);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    agent_start(room);
    wait_until(all_in(room));
    agent_stop(room);
    agent_recover(room);
    expect_even_books(room);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean' AND complete = 1"), 1);
}

/* Killed before it could notice. How much was there nobody knows: a loss by name, without a number. */
static void killed_in_a_deleted_arena(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client =
        room_start(room, "client", "record=10", "stage=1", "await=1", "record=7", "stage=2", "await=2", NULL);
    room_await_stage(room, 1);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 10);
    agent_stop(room);
    remove_ipc(room);
    room_go(room, 1);
    room_await_stage(room, 2);
    room_kill(room, client);
    agent_start(room);
    wait_until(agent_said(room, "that were known are gone"));
    books_expect_text(room, "arena_deleted|1|NULL",
                      "SELECT cause || '|' || count(*) || '|' || ifnull(sum(records), 'NULL') FROM losses");
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died' AND complete = 0"),
                     1);
    assert_int_equal(books_number(room, "SELECT count(*) FROM arenas WHERE retired_unix_ns IS NULL"), 1);
    /* and once */
    agent_stop(room);
    agent_start(room);
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM losses"), 1);
}

/* A client that cannot see the name any more (chroot, another mount namespace) carries over what the agent drains anyway. */
static void carried_over_and_drained_too(void **state)
{
    struct room *room = *state;
    char other[sizeof(room->arena_path) + 16];

    snprintf(other, sizeof(other), "%s.real", room->arena_path);
    agent_start(room);
    agent_pause(room);
    struct program *client =
        room_start(room, "client", "record=20", "stage=1", "await=1", "record=20", "exit=0", NULL);
    room_await_stage(room, 1);
    assert_int_equal(rename(room->arena_path, other), 0);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    assert_true(books_spill_files(room) > 0);
    assert_int_equal(rename(other, room->arena_path), 0);
    agent_resume(room);
    books_await_ended(room);
    agent_stop(room);
    expect_even_books(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 40);
    assert_int_equal(books_number(room, "SELECT count(*) FROM arenas"), 1);
}

/* ---- files that say that they were carried over ---------------------------------------------------- */

/* By its name and head; then these bytes. */
static void forge_parcel(const struct room *room, uint32_t serial, uid_t uid,
                         const struct tally_carried *carried, const void *bytes, size_t length)
{
    struct tally_spill_header header = {.magic = TALLY_CARRIED_MAGIC, .abi = TALLY_ABI, .index = 1};
    struct tally_arena_header arena;
    char made[ROOM_PATH_MAX * 2];
    char path[ROOM_PATH_MAX * 2];

    int file = open(room->arena_path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(file, &arena, sizeof(arena), 0), sizeof(arena));
    close(file);
    memcpy(header.arena, arena.uuid, sizeof(header.arena));
    memcpy(header.log + 12, &(uint32_t){__builtin_bswap32(serial)}, 4);
    snprintf(made, sizeof(made), "%s/spill/made", room->state);
    snprintf(path, sizeof(path), "%s/spill/tally-%032x-1.spill", room->state, serial);
    file = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, &header, sizeof(header)), sizeof(header));
    assert_int_equal(write(file, carried, sizeof(*carried)), sizeof(*carried));
    assert_int_equal(write(file, bytes, length), (ssize_t)length);
    if (uid != geteuid())
        assert_int_equal(fchown(file, uid, uid), 0);
    close(file);
    assert_int_equal(rename(made, path), 0);
}

/* Noise in them, of any kind: the agent lives, what clients record is not touched. */
static void noise_that_was_carried_over(void **state)
{
    enum { FILES = 60 };
    struct room *room = *state;
    unsigned int seed = 7;

    agent_start(room);
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(all_in(room));
    for (uint32_t i = 0; i < FILES; i++) {
        struct tally_carried carried = {.from = (uint64_t)(rand_r(&seed) % 4000 * 8),
                                        .lane = (uint32_t)(rand_r(&seed) % 3 + 20),
                                        .ring_bytes = i % 7 ? 126976 : (uint32_t)rand_r(&seed)};
        uint32_t noise[500];
        for (size_t j = 0; j < 500; j++)
            noise[j] = (uint32_t)rand_r(&seed) % (j % 4 ? 200000000 : 400);
        if (i % 11 == 0)
            carried.lane = UINT32_MAX;
        forge_parcel(room, i + 1, geteuid(), &carried, noise, sizeof(noise) - (size_t)(rand_r(&seed) % 1900));
    }
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 20);
    wait_until(agent_said(room, "it is no spill file of this version"));
    wait_until(books_spill_files(room) <= FILES / 11 + 1 + FILES / 7 + 1);
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM lanes WHERE lane < 20 AND lost <> 0"), 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 20);
    tries(FILES, "files of noise that say they were carried over");
}

/* ---- waiting for room in an arena that goes ------------------------------------------------- */

/* It does not wait out its minute. */
static void a_writer_that_waits_moves_on(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    agent_pause(room);
    struct program *client = room_start(room, "client", "fill=1000", "shutdown=0", "exit=0", NULL);
    /* It records, and sleeps: nothing but the wait for room makes it. */
    wait_until(room_acknowledged(room) > 0 && room_state_letter(client->pid) == 'S');
    uint64_t before = room_acknowledged(room);
    assert_in_range(before, 1, 999);
    assert_int_equal(unlink(room->arena_path), 0);
    wait_until(room_acknowledged(room) > before); /* in the new arena; the agent is still paused */
    agent_resume(room);
    room_expect_exit(room, client, 0);
    assert_int_equal(room_refused(room), 0);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 1000);
    agent_stop(room);
    agent_recover(room);
    expect_even_books(room);
}

/* ---- the board and the lock ------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    char command[1000];

    snprintf(command, sizeof(command), "cp -p '%s' '%s.new' && mv '%s.new' '%s'", from, to, to, to);
    assert_int_equal(system(command), 0);
}

/* Deleted, or an old copy put in their place, while writers need the room that only a true board gives: they go on through many
 * times the ring, and wait for durability in the end. With the agent away too, so that a new one finds an old board. */
static void boards_and_locks_go(void **state)
{
    enum { ROUNDS = 12 };
    struct room *room = *state;
    char board[sizeof(room->arena_path) + 8];
    char lock[sizeof(room->arena_path) + 8];
    char old[ROOM_PATH_MAX];

    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_BLOCK_MS", "60000");
    snprintf(board, sizeof(board), "%s.board", room->arena_path);
    snprintf(lock, sizeof(lock), "%s.lock", room->arena_path);
    snprintf(old, sizeof(old), "%s/old-board", room->directory);
    agent_start(room);
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(all_in(room));
    copy_file(board, old);
    struct program *client =
        room_start(room, "client", "background=2", "await=1", "stop", "shutdown=-1", "exit=0", NULL);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t before = room_acknowledged(room);
        wait_until(room_acknowledged(room) >= before + 1000);
        if (i % 4 == 0)
            unlink(board);
        else if (i % 4 == 1)
            unlink(lock);
        else if (i % 4 == 2)
            copy_file(old, board);
        else {
            agent_stop(room);
            copy_file(old, board);
            agent_start(room);
        }
    }
    uint64_t before = room_acknowledged(room);
    wait_until(room_acknowledged(room) >= before + 1000);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    assert_int_equal(room_result(room, 0), 1); /* TALLY_DURABLE */
    wait_until(agent_said(room, "making a new one"));
    books_await_ended(room);
    books_expect_complete(room, room_refused(room)); /* while no agent was there */
    agent_stop(room);
    tries(ROUNDS, "boards and locks deleted or replaced by old ones");
}

/* ---- another boot ------------------------------------------------------------------------------ */

/* Mounts of this process's own, and its children's. */
static bool private_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* The host is restarted: shared memory is gone, nobody lives, the boot has another name. */
static void host_restarted(void **state)
{
    static const char boot[] = "5f1c3c6e-0000-4000-8000-0123456789ab\n";
    struct room *room = *state;
    char path[ROOM_PATH_MAX];
    struct audit audit;

    if (geteuid() != 0 || !private_mounts())
        skip_because("no right to mount");
    agent_start(room);
    struct program *one = room_start(room, "client", "record=10", "stage=1", "await=9", NULL);
    room_await_stage(room, 1);
    struct program *two = room_start(room, "client", "hold=2", "record=5", "stage=2", "await=9", NULL);
    room_await_stage(room, 2);
    room_run(room, "client", "record=3", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 20 &&
               books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'") == 1);
    agent_kill(room);
    room_kill(room, one);
    room_kill(room, two);
    remove_ipc(room);
    snprintf(path, sizeof(path), "%s/boot_id", room->directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(boot, file);
    fclose(file);
    assert_int_equal(mount(path, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL), 0);
    agent_start(room);
    wait_until(agent_said(room, "that were known are gone"));
    /* a lane of the first and three of the second were in use; how far, nobody knows */
    books_expect_text(room, "host_restart|4|NULL",
                      "SELECT cause || '|' || count(*) || '|' || ifnull(sum(records), 'NULL') FROM losses");
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died' AND complete = 0"),
                     2);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean' AND complete = 1"), 1);
    room_run(room, "client", "record=4", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 24);
    agent_stop(room);
    agent_start(room); /* once is enough */
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM losses"), 4);
    books_audit(room, &audit);
    assert_int_equal(audit.unaccounted, 0);
    assert_int_equal(umount2("/proc/sys/kernel/random/boot_id", MNT_DETACH), 0);
}

/* On a disk an arena lives through that, and is drained. */
static void an_arena_on_a_disk_survives(void **state)
{
    static const char boot[] = "5f1c3c6e-0000-4000-8000-0123456789ab\n";
    struct room *room = *state;
    char path[ROOM_PATH_MAX];

    if (geteuid() != 0 || !private_mounts())
        skip_because("no right to mount");
    snprintf(room->arena_path, sizeof(room->arena_path), "%s/arena", room->directory);
    snprintf(room->arena, sizeof(room->arena), "%.100s/arena", room->directory);
    agent_start(room);
    struct program *client =
        room_start(room, "client", "record=10", "stage=1", "await=1", "record=7", "stage=2", "await=2", NULL);
    room_await_stage(room, 1);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 10);
    agent_kill(room);
    room_go(room, 1);
    room_await_stage(room, 2);
    room_kill(room, client);
    snprintf(path, sizeof(path), "%s/boot_id", room->directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(boot, file);
    fclose(file);
    assert_int_equal(mount(path, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL), 0);
    agent_start(room);
    books_expect_ends(room, 0, 1, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 17);
    agent_stop(room);
    assert_int_equal(umount2("/proc/sys/kernel/random/boot_id", MNT_DETACH), 0);
    snprintf(room->arena, sizeof(room->arena), "/arena-on-disk"); /* the folder goes as a whole */
}

/* ---- default names ---------------------------------------------------------------------------------- */

/* A /dev/shm of the test's own, with default names in it. */
static bool default_names(struct room *room)
{
    if (geteuid() != 0 || !private_mounts() || mount("shm", "/dev/shm", "tmpfs", 0, "mode=1777") != 0)
        return false;
    room->agent_users = "0";
    snprintf(room->arena_path, sizeof(room->arena_path), "/dev/shm/tally-0.v1");
    snprintf(room->arena, sizeof(room->arena), "/tally-0.v1");
    return true;
}

static void expect_doctor(const struct room *room, const char *words)
{
    char *output;

    room_capture(room, &output, "tally", "doctor", (char *)NULL);
    if (strstr(output, words) == NULL)
        fail_msg("the doctor does not say '%s': %s", words, output);
    free(output);
}

/* A stranger sits on the name. Clients make an arena in the runtime folder, and the agent finds it: one that runs, and
 * one that is started later. */
static void the_name_is_a_strangers(void **state)
{
    struct room *room = *state;
    char runtime[ROOM_PATH_MAX];

    if (!default_names(room))
        skip_because("no right to mount a /dev/shm");
    snprintf(runtime, sizeof(runtime), "%s/runtime", room->directory);
    assert_int_equal(mkdir(runtime, 0700), 0);
    room_set(room, "XDG_RUNTIME_DIR", runtime);
    setenv("XDG_RUNTIME_DIR", runtime, 1); /* for the command */
    int file = open(room->arena_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(fchown(file, 65534, 65534), 0);
    close(file);
    agent_start(room);
    expect_doctor(room, "will be made by the first record");
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 10);
    expect_doctor(room, "/runtime/tally-0.v1 is used instead");
    agent_stop(room);
    room_run(room, "client", "record=10", "exit=0", NULL);
    agent_start(room);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 20);
    assert_true(agent_said(room, "is not to be trusted"));
    assert_int_equal(books_number(room, "SELECT count(*) FROM arenas"), 1);
    /* without a runtime folder: spill files, which are taken in too */
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    expect_doctor(room, "records go to spill files");
    room_set(room, "XDG_RUNTIME_DIR", "");
    room_set(room, "TALLY_OVERFLOW", "spill");
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 30);
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM losses"), 0);
    struct stat status;
    assert_int_equal(stat(room->arena_path, &status), 0); /* his */
    assert_int_equal(status.st_uid, 65534);
    assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
}

static void forge_version(const char *path, uint32_t abi)
{
    struct tally_arena_header header = {.magic = TALLY_ARENA_MAGIC, .abi = abi};
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(file >= 0);
    assert_int_equal(write(file, &header, sizeof(header)), sizeof(header));
    assert_int_equal(ftruncate(file, 1 << 20), 0);
    close(file);
}

/* Who writes a file about another user's arena moves nothing in it. */
static void another_user_speaks_for_no_arena(void **state)
{
    struct room *room = *state;
    struct tally_carried carried = {.from = 8192, .ring_bytes = 126976};
    struct tally_record_header record = {
        .length = sizeof(record), .kind = 99, .position = 8192, .sequence = 100};

    if (!default_names(room))
        skip_because("no right to mount a /dev/shm");
    room->agent_users = "*";
    agent_start(room);
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 10);
    record.checksum = tally_checksum(&record, record.length);
    forge_parcel(room, 1, 65534, &carried, &record, sizeof(record));
    wait_until(agent_said(room, "it is about an arena of another user"));
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 20);
    agent_stop(room);
    assert_int_equal(books_number(room, "SELECT count(*) FROM losses"), 0);
    /* by the owner it would be believed: that is what the test is worth */
    forge_parcel(room, 2, 0, &carried, &record, sizeof(record));
    agent_start(room);
    wait_until(books_number(room, "SELECT count(*) FROM losses WHERE cause = 'arena_deleted'") == 1);
    agent_stop(room);
    assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
}

/* Arenas of an older and of a newer version beside ours, with clients of theirs: said once, never touched. Under our own name
 * one of another version is no arena: nobody writes or removes it, records go to files. */
static void other_versions_are_left_alone(void **state)
{
    static const char *const paths[] = {"/dev/shm/tally-0.v0", "/dev/shm/tally-0.v2"};
    struct room *room = *state;
    char *output;

    if (!default_names(room))
        skip_because("no right to mount a /dev/shm");
    forge_version(paths[0], 0);
    forge_version(paths[1], 2);
    agent_start(room);
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 10);
    wait_until(agent_said(room, "v0 is of version 0") && agent_said(room, "v2 is of version 2"));
    expect_doctor(room, "v0 is of layout 0");
    expect_doctor(room, "v2 is of layout 2");
    agent_stop(room);
    for (int i = 0; i < 2; i++) {
        struct stat status;
        assert_int_equal(stat(paths[i], &status), 0);
        assert_int_equal(status.st_size, 1 << 20);
    }
    remove_ipc(room);
    forge_version(room->arena_path, 2);
    room_set(room, "TALLY_OVERFLOW", "spill");
    room_run(room, "client", "record=10", "exit=0", NULL);
    int status = room_capture(room, &output, "tallyd", "--once", "--users", "0", "--state-dir", room->state,
                              (char *)NULL);
    free(output);
    assert_int_equal(status, 1);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 10);
    expect_doctor(room, "is no arena of this version");
    assert_int_equal(unlink(room->arena_path), 0);
    agent_start(room); /* as the doctor says: now they come in */
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 20);
    agent_stop(room);
    assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(deleted_before_any_agent),
        room_test(removed_after_the_agent_left),
        room_test(agent_dies_while_it_drains_an_orphan),
        room_test(killed_in_a_deleted_arena),
        room_test(carried_over_and_drained_too),
        room_test(noise_that_was_carried_over),
        room_test(a_writer_that_waits_moves_on),
        room_test(boards_and_locks_go),
        room_test(host_restarted),
        room_test(an_arena_on_a_disk_survives),
        room_test(the_name_is_a_strangers),
        room_test(another_user_speaks_for_no_arena),
        room_test(other_versions_are_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
