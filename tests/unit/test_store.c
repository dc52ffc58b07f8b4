/* The store by itself: files, versions, the epoch, sums at their end, retention. */
#include "unit/ledger_kit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "store/store.h"

static int folder_setup(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    assert_non_null(kit);
    kit_make_folder(kit);
    *state = kit;
    return 0;
}

static struct store *open_store(struct kit *kit)
{
    struct store *store;
    int result = store_open(&store, kit->folder);
    if (result)
        print_error("%s\n", store_error(store));
    assert_int_equal(result, 0);
    return store;
}

static void expect_refused(struct kit *kit, int error, const char *word)
{
    struct store *store;
    assert_int_equal(store_open(&store, kit->folder), -error);
    assert_non_null(strstr(store_error(store), word));
    assert_null(strchr(store_error(store), '\n'));
    store_close(store);
}

static unsigned mode_of(struct kit *kit, const char *suffix)
{
    char path[320];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", kit->path, suffix);
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void a_new_database(void **state)
{
    struct kit *kit = *state;
    for (mode_t mask = 0; mask <= 0777; mask += 0777) {
        mode_t before = umask(mask);
        struct store *store = open_store(kit);
        umask(before);
        assert_int_equal(mode_of(kit, ""), 0640);
        assert_int_equal(mode_of(kit, "-wal"), 0640);
        assert_int_equal(mode_of(kit, "-shm"), 0640);
        kit_expect(kit, "SELECT * FROM pragma_application_id,pragma_user_version,pragma_journal_mode",
                   "1414286425|5|wal");
        kit_expect(kit, "SELECT value FROM meta WHERE key='epoch'", "1");
        kit_expect(kit, "SELECT count(*) FROM sqlite_master WHERE type='table'", "15");
        store_close(store);
        sqlite3_close(kit->reader);
        kit->reader = NULL;
        assert_int_equal(unlink(kit->path), 0);
    }
    store_close(open_store(kit)); /* for the teardown's eyes */
}

static void opening_again_raises_the_epoch(void **state)
{
    struct kit *kit = *state;
    struct store *first = open_store(kit);
    assert_int_equal(store_begin(first), 0);
    assert_int_equal(store_commit(first), 0);
    struct store *second = open_store(kit);
    assert_int_equal(store_begin(first), -ESTALE);
    assert_int_equal(store_begin(second), 0);
    store_rollback(second);
    assert_int_equal(store_begin(first), -ESTALE);
    kit_expect(kit, "SELECT value FROM meta WHERE key='epoch'", "2");
    store_close(first);
    store_close(second);
}

static void a_newer_schema_is_refused(void **state)
{
    struct kit *kit = *state;
    store_close(open_store(kit));
    kit_sql(kit, "PRAGMA user_version=6");
    expect_refused(kit, ENOTSUP, "newer tallyd");
    kit_expect(kit, "SELECT value FROM meta WHERE key='epoch'", "1");
}

static void a_stranger_is_refused(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(sqlite3_open(kit->path, &kit->reader), SQLITE_OK);
    kit_sql(kit, "CREATE TABLE recipes(soup)");
    expect_refused(kit, ENOTSUP, "not a database of tally");
    kit_expect(kit, "SELECT count(*) FROM sqlite_master", "1");
}

static void a_file_of_something_else_is_refused(void **state)
{
    struct kit *kit = *state;
    FILE *file = fopen(kit->path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    expect_refused(kit, EUCLEAN, "backup");
}

static void a_folder_that_is_not_there(void **state)
{
    struct kit *kit = *state;
    struct store *store;
    char path[300];
    snprintf(path, sizeof path, "%s/none", kit->folder);
    assert_int_equal(store_open(&store, path), -ENOENT);
    assert_non_null(strstr(store_error(store), "state directory"));
    store_close(store);
    /* Nor is a link followed to wherever somebody made it point. */
    assert_int_equal(symlink("/dev/null", kit->path), 0);
    assert_true(store_open(&store, kit->folder) < 0);
    store_close(store);
}

static void an_interrupted_migration_is_done_again(void **state)
{
    struct kit *kit = *state;
    /* Killed after the file was made and before the schema was committed: an empty file. */
    int fd = open(kit->path, O_CREAT | O_RDWR, 0640);
    assert_true(fd >= 0);
    close(fd);
    store_close(open_store(kit));
    kit_expect(kit, "SELECT * FROM pragma_user_version", "5");
}

/* ---- sums ---- */

static void add(struct store *store, int64_t calls, int64_t tokens, int64_t cost_calls, int64_t cost)
{
    struct rollup_row row = {.hour_unix_s = 3600, .status = TALLY_STATUS_OK};
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++)
        row.texts[i] = (struct text){"", 0};
    row.sums[ROLLUP_calls] = calls;
    row.sums[ROLLUP_input_tokens] = tokens;
    row.sums[ROLLUP_cost_unknown] = calls;
    row.sums[ROLLUP_provider_cost_calls] = cost_calls;
    row.money[ROLLUP_MONEY_provider_cost] = cost;
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_rollup_add(store, &row), 0);
    assert_int_equal(store_commit(store), 0);
}

