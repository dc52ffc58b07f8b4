/* doctor_store.c: the state folder, the database, and what has been lost. */
#include "db.h"
#include "doctor.h"
#include "price/table.h"
#include "understand/understand.h"
#include "when.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_MIN (256ull << 20)
#define LOG_MAX  (512ll << 20)

static void check_room(struct doctor *doctor, const struct db *db)
{
    struct statvfs system;
    char room[NUMBER_BYTES];

    if (statvfs(db->directory, &system) != 0) {
        doctor_find(doctor, FINDING_FAIL, "state", "Make the folder, or name another (TALLY_STATE_DIR).",
                    "%s: %s", db->directory, strerror(errno));
        return;
    }
    uint64_t bytes = (uint64_t)system.f_bavail * system.f_frsize;
    bool tight = bytes < ROOM_MIN;
    doctor_find(
        doctor, tight ? FINDING_WARN : FINDING_OK, "state",
        tight ? "Make room: when the disk is full, records wait in shared memory until that is full too."
              : NULL,
        "%s: %s free", db->directory, bytes_text(bytes, room));
}

static void check_size(struct doctor *doctor, const struct db *db)
{
    struct stat file;
    struct stat log;
    char *path = must_print("%s-wal", db->path);
    char size[NUMBER_BYTES];
    char log_size[NUMBER_BYTES];

    if (stat(path, &log) != 0)
        log.st_size = 0;
    free(path);
    if (stat(db->path, &file) != 0)
        return;
    bool exposed = (file.st_mode & 0007) != 0;
    const char *remedy = NULL;
    if (exposed)
        remedy = "It says who used what: chmod 0640.";
    else if (log.st_size > LOG_MAX)
        remedy = "A reader that never ends holds the log: look who has the file open (fuser).";
    doctor_find(doctor, remedy != NULL ? FINDING_WARN : FINDING_OK, "database", remedy,
                "%s: mode %04o, %s, log %s", db->path, (unsigned)(file.st_mode & 07777),
                bytes_text((uint64_t)file.st_size, size), bytes_text((uint64_t)log.st_size, log_size));
}

/* Whether it is the one that this command knows. */
static bool check_schema(struct doctor *doctor, struct db *db)
{
    int64_t version = 0;

    if (db_number(db, "PRAGMA user_version", 0, &version) != EXIT_SUCCESS)
        return false;
    if (version == DB_SCHEMA_VERSION)
        doctor_find(doctor, FINDING_OK, "schema", NULL, "version %d", DB_SCHEMA_VERSION);
    else
        doctor_find(doctor, FINDING_FAIL, "schema",
                    version > DB_SCHEMA_VERSION ? "It was written by a newer tally: use its command."
                                                : "Start tallyd: it brings the database up to date.",
                    "version %" PRId64 ", and this command knows %d", version, DB_SCHEMA_VERSION);
    return version == DB_SCHEMA_VERSION;
}

static void check_integrity(struct doctor *doctor, struct db *db)
{
    sqlite3_stmt *check = db_prepare(db, "PRAGMA integrity_check(1)");
    const char *text = NULL;

    if (check != NULL && sqlite3_step(check) == SQLITE_ROW)
        text = db_text(check, 0, NULL);
    bool good = text != NULL && strcmp(text, "ok") == 0;
    doctor_find(doctor, good ? FINDING_OK : FINDING_FAIL, "integrity",
                good ? NULL : "Keep a copy, stop tallyd, and bring back a backup.", "%s",
                text != NULL ? text : sqlite3_errmsg(db->handle));
    sqlite3_finalize(check);
}

static void check_future(struct doctor *doctor, struct db *db)
{
    int64_t newest = 0;
    char text[WHEN_BYTES];

    if (db_number(db, "SELECT time_unix_ns FROM usage ORDER BY id DESC LIMIT 1", 0, &newest) != EXIT_SUCCESS)
        return;
    if (newest > when_now() + WHEN_HOUR_NS)
        doctor_find(doctor, FINDING_WARN, "clock",
                    "Has the clock been set back? Times of calls are then off.",
                    "the newest call in the database is of %s UTC", when_shown(newest, text));
}

