/* Labels: what calls have in common is written once, is never another call's, and goes when no row names it any more. */
#include "unit/ledger_kit.h"

#include <malloc.h>

#include "store/store.h"
#include "support/tries.h"

#define AGE 65536 /* rows after which a label is made anew: ROWS_MAX of agent/store/labels.c */

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

static void insert(struct store *store, const char *model, int64_t time)
{
    struct usage_values values = {.numbers_known = 0};
    struct usage_row row = {
        .client_id = 1, .lane_id = 1, .sequence = 1, .time_unix_ns = time, .values = &values};
    values.texts[USAGE_TEXT_request_model] = (struct text){model, (uint32_t)strlen(model)};
    usage_number_set(&values, USAGE_NUMBER_start_time_unix_ns, time);
    usage_number_set(&values, USAGE_NUMBER_status, TALLY_STATUS_OK);
    assert_int_equal(store_usage_insert(store, &row), 0);
}

static void begin(struct store *store)
{
    assert_int_equal(store_begin(store), 0);
}

static void commit(struct store *store)
{
    assert_int_equal(store_commit(store), 0);
}

static void expect_whole(struct kit *kit)
{
    kit_expect(kit, "SELECT count(*) FROM usage_rows WHERE label_id NOT IN (SELECT id FROM usage_labels)",
               "0");
}

static void what_calls_have_in_common_is_written_once(void **state)
{
    static const char *const models[] = {"a", "b", "c"};
    struct kit *kit = *state;
    struct store *store = open_store(kit);
    for (int i = 0; i < 90; i++) {
        begin(store);
        insert(store, models[i % 3], 5);
        commit(store);
    }
    kit_expect(kit, "SELECT count(*) FROM usage_labels", "3");
    kit_expect(kit, "SELECT request_model,count(*),min(status) FROM usage GROUP BY 1",
               "a|30|ok\nb|30|ok\nc|30|ok");
    kit_expect(kit, "SELECT request_model FROM usage WHERE id IN (1,2,3,4) ORDER BY id", "a\nb\nc\na");
    store_close(store);
}

/* Each of the texts and numbers that a label has tells calls apart, and so does what is not known. */
static void each_value_tells_calls_apart(void **state)
{
    static const enum usage_text texts[] = {USAGE_TEXT_provider,      USAGE_TEXT_operation,
                                            USAGE_TEXT_request_model, USAGE_TEXT_response_model,
                                            USAGE_TEXT_service_tier,  USAGE_TEXT_server_address,
                                            USAGE_TEXT_error_type,    USAGE_TEXT_team,
                                            USAGE_TEXT_project,       USAGE_TEXT_key_fingerprint};
    enum { TEXTS = sizeof texts / sizeof texts[0], KINDS = 2 * TEXTS + 6 };
    struct kit *kit = *state;
    struct store *store = open_store(kit);
    begin(store);
    for (int i = 0; i < 2 * KINDS; i++) {
        int kind = i % KINDS;
        struct usage_values values = {.numbers_known = 0};
        struct usage_row row = {.client_id = 1, .lane_id = 1, .values = &values};
        usage_number_set(&values, USAGE_NUMBER_start_time_unix_ns, 0);
        usage_number_set(&values, USAGE_NUMBER_status, kind == 2 * TEXTS ? 1 : 0);
        if (kind < 2 * TEXTS)
            values.texts[texts[kind / 2]] = (struct text){"x", kind % 2};
        if (kind == 2 * TEXTS + 1)
            usage_number_set(&values, USAGE_NUMBER_http_status, 200);
        if (kind == 2 * TEXTS + 2)
            usage_number_set(&values, USAGE_NUMBER_flags, 4);
        if (kind == 2 * TEXTS + 3)
            row.cost_basis = (struct text){"list", 4};
        if (kind == 2 * TEXTS + 4)
            row.price_table_id = 3;
        assert_int_equal(store_usage_insert(store, &row), 0);
    }
    commit(store);
    char *labels = kit_ask(kit, "SELECT count(*) FROM usage_labels");
    assert_int_equal(atoi(labels), KINDS);
    sqlite3_free(labels);
    kit_expect(kit, "SELECT count(provider),sum(length(provider)),sum(provider='x') FROM usage", "4|2|2");
    kit_expect(kit,
               "SELECT sum(status='error'),sum(http_status),sum(flags),count(cost_basis),"
               "sum(price_table_id) FROM usage",
               "2|400|8|2|6");
    store_close(store);
}

static void labels_of_a_transaction_that_failed_are_none(void **state)
{
    struct kit *kit = *state;
    struct store *store = open_store(kit);
    begin(store);
    insert(store, "kept", 5);
    commit(store);
    for (int i = 0; i < 20; i++) {
        begin(store);
        insert(store, "first", 5);
        insert(store, "second", 5);
        store_rollback(store);
        begin(store);
        insert(store, i % 2 ? "first" : "second", 5); /* by the number that the other had */
        insert(store, "kept", 5);
        commit(store);
        expect_whole(kit);
    }
    kit_expect(kit, "SELECT request_model,count(*) FROM usage GROUP BY 1", "first|10\nkept|21\nsecond|10");
    kit_expect(kit, "SELECT group_concat(request_model) FROM (SELECT * FROM usage ORDER BY id LIMIT 5)",
               "kept,second,kept,first,kept");
    store_close(store);
    tries(20, "labels whose transaction was rolled back");
}

