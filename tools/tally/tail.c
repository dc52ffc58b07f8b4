/* tail.c: calls as they are committed.
 *
 * Following sleeps until somebody writes the database's log (inotify); a bound on the sleep covers file
 * systems that tell nobody. A reader that goes away ends it at once, not with the next
 * call. SIGINT and SIGPIPE keep their default actions: nothing here needs cleaning up.
 */
#include "document.h"
#include "output.h"
#include "when.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define LINES_DEFAULT 10
#define LINES_MAX     1000000
#define SLEEP_MS      2000
#define BATCH_ROWS    500 /* printed at a time when many come at once */

static const char help[] =
    "Usage: tally tail [-f] [-n COUNT] [--format table|json|csv] [--state-dir DIR]\n"
    "\n"
    "The newest calls, in the order in which they were committed.\n"
    "\n"
    "  -f, --follow       go on with those to come, until interrupted\n"
    "  -n, --lines COUNT  so many of the newest (default 10)\n"
    "  --format FORMAT    table (default), json (one object a line) or csv; --json is\n"
    "                     --format json\n"
    "  --state-dir DIR    where usage.db is\n";

enum column {
    COLUMN_ID,
    COLUMN_TIME,
    COLUMN_STARTED,
    COLUMN_SERVICE,
    COLUMN_HOST,
    COLUMN_PID,
    COLUMN_PROVIDER,
    COLUMN_OPERATION,
    COLUMN_MODEL,
    COLUMN_RESPONSE_MODEL,
    COLUMN_RESPONSE_ID,
    COLUMN_TIER,
    COLUMN_SERVER,
    COLUMN_STATUS,
    COLUMN_HTTP_STATUS,
    COLUMN_ERROR_TYPE,
    COLUMN_USER,
    COLUMN_TEAM,
    COLUMN_PROJECT,
    COLUMN_SESSION,
    COLUMN_KEY,
    COLUMN_TRACE,
    COLUMN_SPAN,
    COLUMN_TAGS,
    COLUMN_INPUT,
    COLUMN_OUTPUT,
    COLUMN_CACHE_READ,
    COLUMN_CACHE_WRITE_5M,
    COLUMN_CACHE_WRITE_1H,
    COLUMN_REASONING,
    COLUMN_INPUT_AUDIO,
    COLUMN_OUTPUT_AUDIO,
    COLUMN_INPUT_IMAGE,
    COLUMN_OUTPUT_IMAGE,
    COLUMN_DURATION,
    COLUMN_FIRST_TOKEN,
    COLUMN_STATED,
    COLUMN_COST,
    COLUMN_BASIS,
    COLUMN_LIST_COST,
    COLUMN_PRICES,
    COLUMN_FLAGS,
    COLUMN_TRUNCATED,
    COLUMN_COUNT
};

/* clang-format off */
static const struct table_column columns[COLUMN_COUNT] = {
    [COLUMN_ID]             = {"id", "", TABLE_DATA, 0},
    [COLUMN_TIME]           = {"time", "TIME", 0, 0},
    [COLUMN_STARTED]        = {"start_time", "", TABLE_DATA, 0},
    [COLUMN_SERVICE]        = {"service", "SERVICE", TABLE_SHRINK, 4},
    [COLUMN_HOST]           = {"host", "", TABLE_DATA, 0},
    [COLUMN_PID]            = {"pid", "PID", TABLE_RIGHT, 5},
    [COLUMN_PROVIDER]       = {"provider", "PROVIDER", TABLE_SHRINK, 0},
    [COLUMN_OPERATION]      = {"operation", "", TABLE_DATA, 0},
    [COLUMN_MODEL]          = {"request_model", "MODEL", TABLE_SHRINK, 0},
    [COLUMN_RESPONSE_MODEL] = {"response_model", "", TABLE_DATA, 0},
    [COLUMN_RESPONSE_ID]    = {"response_id", "", TABLE_DATA, 0},
    [COLUMN_TIER]           = {"service_tier", "", TABLE_DATA, 0},
    [COLUMN_SERVER]         = {"server_address", "", TABLE_DATA, 0},
    [COLUMN_STATUS]         = {"status", "STATUS", 0, 0},
    [COLUMN_HTTP_STATUS]    = {"http_status", "", TABLE_DATA, 0},
    [COLUMN_ERROR_TYPE]     = {"error_type", "", TABLE_DATA, 0},
    [COLUMN_USER]           = {"user", "USER", TABLE_SHRINK, 7},
    [COLUMN_TEAM]           = {"team", "TEAM", TABLE_SHRINK, 6},
    [COLUMN_PROJECT]        = {"project", "", TABLE_DATA, 0},
    [COLUMN_SESSION]        = {"session", "", TABLE_DATA, 0},
    [COLUMN_KEY]            = {"key_fingerprint", "", TABLE_DATA, 0},
    [COLUMN_TRACE]          = {"trace_id", "", TABLE_DATA, 0},
    [COLUMN_SPAN]           = {"span_id", "", TABLE_DATA, 0},
    [COLUMN_TAGS]           = {"tags", "", TABLE_DATA, 0},
    [COLUMN_INPUT]          = {"input_tokens", "INPUT", TABLE_RIGHT, 0},
    [COLUMN_OUTPUT]         = {"output_tokens", "OUTPUT", TABLE_RIGHT, 0},
    [COLUMN_CACHE_READ]     = {"cache_read_tokens", "", TABLE_DATA, 0},
    [COLUMN_CACHE_WRITE_5M] = {"cache_write_5m_tokens", "", TABLE_DATA, 0},
    [COLUMN_CACHE_WRITE_1H] = {"cache_write_1h_tokens", "", TABLE_DATA, 0},
    [COLUMN_REASONING]      = {"reasoning_tokens", "", TABLE_DATA, 0},
    [COLUMN_INPUT_AUDIO]    = {"input_audio_tokens", "", TABLE_DATA, 0},
    [COLUMN_OUTPUT_AUDIO]   = {"output_audio_tokens", "", TABLE_DATA, 0},
    [COLUMN_INPUT_IMAGE]    = {"input_image_tokens", "", TABLE_DATA, 0},
    [COLUMN_OUTPUT_IMAGE]   = {"output_image_tokens", "", TABLE_DATA, 0},
    [COLUMN_DURATION]       = {"duration_ns", "DURATION", TABLE_RIGHT, 3},
    [COLUMN_FIRST_TOKEN]    = {"time_to_first_token_ns", "", TABLE_DATA, 0},
    [COLUMN_STATED]         = {"provider_cost_picodollars", "", TABLE_DATA, 0},
    [COLUMN_COST]           = {"cost_picodollars", "COST", TABLE_RIGHT, 2},
    [COLUMN_BASIS]          = {"cost_basis", "", TABLE_DATA, 0},
    [COLUMN_LIST_COST]      = {"list_cost_picodollars", "", TABLE_DATA, 0},
    [COLUMN_PRICES]         = {"price_table_sha256", "", TABLE_DATA, 0},
    [COLUMN_FLAGS]          = {"flags", "", TABLE_DATA, 0},
    [COLUMN_TRUNCATED]      = {"truncated", "", TABLE_DATA, 0},
};
/* clang-format on */