/* ---- losses ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *cause;
    const char *remedy;
} causes[] = {
    {"lane_full", "Refused with an error, because no agent emptied the lane in time: keep one running."},
    {"no_lane", "Refused with an error: make room in /dev/shm, or a larger arena (TALLY_LANES)."},
    {"reentered", "Refused with an error: do not record in signal handlers that interrupt recording."},
    {"quarantined", "Bytes that were no records; they are kept in the quarantine folder. Look for a stray "
                    "write in the client."},
    {"database_restored", "Between the backup that was brought back and that day: back up more often."},
    {"arena_deleted",
     "Somebody deleted shared memory while no agent had it open: see RemoveIPC in logind.conf(5)."},
    {"host_restart",
     "Stood in shared memory when the host stopped: run an agent, so that little waits there."},
};

static const char *cause_remedy(const char *cause)
{
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (strcmp(causes[i].cause, cause) == 0)
            return causes[i].remedy;
    }
    return "'tally audit' says where.";
}

static void check_losses(struct doctor *doctor, struct db *db)
{
    sqlite3_stmt *statement = db_prepare(db, "SELECT cause, sum128(records), sum(records IS NULL),"
                                             " max(last_unix_ns) FROM losses GROUP BY cause ORDER BY cause");
    int row = 0;
    bool any = false;

    while (statement != NULL && (row = db_step(db, statement)) == 1) {
        const char *cause = db_text(statement, 0, NULL);
        char count[NUMBER_BYTES];
        char when[WHEN_BYTES];
        bool unknown = sqlite3_column_int64(statement, 2) != 0;
        any = true;
        number_text(db_wide(statement, 1), count);
        doctor_find(doctor, FINDING_WARN, "lost", cause_remedy(cause), "%s%s records to %s, last at %s UTC",
                    count, unknown ? " and an unknown number of" : "", cause,
                    when_shown(sqlite3_column_int64(statement, 3), when));
    }
    sqlite3_finalize(statement);
    if (!any && row == 0)
        doctor_find(doctor, FINDING_OK, "lost", NULL, "nothing, ever");
}

/* ---- prices ------------------------------------------------------------------------------------------- */

#define NAMED_MAX 5

/* Answered calls whose cost nobody knows, by the hour's sums: as far back as they go. */
static void check_costs(struct doctor *doctor, struct db *db)
{
    sqlite3_stmt *statement =
        db_prepare(db, "SELECT provider, request_model, sum128(cost_unknown) FROM usage_hourly"
                       " WHERE cost_unknown > 0 AND status = 'ok' GROUP BY 1, 2"
                       " ORDER BY sum(min(cost_unknown, 1000000000)) DESC, 1, 2");
    char *names = must_copy("");
    wide_t calls = 0;
    int models = 0;
    int row = -1;

    while (statement != NULL && (row = db_step(db, statement)) == 1) {
        char count[NUMBER_BYTES];
        wide_t more = db_wide(statement, 2);
        const char *provider = db_text(statement, 0, NULL);
        const char *model = db_text(statement, 1, NULL);
        number_add(&calls, more);
        if (models++ >= NAMED_MAX)
            continue;
        char *longer =
            must_print("%s%s%s/%s: %s", names, models > 1 ? ", " : "", *provider ? provider : "(unknown)",
                       *model ? model : "(unknown)", number_text(more, count));
        free(names);
        names = longer;
    }
    sqlite3_finalize(statement);
    if (models != 0) {
        char count[NUMBER_BYTES];
        doctor_find(
            doctor, FINDING_WARN, "prices",
            "Add those that the price list lacks (tallyd --prices), then run 'tally reprice'; of others "
            "the calls did not say what they used: see cost_basis in 'tally tail --json'.",
            "%s calls of %d models have no known cost: %s%s", number_text(calls, count), models, names,
            models > NAMED_MAX ? ", ..." : "");
    } else if (row == 0) {
        doctor_find(doctor, FINDING_OK, "prices", NULL, "every answered call has a cost");
    }
    free(names);
}

/* The built-in list's figures are not all of one kind; of this version's own it can be said how many are which. */
static void tell_builtin(struct doctor *doctor, const char *sha256, const char *date)
{
    char error[PRICE_ERROR_BYTES];
    struct price_table *prices;
    unsigned pages = 0;

    if (price_table_builtin(&prices, error) != 0)
        return;
    for (uint32_t i = 0; i < prices->entry_count; i++) {
        struct price_text source = prices->entries[i].source;
        pages += source.length > 8 && memcmp(source.data, "https://", 8) == 0;
    }
    if (strcmp(prices->sha256, sha256) == 0)
        doctor_find(doctor, FINDING_OK, "price list", NULL,
                    "built in, of %s: %u of %u entries as read on their provider's page, the others at "
                    "second hand; 'tally price --model NAME' says which, and when",
                    date, pages, prices->entry_count);
    else
        doctor_find(doctor, FINDING_OK, "price list", NULL, "built in, of %s, of another version of tallyd",
                    date);
    price_table_free(prices);
}

