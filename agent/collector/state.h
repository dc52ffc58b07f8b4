/* state.h: what the collector's files share. No other module includes it. */
#ifndef TALLY_COLLECTOR_STATE_H
#define TALLY_COLLECTOR_STATE_H

#include "arena/arena_reader.h"
#include "arena/lane_reader.h"
#include "arena/quarantine.h"
#include "board/board.h"
#include "collector/collector.h"
#include "collector/doorbell.h"
#include "collector/events.h"
#include "ledger/ledger.h"
#include "liveness/deaths.h"
#include "price/table.h"
#include "spill/spill_folders.h"

#include <arena_file.h>

#define SECOND_NS INT64_C(1000000000)

/* No count in shared memory gets this far: a thousand years at ten thousand records a second. What lies
 * beyond is nonsense, and as a count of losses it would overflow the database's sums. */
#define PLAUSIBLE_MAX (UINT64_C(1) << 48)

/* One transaction: at most so many records, and so many bytes of them in memory. */
#define BATCH_RECORDS_MAX 50000u
#define BATCH_BYTES_MAX   (16u * 1024u * 1024u)
/* Room for two of the largest records: a smaller piece of a lane might hold no whole one. */
#define BATCH_BYTES_MIN (2u * TALLY_RECORD_BYTES_MAX)

/* While the agent sleeps it looks at quiet lanes in turns: in each second at one in so many. See quiet.c. */
#define LOOK_TURNS 8u

/* What the collector remembers of a lane, beside what the ledger knows. */
struct lane_state {
    struct lane_head observed; /* as last shown to the ledger */
    int64_t observed_ns;       /* monotonic; 0: never */
    int64_t changed_ns;        /* monotonic: when something in it was last found to be new */
    struct mortal *mortal;     /* its owner's process is waited for; NULL: it is not */
    uint32_t tenures;          /* the table's hint at the last look */
    bool in_use;               /* somebody owns it, or the ledger holds its tenure open */
    bool unreadable;           /* said so already */
    bool suspect;              /* a check failed in an earlier round ... */
    uint64_t suspect_position; /* ... here */
    /* what the board said when the database was found to be older: 0: it was not */
    uint64_t restored_position;
    uint64_t restored_sequence;
};

/* One arena that is open. */
struct served {
    struct served *next;
    char path[ARENA_PATH_MAX];
    struct arena_reader reader;
    struct board board;
    struct doorbell doorbell;
    struct ledger_arena *ledger;
    struct lane_state *lanes;
    uint64_t refused[TALLY_REFUSALS]; /* as last shown to the ledger */
    bool orphaned;                    /* its name is gone or another's: drain it through the descriptor */
    int64_t orphaned_ns;              /* monotonic */
    int64_t scanned_ns;               /* monotonic: when every lane was looked at */
    bool asleep;                      /* writers know that the agent sleeps: who publishes rings ... */
    uint32_t asleep_at;               /* ... the doorbell, which stood here */
    bool in_use;                      /* after a round: some lane is */
};

/* One name under which an arena is expected. */
struct station {
    struct station *next;
    char path[ARENA_PATH_MAX];
    uid_t uid;
    bool create;
    bool wanted;         /* false: the configuration does not name it any more */
    int lock;            /* -1: not held */
    struct served *here; /* NULL: none */
    int64_t retry_ns;    /* monotonic: try again then; 0: when the file system says so */
    int folder_watch;    /* -1: none; several names in one folder share one */
    int file_watch[3];   /* the arena, its board, its lock */
};

struct batch {
    unsigned char *bytes;
    size_t used;
    uint32_t records;
};

/* A spill file that was looked at and is not to be looked at again: refused, or not to be removed. */
struct spill_known {
    char name[SPILL_NAME_MAX];
};
#define SPILL_KNOWN_MAX 256

/* One in which something is missed, and how far its log or lane was then. */
struct spill_second {
    struct spill_found file;
    uint64_t position;
};

