/* process.h: what the library knows of its process, and of each of its threads.
 *
 * The first thing that an entry point looks at is the sentinel, a page that the kernel wipes in a forked
 * child: a zero there means "you are a child; you own no lane and are no session yet". process_start()
 * then begins anew. Nothing here is locked; process_start() is run by one thread at a time, and
 * those that come while it runs wait for its dozen system calls.
 *
 *   function             who may call it
 *   process_generation   anybody, at any time
 *   process_start        any thread that has entered (thread->busy); not a vfork child
 *   thread_enter/leave   any thread, any signal handler
 */
#ifndef TALLY_SHIM_PROCESS_H
#define TALLY_SHIM_PROCESS_H

#include "arena_file.h"
#include "platform.h"

#include <tally/record.h>
#include <tally/tally.h>

#define PROCESS_CLIENTS_MAX 256
#define SPILL_DIRECTORY_MAX 400
#define IDENTITY_BYTES_MAX  3072

struct sentinel;
struct lane_view;
struct arena_view;
struct spill_log;

/* A session: the process (index 0) or a client object. */
struct tally_client {
    uint32_t state;      /* CLIENT_* below */
    uint32_t generation; /* moves with each new session in this place: lanes introduce it anew */
    uint8_t session_id[16];
    char service[129];
    char tags[1025];
    uint32_t truncated;
    /* the fields of a CLIENT record that are the same in every tenure */
    uint32_t identity_bytes;
    uint8_t identity[IDENTITY_BYTES_MAX] __attribute__((aligned(8)));
};
enum { CLIENT_FREE = 0, CLIENT_CLAIMED = 1, CLIENT_LIVE = 2 };

struct process {
    /* as set by tally_init() or the environment; unchanged once started */
    bool disabled;
    bool debug;
    bool signals;
    int32_t overflow;
    int32_t block_timeout_ms;
    gid_t group;
    char arena_name[ARENA_PATH_MAX]; /* empty: the default for the effective uid */
    bool configured;                 /* tally_init() was given options */
    int64_t spill_bytes_max;
    char spill_directory[SPILL_DIRECTORY_MAX]; /* TALLY_SPILL_DIR; empty: none */
    char spill_state[SPILL_DIRECTORY_MAX];     /* in the user's state folder; empty: none */

    /* since process_start() */
    pthread_key_t thread_key; /* of which threads have a value that are to leave their lanes when they end */
    bool thread_key_made;
    struct sentinel *sentinel; /* its page, for ever; NULL before first use; atomic */
    uint64_t generation;
    uint32_t pid;
    uint64_t start_time;
    uint64_t pid_namespace;
    bool robust; /* the C library's robust list is as we know it */
    uint64_t calls;
    uint32_t spilled;          /* 1: some record of this session went to a spill file; atomic */
    int64_t spilled_bytes;     /* in spill files, an upper bound but for short races: spill.c; atomic */
    uint64_t spill_counted_ns; /* monotonic: when it was counted anew; atomic */
    uint32_t spill_serial;     /* of the logs; atomic */
    uint64_t carried_ns;       /* monotonic: when an arena was seen to be gone, 0: never; atomic */
    struct spill_log *spills;  /* all ever mapped, kept over fork; grows only */
    struct lane_view *lanes;   /* all ever mapped since; grows only */
    struct arena_view *arenas; /* likewise, kept over fork */
    struct tally_client *clients[PROCESS_CLIENTS_MAX]; /* 0: the process itself */
};
extern struct process tally_process;

struct thread {
    volatile int busy;          /* within a tally call */
    volatile int publishing;    /* within so many publications of final sequences: they may be nested */
    uint64_t generation;        /* of the process when the lane was taken */
    struct lane_view *lane;     /* NULL: none yet */
    uint64_t refused_until;     /* monotonic ns: no lane could be had, do not try before */
    int refusal;                /* why */
    struct arena_view *refuser; /* where refusals are counted; NULL: there is no arena */
    struct spill_log *spill;    /* NULL: none yet */
    uint64_t spill_generation;  /* of the process when it was claimed */
};
extern __thread struct thread tally_thread;

/* The sentinel: the present generation, or 0 in a child (and before first use). */
extern const uint64_t *tally_sentinel;
static inline uint64_t process_generation(void)
{
    /* acquire: pairs with the release in process_start(), behind which the page is there to be read. */
    return __atomic_load_n(__atomic_load_n(&tally_sentinel, __ATOMIC_ACQUIRE), __ATOMIC_RELAXED);
}

static inline bool thread_enter(struct thread *thread)
{
    if (unlikely(thread->busy))
        return false;
    thread->busy = 1;
    compiler_barrier();
    return true;
}

static inline void thread_leave(struct thread *thread)
{
    compiler_barrier();
    thread->busy = 0;
}

/* Make the process (or the child that it has become) a session, with these options if not NULL. 0, or a negative errno value:
 * -EALREADY if there are options and it, or the parent that it was forked from, is one already. */
int process_start(const struct tally_options *options);

/* Whether we run in a vfork() child: memory is the parent's, and so is everything here. A thread there may
 * write to a lane that its parent's thread has, but must take none: the kernel would not guard it. */
bool process_is_vfork_child(void);

/* Fill in an identity for a session; service and tags are in place. */
void client_identify(struct tally_client *client, const struct tally_client *parent);

/* See to it that at_thread_exit() runs for the calling thread (tenure.c). */
void thread_watch_exit(struct thread *thread);

/* Whether a thread of this process is no more (it ended by a bare system call, without its destructors). */
bool thread_gone(uint32_t tid);

/* One line on standard error if TALLY_DEBUG=1; at most 200 bytes. Signal-safe for the formats used: %s %d %u. */
void process_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