/* By which list the newest row was priced. */
static void check_list(struct doctor *doctor, struct db *db)
{
    sqlite3_stmt *statement =
        db_prepare(db, "SELECT name, sha256, coalesce(date, 'no date') FROM price_tables WHERE id ="
                       " (SELECT price_table_id FROM usage ORDER BY id DESC LIMIT 1)");

    if (statement != NULL && db_step(db, statement) == 1) {
        const char *name = db_text(statement, 0, NULL);
        const char *date = db_text(statement, 2, NULL);
        if (strcmp(name, "built-in") == 0)
            tell_builtin(doctor, db_text(statement, 1, NULL), date);
        else
            doctor_find(doctor, FINDING_OK, "price list", NULL, "%s (%s)", name, date);
    }
    sqlite3_finalize(statement);
}

/* Whether this version understands the newest such object, whose provider and model come with it. */
static bool understood_now(sqlite3_stmt *row)
{
    struct understood understood;
    struct understand_hints hints = {.provider = {NULL, 0}};
    size_t length = 0;
    size_t provider_length = 0;
    const char *json = db_text(row, 5, &length);
    const char *provider = db_text(row, 0, &provider_length);

    if (provider_length != 0)
        hints.provider = (struct text){provider, (uint32_t)provider_length};
    understand(&hints, json, length, &understood);
    return understood.known;
}

static void check_shapes(struct doctor *doctor, struct db *db)
{
    /* What retention has taken is beyond help. */
    sqlite3_stmt *statement =
        db_prepare(db, "SELECT s.provider, s.kind, s.calls, s.usage_id, s.last_unix_ns, u.usage_json,"
                       " coalesce(u.input_tokens, u.output_tokens, u.provider_cost_picodollars) IS NOT NULL"
                       " FROM unknown_shapes s JOIN usage u ON u.id = s.usage_id AND u.usage_json IS NOT NULL"
                       " ORDER BY s.calls DESC, s.provider LIMIT 10");
    while (statement != NULL && db_step(db, statement) == 1) {
        char when[WHEN_BYTES];
        const char *provider = db_text(statement, 0, NULL);
        bool damaged = strcmp(db_text(statement, 1, NULL), "damaged") == 0;
        const char *remedy = "The object is kept in its row: a newer tallyd may understand it.";
        if (damaged) {
            remedy = "The client hands over something else than the response's usage.";
        } else if (understood_now(statement)) {
            if (sqlite3_column_int(statement, 6) != 0)
                continue; /* and it has been filled in */
            remedy = "This version understands it: 'tally reprice' fills in what it says.";
        }
        doctor_find(doctor, FINDING_WARN, "usage", remedy,
                    "%lld calls of provider %s came with a usage object %s; the last at %s UTC, row %lld",
                    (long long)sqlite3_column_int64(statement, 2), *provider ? provider : "(unknown)",
                    damaged ? "that is no JSON" : "of an unknown shape",
                    when_shown(sqlite3_column_int64(statement, 4), when),
                    (long long)sqlite3_column_int64(statement, 3));
    }
    sqlite3_finalize(statement);
}

static void check_quarantine(struct doctor *doctor, const struct db *db)
{
    char *path = must_print("%s/quarantine", db->directory);
    DIR *folder = opendir(path);
    size_t files = 0;

    if (folder != NULL) {
        for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
            files += entry->d_name[0] != '.';
        closedir(folder);
    }
    if (files != 0)
        doctor_find(doctor, FINDING_WARN, "quarantine",
                    "Keep them until it is clear who damaged a lane; then they may be deleted.",
                    "%zu file%s in %s", files, files == 1 ? "" : "s", path);
    free(path);
}

void doctor_store(struct doctor *doctor)
{
    struct db db;
    bool missing;

    if (db_open_if_there(&db, doctor->common.state_directory, &missing) != EXIT_SUCCESS) {
        doctor_find(doctor, FINDING_FAIL, "database", NULL, "it cannot be opened, as was said");
        return;
    }
    check_room(doctor, &db);
    if (missing) {
        doctor_find(doctor, FINDING_WARN, "database", "Start tallyd, or name its folder with --state-dir.",
                    "there is none at %s", db.path);
    } else {
        check_size(doctor, &db);
        bool current = check_schema(doctor, &db);
        if (doctor->thorough)
            check_integrity(doctor, &db);
        check_future(doctor, &db);
        check_losses(doctor, &db);
        if (current) {
            check_list(doctor, &db);
            check_costs(doctor, &db);
            check_shapes(doctor, &db);
            doctor_capture(doctor, &db);
        }
        check_quarantine(doctor, &db);
    }
    db_close(&db);
}
