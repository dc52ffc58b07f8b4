#include "crash/takein.h"

#include "collector/collector.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tally/record.h>
#include <unistd.h>

#define NUMBERS_MAX 256

struct check {
    sqlite3 *database;
    const struct takein_trial *trial;
    char *error;
};

static int wrong(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int wrong(struct check *check, const char *format, ...)
{
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(check->error, 256, "step %u: %s", check->trial ? check->trial->step : 0, text);
    return -1;
}

/* ---- the agent --------------------------------------------------------------------- */

static void run_agent(const char *state, char *const arenas[], unsigned int count)
{
    struct collector_once done;
    char error[COLLECTOR_ERROR_BYTES];
    char folder[256];
    struct agent_config config = {.commit_interval_ms = 100, .group = (gid_t)-1, .once = true};

    snprintf(folder, sizeof folder, "%s", state);
    config.state_directory = folder;
    config.arena_count = count;
    memcpy(config.arenas, arenas, count * sizeof *arenas);
    if (config_make_state_directory(state, error) || collector_run_once(&config, &done, error)) {
        fprintf(stderr, "agent: %s\n", error);
        _exit(1);
    }
    _exit(0);
}

static int wait_for(pid_t pid)
{
    int status;
    /* Not any child: a victim may be waiting in its pause. */
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int takein_run(const char *state, char *const arenas[], unsigned int count, char error[256])
{
    pid_t pid = fork();
    if (pid == 0)
        run_agent(state, arenas, count);
    if (pid > 0 && wait_for(pid) == 0)
        return 0;
    snprintf(error, 256, "the agent could not drain the arenas");
    return -1;
}

/* Of the same build as this program: DIR/tests/crash/test_... */
static void command_path(char *out, size_t bytes)
{
    char self[400];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
    }
    snprintf(out, bytes, "%s/tally", self);
}

static int audit(const char *state)
{
    char program[512];
    command_path(program, sizeof program);
    pid_t pid = fork();
    if (pid == 0) {
        if (!getenv("TALLY_CRASH_KEEP"))
            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
        execl(program, "tally", "audit", "--quiet", "--state-dir", state, (char *)NULL);
        _exit(127);
    }
    return pid > 0 ? wait_for(pid) : -1;
}

/* ---- rows ------------------------------------------------------------------------------- */

/* ?1: the trial's arena; ?2 and after: its spill logs. */
static sqlite3_stmt *prepare(struct check *check, const char *sql)
{
    const struct inspection *inspection = &check->trial->inspection;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(check->database, sql, -1, &statement, NULL) != SQLITE_OK) {
        wrong(check, "%s", sqlite3_errmsg(check->database));
        return NULL;
    }
    sqlite3_bind_blob(statement, 1, inspection->uuid, 16, SQLITE_STATIC);
    for (uint32_t i = 0; i < inspection->logs && sqlite3_bind_parameter_count(statement) > 1; i++)
        sqlite3_bind_blob(statement, 2 + (int)i, inspection->log[i].id, 16, SQLITE_STATIC);
    return statement;
}
#define LOGS    "?2, ?3, ?4, ?5, ?6, ?7"
#define ITS_OWN "uuid IN (?1, " LOGS ")"
_Static_assert(INSPECT_LOGS_MAX == 6, "as many parameters");

static int check_lanes(struct check *check)
{
    const struct inspection *inspection = &check->trial->inspection;
    sqlite3_stmt *row =
        prepare(check, "SELECT lane, position, lanes.sequence, persisted, lost + quarantines FROM lanes "
                       "JOIN arenas ON arenas.id = arena_id WHERE uuid = ?");
    uint32_t found = 0;
    uint32_t used = 0;
    int result = row ? 0 : -1;
    while (result == 0 && sqlite3_step(row) == SQLITE_ROW) {
        const struct inspect_lane *lane = &inspection->lane[sqlite3_column_int(row, 0)];
        found += lane->tail != 0;
        if ((uint64_t)sqlite3_column_int64(row, 1) != lane->tail ||
            (uint64_t)sqlite3_column_int64(row, 2) != lane->sequence ||
            (uint64_t)sqlite3_column_int64(row, 3) != lane->sequence || sqlite3_column_int64(row, 4))
            result = wrong(check,
                           "lane %d: the database has position %lld, sequence %lld, %lld persisted, the "
                           "arena %llu, %llu",
                           sqlite3_column_int(row, 0), (long long)sqlite3_column_int64(row, 1),
                           (long long)sqlite3_column_int64(row, 2), (long long)sqlite3_column_int64(row, 3),
                           (unsigned long long)lane->tail, (unsigned long long)lane->sequence);
    }
    for (uint32_t i = 0; i < inspection->lanes; i++)
        used += inspection->lane[i].tail != 0;
    if (result == 0 && found != used)
        result = wrong(check, "%u lanes were used, the database knows %u", used, found);
    sqlite3_finalize(row);
    return result;
}