static const char sql[] =
    "SELECT u.id, u.time_unix_ns, u.start_time_unix_ns, c.service, c.host, c.pid, u.provider, u.operation,"
    " u.request_model, u.response_model, u.response_id, u.service_tier, u.server_address, u.status,"
    " u.http_status, u.error_type, u.user, u.team, u.project, u.session, u.key_fingerprint, u.trace_id,"
    " u.span_id, u.tags, u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_5m_tokens,"
    " u.cache_write_1h_tokens, u.reasoning_tokens, u.input_audio_tokens, u.output_audio_tokens,"
    " u.input_image_tokens, u.output_image_tokens, u.duration_ns, u.time_to_first_token_ns,"
    " u.provider_cost_picodollars, u.cost_picodollars, u.cost_basis, u.list_cost_picodollars, p.sha256,"
    " u.flags, u.truncated FROM usage u LEFT JOIN clients c ON c.id = u.client_id"
    " LEFT JOIN price_tables p ON p.id = u.price_table_id WHERE u.id > ?1 ORDER BY u.id LIMIT ?2";

struct tail {
    struct common common;
    struct db db;
    sqlite3_stmt *statement;
    struct table *table;
    int64_t lines;
    int64_t last_id;
    bool follow;
    bool headed;
    int inotify;
};

/* ---- printing ------------------------------------------------------------------------------------- */

static void fill(struct table *table, sqlite3_stmt *row)
{
    char text[NUMBER_BYTES];

    output_row(table, row, COLUMN_COUNT);
    output_time(table, COLUMN_TIME, sqlite3_column_int64(row, COLUMN_TIME));
    output_time(table, COLUMN_STARTED, sqlite3_column_int64(row, COLUMN_STARTED));
    if (db_is_null(row, COLUMN_INPUT))
        table_show(table, COLUMN_INPUT, "unknown");
    if (db_is_null(row, COLUMN_OUTPUT))
        table_show(table, COLUMN_OUTPUT, "unknown");
    if (db_is_null(row, COLUMN_DURATION))
        table_show(table, COLUMN_DURATION, "unknown");
    else
        table_show(table, COLUMN_DURATION, "%s",
                   duration_text(sqlite3_column_int64(row, COLUMN_DURATION), text));
    if (db_is_null(row, COLUMN_COST))
        table_show(table, COLUMN_COST, "unknown");
    else
        table_show(table, COLUMN_COST, "%s", money_text(sqlite3_column_int64(row, COLUMN_COST), text));
}

static void print(struct tail *tail)
{
    struct table *table = tail->table;

    if (tail->common.format == FORMAT_JSON) {
        for (size_t i = 0; i < table_rows(table); i++) {
            cJSON *line = document_new("tail", 1);
            document_item(line, "usage", table_json_row(table, i));
            document_print_line(line);
        }
    } else if (tail->common.format == FORMAT_CSV) {
        if (!tail->headed)
            table_csv_heading(table, stdout);
        table_csv(table, stdout, isatty(STDOUT_FILENO));
    } else if (table_rows(table) != 0) {
        table_print_here(table);
    } else if (!tail->follow) {
        puts("No calls.");
    }
    if (table_rows(table) != 0 || tail->common.format == FORMAT_CSV)
        tail->headed = true;
}

