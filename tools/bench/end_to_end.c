/* end_to_end.c: records a second made durable by the agent, beside bare SQLite inserting the
 * same rows: the same table with the same columns, as many rows a transaction, the same settings. What the rows have in
 * common stands in another table, in one row, and these calls have no texts of their own: the peer need not write either. */
#include "agent.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tally/abi.h>
#include <unistd.h>

#define ROWS        80000
#define COLUMNS_MAX 128

struct column {
    int type; /* SQLITE_INTEGER, SQLITE_TEXT, else NULL: a finished call's row has no other */
    int bytes;
    int64_t number;
    char *text;
};

struct bare {
    sqlite3 *database;
    sqlite3_stmt *insert;
    struct column column[COLUMNS_MAX]; /* of a row that the agent wrote */
    int columns;
    int sequence_column; /* counts up, so that rows are not all one */
    int time_column;
};

static void sql(sqlite3 *database, const char *statement)
{
    char *error = NULL;

    if (sqlite3_exec(database, statement, NULL, NULL, &error) != SQLITE_OK)
        give_up("SQLite: %s", error);
}

static sqlite3_stmt *prepare(sqlite3 *database, const char *statement)
{
    sqlite3_stmt *prepared;

    if (sqlite3_prepare_v2(database, statement, -1, &prepared, NULL) != SQLITE_OK)
        give_up("SQLite: %s", sqlite3_errmsg(database));
    return prepared;
}

/* ---- through the agent --------------------------------------------------------------------- */

static void produce(int rows)
{
    struct tally_usage usage = workload_usage();

    for (int i = 0; i < rows; i++) {
        usage.input_tokens = i;
        int result = tally_record(&usage);
        if (result != 0)
            give_up("tally_record: %s", strerror(-result));
    }
    if (tally_shutdown(60000) != TALLY_DURABLE)
        give_up("the agent did not make the records durable within 60 s");
    exit(0);
}

/* Seconds from the first record to the last one's being durable. */
static double run_agent(int writers)
{
    int64_t start = now_ns();
    int status;

    for (int i = 0; i < writers; i++) {
        pid_t pid = fork();

        if (pid < 0)
            give_up("fork: %s", strerror(errno));
        if (pid == 0)
            produce(ROWS / writers);
    }
    for (int i = 0; i < writers; i++)
        if (wait(&status) < 0 || status != 0)
            give_up("a producer failed");
    return (double)(now_ns() - start) / 1e9;
}

/* The agent's transactions: its commits that made something durable. */
static uint32_t commits(const struct plan *plan)
{
    struct tally_board board;
    char path[512];
    int file;

    snprintf(path, sizeof(path), "%s%s.board", strchr(plan->arena + 1, '/') == NULL ? "/dev/shm" : "",
             plan->arena);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || pread(file, &board, sizeof(board), 0) != (ssize_t)sizeof(board))
        give_up("%s: %s", path, strerror(errno));
    close(file);
    return board.commit_counter;
}

/* ---- bare SQLite ----------------------------------------------------------------------------- */

static void bare_open(struct bare *bare, const struct plan *plan)
{
    char path[512];
    char *statement;
    sqlite3_stmt *rows;
    sqlite3_stmt *schema;

    memset(bare, 0, sizeof(*bare));
    snprintf(path, sizeof(path), "%s/bare.db", plan->folder);
    if (sqlite3_open(path, &bare->database) != SQLITE_OK)
        give_up("%s: %s", path, sqlite3_errmsg(bare->database));
    sql(bare->database, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384;"
                        "PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=4096;");
    statement = sqlite3_mprintf("ATTACH 'file:%q/state/usage.db?mode=ro' AS agent", plan->folder);
    sql(bare->database, statement);
    sqlite3_free(statement);

    schema = prepare(bare->database,
                     "SELECT sql FROM agent.sqlite_master WHERE tbl_name = 'usage_rows' AND sql IS NOT NULL");
    while (sqlite3_step(schema) == SQLITE_ROW)
        sql(bare->database, (const char *)sqlite3_column_text(schema, 0));
    sqlite3_finalize(schema);

    rows = prepare(bare->database, "SELECT * FROM agent.usage_rows ORDER BY id DESC LIMIT 1");
    if (sqlite3_step(rows) != SQLITE_ROW)
        give_up("the agent's database has no row to copy");
    bare->columns = sqlite3_column_count(rows);
    if (bare->columns > COLUMNS_MAX || strcmp(sqlite3_column_name(rows, 0), "id") != 0)
        give_up("the table of rows is not as expected");
    for (int i = 1; i < bare->columns; i++) {
        bare->column[i].type = sqlite3_column_type(rows, i);
        bare->column[i].number = sqlite3_column_int64(rows, i);
        if (bare->column[i].type == SQLITE_TEXT) {
            bare->column[i].text = strdup((const char *)sqlite3_column_text(rows, i));
            bare->column[i].bytes = sqlite3_column_bytes(rows, i);
        }
        if (strcmp(sqlite3_column_name(rows, i), "sequence") == 0)
            bare->sequence_column = i;
        if (strcmp(sqlite3_column_name(rows, i), "time_unix_ns") == 0)
            bare->time_column = i;
    }
    sqlite3_finalize(rows);
    sql(bare->database, "DETACH agent");
}

