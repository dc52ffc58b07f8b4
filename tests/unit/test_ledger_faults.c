/* Exactly once, whatever fails: the same tape with an error at the Nth step of SQLite, the Nth allocation, the Nth
 * call of the file system, for every N; after each error the ledger is abandoned and fed again from
 * where it says that it stands. The database must come out as without any error. */
#include "unit/ledger_kit.h"

#include "store/store.h"

/* ---- faults ---- */

enum fault { FAULT_NONE, FAULT_STEP, FAULT_MEMORY, FAULT_DISK };

static struct {
    enum fault kind;
    long countdown; /* fails when it comes to 0 ... */
    long burst;     /* ... and so many times in a row */
    bool fired;
    sqlite3_mem_methods memory;
    sqlite3_vfs *disk;
    sqlite3_vfs vfs;
} fault;

static bool fails(enum fault kind)
{
    if (fault.kind != kind || --fault.countdown > 0)
        return false;
    fault.fired = true;
    if (--fault.burst <= 0)
        fault.kind = FAULT_NONE;
    return true;
}

static int each_step(void *unused)
{
    (void)unused;
    return fails(FAULT_STEP);
}

/* Called by SQLite for each connection that opens. */
static int watch_steps(sqlite3 *database, char **error, const void *routines)
{
    (void)error;
    (void)routines;
    sqlite3_progress_handler(database, 1, each_step, NULL);
    return SQLITE_OK;
}

static void *failing_malloc(int size)
{
    return fails(FAULT_MEMORY) ? NULL : fault.memory.xMalloc(size);
}

static void *failing_realloc(void *memory, int size)
{
    return fails(FAULT_MEMORY) ? NULL : fault.memory.xRealloc(memory, size);
}

/* A file system in front of the real one. */
struct file {
    sqlite3_file base;
    sqlite3_file *real;
};
#define REAL(file) (((struct file *)(void *)(file))->real)
#define FORWARD(name, parameters, arguments)                                                                 \
    static int file_##name parameters                                                                        \
    {                                                                                                        \
        return REAL(file)->pMethods->x##name arguments;                                                      \
    }
#define FORWARD_OR_FAIL(name, code, parameters, arguments)                                                   \
    static int file_##name parameters                                                                        \
    {                                                                                                        \
        return fails(FAULT_DISK) ? code : REAL(file)->pMethods->x##name arguments;                           \
    }
FORWARD(Close, (sqlite3_file * file), (REAL(file)))
FORWARD_OR_FAIL(Read, SQLITE_IOERR_READ, (sqlite3_file * file, void *to, int size, sqlite3_int64 at),
                (REAL(file), to, size, at))
FORWARD_OR_FAIL(Write, SQLITE_FULL, (sqlite3_file * file, const void *from, int size, sqlite3_int64 at),
                (REAL(file), from, size, at))
FORWARD_OR_FAIL(Truncate, SQLITE_IOERR_TRUNCATE, (sqlite3_file * file, sqlite3_int64 size),
                (REAL(file), size))
FORWARD_OR_FAIL(FileSize, SQLITE_IOERR_FSTAT, (sqlite3_file * file, sqlite3_int64 *size), (REAL(file), size))
FORWARD(Lock, (sqlite3_file * file, int level), (REAL(file), level))
FORWARD(Unlock, (sqlite3_file * file, int level), (REAL(file), level))
FORWARD(CheckReservedLock, (sqlite3_file * file, int *out), (REAL(file), out))
FORWARD(FileControl, (sqlite3_file * file, int what, void *argument), (REAL(file), what, argument))
FORWARD(SectorSize, (sqlite3_file * file), (REAL(file)))
FORWARD(DeviceCharacteristics, (sqlite3_file * file), (REAL(file)))
FORWARD_OR_FAIL(ShmMap, SQLITE_IOERR_SHMMAP,
                (sqlite3_file * file, int page, int size, int extend, void volatile **out),
                (REAL(file), page, size, extend, out))
FORWARD(ShmUnmap, (sqlite3_file * file, int remove), (REAL(file), remove))

