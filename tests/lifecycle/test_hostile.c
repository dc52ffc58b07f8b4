/* Neighbours who may write the arena and scribble over it, and names that are not what they seem. The agent lives, lanes
 * that nobody touched lose nothing, and what is damaged is counted. */
#include "support/test.h"
#include "support/tries.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <tally/abi.h>

/* ---- help --------------------------------------------------------------------------------- */

static uint32_t lanes_used(const struct room *room)
{
    struct arena_copy copy;

    if (!arena_copy_read(&copy, room->arena_path))
        return 0;
    uint32_t used = copy.lanes_used;
    arena_copy_free(&copy);
    return used;
}

/* A writer has as many rows as it was acknowledged, or one more that was under way when its program was killed; numbered
 * from 1, none twice. */
static bool writer_complete(const struct room *room, uint32_t index)
{
    int64_t rows = books_number(room, "SELECT count(*) FROM usage WHERE user = 'w%u'", index);
    int64_t last = books_number(room, "SELECT max(output_tokens) FROM usage WHERE user = 'w%u'", index);
    int64_t distinct =
        books_number(room, "SELECT count(DISTINCT output_tokens) FROM usage WHERE user = 'w%u'", index);
    const struct counters_writer *writer = &room->counters->writers[index];

    return rows >= (int64_t)writer->acknowledged && rows <= (int64_t)writer->attempted && last == rows &&
           distinct == rows;
}

static bool writers_complete(const struct room *room, uint32_t first, uint32_t end)
{
    for (uint32_t index = first; index < end; index++)
        if (!writer_complete(room, index))
            return false;
    return true;
}

static uint64_t acknowledged(const struct room *room, uint32_t first, uint32_t end)
{
    uint64_t sum = 0;

    for (uint32_t index = first; index < end; index++)
        sum += atomic_load(&room->counters->writers[index].acknowledged);
    return sum;
}

/* Whatever is in the arena, the audit comes to a result, and to one of those that its manual names. */
static void expect_audit_ends(const struct room *room)
{
    struct audit audit;

    books_audit(room, &audit);
    assert_true(audit.status == 0 || audit.status == 1);
    assert_true(audit.status == 1 || audit.unaccounted == 0);
}

static struct tally_arena_header arena_header(const struct room *room)
{
    struct tally_arena_header header;
    int file = open(room->arena_path, O_RDONLY | O_CLOEXEC);

    assert_true(file >= 0);
    assert_int_equal(pread(file, &header, sizeof(header), 0), sizeof(header));
    close(file);
    assert_true(tally_arena_header_sound(&header));
    return header;
}

/* ---- scribbled over ------------------------------------------------------------------------- */

enum { HONEST = 4, VICTIMS = 3 };

/* HONEST threads record on the lowest lanes; writers 1 to HONEST (0 is their program's main thread). */
static struct program *start_honest(struct room *room)
{
    room_set(room, "TALLY_LANES", "16");
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_BLOCK_MS", "60000");
    if (!agent_sanitized(room))
        print_message("# note: no clang with ASan when the tests were built: the agent runs without\n");
    agent_start(room);
    struct program *honest = room_start(room, "client", "background=4", "await=1", "stop", "exit=0", NULL);
    wait_until(lanes_used(room) == HONEST);
    for (uint32_t index = 1; index <= HONEST; index++)
        wait_until(atomic_load(&room->counters->writers[index].acknowledged) > 0);
    return honest;
}

static struct program *start_scribbler(struct room *room, const char *how, const char *seed)
{
    char first[8];

    snprintf(first, sizeof(first), "%d", HONEST);
    return room_start(room, "scribbler-static", room->arena_path, first, seed, how, NULL);
}

/* For a while, as counted by what both sides do. */
static void let_them_run(struct room *room, uint64_t records, uint64_t scribbles)
{
    uint64_t before = acknowledged(room, 1, 1 + HONEST);
    uint64_t scribbled = atomic_load(&room->counters->values[0]);

    wait_until(acknowledged(room, 1, 1 + HONEST) >= before + records &&
               atomic_load(&room->counters->values[0]) >= scribbled + scribbles);
}

