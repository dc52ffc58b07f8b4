/* tally/abi.h: the layout of tally's shared memory, version 1.
 *
 * Two POSIX shared-memory objects: the ARENA, which clients write and the agent
 * reads with pread(2) alone, and the BOARD, which the agent alone writes and
 * clients map read-only. This header is all that the two sides share; nothing in
 * it is a pointer, every size is explicit, and all numbers are little-endian.
 *
 * Who may do what:
 *
 *   arena header, fixed part  written once by the arena's maker before it has a name
 *   doorbell                  any client (FUTEX_WAKE_OP); the agent waits on it
 *   reclaim                   any client, as the lock of a robust futex
 *   refused[]                 any client, relaxed atomic add
 *   lane table                any client; hints only, nothing may depend on them
 *   lane header, ring         the lane's owner alone (tenure: see shim/lane.h);
 *                             final_sequence: any thread of the owner's process
 *   board                     the agent alone
 *
 * A reader believes nothing that it has not checked: geometry, alignment,
 * bounds, sequence, checksum.
 */
#ifndef TALLY_ABI_H
#define TALLY_ABI_H

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tally's shared memory is little-endian"
#endif
#if UINTPTR_MAX != UINT64_MAX
#error "tally needs a 64-bit platform: positions are read and written whole"
#endif

#define TALLY_ABI              1u
#define TALLY_PAGE_BYTES       4096u
#define TALLY_CACHE_LINE_BYTES 64u

/* ---- arena ---------------------------------------------------------------- */

#define TALLY_ARENA_MAGIC        UINT64_C(0x414E455241594C54) /* "TLYARENA" */
#define TALLY_LANE_COUNT_DEFAULT 1024u
#define TALLY_LANE_COUNT_MAX     16384u
#define TALLY_LANE_BYTES_DEFAULT (128u * 1024u)
#define TALLY_LANE_BYTES_MIN     (16u * 1024u)
#define TALLY_LANE_BYTES_MAX     (16u * 1024u * 1024u)
#define TALLY_LANE_HEADER_BYTES  TALLY_PAGE_BYTES

/* A futex word that a kernel robust list guards stands this far before the end of
 * its shared region. The list node belongs at word - futex_offset: with glibc
 * (-32) and musl (-28) alike, node and back pointer then lie in the private page
 * that follows the region in the owner's address space. */
#define TALLY_GUARDED_WORD_FROM_END 20u

/* Why a record was refused: the caller got an error, the record got no number.
 * Indices into tally_arena_header.refused and names in the losses table. */
enum tally_refusal {
    TALLY_REFUSED_LANE_FULL = 0, /* the lane was full and stayed so (also counted in the lane) */
    TALLY_REFUSED_NO_LANE = 1,   /* every lane was taken, or shared memory had no room */
    TALLY_REFUSED_REENTERED = 2, /* a signal handler interrupted a tally call of its own thread */
    TALLY_REFUSED_SPILL = 3,     /* no lane, or a full one, and no spill file could take it either */
    TALLY_REFUSALS = 8
};

/* One entry a lane, in the arena's header. Hints for finding a lane quickly. */
struct tally_lane_entry {
    uint32_t tenures; /* grows by one with each taking */
    uint32_t hint;    /* tid of the last taker; 0 after it left; TALLY_LANE_DAMAGED */
};
#define TALLY_LANE_DAMAGED UINT32_MAX

/* Offset 0 of the arena. The lane table follows at TALLY_LANE_TABLE_OFFSET, and
 * `reclaim` stands TALLY_GUARDED_WORD_FROM_END bytes before header_bytes. */
struct tally_arena_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t header_bytes; /* offset of lane 0; a multiple of the page size */
    uint8_t uuid[16];      /* random; positions are kept by (uuid, lane) */
    uint32_t lane_count;
    uint32_t lane_bytes; /* from one lane to the next: ring, then lane header */
    uint32_t ring_bytes; /* lane_bytes - TALLY_LANE_HEADER_BYTES */
    uint32_t reserved0;
    uint64_t created_unix_ns;
    uint8_t boot_id[16]; /* /proc/sys/kernel/random/boot_id of the maker, or zeros */
    uint8_t reserved1[56];
    /* its own cache line: read by writers only when the board says "asleep" */
    uint32_t doorbell; /* futex; moves by one with each ring */
    uint8_t reserved2[60];
    uint64_t refused[TALLY_REFUSALS]; /* by enum tally_refusal */
};
#define TALLY_LANE_TABLE_OFFSET 1024u

