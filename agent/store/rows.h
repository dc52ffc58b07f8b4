/* rows.h: what goes into the store and comes out of it, as plain values. The store's tables and
 * the records' fields are made from the same lists in tally/record.h, so that they cannot drift apart.
 *
 * A row borrows all memory that it points to; it is valid during the call that it is handed to.
 */
#ifndef TALLY_STORE_ROWS_H
#define TALLY_STORE_ROWS_H

#include <stdbool.h>
#include <tally/record.h>
#include <tally/tally.h>

/* UTF-8 without NUL; data NULL: unknown. */
struct text {
    const char *data;
    uint32_t length;
};

enum usage_text {
#define TALLY_X(id, name, bytes_max) USAGE_TEXT_##name,
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
        USAGE_TEXTS
};

enum usage_number {
#define TALLY_X(id, name) USAGE_NUMBER_##name,
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
        USAGE_NUMBERS
};

/* What a record says about a call's usage. */
struct usage_values {
    struct text texts[USAGE_TEXTS];
    int64_t numbers[USAGE_NUMBERS];
    uint32_t numbers_known; /* bit n: numbers[n] means something */
    struct text usage_json;
    uint64_t truncated; /* bit n: field id n was cut or left out; 63: usage_json */
};

static inline bool usage_number_known(const struct usage_values *values, enum usage_number number)
{
    return values->numbers_known >> number & 1;
}
static inline void usage_number_set(struct usage_values *values, enum usage_number number, int64_t value)
{
    values->numbers[number] = value;
    values->numbers_known |= 1u << number;
}

/* usage.amendable: why a row may still change, and which of its values the agent worked out, so that a
 * record that comes late is merged as if it had come in time. */
enum {
    AMENDABLE_OPEN = 1,       /* records of the call are, or may be, still to come */
    AMENDABLE_ABORTED = 2,    /* its end was not seen; status and `estimated` are the agent's */
    AMENDABLE_BEGUN = 4,      /* its begin record is in */
    AMENDABLE_START = 8,      /* start_time_unix_ns was derived */
    AMENDABLE_DURATION = 16,  /* duration_ns was derived */
    AMENDABLE_STATUS = 32,    /* status was derived */
    AMENDABLE_ESTIMATED = 64, /* flag `estimated` was set by the agent */
    AMENDABLE_PROVIDER = 128, /* provider was told by the server's name */
};

/* Of a call whose records may still come, by field id (usage_json: 63): the step of the record that a
 * value is from. A blob of little-endian 32-bit numbers in the tables. */
#define FIELD_STEPS     64
#define USAGE_JSON_STEP 63

/* A row of `usage`. values: with start_time and status, both always known by now. */
struct usage_row {
    int64_t client_id;
    int64_t lane_id;
    int64_t sequence;
    int64_t time_unix_ns;
    const uint8_t *call_id; /* 16 bytes, or NULL: none, and the next six mean nothing */
    uint32_t call_step;
    int64_t call_records;
    int64_t call_records_total;  /* -1: not known */
    const uint32_t *field_steps; /* FIELD_STEPS of them; only while amendable */
    uint32_t amendable;          /* 0: final */
    bool cost_known;
    int64_t cost_picodollars;
    bool list_cost_known; /* the provider's statement counts instead */
    int64_t list_cost_picodollars;
    struct text cost_basis; /* schema_v2.sql; data NULL: never priced */
    int64_t price_table_id; /* 0: none */
    const struct usage_values *values;
};

/* A row of `open_calls`. */
struct call_row {
    const uint8_t *call_id;
    int64_t client_id;
    int64_t lane_id;
    int64_t sequence;
    int64_t time_unix_ns;
    uint32_t call_step;
    int64_t begun_unix_ns; /* -1: not seen */
    int64_t call_records;
    const uint32_t *field_steps;
    const struct usage_values *values;
};