static void expect_honest_complete(struct room *room)
{
    wait_until(writers_complete(room, 1, 1 + HONEST));
    assert_int_equal(books_number(room, "SELECT count(*) FROM lanes WHERE lane < %d", HONEST), HONEST);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM lanes WHERE lane < %d AND (persisted <> sequence OR lost)",
                     HONEST),
        0);
    assert_int_equal(books_number(room,
                                  "SELECT count(*) FROM losses WHERE numbered = 1 AND lane BETWEEN 0 AND %d",
                                  HONEST - 1),
                     0);
    /* and in all lanes each number is counted once */
    assert_int_equal(books_number(room, "SELECT count(*) FROM lanes WHERE persisted + lost <> sequence"), 0);
}

/* With nothing unread and nobody there, an arena with a wiped header cannot be told from a copy of an earlier day. */
static void remove_put_aside(const struct room *room)
{
    const struct dirent *entry;
    DIR *directory = opendir("/dev/shm");

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        size_t length = strlen(room->arena) - 1;
        if (strncmp(entry->d_name, room->arena + 1, length) == 0 &&
            strncmp(entry->d_name + length, ".restored-", 10) == 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
}

static void scribble(struct room *room, const char *how, const char *seed, bool restart)
{
    struct program *honest = start_honest(room);
    struct program *victims = NULL;

    if (strchr(how, 's') == NULL) { /* who has a lane mapped that is cut off dies of it: DESIGN, section 2 */
        room_set(room, "TALLY_BLOCK_MS", "10");
        victims = room_start(room, "client", "background=3", "await=1", "stop", "exit=0", NULL);
        wait_until(lanes_used(room) == HONEST + VICTIMS);
    }
    struct program *scribbler = start_scribbler(room, how, seed);
    for (int i = 0; i < 4; i++) {
        let_them_run(room, 300, 300);
        expect_audit_ends(room);
        if (restart) {
            agent_kill(room);
            let_them_run(room, 0, 100); /* their lanes are full soon */
            agent_start(room);
        }
    }
    room_go(room, 1);
    room_expect_exit(room, honest, 0);
    if (victims != NULL)
        room_expect_exit(room, victims, 0);
    room_go(room, 9);
    room_expect_exit(room, scribbler, 0);
    expect_honest_complete(room);
    expect_audit_ends(room);
    agent_stop(room); /* it lives, and leaves as it should: with nothing found by a sanitizer */
    agent_recover(room);
    expect_honest_complete(room);
    expect_audit_ends(room);
    remove_put_aside(room);
    tries(atomic_load(&room->counters->values[0]), "scribbles over an arena in use");
}

static void random_bytes(void **state)
{
    scribble(*state, "b", "1", false);
}

static void forged_words(void **state)
{
    scribble(*state, "wth", "2", false);
}

static void holes(void **state)
{
    scribble(*state, "ppg", "3", false);
}

static void all_of_it_and_a_restarted_agent(void **state)
{
    scribble(*state, "bbwwthpg", "4", true);
}

static void cut_and_grown_again(void **state)
{
    scribble(*state, "sg", "5", false);
}

/* ---- each damaged lane is counted ----------------------------------------------------------- */

static int quarantined_files(const struct room *room)
{
    char path[ROOM_PATH_MAX + 16];
    int files = 0;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "%s/quarantine", room->state);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL)
        files += entry->d_name[0] != '.';
    closedir(directory);
    return files;
}

