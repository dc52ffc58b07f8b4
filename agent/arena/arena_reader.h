/* arena_reader.h: an arena as the agent sees it: through pread(2), never through a mapping.
 *
 * Whoever may write an arena may also truncate it, so a load from a mapping could be SIGBUS; a
 * pread is a short read. The one page that is mapped, read-only, holds the doorbell: its address goes to
 * futex(2), where a page that has gone is EFAULT, and is never dereferenced here.
 *
 * One thread a reader. Functions return 0 or a negative errno value; -ENODATA: the file is shorter than
 * what was to be read (truncated).
 */
#ifndef TALLY_ARENA_READER_H
#define TALLY_ARENA_READER_H

#include <stddef.h>
#include <sys/types.h>
#include <tally/abi.h>

struct arena_reader {
    int fd;
    dev_t device; /* of the open file, to see whether a name still means it */
    ino_t inode;
    uid_t owner;
    struct tally_arena_header header; /* copied once and checked; the mutable words in it are not used */
    const uint32_t *doorbell;         /* an address for futex(2) alone; NULL: could not be mapped */
};

/* Open the arena at a path. uid: whose it must be, if not root's; group: as TALLY_GROUP, or -1.
 * -ENOENT; -EACCES: not to be trusted; -EBADMSG: no arena of this ABI, or truncated. */
int arena_reader_open(struct arena_reader *reader, const char *path, uid_t uid, gid_t group);
void arena_reader_close(struct arena_reader *reader);

/* Read exactly so many bytes. */
int arena_reader_bytes(const struct arena_reader *reader, void *out, size_t bytes, uint64_t offset);

/* The doorbell's value. */
int arena_reader_doorbell(const struct arena_reader *reader, uint32_t *out);

/* The doorbell, the refusal counters and the lane table (lane_count entries), as they lie in the arena, so that one
 * read brings all: the gaps cost less than another call. None is checked. */
struct arena_table {
    uint32_t doorbell;
    uint8_t reserved[offsetof(struct tally_arena_header, refused) -
                     offsetof(struct tally_arena_header, doorbell) - sizeof(uint32_t)];
    uint64_t refused[TALLY_REFUSALS];
    uint8_t gap[TALLY_LANE_TABLE_OFFSET - offsetof(struct tally_arena_header, refused) -
                TALLY_REFUSALS * sizeof(uint64_t)];
    struct tally_lane_entry entries[TALLY_LANE_COUNT_MAX];
};
TALLY_LAYOUT(offsetof(struct arena_table, entries) + offsetof(struct tally_arena_header, doorbell) ==
             TALLY_LANE_TABLE_OFFSET);
TALLY_LAYOUT(offsetof(struct arena_table, refused) + offsetof(struct tally_arena_header, doorbell) ==
             offsetof(struct tally_arena_header, refused));
int arena_reader_table(const struct arena_reader *reader, struct arena_table *out);

/* Whether the name still stands for this arena: 1, 0, or a negative errno value where one cannot tell. */
int arena_reader_named(const struct arena_reader *reader, const char *path);

#endif
