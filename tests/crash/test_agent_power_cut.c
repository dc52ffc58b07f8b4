/* Power cuts. Every write, truncation, sync, creation and removal that the agent makes of its database's files is recorded
 * by tracing while clients record. Then, for cuts between any two of them, the files are put together as a disk might
 * hold them: what was synced is there; of what was not, all, or nothing, or any sectors of it in any order, and
 * names as far as their folder was synced. Each must be a sound database that holds a prefix of the records, and no less
 * than what the board had told the clients was durable.
 *
 * SQLite's index of its log (-shm) is not synced at all: what is found there after a cut is noise. */
#include "crash/agent_scene.h"

#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LIVES        3 /* of the agent, each with its stop: checkpoint, and the log removed */
#define ROUNDS       5 /* of a client, in each */
#define PER_CLIENT   20
#define OPS_MAX      16384
#define FILES_MAX    256
#define SECTOR_BYTES 512
#define NAMES        3

static const char *const names[NAMES] = {"usage.db", "usage.db-wal", "usage.db-journal"};

enum kind { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_CREATE, OP_REMOVE, OP_SYNC_FOLDER };

struct op {
    enum kind kind;
    int file; /* one object, whatever its name is later used for */
    int name; /* created, removed */
    uint64_t offset, bytes;
    unsigned char *data;
    uint64_t board; /* what it said when this was about to happen */
};

static struct {
    struct scene *scene;
    struct op ops[OPS_MAX];
    uint32_t count;
    int named[NAMES]; /* the file now; -1: none */
    int files;
    uint32_t rounds;
    uint64_t largest;
} disk;

/* ---- recording -------------------------------------------------------------------------- */

static int name_of(const char *path)
{
    size_t folder = strlen(disk.scene->room->state);

    if (strncmp(path, disk.scene->room->state, folder) != 0 || path[folder] != '/')
        return -1;
    for (int i = 0; i < NAMES; i++)
        if (strcmp(path + folder + 1, names[i]) == 0)
            return i;
    return -1;
}

static struct op *add(enum kind kind, int file)
{
    assert_true(disk.count < OPS_MAX);
    struct op *op = &disk.ops[disk.count++];
    *op = (struct op){.kind = kind, .file = file, .board = scene_read_board(disk.scene)};
    return op;
}

static void opened(const struct call *call)
{
    char path[ROOM_PATH_MAX + 32];

    calls_file(call, (int)call->result, path, sizeof path);
    int name = name_of(path);
    if (name < 0 || disk.named[name] >= 0)
        return;
    assert_true(disk.files < FILES_MAX);
    disk.named[name] = disk.files++;
    add(OP_CREATE, disk.named[name])->name = name;
}

static void removed(const struct call *call)
{
    char path[ROOM_PATH_MAX + 32];

    calls_text(call, call->argument[0], path, sizeof path);
    int name = name_of(path);
    if (name < 0 || disk.named[name] < 0)
        return;
    add(OP_REMOVE, disk.named[name])->name = name;
    disk.named[name] = -1;
}

static void changed(const struct call *call)
{
    char path[ROOM_PATH_MAX + 32];

    calls_file(call, (int)call->argument[0], path, sizeof path);
    int name = name_of(path);
    bool sync = call->which == __NR_fsync || call->which == __NR_fdatasync;
    if (sync && strcmp(path, disk.scene->room->state) == 0)
        add(OP_SYNC_FOLDER, -1);
    if (name < 0)
        return;
    struct op *op = add(sync                            ? OP_SYNC
                        : call->which == __NR_ftruncate ? OP_TRUNCATE
                                                        : OP_WRITE,
                        disk.named[name]);
    if (op->kind == OP_TRUNCATE)
        op->offset = call->argument[1];
    if (op->kind != OP_WRITE)
        return;
    op->offset = call->argument[3];
    op->bytes = (uint64_t)call->result;
    op->data = malloc(op->bytes);
    assert_non_null(op->data);
    calls_read(call, op->data, call->argument[1], op->bytes);
    if (op->offset + op->bytes > disk.largest)
        disk.largest = op->offset + op->bytes;
}

