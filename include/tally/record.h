/* tally/record.h: what stands in a lane (and in a spill file): records of fields.
 *
 * A record is a fixed header and then fields, a multiple of 8 bytes in all and at
 * most TALLY_RECORD_BYTES_MAX. It never wraps round the ring's end: a padding
 * record, of which only the first 8 bytes mean anything and which takes no
 * sequence number, fills the rest. Records of unknown kind and fields of unknown id
 * are skipped and kept, so that old agents and new clients live together.
 *
 * All of this is pure computation on the caller's memory: any thread, signal-safe.
 */
#ifndef TALLY_RECORD_H
#define TALLY_RECORD_H

#include <tally/abi.h>

#include <string.h>

#define TALLY_RECORD_BYTES_MAX 4096u

enum tally_record_kind {
    TALLY_KIND_PADDING = 1,
    TALLY_KIND_CLIENT = 2,        /* a tenure begins, or a client object is first used in it */
    TALLY_KIND_USAGE = 3,         /* a finished call */
    TALLY_KIND_CALL_BEGIN = 4,    /* a call in flight ... */
    TALLY_KIND_CALL_PROGRESS = 5, /* ... with the counts so far ... */
    TALLY_KIND_CALL_END = 6,      /* ... and its final ones */
    TALLY_KIND_CLIENT_END = 7     /* a client object was released */
};

struct tally_record_header {
    uint32_t length;   /* bytes, header included; a multiple of 8 */
    uint16_t kind;     /* enum tally_record_kind */
    uint16_t client;   /* 0: the process; else a client object introduced by a CLIENT record */
    uint64_t sequence; /* of the lane (or spill file), unbroken from 1 */
    uint64_t position; /* where this record begins */
    uint64_t time_unix_ns;
    uint32_t checksum; /* tally_checksum() with this field 0 */
    uint32_t reserved;
};
TALLY_LAYOUT(sizeof(struct tally_record_header) == 40);

/* A field: this head, `length` bytes, zeros up to the next multiple of 8. */
struct tally_field {
    uint8_t id;      /* enum tally_field_id */
    uint8_t type;    /* enum tally_field_type */
    uint16_t length; /* of the value, bytes */
};
TALLY_LAYOUT(sizeof(struct tally_field) == 4);

enum tally_field_type {
    TALLY_TYPE_U32 = 1,  /* 4 bytes: the usual form of a count */
    TALLY_TYPE_I64 = 2,  /* 8 bytes: a count that needs them */
    TALLY_TYPE_TEXT = 3, /* UTF-8 as the client had it, no NUL */
    TALLY_TYPE_BYTES = 4
};

/* Usage. X(id, name, bytes_max): the members of struct tally_usage by the same
 * names, and the columns of the agent's tables. bytes_max is where text is cut. */
#define TALLY_USAGE_TEXTS(X)                                                                                 \
    X(1, provider, 64)                                                                                       \
    X(2, operation, 32)                                                                                      \
    X(3, request_model, 200)                                                                                 \
    X(4, response_model, 200)                                                                                \
    X(5, response_id, 128)                                                                                   \
    X(6, service_tier, 32)                                                                                   \
    X(7, server_address, 255)                                                                                \
    X(8, error_type, 128)                                                                                    \
    X(9, user, 128)                                                                                          \
    X(10, team, 128)                                                                                         \
    X(11, project, 128)                                                                                      \
    X(12, session, 128)                                                                                      \
    X(13, key_fingerprint, 64)                                                                               \
    X(14, trace_id, 32)                                                                                      \
    X(15, span_id, 16)                                                                                       \
    X(16, tags, 512)

/* X(id, name): whole numbers, -1 unknown. */
#define TALLY_USAGE_NUMBERS(X)                                                                               \
    X(32, input_tokens)                                                                                      \
    X(33, output_tokens)                                                                                     \
    X(34, cache_read_tokens)                                                                                 \
    X(35, cache_write_5m_tokens)                                                                             \
    X(36, cache_write_1h_tokens)                                                                             \
    X(37, reasoning_tokens)                                                                                  \
    X(38, input_audio_tokens)                                                                                \
    X(39, output_audio_tokens)                                                                               \
    X(40, input_image_tokens)                                                                                \
    X(41, output_image_tokens)                                                                               \
    X(42, start_time_unix_ns)                                                                                \
    X(43, duration_ns)                                                                                       \
    X(44, time_to_first_token_ns)                                                                            \
    X(45, provider_cost_picodollars)                                                                         \
    X(46, status)                                                                                            \
    X(47, http_status)                                                                                       \
    X(48, flags)