/* The rollup's sums, in the order of usage_hourly's columns; Y: those that are never NULL. */
#define ROLLUP_SUMS(Y)                                                                                       \
    Y(calls)                                                                                                 \
    Y(input_tokens)                                                                                          \
    Y(output_tokens)                                                                                         \
    Y(cache_read_tokens)                                                                                     \
    Y(cache_write_5m_tokens)                                                                                 \
    Y(cache_write_1h_tokens)                                                                                 \
    Y(reasoning_tokens)                                                                                      \
    Y(input_audio_tokens)                                                                                    \
    Y(output_audio_tokens)                                                                                   \
    Y(input_image_tokens)                                                                                    \
    Y(output_image_tokens)                                                                                   \
    Y(duration_ns)                                                                                           \
    Y(input_tokens_unknown)                                                                                  \
    Y(output_tokens_unknown)                                                                                 \
    Y(duration_unknown)                                                                                      \
    Y(estimated)                                                                                             \
    Y(provider_cost_calls)                                                                                   \
    Y(cost_unknown)
#define ROLLUP_TEXTS(Y)                                                                                      \
    Y(provider)                                                                                              \
    Y(request_model)                                                                                         \
    Y(service)                                                                                               \
    Y(team)                                                                                                  \
    Y(project)                                                                                               \
    Y(key_fingerprint)

enum rollup_sum {
#define TALLY_Y(name) ROLLUP_##name,
    ROLLUP_SUMS(TALLY_Y)
#undef TALLY_Y
        ROLLUP_SUM_COUNT
};
/* Sums of money: NULL where no call states one. Wider than a column, see schema_v2.sql. */
enum rollup_money { ROLLUP_MONEY_provider_cost, ROLLUP_MONEY_cost, ROLLUP_MONEY_COUNT };
enum rollup_text {
#define TALLY_Y(name) ROLLUP_TEXT_##name,
    ROLLUP_TEXTS(TALLY_Y)
#undef TALLY_Y
        ROLLUP_TEXT_COUNT
};

/* What a transaction adds to one row of `usage_hourly`. Differences: they may be negative where
 * an aborted call was amended. */
struct rollup_row {
    int64_t hour_unix_s;
    struct text texts[ROLLUP_TEXT_COUNT]; /* "" where unknown, never NULL */
    int64_t status;                       /* TALLY_STATUS_* */
    int64_t sums[ROLLUP_SUM_COUNT];
    __int128 money[ROLLUP_MONEY_COUNT]; /* picodollars */
};

/* A price list, as its row of `price_tables` names it. */
struct price_list_row {
    const char *name;
    const char *sha256;
    const char *date; /* "": it does not say */
    int64_t models;
    int64_t now_unix_ns;
};

/* Who a client is: written once. */
struct client_identity {
    uint8_t session_id[16];
    int64_t parent_id; /* 0: none */
    struct text service, host, executable, tags, resource_attributes, library_version;
    int64_t pid, process_start_time, pid_namespace, uid; /* -1: unknown */
    bool truncated;
    int64_t started_unix_ns;
};

enum client_ended { CLIENT_RUNNING, CLIENT_CLEAN, CLIENT_DIED, CLIENT_EXEC, CLIENT_UNKNOWN };

/* What becomes of it. */
struct client_state {
    int64_t last_unix_ns;
    int64_t ended_unix_ns; /* meaningful unless CLIENT_RUNNING */
    enum client_ended ended;
    bool complete;
    int64_t tenures, tenures_open, tenures_died;
    int64_t written, persisted, lost, refused;
};

struct client_row {
    int64_t client_id;
    struct client_identity identity;
    struct client_state state;
};

struct lane_row {
    int64_t lane_id;
    int64_t arena_id;
    uint32_t lane;
    int64_t position, sequence;
    int64_t persisted, lost, refused, quarantines;
    int64_t client_id; /* 0: none */
    int64_t tenure, tenure_first_sequence, tenure_first_refused;
    bool tenure_open;
    int64_t tid, start_time; /* -1: unknown */
};

struct arena_row {
    int64_t arena_id;
    uint8_t uuid[16];
    int64_t spill_uid; /* -1: an arena */
    const char *path;
    uint8_t boot_id[16];
    int64_t created_unix_ns;
    int64_t attached_unix_ns;
    int64_t refused_no_lane, refused_reentered, refused_no_spill;
};

struct loss_row {
    int64_t arena_id;
    int64_t lane;      /* -1: not on one lane */
    int64_t client_id; /* 0: not known */
    const char *cause;
    bool numbered;
    int64_t records; /* -1: not known */
    int64_t time_unix_ns;
    const char *detail; /* or NULL */
};

#endif
