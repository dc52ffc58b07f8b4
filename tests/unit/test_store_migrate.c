/* A database of the first or the second schema becomes one of the newest: nothing that stood in it changes, and the agent goes on
 * where it was, calls in flight and rows to be amended included. */
#include "unit/ledger_kit.h"

#include <signal.h>
#include <sys/wait.h>

#include "price/table.h"
#include "store/store.h"
#include "support/tries.h"

static const char schema_v1[] =
#include "store/schema_v1.sql.inc"
    ;
static const char schema_v2[] =
#include "store/schema_v2.sql.inc"
    ;

#define CALLS 300

static struct pen of_call(enum tally_record_kind kind, char name, uint32_t step)
{
    struct pen p = pen(kind, 0, KIT_TIME + step);
    pen_id(&p, TALLY_FIELD_call_id, name);
    pen_u32(&p, TALLY_FIELD_call_step, step);
    return p;
}

/* Clients, calls of several models, one with a stated cost, a call in flight, a call that is still to be amended. */
static void live(struct kit *kit)
{
    add_client(kit, 0, 's', 1, -1);
    for (uint32_t i = 0; i < CALLS; i++) {
        char model[16];
        struct pen p = pen(TALLY_KIND_USAGE, 0, KIT_TIME + i * SECOND * 60);
        snprintf(model, sizeof model, "gpt-4o%s", i % 3 ? "-mini" : "");
        pen_text(&p, TALLY_FIELD_provider, "openai");
        pen_text(&p, TALLY_FIELD_request_model, model);
        pen_u32(&p, TALLY_FIELD_input_tokens, i);
        if (i % 2)
            pen_text(&p, TALLY_FIELD_usage_json,
                     "{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}");
        if (i % 5 == 0)
            pen_i64(&p, TALLY_FIELD_provider_cost_picodollars, INT64_C(123456789));
        tape_add(kit, 0, &p);
    }
    struct pen p = of_call(TALLY_KIND_CALL_BEGIN, 'o', 0);
    pen_u32(&p, TALLY_FIELD_input_tokens, 11);
    tape_add(kit, 0, &p);
    p = of_call(TALLY_KIND_CALL_END, 'a', TALLY_CALL_STEP_END);
    pen_u32(&p, TALLY_FIELD_call_records, 1);
    pen_u32(&p, TALLY_FIELD_output_tokens, 3);
    tape_add(kit, 0, &p);
    kit_drain(kit);
}

static void execute(sqlite3 *database, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(database, sql, NULL, NULL, &error))
        fail_msg("%s: %s", sql, error);
}

static char *ask(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    char *copy = strdup(text ? text : "NULL");
    assert_non_null(copy);
    sqlite3_finalize(statement);
    return copy;
}

static const char *const tables[] = {"meta",         "arenas",       "lanes",         "clients",
                                     "usage",        "lane_clients", "open_calls",    "losses",
                                     "usage_hourly", "price_tables", "unknown_shapes"};
#define TABLES    (sizeof tables / sizeof tables[0])
#define TABLES_V1 (TABLES - 2)

static char *ask_free(sqlite3 *database, char *sql)
{
    char *answer = ask(database, sql);
    sqlite3_free(sql);
    return answer;
}

static void execute_free(sqlite3 *database, char *sql)
{
    execute(database, sql);
    sqlite3_free(sql);
}

static char *columns_of[TABLES]; /* of the schema that was gone back to */

/* All of a table's values in the columns of that schema, row by row. */
static char *dump(sqlite3 *database, size_t table)
{
    char *values = ask_free(
        database, sqlite3_mprintf(
                      "SELECT group_concat('quote(\"'||value||'\")', '||char(44)||') FROM json_each('[%s]')",
                      columns_of[table]));
    char *text = ask_free(
        database,
        sqlite3_mprintf("SELECT group_concat(line, char(10)) FROM (SELECT %s AS line FROM %s ORDER BY 1)",
                        values, tables[table]));
    free(values);
    return text;
}

