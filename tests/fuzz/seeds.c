/* seeds.c: write the first inputs of the fuzz targets, from what the library itself writes.
 *
 *   seeds DIRECTORY       DIRECTORY/<target>/<name>, overwritten
 *
 * The corpora in tests/fuzz/corpus were made so. Session ids and times are of the day, host and executable of
 * wherever it ran; nothing depends on them.
 */
#include "fuzz/client.h"

#include "board/board.h"

#include <dirent.h>
#include <tally/spill.h>

#define LINES_BYTES (4 * TALLY_CACHE_LINE_BYTES)
#define SEED_BYTES  16384

static const char *directory;
static struct {
    uint8_t bytes[SEED_BYTES];
    size_t length;
} seed;

static void add(const void *bytes, size_t length)
{
    fuzz_expect(length <= sizeof seed.bytes - seed.length);
    memcpy(seed.bytes + seed.length, bytes, length);
    seed.length += length;
}

static void write_seed(const char *target, const char *scene, const char *variant)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", directory, target);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/%s%s%s", directory, target, scene, *variant ? "-" : "", variant);
    FILE *file = fopen(path, "we");
    fuzz_expect(file && fwrite(seed.bytes, 1, seed.length, file) == seed.length && fclose(file) == 0);
    seed.length = 0;
}

/* ---- scenes: what a program does on one lane ------------------------------------------------ */

static void usages(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    usage.provider = "openai";
    usage.operation = "chat";
    usage.request_model = "gpt-4o-mini";
    usage.input_tokens = 812;
    usage.output_tokens = 64;
    fuzz_expect(tally_record(&usage) == 0);
    usage.response_model = "gpt-4o-mini-2024-07-18";
    usage.response_id = "chatcmpl-1";
    usage.service_tier = "default";
    usage.server_address = "api.openai.com";
    usage.error_type = "timeout";
    usage.user = "u\xc3\xa9";
    usage.team = "red";
    usage.project = "p";
    usage.session = "s";
    usage.key_fingerprint = "0123456789abcdef";
    usage.trace_id = "0af7651916cd43dd8448eb211c80319c";
    usage.span_id = "b7ad6b7169203331";
    usage.tags = "a=b,c=d";
    usage.cache_read_tokens = 5000000000;
    usage.cache_write_5m_tokens = 1;
    usage.cache_write_1h_tokens = 2;
    usage.reasoning_tokens = 3;
    usage.input_audio_tokens = 4;
    usage.output_audio_tokens = 5;
    usage.input_image_tokens = 6;
    usage.output_image_tokens = 7;
    usage.start_time_unix_ns = INT64_C(1700000000000000000);
    usage.duration_ns = 1500000000;
    usage.time_to_first_token_ns = 200000000;
    usage.provider_cost_picodollars = 123456789;
    usage.status = TALLY_STATUS_ERROR;
    usage.http_status = 429;
    usage.flags = TALLY_FLAG_STREAMED | TALLY_FLAG_ESTIMATED | TALLY_FLAG_BATCH;
    usage.usage_json = "{\"prompt_tokens\":812,\"completion_tokens\":64}";
    usage.usage_json_length = strlen(usage.usage_json);
    fuzz_expect(tally_record(&usage) == 0);
}

static void begun(struct tally_call *call)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    usage.provider = "anthropic";
    usage.request_model = "claude-sonnet-4";
    usage.input_tokens = 100;
    fuzz_expect(tally_call_begin(call, &usage) == 0);
    usage.output_tokens = 20;
    fuzz_expect(tally_call_progress(call, &usage) == 0);
}

static void call_left_open(void)
{
    struct tally_call call;
    begun(&call);
}

static void call_ended(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct tally_call call;
    begun(&call);
    usage.output_tokens = 40;
    usage.status = TALLY_STATUS_OK;
    fuzz_expect(tally_call_end(&call, &usage) == 0);
}

static void client_object(void)
{
    struct tally_options options = TALLY_OPTIONS_INIT;
    struct tally_usage usage = TALLY_USAGE_INIT;
    options.service = "embedded";
    options.tags = "tier=gold";
    struct tally_client *object = tally_client_new(&options);
    fuzz_expect(object);
    usage.output_tokens = 9;
    fuzz_expect(tally_client_record(object, &usage) == 0);
    tally_client_release(object);
}

static void two_tenures(void)
{
    usages();
    client_leave();
    usages();
    fuzz_expect(tally_shutdown(0) == TALLY_PUBLISHED);
}

static void nearly_full(void)
{
    for (int i = 0; i < 12; i++)
        usages();
}

static const struct scene {
    const char *name;
    void (*play)(void);
} scenes[] = {{"usages", usages},        {"call-open", call_left_open}, {"call-ended", call_ended},
              {"object", client_object}, {"two-tenures", two_tenures},  {"many", nearly_full}};

/* ---- seeds ------------------------------------------------------------------------------------- */

static const uint8_t *ring(void)
{
    return client.bytes + tally_lane_offset(&client.header, 0);
}

static void add_lines(uint32_t lane)
{
    add((uint8_t *)client_lane(lane) + TALLY_LANE_HEADER_BYTES - LINES_BYTES, LINES_BYTES);
}