/* Those after last_id, `most` at a time. Returns how many, or -1. */
static int batch(struct tail *tail, int64_t most)
{
    int row;

    sqlite3_bind_int64(tail->statement, 1, tail->last_id);
    sqlite3_bind_int64(tail->statement, 2, most);
    while ((row = db_step(&tail->db, tail->statement)) == 1) {
        fill(tail->table, tail->statement);
        tail->last_id = sqlite3_column_int64(tail->statement, COLUMN_ID);
    }
    sqlite3_reset(tail->statement);
    int count = (int)table_rows(tail->table);
    if (row == 0 && (count != 0 || !tail->headed))
        print(tail);
    if (row == 0 && fflush(stdout) != 0)
        row = -1; /* main() says why */
    if (count != 0)
        table_continue(tail->table);
    return row < 0 ? -1 : count;
}

/* ---- following -------------------------------------------------------------------------------------- */

static int watch(struct tail *tail)
{
    tail->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (tail->inotify < 0)
        return complain("files cannot be watched (%s): raise fs.inotify.max_user_instances", strerror(errno));
    /* The folder, because the log comes and goes with the agent. */
    if (inotify_add_watch(tail->inotify, tail->db.directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
        return complain("%s cannot be watched (%s): raise fs.inotify.max_user_watches", tail->db.directory,
                        strerror(errno));
    return EXIT_SUCCESS;
}

/* Until something was written, or the bound has passed. False: nobody reads the output any more. */
static bool wait_for_more(struct tail *tail)
{
    struct pollfd waits[] = {
        {.fd = tail->inotify, .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0},
    };
    char events[4096];

    if (poll(waits, 2, SLEEP_MS) < 0 && errno != EINTR)
        return false;
    while (read(tail->inotify, events, sizeof(events)) > 0)
        continue;
    return (waits[1].revents & (POLLERR | POLLNVAL)) == 0;
}

static int follow(struct tail *tail)
{
    if (tail->last_id == 0 && tail->common.format == FORMAT_TABLE)
        remark("waiting for the first call");
    for (;;) {
        int count = batch(tail, BATCH_ROWS);
        if (count < 0)
            return EXIT_PROBLEM;
        if (count == BATCH_ROWS)
            continue;
        if (!wait_for_more(tail)) {
            /* As a write would end it; where SIGPIPE is ignored, with a status. */
            raise(SIGPIPE);
            return EXIT_PROBLEM;
        }
    }
}

/* The id before the first of the newest `lines`. */
static int start(struct tail *tail)
{
    char query[160];

    snprintf(query, sizeof(query),
             "SELECT max(coalesce((SELECT id FROM usage ORDER BY id DESC LIMIT 1 OFFSET %lld), 0))",
             (long long)tail->lines);
    int status = db_number(&tail->db, query, 0, &tail->last_id);
    if (status != EXIT_SUCCESS)
        return status;
    tail->statement = db_prepare(&tail->db, sql);
    return tail->statement != NULL ? EXIT_SUCCESS : EXIT_PROBLEM;
}

static int run(struct tail *tail)
{
    /* Watch first: what is committed after the first look is seen. */
    int status = tail->follow ? watch(tail) : EXIT_SUCCESS;

    if (tail->follow && tail->db.unchanging)
        return complain("%s may not be written by you and no agent runs: start it before following",
                        tail->db.directory);
    if (status == EXIT_SUCCESS)
        status = start(tail);
    if (status == EXIT_SUCCESS && batch(tail, tail->lines) < 0)
        status = EXIT_PROBLEM;
    if (status == EXIT_SUCCESS && tail->follow)
        status = follow(tail);
    return status;
}

int tail_command(int argc, char **argv)
{
    static const struct option longs[] = {
        {"follow", no_argument, NULL, 'f'},
        {"lines", required_argument, NULL, 'n'},
        COMMON_FORMAT,
        COMMON_STATE,
        COMMON_HELP,
        COMMON_END,
    };
    struct tail tail = {.lines = LINES_DEFAULT, .inotify = -1};
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "fn:", longs, help, &tail.common, &status)) >= 0) {
        if (code == 'f')
            tail.follow = true;
        else if (number_parse(optarg, 0, LINES_MAX, &tail.lines) != 0)
            return misuse("--lines wants a number from 0 to %d, not '%s'", LINES_MAX, optarg);
    }
    if (code == OPTIONS_EXIT || (status = no_more_arguments(argc, argv)) != EXIT_SUCCESS)
        return status;
    if (db_open(&tail.db, tail.common.state_directory) != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    tail.table = table_new(columns, COLUMN_COUNT);
    status = run(&tail);
    table_free(tail.table);
    sqlite3_finalize(tail.statement);
    db_close(&tail.db);
    if (tail.inotify >= 0)
        close(tail.inotify);
    return status;
}
