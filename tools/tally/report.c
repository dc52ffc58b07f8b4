/* report.c: what was spent, grouped.
 *
 * Rollups answer by the hour and for ever; raw rows answer anything, to the nanosecond, as far
 * back as they are kept. plan() picks the source that tells the truth about the time asked for,
 * and whatever had to give way is said in the output.
 */
#include "command.h"
#include "db.h"
#include "document.h"
#include "report_query.h"
#include "report_table.h"
#include "table.h"
#include "when.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: tally report [--by LIST] [--since TIME] [--until TIME]\n"
    "                    [--where NAME=VALUE]... [--format table|json|csv]\n"
    "                    [--state-dir DIR]\n"
    "\n"
    "What was spent. Times are UTC; --since is included, --until is not.\n"
    "\n"
    "  --by LIST           group by these, in this order (default\n"
    "                      provider,request_model): provider, request_model, service,\n"
    "                      team, project, key_fingerprint, status, hour, day, month;\n"
    "                      and, as far back as raw rows are kept: operation,\n"
    "                      response_model, service_tier, server_address, error_type,\n"
    "                      http_status, user, session, trace_id, tags, streamed,\n"
    "                      batch, client_tags, host, pid, uid, executable. none: one\n"
    "                      total\n"
    "  --since TIME        from then on: 30m, 24h, 7d, 2w, today, yesterday,\n"
    "                      2026-11-22, a date and time (RFC 3339), or all; default:\n"
    "                      the last 24 whole hours and the present one\n"
    "  --until TIME        up to then; default: no bound\n"
    "  --where NAME=VALUE  only calls of which this is so; may be repeated; NAME as\n"
    "                      in --by, an empty VALUE is unknown\n"
    "  --hourly            use hourly totals, and move bounds out to full hours\n"
    "  --format FORMAT     table (default), json or csv; --json is --format json\n"
    "  --state-dir DIR     where usage.db is\n"
    "\n"
    "Sums are over the calls that state a number; how many do not is said beside\n"
    "them. Costs are US dollars; a cost that is not known is shown as unknown, never\n"
    "as 0.\n";

enum { OPTION_BY = OPTION_OWN, OPTION_SINCE, OPTION_UNTIL, OPTION_WHERE, OPTION_HOURLY };

struct request {
    struct common common;
    struct report_query query;
    int64_t since_ns;
    int64_t until_ns; /* INT64_MAX: no bound */
    bool hourly;
};

struct plan {
    bool raw;
    int64_t since_ns; /* as it will be asked */
    int64_t until_ns;
    bool hours_alone;     /* of the rollups: no whole days */
    bool moved;           /* bounds went out to full hours */
    bool raw_known;       /* the next two were looked up */
    int64_t raw_since_ns; /* raw rows are complete from here on; INT64_MIN: there are none, none is missing */
    int64_t missing;      /* calls in the asked time that only rollups have */
};

/* ---- asking -------------------------------------------------------------------------------- */

static int bound(const char *option, int64_t now_ns, int64_t *out_ns)
{
    int error = when_parse(optarg, now_ns, out_ns);

    if (error == 0)
        return EXIT_SUCCESS;
    return misuse("%s wants a time such as %s, not '%s'%s", option, WHEN_FORMS, optarg,
                  error == -ERANGE ? ", which is out of 1970 to 2261" : "");
}

static int parse(int argc, char **argv, struct request *request)
{
    static const struct option longs[] = {
        {"by", required_argument, NULL, OPTION_BY},
        {"since", required_argument, NULL, OPTION_SINCE},
        {"until", required_argument, NULL, OPTION_UNTIL},
        {"where", required_argument, NULL, OPTION_WHERE},
        {"hourly", no_argument, NULL, OPTION_HOURLY},
        COMMON_FORMAT,
        COMMON_STATE,
        COMMON_HELP,
        COMMON_END,
    };
    int64_t now_ns = when_now();
    bool since_given = false;
    int status = EXIT_SUCCESS;
    int code;

    request->until_ns = INT64_MAX;
    report_query_by(&request->query, "provider,request_model");
    while ((code = option_next(argc, argv, "", longs, help, &request->common, &status)) >= 0) {
        if (code == OPTION_BY) {
            status = report_query_by(&request->query, optarg);
        } else if (code == OPTION_WHERE) {
            status = report_query_where(&request->query, optarg);
        } else if (code == OPTION_UNTIL) {
            status = bound("--until", now_ns, &request->until_ns);
        } else if (code == OPTION_HOURLY) {
            request->hourly = true;
        } else {
            since_given = true;
            if (strcmp(optarg, "all") == 0)
                request->since_ns = 0;
            else
                status = bound("--since", now_ns, &request->since_ns);
        }
        if (status != EXIT_SUCCESS)
            return status;
    }
    if (code == OPTIONS_EXIT)
        return status != EXIT_SUCCESS ? status : -1;
    if (!since_given)
        request->since_ns =
            when_hour_down(request->until_ns < now_ns ? request->until_ns : now_ns) - 24 * WHEN_HOUR_NS;
    if (request->since_ns >= request->until_ns)
        return misuse("--since is not before --until: there is no time between them");
    return no_more_arguments(argc, argv);
}

