/* clients.c: sessions: who recorded, how much, and how they ended. */
#include "command.h"
#include "db.h"
#include "identity.h"
#include "output.h"
#include "when.h"

#include <string.h>
#include <unistd.h>

static const char help[] = "Usage: tally clients [--all] [--since TIME] [--format table|json|csv]\n"
                           "                     [--state-dir DIR]\n"
                           "\n"
                           "Processes (and client objects within them) that record, newest first.\n"
                           "\n"
                           "  --running        only those that have not ended\n"
                           "  --since TIME     those whose newest record is not older: 30m, 24h, 7d,\n"
                           "                   2026-11-22, a date and time, or all; default 24h; those that\n"
                           "                   run are always shown\n"
                           "  --all            the same as --since all\n"
                           "  --format FORMAT  table (default), json or csv; --json is --format json\n"
                           "  --state-dir DIR  where usage.db is\n"
                           "\n"
                           "STATE is running, clean, died or exec (became another program); gone: its\n"
                           "process has ended, and the agent has not seen it yet. COMPLETE says that its\n"
                           "last record is in the database.\n";

enum { OPTION_ALL = OPTION_OWN, OPTION_RUNNING, OPTION_SINCE };

enum column {
    COLUMN_ID,
    COLUMN_SESSION,
    COLUMN_PARENT,
    COLUMN_SERVICE,
    COLUMN_HOST,
    COLUMN_PID,
    COLUMN_UID,
    COLUMN_EXECUTABLE,
    COLUMN_TAGS,
    COLUMN_ATTRIBUTES,
    COLUMN_LIBRARY,
    COLUMN_STATE,
    COLUMN_COMPLETE,
    COLUMN_STARTED,
    COLUMN_LAST,
    COLUMN_ENDED,
    COLUMN_RECORDS,
    COLUMN_PERSISTED,
    COLUMN_LOST,
    COLUMN_REFUSED,
    COLUMN_CALLS,
    COLUMN_THREADS
};

/* clang-format off */
static const struct table_column columns[] = {
    [COLUMN_ID]         = {"id", "ID", TABLE_RIGHT, 0},
    [COLUMN_SESSION]    = {"session_id", "", TABLE_DATA, 0},
    [COLUMN_PARENT]     = {"parent_id", "", TABLE_DATA, 0},
    [COLUMN_SERVICE]    = {"service", "SERVICE", TABLE_SHRINK, 0},
    [COLUMN_HOST]       = {"host", "HOST", TABLE_SHRINK, 9},
    [COLUMN_PID]        = {"pid", "PID", TABLE_RIGHT, 0},
    [COLUMN_UID]        = {"uid", "", TABLE_DATA, 0},
    [COLUMN_EXECUTABLE] = {"executable", "EXECUTABLE", TABLE_SHRINK, 4},
    [COLUMN_TAGS]       = {"tags", "TAGS", TABLE_SHRINK, 10},
    [COLUMN_ATTRIBUTES] = {"resource_attributes", "", TABLE_DATA, 0},
    [COLUMN_LIBRARY]    = {"library_version", "", TABLE_DATA, 0},
    [COLUMN_STATE]      = {"state", "STATE", 0, 0},
    [COLUMN_COMPLETE]   = {"complete", "COMPLETE", 0, 5},
    [COLUMN_STARTED]    = {"started", "STARTED", 0, 6},
    [COLUMN_LAST]       = {"last", "NEWEST", 0, 3},
    [COLUMN_ENDED]      = {"ended_at", "", TABLE_DATA, 0},
    [COLUMN_RECORDS]    = {"written", "WRITTEN", TABLE_RIGHT, 0},
    [COLUMN_PERSISTED]  = {"persisted", "PERSISTED", TABLE_RIGHT, 0},
    [COLUMN_LOST]       = {"lost", "LOST", TABLE_RIGHT, 0},
    [COLUMN_REFUSED]    = {"refused", "REFUSED", TABLE_RIGHT, 2},
    [COLUMN_CALLS]      = {"open_calls", "CALLS", TABLE_RIGHT, 1},
    [COLUMN_THREADS]    = {"tenures_open", "", TABLE_DATA, 0},
};
/* clang-format on */

