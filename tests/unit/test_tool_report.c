/* Questions become SQL; rollups and raw rows give the same answer to the same question. */
#include "../../tools/tally/db.h"
#include "../../tools/tally/report_query.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* Complaints of misuse are part of the tests: not of their output. */
static int quiet(int (*parse)(struct report_query *, const char *), struct report_query *query,
                 const char *text)
{
    int saved = dup(STDERR_FILENO);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    fflush(stderr);
    dup2(nowhere, STDERR_FILENO);
    int status = parse(query, text);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(nowhere);
    return status;
}

static void test_grouping(void **state)
{
    struct report_query query = {0};

    (void)state;
    assert_int_equal(report_query_by(&query, "provider,team,hour"), 0);
    assert_int_equal(query.by_count, 3);
    assert_string_equal(query.by[1]->name, "team");
    assert_null(report_query_lacking(&query));
    assert_int_equal(report_query_by(&query, "provider,user"), 0);
    assert_string_equal(report_query_lacking(&query)->name, "user");
    assert_int_equal(report_query_by(&query, "none"), 0);
    assert_int_equal(query.by_count, 0);
}

static void test_grouping_by_nonsense(void **state)
{
    static const char *const bad[] = {"",
                                      ",",
                                      "provider,",
                                      "provider,,team",
                                      "Provider",
                                      "provider;DROP TABLE usage",
                                      "provider,provider",
                                      "calls"};
    struct report_query query = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(quiet(report_query_by, &query, bad[i]), 2);
}

static void test_conditions(void **state)
{
    struct report_query query = {0};

    (void)state;
    assert_int_equal(report_query_where(&query, "team=a=b"), 0);
    assert_string_equal(query.where[0].value, "a=b");
    assert_null(report_query_lacking(&query));
    assert_int_equal(report_query_where(&query, "host="), 0);
    assert_string_equal(report_query_lacking(&query)->name, "host");
    assert_int_equal(quiet(report_query_where, &query, "team"), 2);
    assert_int_equal(quiet(report_query_where, &query, "nothing=1"), 2);
}

static void test_values_never_reach_the_sql(void **state)
{
    struct report_query query = {0};

    (void)state;
    report_query_by(&query, "provider");
    report_query_where(&query, "team=x' OR 1=1 --");
    char *sql = report_query_sql(&query, false);
    assert_null(strstr(sql, "OR 1=1"));
    assert_non_null(strstr(sql, "= ?3"));
    free(sql);
}

/* ---- both sources ---------------------------------------------------------------------------------- */

static sqlite3 *database;

static void run(const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(database, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
}

/* The agent's own tables. */
static void run_schema(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 16);

    if (file == NULL)
        fail_msg("%s: run it from the project's folder", path);
    size_t length = fread(text, 1, (1 << 16) - 1, file);
    assert_true(length > 0);
    fclose(file);
    run(text);
    free(text);
}

static int make_database(void **state)
{
    (void)state;
    assert_int_equal(sqlite3_open(":memory:", &database), SQLITE_OK);
    db_sums(database);
    run_schema("agent/store/schema_v1.sql");
    run_schema("agent/store/schema_v2.sql");
    run_schema("agent/store/schema_v5.sql");
    run("INSERT INTO clients(id, session_id, service, started_unix_ns, last_unix_ns) VALUES (1, x'01', "
        "'web', 0, 0), "
        "(2, x'02', NULL, 0, 0)");
    /* Three hours, two services, a call without tokens, costs stated by one in three. */
    run("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59)"
        " INSERT INTO usage(client_id, lane_id, sequence, time_unix_ns, provider, request_model, team,"
        " start_time_unix_ns, duration_ns, status, flags, input_tokens, output_tokens, cache_read_tokens,"
        " provider_cost_picodollars)"
        " SELECT 1 + i % 2, 1, i + 1, 0, CASE i % 3 WHEN 0 THEN 'openai' WHEN 1 THEN 'anthropic' END, 'm' || "
        "(i % 4),"
        " CASE WHEN i % 5 THEN 'red' END, (1000 + i % 3) * 3600000000000 + i, i * 10,"
        " CASE i % 6 WHEN 0 THEN 'error' WHEN 1 THEN 'aborted' WHEN 2 THEN 'cancelled' ELSE 'ok' END, i % 4,"
        " CASE WHEN i % 7 THEN i END, i * 2, CASE WHEN i % 2 THEN i END, CASE WHEN i % 3 THEN NULL ELSE i * "
        "1000 END"
        " FROM n");
    run("INSERT INTO usage_hourly SELECT u.start_time_unix_ns / 3600000000000 * 3600, coalesce(provider, ''),"
        " coalesce(request_model, ''), coalesce(c.service, ''), coalesce(team, ''), coalesce(project, ''),"
        " coalesce(key_fingerprint, ''), status, count(*), coalesce(sum(input_tokens), 0),"
        " coalesce(sum(output_tokens), 0), coalesce(sum(cache_read_tokens), 0), 0, 0, 0, 0, 0, 0, 0,"
        " coalesce(sum(duration_ns), 0), sum(input_tokens IS NULL), sum(output_tokens IS NULL),"
        " sum(duration_ns IS NULL), sum((flags & 2) != 0), sum(provider_cost_picodollars),"
        " count(provider_cost_picodollars), NULL, count(*), 0, 0"
        " FROM usage u JOIN clients c ON c.id = u.client_id GROUP BY 1, 2, 3, 4, 5, 6, 7, 8");
    return 0;
}