/* ---- choosing the source --------------------------------------------------------------------- */

/* Hours that any part of the bounds touches. */
static void hours_of(int64_t since_ns, int64_t until_ns, int64_t hours_s[2])
{
    hours_s[0] = when_hour_down(since_ns) / WHEN_SECOND_NS;
    hours_s[1] = until_ns == INT64_MAX ? INT64_MAX : when_hour_up(until_ns) / WHEN_SECOND_NS;
}

static void bind_bounds(sqlite3_stmt *statement, const struct report_query *query, const struct plan *plan)
{
    int64_t hours_s[2];
    int64_t days_s[2];

    if (plan->raw) {
        sqlite3_bind_int64(statement, 1, plan->since_ns);
        sqlite3_bind_int64(statement, 2, plan->until_ns);
        return;
    }
    hours_of(plan->since_ns, plan->until_ns, hours_s);
    if (plan->hours_alone)
        days_s[0] = days_s[1] = hours_s[1];
    else
        report_query_days(query, hours_s[0], hours_s[1], days_s);
    sqlite3_bind_int64(statement, 1, hours_s[0]);
    sqlite3_bind_int64(statement, 2, hours_s[1]);
    sqlite3_bind_int64(statement, 3, days_s[0]);
    sqlite3_bind_int64(statement, 4, days_s[1]);
}

/* Raw rows are deleted with age, rollups are not: the newest hour of which rollups count more calls
 * than there are rows is where the rows' tale begins. */
static int look_up_raw(struct db *db, struct plan *plan)
{
    static const char sql[] =
        "SELECT max(r.hour), sum(r.calls - coalesce(u.calls, 0)) FROM"
        " (SELECT hour_unix_s AS hour, sum(calls) AS calls FROM usage_hourly"
        "  WHERE hour_unix_s >= ?1 AND hour_unix_s < ?2 GROUP BY 1) r LEFT JOIN"
        " (SELECT start_time_unix_ns / 3600000000000 * 3600 AS hour, count(*) AS calls FROM usage"
        "  WHERE start_time_unix_ns / 1000000000 >= ?1 AND start_time_unix_ns / 1000000000 < ?2 GROUP BY 1) u"
        " ON u.hour = r.hour WHERE r.calls > coalesce(u.calls, 0)";
    sqlite3_stmt *statement = db_prepare(db, sql);
    int64_t hours_s[2];

    if (statement == NULL)
        return EXIT_PROBLEM;
    hours_of(plan->since_ns, plan->until_ns, hours_s);
    sqlite3_bind_int64(statement, 1, hours_s[0]);
    sqlite3_bind_int64(statement, 2, hours_s[1]);
    int row = db_step(db, statement);
    bool complete = row == 1 && db_is_null(statement, 0);
    if (row == 1 && !complete) {
        plan->raw_since_ns = sqlite3_column_int64(statement, 0) * WHEN_SECOND_NS + WHEN_HOUR_NS;
        plan->missing = sqlite3_column_int64(statement, 1);
    }
    sqlite3_finalize(statement);
    if (row < 0)
        return EXIT_PROBLEM;
    plan->raw_known = true;
    if (complete)
        return db_number(db, "SELECT min(start_time_unix_ns) FROM usage", INT64_MIN, &plan->raw_since_ns);
    return EXIT_SUCCESS;
}

static bool on_hours(const struct request *request)
{
    return when_hour_down(request->since_ns) == request->since_ns &&
           (request->until_ns == INT64_MAX || when_hour_down(request->until_ns) == request->until_ns);
}

