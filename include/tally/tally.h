/* tally/tally.h: record what a program spends on language-model APIs.
 *
 *     #include <tally/tally.h>                                   cc app.c -ltally
 *
 *     struct tally_usage u = TALLY_USAGE_INIT;
 *     u.provider = "openai";  u.request_model = "gpt-4o-mini";  u.operation = "chat";
 *     u.input_tokens = 812;   u.output_tokens = 64;
 *     tally_record(&u);
 *
 * When tally_record() has returned 0 the record stands in shared memory (or in a spill file) outside the
 * process: no death of the process and no restart of the agent loses it or counts
 * it twice. There is nothing to flush. A program that calls nothing else is served well.
 *
 * All functions
 *   - return 0 or a positive result, or a negative errno value; errno is left as it was;
 *   - are thread-safe, and never wait for another thread;
 *   - never print (but see TALLY_DEBUG), never abort, start no thread, keep no file descriptor;
 *   - may be called after fork() in the child, which is a client of its own: records,
 *     lanes and shutdown of parent and child do not touch each other;
 *   - may be called in a vfork() child, which counts as its parent's thread (if it is killed within a
 *     tally call, that thread's calls get -EBUSY from then on);
 *   - may be called from a signal handler where the text says so; a call that interrupts
 *     another tally call of the same thread is refused with -EBUSY, counted as "reentered",
 *     and does no harm;
 *   - must not be left by longjmp() or by asynchronous cancellation: that thread's
 *     calls are refused (-EBUSY) from then on. Deferred cancellation is safe.
 *
 * Environment, read once at first use:
 *   TALLY_ARENA      name of the shared memory, default /tally-<euid>.v1; a name with more
 *                    than one slash is a path (a volume that containers share)
 *   TALLY_GROUP      group name or number: make the arena 0660 for that group
 *   TALLY_LANES, TALLY_LANE_KIB   geometry of an arena that is made: lanes (1 to 16384, default 1024), KiB
 *                    of each (16 to 16384, default 128)
 *   TALLY_SERVICE    name of the service; else OTEL_SERVICE_NAME, else service.name in
 *                    OTEL_RESOURCE_ATTRIBUTES
 *   TALLY_TAGS       k=v,k=v for every record of the process
 *   OTEL_RESOURCE_ATTRIBUTES   kept with the client's row
 *   TALLY_OVERFLOW   spill, block or drop: what to do when a lane is full or none can be had (default spill)
 *   TALLY_SPILL_DIR  folder for spill files, if the agent names none; else $XDG_STATE_HOME/tally/spill,
 *                    ~/.local/state/tally/spill, or /var/lib/tally/spill
 *   TALLY_SPILL_MAX  bytes that a process may have in spill files, default 268435456 (256 MiB)
 *   TALLY_BLOCK_MS   bound of block, 0 to 60000, default 100
 *   TALLY_SIGNALS    1: as tally_options.signals
 *   TALLY_DISABLE    1: record nothing; every call succeeds without effect
 *   TALLY_DEBUG      1: one line on standard error for shutdowns and for what went wrong
 */
#ifndef TALLY_TALLY_H
#define TALLY_TALLY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_VERSION "0.1.0"
#define TALLY_API     __attribute__((visibility("default")))

/* ---- usage ------------------------------------------------------------------ */

/* tally_usage.status */
#define TALLY_STATUS_UNKNOWN   (-1) /* the agent decides: error if error_type or http_status >= 400 */
#define TALLY_STATUS_OK        0
#define TALLY_STATUS_ERROR     1
#define TALLY_STATUS_CANCELLED 2 /* the caller gave up: a closed stream, a time-out of its own */
#define TALLY_STATUS_ABORTED   3 /* the process died; set by the agent */

/* tally_usage.flags */
#define TALLY_FLAG_STREAMED  1u /* the response was a stream */
#define TALLY_FLAG_ESTIMATED 2u /* the counts are the caller's estimate, not the provider's */
#define TALLY_FLAG_BATCH     4u /* billed at the provider's batch rate */

/* What one call used. Names are OpenTelemetry's GenAI names (gen_ai.usage.input_tokens
 * and so on) where it has one. Texts are UTF-8, NULL: unknown; they are read during
 * the call only, cut at a character's border past the number of bytes given, and the
 * row then says which. Numbers: -1 unknown, which is not the same as 0; counts may
 * be 0 to 10^15 and are never cut (beyond that: -ERANGE). Never put prompts, completions
 * or keys into any of these. */
struct tally_usage {
    uint32_t size;  /* sizeof(struct tally_usage); TALLY_USAGE_INIT sets it */
    uint32_t flags; /* TALLY_FLAG_* */

