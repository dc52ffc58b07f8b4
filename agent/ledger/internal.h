/* internal.h: the ledger's own state, for the files of this folder alone.
 *
 *   ledger.c    opening, transactions, failure, records dispatched
 *   load.c      memory from the database: at opening, at attaching, after a failure
 *   sessions.c  who the clients are; tenures begin and end
 *   logs.c      spill logs
 *   lanes.c     positions, and whose a lane is
 *   merge.c     a call's records become one
 *   calls.c     calls in flight, their closing; rows
 *   cost.c      what a usage object says; what a row costs
 *   rollup.c    the transaction's sums
 *   reprice.c   rows priced anew, by the tally command
 *   endings.c   what is seen from outside: owners gone, processes gone
 *   gone.c      arenas of which nothing is left
 *   retain.c    retention
 *
 * Killed right here: at any instruction nothing but memory is lost that the database and the ring do
 * not hold. An error anywhere below ledger_*() leaves memory in any state that can be freed; ledger_abandon()
 * then frees it and loads it anew. So no function here undoes what it did before it failed.
 */
#ifndef TALLY_LEDGER_INTERNAL_H
#define TALLY_LEDGER_INTERNAL_H

#include <sys/queue.h>

#include "ledger/cost.h"
#include "ledger/decode.h"
#include "ledger/ledger.h"
#include "ledger/table.h"
#include "store/store.h"

LIST_HEAD(session_list, session);
LIST_HEAD(call_list, call);
LIST_HEAD(lane_list, ledger_lane_private);
LIST_HEAD(arena_list, ledger_arena_private);

/* A client: a process, or a client object (then it has a parent). In memory while it runs, and as long as a lane or a
 * call refers to it. */
struct session {
    struct table_node by_session_id;
    struct table_node by_client_id;
    int64_t client_id;
    int64_t parent_id; /* 0: a process */
    uint8_t session_id[16];
    struct client_state state;
    int64_t pid, process_start_time, pid_namespace; /* -1: unknown */
    struct text service;                            /* its own memory, after the struct; "" if unknown */
    uint32_t references; /* lanes' tenures, lanes' client maps, children; not calls, which have a list */
    bool dirty;          /* in ledger.dirty_sessions */
    bool waiting;        /* in ledger.waiting: all tenures ended, but not yet the session */
    bool gone_before;    /* the tick before found the process gone */
    bool spilled;        /* seen in a spill log since the agent started */
    struct session *parent;
    struct session_list children;
    struct call_list calls;
    LIST_ENTRY(session) sibling;
    LIST_ENTRY(session) dirty_link;
    LIST_ENTRY(session) waiting_link;
};

/* A call in flight; also a row of usage while it is amended. Texts lie in `buffer`. */
struct call {
    struct table_node by_call_id;
    LIST_ENTRY(call) of_session;
    struct call *next; /* in dirty_calls or free_calls */
    uint8_t call_id[16];
    struct session *session; /* of the newest record; NULL while a row is amended */
    int64_t client_id;
    int64_t lane_id, sequence, time; /* of the newest record */
    uint32_t step;                   /* of the newest record */
    bool ended;                      /* the END record is in */
    bool stored;                     /* has a row in open_calls */
    bool dirty;                      /* differs from it; in ledger.dirty_calls */
    bool closed;                     /* no longer in flight: to be freed when the dirty list is walked */
    int64_t begun;                   /* time of its BEGIN; -1: not seen */
    int64_t records;                 /* BEGIN and PROGRESS records merged */
    int64_t records_total;           /* as END says; -1 */
    uint32_t steps[FIELD_STEPS];     /* which record each value is from */
    struct usage_values values;
    char *buffer;
    size_t capacity;
};

struct lane_client {
    uint16_t client;
    struct session *session;
};