/* Spill files: what is being taken in. spill.c. */
struct spill {
    struct spill_folders folders;
    int64_t scanned_ns; /* monotonic; 0: at once */
    struct spill_list list;
    size_t next;    /* in the list */
    bool unwatched; /* some folder does not exist, or cannot be watched */
    bool blind;     /* some folder could not be looked through to its end: what is missed may stand there */
    /* the file under way */
    int fd; /* -1: none */
    uid_t uid;
    uint64_t offset;
    bool carried; /* its bytes stood in a lane of this arena: carried.c */
    uint8_t arena[16];
    struct tally_carried parcel;
    bool damaged; /* bytes were set aside: the numbers that are missing next were among them */
    uint64_t damaged_at;
    /* read to their ends, to be removed when what they held is committed */
    struct spill_found *done;
    size_t done_count;
    /* numbers were missing when they were first read: look at them once more, behind whatever has turned up meanwhile */
    struct spill_second *second;
    size_t second_count;
    struct spill_known *known; /* SPILL_KNOWN_MAX of them */
    size_t known_count;
    uint64_t files; /* taken in since start */
};

struct collector {
    const struct agent_config *config;
    struct ledger *ledger;
    struct price_table *prices; /* what the ledger prices by */
    struct quarantine quarantine;
    struct events events;
    struct batch batch;
    struct spill spill;
    struct station *stations;
    struct served *served;
    int state_lock;
    bool once;            /* take what is there and leave: no arena is made, nothing is waited for */
    bool unwatched;       /* the kernel grants no more watches: look at the names each second */
    bool barrier_refused; /* no membarrier: a lost wake-up is possible, and costs the bound */
    bool gone_settled;    /* arenas that are gone have been looked for: gone.c */
    bool settling;        /* the end: show the ledger everything in every round */
    int64_t checked_ns;   /* monotonic: when the database was last looked at for damage; 0: never */
    int64_t retained_ns;  /* monotonic: when to look for old rows again */
    uint64_t retain_rows; /* as many had come in all when old ones were last thought of */
    int64_t clock_ahead;  /* of the clock before the time since boot, at the last look; 0: none yet */
    int64_t even_ns;      /* monotonic: since when the clock has not been stepped */
    uint64_t round;
    struct deaths deaths;   /* of the processes that own quiet lanes */
    uint64_t own_namespace; /* of PIDs; 0: not known, or nobody is waited for */
    uint32_t turn;          /* which of the quiet lanes are looked at, from 1; 0: all */
    /* of the round under way */
    bool moved;   /* some record was taken, or something was committed */
    bool pressed; /* some lane was more than half full */
    bool waiting; /* some lane has to be read again soon */
    bool rung;    /* a doorbell is not where it was when sleep was announced */
    struct arena_table table;
};

/* spill.c: spill files. */
/* After the ledger and before stations. 0 or -errno. */
int spill_open(struct collector *collector);
/* After stations_configure(): make the own folder, watch all. */
void spill_prepare(struct collector *collector);
void spill_close(struct collector *collector);
/* How long a sleep may be at most; negative: no bound. */
int64_t spill_bound_ns(const struct collector *collector);
/* The own folder, for the board; "" if it cannot be had. */
const char *spill_directory(const struct collector *collector);
/* Take some of what is there, after the lanes. 0, or the ledger's error. */
int spill_round(struct collector *collector, bool thorough);
/* Everything handed to the ledger is committed, or none of what was since the last commit. */
void spill_committed(struct collector *collector);
void spill_abandoned(struct collector *collector);
/* Something is missed before a record in this file. Whether that is to be believed: not before all folders have been looked through once
 * more to their ends, and nothing of it has turned up by then, which `position`, how far the log or lane is, would show. */
bool spill_second_look(struct spill *spill, const struct spill_found *file, uint64_t position);

/* carried.c: files with what clients have carried over out of an arena that was gone. */
/* Look at one that is open, with its header read. 0; -ENODATA: nothing stands in it; or a negative errno value: leave it alone. */
int carried_begin(struct collector *collector, int fd, const struct tally_spill_header *header,
                  const struct stat *status);
/* Fetch and take one piece of the file under way: 1 to go on, 2 at its end, 0 to leave it for now, or an error. */
int carried_take(struct collector *collector, const struct spill_found *file);

/* gone.c: after rounds, until it has been done once: what arenas are gone that nobody drained. */
void gone_settle(struct collector *collector);