/* drain.c: struct plan, lines, ring. flags as there; damage: a byte of the ring that is changed, 0: none. */
static void drain_seed(const struct scene *scene, const char *variant, uint8_t flags, uint16_t start,
                       size_t damage)
{
    uint16_t plan[8] = {(uint16_t)(flags | 1 << 8), start, 0, 0, 128, 0, 2, 0};
    uint64_t tail = client_lane(0)->tail;
    add(plan, sizeof plan);
    add_lines(0);
    add(ring(), tail < client.header.ring_bytes ? tail : client.header.ring_bytes);
    if (damage && damage < tail)
        seed.bytes[sizeof plan + LINES_BYTES + damage] ^= 0x5a;
    write_seed("drain", scene->name, variant);
}

static void decode_seeds(const struct scene *scene)
{
    uint64_t tail = client_lane(0)->tail;
    char variant[16];
    int number = 0;
    for (uint64_t at = 0; at < tail && number < 4;) {
        const struct tally_record_header *record = (const void *)(ring() + at);
        uint8_t kind = record->kind == TALLY_KIND_CLIENT || record->kind == TALLY_KIND_CLIENT_END;
        snprintf(variant, sizeof variant, "%d", number++);
        add(&kind, 1);
        add(record + 1, record->length - sizeof *record);
        write_seed("decode", scene->name, variant);
        at += record->length;
    }
}

static void lane_seed(const struct scene *scene, uint8_t records)
{
    static const uint8_t change[] = {0x00, 0x3f, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t plan[4] = {records, 2, 0, 0};
    add(plan, sizeof plan);
    add(client.bytes + TALLY_LANE_TABLE_OFFSET, FUZZ_LANES * sizeof(struct tally_lane_entry));
    for (uint32_t lane = 0; lane < FUZZ_LANES; lane++)
        add_lines(lane);
    add(change, sizeof change);
    add(change, sizeof change);
    write_seed("lane", scene->name, "");
}

/* ---- spill files: the same scenes with the lane full ---------------------------------------- */

static void spill_file(const char *path, uint8_t place, uint8_t index, size_t cut, size_t damage)
{
    _Alignas(8) uint8_t bytes[SEED_BYTES];
    uint8_t entry[4] = {0, place, index, 0};
    FILE *file = fopen(path, "re");
    fuzz_expect(file);
    size_t length = fread(bytes, 1, sizeof bytes, file);
    uint16_t left = (uint16_t)(length - cut);
    fclose(file);
    fuzz_expect(length > cut && length < sizeof bytes);
    if (damage && damage < left)
        bytes[damage] ^= 0x5a;
    add(entry, sizeof entry);
    add(&left, sizeof left);
    add(bytes, left);
}

static void first_name(char *out, size_t bytes, const char *folder)
{
    DIR *listing = opendir(folder);
    const struct dirent *entry;
    *out = '\0';
    while (listing && (entry = readdir(listing)))
        if (entry->d_name[0] != '.')
            snprintf(out, bytes, "%s/%s", folder, entry->d_name);
    fuzz_expect(listing && *out);
    closedir(listing);
}

/* A log begins anew, and the lane stays full: nobody reads it. */
static void spill_begin(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    tally_process.overflow = TALLY_OVERFLOW_BLOCK;
    tally_process.block_timeout_ms = 0;
    client_renew();
    while (tally_record(&usage) == 0)
        ;
    tally_process.overflow = TALLY_OVERFLOW_SPILL;
    tally_process.spills = NULL;
    tally_thread.spill = NULL;
}

static void spill_seeds(const struct scene *scene)
{
    static const struct {
        const char *name;
        uint8_t flags; /* as in spill_file.c */
        uint8_t place;
        size_t cut;
        size_t damage;
    } variants[] = {{"", 1, 0, 0, 0},           {"as-written", 8, 0, 0, 0}, {"taken", 1, 2, 0, 0},
                    {"common", 1 | 2, 1, 0, 0}, {"torn", 1 | 2, 0, 20, 0},  {"damaged", 8, 0, 0, 500}};
    char folder[300];
    char path[600];
    snprintf(folder, sizeof folder, "%s/spill", client.folder);
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        spill_begin();
        scene->play();
        first_name(path, sizeof path, folder);
        const uint8_t one[2] = {variants[i].flags, 0};
        add(one, sizeof one);
        spill_file(path, variants[i].place, 1, variants[i].cut, variants[i].damage);
        write_seed("spill_file", scene->name, variants[i].name);
        unlink(path);
    }
    /* as it would stand in a lane that was carried over, and then once more */
    for (uint8_t again = 0; again < 2; again++) {
        static const struct tally_carried nothing;
        const uint8_t carried[2] = {1, again};
        uint64_t tail;
        client_renew();
        tally_process.overflow = TALLY_OVERFLOW_BLOCK;
        scene->play();
        tail = client_lane(0)->tail;
        add(carried, sizeof carried);
        for (uint8_t i = 0; i <= again; i++) {
            const uint8_t entry[4] = {8, i, (uint8_t)(1 + i), 0};
            const struct tally_spill_header header = {.magic = TALLY_CARRIED_MAGIC};
            uint16_t length = (uint16_t)(sizeof header + sizeof nothing + tail);
            add(entry, sizeof entry);
            add(&length, sizeof length);
            add(&header, sizeof header);
            add(&nothing, sizeof nothing);
            add(ring(), tail);
        }
        write_seed("spill_file", scene->name, again ? "carried-twice" : "carried");
    }
    /* the first is taken, and the log goes on in a second, which comes later or stands there first */
    for (uint8_t later = 0; later < 2; later++) {
        const uint8_t two[2] = {later ? 8 | 4 : 8, 1};
        spill_begin();
        scene->play();
        first_name(path, sizeof path, folder);
        add(two, sizeof two);
        spill_file(path, 0, 1, 0, 0);
        unlink(path);
        scene->play();
        first_name(path, sizeof path, folder);
        spill_file(path, 1, 2, 0, 0);
        unlink(path);
        write_seed("spill_file", scene->name, later ? "second-later" : "second");
    }
}