struct ledger_lane_private {
    struct ledger_lane *lane;
    struct lane_row row;     /* position, sequence and tenure_open: filled in from `lane` when written */
    struct session *session; /* whose tenure it is, or was last; NULL: not known */
    struct lane_client *clients;
    uint32_t client_count, client_capacity;
    uint32_t newest_ended_tenure; /* becomes lane->ended_tenure with the commit */
    uint32_t tenure_serial;       /* which tenure it is, since the agent started */
    uint32_t observed_serial;     /* which one it was at the last ledger_observe() */
    uint32_t looks;
    uint32_t vanished; /* tid of an owner whose word is unmarked and that the last observation found gone */
    bool dirty;
    bool carried; /* its owner has carried it over in this transaction */
    bool cut;     /* but not all of it */
    LIST_ENTRY(ledger_lane_private) dirty_link;
};

struct ledger_arena_private {
    struct arena_row row;
    LIST_ENTRY(ledger_arena_private) link;
    struct ledger_arena *arena;
    bool log;   /* a spill log */
    bool brief; /* in memory during one transaction: a log, or an arena of which files alone are left */
};

struct rollup;

struct ledger {
    struct store *store;
    struct ledger_options options;
    char *state_directory;
    uint64_t own_namespace;
    uint64_t seed;
    bool in_transaction;
    bool stale; /* memory must be loaded anew before the next transaction */

    struct table sessions; /* by session id */
    struct table clients;  /* the same, by client id */
    struct table calls;    /* in flight */
    struct table rollups;  /* of this transaction */
    struct arena_list arenas;
    struct session_list dirty_sessions;
    struct session_list waiting;
    struct lane_list dirty_lanes;
    struct call *dirty_calls;
    struct call *free_calls;
    struct rollup *rollup_list; /* all of this transaction */
    struct rollup *free_rollups;
    uint64_t
        amendable; /* rows that a record still to come may amend: an upper bound; 0 spares a query a call */

    char *merge_buffer; /* swapped with a call's buffer when it is merged */
    size_t merge_capacity;
    int64_t retain_usage_cursor, retain_label_cursor, retain_client_cursor;

    struct costing costing;
    struct understood understood; /* of the record in `usage`, whose texts may lie in it */
    struct decode_scratch scratch;
    struct usage_record usage;
    struct client_record client;
    struct ledger_figures figures;
    struct ledger_figures figures_at_begin;
    char error[512]; /* the ledger's own; empty: the store's */
};

/* Where a record stands, and whose it is. */
struct place {
    struct ledger_arena *arena;
    uint32_t lane_number;
    struct ledger_lane *lane;
    struct ledger_lane_private *private_;
    const struct tally_record_header *record;
    int64_t time; /* the record's, within int64 */
    struct session *process;
    struct session *session; /* the client object's, or the process's */
};

static inline int64_t clamp(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static inline int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return a > 0 ? INT64_MAX : INT64_MIN;
}

