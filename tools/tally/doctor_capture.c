/* doctor_capture.c: calls that tally run saw, and whose counts it did not. */
#include "db.h"
#include "doctor.h"

#include <string.h>

/* Far back enough to show what goes wrong now, near enough to be read in a moment. */
#define NEWEST_CALLS "100000"

/* What the tag tally.capture says (shim/capture), for people. */
static const struct {
    const char *why;
    const char *meaning;
    const char *remedy;
} reasons[] = {
    {"no_usage", "their response stated no usage",
     "A stream of an API like OpenAI's states it only if asked: \"stream_options\": {\"include_usage\": "
     "true}."},
    {"content_encoding", "the compression of their response could not be undone",
     "Install the library of that compression where the program runs: zlib1g, libbrotli1 or libzstd1."},
    {"body", "their response could not be read as what it said it was",
     "If the program understood it, please report the provider and the kind of response."},
};

void doctor_capture(struct doctor *doctor, struct db *db)
{
    sqlite3_stmt *statement = db_prepare(
        db,
        "SELECT substr(rest, 1, instr(rest, ',') - 1) AS why, count(*), group_concat(DISTINCT host) FROM ("
        "  SELECT substr(tags, instr(tags, 'tally.capture=') + 14) || ',' AS rest,"
        "    coalesce(server_address, '(unknown)') AS host"
        "  FROM (SELECT tags, server_address FROM usage ORDER BY id DESC LIMIT " NEWEST_CALLS ")"
        "  WHERE instr(tags, 'tally.capture=') > 0)"
        " GROUP BY why ORDER BY count(*) DESC, why LIMIT 10");
    while (statement != NULL && db_step(db, statement) == 1) {
        const char *why = db_text(statement, 0, NULL);
        const char *meaning = "they could not be followed to their end";
        const char *remedy =
            "See these calls' tags in 'tally tail --json'; they are counted, with tokens unknown.";
        for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
            if (strcmp(why, reasons[i].why) == 0) {
                meaning = reasons[i].meaning;
                remedy = reasons[i].remedy;
            }
        doctor_find(doctor, FINDING_WARN, "capture", remedy,
                    "tokens of %lld of the newest calls are unknown: %s (%s); %.200s",
                    (long long)sqlite3_column_int64(statement, 1), meaning, why, db_text(statement, 2, NULL));
    }
    sqlite3_finalize(statement);
}