static enum look record(void *unused, const struct call *call)
{
    (void)unused;
    if (call->entered) {
        /* While the agent is about to wait a client comes and goes: the load. */
        if (call->which == __NR_ppoll && disk.rounds < ROUNDS) {
            disk.rounds++;
            room_run(disk.scene->room, "client", "record=20", "_exit=0", NULL);
        }
        return LOOK_ON;
    }
    if (call->result < 0)
        return LOOK_ON;
    switch (call->which) {
    case __NR_openat:
        opened(call);
        break;
    case __NR_unlink:
        removed(call);
        break;
    case __NR_pwrite64:
    case __NR_ftruncate:
    case __NR_fsync:
    case __NR_fdatasync:
        changed(call);
        break;
    case __NR_write: /* SQLite's files are written by position */
    default:
        break;
    }
    return LOOK_ON;
}

/* ---- cutting ------------------------------------------------------------------------------ */

enum loss { LOSE_NOTHING, LOSE_UNSYNCED, LOSE_SOME };

static uint32_t last_sync(uint32_t cut, enum kind kind, int file)
{
    for (uint32_t i = cut; i > 0; i--)
        if (disk.ops[i - 1].kind == kind && disk.ops[i - 1].file == file)
            return i;
    return 0;
}

struct image {
    unsigned char *bytes;
    uint64_t size;
};

static void apply(struct image *image, const struct op *op, bool torn, unsigned int *seed)
{
    if (op->kind == OP_TRUNCATE) {
        if (torn && rand_r(seed) % 2)
            return;
        if (op->offset < image->size)
            memset(image->bytes + op->offset, 0, image->size - op->offset);
        image->size = op->offset;
        return;
    }
    for (uint64_t done = 0; done < op->bytes;) {
        uint64_t at = op->offset + done;
        uint64_t part = SECTOR_BYTES - at % SECTOR_BYTES;
        if (part > op->bytes - done)
            part = op->bytes - done;
        if (!torn || rand_r(seed) % 2) {
            memcpy(image->bytes + at, op->data + done, part);
            if (at + part > image->size)
                image->size = at + part;
        }
        done += part;
    }
}

static void write_image(const char *path, const struct image *image)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, image->bytes, image->size), image->size);
    close(file);
}

/* The file under one name, after the first `cut` operations. */
static void put_file(const char *path, uint32_t cut, int file, enum loss loss, unsigned int *seed)
{
    struct image image = {.bytes = calloc(1, disk.largest + 1)};
    uint32_t synced = last_sync(cut, OP_SYNC, file);

    assert_non_null(image.bytes);
    for (uint32_t i = 0; i < cut; i++) {
        const struct op *op = &disk.ops[i];
        bool wanted = op->file == file && (op->kind == OP_WRITE || op->kind == OP_TRUNCATE);
        if (wanted && (i < synced || loss != LOSE_UNSYNCED))
            apply(&image, op, i >= synced && loss == LOSE_SOME, seed);
    }
    write_image(path, &image);
    free(image.bytes);
}

static void put_noise(const char *path, unsigned int *seed)
{
    static unsigned char noise[32768];
    struct image image = {.bytes = noise, .size = sizeof noise};

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)rand_r(seed);
    write_image(path, &image);
}

static void put_disk(const char *folder, uint32_t cut, enum loss loss, unsigned int *seed)
{
    char path[ROOM_PATH_MAX + 32];
    int named[NAMES] = {-1, -1, -1};
    uint32_t synced = last_sync(cut, OP_SYNC_FOLDER, -1);
    uint32_t until = loss == LOSE_NOTHING    ? cut
                     : loss == LOSE_UNSYNCED ? synced
                                             : synced + (uint32_t)rand_r(seed) % (cut - synced + 1);

    for (uint32_t i = 0; i < until; i++) {
        if (disk.ops[i].kind == OP_CREATE)
            named[disk.ops[i].name] = disk.ops[i].file;
        else if (disk.ops[i].kind == OP_REMOVE)
            named[disk.ops[i].name] = -1;
    }
    for (int i = 0; i < NAMES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
        if (named[i] >= 0)
            put_file(path, cut, named[i], loss, seed);
    }
    snprintf(path, sizeof path, "%s/usage.db-shm", folder);
    unlink(path);
    if (loss == LOSE_SOME)
        put_noise(path, seed);
}

