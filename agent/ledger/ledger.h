/* ledger.h: what records mean. The collector hands over checked records in lane order;
 * the ledger keeps sessions, tenures and calls in flight, and puts rows, rollups and the
 * lanes' new positions into one transaction of the store.
 *
 * One thread, the collector's. Everything in memory here is a copy of what the database holds
 * plus the transaction under way: after any error the caller calls ledger_abandon(),
 * which rolls back and reads all of it anew; the ring still holds the records, so
 * nothing is lost and nothing is counted twice.
 *
 * Functions return 0 or a negative errno value; on error ledger_error() is one
 * sentence for the operator. -ESTALE: another agent has taken the database over: leave.
 */
#ifndef TALLY_LEDGER_H
#define TALLY_LEDGER_H

#include <stdbool.h>
#include <sys/types.h>
#include <tally/record.h>

struct ledger;

struct price_table;

struct ledger_options {
    const char *state_directory; /* usage.db is, or will be, in it */
    const struct price_table
        *prices; /* the caller's, until ledger_set_prices() or ledger_close(); NULL: costs stay unknown */
    int64_t retention_ns; /* age at which raw rows go; 0: never */
};

/* The agent's view of one lane. Fields outside `ledger` are the caller's to read; position and
 * sequence move with ledger_record() and ledger_skip(), and count only once committed. */
struct ledger_lane {
    uint64_t position;
    uint64_t sequence;
    uint64_t committed_position; /* as of the last commit: what may go on the board */
    uint64_t committed_sequence;
    uint32_t ended_tenure;                /* newest tenure whose end is committed: for the board's hint */
    bool tenure_open;                     /* a tenure is under way as far as is known */
    struct ledger_lane_private *private_; /* NULL: never used */
};

struct ledger_arena {
    uint8_t uuid[16];
    uint32_t lane_count;
    struct ledger_lane *lanes; /* lane_count of them */
    struct ledger_arena_private *private_;
};

/* Open (making, migrating) the database, raise its epoch, load sessions and open calls. On error *out is still to be
 * closed, and good for ledger_error() alone (NULL only if there was no memory even for that). */
int ledger_open(struct ledger **out, const struct ledger_options *options);
void ledger_close(struct ledger *ledger);
const char *ledger_error(const struct ledger *ledger);
/* Rows are priced by another list from now on. At any time, within a transaction too. */
void ledger_set_prices(struct ledger *ledger, const struct price_table *prices);

/* Take an arena into account and load its lanes' positions. header: checked, in private memory. path: for people.
 * Not within a transaction. The arena lives until ledger_detach(). */
int ledger_attach(struct ledger *ledger, const struct tally_arena_header *header, const char *path,
                  struct ledger_arena **out);
/* After all arenas that there are have been attached, and what was carried over has been taken in: of those known that are not
 * attached, and of which gone() says that nothing is left at `path`, the last tenures end. Unless their processes live and will
 * carry over themselves, what nobody can know is counted as lost, to "host_restart" where the arena is of another boot
 * of this host (boot_id: this one's; zeros: unknown), else to "arena_deleted". Retires them. Not within a transaction.
 * How many lanes are lost, or an error. */
typedef bool (*ledger_gone)(void *context, const uint8_t uuid[16], const char *path);
int ledger_lose_gone(struct ledger *ledger, const uint8_t boot_id[16], int64_t now_unix_ns, ledger_gone gone,
                     void *context);
/* Forget it in memory. Not within a transaction. On error it is still attached. retired: it is gone for good, say so in its row (one small transaction). */
int ledger_detach(struct ledger *ledger, struct ledger_arena *arena, bool retired);

/* A spill log (include/tally/spill.h), which is an arena of one lane. uid: the owner of its files, part of its identity;
 * folder: where they stand, for people. Within a transaction, and until its commit or abandonment: then *out is gone.
 * The lane's position counts the bytes of its records; set record->position to it. */
int ledger_log_open(struct ledger *ledger, const uint8_t log[16], uid_t uid, const char *folder,
                    struct ledger_arena **out);
/* An arena that clients have found gone, and carried records out of (include/tally/spill.h): the attached one, or, within a
 * transaction and until its end, what the database knows of it. If it knows nothing: under that name, or, if NULL, one for people, in
 * the folder where the files stand. */