/* What the ledger has written, as a version before would have left it. */
static sqlite3 *begin_old(struct kit *kit, int version, char path[320])
{
    sqlite3 *old;
    kit_close(kit);
    sqlite3_close(kit->reader);
    kit->reader = NULL;
    snprintf(path, 320, "%s/old.db", kit->folder);
    assert_int_equal(sqlite3_open(path, &old), SQLITE_OK);
    execute(old, schema_v1);
    if (version == 2)
        execute(old, schema_v2);
    execute_free(old, sqlite3_mprintf("PRAGMA user_version=%d; PRAGMA application_id=0x544c4c59", version));
    execute_free(old, sqlite3_mprintf("ATTACH %Q AS new", kit->path));
    for (size_t i = 0; i < (version == 2 ? TABLES : TABLES_V1); i++) {
        free(columns_of[i]);
        columns_of[i] = ask_free(
            old, sqlite3_mprintf("SELECT group_concat('\"'||name||'\"') FROM pragma_table_info(%Q,'main')",
                                 tables[i]));
        execute_free(old, sqlite3_mprintf("INSERT INTO main.%s(%s) SELECT %s FROM new.%s", tables[i],
                                          columns_of[i], columns_of[i], tables[i]));
    }
    execute(old, "DETACH new");
    return old;
}

static void end_old(struct kit *kit, sqlite3 *old, const char *path)
{
    assert_int_equal(sqlite3_close(old), SQLITE_OK);
    assert_int_equal(unlink(kit->path), 0);
    assert_int_equal(rename(path, kit->path), 0);
}

static void go_back(struct kit *kit)
{
    char path[320];
    sqlite3 *old = begin_old(kit, 1, path);
    /* It priced nothing, and its sums stopped at their end. */
    execute(old,
            "UPDATE usage SET cost_picodollars=NULL;"
            "UPDATE usage_hourly SET cost_picodollars=NULL, cost_unknown=calls;"
            "INSERT INTO usage_hourly SELECT "
            "7200,'full',request_model,service,team,project,key_fingerprint,status,"
            "calls,input_tokens,output_tokens,cache_read_tokens,cache_write_5m_tokens,cache_write_1h_tokens,"
            "reasoning_tokens,input_audio_tokens,output_audio_tokens,input_image_tokens,output_image_tokens,"
            "duration_ns,input_tokens_unknown,output_tokens_unknown,duration_unknown,estimated,"
            "9223372036854775807,calls,NULL,calls FROM usage_hourly LIMIT 1");
    end_old(kit, old, path);
}

/* Of the second schema, with calls of all kinds, more than are moved in one transaction: each column known in some rows and
 * not in others, by itself or with others, small and as large as it comes, starts stated and derived, ids with gaps. */
