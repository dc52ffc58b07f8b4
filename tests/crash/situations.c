#include "crash/situations.h"

#include "support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <tally/record.h>

/* Enough for a lane of 16 KiB to be full, and some more. */
#define FULL "record=150"

static uint64_t written(const struct scene *scene)
{
    struct arena_copy copy;

    assert_true(arena_copy_read(&copy, scene->room->arena_path));
    uint64_t sequences = copy.sequences;
    arena_copy_free(&copy);
    return sequences;
}

static void small_lanes(const struct scene *scene)
{
    room_set(scene->room, "TALLY_LANE_KIB", "16");
    room_set(scene->room, "TALLY_OVERFLOW", "spill");
}

/* ---- spill files ------------------------------------------------------------------------------ */

/* Move spill files to another folder, under names with something more at their end. */
static void move_spilled(const struct scene *scene, const char *origin, const char *to, const char *suffix)
{
    char from[ROOM_PATH_MAX];
    char folder[ROOM_PATH_MAX];
    const struct dirent *entry;
    int moved = 0;

    scene_path(scene, origin, from);
    scene_path(scene, to, folder);
    DIR *listing = opendir(from);
    assert_non_null(listing);
    while ((entry = readdir(listing)) != NULL) {
        char here[ROOM_PATH_MAX * 3];
        char there[ROOM_PATH_MAX * 3];
        snprintf(here, sizeof here, "%s/%s", from, entry->d_name);
        snprintf(there, sizeof there, "%s/%s%s", folder, entry->d_name, suffix);
        if (strstr(entry->d_name, ".spill") == NULL || strcmp(here, there) == 0)
            continue;
        assert_int_equal(rename(here, there), 0);
        moved++;
    }
    closedir(listing);
    assert_true(moved > 0);
}

static void make_folder(const struct scene *scene, const char *name)
{
    char path[ROOM_PATH_MAX];

    scene_path(scene, name, path);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
}

/* The first spill file in a folder of the room. */
static void find_spilled(const struct scene *scene, const char *folder, char path[ROOM_PATH_MAX * 3])
{
    char directory[ROOM_PATH_MAX];
    const struct dirent *entry;

    scene_path(scene, folder, directory);
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    path[0] = '\0';
    while ((entry = readdir(listing)) != NULL)
        if (strstr(entry->d_name, ".spill") != NULL)
            snprintf(path, ROOM_PATH_MAX * 3, "%s/%s", directory, entry->d_name);
    closedir(listing);
    assert_true(path[0] != '\0');
}

/* A client that is killed within its last write. */
static void tear_end(const char *path)
{
    char bytes[100];
    int file = open(path, O_RDWR | O_APPEND | O_CLOEXEC);

    assert_true(file >= 0);
    assert_int_equal(pread(file, bytes, sizeof bytes, 64), sizeof bytes);
    assert_int_equal(write(file, bytes, sizeof bytes), sizeof bytes);
    close(file);
}

static struct program *stop_at(struct scene *scene, struct program *client, uint32_t stage)
{
    room_await_stage(scene->room, stage);
    return client;
}

/* As an agent that took what was there, and died. Its own folder; the user's, with the database's name for itself. */
static void as_taken(const struct scene *scene, bool own)
{
    char suffix[64] = ".taken";

    if (!own) {
        char *instance = books_text(scene->room, "SELECT value FROM meta WHERE key='instance'");
        snprintf(suffix, sizeof suffix, ".taken.%s", instance);
        free(instance);
    }
    move_spilled(scene, "state/spill", own ? "state/held" : "home/tally/spill", suffix);
}