static void sums_stop_at_their_end(void **state)
{
    struct kit *kit = *state;
    struct store *store = open_store(kit);
    const char *question = "SELECT calls,input_tokens,typeof(input_tokens),provider_cost_millions,"
                           "provider_cost_picodollars,typeof(provider_cost_picodollars),cost_millions,"
                           "cost_picodollars FROM usage_hourly";
    add(store, 1, 5, 0, 0);
    kit_expect(kit, question, "1|5|integer|0|NULL|null|0|NULL");
    add(store, 1, INT64_MAX - 5, 1, INT64_MAX);
    kit_expect(kit, question, "2|9223372036854775807|integer|9|223372036854775807|integer|0|NULL");
    add(store, 1, INT64_MAX, 1, 1);
    kit_expect(kit, question, "3|9223372036854775807|integer|9|223372036854775808|integer|0|NULL");
    add(store, -1, -7, -1, -INT64_MAX);
    kit_expect(kit, question, "2|9223372036854775800|integer|0|1|integer|0|NULL");
    add(store, -1, -INT64_MAX, -1, -1);
    kit_expect(kit, question, "1|0|integer|0|NULL|null|0|NULL");
    add(store, -1, 0, 0, 0);
    kit_expect(kit, question, "");
    add(store, -1, -5, 0, 0); /* of a row that is not there */
    kit_expect(kit, question, "");
    store_close(store);
}

static void money_of_many_calls_stays_whole(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    for (int i = 0; i < 20; i++) {
        struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME);
        pen_i64(&p, TALLY_FIELD_provider_cost_picodollars, INT64_C(1000000000000000000));
        tape_add(kit, 0, &p);
    }
    kit_feed(kit, 0, 15);
    kit_commit(kit);
    kit_drain(kit);
    kit_expect(
        kit, "SELECT provider_cost_millions,provider_cost_picodollars,provider_cost_calls FROM usage_hourly",
        "20|0|20");
}

/* ---- retention ---- */

static void add_old(struct kit *kit, uint32_t lane, int64_t time)
{
    struct pen p = pen(TALLY_KIND_USAGE, 0, time);
    pen_text(&p, TALLY_FIELD_provider, "openai");
    tape_add(kit, lane, &p);
}

static void retain_all(struct kit *kit, int64_t now)
{
    int result;
    while ((result = ledger_retain(kit->ledger, now)) > 0)
        ;
    assert_int_equal(result, 0);
}

static void old_rows_go_and_rollups_stay(void **state)
{
    struct kit *kit = *state;
    int64_t now = KIT_TIME + 200 * SECOND;
    kit->options.retention_ns = 100 * SECOND; /* what happened at KIT_TIME is old */
    kit_restart(kit);
    add_client(kit, 0, 's', 1, -1); /* ended long ago */
    for (int i = 0; i < 3000; i++)
        add_old(kit, 0, KIT_TIME);
    add_client(kit, 1, 'r', 1, -1); /* running */
    add_old(kit, 1, KIT_TIME);
    add_old(kit, 1, now);
    add_old(kit, 1, KIT_TIME);
    kit_drain(kit);
    kit_leave(kit, 0, true);
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME), 0);
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME), 0);
    assert_int_equal(ledger_retain(kit->ledger, now), -EINVAL); /* within a transaction */
    kit_commit(kit);
    assert_int_equal(ledger_retain(kit->ledger, now), 1); /* a slice */
    kit_expect(kit, "SELECT count(*) FROM usage", "1003");
    retain_all(kit, now);
    kit_expect(kit, "SELECT id,time_unix_ns/1000000000 FROM usage", "3002|1700000200");
    kit_expect(kit, "SELECT sum(calls) FROM usage_hourly", "3003");
    /* The lane still says whose it was. */
    kit_expect(kit, "SELECT hex(session_id) FROM clients ORDER BY id",
               "73737373737373737373737373737373\n72727272727272727272727272727272");
    add_client(kit, 0, 'n', 2, -1);
    kit_drain(kit);
    retain_all(kit, now);
    kit_expect(kit, "SELECT ended FROM clients ORDER BY id", "NULL\nNULL");
    kit_expect(kit, "SELECT count(*) FROM clients WHERE session_id=x'73737373737373737373737373737373'", "0");
}