static void go_back_to_many(struct kit *kit, int rows)
{
    char path[320];
    sqlite3 *old = begin_old(kit, 2, path);
    execute_free(
        old,
        sqlite3_mprintf(
            "PRAGMA journal_mode=WAL;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
            "INSERT INTO usage SELECT 1000+i+i/7*3,1+i%%5,1+i%%3,i,"
            "CASE i%%31 WHEN 0 THEN 0 WHEN 1 THEN 9223372036854775807 ELSE 1700000000000000000+i*1000000007 "
            "END,"
            /* call_id, steps, amendable: some of them ended, some not */
            "iif(i%%4=1,CAST(printf('%%016d',i) AS "
            "BLOB),NULL),iif(i%%4=1,4294967295,NULL),iif(i%%4=1,i%%6,NULL),"
            "iif(i%%4=1 AND i%%3,i%%7,NULL),iif(i%%20=1,zeroblob(256),NULL),iif(i%%20=1,1+i%%8*16,NULL),"
            "iif(i%%2,'openai',NULL),iif(i%%3,'chat',NULL),'m'||i%%11,iif(i%%5,NULL,'m'||i%%11||'-large'),"
            "iif(i%%6=2,'resp-'||i,NULL),iif(i%%7=3,'flex',NULL),iif(i%%8=3,'api.example.com',NULL),"
            "iif(i%%9=4,'error number '||i,NULL),iif(i%%10=3,'user'||i%%100,NULL),iif(i%%11=1,'',NULL),"
            "iif(i%%12=5,'p',NULL),iif(i%%13=6,'s'||i,NULL),iif(i%%14=1,'abcd',NULL),iif(i%%15=1,hex(i),NULL)"
            ","
            "iif(i%%16=1,'',NULL),iif(i%%17=1,'k=v,n='||i,NULL),"
            "iif(i%%2,i,NULL),iif(i%%3,i*7,NULL),iif(i%%5=1,i,NULL),iif(i%%7=1,1000000000000000,NULL),"
            "iif(i%%11=1,3,NULL),iif(i%%13=1,0,NULL),iif(i%%17=1,4,NULL),iif(i%%19=1,5,NULL),iif(i%%23=1,6,"
            "NULL),"
            "iif(i%%29=1,7,NULL),0,"
            "CASE i%%6 WHEN 0 THEN NULL WHEN 1 THEN 9223372036854775807 WHEN 2 THEN 0 ELSE 900000000+i END,"
            "iif(i%%4=2,i*1000,NULL),iif(i%%9=2,1000000000000000000,NULL),"
            "CASE i%%5 WHEN 0 THEN 'error' WHEN 1 THEN 'aborted' WHEN 2 THEN 'cancelled' ELSE 'ok' END,"
            "iif(i%%6=4,200+i%%300,NULL),i%%8,iif(i%%21=1,'{\"n\":'||i||'}',NULL),"
            "iif(i%%22=1,'request_model,tags,usage_json',NULL),iif(i%%3,i*1000003,NULL),"
            "CASE i%%4 WHEN 0 THEN NULL WHEN 1 THEN 'list' WHEN 2 THEN 'provider' ELSE 'no_model' END,"
            "iif(i%%9=2,i,NULL),iif(i%%4,1+i%%2,NULL) FROM n;"
            /* derived in every second row; else before, at and after it */
            "UPDATE usage SET start_time_unix_ns=CASE WHEN id%%2 THEN "
            "iif(coalesce(duration_ns,0)<time_unix_ns,"
            "time_unix_ns-coalesce(duration_ns,0),0) WHEN id%%4 THEN time_unix_ns/2 "
            "ELSE max(0,time_unix_ns-5)+id%%11 END WHERE start_time_unix_ns=0 AND "
            "time_unix_ns<9000000000000000000",
            rows));
    end_old(kit, old, path);
}

static struct price_table *prices;

static void all_that_stood_there_stands_there_still(void **state)
{
    struct kit *kit = *state;
    char *before[TABLES];
    unsigned long long rows = 0;
    live(kit);
    go_back(kit);
    for (size_t i = 0; i < TABLES_V1; i++)
        before[i] = dump(kit_reader(kit), i);
    kit_expect(kit, "SELECT * FROM pragma_user_version", "1");
    kit->options.prices = prices;
    kit_open(kit);
    kit_expect(kit, "SELECT * FROM pragma_user_version", "5");
    kit_expect(
        kit,
        "SELECT provider_cost_millions,provider_cost_picodollars FROM usage_hourly WHERE provider='full'",
        "9|223372036854775807");
    kit_sql(kit,
            "UPDATE usage_hourly SET provider_cost_picodollars=9223372036854775807 WHERE provider='full';"
            "UPDATE meta SET value=value-1 WHERE key='epoch';"
            "UPDATE arenas SET attached_unix_ns=attached_unix_ns");
    for (size_t i = 0; i < TABLES_V1; i++) {
        char *after = dump(kit_reader(kit), i);
        /* when an agent last attached is all that opening changes besides */
        if (strcmp(tables[i], "arenas") != 0)
            assert_string_equal(after, before[i]);
        for (const char *line = before[i]; line; line = strchr(line + 1, '\n'))
            rows++;
        free(after);
        free(before[i]);
    }
    kit_sql(kit, "UPDATE usage_hourly SET provider_cost_picodollars=223372036854775807 WHERE provider='full';"
                 "UPDATE meta SET value=value+1 WHERE key='epoch'");
    tries(rows, "rows of the first schema, unchanged by its migration");
}

