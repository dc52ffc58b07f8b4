#include "crash/inspect.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/record.h>
#include <unistd.h>

struct reader {
    struct inspection *inspection;
    struct inspect_lane *lane;
    uint32_t number;
    int fd;
    uint64_t ring_at; /* offset of the ring in the file */
    uint32_t ring_bytes;
};

int inspect_wrong(struct inspection *inspection, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(inspection->error, sizeof inspection->error, format, arguments);
    va_end(arguments);
    return -1;
}

static bool read_at(int fd, void *out, size_t bytes, uint64_t at)
{
    return pread(fd, out, bytes, (off_t)at) == (ssize_t)bytes;
}

/* ---- fields ------------------------------------------------------------------ */

/* A field's number, or UINT64_MAX. */
uint64_t inspect_number(const struct tally_record_header *record, uint8_t id)
{
    const uint8_t *at = (const uint8_t *)(record + 1);
    const uint8_t *end = (const uint8_t *)record + record->length;
    while (at + sizeof(struct tally_field) <= end) {
        struct tally_field field;
        uint64_t value = 0;
        memcpy(&field, at, sizeof field);
        if (at + tally_field_bytes(field.length) > end)
            break;
        if (field.id == id && field.length <= sizeof value) {
            memcpy(&value, at + sizeof field, field.length);
            return value;
        }
        at += tally_field_bytes(field.length);
    }
    return UINT64_MAX;
}

/* ---- records ------------------------------------------------------------------- */

static int check_client(struct reader *reader, const struct tally_record_header *record)
{
    struct inspection *inspection = reader->inspection;
    struct inspect_lane *lane = reader->lane;
    if (record->client >= INSPECT_CLIENTS_MAX)
        return inspect_wrong(inspection, "lane %u: client %u introduced", reader->number, record->client);
    if (record->client == 0) {
        uint64_t before = inspect_number(record, TALLY_FIELD_predecessor_sequence);
        uint64_t ended = inspect_number(record, TALLY_FIELD_predecessor_final);
        if (before != record->sequence - 1)
            return inspect_wrong(
                inspection, "lane %u: the predecessor of record %llu is said to have ended at %llu",
                reader->number, (unsigned long long)record->sequence, (unsigned long long)before);
        /* The predecessor is always killed before it could end. */
        if (lane->tenure_pid && (pid_t)lane->tenure_pid == stage->pid[ROLE_PREDECESSOR] && ended == before)
            return inspect_wrong(inspection, "lane %u: the dead predecessor is said to have ended cleanly",
                                 reader->number);
        memset(lane->introduced, 0, sizeof lane->introduced);
        lane->tenure_pid = (uint32_t)inspect_number(record, TALLY_FIELD_pid);
    }
    lane->introduced[record->client] = true;
    return 0;
}

int inspect_call(struct inspection *inspection, const struct tally_record_header *record, uint32_t pid)
{
    uint64_t number = inspect_number(record, TALLY_FIELD_input_tokens);
    if (record->kind == TALLY_KIND_CLIENT_END)
        number = 0;
    for (uint32_t i = 0; i < stage->entries; i++) {
        const struct stage_entry *entry = &stage->entry[i];
        if (entry->kind != record->kind || entry->number != number)
            continue;
        if ((pid_t)pid != stage->pid[entry->role])
            return inspect_wrong(inspection, "record %llu of process %d stands where process %u writes",
                                 (unsigned long long)record->sequence, (int)stage->pid[entry->role], pid);
        return (int)i;
    }
    return inspect_wrong(inspection, "nobody wrote record %llu (kind %u, number %llu)",
                         (unsigned long long)record->sequence, record->kind, (unsigned long long)number);
}

static int check_known(struct reader *reader, const struct tally_record_header *record)
{
    struct inspection *inspection = reader->inspection;
    int call = inspect_call(inspection, record, reader->lane->tenure_pid);
    if (call < 0)
        return -1;
    inspection->found[call]++;
    if (record->client >= INSPECT_CLIENTS_MAX || !reader->lane->introduced[record->client])
        return inspect_wrong(inspection, "lane %u: record %llu of a client that was not introduced",
                             reader->number, (unsigned long long)record->sequence);
    return 0;
}

/* The record at the place that was reached; moves on behind it. */
static int check_record(struct reader *reader)
{
    uint64_t buffer[TALLY_RECORD_BYTES_MAX / 8];
    struct tally_record_header *record = (struct tally_record_header *)(void *)buffer;
    struct inspection *inspection = reader->inspection;
    struct inspect_lane *lane = reader->lane;
    uint64_t at = lane->seen_position;
    uint64_t to_end = reader->ring_bytes - at % reader->ring_bytes;
    uint64_t file_at = reader->ring_at + at % reader->ring_bytes;

    if (!read_at(reader->fd, buffer, 8, file_at))
        return inspect_wrong(inspection, "lane %u: cannot read at %llu", reader->number,
                             (unsigned long long)at);
    uint32_t length = record->length;
    if (length % 8 || length < 8 || length > to_end || at + length > lane->tail)
        return inspect_wrong(inspection, "lane %u: length %u at %llu, tail %llu", reader->number, length,
                             (unsigned long long)at, (unsigned long long)lane->tail);
    lane->seen_position += length;
    if (record->kind == TALLY_KIND_PADDING)
        return length == to_end ? 0
                                : inspect_wrong(inspection, "lane %u: padding in the middle", reader->number);
    if (length < sizeof *record || length > sizeof buffer || !read_at(reader->fd, buffer, length, file_at))
        return inspect_wrong(inspection, "lane %u: length %u at %llu", reader->number, length,
                             (unsigned long long)at);
    uint32_t checksum = record->checksum;
    record->checksum = 0;
    if (record->position != at || record->sequence != lane->seen_sequence + 1 ||
        checksum != tally_checksum(record, length))
        return inspect_wrong(inspection,
                             "lane %u: at %llu stands position %llu, sequence %llu after %llu, checksum %s",
                             reader->number, (unsigned long long)at, (unsigned long long)record->position,
                             (unsigned long long)record->sequence, (unsigned long long)lane->seen_sequence,
                             checksum == tally_checksum(record, length) ? "good" : "bad");
    lane->seen_sequence++;
    return record->kind == TALLY_KIND_CLIENT ? check_client(reader, record) : check_known(reader, record);
}

