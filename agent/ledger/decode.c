/* decode.c: see decode.h. */
#include "ledger/decode.h"

#include <errno.h>

#include "ledger/utf8.h"

#define COUNT_MAX INT64_C(1000000000000000)    /* 10^15: struct tally_usage */
#define COST_MAX  INT64_C(1000000000000000000) /* 10^18 picodollars: a million dollars */

/* The ranges of tally.h. */
static const struct {
    int64_t least;
    int64_t most;
} ranges[USAGE_NUMBERS] = {
    [USAGE_NUMBER_input_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_output_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_cache_read_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_cache_write_5m_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_cache_write_1h_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_reasoning_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_input_audio_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_output_audio_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_input_image_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_output_image_tokens] = {0, COUNT_MAX},
    [USAGE_NUMBER_start_time_unix_ns] = {0, INT64_MAX},
    [USAGE_NUMBER_duration_ns] = {0, INT64_MAX},
    [USAGE_NUMBER_time_to_first_token_ns] = {0, INT64_MAX},
    [USAGE_NUMBER_provider_cost_picodollars] = {0, COST_MAX},
    [USAGE_NUMBER_status] = {TALLY_STATUS_OK, TALLY_STATUS_ABORTED},
    [USAGE_NUMBER_http_status] = {100, 599},
    [USAGE_NUMBER_flags] = {0, UINT32_MAX},
};

/* What a field id means to usage records: 0 unknown, else 1 + index. */
static const uint8_t text_of_id[256] = {
#define TALLY_X(id, name, bytes_max) [id] = 1 + USAGE_TEXT_##name,
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
};
static const uint8_t number_of_id[256] = {
#define TALLY_X(id, name) [id] = 1 + USAGE_NUMBER_##name,
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
};

/* ---- walking ---- */

struct field {
    uint8_t id;
    uint8_t type;
    uint16_t length;
    const char *value;
};

/* The field at *at, and *at past it. 1, 0 at the record's end, -EBADMSG. A record's length is a
 * multiple of 8 and so is a field's, hence a rest is never too short for a field's head. */
static inline int next_field(const struct tally_record_header *record, uint32_t *at, struct field *field)
{
    const char *bytes = (const char *)record;
    struct tally_field head;

    if (*at >= record->length)
        return 0;
    uint32_t left = record->length - *at;
    if (left < sizeof(head))
        return -EBADMSG;
    memcpy(&head, bytes + *at, sizeof(head));
    uint32_t taken = tally_field_bytes(head.length);
    if (taken > left)
        return -EBADMSG;
    *field = (struct field){head.id, head.type, head.length, bytes + *at + sizeof(head)};
    *at += taken;
    return 1;
}

static inline int read_number(const struct field *field, int64_t *value)
{
    if (field->type == TALLY_TYPE_U32 && field->length == 4) {
        uint32_t number;
        memcpy(&number, field->value, sizeof(number));
        *value = number;
        return 0;
    }
    if (field->type == TALLY_TYPE_I64 && field->length == 8) {
        memcpy(value, field->value, sizeof(*value));
        return 0;
    }
    return -EBADMSG;
}

/* Positions and identities: what is negative is not known. */
static int read_natural(const struct field *field, int64_t *value)
{
    int result = read_number(field, value);
    if (*value < 0)
        *value = -1;
    return result;
}

static int read_id(const struct field *field, uint8_t id[16])
{
    if (field->type != TALLY_TYPE_BYTES || field->length != 16)
        return -EBADMSG;
    memcpy(id, field->value, 16);
    return 0;
}

static inline int read_text(const struct field *field, struct text *text, struct decode_scratch *scratch)
{
    if (field->type != TALLY_TYPE_TEXT)
        return -EBADMSG;
    text->data = field->value;
    text->length = field->length;
    if (!utf8_sound(field->value, field->length)) {
        /* All fields together are shorter than a record, so that the room suffices for all. */
        char *mended = scratch->bytes + scratch->used;
        text->length = utf8_mend(field->value, field->length, mended);
        text->data = mended;
        scratch->used += text->length;
    }
    return 0;
}

/* ---- usage ---- */

static inline int read_usage_number(const struct field *field, struct usage_values *values)
{
    unsigned which = number_of_id[field->id] - 1u;
    int64_t value = 0;
    int result = read_number(field, &value);
    if (result)
        return result;
    if (value >= ranges[which].least && value <= ranges[which].most) {
        usage_number_set(values, (enum usage_number)which, value);
        values->truncated &= ~(UINT64_C(1) << field->id);
    } else {
        values->numbers_known &= ~(1u << which);
        values->truncated |= UINT64_C(1) << field->id;
    }
    return 0;
}