/* Giving a lock back does not fail. */
static int file_ShmLock(sqlite3_file *file, int offset, int count, int flags)
{
    return flags & SQLITE_SHM_LOCK && fails(FAULT_DISK)
               ? SQLITE_BUSY
               : REAL(file)->pMethods->xShmLock(REAL(file), offset, count, flags);
}

/* Durability is not what is tested here, and costs most of the time. */
static int file_Sync(sqlite3_file *file, int flags)
{
    (void)file;
    (void)flags;
    return fails(FAULT_DISK) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static void file_ShmBarrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_Close,
    .xRead = file_Read,
    .xWrite = file_Write,
    .xTruncate = file_Truncate,
    .xSync = file_Sync,
    .xFileSize = file_FileSize,
    .xLock = file_Lock,
    .xUnlock = file_Unlock,
    .xCheckReservedLock = file_CheckReservedLock,
    .xFileControl = file_FileControl,
    .xSectorSize = file_SectorSize,
    .xDeviceCharacteristics = file_DeviceCharacteristics,
    .xShmMap = file_ShmMap,
    .xShmLock = file_ShmLock,
    .xShmBarrier = file_ShmBarrier,
    .xShmUnmap = file_ShmUnmap,
};

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    struct file *mine = (struct file *)(void *)file;
    mine->real = (sqlite3_file *)(void *)(mine + 1);
    mine->base.pMethods = NULL;
    if (fails(FAULT_DISK))
        return SQLITE_CANTOPEN;
    int result = fault.disk->xOpen(fault.disk, name, mine->real, flags, out);
    if (mine->real->pMethods)
        mine->base.pMethods = &file_methods;
    return result;
}

static int no_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int install(void **state)
{
    (void)state;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &fault.memory);
    sqlite3_mem_methods memory = fault.memory;
    memory.xMalloc = failing_malloc;
    memory.xRealloc = failing_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* every allocation is one that may fail */
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    sqlite3_auto_extension((void (*)(void))watch_steps);
    fault.disk = sqlite3_vfs_find(NULL);
    fault.vfs = *fault.disk;
    fault.vfs.zName = "failing";
    fault.vfs.szOsFile = (int)sizeof(struct file) + fault.disk->szOsFile;
    fault.vfs.xOpen = disk_open;
    fault.vfs.xSleep = no_sleep; /* between tries to get a lock */
    fault.vfs.pNext = NULL;
    return sqlite3_vfs_register(&fault.vfs, 1);
}

/* ---- the tape: something of everything ---- */

static void make_tape(struct kit *kit)
{
    struct pen p;
    add_client(kit, 0, 'a', 1, -1);
    add_client(kit, 1, 'a', 1, -1);
    for (uint32_t i = 0; i < 8; i++)
        add_usage(kit, i % 2, 0, i);
    p = pen(TALLY_KIND_CLIENT, 2, KIT_TIME);
    pen_id(&p, TALLY_FIELD_session_id, 'x');
    tape_add(kit, 0, &p);
    add_usage(kit, 0, 2, 50);
    add_call(kit, 0, TALLY_KIND_CALL_BEGIN, 'c', 0, -1, -1);
    add_call(kit, 0, TALLY_KIND_CALL_BEGIN, 'd', 0, -1, -1);
    add_call(kit, 1, TALLY_KIND_CALL_PROGRESS, 'd', 1, 5, -1);
    p = pen(TALLY_KIND_PADDING, 0, 0);
    tape_add(kit, 1, &p);
    add_call(kit, 1, TALLY_KIND_CALL_END, 'c', 0, 9, 1);
    add_call(kit, 2, TALLY_KIND_CALL_PROGRESS, 'e', 1, 5, -1); /* of nobody */
    add_client(kit, 2, 'b', 1, 0);
    add_call(kit, 2, TALLY_KIND_CALL_END, 'f', 0, 9, 2); /* its begin is late */
    p = pen(TALLY_KIND_CLIENT_END, 2, KIT_TIME);
    tape_add(kit, 0, &p);
    /* later, after 'a' has died: */
    add_client(kit, 3, 'a', 1, -1);
    add_call(kit, 3, TALLY_KIND_CALL_END, 'd', 0, 20, 2);
    for (uint32_t i = 0; i < 20;
         i++) /* more than are inserted together, and some that wait when a row is amended */
        add_usage(kit, 3, 0, 100 + i);
    add_call(kit, 3, TALLY_KIND_CALL_BEGIN, 'f', 0, 3, -1);
    for (uint32_t i = 0; i < 20; i++)
        add_usage(kit, 3, 0, 200 + i);
    add_usage(kit, 2, 0, 77);
}