    const char *provider;        /* gen_ai.provider.name: "openai", "anthropic"; 64 bytes */
    const char *operation;       /* gen_ai.operation.name: "chat", "embeddings"; 32 */
    const char *request_model;   /* gen_ai.request.model; 200 */
    const char *response_model;  /* gen_ai.response.model; 200 */
    const char *response_id;     /* gen_ai.response.id; 128 */
    const char *service_tier;    /* as the response states it: "default", "flex"; 32 */
    const char *server_address;  /* server.address, a host name; 255 */
    const char *error_type;      /* error.type: a class, not a message; 128 */
    const char *user;            /* end user; 128 */
    const char *team;            /* 128 */
    const char *project;         /* 128 */
    const char *session;         /* conversation or agent run; 128 */
    const char *key_fingerprint; /* first hex digits of a key's SHA-256, never a key; 64 */
    const char *trace_id;        /* 32 hex digits */
    const char *span_id;         /* 16 hex digits */
    const char *tags;            /* k=v,k=v; 512 */

    int64_t input_tokens;          /* tokens; those read from and written to a cache included */
    int64_t output_tokens;         /* tokens; reasoning included */
    int64_t cache_read_tokens;     /* part of input_tokens */
    int64_t cache_write_5m_tokens; /* part of input_tokens; kept for 5 minutes, or the default */
    int64_t cache_write_1h_tokens; /* part of input_tokens; kept for 1 hour */
    int64_t reasoning_tokens;      /* part of output_tokens */
    int64_t input_audio_tokens;    /* part of input_tokens */
    int64_t output_audio_tokens;   /* part of output_tokens */
    int64_t input_image_tokens;    /* part of input_tokens */
    int64_t output_image_tokens;   /* part of output_tokens */

    int64_t start_time_unix_ns;        /* when the request left; ns since 1970 UTC */
    int64_t duration_ns;               /* request to last byte */
    int64_t time_to_first_token_ns;    /* request to first token of a stream */
    int64_t provider_cost_picodollars; /* cost that the provider stated; 10^-12 US dollar, to 10^18 */

    int32_t status;      /* TALLY_STATUS_* */
    int32_t http_status; /* 100 to 599; -1 unknown */

    const char *usage_json;   /* the provider's own usage object, as received: kept whole if it */
    size_t usage_json_length; /* fits (1,300 bytes always do), else left out; bytes, 0: none */
};

#ifdef __cplusplus
static inline struct tally_usage tally_usage_init_(void)
{
    struct tally_usage usage = tally_usage();
    usage.size = static_cast<uint32_t>(sizeof(usage));
    usage.input_tokens = usage.output_tokens = usage.cache_read_tokens = -1;
    usage.cache_write_5m_tokens = usage.cache_write_1h_tokens = usage.reasoning_tokens = -1;
    usage.input_audio_tokens = usage.output_audio_tokens = -1;
    usage.input_image_tokens = usage.output_image_tokens = -1;
    usage.start_time_unix_ns = usage.duration_ns = usage.time_to_first_token_ns = -1;
    usage.provider_cost_picodollars = -1;
    usage.status = usage.http_status = -1;
    return usage;
}
#define TALLY_USAGE_INIT (tally_usage_init_())
#else
/* A constant initialiser: everything unknown. */
#define TALLY_USAGE_INIT                                                                                     \
    {                                                                                                        \
        .size = (uint32_t)sizeof(struct tally_usage), .input_tokens = -1, .output_tokens = -1,               \
        .cache_read_tokens = -1, .cache_write_5m_tokens = -1, .cache_write_1h_tokens = -1,                   \
        .reasoning_tokens = -1, .input_audio_tokens = -1, .output_audio_tokens = -1,                         \
        .input_image_tokens = -1, .output_image_tokens = -1, .start_time_unix_ns = -1, .duration_ns = -1,    \
        .time_to_first_token_ns = -1, .provider_cost_picodollars = -1, .status = -1, .http_status = -1       \
    }
#endif

/* ---- recording ---------------------------------------------------------------- */

/* tally_options.overflow: what tally_record() does when no lane can be had, or the thread's is full
 * because no agent drains it, or the agent cannot keep up. */
#define TALLY_OVERFLOW_DEFAULT 0 /* the environment's, else spill */
#define TALLY_OVERFLOW_BLOCK   1 /* wait for room, at most block_timeout_ms, then as drop */
#define TALLY_OVERFLOW_DROP    2 /* -EAGAIN at once; counted as lost: lane_full */
#define TALLY_OVERFLOW_SPILL   3 /* to a file, which the agent takes in: some ten system calls a record */

struct tally_options {
    uint32_t size;            /* sizeof(struct tally_options); TALLY_OPTIONS_INIT sets it */
    int32_t signals;          /* 1: publish the final sequence on SIGTERM and SIGINT, if their disposition
                                 is the default when tally_init() is called, then die of the signal; 0: not;
                                 -1: the environment's. Nothing is lost without it. */
    int32_t overflow;         /* TALLY_OVERFLOW_* */
    int32_t block_timeout_ms; /* 0 to 60000; -1: the environment's, else 100 */
    const char *arena;        /* as TALLY_ARENA; NULL: the environment's */
    const char *service;      /* as TALLY_SERVICE; NULL: the environment's; 128 bytes */
    const char *tags;         /* as TALLY_TAGS; NULL: the environment's; 1024 bytes */
};
#define TALLY_OPTIONS_INIT                                                                                   \
    {                                                                                                        \
        sizeof(struct tally_options), -1, TALLY_OVERFLOW_DEFAULT, -1, NULL, NULL, NULL                       \
    }