static const char sql[] =
    "SELECT c.id, lower(hex(c.session_id)), c.parent_id, c.service, c.host, c.pid, c.uid, c.executable, "
    "c.tags,"
    " c.resource_attributes, c.library_version, coalesce(c.ended, 'running'), c.complete, c.started_unix_ns,"
    " c.last_unix_ns, c.ended_unix_ns, c.written, c.persisted, c.lost, c.refused,"
    " (SELECT count(*) FROM open_calls o WHERE o.client_id = c.id), c.tenures_open,"
    " c.process_start_time, c.pid_namespace"
    " FROM clients c WHERE c.ended IS NULL OR (?1 = 0 AND c.last_unix_ns >= ?2) ORDER BY c.id DESC";
enum { FIELD_START_TIME = COLUMN_THREADS + 1, FIELD_NAMESPACE };

static void fill_time(struct table *table, enum column column, sqlite3_stmt *row)
{
    if (!db_is_null(row, column))
        output_time(table, column, sqlite3_column_int64(row, column));
}

/* The agent says when a client has ended; where no agent runs, or it has not looked yet, its word is old. */
static bool gone(sqlite3_stmt *row, uint64_t own_namespace)
{
    struct tally_identity identity = {
        .pid = (uint32_t)sqlite3_column_int64(row, COLUMN_PID),
        .tid = (uint32_t)sqlite3_column_int64(row, COLUMN_PID),
        .start_time = (uint64_t)sqlite3_column_int64(row, FIELD_START_TIME),
        .pid_namespace = (uint64_t)sqlite3_column_int64(row, FIELD_NAMESPACE),
    };

    char host[256] = "";
    const char *its_host = db_text(row, COLUMN_HOST, NULL);

    /* The first pid namespace has the same number on every machine. */
    if (gethostname(host, sizeof(host) - 1) != 0 || its_host == NULL || strcmp(host, its_host) != 0)
        return false;
    return db_is_null(row, COLUMN_ENDED) && identity.pid != 0 && identity_gone(&identity, own_namespace);
}

static void fill(struct table *table, sqlite3_stmt *row, uint64_t own_namespace)
{
    output_row(table, row, COLUMN_THREADS + 1);
    table_bool(table, COLUMN_COMPLETE, sqlite3_column_int(row, COLUMN_COMPLETE) != 0);
    fill_time(table, COLUMN_STARTED, row);
    fill_time(table, COLUMN_LAST, row);
    fill_time(table, COLUMN_ENDED, row);
    if (gone(row, own_namespace))
        table_text(table, COLUMN_STATE, "gone");
}

static int list(struct db *db, struct table *table, bool running, int64_t since_ns)
{
    sqlite3_stmt *statement = db_prepare(db, sql);
    uint64_t own_namespace = identity_pid_namespace();
    int row;

    if (statement == NULL)
        return EXIT_PROBLEM;
    sqlite3_bind_int(statement, 1, running);
    sqlite3_bind_int64(statement, 2, since_ns);
    while ((row = db_step(db, statement)) == 1)
        fill(table, statement, own_namespace);
    sqlite3_finalize(statement);
    return row < 0 ? EXIT_PROBLEM : EXIT_SUCCESS;
}

static int since_option(int64_t *since_ns)
{
    int64_t now_ns = when_now();

    if (strcmp(optarg, "all") == 0) {
        *since_ns = INT64_MIN;
        return EXIT_SUCCESS;
    }
    if (when_parse(optarg, now_ns, since_ns) == 0)
        return EXIT_SUCCESS;
    return misuse("--since wants a time such as %s, not '%s'", WHEN_FORMS, optarg);
}

int clients_command(int argc, char **argv)
{
    static const struct option longs[] = {
        {"all", no_argument, NULL, OPTION_ALL},
        {"running", no_argument, NULL, OPTION_RUNNING},
        {"since", required_argument, NULL, OPTION_SINCE},
        COMMON_FORMAT,
        COMMON_STATE,
        COMMON_HELP,
        COMMON_END,
    };
    struct common common = {0};
    struct db db;
    bool running = false;
    int64_t since_ns = when_now() - 24 * WHEN_HOUR_NS;
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "a", longs, help, &common, &status)) >= 0) {
        if (code == OPTION_ALL || code == 'a')
            since_ns = INT64_MIN;
        else if (code == OPTION_RUNNING)
            running = true;
        else if ((status = since_option(&since_ns)) != EXIT_SUCCESS)
            return status;
    }
    if (code == OPTIONS_EXIT || (status = no_more_arguments(argc, argv)) != EXIT_SUCCESS)
        return status;
    if (db_open(&db, common.state_directory) != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    status = list(&db, table, running, since_ns);
    if (status == EXIT_SUCCESS)
        output_table(&common, table, "clients", "No clients in this time; --all shows all.");
    table_free(table);
    db_close(&db);
    return status;
}