static void each_damaged_lane_is_counted(void **state)
{
    struct room *room = *state;
    struct audit audit;

    struct program *client =
        room_start(room, "client", "hold=6", "stage=1", "await=1", "release", "exit=0", NULL);
    room_await_stage(room, 1);
    struct tally_arena_header header = arena_header(room);
    int file = open(room->arena_path, O_RDWR | O_CLOEXEC);
    for (uint32_t lane = 1; lane < 6; lane += 2) {
        uint64_t ring = tally_lane_offset(&header, lane);
        uint64_t nonsense = UINT64_C(0x5a5a5a5a5a5a5a5a);
        uint32_t length; /* of the first record: the second one is damaged */
        assert_int_equal(pread(file, &length, sizeof(length), (off_t)ring), sizeof(length));
        assert_int_equal(pwrite(file, &nonsense, 8, (off_t)(ring + length + 48)), 8);
    }
    close(file);
    agent_start(room);
    wait_until(books_number(room, "SELECT count(*) FROM lanes WHERE sequence = 2") == 6);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 3);
    assert_int_equal(books_number(room, "SELECT count(*) FROM lanes WHERE lane %% 2 AND lost = 1 AND "
                                        "quarantines = 1 AND persisted = 1"),
                     3);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM lanes WHERE lane %% 2 = 0 AND lost = 0 AND persisted = 2"),
        3);
    assert_int_equal(books_number(room, "SELECT sum(records) FROM losses WHERE cause = 'quarantined'"), 3);
    assert_int_equal(quarantined_files(room), 3);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    books_await_ended(room);
    books_audit(room, &audit);
    assert_int_equal(audit.status, 0); /* lost, and accounted for */
    assert_int_equal(audit.lost, 3);
    assert_int_equal(audit.unaccounted, 0);
    assert_int_equal(books_number(room, "SELECT lost FROM clients"), 3);
    tries(3, "lanes damaged");
}

/* A header that a hole has wiped looks like a lane of an older day. One such lane must not make the agent put the whole
 * arena aside, with what stands unread in the others. */
static void one_wiped_header_does_not_condemn_the_arena(void **state)
{
    struct room *room = *state;
    struct audit audit;

    agent_start(room);
    struct program *client =
        room_start(room, "client", "hold=2", "record=10", "stage=1", "await=1", "record=10", "stage=2",
                   "await=2", "record=10", "release", "exit=0", NULL);
    room_await_stage(room, 1);
    books_await_drained(room);
    agent_kill(room);
    for (uint32_t stage = 1; stage <= 2; stage++) {
        /* once with records waiting in another lane, once with none waiting but its owner alive */
        struct tally_arena_header header = arena_header(room);
        int file = open(room->arena_path, O_RDWR | O_CLOEXEC);
        assert_int_equal(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   (off_t)(tally_lane_offset(&header, 0) + header.ring_bytes),
                                   TALLY_LANE_HEADER_BYTES),
                         0);
        close(file);
        if (stage == 1) {
            room_go(room, 1);
            room_await_stage(room, 2);
        }
        agent_start(room);
        wait_until(books_number(room, "SELECT count(*) FROM usage WHERE user = 'w0'") == 20);
        assert_int_equal(books_number(room, "SELECT count(*) FROM arenas WHERE retired_unix_ns IS NOT NULL"),
                         0);
        books_audit(room, &audit);
        assert_int_equal(audit.status, 1); /* a lane cannot be trusted */
        if (stage == 1)
            agent_kill(room);
    }
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    wait_until(books_number(room, "SELECT count(*) FROM usage WHERE user = 'w0'") == 30);
    assert_int_equal(books_number(room, "SELECT count(*) FROM arenas"), 1);
}

/* But a copy of an arena from an earlier day is put aside, or its next records would pass for old ones. */
static void an_older_copy_is_put_aside(void **state)
{
    struct room *room = *state;
    char aside[sizeof(room->arena_path) + 32];
    char command[2 * sizeof(aside) + 64];

    room_set(room, "TALLY_LANES", "4");
    room_set(room, "TALLY_LANE_KIB", "16");
    agent_start(room);
    room_run(room, "client", "record=5", "shutdown=-1", "exit=0", NULL);
    snprintf(aside, sizeof(aside), "%s.copy", room->arena_path);
    snprintf(command, sizeof(command), "cp -p '%s' '%s'", room->arena_path, aside);
    assert_int_equal(system(command), 0);
    room_run(room, "client", "record=5", "shutdown=-1", "exit=0", NULL);
    agent_stop(room);
    struct tally_arena_header header = arena_header(room);
    assert_int_equal(rename(aside, room->arena_path), 0);
    agent_start(room);
    snprintf(aside, sizeof(aside), "%s.restored-%02x%02x%02x%02x", room->arena_path, header.uuid[0],
             header.uuid[1], header.uuid[2], header.uuid[3]);
    assert_int_equal(unlink(aside), 0);
    room_run(room, "client", "record=5", "shutdown=-1", "exit=0", NULL);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 15);
    assert_int_equal(books_number(room, "SELECT count(*) FROM arenas"), 2);
}