static void prepare_spill(struct scene *scene)
{
    char path[ROOM_PATH_MAX * 3];
    char copy[ROOM_PATH_MAX];

    small_lanes(scene);
    room_run(scene->room, "client", "record=1", "exit=0", NULL);
    scene_recover(scene);
    make_folder(scene, "state/held");
    make_folder(scene, "home");
    make_folder(scene, "home/tally");
    make_folder(scene, "home/tally/spill");
    /* Three files of one log: the first was had, but not removed; the second taken; the third is torn at its end. */
    struct program *client = room_start(scene->room, "client", FULL, "stage=1", "await=1", FULL, "stage=2",
                                        "await=2", "record=20", "_exit=0", NULL);
    stop_at(scene, client, 1);
    find_spilled(scene, "state/spill", path);
    scene_path(scene, "first", copy);
    scene_copy(path, copy);
    scene_recover(scene);
    scene_keep_board(scene);
    scene_path(scene, "state/usage.db", copy);
    scene_path(scene, "usage.then", path);
    scene_copy(copy, path);
    room_go(scene->room, 1);
    stop_at(scene, client, 2);
    as_taken(scene, true);
    room_go(scene->room, 2);
    assert_int_equal(room_wait(scene->room, client), 0);
    find_spilled(scene, "state/spill", path);
    tear_end(path);
    char *end = strrchr(path, '-');
    assert_string_equal(end, "-3.spill");
    move_spilled(scene, "state/spill", "state/held", "");
    char taken[ROOM_PATH_MAX * 3 + 32];
    end[1] = '\0';
    snprintf(taken, sizeof taken, "%s1.spill.taken", path);
    scene_path(scene, "first", copy);
    assert_int_equal(rename(copy, taken), 0);
    move_spilled(scene, "state/spill", "state/held", "");
    /* Two of another in the user's folder, and one in which nothing stands. */
    client = room_start(scene->room, "client", FULL, "stage=3", "await=3", "record=20", "_exit=0", NULL);
    stop_at(scene, client, 3);
    as_taken(scene, false);
    room_go(scene->room, 3);
    assert_int_equal(room_wait(scene->room, client), 0);
    move_spilled(scene, "state/spill", "home/tally/spill", "");
    scene_path(scene, "home/tally/spill/tally-00000000000000000000000000000001-1.spill", copy);
    int empty = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(close(empty), 0);
    /* The database as it was in between, and all files at once. */
    scene_path(scene, "usage.then", path);
    scene_path(scene, "state/usage.db", copy);
    scene_copy(path, copy);
    char held[ROOM_PATH_MAX];
    char spill[ROOM_PATH_MAX];
    scene_path(scene, "state/held", held);
    scene_path(scene, "state/spill", spill);
    assert_int_equal(rmdir(spill), 0);
    assert_int_equal(rename(held, spill), 0);
    scene_keep_state(scene);
    scene_keep_home(scene);
}

static void situation_spill(struct scene *scene)
{
    scene->once = true;
    scene->prepare = prepare_spill;
}

static void prepare_two_folders(struct scene *scene)
{
    char path[ROOM_PATH_MAX * 3];
    char kept[ROOM_PATH_MAX];

    small_lanes(scene);
    make_folder(scene, "state");
    make_folder(scene, "state/spill");
    struct program *client =
        room_start(scene->room, "client", FULL, "stage=1", "await=1", "record=20", "_exit=0", NULL);
    stop_at(scene, client, 1);
    find_spilled(scene, SITUATION_FIRST_FOLDER, path);
    scene_path(scene, "first", kept);
    assert_int_equal(rename(path, kept), 0);
    room_go(scene->room, 1);
    assert_int_equal(room_wait(scene->room, client), 0);
    move_spilled(scene, SITUATION_FIRST_FOLDER, "state/spill", "");
    assert_int_equal(rename(kept, path), 0);
    scene_keep_state(scene);
    scene_keep_home(scene);
}

void situation_two_folders(struct scene *scene)
{
    scene->name = "a log in two folders";
    scene->once = true;
    scene->prepare = prepare_two_folders;
}

static void prepare_spill_damaged(struct scene *scene)
{
    char path[ROOM_PATH_MAX * 3];
    char byte = 0;
    struct stat status = {0};

    small_lanes(scene);
    room_run(scene->room, "client", FULL, "exit=0", NULL);
    find_spilled(scene, "home/tally/spill", path);
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0 && fstat(file, &status) == 0);
    assert_true(status.st_size > 2048);
    assert_int_equal(pread(file, &byte, 1, status.st_size / 2), 1);
    byte = (char)(byte ^ 1);
    assert_int_equal(pwrite(file, &byte, 1, status.st_size / 2), 1);
    close(file);
    scene_keep_home(scene);
}

static void situation_spill_damaged(struct scene *scene)
{
    scene->once = true;
    scene->cause = "quarantined";
    scene->left[0] = "quarantine";
    scene->prepare = prepare_spill_damaged;
}