static void bare_prepare(struct bare *bare)
{
    sqlite3_str *text = sqlite3_str_new(NULL);
    char *statement;

    sqlite3_str_appendf(text, "INSERT INTO usage_rows VALUES (NULL");
    for (int i = 1; i < bare->columns; i++)
        sqlite3_str_appendf(text, ",?%d", i);
    sqlite3_str_appendf(text, ")");
    statement = sqlite3_str_finish(text);
    bare->insert = prepare(bare->database, statement);
    sqlite3_free(statement);
}

/* All columns anew for each row, as whoever inserts different rows must; without copies. */
static void bind_row(struct bare *bare)
{
    for (int i = 1; i < bare->columns; i++) {
        switch (bare->column[i].type) {
        case SQLITE_INTEGER:
            sqlite3_bind_int64(bare->insert, i, bare->column[i].number);
            break;
        case SQLITE_TEXT:
            sqlite3_bind_text(bare->insert, i, bare->column[i].text, bare->column[i].bytes, SQLITE_STATIC);
            break;
        default:
            sqlite3_bind_null(bare->insert, i);
        }
    }
}

static double run_bare(struct bare *bare, int batch)
{
    int64_t base = bare->column[bare->time_column].number;
    int64_t start = now_ns();

    for (int row = 0; row < ROWS; row++) {
        if (row % batch == 0)
            sql(bare->database, row == 0 ? "BEGIN IMMEDIATE" : "COMMIT; BEGIN IMMEDIATE");
        bind_row(bare);
        sqlite3_bind_int64(bare->insert, bare->sequence_column, row + 1);
        sqlite3_bind_int64(bare->insert, bare->time_column, base + row);
        if (sqlite3_step(bare->insert) != SQLITE_DONE)
            give_up("SQLite: %s", sqlite3_errmsg(bare->database));
        sqlite3_reset(bare->insert);
    }
    sql(bare->database, "COMMIT");
    return (double)(now_ns() - start) / 1e9;
}

static void bare_close(struct bare *bare)
{
    for (int i = 1; i < bare->columns; i++)
        free(bare->column[i].text);
    sqlite3_finalize(bare->insert);
    sqlite3_close(bare->database);
}

static const struct {
    int writers;
    const char *name;
} crowds[] = {{16, "through tallyd, 16 writers"}, {4, "through tallyd, 4 writers"}};
#define CROWDS 2

void bench_end_to_end(const struct plan *plan)
{
    struct series agent[CROWDS];
    struct series sqlite;
    struct bare bare;
    int rounds = rounds_of(plan, 7);
    int batch = 0;

    output_section(
        "End to end: records made durable",
        "80,000 calls recorded by processes of their own as fast as they can, until all are committed "
        "with synchronous=FULL.");
    run_agent(16); /* gives the table a row to copy, and both databases something to be warm with */
    bare_open(&bare, plan);
    bare_prepare(&bare);
    for (int i = 0; i < CROWDS; i++)
        series_start(&agent[i], "rows/s", crowds[i].name);
    series_start(&sqlite, "rows/s", "bare SQLite, same rows and batch");
    for (int round = 0; round < rounds; round++) {
        for (int i = CROWDS - 1; i >= 0; i--) {
            uint32_t before = commits(plan);

            series_add(&agent[i], ROWS / run_agent(crowds[i].writers));
            uint32_t made = commits(plan) - before;
            batch = ROWS / (int)(made > 0 ? made : 1);
            agent_await_quiet(agent_pid());
        }
        series_add(&sqlite, ROWS / run_bare(&bare, batch > 0 ? batch : 1));
    }
    double ratio = series_ratio(&agent[0], &sqlite);
    output_series(&agent[0]);
    output_series(&agent[1]);
    output_peer(&sqlite, &agent[0]);
    output_goal("durable end to end, one agent, 16 writers", "at least 0.9 x bare SQLite, same rows",
                ratio >= 0.9 ? GOAL_MET : GOAL_MISSED, "%.2f of it, %.0f rows/s", ratio,
                series_median(&agent[0]));
    output_note("In the last round of 16 writers the agent made about %d rows durable with each commit; bare "
                "SQLite does the same. The agent's figure includes lanes, checks, rollups and clients; bare "
                "SQLite has the table of rows alone.",
                batch);
    bare_close(&bare);
    for (int i = 0; i < CROWDS; i++)
        series_free(&agent[i]);
    series_free(&sqlite);
}
