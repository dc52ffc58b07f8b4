/* stage.h: the page that a victim shares with its tracer: where it stands, and a log of its calls.
 *
 * The log lies outside of the victim and of the arena, and is written around each call: an entry is ATTEMPTED before
 * it and RETURNED after it. Whatever instruction the victim dies at, the tracer knows which records
 * were acknowledged and which one, at most, was in flight.
 *
 * stage_* functions are called in victims; the tracer reads the page between two stops.
 */
#ifndef TESTS_CRASH_STAGE_H
#define TESTS_CRASH_STAGE_H

#include <stdint.h>
#include <sys/types.h>
#include <tally/tally.h>

#define STAGE_ENTRIES_MAX 128

enum stage_phase { STAGE_PREPARING, STAGE_PAUSED, STAGE_BEGUN, STAGE_ENDED };
enum stage_state { STAGE_NOT_TRIED, STAGE_ATTEMPTED, STAGE_RETURNED };
/* Who wrote a record: the process before the victim, the victim, the one after it. */
enum stage_role { ROLE_PREDECESSOR, ROLE_VICTIM, ROLE_SUCCESSOR, ROLES };

struct stage_entry {
    uint32_t role;
    uint32_t kind;   /* enum tally_record_kind */
    uint32_t number; /* stands in the record's input_tokens; a call's three records have the same */
    volatile uint32_t state;
    volatile int32_t result;
};

struct stage {
    volatile uint32_t phase;
    volatile uint32_t entries;
    pid_t pid[ROLES];
    uint32_t role; /* of the process that is running */
    uint32_t next; /* number */
    uint32_t call; /* of the call in flight */
    struct stage_entry entry[STAGE_ENTRIES_MAX];
};
extern struct stage *stage;

/* The calls, logged. usage_json of `json` bytes makes a record longer. */
int stage_record(size_t json);
int stage_client_record(struct tally_client *client);
void stage_client_release(struct tally_client *client);
int stage_call_begin(struct tally_call *call);
int stage_call_progress(struct tally_call *call);
int stage_call_end(struct tally_call *call);

/* Stop for the tracer: it lets an agent drain the arena before going on. */
void stage_pause(void);
/* What stands between these two is killed at every instruction. A thread other than the first calls
 * stage_join() before. */
void stage_begin(void);
void stage_end(void);
void stage_join(void);

/* Leave without running exit handlers, and say so on standard error. */
void stage_fail(const char *what) __attribute__((noreturn));

#endif