static void another_agent_makes_its_own(void **state)
{
    struct kit *kit = *state;
    for (int i = 0; i < 5; i++) {
        struct store *store = open_store(kit);
        begin(store);
        insert(store, "a", 5);
        insert(store, i % 2 ? "b" : "a", 5);
        commit(store);
        store_close(store);
    }
    expect_whole(kit);
    kit_expect(kit, "SELECT request_model,count(*) FROM usage GROUP BY 1", "a|8\nb|2");
    kit_expect(kit, "SELECT count(*) FROM usage_labels", "7");
}

static void longer_than_any_record_says(void **state)
{
    struct kit *kit = *state;
    struct store *store = open_store(kit);
    char model[70000];
    for (size_t length = 1900; length < sizeof model; length += length < 2100 ? 1 : 9973) {
        memset(model, 'm', length);
        model[length] = '\0';
        begin(store);
        insert(store, model, (int64_t)length);
        insert(store, model, (int64_t)length);
        commit(store);
    }
    kit_expect(kit, "SELECT count(*) FROM usage WHERE length(request_model)<>time_unix_ns", "0");
    store_close(store);
}

/* ---- age ---- */

static void expire(struct store *store, int64_t before)
{
    int64_t rows = 0;
    int64_t labels = 0;
    int more = 1;
    while (more > 0) { /* as agent/ledger/retain.c */
        begin(store);
        more = store_usage_expire(store, before, &rows);
        if (!more)
            more = store_label_expire(store, rows, &labels);
        commit(store);
    }
    assert_int_equal(more, 0);
}

static int64_t number(struct kit *kit, const char *sql)
{
    char *text = kit_ask(kit, sql);
    int64_t value = strtoll(text, NULL, 10);
    sqlite3_free(text);
    return value;
}

/* Every call with a model that nobody has seen, by a client that means harm. */
static void ever_new_labels_stay_within_bounds(void **state)
{
    struct kit *kit = *state;
    struct store *store = open_store(kit);
    enum { ROUNDS = 5, ROWS = AGE + 1000 };
    size_t memory = 0;
    int64_t now = 10;
    begin(store);
    insert(store, "of a clock that is wrong", INT64_MAX - 1);
    commit(store);
    for (int round = 0; round < ROUNDS; round++, now += 10) {
        begin(store);
        for (int i = 0; i < ROWS; i++) {
            char model[48];
            snprintf(model, sizeof model, "model-%d-%d", round, i);
            insert(store, i % 100 ? model : "usual", now);
        }
        commit(store);
        expire(store, now); /* all rows but this round's */
        assert_in_range(number(kit, "SELECT count(*) FROM usage_labels"), 1, 2 * ROWS);
        expect_whole(kit);
        if (round == 1) /* SQLite's cache is full by now */
            memory = mallinfo2().uordblks;
    }
    assert_true(mallinfo2().uordblks < memory + (size_t)2 * 1024 * 1024);
    expire(store, now);
    kit_expect(kit, "SELECT id,request_model FROM usage", "1|of a clock that is wrong");
    begin(store);
    for (int i = 0; i < ROWS; i++)
        insert(store, "usual", now);
    commit(store);
    expire(store, now);
    expect_whole(kit);
    kit_expect(kit, "SELECT DISTINCT request_model FROM usage ORDER BY 1", "of a clock that is wrong\nusual");
    expire(store,
           now + 1); /* and with the last rows the last labels but those that a new row may still name */
    kit_expect(kit, "SELECT request_model,count(*) FROM usage_labels GROUP BY 1 ORDER BY 1",
               "of a clock that is wrong|1\nusual|1");
    store_close(store);
    tries((unsigned long long)ROUNDS * ROWS, "calls with ever new labels, past whose age all labels went");
}

/* Rows that may name a label are told by their ids alone: so it must not be named for longer. */
static void a_label_comes_of_age(void **state)
{
    struct kit *kit = *state;
    struct store *store = open_store(kit);
    begin(store);
    for (int i = 0; i < 3 * AGE; i++)
        insert(store, "a", 5);
    commit(store);
    kit_expect(kit, "SELECT count(*) FROM usage_labels", "3");
    char *most = kit_ask(
        kit, "SELECT max(r.id-l.first_usage_id) FROM usage_rows r JOIN usage_labels l ON l.id=r.label_id");
    assert_int_equal(atoi(most), AGE - 1);
    sqlite3_free(most);
    store_close(store);
}

#define folder_test(function) cmocka_unit_test_setup_teardown(function, folder_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(what_calls_have_in_common_is_written_once),
        folder_test(each_value_tells_calls_apart),
        folder_test(labels_of_a_transaction_that_failed_are_none),
        folder_test(another_agent_makes_its_own),
        folder_test(longer_than_any_record_says),
        folder_test(ever_new_labels_stay_within_bounds),
        folder_test(a_label_comes_of_age),
    };
    return cmocka_run_group_tests_name("store_labels", tests, NULL, NULL);
}
