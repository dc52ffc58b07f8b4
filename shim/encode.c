#include "encode.h"

#include "platform.h"

#include <errno.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* id, type, length and value as one word; value: below 2^32 */
static inline uint8_t *put_small(uint8_t *at, uint8_t id, uint64_t value)
{
    uint64_t word = (uint64_t)id | (uint64_t)TALLY_TYPE_U32 << 8 | UINT64_C(4) << 16 | value << 32;
    memcpy(at, &word, sizeof word);
    return at + sizeof word;
}

uint8_t *encode_number(uint8_t *at, uint8_t id, uint64_t value)
{
    if (value <= UINT32_MAX)
        return put_small(at, id, value);
    /* the same with half of the value; the other half, zeros */
    uint64_t words[2] = {(uint64_t)id | (uint64_t)TALLY_TYPE_I64 << 8 | UINT64_C(8) << 16 | value << 32,
                         value >> 32};
    memcpy(at, words, sizeof words);
    return at + sizeof words;
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

/* Where the next field goes, and bit n for each field n that was cut or left out. */
struct out {
    uint8_t *at;
    uint64_t truncated;
};

/* What put_text() is told of a field: id, and above it the most bytes. */
#define TEXT_FIELD(id, bytes_max) ((uint32_t)(bytes_max) << 8 | (id))

/* Any text, of any length. */
static __attribute__((noinline)) void put_any_text(struct out *out, const char *text, uint32_t field)
{
    bool cut;
    uint32_t length = encode_cut(text, field >> 8, &cut);
    if (length == 0)
        return;
    if (cut)
        out->truncated |= UINT64_C(1) << (field & 0xFF);
    out->at = encode_bytes(out->at, (uint8_t)field, TALLY_TYPE_TEXT, text, length);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHED_BUILD
#elif defined(__has_feature) /* as clang says it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define WATCHED_BUILD
#endif
#endif

#if defined(__SSE2__) && !defined(WATCHED_BUILD)
/* Texts are short, and four or so in each record: to ask the C library for each one's length, and to have it copied, takes a third
 * of a record's time. So sixteen bytes are read at once, up to fifteen of them behind the text's end, as the C library's own strlen()
 * does: never from a page in which nothing of the text stands, so that nothing can happen by it. Memcheck would complain, and is
 * spared: encode_watched().
 *
 * A function of its own, not inline: sixteen copies of it in encode_usage() are as fast in a tight loop, but a program that
 * records now and then finds no code in its caches, and waits for each line of it. */
static bool watched;

void encode_watched(void)
{
    __atomic_store_n(&watched, true, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void put_text(struct out *out, const char *text, uint32_t field)
{
    static const uint8_t keep[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255};
    uint8_t *at = out->at;
    uint32_t length = 0;
    uint32_t ends;
    __m128i bytes;
    for (;; length += 16) {
        if (unlikely(((uintptr_t)(text + length) & (TALLY_PAGE_BYTES - 1)) > TALLY_PAGE_BYTES - 16 ||
                     __atomic_load_n(&watched, __ATOMIC_RELAXED)))
            return put_any_text(out, text, field);
        bytes = _mm_loadu_si128((const __m128i *)(const void *)(text + length));
        ends = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()));
        if (likely(ends))
            break;
        if (unlikely(length + 16 > field >> 8))
            return put_any_text(out, text, field);
        _mm_storeu_si128((__m128i *)(void *)(at + sizeof(struct tally_field) + length), bytes);
    }
    uint32_t rest = (uint32_t)__builtin_ctz(ends);
    /* In front of what does not belong to the text any more. What is written behind the field's end the next one writes over. */
    uint8_t *last = at + sizeof(struct tally_field) + length;
    memset(last + 12, 0, 8);
    bytes = _mm_and_si128(bytes, _mm_loadu_si128((const __m128i *)(const void *)(keep + 16 - rest)));
    _mm_storeu_si128((__m128i *)(void *)last, bytes);
    length += rest;
    if (unlikely(length - 1 >= field >> 8)) /* 0, or too long */
        return put_any_text(out, text, field);
    uint32_t head = (field & 0xFF) | (uint32_t)TALLY_TYPE_TEXT << 8 | length << 16;
    memcpy(at, &head, sizeof head);
    out->at = at + tally_field_bytes(length);
}
#else
#define put_text put_any_text
void encode_watched(void)
{
}
#endif

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

    if (call) {
        at = encode_bytes(at, TALLY_FIELD_call_id, TALLY_TYPE_BYTES, call->id, sizeof call->id);
        at = encode_number(at, TALLY_FIELD_call_step, call->step);
        if (call->step == TALLY_CALL_STEP_END)
            at = encode_number(at, TALLY_FIELD_call_records, call->records);
    }
    if (!usage)
        return (int)(at - fields);

    struct out out = {at, 0};
#define TALLY_X(id, name, bytes_max)                                                                         \
    if (usage->name)                                                                                         \
        put_text(&out, usage->name, TEXT_FIELD(id, bytes_max));
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
    at = out.at;

    /* flags 0 says nothing; every other number says nothing at -1. */
#define TALLY_X(id, name)                                                                                    \
    if ((int64_t)usage->name != ((id) == TALLY_FIELD_flags ? 0 : -1)) {                                      \
        uint64_t value = (uint64_t)usage->name; /* if negative, then above every limit */                    \
        if (likely(value <= UINT32_MAX && (limit(id) > UINT32_MAX || value < (uint64_t)limit(id))))          \
            at = put_small(at, id, value);                                                                   \
        else if (value < (uint64_t)limit(id))                                                                \
            at = encode_number(at, id, value);                                                               \
        else                                                                                                 \
            return -ERANGE;                                                                                  \
    }
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X

    if (unlikely(usage->usage_json && usage->usage_json_length)) {
        /* Half an object is of no use to anyone: whole or not at all. 16 bytes are kept for `truncated`. */
        size_t used = (size_t)(at - fields) + 16;
        if (usage->usage_json_length <= FIELDS_BYTES_MAX - used - sizeof(struct tally_field) - 7)
            at = encode_bytes(at, TALLY_FIELD_usage_json, TALLY_TYPE_TEXT, usage->usage_json,
                              (uint32_t)usage->usage_json_length);
        else
            out.truncated |= TRUNCATED_JSON;
    }
    if (unlikely(out.truncated))
        at = encode_number(at, TALLY_FIELD_truncated, out.truncated);
    return (int)(at - fields);
}
