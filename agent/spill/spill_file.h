/* spill_file.h: one spill file, by its name and by its bytes (include/tally/spill.h). Believes nothing: a file
 * is what its owner wrote. One thread a file. Functions return 0 or a negative errno value.
 */
#ifndef TALLY_SPILL_FILE_H
#define TALLY_SPILL_FILE_H

#include "arena/record_check.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <tally/spill.h>

#define SPILL_NAME_MAX 128
/* No writer makes one as large as this. */
#define SPILL_FILE_BYTES_LIMIT (TALLY_SPILL_FILE_BYTES_MAX + (1u << 20))
/* What may be torn at a file's end, by a death or a full disk: a CLIENT record, or the record behind it. */
#define SPILL_TORN_BYTES_MAX TALLY_RECORD_BYTES_MAX
/* No log gets this far (the collector's PLAUSIBLE_MAX): a forged number beyond would overflow the database's sums. */
#define SPILL_NUMBER_MAX (UINT64_C(1) << 48)

struct spill_name {
    uint8_t log[16];
    uint32_t index;
    const char *taken; /* NULL: not yet; else what follows ".taken." in the name, "" if nothing does */
};

/* Whether a name is a spill file's; its parts. */
bool spill_name_parse(const char *text, struct spill_name *name);

/* Open a file for reading, and look whether it may be one: regular, one link, no larger than can be. Returns a
 * descriptor; -EACCES: it is something else; or another negative errno value. */
int spill_file_open(int directory, const char *name, struct stat *status);

/* Its header, which must agree with its name. 0; -ENODATA: it is shorter than that, so that nothing was ever
 * acknowledged in it; -EBADMSG: it is no spill file of this version. */
int spill_file_header(int fd, const struct spill_name *name, struct tally_spill_header *header);

/* Read up to `bytes` at an offset: how many, less only at the file's end; or a negative errno value. */
ssize_t spill_file_read(int fd, void *out, size_t bytes, uint64_t offset);

/* What stands at bytes[at] of a piece that was read from `offset`. end: the piece reaches the file's end. */
enum spill_find {
    SPILL_RECORD,  /* a record, whole and sound, whatever its number */
    SPILL_MORE,    /* the piece ends before it: read on from here */
    SPILL_END,     /* nothing more, or a torn last record */
    SPILL_DAMAGED, /* *next: where the next sound record begins, or where nothing more is to be found */
    SPILL_PADDING, /* of a lane that was carried over */
};
struct spill_piece {
    unsigned char *bytes; /* 8-aligned */
    size_t length;
    uint64_t offset;
    bool end;
};
enum spill_find spill_piece_find(const struct spill_piece *piece, size_t at, size_t *next);

/* A file whose header has TALLY_CARRIED_MAGIC: what follows the header, checked, as spill_file_header(). Its records begin at
 * SPILL_CARRIED_OFFSET. The same for them; *next is behind what has been found. */
#define SPILL_CARRIED_OFFSET (sizeof(struct tally_spill_header) + sizeof(struct tally_carried))
int spill_file_carried(int fd, struct tally_carried *carried);
enum spill_find spill_carried_find(const struct spill_piece *piece, const struct tally_carried *carried,
                                   size_t at, size_t *next);
/* Where in its lane bytes[at] of a piece stood. */
static inline uint64_t spill_carried_position(const struct spill_piece *piece,
                                              const struct tally_carried *carried, size_t at)
{
    return carried->from + (piece->offset - SPILL_CARRIED_OFFSET) + at;
}

#endif