enum tally_field_id {
#define TALLY_X(id, name, bytes_max) TALLY_FIELD_##name = id,
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name) TALLY_FIELD_##name = id,
        TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
    /* the provider's own usage object; whole or not at all */
    TALLY_FIELD_usage_json = 64,
    /* which of the above were cut or left out: bit n is field id n (I64; ids below 63),
     * bit 63 is usage_json */
    TALLY_FIELD_truncated = 65,
    /* calls: 16 bytes, unique for ever; and the order of its records: BEGIN 0,
     * PROGRESS 1, 2, ..., END TALLY_CALL_STEP_END */
    TALLY_FIELD_call_id = 66,
    TALLY_FIELD_call_step = 67,
    /* U32, in END: how many BEGIN and PROGRESS records of the call were written (returned 0), so that the agent knows
     * whether one is still to come on another lane; without it a late one must be looked for for ever */
    TALLY_FIELD_call_records = 68,

    /* CLIENT records (and session_id in CLIENT_END) */
    TALLY_FIELD_session_id = 128,        /* 16 random bytes: one process, or one client object */
    TALLY_FIELD_parent_session_id = 129, /* of a client object: its process's */
    TALLY_FIELD_pid = 130,
    TALLY_FIELD_tid = 131,
    TALLY_FIELD_start_time = 132,         /* I64, of the thread: struct tally_identity */
    TALLY_FIELD_process_start_time = 133, /* I64, of the process (thread group) */
    TALLY_FIELD_pid_namespace = 134,
    TALLY_FIELD_uid = 135,
    TALLY_FIELD_host = 136,
    TALLY_FIELD_executable = 137,
    TALLY_FIELD_service = 138,             /* TALLY_SERVICE, OTEL_SERVICE_NAME, tally_options */
    TALLY_FIELD_client_tags = 139,         /* TALLY_TAGS, tally_options: k=v,k=v */
    TALLY_FIELD_resource_attributes = 140, /* OTEL_RESOURCE_ATTRIBUTES */
    TALLY_FIELD_library_version = 141,
    TALLY_FIELD_tenure = 142,               /* U32, struct tally_lane_entry.tenures after taking */
    TALLY_FIELD_predecessor_sequence = 143, /* I64, the lane's last sequence as found */
    TALLY_FIELD_predecessor_final = 144,    /* I64, final_sequence as found */
    TALLY_FIELD_predecessor_refused = 145,  /* I64, refused_full as found */
    TALLY_FIELD_client_truncated = 146      /* U32, 1: identity or tags were cut */
};
#define TALLY_CALL_STEP_END UINT32_MAX

/* Bytes that a field with a value of `length` bytes takes in a record. */
static inline uint32_t tally_field_bytes(uint32_t length)
{
    return ((uint32_t)sizeof(struct tally_field) + length + 7u) & ~7u;
}

/* Detects torn, stale and scribbled records; it is no defence against forgery.
 * Sixteen bytes a step, the steps independent of each other, so that the
 * multiplications overlap. length: a multiple of 8; record: 8-aligned. */
static inline uint32_t tally_checksum(const void *record, uint32_t length)
{
    const unsigned char *at = (const unsigned char *)record;
    const unsigned char *end = at + (length & ~15u);
    uint64_t sum = length * UINT64_C(0x9E3779B97F4A7C15);
    uint64_t key = UINT64_C(0xD1B54A32D192ED03);
    uint64_t first;
    uint64_t second;

    for (; at != end; at += 16) {
        memcpy(&first, at, 8);
        memcpy(&second, at + 8, 8);
        unsigned __int128 product =
            (unsigned __int128)(first ^ key) * (second ^ (key + UINT64_C(0x8CB92BA72F3D8DD7)));
        sum += (uint64_t)product ^ (uint64_t)(product >> 64);
        key += UINT64_C(0xA0761D6478BD642F);
    }
    if (length & 8) {
        memcpy(&first, at, 8);
        unsigned __int128 product = (unsigned __int128)(first ^ key) * UINT64_C(0xE7037ED1A0B428DB);
        sum += (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    sum ^= sum >> 32;
    sum *= UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(sum >> 32);
}

#endif
