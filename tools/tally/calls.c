/* calls.c: calls in flight, oldest first. */
#include "command.h"
#include "db.h"
#include "output.h"
#include "when.h"

static const char help[] =
    "Usage: tally calls [--format table|json|csv] [--state-dir DIR]\n"
    "\n"
    "Calls that have begun and not ended, oldest first, with the tokens known so far.\n"
    "\n"
    "  --format FORMAT  table (default), json or csv; --json is --format json\n"
    "  --state-dir DIR  where usage.db is\n";

enum column {
    COLUMN_CALL,
    COLUMN_SERVICE,
    COLUMN_PID,
    COLUMN_HOST,
    COLUMN_PROVIDER,
    COLUMN_OPERATION,
    COLUMN_MODEL,
    COLUMN_USER,
    COLUMN_TEAM,
    COLUMN_PROJECT,
    COLUMN_BEGAN,
    COLUMN_AGE,
    COLUMN_INPUT,
    COLUMN_OUTPUT,
    COLUMN_NEWEST
};

/* clang-format off */
static const struct table_column columns[] = {
    [COLUMN_CALL]      = {"call_id", "", TABLE_DATA, 0},
    [COLUMN_SERVICE]   = {"service", "SERVICE", TABLE_SHRINK, 2},
    [COLUMN_PID]       = {"pid", "PID", TABLE_RIGHT, 0},
    [COLUMN_HOST]      = {"host", "", TABLE_DATA, 0},
    [COLUMN_PROVIDER]  = {"provider", "PROVIDER", TABLE_SHRINK, 0},
    [COLUMN_OPERATION] = {"operation", "OPERATION", TABLE_SHRINK, 5},
    [COLUMN_MODEL]     = {"request_model", "MODEL", TABLE_SHRINK, 0},
    [COLUMN_USER]      = {"user", "USER", TABLE_SHRINK, 6},
    [COLUMN_TEAM]      = {"team", "TEAM", TABLE_SHRINK, 7},
    [COLUMN_PROJECT]   = {"project", "PROJECT", TABLE_SHRINK, 8},
    [COLUMN_BEGAN]     = {"start_time", "BEGAN", 0, 3},
    [COLUMN_AGE]       = {"age_ns", "AGE", TABLE_RIGHT, 0},
    [COLUMN_INPUT]     = {"input_tokens", "INPUT", TABLE_RIGHT, 0},
    [COLUMN_OUTPUT]    = {"output_tokens", "OUTPUT", TABLE_RIGHT, 0},
    [COLUMN_NEWEST]    = {"newest_record", "NEWEST", 0, 4},
};
/* clang-format on */

static const char sql[] = "SELECT lower(hex(o.call_id)), c.service, c.pid, c.host, o.provider, o.operation, "
                          "o.request_model, o.user,"
                          " o.team, o.project, coalesce(o.start_time_unix_ns, o.time_unix_ns), NULL, "
                          "o.input_tokens, o.output_tokens,"
                          " o.time_unix_ns FROM open_calls o LEFT JOIN clients c ON c.id = o.client_id"
                          " ORDER BY coalesce(o.start_time_unix_ns, o.time_unix_ns)";

static void fill(struct table *table, sqlite3_stmt *row, int64_t now_ns)
{
    char text[NUMBER_BYTES];

    output_row(table, row, COLUMN_NEWEST + 1);
    int64_t began_ns = sqlite3_column_int64(row, COLUMN_BEGAN);
    int64_t age_ns = now_ns - began_ns;
    output_time(table, COLUMN_BEGAN, began_ns);
    output_time(table, COLUMN_NEWEST, sqlite3_column_int64(row, COLUMN_NEWEST));
    table_integer(table, COLUMN_AGE, age_ns);
    table_show(table, COLUMN_AGE, "%s", duration_text(age_ns, text));
    if (db_is_null(row, COLUMN_INPUT))
        table_show(table, COLUMN_INPUT, "unknown");
    if (db_is_null(row, COLUMN_OUTPUT))
        table_show(table, COLUMN_OUTPUT, "unknown");
}

int calls_command(int argc, char **argv)
{
    static const struct option longs[] = {COMMON_FORMAT, COMMON_STATE, COMMON_HELP, COMMON_END};
    struct common common = {0};
    struct db db;
    int status = EXIT_SUCCESS;
    int row = -1;

    if (option_next(argc, argv, "", longs, help, &common, &status) == OPTIONS_EXIT)
        return status;
    if ((status = no_more_arguments(argc, argv)) != EXIT_SUCCESS)
        return status;
    if (db_open(&db, common.state_directory) != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    sqlite3_stmt *statement = db_prepare(&db, sql);
    while (statement != NULL && (row = db_step(&db, statement)) == 1)
        fill(table, statement, when_now());
    sqlite3_finalize(statement);
    if (row == 0)
        output_table(&common, table, "calls", "No calls in flight.");
    table_free(table);
    db_close(&db);
    return row == 0 ? EXIT_SUCCESS : EXIT_PROBLEM;
}