static int make_plan(struct db *db, const struct request *request, struct plan *plan)
{
    bool lacking = report_query_lacking(&request->query) != NULL;

    plan->since_ns = request->since_ns;
    plan->until_ns = request->until_ns;
    if (!lacking && on_hours(request))
        return EXIT_SUCCESS;
    if (lacking || !request->hourly) {
        if (look_up_raw(db, plan) != EXIT_SUCCESS)
            return EXIT_PROBLEM;
        plan->raw = lacking || plan->missing == 0;
    }
    if (!plan->raw) {
        plan->moved = true;
        plan->since_ns = when_hour_down(request->since_ns);
        if (request->until_ns != INT64_MAX)
            plan->until_ns = when_hour_up(request->until_ns);
    }
    return EXIT_SUCCESS;
}

/* ---- answering --------------------------------------------------------------------------------- */

static int read_row(struct report_table *report, const struct report_query *query, sqlite3_stmt *statement)
{
    const char *groups[DIMENSIONS_MAX];
    size_t lengths[DIMENSIONS_MAX];
    struct figures figures;
    int column = 0;

    for (size_t i = 0; i < query->by_count; i++, column++)
        groups[i] = db_text(statement, column, &lengths[i]);
    for (size_t i = 0; i < FIGURE_COUNT; i++, column++) {
        figures.known[i] = !db_is_null(statement, column);
        figures.value[i] = db_wide(statement, column);
    }
    if (report_table_add(report, groups, lengths, &figures) != 0)
        return complain("the sums do not fit into 128 bits: ask for a shorter time");
    return EXIT_SUCCESS;
}

static int ask(struct db *db, const struct request *request, const struct plan *plan,
               struct report_table *report)
{
    char *sql = report_query_sql(&request->query, plan->raw);
    sqlite3_stmt *statement = db_prepare(db, sql);
    int status = EXIT_PROBLEM;
    int row;

    free(sql);
    if (statement == NULL)
        return EXIT_PROBLEM;
    bind_bounds(statement, &request->query, plan);
    for (size_t i = 0; i < request->query.where_count; i++)
        sqlite3_bind_text(statement, (int)i + QUERY_VALUE, request->query.where[i].value, -1, SQLITE_STATIC);
    while ((row = db_step(db, statement)) == 1) {
        status = read_row(report, &request->query, statement);
        if (status != EXIT_SUCCESS)
            break;
    }
    if (row == 0)
        status = EXIT_SUCCESS;
    sqlite3_finalize(statement);
    return status;
}

/* Counts of a row stop at INT64_MAX. A sum of days below it has no such row in it; one that is not is asked for by the
 * hour, where less is in a row. */
static bool may_have_stopped(const struct report_table *report)
{
    for (size_t i = 0; i < FIGURE_COUNT; i++)
        if (i != FIGURE_cost_picodollars && i != FIGURE_provider_cost_picodollars &&
            report->total.value[i] >= INT64_MAX)
            return true;
    return false;
}

static int answer(struct db *db, const struct request *request, struct plan *plan,
                  struct report_table *report)
{
    int status = ask(db, request, plan, report);

    if (status != EXIT_SUCCESS || plan->raw || !may_have_stopped(report))
        return status;
    plan->hours_alone = true;
    report_table_end(report);
    report_table_begin(report, &request->query);
    return ask(db, request, plan, report);
}

/* ---- telling ------------------------------------------------------------------------------------ */

#define NOTES_MAX 8

struct notes {
    char *text[NOTES_MAX];
    size_t count;
};

static void note(struct notes *notes, char *text)
{
    notes->text[notes->count++] = text;
}

static void note_source(struct notes *notes, const struct request *request, const struct plan *plan)
{
    const struct dimension *lacking = report_query_lacking(&request->query);
    char when[WHEN_BYTES];

    if (plan->moved && plan->raw_known)
        note(notes, must_print("raw rows reach back to %s only: answered from hourly totals, with the "
                               "bounds moved out to full hours",
                               when_short(plan->raw_since_ns, when)));
    else if (plan->moved)
        note(notes, must_print("from hourly totals, with the bounds moved out to full hours"));
    if (!plan->raw)
        return;
    const char *why = lacking != NULL ? lacking->name : "a bound within an hour";
    if (plan->raw_since_ns == INT64_MIN)
        note(notes, must_print("%s needs raw rows, of which there are none", why));
    else
        note(notes, must_print("%s needs raw rows, which reach back to %s", why,
                               when_short(plan->raw_since_ns, when)));
    if (plan->missing != 0)
        note(notes,
             must_print("%" PRId64 " calls of the time asked for are in hourly totals alone and are not "
                        "all shown here: group by what --by lists first",
                        plan->missing));
}