/* ---- lanes -------------------------------------------------------------------------- */

static int check_lane(struct reader *reader)
{
    struct tally_lane_header header;
    struct inspection *inspection = reader->inspection;
    struct inspect_lane *lane = reader->lane;
    if (!read_at(reader->fd, &header, sizeof header, reader->ring_at + reader->ring_bytes))
        return inspect_wrong(inspection, "lane %u: no header", reader->number);
    const struct tally_lane_slot *slot = header.slot;
    bool fresh = !header.tail && !slot[0].tail && !slot[0].sequence && !slot[1].tail && !slot[1].sequence;
    if (!fresh && (slot[0].tail == header.tail) + (slot[1].tail == header.tail) != 1)
        return inspect_wrong(inspection,
                             "lane %u: tail %llu, slots {%llu, %llu} {%llu, %llu}: not exactly one is valid",
                             reader->number, (unsigned long long)header.tail,
                             (unsigned long long)slot[0].tail, (unsigned long long)slot[0].sequence,
                             (unsigned long long)slot[1].tail, (unsigned long long)slot[1].sequence);
    lane->tail = header.tail;
    lane->sequence = slot[slot[0].tail == header.tail ? 0 : 1].sequence;
    lane->final_sequence = header.final_sequence;
    lane->owner = header.owner;
    inspection->refused += header.refused_full;
    while (lane->seen_position < lane->tail)
        if (check_record(reader))
            return -1;
    if (lane->seen_sequence != lane->sequence || lane->final_sequence > lane->sequence)
        return inspect_wrong(inspection, "lane %u: %llu records, the slot says %llu, final %llu",
                             reader->number, (unsigned long long)lane->seen_sequence,
                             (unsigned long long)lane->sequence, (unsigned long long)lane->final_sequence);
    return 0;
}

int inspect_read(struct inspection *inspection, const char *path)
{
    struct tally_arena_header arena;
    struct stat status;
    struct reader reader = {.inspection = inspection};
    int result = 0;

    reader.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (reader.fd < 0)
        return 1;
    if (!read_at(reader.fd, &arena, sizeof arena, 0) || arena.magic != TALLY_ARENA_MAGIC ||
        arena.lane_count > INSPECT_LANES_MAX || fstat(reader.fd, &status) ||
        (uint64_t)status.st_size < arena.header_bytes + (uint64_t)arena.lane_count * arena.lane_bytes)
        result = inspect_wrong(inspection, "a half-made arena is visible");
    memcpy(inspection->uuid, arena.uuid, sizeof inspection->uuid);
    inspection->lanes = result ? 0 : arena.lane_count;
    inspection->refused = 0;
    for (size_t i = 0; i < sizeof arena.refused / sizeof arena.refused[0]; i++)
        inspection->refused += arena.refused[i];
    reader.ring_bytes = arena.ring_bytes;
    for (uint32_t i = 0; i < inspection->lanes && result == 0; i++) {
        reader.number = i;
        reader.lane = &inspection->lane[i];
        reader.ring_at = arena.header_bytes + (uint64_t)i * arena.lane_bytes;
        result = check_lane(&reader);
    }
    close(reader.fd);
    return result;
}

int inspect_compare(struct inspection *inspection)
{
    uint32_t refused = 0;
    uint32_t under_way = 0;
    for (uint32_t i = 0; i < stage->entries; i++) {
        const struct stage_entry *entry = &stage->entry[i];
        uint32_t found = inspection->found[i];
        bool returned = entry->state == STAGE_RETURNED;
        if (returned ? found != (entry->result == 0) : found > 1)
            return inspect_wrong(inspection, "record %u (kind %u) %s %d and was found %u times",
                                 entry->number, entry->kind, returned ? "returned" : "was in flight",
                                 entry->result, found);
        refused += returned && entry->result;
        under_way += !returned;
    }
    if (inspection->lanes && (inspection->refused < refused || inspection->refused > refused + under_way))
        return inspect_wrong(inspection, "%u records were refused, the arena counts %llu", refused,
                             (unsigned long long)inspection->refused);
    return 0;
}

int inspect_owners(struct inspection *inspection, uint32_t except)
{
    for (uint32_t i = 0; i < inspection->lanes; i++) {
        uint32_t owner = inspection->lane[i].owner & FUTEX_TID_MASK;
        if (owner && owner != except)
            return inspect_wrong(inspection, "lane %u: the owner word says %#x, and nobody lives", i,
                                 inspection->lane[i].owner);
    }
    return 0;
}