static int close_database(void **state)
{
    (void)state;
    sqlite3_close(database);
    return 0;
}

/* All of an answer as one text; NULL and 0 are the same sum. */
static char *answer(const struct report_query *query, bool raw)
{
    char *sql = report_query_sql(query, raw);
    sqlite3_stmt *statement = NULL;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(database));
    sqlite3_bind_int64(statement, 1, raw ? 1000 * INT64_C(3600000000000) : 1000 * INT64_C(3600));
    sqlite3_bind_int64(statement, 2, raw ? 1002 * INT64_C(3600000000000) : 1002 * INT64_C(3600));
    for (int i = 3; i <= 4; i++) /* no whole days: tests/unit/test_rollup_days.c has them */
        sqlite3_bind_int64(statement, i, 1002 * INT64_C(3600));
    for (size_t i = 0; i < query->where_count; i++)
        sqlite3_bind_text(statement, (int)i + QUERY_VALUE, query->where[i].value, -1, SQLITE_STATIC);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int c = 0; c < sqlite3_column_count(statement); c++) {
            const char *cell = (const char *)sqlite3_column_text(statement, c);
            fprintf(out, "%s|", cell != NULL ? cell : "0");
        }
        fputc('\n', out);
    }
    sqlite3_finalize(statement);
    free(sql);
    fclose(out);
    return text;
}

static void check_same(const char *by, const char *where)
{
    struct report_query query = {0};

    assert_int_equal(report_query_by(&query, by), 0);
    if (where != NULL)
        assert_int_equal(report_query_where(&query, where), 0);
    char *rollup = answer(&query, false);
    char *raw = answer(&query, true);
    assert_string_equal(rollup, raw);
    assert_true(strchr(rollup, '\n') != NULL);
    free(rollup);
    free(raw);
}

static void test_both_sources_agree(void **state)
{
    (void)state;
    check_same("none", NULL);
    check_same("provider,request_model", NULL);
    check_same("service,team,project,key_fingerprint,status", NULL);
    check_same("hour,service", NULL);
    check_same("day,month,status", NULL);
    check_same("request_model", "team=");
    check_same("request_model", "status=ok");
}

static void test_raw_dimensions_are_valid_sql(void **state)
{
    char *names = dimension_names();

    (void)state;
    for (char *rest = names, *name; (name = strsep(&rest, ",")) != NULL;) {
        struct report_query query = {0};
        name += strspn(name, " ");
        assert_int_equal(report_query_by(&query, name), 0);
        char *text = answer(&query, true);
        assert_true(strchr(text, '\n') != NULL);
        free(text);
    }
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grouping),           cmocka_unit_test(test_grouping_by_nonsense),
        cmocka_unit_test(test_conditions),         cmocka_unit_test(test_values_never_reach_the_sql),
        cmocka_unit_test(test_both_sources_agree), cmocka_unit_test(test_raw_dimensions_are_valid_sql),
    };

    return cmocka_run_group_tests(tests, make_database, close_database);
}