/* Every log of which anything was whole, to its last number, and each of its records once. */
static int check_logs(struct check *check)
{
    const struct inspection *inspection = &check->trial->inspection;
    sqlite3_stmt *row =
        prepare(check, "SELECT uuid, lanes.sequence, persisted, lost + quarantines FROM lanes "
                       "JOIN arenas ON arenas.id = arena_id WHERE uuid IN (?1, " LOGS ") AND spill_uid >= 0");
    uint32_t found = 0;
    uint32_t used = 0;
    int result = row ? 0 : -1;
    while (result == 0 && sqlite3_step(row) == SQLITE_ROW) {
        uint64_t highest = 0;
        for (uint32_t i = 0; i < inspection->logs; i++)
            if (!memcmp(sqlite3_column_blob(row, 0), inspection->log[i].id, 16))
                highest = inspection->log[i].highest;
        found += highest != 0;
        if ((uint64_t)sqlite3_column_int64(row, 1) != highest ||
            (uint64_t)sqlite3_column_int64(row, 2) != highest || sqlite3_column_int64(row, 3))
            result =
                wrong(check, "a spill log of %llu records: the database has %lld, of which %lld persisted",
                      (unsigned long long)highest, (long long)sqlite3_column_int64(row, 1),
                      (long long)sqlite3_column_int64(row, 2));
    }
    for (uint32_t i = 0; i < inspection->logs; i++)
        used += inspection->log[i].highest != 0;
    if (result == 0 && found != used)
        result = wrong(check, "%u logs were spilled, the database knows %u", used, found);
    sqlite3_finalize(row);
    return result;
}

/* What was refused is counted, under the cause that it had. */
static int check_refused(struct check *check)
{
    const struct inspection *inspection = &check->trial->inspection;
    sqlite3_stmt *row =
        prepare(check, "SELECT (SELECT coalesce(sum(refused), 0) FROM lanes WHERE arena_id = arenas.id), "
                       "refused_no_lane + refused_reentered, refused_no_spill, "
                       "(SELECT coalesce(sum(records), 0) FROM losses WHERE numbered = 0 AND arena_id = "
                       "arenas.id) FROM arenas WHERE uuid = ?1");
    int result = row ? 0 : -1;
    if (result == 0 && inspection->lanes && sqlite3_step(row) == SQLITE_ROW) {
        sqlite3_int64 sum = sqlite3_column_int64(row, 0) + sqlite3_column_int64(row, 2);
        if (sqlite3_column_int64(row, 1) || (uint64_t)sum != inspection->refused)
            result = wrong(check, "%llu records were refused, the database has %lld",
                           (unsigned long long)inspection->refused, (long long)sum);
    }
    sqlite3_finalize(row);
    return result;
}

struct rows {
    uint32_t all, aborted;
};

/* A finished call is one record; one in flight up to three, of which any makes a row. */
static int check_number(struct check *check, uint32_t number, const struct rows *rows)
{
    const struct stage *log = &check->trial->stage;
    bool kept = false;
    bool tried = false;
    bool ended = false;
    for (uint32_t i = 0; i < log->entries; i++) {
        const struct stage_entry *entry = &log->entry[i];
        if (entry->number != number || entry->kind == TALLY_KIND_CLIENT_END)
            continue;
        bool returned = entry->state == STAGE_RETURNED && entry->result == 0;
        kept |= returned;
        tried |= returned || entry->state == STAGE_ATTEMPTED;
        ended |= returned && (entry->kind == TALLY_KIND_USAGE || entry->kind == TALLY_KIND_CALL_END);
    }
    if (rows->all < kept || rows->all > tried)
        return wrong(check, "record %u: %s, and has %u rows", number,
                     kept    ? "acknowledged"
                     : tried ? "in flight"
                             : "refused",
                     rows->all);
    if (ended && rows->aborted)
        return wrong(check, "record %u is complete, and its row says aborted", number);
    return 0;
}