static void an_id_never_comes_twice(void **state)
{
    struct kit *kit = *state;
    kit->options.retention_ns = 100 * SECOND;
    kit_restart(kit);
    add_client(kit, 0, 's', 1, -1);
    for (int i = 0; i < 10; i++)
        add_old(kit, 0, KIT_TIME);
    kit_drain(kit);
    retain_all(kit, KIT_TIME + 200 * SECOND);
    kit_expect(kit, "SELECT count(*) FROM usage", "0");
    kit_restart(kit);
    add_old(kit, 0, KIT_TIME + 200 * SECOND);
    kit_feed(kit, 0, -1);
    ledger_abandon(kit->ledger); /* nor is one left out */
    kit_drain(kit);
    kit_expect(kit, "SELECT id FROM usage", "11");
}

/* However many rows a transaction has, whichever columns they have: each its id, and its own values. */
static void ids_count_on_in_transactions_of_all_sizes(void **state)
{
    struct kit *kit = *state;
    int64_t now = KIT_TIME;
    uint32_t rows = 0;
    kit->options.retention_ns = 100 * SECOND;
    kit_restart(kit);
    add_client(kit, 0, 's', 1, -1);
    for (int size = 1; size <= 40; size++) {
        for (int i = 0; i < size; i++) {
            struct pen p = pen(TALLY_KIND_USAGE, 0, now);
            pen_u32(&p, TALLY_FIELD_input_tokens, ++rows);
            if (size % 3 == 0 && i == size / 2) /* a column that few have */
                pen_u32(&p, TALLY_FIELD_input_audio_tokens, rows);
            if (i % 7 == 2)
                pen_text(&p, TALLY_FIELD_user, "u");
            tape_add(kit, 0, &p);
        }
        if (size % 4 == 1) { /* a first attempt comes to nothing */
            kit_feed(kit, 0, -1);
            ledger_abandon(kit->ledger);
        }
        kit_drain(kit);
        if (size % 10 == 5) { /* the newest go */
            char *sum = kit_ask(kit, "SELECT count(*),sum(input_tokens<>id),sum(id<>1+(SELECT count(*) FROM"
                                     " usage v WHERE v.id<u.id)+(SELECT min(id)-1 FROM usage)) FROM usage u");
            assert_string_equal(strchr(sum, '|'), "|0|0");
            sqlite3_free(sum);
            kit_expect(kit, "SELECT count(*) FROM usage WHERE input_audio_tokens<>input_tokens", "0");
            now += 200 * SECOND;
            retain_all(kit, now);
            kit_expect(kit, "SELECT count(*) FROM usage", "0");
            kit_expect(kit, "SELECT count(*) FROM usage_texts", "0");
        }
    }
    kit_expect(kit, "SELECT count(*),sum(input_tokens<>id),count(user) FROM usage", "190|0|28");
    kit_expect(kit, "SELECT sum(calls),sum(input_tokens) FROM usage_hourly", "820|336610");
}

static void no_retention_keeps_all(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_old(kit, 0, 0);
    kit_drain(kit);
    assert_int_equal(ledger_retain(kit->ledger, INT64_MAX), 0);
    kit_expect(kit, "SELECT count(*) FROM usage", "1");
}

#define folder_test(function) cmocka_unit_test_setup_teardown(function, folder_setup, kit_teardown)
#define kit_test(function)    cmocka_unit_test_setup_teardown(function, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_new_database),
        folder_test(opening_again_raises_the_epoch),
        folder_test(a_newer_schema_is_refused),
        folder_test(a_stranger_is_refused),
        folder_test(a_file_of_something_else_is_refused),
        folder_test(a_folder_that_is_not_there),
        folder_test(an_interrupted_migration_is_done_again),
        folder_test(sums_stop_at_their_end),
        kit_test(money_of_many_calls_stays_whole),
        kit_test(old_rows_go_and_rollups_stay),
        kit_test(an_id_never_comes_twice),
        kit_test(ids_count_on_in_transactions_of_all_sizes),
        kit_test(no_retention_keeps_all),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