/* ---- looking ------------------------------------------------------------------------------ */

static int64_t number(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = 0;

    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) {
        /* Cut before there was a schema. */
        if (strstr(sqlite3_errmsg(database), "no such table") == NULL)
            fail_msg("%s: %s", sql, sqlite3_errmsg(database));
        return 0;
    }
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static void expect_prefix(sqlite3 *database, int64_t board)
{
    int64_t durable = number(database, "SELECT sum(sequence) FROM lanes");
    int64_t rows = number(database, "SELECT count(*) FROM usage");
    int64_t clients = number(database, "SELECT count(*) FROM clients");

    assert_int_equal(
        number(database, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"), 1);
    if (durable < board)
        fail_msg("the board had said that %lld records are durable: %lld are", (long long)board,
                 (long long)durable);
    assert_int_equal(number(database, "SELECT sum(persisted) FROM lanes"), durable);
    assert_int_equal(rows + clients, durable);
    assert_int_equal(number(database, "SELECT sum(calls) FROM usage_hourly"), rows);
    /* Clients came one after the other: all of the first ones, some of the last, none of the rest. */
    assert_int_equal(number(database, "SELECT count(DISTINCT user || ' ' || output_tokens) FROM usage"),
                     rows);
    assert_int_equal(
        number(database,
               "SELECT coalesce(max(20 * cast(substr(user, 2) AS integer) + output_tokens), 0) FROM usage"),
        rows);
}

static void look_at(const char *folder, int64_t board)
{
    char path[ROOM_PATH_MAX + 32];
    sqlite3 *database;

    snprintf(path, sizeof path, "%s/usage.db", folder);
    if (access(path, F_OK) != 0) {
        assert_int_equal(board, 0);
        return;
    }
    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    expect_prefix(database, board);
    sqlite3_close(database);
}

static void run_lives(struct scene *scene)
{
    struct outcome outcome;

    for (int i = 0; i < NAMES; i++)
        disk.named[i] = -1;
    for (int life = 0; life < LIVES; life++) {
        disk.rounds = 0;
        scene_run(scene, &outcome, record, NULL);
        assert_true(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    }
    assert_int_equal(room_acknowledged(scene->room), LIVES * ROUNDS * PER_CLIENT);
}

static void test_power_cut(void **state)
{
    struct scene *scene = *state;
    char folder[ROOM_PATH_MAX];
    uint32_t cuts = 0;
    uint32_t ways = LOSE_SOME + (scene_long() ? 100 : 4); /* sectors are lost by chance */
    unsigned int seed = 1;

    scene->name = "power cut";
    scene->patience = ROUNDS + 3;
    disk.scene = scene;
    run_lives(scene);
    snprintf(folder, sizeof folder, "%s/disk", scene->room->directory);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (uint32_t cut = 0; cut < disk.count; cut++) {
        for (uint32_t way = 0; way < ways; way++) {
            enum loss loss = way < LOSE_SOME ? way : LOSE_SOME;
            snprintf(scene->trying, sizeof scene->trying, "cut before operation %u of %u, way %d", cut,
                     disk.count, (int)way);
            put_disk(folder, cut, loss, &seed);
            look_at(folder, (int64_t)disk.ops[cut].board);
            cuts++;
        }
    }
    scene->trying[0] = '\0';
    assert_true(disk.ops[disk.count - 1].board > LIVES * (ROUNDS - 1) * PER_CLIENT);
    assert_true(cuts > 1000);
    tries(disk.count, "operations of the agent's recorded");
    tries(cuts, "states of the disk after a power cut");
    for (uint32_t i = 0; i < disk.count; i++)
        free(disk.ops[i].data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_power_cut, scene_setup, scene_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
