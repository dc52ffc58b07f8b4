/* merge.c: the records of one call become one set of values, in whatever order they come. Of each field the
 * value of the newest step that states it counts. */
#include <errno.h>

#include "ledger/internal.h"

/* Field ids, which number the bits of `truncated` and the steps. */
static const uint8_t id_of_text[USAGE_TEXTS] = {
#define TALLY_X(id, name, bytes_max) id,
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
};
static const uint8_t id_of_number[USAGE_NUMBERS] = {
#define TALLY_X(id, name) id,
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
};

/* Whether a value of this field is to be taken over: it is the first, or from a step at least as new. Keeps
 * the marks too: one cut short goes with its value, one left out stays while nothing better is known. */
static bool take_field(struct call *call, const struct usage_values *from, unsigned id, bool stated,
                       bool known, uint32_t step)
{
    uint64_t bit = UINT64_C(1) << id;
    bool taken = stated && (!known || step >= call->steps[id]);
    if (taken) {
        call->steps[id] = step;
        call->values.truncated = (call->values.truncated & ~bit) | (from->truncated & bit);
    } else if (!known) {
        call->values.truncated |= from->truncated & bit;
    }
    return taken;
}

static bool any_count(const struct usage_values *values)
{
    return values->numbers_known & ((1u << (USAGE_NUMBER_output_image_tokens + 1)) - 1);
}

/* A flag not set may be a flag not known: they add up. But whether counts are estimates is said by
 * the newest record that has any. */
static void merge_flags(struct call *call, const struct usage_values *from, uint32_t step)
{
    struct usage_values *to = &call->values;
    bool stated = usage_number_known(from, USAGE_NUMBER_flags);
    bool known = usage_number_known(to, USAGE_NUMBER_flags);
    uint32_t more = stated ? (uint32_t)from->numbers[USAGE_NUMBER_flags] : 0;
    uint32_t old = known ? (uint32_t)to->numbers[USAGE_NUMBER_flags] : 0;
    if (!stated && !any_count(from))
        return;
    bool newest = take_field(call, from, TALLY_FIELD_flags, true, known, step);
    uint32_t estimated = (newest ? more : old) & TALLY_FLAG_ESTIMATED;
    usage_number_set(to, USAGE_NUMBER_flags, ((old | more) & ~TALLY_FLAG_ESTIMATED) | estimated);
}

static void merge_values(struct call *call, const struct usage_values *from, uint32_t step)
{
    struct usage_values *to = &call->values;
    for (int i = 0; i < USAGE_TEXTS; i++)
        if (take_field(call, from, id_of_text[i], from->texts[i].data, to->texts[i].data, step))
            to->texts[i] = from->texts[i];
    if (take_field(call, from, USAGE_JSON_STEP, from->usage_json.data, to->usage_json.data, step))
        to->usage_json = from->usage_json;
    for (int i = 0; i < USAGE_NUMBERS; i++) {
        enum usage_number number = (enum usage_number)i;
        if (number != USAGE_NUMBER_flags &&
            take_field(call, from, id_of_number[i], usage_number_known(from, number),
                       usage_number_known(to, number), step))
            usage_number_set(to, number, from->numbers[i]);
    }
    merge_flags(call, from, step);
}

static uint32_t keep_text(char *buffer, uint32_t used, struct text *text)
{
    if (!text->data)
        return used;
    if (text->length)
        memcpy(buffer + used, text->data, text->length);
    text->data = buffer + used;
    return used + text->length;
}

/* Gather the texts, which lie in the call's buffer and in a record, in one buffer of the call's own. The old buffer
 * becomes the one for the next merge: no allocation once they have grown. */
int ledger_call_keep_texts(struct ledger *ledger, struct call *call)
{
    struct usage_values *values = &call->values;
    size_t need = 1 + (size_t)values->usage_json.length;
    for (int i = 0; i < USAGE_TEXTS; i++)
        need += values->texts[i].length;
    if (need > ledger->merge_capacity) {
        size_t capacity = need < 512 ? 512 : need * 2;
        char *buffer = realloc(ledger->merge_buffer, capacity);
        if (!buffer)
            return ledger_say(ledger, ENOMEM, "out of memory");
        ledger->merge_buffer = buffer;
        ledger->merge_capacity = capacity;
    }
    uint32_t used = 0;
    for (int i = 0; i < USAGE_TEXTS; i++)
        used = keep_text(ledger->merge_buffer, used, &values->texts[i]);
    keep_text(ledger->merge_buffer, used, &values->usage_json);

    char *old = call->buffer;
    size_t old_capacity = call->capacity;
    call->buffer = ledger->merge_buffer;
    call->capacity = ledger->merge_capacity;
    ledger->merge_buffer = old;
    ledger->merge_capacity = old_capacity;
    return 0;
}

static uint32_t step_of(const struct place *place, const struct usage_record *record)
{
    switch (place->record->kind) {
    case TALLY_KIND_CALL_BEGIN:
        return 0;
    case TALLY_KIND_CALL_END:
        return TALLY_CALL_STEP_END;
    default:
        if (record->call_step < 1)
            return 1;
        return record->call_step < TALLY_CALL_STEP_END ? (uint32_t)record->call_step
                                                       : TALLY_CALL_STEP_END - 1;
    }
}

int ledger_call_merge(struct ledger *ledger, struct call *call, const struct place *place,
                      const struct usage_record *record)
{
    uint32_t step = step_of(place, record);
    bool newest = (!call->records && !call->ended) || step >= call->step;
    merge_values(call, &record->values, step);
    if (newest) {
        call->step = step;
        call->client_id = place->session->client_id;
        call->lane_id = place->private_->row.lane_id;
        call->sequence = clamp(place->record->sequence);
        call->time = place->time;
    }
    if (place->record->kind == TALLY_KIND_CALL_END) {
        call->ended = true;
        call->records_total = record->call_records;
    } else {
        call->records++;
    }
    if (place->record->kind == TALLY_KIND_CALL_BEGIN)
        call->begun = place->time;
    return ledger_call_keep_texts(ledger, call);
}
