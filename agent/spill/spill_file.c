#include "spill/spill_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- names ------------------------------------------------------------------------ */

static int digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static bool parse_log(const char *text, uint8_t log[16])
{
    for (int i = 0; i < 32; i++) {
        int value = digit(text[i]);
        if (value < 0)
            return false;
        log[i / 2] = (uint8_t)(i % 2 ? log[i / 2] | value : value << 4);
    }
    return true;
}

/* As a writer prints it: no leading zero, so that a file has one name. */
static const char *parse_index(const char *text, uint32_t *index)
{
    uint64_t value = 0;
    if (*text < '1' || *text > '9')
        return NULL;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > UINT32_MAX)
            return NULL;
    }
    *index = (uint32_t)value;
    return text;
}

static const char *after(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text && strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

bool spill_name_parse(const char *text, struct spill_name *name)
{
    memset(name, 0, sizeof *name);
    if (strlen(text) >= SPILL_NAME_MAX)
        return false;
    text = after(text, TALLY_SPILL_PREFIX);
    if (!text || !parse_log(text, name->log) || text[32] != '-')
        return false;
    text = after(parse_index(text + 33, &name->index), TALLY_SPILL_SUFFIX);
    if (!text || !*text)
        return text != NULL;
    text = after(text, TALLY_SPILL_TAKEN);
    if (!text || (*text && *text != '.'))
        return false;
    name->taken = *text ? text + 1 : text;
    return true;
}

/* ---- bytes -------------------------------------------------------------------------- */

int spill_file_open(int directory, const char *name, struct stat *status)
{
    /* O_NONBLOCK: a fifo under this name must not hold the agent up. */
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ELOOP || errno == ENXIO ? -EACCES : -errno;
    int result = fstat(fd, status) ? -errno : 0;
    if (result == 0 && (!S_ISREG(status->st_mode) || status->st_nlink != 1 ||
                        status->st_size > (off_t)SPILL_FILE_BYTES_LIMIT))
        result = status->st_nlink == 0 ? -ENOENT : -EACCES;
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

ssize_t spill_file_read(int fd, void *out, size_t bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(fd, (char *)out + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int spill_file_header(int fd, const struct spill_name *name, struct tally_spill_header *header)
{
    ssize_t got = spill_file_read(fd, header, sizeof *header, 0);
    if (got < 0)
        return (int)got;
    if (got < (ssize_t)sizeof *header)
        return -ENODATA;
    return (header->magic == TALLY_SPILL_MAGIC || header->magic == TALLY_CARRIED_MAGIC) &&
                   header->abi == TALLY_ABI && header->index == name->index &&
                   memcmp(header->log, name->log, sizeof header->log) == 0
               ? 0
               : -EBADMSG;
}

int spill_file_carried(int fd, struct tally_carried *carried)
{
    uint64_t lane_bytes;
    ssize_t got = spill_file_read(fd, carried, sizeof *carried, sizeof(struct tally_spill_header));
    if (got < 0)
        return (int)got;
    if (got < (ssize_t)sizeof *carried)
        return -ENODATA;
    lane_bytes = (uint64_t)carried->ring_bytes + TALLY_LANE_HEADER_BYTES;
    return carried->lane < TALLY_LANE_COUNT_MAX && carried->from % 8 == 0 && carried->from < INT64_MAX / 2 &&
                   lane_bytes >= TALLY_LANE_BYTES_MIN && lane_bytes <= TALLY_LANE_BYTES_MAX &&
                   lane_bytes % TALLY_PAGE_BYTES == 0
               ? 0
               : -EBADMSG;
}

static bool numbered(const struct tally_record_header *record)
{
    return record->sequence && record->sequence <= SPILL_NUMBER_MAX;
}

/* Whatever number it has. */
static enum record_verdict check(const struct spill_piece *piece, size_t at)
{
    struct tally_record_header *record = (struct tally_record_header *)(void *)(piece->bytes + at);
    size_t left = piece->length - at;
    struct record_place place = {.position = piece->offset + at,
                                 .sequence = record->sequence - 1,
                                 .available = left,
                                 .published = piece->end ? left : UINT64_MAX};
    return numbered(record) ? record_check(record, &place) : RECORD_BAD_NUMBER;
}

static size_t resync(const struct spill_piece *piece, size_t at)
{
    for (; at + sizeof(struct tally_record_header) <= piece->length; at += 8)
        if (check(piece, at) == RECORD_GOOD)
            return at;
    return piece->length;
}

enum spill_find spill_carried_find(const struct spill_piece *piece, const struct tally_carried *carried,
                                   size_t at, size_t *next)
{
    size_t left = at < piece->length ? piece->length - at : 0;
    struct tally_record_header *record = (struct tally_record_header *)(void *)(piece->bytes + at);
    struct record_place place = {.position = spill_carried_position(piece, carried, at),
                                 .available = left,
                                 .published = piece->end ? left : UINT64_MAX,
                                 .ring_bytes = carried->ring_bytes};
    *next = at;
    if (left < 8 || (left < sizeof *record && record->kind != TALLY_KIND_PADDING))
        return piece->end ? SPILL_END : SPILL_MORE;
    if (left >= sizeof *record)
        place.sequence = record->sequence - 1;
    enum record_verdict verdict = record_check(record, &place);
    *next = at + record->length;
    if (verdict == RECORD_PADDING)
        return SPILL_PADDING;
    if (verdict == RECORD_GOOD && numbered(record))
        return SPILL_RECORD;
    *next = at;
    if (verdict == RECORD_UNFETCHED)
        return SPILL_MORE;
    for (*next = at + 8; *next + sizeof *record <= piece->length; *next += 8) {
        record = (struct tally_record_header *)(void *)(piece->bytes + *next);
        place.position = spill_carried_position(piece, carried, *next);
        place.available = piece->length - *next;
        place.published = piece->end ? place.available : UINT64_MAX;
        place.sequence = record->sequence - 1;
        if (numbered(record) && record_check(record, &place) == RECORD_GOOD)
            return SPILL_DAMAGED;
    }
    *next = piece->length;
    return piece->end && left <= SPILL_TORN_BYTES_MAX ? SPILL_END : SPILL_DAMAGED;
}

enum spill_find spill_piece_find(const struct spill_piece *piece, size_t at, size_t *next)
{
    size_t left = piece->length - at;
    if (left < sizeof(struct tally_record_header))
        return piece->end ? SPILL_END : SPILL_MORE;
    enum record_verdict verdict = check(piece, at);
    if (verdict == RECORD_GOOD)
        return SPILL_RECORD;
    if (verdict == RECORD_UNFETCHED)
        return SPILL_MORE;
    *next = resync(piece, at + 8);
    if (*next < piece->length)
        return SPILL_DAMAGED;
    if (piece->end)
        return left <= SPILL_TORN_BYTES_MAX ? SPILL_END : SPILL_DAMAGED;
    /* A record may begin in the piece and end in the next one. */
    *next = piece->length < TALLY_RECORD_BYTES_MAX + 8 ? at + 8 : piece->length - TALLY_RECORD_BYTES_MAX;
    *next = *next / 8 * 8 > at ? *next / 8 * 8 : at + 8;
    return SPILL_DAMAGED;
}