/* ---- the arena and its board ---------------------------------------------------------------------- */

static void record_some(struct scene *scene)
{
    room_run(scene->room, "client", "record=9", "exit=0", NULL);
    room_run(scene->room, "client", "record=11", "_exit=0", NULL);
    scene->durable = written(scene);
}

static void delete_arena(struct scene *scene)
{
    assert_int_equal(unlink(scene->room->arena_path), 0);
}

static void prepare_deleted(struct scene *scene)
{
    record_some(scene);
    scene_keep_arena(scene);
}

/* Enough waits, of two seconds each, for it to be retired. */
static void situation_deleted(struct scene *scene)
{
    scene->hurried = true;
    scene->patience = 9;
    scene->change = delete_arena;
    scene->prepare = prepare_deleted;
}

static void replace_arena(struct scene *scene)
{
    char other[ROOM_PATH_MAX];
    char copy[ROOM_PATH_MAX];

    scene_path(scene, "other", other);
    scene_path(scene, "other.copy", copy);
    scene_copy(other, copy);
    assert_int_equal(rename(copy, scene->room->arena_path), 0);
}

static void prepare_replaced(struct scene *scene)
{
    char other[ROOM_PATH_MAX];

    record_some(scene);
    scene_keep_arena(scene);
    delete_arena(scene);
    room_run(scene->room, "client", "record=7", "exit=0", NULL);
    scene_path(scene, "other", other);
    scene_copy(scene->room->arena_path, other);
}

static void situation_replaced(struct scene *scene)
{
    scene->hurried = true;
    scene->patience = 9;
    scene->change = replace_arena;
    scene->prepare = prepare_replaced;
}

static void delete_board(struct scene *scene)
{
    char path[ROOM_PATH_MAX];

    scene_sibling(scene, ".board", path);
    unlink(path);
}

static void prepare_board(struct scene *scene)
{
    static const char strange[] = "of another arena";
    char path[ROOM_PATH_MAX];

    record_some(scene);
    scene_recover(scene);
    scene_sibling(scene, ".board", path);
    int board = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(board, strange, 16, (off_t)offsetof(struct tally_board, arena_uuid)), 16);
    struct tally_board_lane lanes[4] = {{0}};
    assert_int_equal(pwrite(board, lanes, sizeof lanes, TALLY_BOARD_LANES_OFFSET), sizeof lanes);
    close(board);
    scene_keep_board(scene);
}

static void situation_board(struct scene *scene)
{
    scene->hurried = true;
    scene->patience = 4;
    scene->change = delete_board;
    scene->prepare = prepare_board;
}

/* ---- the database ------------------------------------------------------------------------------------ */

static void prepare_restored(struct scene *scene)
{
    room_run(scene->room, "client", "record=9", "exit=0", NULL);
    scene_recover(scene);
    scene_keep_state(scene);
    room_run(scene->room, "client", "record=11", "_exit=0", NULL);
    scene_recover(scene);
    scene_keep_board(scene);
}

static void situation_restored(struct scene *scene)
{
    scene->once = true;
    scene->board_ahead = true;
    scene->prepare = prepare_restored;
}

/* The ring goes round between the backup and the board. */
static void prepare_overwritten(struct scene *scene)
{
    room_set(scene->room, "TALLY_LANE_KIB", "16");
    /* The board is there before the client: it looks for one ten times a second at most, and is quicker than that. */
    room_run(scene->room, "client", "record=1", "exit=0", NULL);
    scene_recover(scene);
    struct program *client =
        room_start(scene->room, "client", "record=60", "stage=1", "await=1", "record=60", "stage=2",
                   "await=2", "record=60", "stage=3", "await=3", "record=60", "_exit=0", NULL);
    for (uint32_t stage = 1; stage <= 3; stage++) {
        room_await_stage(scene->room, stage);
        scene_recover(scene);
        if (stage == 1)
            scene_keep_state(scene);
        room_go(scene->room, stage);
    }
    assert_int_equal(room_wait(scene->room, client), 0);
    scene_recover(scene);
    scene_keep_board(scene);
}

static void situation_overwritten(struct scene *scene)
{
    scene->once = true;
    scene->board_ahead = true;
    scene->cause = "database_restored";
    scene->prepare = prepare_overwritten;
}

