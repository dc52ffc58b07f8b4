/* audit_data.h: the books as they stand: what lanes have given out, and where it went.
 *
 * The database is read first, in one transaction; shared memory after that. So what is seen
 * of a lane in shared memory is never older than what the database says of it: a record that comes in between
 * shows as waiting, and none can ever show as missing because the agent was at work.
 *
 *   written = persisted + waiting + lost + unaccounted - twice
 */
#ifndef TALLY_TOOLS_AUDIT_DATA_H
#define TALLY_TOOLS_AUDIT_DATA_H

#include "arena_scan.h"
#include "db.h"
#include "number.h"

/* As wide as it takes: shared memory may say anything. */
struct audit_sums {
    wide_t written; /* records with a number, and records refused with an error */
    wide_t persisted;
    wide_t waiting; /* safe in shared memory or in a spill file, not in the database yet */
    wide_t lost;    /* under a named cause */
    wide_t unaccounted;
    wide_t twice; /* in the database more often than they were written */
};

enum lane_state { LANE_READ, LANE_ARENA_GONE, LANE_DAMAGED };

struct audit_lane {
    int64_t id; /* 0: the database does not know it */
    size_t arena;
    uint32_t lane;
    wide_t position;
    wide_t sequence; /* up to which the database has it */
    wide_t persisted;
    wide_t lost;
    wide_t refused;
    wide_t named_lost;    /* in losses, with numbers */
    wide_t named_refused; /* in losses, without */
    int64_t quarantines;
    int64_t client_id;
    enum lane_state state;
    const char *trouble; /* LANE_DAMAGED: what */
    wide_t newest;       /* of a spill log: highest number seen in the database or in a file */
    struct audit_sums sums;
};

struct audit_arena {
    int64_t id;        /* 0: the database does not know it */
    int64_t spill_uid; /* -1: an arena; else a spill log, and the owner of its files */
    uint8_t uuid[16];
    char *path;
    bool retired;
    bool there; /* read from shared memory */
    wide_t refused[TALLY_REFUSALS];
    wide_t named_refused; /* on no lane: in losses, without numbers */
    enum agent_presence agent;
};

struct audit_client {
    int64_t id;
    char *session;
    char *service;
    char *host;
    int64_t pid;
    char *state;
    bool complete;
    bool object; /* of a process that embeds several clients */
    wide_t refused;
    struct audit_sums sums;
};

struct audit_loss {
    size_t arena; /* SIZE_MAX: unknown */
    int64_t lane;
    int64_t client_id;
    char *cause;
    char *detail;
    bool numbered;
    bool counted; /* false: nobody knows how many */
    wide_t records;
    int64_t first_ns; /* 0: seen in shared memory alone, the agent has not noted it yet */
    int64_t last_ns;
};

struct audit {
    struct audit_arena *arenas;
    size_t arena_count;
    struct audit_lane *lanes;
    size_t lane_count;
    struct audit_client *clients;
    size_t client_count;
    struct audit_loss *losses;
    size_t loss_count;
    struct audit_sums total;
    size_t damaged; /* lanes whose live end cannot be trusted */
    bool lost_unknown;
    bool agent_missing; /* something waits where no agent runs */
    bool clients_pruned;
    wide_t clients_persisted; /* over all processes */
    char instance[17];        /* the database's name for itself; empty: unknown */
    char **problems;          /* sentences: whatever is not as it must be */
    size_t problem_count;
};

/* db->handle NULL: there is no database. paths: arenas that were asked for. EXIT_SUCCESS, or complains. */
int audit_read(struct audit *audit, struct db *db, char *const *paths, size_t path_count, bool named);
/* Strike the balance. */
void audit_balance(struct audit *audit);
bool audit_clean(const struct audit *audit);
void audit_free(struct audit *audit);
void audit_problem(struct audit *audit, char *sentence); /* takes it over */

/* A spill log's lane, or with uid -1 that of an arena, made if nobody knew it. Valid until the next call. */
struct audit_lane *audit_log(struct audit *audit, const uint8_t log[16], int64_t uid, uint32_t lane,
                             const char *folder);
/* audit_spill.c: count what waits in spill files. instance: the database's name for itself, or "". */
void audit_spill(struct audit *audit, const char *directory, const char *instance);

#endif