/* ---- the arena goes ------------------------------------------------------------------------- */

static void truncated_under_the_agent(void **state)
{
    struct room *room = *state;
    const off_t lengths[] = {0, 100, 8192, 200 * 1024};

    /* a sanitizer would turn SIGBUS into a report */
    room_set(room, "ASAN_OPTIONS", "handle_sigbus=0");
    room_set(room, "TSAN_OPTIONS", "handle_sigbus=0");
    for (int i = 0; i < 4; i++) {
        int64_t rows = books_number(room, "SELECT count(*) FROM usage");
        agent_start(room);
        room_run(room, "client", "record=20", "exit=0", NULL);
        wait_until(books_number(room, "SELECT count(*) FROM usage") == rows + 20);
        /* a client that has the arena mapped may die of it; the agent must not */
        struct program *client =
            room_start(room, "client", "record=5", "stage=1", "await=1", "record=5", "exit=0", NULL);
        room_await_stage(room, 1);
        wait_until(books_number(room, "SELECT count(*) FROM usage") == rows + 25);
        assert_int_equal(truncate(room->arena_path, lengths[i]), 0);
        expect_audit_ends(room);
        room_go(room, 1);
        int status = room_wait(room, client);
        assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) ||
                    (WIFEXITED(status) && WEXITSTATUS(status) == 0));
        room_go(room, 0);
        atomic_store(&room->counters->stage, 0);
        /* as its warning advises */
        assert_int_equal(unlink(room->arena_path), 0);
        rows = books_number(room, "SELECT count(*) FROM usage");
        room_run(room, "client", "record=30", "exit=0", NULL);
        wait_until(books_number(room, "SELECT count(*) FROM usage WHERE user = 'w%u'",
                                room->counters->writer_count - 1) == 30);
        agent_stop(room);
        agent_recover(room);
        assert_true(books_number(room, "SELECT count(*) FROM usage") >= rows + 30);
    }
    tries(1, "arenas truncated");
}

static void replaced_while_in_use(void **state)
{
    struct room *room = *state;
    char other[sizeof(room->arena_path) + 8];
    char name[sizeof(room->arena)];

    /* another arena, with 7 records in it that nobody has read */
    snprintf(other, sizeof(other), "%s.other", room->arena_path);
    memcpy(name, room->arena, sizeof(name));
    size_t length = strlen(room->arena);
    snprintf(room->arena + length, sizeof(room->arena) - length, ".other");
    room_run(room, "client", "record=7", "exit=0", NULL);
    memcpy(room->arena, name, sizeof(name));

    agent_start(room);
    struct program *client = room_start(room, "client", "record=10", "stage=1", "await=1", "record=10",
                                        "together=2,10", "exit=0", NULL);
    room_await_stage(room, 1);
    assert_int_equal(rename(other, room->arena_path), 0);
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 7 + 10 + 10 + 20);
    wait_until(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean' AND complete = 1") ==
               2);
    assert_true(writers_complete(room, 0, room->counters->writer_count));
    assert_int_equal(books_number(room, "SELECT count(*) FROM arenas"), 2);
    assert_int_equal(books_number(room, "SELECT coalesce(sum(records), 0) FROM losses"), 0);
}

