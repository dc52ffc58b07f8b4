/* dump: print the shared-memory layout as text, one struct, member or constant a line.
 *
 * The output is checked in (tests/layout/abi-v1.txt) and compared by a test, so that a
 * change of the ABI shows in a review as what it is. Each struct's members are listed
 * by name here; that none was forgotten is seen from the offsets, which have to
 * meet without a gap from 0 to the struct's size.
 */
#include <inttypes.h>
#include <stdio.h>
#include <tally/record.h>
#include <tally/spill.h>

struct layout {
    const char *name;
    size_t bytes;
    size_t end; /* of the last member printed */
};

static int faults;

static void begin(struct layout *layout, const char *name, size_t bytes, size_t alignment)
{
    *layout = (struct layout){name, bytes, 0};
    printf("\nstruct %s: %zu bytes, aligned to %zu\n", name, bytes, alignment);
}

static void member(struct layout *layout, const char *name, size_t offset, size_t bytes)
{
    if (offset != layout->end) {
        fprintf(stderr, "dump: struct %s has an unnamed hole or a member that is not listed before %s\n",
                layout->name, name);
        faults++;
    }
    layout->end = offset + bytes;
    printf("  %5zu %5zu  %s\n", offset, bytes, name);
}

static void end(const struct layout *layout)
{
    if (layout->end != layout->bytes) {
        fprintf(stderr, "dump: struct %s: the last member listed ends at %zu of %zu bytes\n", layout->name,
                layout->end, layout->bytes);
        faults++;
    }
}