static void play(const struct scene *scene)
{
    if (scene->play != nearly_full && scene->play != two_tenures)
        spill_seeds(scene);
    tally_process.overflow = TALLY_OVERFLOW_BLOCK;
    client_renew();
    scene->play();
    if (scene->play == nearly_full) {
        drain_seed(scene, "", 0xc0, 0, 0);
        lane_seed(scene, 40);
        return;
    }
    drain_seed(scene, "", 0, 0, 0);
    drain_seed(scene, "mended", 0xc1 | 8, 0, 0);
    drain_seed(scene, "wrapped", 1, 1400, 0);
    drain_seed(scene, "damaged", 0xc0 | 4, 0, 300);
    decode_seeds(scene);
    lane_seed(scene, 3);
}

static void arena_seeds(void)
{
    static const struct {
        const char *name;
        uint32_t plan[3]; /* as struct plan in arena.c: flags, mode, lanes; missing; pages */
    } variants[] = {{"whole", {0x00030000, 0, 0}},      {"mended", {0x00030001, 0, 0}},
                    {"short", {0x00030000, 1, 0}},      {"shrunken", {0x00030002, 0, 2}},
                    {"shrunken-to-nothing", {2, 0, 0}}, {"open-to-all", {0x0000b604, 0, 0}}};
    client_renew();
    usages();
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        add(variants[i].plan, sizeof variants[i].plan);
        add(client.bytes, TALLY_LANE_TABLE_OFFSET + FUZZ_LANES * sizeof(struct tally_lane_entry));
        write_seed("arena", variants[i].name, "");
    }
}

static void board_seed(const char *name, uint8_t flags, uint8_t leave, const struct tally_board_lane *lane,
                       uint64_t announce)
{
    uint8_t plan[4] = {flags, 0, 30, leave};
    struct tally_board_lane lanes[FUZZ_LANES] = {{0}};
    struct board board;
    uint16_t places[3] = {TALLY_BOARD_LANES_OFFSET, offsetof(struct tally_board, announce),
                          offsetof(struct tally_board, commit_counter)};

    client_renew();
    fuzz_expect(board_take(&board, client.board_path, &client.header, false, lanes) == 0);
    add(plan, sizeof plan);
    add(board.shared, board.bytes);
    for (size_t i = 0; i < 3; i++) {
        uint8_t length = i == 0 ? sizeof *lane : sizeof announce;
        add(&places[i], sizeof places[i]);
        add(&length, 1);
        add(i == 0 ? (const void *)lane : &announce, length);
    }
    board_leave(&board, false);
    write_seed("board", name, "");
}

static void board_seeds(void)
{
    const struct tally_board_lane some = {.position = 1024, .sequence = 5};
    const struct tally_board_lane ahead = {.position = UINT64_MAX, .sequence = UINT64_MAX};

    board_seed("busy", 1, 0, &some, 0);
    board_seed("gathering", 1, 2, &some, TALLY_ANNOUNCE(TALLY_AGENT_GATHERING, 0));
    board_seed("asleep", 1 | 16, 0, &some, TALLY_ANNOUNCE(TALLY_AGENT_ASLEEP, 0));
    board_seed("moved", 1, 1, &some, TALLY_ANNOUNCE(TALLY_AGENT_MOVED, 0));
    board_seed("ahead", 1 | 16, 1, &ahead, TALLY_ANNOUNCE(TALLY_AGENT_ASLEEP, 0));
    board_seed("another-arena", 0, 0, &some, 0);
    board_seed("link", 1 | 2, 0, &some, 0);
    board_seed("two-names", 1 | 4, 0, &some, 0);
    board_seed("short", 1 | 8, 0, &some, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    char spill[300];
    directory = argv[1];
    mkdir(directory, 0755);
    client_start();
    snprintf(spill, sizeof spill, "%s/spill", client.folder);
    snprintf(tally_process.spill_directory, sizeof tally_process.spill_directory, "%s", spill);
    fuzz_expect(mkdir(spill, 0700) == 0);
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        play(&scenes[i]);
    arena_seeds();
    board_seeds();
    return 0;
}