/* Where the agent of the version before stopped, that of this one goes on. */
static void the_ledger_goes_on_where_it_was(void **state)
{
    struct kit *kit = *state;
    live(kit);
    go_back(kit);
    kit->options.prices = prices;
    kit_open(kit);
    assert_int_equal(kit->arena->lanes[0].position, kit->tape[0].position);
    struct pen p = of_call(TALLY_KIND_CALL_END, 'o', TALLY_CALL_STEP_END);
    pen_text(&p, TALLY_FIELD_provider, "openai");
    pen_text(&p, TALLY_FIELD_request_model, "gpt-4o");
    pen_u32(&p, TALLY_FIELD_call_records, 1);
    pen_u32(&p, TALLY_FIELD_output_tokens, 1);
    tape_add(kit, 0, &p);
    p = of_call(TALLY_KIND_CALL_BEGIN, 'a', 0); /* the late one */
    pen_text(&p, TALLY_FIELD_provider, "openai");
    pen_text(&p, TALLY_FIELD_request_model, "gpt-4o");
    pen_u32(&p, TALLY_FIELD_input_tokens, 2);
    tape_add(kit, 0, &p);
    kit_drain(kit);
    kit_expect(kit,
               "SELECT input_tokens,output_tokens,cost_basis,price_table_id FROM usage WHERE id=(SELECT "
               "max(id) FROM usage)",
               "11|1|list|1");
    kit_expect(kit,
               "SELECT input_tokens,output_tokens,cost_basis FROM usage WHERE "
               "call_id=x'61616161616161616161616161616161'",
               "2|3|list");
    kit_expect(kit, "SELECT count(*),count(cost_basis),count(price_table_id) FROM usage", "302|2|2");
    kit_expect(
        kit,
        "SELECT (SELECT sum(calls) FROM usage_hourly WHERE provider<>'full')=(SELECT count(*) FROM usage)",
        "1");
    kit_expect(kit, "SELECT count(*) FROM open_calls", "0");
    kit_expect(kit, "SELECT * FROM pragma_integrity_check", "ok");
}

/* Statement by statement: what fails leaves a database of the first schema, which the next attempt migrates. */
static void a_migration_that_fails_changes_nothing(void **state)
{
    struct kit *kit = *state;
    live(kit);
    go_back(kit);
    char *before = dump(kit_reader(kit), 4);
    kit_sql(kit, "CREATE TABLE unknown_shapes(x)"); /* in the way of the second statement */
    assert_true(ledger_open(&kit->ledger, &kit->options) < 0);
    ledger_close(kit->ledger);
    kit->ledger = NULL;
    kit_expect(kit, "SELECT * FROM pragma_user_version", "1");
    kit_expect(kit, "SELECT count(*) FROM sqlite_master WHERE name='price_tables'", "0");
    kit_sql(kit, "DROP TABLE unknown_shapes");
    char *after = dump(kit_reader(kit), 4);
    assert_string_equal(after, before);
    kit_open(kit);
    kit_expect(kit, "SELECT * FROM pragma_user_version", "5");
    free(before);
    free(after);
}

/* ---- rows on the move ---- */

