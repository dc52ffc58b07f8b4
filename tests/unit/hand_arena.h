/* hand_arena.h: an arena written by hand, for tests of its reader. No shim is involved: the format is
 * written down twice, and the two must agree. */
#ifndef TALLY_TESTS_HAND_ARENA_H
#define TALLY_TESTS_HAND_ARENA_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/record.h>
#include <unistd.h>

struct hand_arena {
    char folder[256];
    char path[300];
    unsigned char *bytes; /* mapped for writing, as clients do */
    struct tally_arena_header *header;
};

static inline void hand_arena_make(struct hand_arena *arena, uint32_t lane_count)
{
    struct tally_arena_header header = {.magic = TALLY_ARENA_MAGIC, .abi = TALLY_ABI};
    const char *temporary = getenv("TMPDIR");
    snprintf(arena->folder, sizeof arena->folder, "%s/tally-unit-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(arena->folder))
        abort();
    snprintf(arena->path, sizeof arena->path, "%s/arena", arena->folder);
    header.lane_count = lane_count;
    header.header_bytes = tally_arena_header_bytes(lane_count);
    header.lane_bytes = TALLY_LANE_BYTES_MIN;
    header.ring_bytes = header.lane_bytes - TALLY_LANE_HEADER_BYTES;
    memset(header.uuid, 0xA7, sizeof header.uuid);
    int fd = open(arena->path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)tally_arena_bytes(&header)) ||
        pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        abort();
    arena->bytes = mmap(NULL, (size_t)tally_arena_bytes(&header), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (arena->bytes == MAP_FAILED)
        abort();
    arena->header = (struct tally_arena_header *)(void *)arena->bytes;
}

static inline void hand_arena_remove(struct hand_arena *arena)
{
    char command[400];
    munmap(arena->bytes, (size_t)tally_arena_bytes(arena->header));
    snprintf(command, sizeof command, "rm -rf '%s'", arena->folder);
    if (system(command))
        abort();
}

static inline unsigned char *hand_ring(struct hand_arena *arena, uint32_t lane)
{
    return arena->bytes + tally_lane_offset(arena->header, lane);
}

static inline struct tally_lane_header *hand_lane(struct hand_arena *arena, uint32_t lane)
{
    return (struct tally_lane_header *)(void *)(hand_ring(arena, lane) + arena->header->ring_bytes);
}

static inline struct tally_lane_entry *hand_entry(struct hand_arena *arena, uint32_t lane)
{
    return (struct tally_lane_entry *)(void *)(arena->bytes + TALLY_LANE_TABLE_OFFSET) + lane;
}

/* Publish a tail, with the slot that belongs to it. */
static inline void hand_publish(struct hand_arena *arena, uint32_t lane, uint64_t tail, uint64_t sequence)
{
    struct tally_lane_header *header = hand_lane(arena, lane);
    header->slot[sequence & 1] = (struct tally_lane_slot){tail, sequence};
    __atomic_store_n(&header->tail, tail, __ATOMIC_RELEASE); /* pairs with the fences in lane_read_head() */
}

/* Append a record of `length` bytes (padding before it if it would wrap). Returns where it stands in the ring. */
static inline struct tally_record_header *hand_record(struct hand_arena *arena, uint32_t lane,
                                                      uint32_t length)
{
    struct tally_lane_header *header = hand_lane(arena, lane);
    uint32_t ring_bytes = arena->header->ring_bytes;
    uint64_t tail = header->tail;
    uint64_t sequence = header->slot[0].tail == tail ? header->slot[0].sequence : header->slot[1].sequence;
    uint32_t offset = (uint32_t)(tail % ring_bytes);

    if (!header->owner) { /* a tenure begins */
        header->owner = 4711;
        hand_entry(arena, lane)->tenures++;
    }
    if (header->slot[1].tail == tail && header->slot[1].sequence > sequence)
        sequence = header->slot[1].sequence;
    if (offset + length > ring_bytes) {
        uint64_t padding = (uint64_t)(ring_bytes - offset) | (uint64_t)TALLY_KIND_PADDING << 32;
        memcpy(hand_ring(arena, lane) + offset, &padding, sizeof padding);
        tail += ring_bytes - offset;
        offset = 0;
    }
    struct tally_record_header *record = (void *)(hand_ring(arena, lane) + offset);
    memset(record, (int)(sequence & 0xff), length);
    *record = (struct tally_record_header){
        .length = length, .kind = TALLY_KIND_USAGE, .sequence = sequence + 1, .position = tail};
    record->checksum = tally_checksum(record, length);
    hand_publish(arena, lane, tail + length, sequence + 1);
    return record;
}

#endif