int64_t ledger_now(void);
int ledger_say(struct ledger *ledger, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- sessions.c ---- */
int ledger_session_find(struct ledger *ledger, const uint8_t session_id[16], struct session **out);
int ledger_session_of_client(struct ledger *ledger, int64_t client_id, struct session **out);
int ledger_session_load(struct ledger *ledger, const struct client_row *row, struct session **out);
int ledger_session_adopt(struct ledger *ledger, struct session *session);
bool ledger_session_in_memory(const struct ledger *ledger, int64_t client_id);
void ledger_session_touch(struct ledger *ledger, struct session *session);
void ledger_session_wait(struct ledger *ledger, struct session *session);
void ledger_session_unwait(struct session *session);
void ledger_session_end(struct ledger *ledger, struct session *session, enum client_ended how, int64_t time);
/* Drop from memory what has ended and is referred to by nothing. After a commit only. */
void ledger_session_release(struct ledger *ledger, struct session *session);
void ledger_session_free(struct ledger *ledger, struct session *session);
/* Fill place->process and ->session. */
int ledger_attribute(struct ledger *ledger, struct place *place);
int ledger_apply_client(struct ledger *ledger, struct place *place, const struct client_record *record);
int ledger_apply_client_end(struct ledger *ledger, struct place *place, const struct client_record *record);
void ledger_tenure_end(struct ledger *ledger, struct ledger_lane_private *lane, bool clean);

/* ---- lanes.c ---- */
int ledger_lane_use(struct ledger *ledger, struct ledger_arena *arena, uint32_t number);
int ledger_load_lanes(struct ledger *ledger, struct ledger_arena *arena);
void ledger_lane_touch(struct ledger *ledger, struct ledger_lane_private *lane);
void ledger_lane_set_session(struct ledger *ledger, struct ledger_lane_private *lane,
                             struct session *session);
int ledger_lane_set_client(struct ledger *ledger, struct ledger_lane_private *lane, uint16_t client,
                           struct session *session);
int ledger_lane_clear_clients(struct ledger *ledger, struct ledger_lane_private *lane);
void ledger_lane_free(struct ledger *ledger, struct ledger_lane *lane);
/* The lane's refusal counter stands at `refused` now: what was added was this session's (NULL: nobody knows whose). */
int ledger_lane_refused(struct ledger *ledger, struct ledger_arena *arena, struct ledger_lane_private *lane,
                        uint64_t refused, struct session *session);
int ledger_lanes_flush(struct ledger *ledger);
void ledger_lanes_committed(struct ledger *ledger);

/* ---- endings.c ---- */
int ledger_end_session(struct ledger *ledger, struct session *session, enum client_ended how, int64_t now);

/* ---- gone.c ---- */
/* Nobody will drain this lane, whose tenure is open: it ends, and if its process is dead that is a loss of unknown size. 1: it is; 0; or
 * an error. */
int ledger_lose_lane(struct ledger *ledger, struct ledger_arena *arena, uint32_t number, bool other_boot,
                     int64_t now);

/* ---- logs.c ---- */
/* Their tenures end with each transaction: nothing in shared memory says whether one goes on. */
int ledger_logs_settle(struct ledger *ledger);
void ledger_logs_close(struct ledger *ledger);

/* ---- merge.c ---- */
int ledger_call_merge(struct ledger *ledger, struct call *call, const struct place *place,
                      const struct usage_record *record);
/* Copy the texts, wherever they lie, into the call's own buffer. */
int ledger_call_keep_texts(struct ledger *ledger, struct call *call);

/* ---- calls.c ---- */
int ledger_apply_usage(struct ledger *ledger, struct place *place, struct usage_record *record);
int ledger_apply_call(struct ledger *ledger, struct place *place, struct usage_record *record);
int ledger_call_abort(struct ledger *ledger, struct call *call);
int ledger_call_load(struct ledger *ledger, const struct call_row *row);
int ledger_calls_flush(struct ledger *ledger);
void ledger_calls_free(struct ledger *ledger);

/* ---- rollup.c ---- */
/* Which row of the rollup a call counts in: its hour, texts and status; and what it adds there (sign -1: takes away). */
void rollup_key(const struct usage_row *usage, struct text service, struct rollup_row *key);
void rollup_count(struct rollup_row *row, const struct usage_row *usage, int sign);
int ledger_rollup_add(struct ledger *ledger, const struct usage_row *usage, struct text service, int sign);
int ledger_rollups_flush(struct ledger *ledger);
void ledger_rollups_clear(struct ledger *ledger);
void ledger_rollups_free(struct ledger *ledger);

/* ---- load.c ---- */
/* Load memory anew if a failure made it stale. Pointers into it do not outlive this. */
int ledger_refresh(struct ledger *ledger);
void ledger_unload(struct ledger *ledger);
/* With lanes, among the ledger's arenas, and no id yet. */
int ledger_arena_new(struct ledger *ledger, uint32_t lane_count, struct ledger_arena **out);
void ledger_arena_free(struct ledger *ledger, struct ledger_arena *arena);

#endif