static void rows_of_all_kinds_read_the_same(void **state)
{
    struct kit *kit = *state;
    enum { ROWS = 25000 };
    kit->options.prices = prices;
    live(kit);
    go_back_to_many(kit, ROWS);
    char *before[TABLES];
    for (size_t i = 0; i < TABLES; i++)
        before[i] = dump(kit_reader(kit), i);
    kit_expect(kit, "SELECT * FROM pragma_user_version", "2");
    kit_open(kit);
    kit_expect(kit, "SELECT * FROM pragma_user_version", "5");
    for (size_t i = 0; i < TABLES; i++) {
        char *after = dump(kit_reader(kit), i);
        if (strcmp(tables[i], "arenas") != 0 && strcmp(tables[i], "meta") != 0)
            assert_string_equal(after, before[i]);
        free(after);
        free(before[i]);
    }
    kit_expect(kit, "SELECT count(*) FROM sqlite_master WHERE name='usage_v2'", "0");
    kit_expect(kit, "SELECT * FROM pragma_integrity_check", "ok");
    /* Only what a row has is kept of it. */
    kit_expect(kit,
               "SELECT (SELECT count(*) FROM usage_calls)=(SELECT count(call_id) FROM usage),"
               "(SELECT count(*) FROM usage_texts)=(SELECT count(coalesce(response_id,user,session,trace_id,"
               "span_id,tags,usage_json,truncated)) FROM usage)",
               "1|1");
    tries(ROWS, "rows of the second schema that read the same in the fourth");
}

static int64_t left(struct kit *kit)
{
    char *moving = kit_ask(kit, "SELECT count(*) FROM sqlite_master WHERE name='usage_v2'");
    int64_t rows = -1;
    if (*moving == '1') {
        char *text = kit_ask(kit, "SELECT count(*) FROM usage_v2");
        rows = strtoll(text, NULL, 10);
        sqlite3_free(text);
    }
    sqlite3_free(moving);
    return rows;
}

/* Killed when it has come on; the next goes on from there. Nobody may visit meanwhile. */
static void a_move_that_is_killed_goes_on(void **state)
{
    struct kit *kit = *state;
    unsigned long long killed = 0;
    struct store *store;
    live(kit);
    go_back_to_many(kit, 65000);
    char *before = dump(kit_reader(kit), 4);
    int64_t rows = INT64_MAX;
    for (int64_t next = 0; next >= 0; rows = next) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            int result = store_open(&store, kit->folder);
            _exit(result ? 1 : 0);
        }
        int status = 0;
        /* until it has moved some, or is through */
        while (waitpid(child, &status, WNOHANG) == 0) {
            next = left(kit);
            if (next >= 0 && next < rows) {
                killed += kill(child, SIGKILL) == 0;
                assert_int_equal(waitpid(child, &status, 0), child);
                break;
            }
        }
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        next = left(kit);
        if (next < 0) { /* not begun; or through, killed or not */
            kit_expect(kit, "SELECT user_version IN (2,4,5) FROM pragma_user_version", "1");
            char *version = kit_ask(kit, "SELECT * FROM pragma_user_version");
            next = *version == '2' ? 0 : -1;
            sqlite3_free(version);
            continue;
        }
        kit_expect(kit, "SELECT * FROM pragma_user_version", "3");
        assert_int_equal(store_visit(&store, kit->folder), -ENOTSUP);
        assert_non_null(strstr(store_error(store), "start tallyd"));
        store_close(store);
    }
    assert_true(killed > 1);
    char *after = dump(kit_reader(kit), 4);
    assert_string_equal(after, before);
    free(before);
    free(after);
    kit_expect(kit, "SELECT * FROM pragma_integrity_check", "ok");
    kit_open(kit); /* for the teardown's eyes */
    tries(killed, "kills of an agent that was moving rows to the newest schema");
}

static int list_setup(void **state)
{
    char error[PRICE_ERROR_BYTES];
    (void)state;
    return price_table_builtin(&prices, error);
}

static int list_teardown(void **state)
{
    (void)state;
    price_table_free(prices);
    for (size_t i = 0; i < TABLES; i++)
        free(columns_of[i]);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(all_that_stood_there_stands_there_still), TEST(the_ledger_goes_on_where_it_was),
        TEST(a_migration_that_fails_changes_nothing),  TEST(rows_of_all_kinds_read_the_same),
        TEST(a_move_that_is_killed_goes_on),
    };
    return cmocka_run_group_tests(tests, list_setup, list_teardown);
}