/* One transaction of the collector's, from wherever the ledger stands. */
static int try_phase(struct kit *kit, int phase)
{
    uint64_t refused[TALLY_REFUSALS] = {0, (uint64_t)phase, 2};
    int result = 0;
    if (!kit->arena)
        return -ENOTCONN;
    for (uint32_t lane = 0; lane < 3 && !result; lane++)
        result =
            kit_try_feed(kit, lane, phase < 2 ? 6 - (int)kit->arena->lanes[lane].sequence + 4 * phase : -1);
    if (!result && phase == 2 && kit->arena->lanes[4].sequence < 3)
        result = ledger_skip(kit->ledger, kit->arena, 4, 240, 3, "quarantined", "test");
    if (!result)
        result = ledger_refused(kit->ledger, kit->arena, refused);
    for (uint32_t lane = 0; lane < 2 && phase >= 3 && !result; lane++) {
        struct ledger_lane_view view = view_left(kit, lane, lane == 0);
        view.refused_full = 3;
        view.tenure = 1;
        for (int i = 0; i < 2 && !result; i++)
            result = ledger_observe(kit->ledger, kit->arena, lane, &view);
    }
    for (int i = 0; i < 2 && phase >= 4 && !result; i++)
        result = ledger_tick(kit->ledger, KIT_TIME + 100 * SECOND);
    if (!result && phase >= 5)
        result = kit_try_feed(kit, 3, -1);
    return result ? result : ledger_commit(kit->ledger);
}

static void open_at_last(struct kit *kit)
{
    for (int tries = 0;; tries++) {
        int result = ledger_open(&kit->ledger, &kit->options);
        if (!result)
            result = ledger_attach(kit->ledger, &kit->header, "/tally-test-kit", &kit->arena);
        if (!result)
            return;
        assert_true(ledger_error(kit->ledger)[0] && tries < 100);
        ledger_close(kit->ledger);
        kit->arena = NULL;
    }
}

static void play(struct kit *kit)
{
    make_tape(kit);
    open_at_last(kit);
    for (int phase = 0; phase < 6; phase++) {
        for (int tries = 0;; tries++) {
            int result = try_phase(kit, phase);
            if (!result)
                break;
            assert_true(ledger_error(kit->ledger)[0]);
            assert_true(result != -EBADMSG && result != -ESTALE && result != -EINVAL && tries < 100);
            ledger_abandon(kit->ledger);
        }
        if (phase == 3) { /* the agent is restarted, too */
            ledger_close(kit->ledger);
            kit->arena = NULL;
            open_at_last(kit);
        }
    }
}

/* All that does not tell the time, in an order that does not depend on memory. */
static char *whole_database(struct kit *kit)
{
    static const char *const questions[] = {
        "SELECT refused_no_lane,refused_reentered FROM arenas",
        "SELECT * FROM lanes ORDER BY id",
        "SELECT * FROM clients ORDER BY id",
        "SELECT * FROM lane_clients",
        "SELECT * FROM open_calls",
        "SELECT * FROM usage_hourly",
        "SELECT * FROM usage_daily",
        "SELECT arena_id,lane,client_id,cause,numbered,records,detail FROM losses ORDER BY 1,2,3,4",
        ("SELECT client_id,lane_id,sequence,time_unix_ns,call_id,call_step,call_records,call_records_total,"
         "field_steps,amendable,provider,input_tokens,output_tokens,start_time_unix_ns,duration_ns,status,"
         "flags"
         " FROM usage ORDER BY lane_id,sequence"),
        "SELECT count(*),count(DISTINCT id) FROM usage",
        "PRAGMA integrity_check",
    };
    sqlite3_str *text = sqlite3_str_new(NULL);
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        char *answer = kit_ask(kit, questions[i]);
        sqlite3_str_appendf(text, "%s\n", answer);
        sqlite3_free(answer);
    }
    return sqlite3_str_finish(text);
}