/* Deleted again and again while four threads record: nothing is lost, nothing counted twice. */
static void deleted_again_and_again(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    struct program *client = room_start(room, "client", "background=4", "await=1", "stop", "exit=0", NULL);
    for (int i = 0; i < 5; i++) {
        uint64_t before = room_acknowledged(room);
        /* attached: one that is deleted before any agent has seen it is gone, and its records with it */
        wait_until(books_number(room, "SELECT count(*) FROM arenas") == i + 1);
        wait_until(room_acknowledged(room) >= before + 500);
        assert_int_equal(unlink(room->arena_path), 0);
    }
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    wait_until(writers_complete(room, 0, room->counters->writer_count));
    /* a writer that was refused meanwhile got an error, and the agent counts it */
    wait_until(books_number(room, "SELECT coalesce(sum(records), 0) FROM losses") ==
               (int64_t)room_refused(room));
    assert_int_equal(books_number(room, "SELECT coalesce(sum(records), 0) FROM losses WHERE numbered = 1"),
                     0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM lanes WHERE persisted <> sequence"), 0);
}

/* ---- names that are not what they seem ------------------------------------------------------- */

enum { LINK, FIFO, FOLDER, SHORT, OPEN_TO_GROUP, TWO_NAMES, STRANGERS, KINDS };

/* Something else under the name of the arena. False: cannot be tried here. */
static bool take_name(const struct room *room, int kind)
{
    char other[sizeof(room->arena_path) + 8];
    char made[sizeof(room->arena_path) + 8];
    int file;

    snprintf(other, sizeof(other), "%s.real", room->arena_path);
    /* in one step each: the agent makes a new arena as soon as the name is free */
    switch (kind) {
    case LINK: /* to a sound arena, even */
        snprintf(made, sizeof(made), "%s.made", room->arena_path);
        assert_int_equal(link(room->arena_path, other), 0);
        assert_int_equal(symlink(other, made), 0);
        assert_int_equal(rename(made, room->arena_path), 0);
        return true;
    case FIFO:
        assert_int_equal(mkfifo(other, 0600), 0);
        assert_int_equal(rename(other, room->arena_path), 0);
        return true;
    case FOLDER:
        assert_int_equal(mkdir(other, 0700), 0);
        assert_int_equal(renameat2(AT_FDCWD, other, AT_FDCWD, room->arena_path, RENAME_EXCHANGE), 0);
        return true;
    case SHORT:
        file = open(room->arena_path, O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(file, 5000), 0);
        close(file);
        return true;
    case OPEN_TO_GROUP:
        assert_int_equal(chmod(room->arena_path, 0660), 0);
        return true;
    case TWO_NAMES:
        assert_int_equal(link(room->arena_path, other), 0);
        return true;
    default:
        if (geteuid() != 0)
            return false;
        assert_int_equal(chown(room->arena_path, 65534, 65534), 0);
        return true;
    }
}

static void free_name(const struct room *room)
{
    char other[sizeof(room->arena_path) + 8];

    snprintf(other, sizeof(other), "%s.real", room->arena_path);
    remove(room->arena_path);
    remove(other);
}

/* Clients are refused, the agent and the command say so and leave; none hangs. Afterwards all is well. */
static void names_taken_by_others(void **state)
{
    struct room *room = *state;

    for (int kind = 0; kind < KINDS; kind++) {
        char *output;
        room_run(room, "client", "record=1", "shutdown=0", "exit=0", NULL);
        if (!take_name(room, kind)) {
            free_name(room);
            continue;
        }
        uint64_t before = room_refused(room);
        room_run(room, "client", "record=5", "together=2,5", "shutdown=-1", "exit=0", NULL);
        assert_int_equal(room_refused(room), before + 15);
        assert_int_not_equal(room_capture(room, &output, "tally", "recover", (char *)NULL), 0);
        free(output);
        assert_int_not_equal(room_capture(room, &output, "tallyd", "--foreground", "--once", "--state-dir",
                                          room->state, "--arena", room->arena, (char *)NULL),
                             0);
        free(output);
        int status = room_capture(room, &output, "tally", "audit", "--json", (char *)NULL);
        assert_true(status == 0 || status == 1);
        free(output);
        free_name(room);
    }
}

/* The same while the agent serves the arena: it drains what it has, and takes the next one when the name is free. */
static void names_taken_under_the_agent(void **state)
{
    struct room *room = *state;

    agent_start(room);
    for (int kind = 0; kind < KINDS; kind++) {
        room_run(room, "client", "record=10", "exit=0", NULL);
        uint32_t writer = room->counters->writer_count - 1;
        wait_until(writer_complete(room, writer));
        if (take_name(room, kind))
            room_run(room, "client", "record=5", "shutdown=0", "exit=0", NULL);
        free_name(room);
        /* it needs no restart to see that */
        wait_until(access(room->arena_path, F_OK) == 0);
    }
    room_run(room, "client", "record=10", "exit=0", NULL);
    wait_until(writer_complete(room, room->counters->writer_count - 1));
    agent_stop(room);
}

/* ---- boards ----------------------------------------------------------------------------------- */

enum { WRONG_UUID, BOARD_OPEN_TO_GROUP, BOARD_LINK, BOARD_SHORT, BOARD_TWO_NAMES, BOARD_STRANGERS, BOARDS };

/* A board that says that much of each lane is durable, which is not. */
static bool forge_board(const struct room *room, int kind)
{
    char path[sizeof(room->arena_path) + 8];
    char other[sizeof(room->arena_path) + 16];
    struct tally_arena_header header = arena_header(room);
    struct tally_board board = {.magic = TALLY_BOARD_MAGIC, .abi = TALLY_ABI};
    struct tally_board_lane lane = {.position = 8192, .sequence = 60};

    snprintf(path, sizeof(path), "%s.board", room->arena_path);
    snprintf(other, sizeof(other), "%s.board.real", room->arena_path);
    board.lane_count = header.lane_count;
    memcpy(board.arena_uuid, header.uuid, sizeof(board.arena_uuid));
    if (kind == WRONG_UUID)
        board.arena_uuid[3] ^= 1;
    int file = open(kind == BOARD_LINK ? other : path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, &board, sizeof(board), 0), sizeof(board));
    assert_int_equal(ftruncate(file, (off_t)tally_board_bytes(header.lane_count)), 0);
    for (uint32_t i = 0; i < header.lane_count; i++)
        assert_int_equal(
            pwrite(file, &lane, sizeof(lane), (off_t)(TALLY_BOARD_LANES_OFFSET + i * sizeof(lane))),
            sizeof(lane));
    if (kind == BOARD_OPEN_TO_GROUP)
        assert_int_equal(fchmod(file, 0620), 0);
    if (kind == BOARD_LINK)
        assert_int_equal(symlink(other, path), 0);
    if (kind == BOARD_SHORT)
        assert_int_equal(ftruncate(file, TALLY_BOARD_LANES_OFFSET), 0);
    if (kind == BOARD_TWO_NAMES)
        assert_int_equal(link(path, other), 0);
    bool tried = kind != BOARD_STRANGERS || (geteuid() == 0 && fchown(file, 65534, 65534) == 0);
    close(file);
    return tried;
}