#define BEGIN(type)                                                                                          \
    {                                                                                                        \
        struct layout layout;                                                                                \
        typedef struct type this_type;                                                                       \
        begin(&layout, #type, sizeof(this_type), _Alignof(this_type))
#define MEMBER(name)                                                                                         \
    member(&layout, #name, offsetof(this_type, name), sizeof(((const this_type *)NULL)->name))
#define END                                                                                                  \
    end(&layout);                                                                                            \
    }
#define CONSTANT(name) printf("  %-32s %" PRIu64 "\n", #name, (uint64_t)(name))
#define MAGIC(name)    printf("  %-32s 0x%016" PRIX64 "\n", #name, (uint64_t)(name))

static void constants(void)
{
    printf("constants\n");
    CONSTANT(TALLY_ABI);
    CONSTANT(TALLY_PAGE_BYTES);
    CONSTANT(TALLY_CACHE_LINE_BYTES);
    MAGIC(TALLY_ARENA_MAGIC);
    MAGIC(TALLY_BOARD_MAGIC);
    CONSTANT(TALLY_LANE_COUNT_DEFAULT);
    CONSTANT(TALLY_LANE_COUNT_MAX);
    CONSTANT(TALLY_LANE_BYTES_DEFAULT);
    CONSTANT(TALLY_LANE_BYTES_MIN);
    CONSTANT(TALLY_LANE_BYTES_MAX);
    CONSTANT(TALLY_LANE_HEADER_BYTES);
    CONSTANT(TALLY_LANE_TABLE_OFFSET);
    CONSTANT(TALLY_LANE_DAMAGED);
    CONSTANT(TALLY_GUARDED_WORD_FROM_END);
    CONSTANT(TALLY_BOARD_LANES_OFFSET);
    CONSTANT(TALLY_SPILL_DIRECTORY_BYTES);
    CONSTANT(TALLY_RECORD_BYTES_MAX);
    CONSTANT(TALLY_CALL_STEP_END);
    printf("  %-32s %" PRIu32 "\n", "header bytes of 1 lane", tally_arena_header_bytes(1));
    printf("  %-32s %" PRIu32 "\n", "header bytes of 1024 lanes", tally_arena_header_bytes(1024));
    printf("  %-32s %" PRIu32 "\n", "header bytes of 16384 lanes", tally_arena_header_bytes(16384));
    printf("  %-32s %" PRIu64 "\n", "board bytes of 1024 lanes", tally_board_bytes(1024));

    printf("\nenum tally_refusal\n");
    CONSTANT(TALLY_REFUSED_LANE_FULL);
    CONSTANT(TALLY_REFUSED_NO_LANE);
    CONSTANT(TALLY_REFUSED_REENTERED);
    CONSTANT(TALLY_REFUSED_SPILL);
    CONSTANT(TALLY_REFUSALS);
    printf("\nenum tally_announcement\n");
    CONSTANT(TALLY_AGENT_BUSY);
    CONSTANT(TALLY_AGENT_GATHERING);
    CONSTANT(TALLY_AGENT_ASLEEP);
    CONSTANT(TALLY_AGENT_MOVED);
    printf("  %-32s 0x%016" PRIX64 "\n", "TALLY_ANNOUNCE(ASLEEP, 5)", TALLY_ANNOUNCE(TALLY_AGENT_ASLEEP, 5));
    printf("\nenum tally_record_kind\n");
    CONSTANT(TALLY_KIND_PADDING);
    CONSTANT(TALLY_KIND_CLIENT);
    CONSTANT(TALLY_KIND_USAGE);
    CONSTANT(TALLY_KIND_CALL_BEGIN);
    CONSTANT(TALLY_KIND_CALL_PROGRESS);
    CONSTANT(TALLY_KIND_CALL_END);
    CONSTANT(TALLY_KIND_CLIENT_END);
    printf("\nenum tally_field_type\n");
    CONSTANT(TALLY_TYPE_U32);
    CONSTANT(TALLY_TYPE_I64);
    CONSTANT(TALLY_TYPE_TEXT);
    CONSTANT(TALLY_TYPE_BYTES);
}

static void arena(void)
{
    BEGIN(tally_arena_header);
    MEMBER(magic);
    MEMBER(abi);
    MEMBER(header_bytes);
    MEMBER(uuid);
    MEMBER(lane_count);
    MEMBER(lane_bytes);
    MEMBER(ring_bytes);
    MEMBER(reserved0);
    MEMBER(created_unix_ns);
    MEMBER(boot_id);
    MEMBER(reserved1);
    MEMBER(doorbell);
    MEMBER(reserved2);
    MEMBER(refused);
    END BEGIN(tally_lane_entry);
    MEMBER(tenures);
    MEMBER(hint);
    END BEGIN(tally_identity);
    MEMBER(pid);
    MEMBER(tid);
    MEMBER(start_time);
    MEMBER(pid_namespace);
    END BEGIN(tally_lane_slot);
    MEMBER(tail);
    MEMBER(sequence);
    END BEGIN(tally_lane_header);
    MEMBER(reserved0);
    MEMBER(identity);
    MEMBER(reserved1);
    MEMBER(final_sequence);
    MEMBER(refused_full);
    MEMBER(reserved2);
    MEMBER(tail);
    MEMBER(slot);
    MEMBER(reserved3);
    MEMBER(reserved4);
    MEMBER(owner);
    MEMBER(reserved5);
    END
}

static void board(void)
{
    BEGIN(tally_board);
    MEMBER(magic);
    MEMBER(abi);
    MEMBER(lane_count);
    MEMBER(arena_uuid);
    MEMBER(agent);
    MEMBER(generation);
    MEMBER(reserved0);
    MEMBER(announce);
    MEMBER(reserved1);
    MEMBER(commit_counter);
    MEMBER(reserved2);
    MEMBER(agent_version);
    MEMBER(spill_directory);
    END BEGIN(tally_board_lane);
    MEMBER(position);
    MEMBER(sequence);
    MEMBER(ended_tenures);
    MEMBER(reserved0);
    END
}

static void spill(void)
{
    BEGIN(tally_spill_header);
    MEMBER(magic);
    MEMBER(abi);
    MEMBER(index);
    MEMBER(log);
    MEMBER(created_unix_ns);
    MEMBER(arena);
    MEMBER(reserved);
    END
}

static void record(void)
{
    BEGIN(tally_record_header);
    MEMBER(length);
    MEMBER(kind);
    MEMBER(client);
    MEMBER(sequence);
    MEMBER(position);
    MEMBER(time_unix_ns);
    MEMBER(checksum);
    MEMBER(reserved);
    END BEGIN(tally_field);
    MEMBER(id);
    MEMBER(type);
    MEMBER(length);
    END
}

static void fields(void)
{
    printf("\nfields: id, name, longest text\n");
#define TALLY_X(id, name, bytes_max) printf("  %3d  %-28s %d\n", id, #name, bytes_max);
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name) printf("  %3d  %s\n", id, #name);
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
#define FIELD(name) printf("  %3d  %s\n", TALLY_FIELD_##name, #name)
    FIELD(usage_json);
    FIELD(truncated);
    FIELD(call_id);
    FIELD(call_step);
    FIELD(call_records);
    FIELD(session_id);
    FIELD(parent_session_id);
    FIELD(pid);
    FIELD(tid);
    FIELD(start_time);
    FIELD(process_start_time);
    FIELD(pid_namespace);
    FIELD(uid);
    FIELD(host);
    FIELD(executable);
    FIELD(service);
    FIELD(client_tags);
    FIELD(resource_attributes);
    FIELD(library_version);
    FIELD(tenure);
    FIELD(predecessor_sequence);
    FIELD(predecessor_final);
    FIELD(predecessor_refused);
    FIELD(client_truncated);
}

/* The checksum is part of the format: records of old libraries have to go on passing. */
static void checksums(void)
{
    _Alignas(8) unsigned char bytes[64];

    for (unsigned int i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    printf("\ntally_checksum of bytes 37 i + 11\n");
    for (uint32_t length = 8; length <= sizeof(bytes); length += 8)
        printf("  %2" PRIu32 " bytes  0x%08" PRIX32 "\n", length, tally_checksum(bytes, length));
}

int main(void)
{
    printf("# The shared memory and record layout of tally, written by `make layout`.\n"
           "# struct lines: offset, bytes, member. All numbers are little-endian.\n\n");
    constants();
    arena();
    board();
    spill();
    record();
    fields();
    checksums();
    return faults == 0 && fflush(stdout) == 0 ? 0 : 1;
}