/* Returns how the database came out; the caller frees it. */
static char *play_with(enum fault kind, long countdown, long burst)
{
    struct kit *kit;
    void *state;
    kit_setup(&state);
    kit = state;
    kit_close(kit); /* the folder is what was wanted: the faults begin with opening */
    char path[300];
    snprintf(path, sizeof path, "%s/usage.db", kit->folder);
    unlink(path);
    fault.kind = kind;
    fault.countdown = countdown;
    fault.burst = burst;
    fault.fired = false;
    play(kit);
    fault.kind = FAULT_NONE;
    kit_expect_rollup_exact(kit);
    char *result = whole_database(kit);
    kit_teardown(&state);
    return result;
}

/* Every Nth, the Ns ever further apart: dense where a transaction is short, and still to the end. */
static void with_faults(enum fault kind, long burst)
{
    char *expected = play_with(FAULT_NONE, 0, 0);
    long tried = 0;
    for (long n = 1;; n += 1 + n / 40) {
        char *got = play_with(kind, n, burst);
        if (strcmp(got, expected))
            fail_msg("fault %d at %ld:\n%s\ninstead of\n%s", (int)kind, n, got, expected);
        sqlite3_free(got);
        if (!fault.fired)
            break;
        tried++;
    }
    assert_true(tried > 50);
    print_message("# %ld faults\n", tried);
    sqlite3_free(expected);
}

static void without_a_fault_the_books_are_right(void **state)
{
    (void)state;
    struct kit *kit;
    kit_setup(state);
    kit = *state;
    kit_close(kit);
    play(kit);
    kit_expect(kit, "SELECT sum(sequence),sum(persisted),sum(lost) FROM lanes", "67|64|3");
    kit_expect(kit, "SELECT count(*) FROM usage", "54");
    kit_expect(kit, "SELECT status,count(*) FROM usage GROUP BY 1", "aborted|1\nok|53");
    kit_expect(kit, "SELECT count(*) FROM usage WHERE amendable IS NOT NULL", "2");
    kit_expect_rollup_exact(kit);
    kit_teardown(state);
}

static void steps_fail(void **state)
{
    (void)state;
    with_faults(FAULT_STEP, 1);
}

static void memory_fails(void **state)
{
    (void)state;
    with_faults(FAULT_MEMORY, 1);
}

/* So long that the first attempts to load memory anew fail as well. */
static void memory_fails_for_a_while(void **state)
{
    (void)state;
    with_faults(FAULT_MEMORY, 12);
}

static void the_disk_fails(void **state)
{
    (void)state;
    with_faults(FAULT_DISK, 1);
}

static void the_disk_fails_for_a_while(void **state)
{
    (void)state;
    with_faults(FAULT_DISK, 7);
}

/* A check that comes to no end proves nothing: the agent would set a sound database aside. */
static void a_sound_database_is_never_called_damaged(void **state)
{
    static const enum fault kinds[] = {FAULT_STEP, FAULT_MEMORY, FAULT_DISK};
    struct kit *kit;
    long tried = 0;
    kit_setup(state);
    kit = *state;
    kit_close(kit);
    play(kit);
    kit_close(kit);
    assert_int_equal(store_damaged(kit->folder), 0);
    for (int i = 0; i < 6; i++) {
        for (long n = 1;; n++) {
            fault.kind = kinds[i / 2];
            fault.countdown = n;
            fault.burst = i % 2 ? 1000000 : 1;
            fault.fired = false;
            int result = store_damaged(kit->folder);
            fault.kind = FAULT_NONE;
            if (result > 0)
                fail_msg("fault %d at %ld: a sound database is called damaged", (int)kinds[i / 2], n);
            if (!fault.fired)
                break;
            tried++;
        }
    }
    assert_true(tried > 100);
    print_message("# %ld faults\n", tried);
    kit_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_fault_the_books_are_right),
        cmocka_unit_test(steps_fail),
        cmocka_unit_test(memory_fails),
        cmocka_unit_test(memory_fails_for_a_while),
        cmocka_unit_test(the_disk_fails),
        cmocka_unit_test(the_disk_fails_for_a_while),
        cmocka_unit_test(a_sound_database_is_never_called_damaged),
    };
    return cmocka_run_group_tests_name("ledger: faults", tests, install, NULL);
}