/* Bytes of arena header for a number of lanes. */
static inline uint32_t tally_arena_header_bytes(uint32_t lane_count)
{
    uint32_t used = TALLY_LANE_TABLE_OFFSET + lane_count * (uint32_t)sizeof(struct tally_lane_entry) +
                    TALLY_CACHE_LINE_BYTES;
    return (used + TALLY_PAGE_BYTES - 1) / TALLY_PAGE_BYTES * TALLY_PAGE_BYTES;
}

/* Offset of a lane's ring in the arena. */
static inline uint64_t tally_lane_offset(const struct tally_arena_header *arena, uint32_t lane)
{
    return arena->header_bytes + (uint64_t)lane * arena->lane_bytes;
}

/* Size of the whole (sparse) object. */
static inline uint64_t tally_arena_bytes(const struct tally_arena_header *arena)
{
    return tally_lane_offset(arena, arena->lane_count);
}

/* Whether a header, copied to private memory, describes an arena of this ABI. */
static inline int tally_arena_header_sound(const struct tally_arena_header *arena)
{
    return arena->magic == TALLY_ARENA_MAGIC && arena->abi == TALLY_ABI && arena->lane_count >= 1 &&
           arena->lane_count <= TALLY_LANE_COUNT_MAX &&
           arena->header_bytes == tally_arena_header_bytes(arena->lane_count) &&
           arena->lane_bytes >= TALLY_LANE_BYTES_MIN && arena->lane_bytes <= TALLY_LANE_BYTES_MAX &&
           arena->lane_bytes % TALLY_PAGE_BYTES == 0 &&
           arena->ring_bytes == arena->lane_bytes - TALLY_LANE_HEADER_BYTES;
}

/* ---- lane ------------------------------------------------------------------ */

/* Who somebody is, as well as one can tell from outside. start_time is field 22
 * of /proc/<pid>/task/<tid>/stat (clock ticks since boot); pid_namespace the inode of
 * /proc/self/ns/pid. Zero: unknown. */
struct tally_identity {
    uint32_t pid;
    uint32_t tid;
    uint64_t start_time;
    uint64_t pid_namespace;
};

/* A position is a count of bytes since the arena was made; position modulo
 * ring_bytes is the offset in the ring. A sequence counts the lane's records from 1. */
struct tally_lane_slot {
    uint64_t tail;
    uint64_t sequence;
};

/* The last page of a lane. */
struct tally_lane_header {
    uint8_t reserved0[TALLY_LANE_HEADER_BYTES - 4 * TALLY_CACHE_LINE_BYTES];
    /* line 1: the owner's identity, written before its first record */
    struct tally_identity identity;
    uint8_t reserved1[40];
    /* line 2: written rarely */
    uint64_t final_sequence; /* raised at a clean end; clean if equal to the last sequence */
    uint64_t refused_full;   /* records refused on this lane, all tenures */
    uint8_t reserved2[48];
    /* line 3: written with each record */
    uint64_t tail;                  /* everything below it is published */
    struct tally_lane_slot slot[2]; /* the one whose tail equals `tail` is valid */
    uint8_t reserved3[24];
    /* line 4 */
    uint8_t reserved4[TALLY_CACHE_LINE_BYTES - TALLY_GUARDED_WORD_FROM_END];
    uint32_t owner; /* futex: 0, tid of the owner, or FUTEX_OWNER_DIED */
    uint8_t reserved5[TALLY_GUARDED_WORD_FROM_END - 4];
};

/* ---- board ------------------------------------------------------------------ */

#define TALLY_BOARD_MAGIC           UINT64_C(0x4452414F42594C54) /* "TLYBOARD" */
#define TALLY_SPILL_DIRECTORY_BYTES 1024u