static void note_unknown(struct notes *notes, const struct figures *total)
{
    char calls[NUMBER_BYTES];
    char input[NUMBER_BYTES];
    char output[NUMBER_BYTES];
    char cost[NUMBER_BYTES];

    number_text(total->value[FIGURE_calls], calls);
    if (total->value[FIGURE_input_tokens_unknown] != 0 || total->value[FIGURE_output_tokens_unknown] != 0)
        note(notes, must_print("of %s calls, %s have unknown input tokens and %s unknown output tokens",
                               calls, number_text(total->value[FIGURE_input_tokens_unknown], input),
                               number_text(total->value[FIGURE_output_tokens_unknown], output)));
    if (total->value[FIGURE_cost_unknown] != 0)
        note(notes, must_print("of %s calls, %s have no known cost: 'tally doctor' names their models", calls,
                               number_text(total->value[FIGURE_cost_unknown], cost)));
    if (total->value[FIGURE_estimated] != 0)
        note(notes, must_print("of %s calls, %s have estimated counts", calls,
                               number_text(total->value[FIGURE_estimated], cost)));
}

static void print_table(const struct plan *plan, struct report_table *report, const struct notes *notes)
{
    char since[WHEN_BYTES];
    char until[WHEN_BYTES];

    if (table_rows(report->table) != 0) {
        report_table_total(report);
        table_print_here(report->table);
    } else {
        puts("No calls.");
    }
    printf("\nCalls started since %s", plan->since_ns == 0 ? "ever" : when_short(plan->since_ns, since));
    if (plan->until_ns != INT64_MAX)
        printf(" and before %s", when_short(plan->until_ns, until));
    puts(" UTC.");
    for (size_t i = 0; i < notes->count; i++)
        printf("Note: %s.\n", notes->text[i]);
}

static void print_json(const struct request *request, const struct plan *plan, struct report_table *report,
                       const struct notes *notes)
{
    cJSON *document = document_new("report", 1);
    cJSON *by = document_array();
    cJSON *list = document_array();

    document_time(document, "since", plan->since_ns);
    if (plan->until_ns == INT64_MAX)
        document_text(document, "until", NULL);
    else
        document_time(document, "until", plan->until_ns);
    for (size_t i = 0; i < request->query.by_count; i++)
        document_append(by, document_string(request->query.by[i]->name));
    document_item(document, "by", by);
    document_text(document, "source", plan->raw ? "usage" : "usage_hourly");
    if (plan->raw && plan->raw_since_ns != INT64_MIN)
        document_time(document, "raw_since", plan->raw_since_ns);
    else
        document_text(document, "raw_since", NULL);
    document_integer(document, "calls_without_raw_rows", plan->raw ? plan->missing : 0);
    document_item(document, "rows", table_json(report->table));
    document_item(document, "total", report_table_total_json(report));
    for (size_t i = 0; i < notes->count; i++)
        document_append(list, document_string(notes->text[i]));
    document_item(document, "notes", list);
    document_print(document);
}

static void print_answer(const struct request *request, const struct plan *plan, struct report_table *report)
{
    struct notes notes = {0};

    note_source(&notes, request, plan);
    note_unknown(&notes, &report->total);
    if (request->common.format == FORMAT_JSON) {
        print_json(request, plan, report, &notes);
    } else if (request->common.format == FORMAT_CSV) {
        table_csv_heading(report->table, stdout);
        table_csv(report->table, stdout, isatty(STDOUT_FILENO));
        for (size_t i = 0; i < notes.count; i++)
            remark("%s", notes.text[i]);
    } else {
        print_table(plan, report, &notes);
    }
    for (size_t i = 0; i < notes.count; i++)
        free(notes.text[i]);
}

int report_command(int argc, char **argv)
{
    struct request request = {0};
    struct plan plan = {0};
    struct report_table report;
    struct db db;

    int status = parse(argc, argv, &request);
    if (status != EXIT_SUCCESS)
        return status < 0 ? EXIT_SUCCESS : status;
    if (db_open(&db, request.common.state_directory) != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    report_table_begin(&report, &request.query);
    /* One transaction: the plan and the answer see the same rows. */
    status = db_execute(&db, "BEGIN");
    if (status == EXIT_SUCCESS)
        status = make_plan(&db, &request, &plan);
    if (status == EXIT_SUCCESS)
        status = answer(&db, &request, &plan, &report);
    if (status == EXIT_SUCCESS)
        print_answer(&request, &plan, &report);
    report_table_end(&report);
    db_close(&db);
    return status;
}
