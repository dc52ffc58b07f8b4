/* calls.c: calls in flight, oldest first. */
#include "command.h"
#include "db.h"
#include "ledger/cost.h"
#include "output.h"
#include "prices.h"
#include "understand/provider.h"
#include "when.h"

static const char help[] =
    "Usage: tally calls [--format table|json|csv] [--state-dir DIR]\n"
    "\n"
    "Calls that have begun and not ended, oldest first, with the tokens known so far,\n"
    "and what these cost.\n"
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
    COLUMN_NEWEST,
    COLUMN_COST, /* worked out here, from what follows */
    COLUMN_COUNT
};
enum { OWN_JSON = COLUMN_COST, OWN_TEXTS };

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
    [COLUMN_COST]      = {"cost_so_far_picodollars", "SO FAR", TABLE_RIGHT, 1},
};
/* clang-format on */

#define TEXT_COLUMN(id, name, bytes_max) ", o." #name
#define NUMBER_COLUMN(id, name)          ", o." #name
static const char sql[] =
    "SELECT lower(hex(o.call_id)), c.service, c.pid, c.host, o.provider, o.operation, o.request_model, "
    "o.user,"
    " o.team, o.project, coalesce(o.start_time_unix_ns, o.time_unix_ns), NULL, o.input_tokens,"
    " o.output_tokens, o.time_unix_ns, o.usage_json" TALLY_USAGE_TEXTS(TEXT_COLUMN)
        TALLY_USAGE_NUMBERS(NUMBER_COLUMN) " FROM open_calls o LEFT JOIN clients c ON c.id = o.client_id"
                                           " ORDER BY coalesce(o.start_time_unix_ns, o.time_unix_ns)";

static struct text text_at(sqlite3_stmt *row, int column)
{
    struct text text = {NULL, 0};
    size_t length;

    text.data = db_text(row, column, &length);
    text.length = (uint32_t)length;
    return text;
}

/* What the list makes of the tokens so far; of output that nobody has counted yet there is none so far. */
static bool cost_so_far(struct costing *costing, sqlite3_stmt *statement, int64_t *picodollars)
{
    struct usage_values values = {.usage_json = text_at(statement, OWN_JSON)};
    struct usage_row row = {.values = &values};
    enum understood_kind kind;

    for (int i = 0; i < USAGE_TEXTS; i++)
        values.texts[i] = text_at(statement, OWN_TEXTS + i);
    for (int i = 0; i < USAGE_NUMBERS; i++)
        if (!db_is_null(statement, OWN_TEXTS + USAGE_TEXTS + i))
            usage_number_set(&values, (enum usage_number)i,
                             sqlite3_column_int64(statement, OWN_TEXTS + USAGE_TEXTS + i));
    if (usage_number_known(&values, USAGE_NUMBER_input_tokens) &&
        !usage_number_known(&values, USAGE_NUMBER_output_tokens))
        usage_number_set(&values, USAGE_NUMBER_output_tokens, 0);
    cost_row(costing, NULL, NULL, &row, &kind);
    *picodollars = row.cost_picodollars;
    return row.cost_known;
}

/* Of a begun call often no more than the server's name is known yet. */
static void fill_provider(struct table *table, sqlite3_stmt *row)
{
    if (db_is_null(row, COLUMN_PROVIDER))
        table_text(table, COLUMN_PROVIDER,
                   provider_of_host(text_at(row, OWN_TEXTS + USAGE_TEXT_server_address)));
}

static void fill(struct table *table, sqlite3_stmt *row, int64_t now_ns, struct costing *costing)
{
    char text[NUMBER_BYTES];
    int64_t cost;

    output_row(table, row, COLUMN_NEWEST + 1);
    fill_provider(table, row);
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
    if (!cost_so_far(costing, row, &cost)) {
        table_show(table, COLUMN_COST, "unknown");
        return;
    }
    table_integer(table, COLUMN_COST, cost);
    table_show(table, COLUMN_COST, "%s", money_text(cost, text));
}

/* By the list that the agent has used last; without it costs are unknown, and the rest is shown. */
static int begin_costing(struct db *db, struct costing *costing, struct price_table **prices)
{
    char *path = NULL;
    int status = prices_newest(db, &path);

    *prices = status == EXIT_SUCCESS ? prices_load(path) : NULL;
    free(path);
    cost_use(costing, *prices);
    costing->table_id = 1; /* any: nothing is written */
    return status;
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
    struct costing *costing = must_allocate(sizeof(*costing));
    struct price_table *prices;
    status = begin_costing(&db, costing, &prices);
    struct table *table = table_new(columns, COLUMN_COUNT);
    sqlite3_stmt *statement = status == EXIT_SUCCESS ? db_prepare(&db, sql) : NULL;
    while (statement != NULL && (row = db_step(&db, statement)) == 1)
        fill(table, statement, when_now(), costing);
    sqlite3_finalize(statement);
    if (row == 0)
        output_table(&common, table, "calls", "No calls in flight.");
    table_free(table);
    price_table_free(prices);
    free(costing);
    db_close(&db);
    return row == 0 ? EXIT_SUCCESS : EXIT_PROBLEM;
}