/* The upper half of tally_board.announce; the lower half is the doorbell's value
 * for which it holds. */
enum tally_announcement {
    TALLY_AGENT_BUSY = 0,      /* awake, or no agent yet: do not ring */
    TALLY_AGENT_GATHERING = 1, /* ring if a lane is half full, or to wait for durability */
    TALLY_AGENT_ASLEEP = 2,    /* ring */
    TALLY_AGENT_MOVED = 3      /* this board (or its arena) has been replaced: look for the new one */
};
#define TALLY_ANNOUNCE(state, doorbell)    (((uint64_t)(state) << 32) | (uint32_t)(doorbell))
#define TALLY_ANNOUNCED_STATE(announce)    ((enum tally_announcement)((announce) >> 32))
#define TALLY_ANNOUNCED_DOORBELL(announce) ((uint32_t)(announce))

/* What of a lane is durable. */
struct tally_board_lane {
    uint64_t position;      /* all below it is committed; never goes back */
    uint64_t sequence;      /* of the last record committed */
    uint32_t ended_tenures; /* hint: tenure whose end the agent has seen; 0: none */
    uint32_t reserved0;
};

/* Offset 0 of the board; lane_count entries follow at TALLY_BOARD_LANES_OFFSET. */
struct tally_board {
    uint64_t magic;
    uint32_t abi;
    uint32_t lane_count;
    uint8_t arena_uuid[16];
    struct tally_identity agent;
    uint32_t generation; /* grows with each agent that takes the board */
    uint32_t reserved0;
    /* line 2: the one word that a writer reads after each record */
    uint64_t announce;
    uint8_t reserved1[56];
    /* line 3 */
    uint32_t commit_counter; /* futex: moves with each commit that made something durable */
    uint8_t reserved2[60];
    char agent_version[64];
    char spill_directory[TALLY_SPILL_DIRECTORY_BYTES]; /* NUL-terminated; empty: none */
};
#define TALLY_BOARD_LANES_OFFSET TALLY_PAGE_BYTES

static inline uint64_t tally_board_bytes(uint32_t lane_count)
{
    return TALLY_BOARD_LANES_OFFSET + (uint64_t)lane_count * sizeof(struct tally_board_lane);
}

/* ---- checked ------------------------------------------------------------------ */

#ifdef __cplusplus
#define TALLY_LAYOUT(condition) static_assert(condition, #condition)
#else
#define TALLY_LAYOUT(condition) _Static_assert(condition, #condition)
#endif

TALLY_LAYOUT(sizeof(struct tally_lane_entry) == 8);
TALLY_LAYOUT(offsetof(struct tally_arena_header, doorbell) == 128);
TALLY_LAYOUT(offsetof(struct tally_arena_header, refused) == 192);
TALLY_LAYOUT(sizeof(struct tally_arena_header) == 256);
TALLY_LAYOUT(sizeof(struct tally_arena_header) <= TALLY_LANE_TABLE_OFFSET);
TALLY_LAYOUT(sizeof(struct tally_identity) == 24);
TALLY_LAYOUT(sizeof(struct tally_lane_header) == TALLY_LANE_HEADER_BYTES);
TALLY_LAYOUT(offsetof(struct tally_lane_header, identity) == 3840);
TALLY_LAYOUT(offsetof(struct tally_lane_header, final_sequence) == 3904);
TALLY_LAYOUT(offsetof(struct tally_lane_header, tail) == 3968);
TALLY_LAYOUT(offsetof(struct tally_lane_header, owner) ==
             TALLY_LANE_HEADER_BYTES - TALLY_GUARDED_WORD_FROM_END);
TALLY_LAYOUT(sizeof(struct tally_board_lane) == 24);
TALLY_LAYOUT(offsetof(struct tally_board, announce) == 64);
TALLY_LAYOUT(offsetof(struct tally_board, commit_counter) == 128);
TALLY_LAYOUT(sizeof(struct tally_board) <= TALLY_BOARD_LANES_OFFSET);

#endif