int ledger_arena_open(struct ledger *ledger, const uint8_t uuid[16], const char *name, const char *folder,
                      struct ledger_arena **out);
/* What was carried over of a lane has been taken. If the arena is not attached its tenure ends with the transaction: cleanly, unless
 * it was not all there (whole) and its process is dead; then nobody knows how much is lost. */
void ledger_lane_carried(struct ledger_arena *arena, uint32_t number, bool whole);
/* Whether the database has ever served this arena: 1, 0 or an error. path, if not NULL: where it was last. */
int ledger_arena_known(struct ledger *ledger, const uint8_t uuid[16], char *path, size_t bytes);
/* The database's name for itself: 16 hex digits. */
const char *ledger_instance(const struct ledger *ledger);

/* One transaction: begin, any number of the calls below, commit. Begin is cheap when one
 * is under way. The database is locked by another: -EBUSY after a short wait. */
int ledger_begin(struct ledger *ledger);
int ledger_commit(struct ledger *ledger);
void ledger_abandon(struct ledger *ledger); /* roll back, read memory anew; see above */
bool ledger_in_transaction(const struct ledger *ledger);

/* The next record of lane `number`, checked (length, kind, position, sequence, checksum) and in private memory that stays until
 * commit or abandon. Padding too: it moves the position alone. A record whose fields do not decode: -EBADMSG, and
 * nothing has been changed: the caller quarantines. */
int ledger_record(struct ledger *ledger, struct ledger_arena *arena, uint32_t number,
                  const struct tally_record_header *record);

/* Numbered records that can never be read: move on to (position, sequence) and count what lies
 * between as lost to `cause` ("quarantined", "database_restored", ...). */
int ledger_skip(struct ledger *ledger, struct ledger_arena *arena, uint32_t number, uint64_t position,
                uint64_t sequence, const char *cause, const char *detail);

/* What stands in the lane's header, read owner word first, then the rest, and then drained to the tail
 * read after the owner word. Ends tenures. Called for each lane that is in use or whose lane->tenure_open is set, about
 * once a second and when something moved; it opens no transaction unless there is something to write.
 *
 * An owner word may be older than the tenure: read as 0, then a new owner takes the lane and its first record is
 * drained, then comes this call. So a tenure is ended only by the second call that finds it; each call must be
 * made with an owner word read after the call before it had returned. */
struct ledger_lane_view {
    uint32_t owner; /* the futex word */
    uint64_t final_sequence;
    uint64_t refused_full;
    uint32_t tenure;                /* tally_lane_entry.tenures; a hint */
    struct tally_identity identity; /* of the owner, as it stands there: unchecked */
    bool drained;                   /* all records up to a tail read after the owner word are in */
    bool awaited; /* when the process under identity.pid ends, this will not be set any more */
};
int ledger_observe(struct ledger *ledger, struct ledger_arena *arena, uint32_t number,
                   const struct ledger_lane_view *view);

/* The arena's refusal counters as they stand (absolute; unchecked). */
int ledger_refused(struct ledger *ledger, struct ledger_arena *arena, const uint64_t refused[TALLY_REFUSALS]);

/* Once a second: end sessions whose process is gone, close their open calls as aborted. Opens a
 * transaction only if there is something to write.
 *
 * A session is ended by the second tick that finds its process gone: what the process had left on lanes not yet
 * drained then has come in between. All lanes must have been drained once between two ticks; to settle everything at once
 * (recovery), repeat drain, observe, tick three times. */
int ledger_tick(struct ledger *ledger, int64_t now_unix_ns);

/* Another age, as options.retention_ns, from the next ledger_retain() on. */
void ledger_set_retention(struct ledger *ledger, int64_t retention_ns);

/* Delete a slice of rows past their age, in its own transaction. Returns 1 if there is more. */
int ledger_retain(struct ledger *ledger, int64_t now_unix_ns);

/* Figures since start, for logs. */
struct ledger_figures {
    uint64_t records, rows, commits, skipped, aborted_calls;
    uint64_t open_calls, sessions_running;
};
void ledger_figures(const struct ledger *ledger, struct ledger_figures *out);

#endif