/* Optional: set the process's options before its first record. options: read during
 * the call only; NULL: the environment's. Returns 0; -EALREADY if the process has been
 * initialised, by an earlier call with options or by recording (tally_init(NULL) is then 0); -EINVAL
 * for a value out of range or an arena name that cannot be one. Not signal-safe. */
TALLY_API int tally_init(const struct tally_options *options);

/* Record one finished call. usage: not NULL, made with TALLY_USAGE_INIT; status unknown and
 * start time unknown are filled in by the agent. Returns 0 when the record is safe;
 *   -EINVAL   usage is NULL, or its size is not one of this library's versions
 *   -ERANGE   a count or time is out of its range
 *   -EAGAIN   the lane is full (see overflow; not where it spills); counted as lane_full
 *   -EUSERS (every lane is taken), -ENOSPC, -EACCES, -EMFILE, ...  no lane could be had, nor a spill file where it
 *             spills; counted as no_lane, or then as no_spill, where
 *             there is an arena to count it in
 *   -EBUSY    it interrupted another tally call of this thread; counted as reentered
 * Usual cost: no system call, no lock, no allocation. A thread's first record takes a lane: some
 * twenty system calls. Signal-safe in a thread that has recorded before. */
TALLY_API int tally_record(const struct tally_usage *usage);

/* A call in flight. Make it by tally_call_begin(); copy it nowhere while it is in use. The
 * contents are the library's own. */
struct tally_call {
    uint64_t opaque[8];
};

/* Say that a call has begun. If the process dies before tally_call_end(), the agent closes it as
 * aborted, with the last counts known, marked estimated. call: the caller's memory, overwritten; usage: what is known so
 * far, or NULL. start_time_unix_ns unknown is now. Errors as tally_record(); after an error the
 * call may still be ended, and is then recorded whole by its end. */
TALLY_API int tally_call_begin(struct tally_call *call, const struct tally_usage *usage);

/* Say what is known by now: counts so far, not increments. Fields left unknown keep their value.
 * May be called on any thread, also in a forked child. Errors as tally_record(); -EINVAL
 * also for a call that was never begun or has ended. */
TALLY_API int tally_call_progress(struct tally_call *call, const struct tally_usage *usage);

/* The call is over. usage: what is known now (NULL: nothing new); duration_ns unknown is the time since
 * tally_call_begin(). Exactly one thread ends a call. Errors as tally_call_progress(); after -EAGAIN, -ENOSPC or
 * -EBUSY it has not ended and may be tried again. */
TALLY_API int tally_call_end(struct tally_call *call, const struct tally_usage *usage);

/* ---- shutdown ------------------------------------------------------------------ */

#define TALLY_TIMEOUT_DEFAULT (-1) /* 10 seconds */
#define TALLY_PUBLISHED       0    /* all records are safe in shared memory and the end is marked clean */
#define TALLY_DURABLE         1    /* and the agent has them on disk */

/* Mark the process's end as clean: publish the final sequence of each of its lanes as they
 * are at entry. timeout_ms 0: return at once. Else wait, at most so long (negative:
 * 10 s), until those records are durable; return at once if no agent is running.
 * Once a record of the process has gone to a spill file the answer is TALLY_PUBLISHED: when the agent takes the
 * file in is not to be seen from here.
 * Returns TALLY_DURABLE or TALLY_PUBLISHED, whichever was reached; -EBUSY if it interrupted another tally call of
 * this thread (what was complete is published all the same). Idempotent; any number of threads at a time;
 * holds up nobody's records. Recording afterwards works and withdraws the mark. Never needed for
 * safety: exit() does tally_shutdown(0) by itself. Signal-safe with timeout_ms 0. */
TALLY_API int tally_shutdown(int timeout_ms);

/* ---- client objects -------------------------------------------------------------- */

/* For a program that embeds several clients: an own identity (service, tags, session) within one
 * process. Of the options only service and tags count; the rest is the process's. */
struct tally_client;

/* Returns a new client object, or NULL with errno set: EINVAL, ENOMEM, EMFILE (more than 255 at a time).
 * Not signal-safe. In a forked child the parent's objects stay usable, as a session of their own. */
TALLY_API struct tally_client *tally_client_new(const struct tally_options *options);

/* As tally_record() and tally_call_begin(), for a client object. client NULL: the process. */
TALLY_API int tally_client_record(struct tally_client *client, const struct tally_usage *usage);
TALLY_API int tally_client_call_begin(struct tally_client *client, struct tally_call *call,
                                      const struct tally_usage *usage);

/* Release it: marks its session as ended cleanly and waits a little, at most 5 s, for its records to be
 * durable; returns at once if no agent runs. Best effort, never an error: the records are safe anyway. client NULL:
 * nothing happens. No other thread may use the object any more. Not signal-safe. */
TALLY_API void tally_client_release(struct tally_client *client);

/* ---- miscellany -------------------------------------------------------------------- */

/* The library's version, "0.1.0". Signal-safe. */
TALLY_API const char *tally_version(void);

#ifdef __cplusplus
}
#endif
#endif