static int read_usage_other(const struct field *field, struct usage_record *out,
                            struct decode_scratch *scratch, uint64_t *truncated)
{
    int64_t value = 0;
    int result;
    switch (field->id) {
    case TALLY_FIELD_usage_json:
        return read_text(field, &out->values.usage_json, scratch);
    case TALLY_FIELD_truncated:
        result = read_number(field, &value);
        *truncated = (uint64_t)value;
        return result;
    case TALLY_FIELD_call_id:
        out->has_call_id = true;
        return read_id(field, out->call_id);
    case TALLY_FIELD_call_step:
        result = read_number(field, &value);
        out->call_step = value >= 0 && value <= UINT32_MAX ? value : -1;
        return result;
    case TALLY_FIELD_call_records:
        return read_natural(field, &out->call_records);
    default:
        return 0;
    }
}

int decode_usage(const struct tally_record_header *record, struct usage_record *out,
                 struct decode_scratch *scratch)
{
    uint32_t at = sizeof(*record);
    uint64_t truncated = 0;
    struct field field;
    int result;

    memset(out, 0, sizeof(*out));
    out->call_step = -1;
    out->call_records = -1;
    scratch->used = 0;
    while ((result = next_field(record, &at, &field)) > 0) {
        if (text_of_id[field.id])
            result = read_text(&field, &out->values.texts[text_of_id[field.id] - 1], scratch);
        else if (number_of_id[field.id])
            result = read_usage_number(&field, &out->values);
        else
            result = read_usage_other(&field, out, scratch, &truncated);
        if (result)
            return result;
    }
    out->values.truncated |= truncated;
    return result;
}

/* ---- clients ---- */

static int read_client_field(const struct field *field, struct client_record *out,
                             struct decode_scratch *scratch)
{
    int64_t value = 0;
    int result;
    switch (field->id) {
    case TALLY_FIELD_session_id:
        out->has_session_id = true;
        return read_id(field, out->session_id);
    case TALLY_FIELD_pid:
        return read_natural(field, &out->pid);
    case TALLY_FIELD_tid:
        return read_natural(field, &out->tid);
    case TALLY_FIELD_start_time:
        return read_natural(field, &out->start_time);
    case TALLY_FIELD_process_start_time:
        return read_natural(field, &out->process_start_time);
    case TALLY_FIELD_pid_namespace:
        return read_natural(field, &out->pid_namespace);
    case TALLY_FIELD_uid:
        return read_natural(field, &out->uid);
    case TALLY_FIELD_tenure:
        return read_natural(field, &out->tenure);
    case TALLY_FIELD_predecessor_sequence:
        return read_natural(field, &out->predecessor_sequence);
    case TALLY_FIELD_predecessor_final:
        return read_natural(field, &out->predecessor_final);
    case TALLY_FIELD_predecessor_refused:
        return read_natural(field, &out->predecessor_refused);
    case TALLY_FIELD_client_truncated:
        result = read_number(field, &value);
        out->truncated = value != 0;
        return result;
    case TALLY_FIELD_host:
        return read_text(field, &out->host, scratch);
    case TALLY_FIELD_executable:
        return read_text(field, &out->executable, scratch);
    case TALLY_FIELD_service:
        return read_text(field, &out->service, scratch);
    case TALLY_FIELD_client_tags:
        return read_text(field, &out->tags, scratch);
    case TALLY_FIELD_resource_attributes:
        return read_text(field, &out->resource_attributes, scratch);
    case TALLY_FIELD_library_version:
        return read_text(field, &out->library_version, scratch);
    default:
        return 0;
    }
}

int decode_client(const struct tally_record_header *record, struct client_record *out,
                  struct decode_scratch *scratch)
{
    uint32_t at = sizeof(*record);
    struct field field;
    int result;

    *out = (struct client_record){
        .pid = -1,
        .tid = -1,
        .start_time = -1,
        .process_start_time = -1,
        .pid_namespace = -1,
        .uid = -1,
        .tenure = -1,
        .predecessor_sequence = -1,
        .predecessor_final = -1,
        .predecessor_refused = -1,
    };
    scratch->used = 0;
    while ((result = next_field(record, &at, &field)) > 0) {
        result = read_client_field(&field, out, scratch);
        if (result)
            return result;
    }
    return result;
}
