#include "arena/record_check.h"

static int checksum_holds(struct tally_record_header *record)
{
    uint32_t stated = record->checksum;
    record->checksum = 0;
    uint32_t computed = tally_checksum(record, record->length);
    record->checksum = stated;
    return computed == stated;
}

/* Bytes from a position to the ring's end. */
static uint64_t to_ring_end(const struct record_place *place)
{
    return place->ring_bytes ? place->ring_bytes - place->position % place->ring_bytes : UINT64_MAX;
}

enum record_verdict record_check(void *bytes, const struct record_place *place)
{
    struct tally_record_header *record = bytes;

    if (record->length < 8 || record->length % 8 || record->length > TALLY_RECORD_BYTES_MAX)
        return RECORD_BAD_LENGTH;
    if (record->length > place->published || record->length > to_ring_end(place))
        return RECORD_BAD_END;
    if (record->kind == TALLY_KIND_PADDING)
        return record->length == to_ring_end(place) ? RECORD_PADDING : RECORD_BAD_END;
    if (record->length < sizeof *record)
        return RECORD_BAD_LENGTH;
    if (record->length > place->available)
        return RECORD_UNFETCHED;
    if (record->position != place->position)
        return RECORD_BAD_PLACE;
    if (record->sequence != place->sequence + 1)
        return RECORD_BAD_NUMBER;
    return checksum_holds(record) ? RECORD_GOOD : RECORD_BAD_CHECKSUM;
}

const char *record_verdict_text(enum record_verdict verdict)
{
    switch (verdict) {
    case RECORD_GOOD:
    case RECORD_PADDING:
    case RECORD_UNFETCHED:
        return "nothing is wrong";
    case RECORD_BAD_LENGTH:
        return "its length cannot be one";
    case RECORD_BAD_END:
        return "it does not end where a record may";
    case RECORD_BAD_PLACE:
        return "it states another position";
    case RECORD_BAD_NUMBER:
        return "it has not the next sequence number";
    case RECORD_BAD_CHECKSUM:
        return "its checksum does not hold";
    }
    return "unknown";
}

uint64_t record_resync(void *bytes, const struct record_place *place, uint64_t at, uint64_t sequence_max)
{
    for (; at + sizeof(struct tally_record_header) <= place->available; at += 8) {
        struct tally_record_header *record = (struct tally_record_header *)((char *)bytes + at);
        struct record_place here = {.position = place->position + at,
                                    .sequence = record->sequence - 1,
                                    .available = place->available - at,
                                    .published = place->published - at,
                                    .ring_bytes = place->ring_bytes};
        if (record->sequence > place->sequence && record->sequence <= sequence_max &&
            record_check(record, &here) == RECORD_GOOD)
            return at;
    }
    return place->available;
}