static void forged_boards_are_not_believed(void **state)
{
    struct room *room = *state;
    char other[sizeof(room->arena_path) + 16];

    room_set(room, "TALLY_LANES", "4");
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_OVERFLOW", "drop");
    snprintf(other, sizeof(other), "%s.board.real", room->arena_path);
    for (int kind = 0; kind < BOARDS; kind++) {
        struct program *client = room_start(room, "client", "record=1", "stage=1", "await=1", "fill=100000",
                                            "together=1,300", "exit=0", NULL);
        room_await_stage(room, 1);
        bool tried = forge_board(room, kind);
        room_go(room, 1);
        room_expect_exit(room, client, 0);
        if (tried) {
            /* one that believed the board has written over what nobody had read */
            agent_start(room);
            wait_until(writers_complete(room, 0, room->counters->writer_count));
            agent_stop(room);
            assert_int_equal(books_number(room, "SELECT count(*) FROM lanes WHERE persisted <> sequence"), 0);
        }
        unlink(other);
        free_name(room);
        snprintf(other, sizeof(other), "%s.board", room->arena_path);
        unlink(other);
        snprintf(other, sizeof(other), "%s.board.real", room->arena_path);
        room_go(room, 0);
        atomic_store(&room->counters->stage, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(random_bytes),
        room_test(forged_words),
        room_test(holes),
        room_test(all_of_it_and_a_restarted_agent),
        room_test(cut_and_grown_again),
        room_test(each_damaged_lane_is_counted),
        room_test(one_wiped_header_does_not_condemn_the_arena),
        room_test(an_older_copy_is_put_aside),
        room_test(truncated_under_the_agent),
        room_test(replaced_while_in_use),
        room_test(deleted_again_and_again),
        room_test(names_taken_by_others),
        room_test(names_taken_under_the_agent),
        room_test(forged_boards_are_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
