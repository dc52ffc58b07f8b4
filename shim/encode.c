#include "encode.h"

#include <errno.h>
#include <string.h>

#define COUNT_MAX INT64_C(1000000000000000)
#define COST_MAX  INT64_C(1000000000000000000)

/* The largest record without usage_json leaves room for a useful one. */
#define TALLY_X(id, name, bytes_max) +((4 + (bytes_max) + 7) / 8 * 8)
#define TEXT_BYTES_MAX               (0 TALLY_USAGE_TEXTS(TALLY_X))
#define TALLY_X_NUMBER(id, name)     +16
#define NUMBER_BYTES_MAX             (0 TALLY_USAGE_NUMBERS(TALLY_X_NUMBER))
#define CALL_BYTES_MAX               (24 + 8 + 16)
#define JSON_BYTES_SURE              1300
TALLY_LAYOUT(sizeof(struct tally_record_header) + TEXT_BYTES_MAX + NUMBER_BYTES_MAX + CALL_BYTES_MAX +
                 JSON_BYTES_SURE + 4 + 7 <=
             TALLY_RECORD_BYTES_MAX);
#undef TALLY_X
#undef TALLY_X_NUMBER

#define FIELDS_BYTES_MAX (TALLY_RECORD_BYTES_MAX - (uint32_t)sizeof(struct tally_record_header))
#define TRUNCATED_JSON   (UINT64_C(1) << 63)

uint8_t *encode_number(uint8_t *at, uint8_t id, uint64_t value)
{
    if (value <= UINT32_MAX) {
        /* id, type, length and value as one word */
        uint64_t word = (uint64_t)id | (uint64_t)TALLY_TYPE_U32 << 8 | UINT64_C(4) << 16 | value << 32;
        memcpy(at, &word, sizeof word);
        return at + sizeof word;
    }
    struct tally_field field = {id, TALLY_TYPE_I64, 8};
    memset(at + 8, 0, 8);
    memcpy(at, &field, sizeof field);
    memcpy(at + sizeof field, &value, sizeof value);
    return at + 16;
}

uint8_t *encode_bytes(uint8_t *at, uint8_t id, uint8_t type, const void *value, uint32_t length)
{
    struct tally_field field = {id, type, (uint16_t)length};
    uint32_t bytes = tally_field_bytes(length);
    memset(at + bytes - 8, 0, 8);
    memcpy(at, &field, sizeof field);
    memcpy(at + sizeof field, value, length);
    return at + bytes;
}

uint32_t encode_cut(const char *text, uint32_t bytes_max, bool *cut)
{
    size_t length = strnlen(text, (size_t)bytes_max + 1);
    *cut = length > bytes_max;
    if (!*cut)
        return (uint32_t)length;
    length = bytes_max;
    /* Back to the first byte of the character that did not fit; not far, should it be no UTF-8. */
    for (int back = 0; back < 3 && length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80; back++)
        length--;
    return (uint32_t)length;
}

bool encode_copy(char *out, size_t bytes, const char *text)
{
    bool cut = false;
    uint32_t length = text ? encode_cut(text, (uint32_t)bytes - 1, &cut) : 0;
    if (text)
        memcpy(out, text, length);
    out[length] = '\0';
    return cut;
}

static inline uint8_t *put_text(uint8_t *at, uint8_t id, uint32_t bytes_max, const char *text,
                                uint64_t *truncated)
{
    bool cut;
    if (!text || !*text)
        return at;
    uint32_t length = encode_cut(text, bytes_max, &cut);
    if (cut)
        *truncated |= UINT64_C(1) << id;
    return encode_bytes(at, id, TALLY_TYPE_TEXT, text, length);
}

/* One past the last value that a number may take. */
static inline int64_t limit(uint8_t id)
{
    switch (id) {
    case TALLY_FIELD_start_time_unix_ns:
    case TALLY_FIELD_duration_ns:
    case TALLY_FIELD_time_to_first_token_ns:
        return INT64_MAX;
    case TALLY_FIELD_provider_cost_picodollars:
        return COST_MAX + 1;
    case TALLY_FIELD_status:
        return TALLY_STATUS_ABORTED + 1;
    case TALLY_FIELD_http_status:
        return 600;
    case TALLY_FIELD_flags:
        return INT64_C(1) << 32;
    default:
        return COUNT_MAX + 1;
    }
}

int encode_usage(uint8_t *fields, const struct tally_usage *usage, const struct encode_call *call)
{
    uint8_t *at = fields;
    uint64_t truncated = 0;

    if (call) {
        at = encode_bytes(at, TALLY_FIELD_call_id, TALLY_TYPE_BYTES, call->id, sizeof call->id);
        at = encode_number(at, TALLY_FIELD_call_step, call->step);
        if (call->step == TALLY_CALL_STEP_END)
            at = encode_number(at, TALLY_FIELD_call_records, call->records);
    }
    if (!usage)
        return (int)(at - fields);

#define TALLY_X(id, name, bytes_max) at = put_text(at, id, bytes_max, usage->name, &truncated);
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X

    /* flags 0 says nothing; every other number says nothing at -1. */
#define TALLY_X(id, name)                                                                                    \
    if ((int64_t)usage->name != ((id) == TALLY_FIELD_flags ? 0 : -1)) {                                      \
        if ((int64_t)usage->name < 0 || (int64_t)usage->name >= limit(id))                                   \
            return -ERANGE;                                                                                  \
        at = encode_number(at, id, (uint64_t)usage->name);                                                   \
    }
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X

    if (usage->usage_json && usage->usage_json_length) {
        /* Half an object is of no use to anyone: whole or not at all. 16 bytes are kept for `truncated`. */
        size_t used = (size_t)(at - fields) + 16;
        if (usage->usage_json_length <= FIELDS_BYTES_MAX - used - sizeof(struct tally_field) - 7)
            at = encode_bytes(at, TALLY_FIELD_usage_json, TALLY_TYPE_TEXT, usage->usage_json,
                              (uint32_t)usage->usage_json_length);
        else
            truncated |= TRUNCATED_JSON;
    }
    if (truncated)
        at = encode_number(at, TALLY_FIELD_truncated, truncated);
    return (int)(at - fields);
}