static int check_usage(struct check *check)
{
    struct rows rows[NUMBERS_MAX] = {{0, 0}};
    sqlite3_stmt *row = prepare(
        check,
        "SELECT input_tokens, count(*), sum(status = 'aborted') FROM usage JOIN lanes ON lanes.id = lane_id "
        "JOIN arenas ON arenas.id = arena_id WHERE " ITS_OWN " GROUP BY input_tokens");
    int result = row ? 0 : -1;
    while (result == 0 && sqlite3_step(row) == SQLITE_ROW) {
        uint32_t number = (uint32_t)sqlite3_column_int64(row, 0);
        if (number >= NUMBERS_MAX)
            result = wrong(check, "a row of record %u, which nobody wrote", number);
        else
            rows[number] =
                (struct rows){(uint32_t)sqlite3_column_int(row, 1), (uint32_t)sqlite3_column_int(row, 2)};
    }
    sqlite3_finalize(row);
    for (uint32_t i = 0; i < NUMBERS_MAX && result == 0; i++)
        result = check_number(check, i, &rows[i]);
    return result;
}

/* The sessions have all ended: that of the predecessor, which was killed, as died; the successor's as clean. */
static int check_clients(struct check *check)
{
    const struct stage *log = &check->trial->stage;
    sqlite3_stmt *row = prepare(
        check, "SELECT DISTINCT clients.pid, ended, complete FROM clients JOIN lanes ON lanes.client_id "
               "= clients.id JOIN arenas ON arenas.id = arena_id WHERE " ITS_OWN);
    int result = row ? 0 : -1;
    while (result == 0 && sqlite3_step(row) == SQLITE_ROW) {
        pid_t pid = (pid_t)sqlite3_column_int64(row, 0);
        const char *ended = (const char *)sqlite3_column_text(row, 1);
        const char *expected = ended;
        if (pid == log->pid[ROLE_PREDECESSOR])
            expected = "died";
        else if (pid == log->pid[ROLE_SUCCESSOR])
            expected = check->trial->no_lane ? "unknown" : "clean"; /* a file cannot say */
        if (!ended || strcmp(ended, expected) || !sqlite3_column_int(row, 2))
            result = wrong(check, "process %d ended %s, complete %d", (int)pid, ended ? ended : "not",
                           sqlite3_column_int(row, 2));
    }
    sqlite3_finalize(row);
    return result;
}

static int check_sums(struct check *check)
{
    static const char *const none[] = {
        "SELECT count(*) FROM clients WHERE ended IS NULL", "SELECT count(*) FROM open_calls",
        /* A victim that has to be replaced, for it came by another way, may have been drained, and its arena is gone. Lanes and
         * logs that count are looked at one by one. */
        "SELECT count(*) FROM losses WHERE numbered = 1 AND cause <> 'arena_deleted'",
        "SELECT count(*) FROM (SELECT 1 FROM usage GROUP BY lane_id, sequence HAVING count(*) > 1)",
        "SELECT (SELECT coalesce(sum(calls), 0) FROM usage_hourly) - (SELECT count(*) FROM usage)"};
    int result = 0;
    for (size_t i = 0; i < sizeof none / sizeof none[0] && result == 0; i++) {
        sqlite3_stmt *row = NULL;
        if (sqlite3_prepare_v2(check->database, none[i], -1, &row, NULL) != SQLITE_OK ||
            sqlite3_step(row) != SQLITE_ROW)
            result = wrong(check, "%s", sqlite3_errmsg(check->database));
        else if (sqlite3_column_int64(row, 0))
            result = wrong(check, "%s: %lld", none[i], (long long)sqlite3_column_int64(row, 0));
        sqlite3_finalize(row);
    }
    return result;
}

int takein_check(const char *state, const struct takein_trial *trials, unsigned int count, char error[256])
{
    struct check check = {.trial = &trials[0], .error = error};
    char path[256];
    int result = 0;

    snprintf(path, sizeof path, "%s/usage.db", state);
    if (sqlite3_open_v2(path, &check.database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        result = wrong(&check, "no database at %s", path);
    for (unsigned int i = 0; i < count && result == 0; i++) {
        check.trial = &trials[i];
        result = check_lanes(&check);
        if (result == 0)
            result = check_logs(&check);
        if (result == 0)
            result = check_refused(&check);
        if (result == 0)
            result = check_usage(&check);
        if (result == 0)
            result = check_clients(&check);
    }
    if (result == 0)
        result = check_sums(&check);
    sqlite3_close(check.database);
    if (result == 0 && audit(state))
        result = wrong(&check, "tally audit does not account for every record");
    return result;
}