/* drain.c: memory for the next piece, committing what fills it if need be. */
int batch_room(struct collector *collector, uint64_t wanted, uint64_t *room);
/* One lane. 0, or the ledger's error. */
int drain_lane(struct collector *collector, struct served *served, uint32_t lane);

/* quiet.c: lanes in which nothing happens. */
/* Whether a look at this one may wait for a later second. now: monotonic. */
bool quiet_waits(const struct collector *collector, const struct served *served, uint32_t lane, int64_t now);
/* Whether nothing has changed, most likely, and if so lane_read_again() says all that there is to say. */
bool quiet_likely(const struct lane_state *state, const struct ledger_lane *known, int64_t now);
/* After each look, and before state->observed is replaced. */
void quiet_note(struct collector *collector, const struct served *served, uint32_t lane,
                const struct lane_head *head, int64_t now);
/* Nobody waits for the owners of these lanes any more. */
void quiet_forget(struct collector *collector, struct served *served);

/* round.c: look at all arenas' lanes, commit, publish. thorough: also at lanes that are not in use. Returns 0, or the
 * ledger's error, after which the transaction has been abandoned: the next round reads the lanes
 * again from what is committed. */
int round_run(struct collector *collector, bool thorough);
/* Commit what is under way, then publish it. The batch's memory is free again. */
int round_commit(struct collector *collector);

/* serve.c: one arena: open it, give it a board and a doorbell, and let go of it. */
struct attach_problem {
    char text[COLLECTOR_ERROR_BYTES];
    bool untrusted; /* what stands under the name: clients go elsewhere, too */
};
/* 0; -ENOENT: there is none, and none is to be made; another negative errno value with a sentence. */
int serve_attach(struct collector *collector, struct station *station, struct attach_problem *problem);
/* Its name is gone: drain it through the descriptor, and send its clients elsewhere. */
void serve_orphan(struct collector *collector, struct station *station);
/* Give it a board again, if somebody has deleted or replaced it. */
int serve_check_board(struct collector *collector, struct served *served);
/* Not within a transaction. retired: it is gone for good. */
int serve_detach(struct collector *collector, struct served *served, bool retired);

/* Another database has taken the place of the one that it was attached to: attach it to the new one, where it knows
 * of the board's positions. serve_unbind() first, before the old one is closed. Both keep the arena open. */
void serve_unbind(struct collector *collector, struct served *served);
int serve_bind_again(struct collector *collector, struct served *served);

/* database.c: open the ledger. A database that is found to be damaged is set aside, and a new one begun. 0, or a negative
 * errno value with error[]. */
int database_open(struct collector *collector, char error[COLLECTOR_ERROR_BYTES]);
/* After -EUCLEAN from a round: the same, with the arenas that are open. 1: it was sound, go on as after any error. A
 * negative errno value with error[]: there is no database any more, the agent has to leave. */
int database_replace(struct collector *collector, char error[COLLECTOR_ERROR_BYTES]);

/* prices.c: read the list that the configuration names. Before the ledger is opened: 0 or -1 with error[]. */
int prices_open(struct collector *collector, char error[COLLECTOR_ERROR_BYTES]);
/* Again, and hand it to the ledger. One that is not sound changes nothing, and is said in the log. */
void prices_reload(struct collector *collector);

/* watch.c: after names have been looked at: watch what the next change of them shows in. */
void watch_update(struct collector *collector);

/* stations.c: the names under which arenas are expected. */
/* Take the configuration's names over. Returns 0 or -1 with error[]. */
int stations_configure(struct collector *collector, char error[COLLECTOR_ERROR_BYTES]);
/* Attach what can be attached. starting: the first one must be, else -1 with error[]. */
int stations_attach(struct collector *collector, bool starting, char error[COLLECTOR_ERROR_BYTES]);
/* After a file-system event: what has gone, what has come. */
void stations_check(struct collector *collector);
/* After a round, outside of transactions: let go of what is drained for good. */
void stations_retire(struct collector *collector);
enum event_name stations_relevant(void *context, const char *name);
/* Whether files of this user are served. */
bool stations_serve_uid(const struct collector *collector, uid_t uid);
int64_t stations_retry_ns(const struct collector *collector); /* monotonic; 0: none is due */
void stations_release(struct collector *collector);

int64_t clock_now(clockid_t clock);

#endif