static void prepare_damaged(struct scene *scene)
{
    char path[ROOM_PATH_MAX];
    char bytes[3000];

    record_some(scene);
    scene_recover(scene);
    scene_keep_board(scene);
    scene_path(scene, "state/usage.db", path);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    memset(bytes, 0x5A, sizeof bytes);
    /* Its header is good, the table of its tables is not. */
    assert_int_equal(pwrite(file, bytes, sizeof bytes, 100), sizeof bytes);
    close(file);
    scene_keep_state(scene);
}

static void situation_damaged(struct scene *scene)
{
    scene->once = true;
    scene->board_ahead = true;
    scene->left[0] = "usage.db.damaged-";
    scene->prepare = prepare_damaged;
}

/* One client, long gone: two calls, and how it introduced itself. */
static const char old_rows[] =
    "INSERT INTO meta(key, value) VALUES('epoch', 3), ('instance', '0123456789abcdef');"
    "INSERT INTO arenas(id, uuid, path, attached_unix_ns, retired_unix_ns)"
    " VALUES(1, x'000102030405060708090a0b0c0d0e0f', '/dev/shm/tally-of-old', 1, 2);"
    "INSERT INTO clients(id, session_id, service, pid, uid, started_unix_ns, last_unix_ns, ended_unix_ns, "
    "ended,"
    " complete, tenures, written, persisted) VALUES(1, x'00', 'old', 4711, 0, 1, 2, 2, 'clean', 1, 1, 3, 3);"
    "INSERT INTO lanes(id, arena_id, lane, position, sequence, persisted, client_id, tenure,"
    " tenure_first_sequence) VALUES(1, 1, 0, 600, 3, 3, 1, 1, 1);"
    "INSERT INTO usage(client_id, lane_id, sequence, time_unix_ns, provider, request_model, input_tokens,"
    " output_tokens, start_time_unix_ns, status)"
    " VALUES(1, 1, 2, 1000, 'test', 'old', 1, 2, 1000, 'ok'), (1, 1, 3, 2000, 'test', 'old', 1, 3, 2000, "
    "'ok');"
    "INSERT INTO usage_hourly VALUES(0, 'test', 'old', 'old', '', '', '', 'ok', 2, 2, 5,"
    " 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, NULL, 0, NULL, 2)";

static char *read_text(const char *path)
{
    static char text[64 * 1024];
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void execute(sqlite3 *database, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(database, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %.80s", error, sql);
}

static void prepare_oldest(struct scene *scene)
{
    const char *source = getenv("TALLY_TEST_SOURCE");
    char path[ROOM_PATH_MAX];
    sqlite3 *database;

    record_some(scene);
    assert_int_equal(mkdir(scene->room->state, 0750), 0);
    scene_path(scene, "state/usage.db", path);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    char schema[ROOM_PATH_MAX * 2];
    snprintf(schema, sizeof schema, "%s/agent/store/schema_v1.sql", source ? source : ".");
    execute(database, read_text(schema));
    execute(database, old_rows);
    execute(database, "PRAGMA application_id=1414286425; PRAGMA user_version=1");
    sqlite3_close(database);
    scene_keep_state(scene);
    scene->strange_rows = 2;
}

static void situation_oldest(struct scene *scene)
{
    scene->once = true;
    scene->prepare = prepare_oldest;
}

int situation_setup(void **state)
{
    const struct situation *situation = *state;
    int result = scene_setup(state);
    struct scene *scene = *state;

    scene->name = situation->name;
    scene->situation = situation;
    situation->make(scene);
    return result;
}

const struct situation situations[] = {
    {"spill files", situation_spill, 4, 10},
    {"a damaged spill file", situation_spill_damaged, 12, 20},
    {"the arena is deleted", situation_deleted, 12, 30},
    {"the arena is replaced", situation_replaced, 12, 30},
    {"the board is another's, and then deleted", situation_board, 12, 24},
    {"a backup is restored", situation_restored, 8, 8},
    {"a backup is restored, the ring has gone on", situation_overwritten, 8, 8},
    {"the database is damaged", situation_damaged, 10, 12},
    {"the database is of the first version", situation_oldest, 10, 12},
};
const size_t situation_count = sizeof situations / sizeof situations[0];
