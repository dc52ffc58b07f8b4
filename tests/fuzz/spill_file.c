/* spill_file.c: spill files as their owner may write them, taken in by the agent's own rounds into a real ledger: names,
 * headers, several files of a log, several logs, damage, resynchronisation, missing numbers, a death of the agent in the
 * middle.
 *
 * Input: struct plan, then for each file struct entry and its bytes. Whatever they are: the ledger reports no error, the
 * rounds come to an end, each number is counted once, as persisted or as lost, and each file is removed, or left and
 * noted as one to be left alone.
 */
#include "fuzz/books.h"

#include "collector/state.h"

#include <dirent.h>
#include <errno.h>
#include <sys/mman.h>

enum { FILES_MAX = 6, FOLDERS = 2, ROUNDS_MAX = 1000 };

enum {
    MEND = 1,  /* headers, lengths and checksums as they should be, so that the fields get through */
    DIE = 2,   /* the agent dies after the first round, before its commit */
    LATER = 4, /* the last file comes only when the others have been taken */
    HEAD = 8,  /* headers as they should be, and the rest as it is */
};

struct plan {
    uint8_t flags;
    uint8_t files;
};

/* kind: 0 to 3 a file as any other; 4 a symbolic link to one; 5 a fifo; 6 a file with two names; 7 a folder; and 8: what
 * was carried over out of an arena's lane.
 * place: bit 0: in the folder that others use too; bits 1 and 2: not taken yet, or by whom; bit 3: of the second log */
struct entry {
    uint8_t kind;
    uint8_t place;
    uint8_t index;
    uint8_t reserved;
    uint16_t length;
};

static struct {
    char folder[256];
    char folders[FOLDERS][320];
    struct collector collector;
    struct agent_config config;
    bool started;
} self;

/* ---- the agent ------------------------------------------------------------------------------ */

static void ledger_start(void)
{
    struct ledger_options options = {.state_directory = self.folder};
    fuzz_expect(ledger_open(&self.collector.ledger, &options) == 0);
}

/* Not where else spill files may stand on this machine. */
static void spill_begin(void)
{
    fuzz_expect(spill_open(&self.collector) == 0);
    fuzz_expect(self.collector.spill.folders.count >= FOLDERS);
    fuzz_expect(strcmp(self.collector.spill.folders.list[1].path, self.folders[1]) == 0);
    self.collector.spill.folders.count = FOLDERS;
}

static void start(void)
{
    fuzz_folder(self.folder, sizeof self.folder);
    snprintf(self.folders[0], sizeof self.folders[0], "%s/spill", self.folder);
    snprintf(self.folders[1], sizeof self.folders[1], "%s/common", self.folder);
    for (int i = 0; i < FOLDERS; i++)
        fuzz_expect(mkdir(self.folders[i], 0700) == 0);
    setenv("TALLY_SPILL_DIR", self.folders[1], 1);
    setenv("XDG_STATE_HOME", self.folder, 1);
    self.config.state_directory = self.folder;
    self.config.group = (gid_t)-1;
    self.config.arenas[0] = self.folder; /* not the default names of this machine */
    self.collector.config = &self.config;
    self.collector.once = true;
    self.collector.quarantine.state_directory = self.folder;
    self.collector.quarantine.counted = 1;
    self.collector.batch.bytes =
        mmap(NULL, BATCH_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fuzz_expect(self.collector.batch.bytes != MAP_FAILED);
    ledger_start();
    ledger_close(self.collector.ledger);
    books_keep(self.folder);
    self.started = true;
}

/* What a death leaves: the files as they are, and of the transaction nothing. */
static void die(void)
{
    fuzz_expect(spill_round(&self.collector, true) == 0);
    spill_close(&self.collector);
    ledger_close(self.collector.ledger);
    self.collector.batch.used = 0;
    self.collector.batch.records = 0;
    ledger_start();
    spill_begin();
}

static void take_all(void)
{
    int idle = 0;
    for (int round = 0; idle < 3; round++) {
        fuzz_expect(round < ROUNDS_MAX);
        fuzz_expect(round_run(&self.collector, true) == 0);
        idle = self.collector.moved || self.collector.waiting ? 0 : idle + 1;
    }
}

/* ---- the files -------------------------------------------------------------------------------- */

/* Numbers mostly go on by one; some are had already, some left out. */
static uint64_t next_number(uint64_t number, const struct tally_record_header *record)
{
    switch (record->reserved & 15) {
    case 13: /* as it is */
        return record->sequence;
    case 14:
        return number + 3;
    case 15:
        return number;
    default:
        return number + 1;
    }
}

static uint64_t ring_left(uint32_t ring_bytes, uint64_t position)
{
    return ring_bytes ? ring_bytes - position % ring_bytes : UINT64_MAX;
}

/* Records from bytes[at] on, the first of them at a position; ring_bytes 0: not of a ring. */
static void mend_records(uint8_t *bytes, size_t length, size_t at, uint64_t position, uint32_t ring_bytes)
{
    uint64_t number = 0;
    while (at + sizeof(struct tally_record_header) <= length) {
        struct tally_record_header *record = (void *)(bytes + at);
        size_t most = (length - at) / 8 * 8;
        if (most > TALLY_RECORD_BYTES_MAX)
            most = TALLY_RECORD_BYTES_MAX;
        if (most > ring_left(ring_bytes, position))
            most = (size_t)ring_left(ring_bytes, position);
        if (most < sizeof *record) {
            uint64_t padding = most | (uint64_t)TALLY_KIND_PADDING << 32;
            memcpy(record, &padding, sizeof padding);
        } else {
            record->length = record->length / 8 * 8;
            if (record->length < sizeof *record || record->length > most)
                record->length = (uint32_t)most;
            number = next_number(number, record);
            record->sequence = number;
            record->position = position;
            record->reserved = 0;
            record->checksum = 0;
            record->checksum = tally_checksum(record, record->length);
            most = record->length;
        }
        at += most;
        position += most;
    }
}

static void mend(uint8_t *bytes, size_t length, const struct spill_name *name, bool carried, bool frames)
{
    struct tally_spill_header *header = (void *)bytes;
    struct tally_carried *parcel = (void *)(header + 1);

    if (length < SPILL_CARRIED_OFFSET)
        return;
    header->magic = carried ? TALLY_CARRIED_MAGIC : TALLY_SPILL_MAGIC;
    header->abi = TALLY_ABI;
    header->index = name->index;
    memcpy(header->log, name->log, sizeof header->log);
    if (carried) {
        memset(header->arena, 0xC3, sizeof header->arena);
        parcel->from = parcel->from / 8 * 8 % (1u << 20);
        parcel->lane %= FUZZ_LANES;
        parcel->ring_bytes = TALLY_LANE_BYTES_MIN - TALLY_LANE_HEADER_BYTES;
        if (frames)
            mend_records(bytes, length, SPILL_CARRIED_OFFSET, parcel->from, parcel->ring_bytes);
    } else if (frames) {
        mend_records(bytes, length, sizeof *header, sizeof *header, 0);
    }
}

static void put_name(char out[SPILL_NAME_MAX], const struct entry *entry, const struct spill_name *name)
{
    char taken[64] = "";
    char hex[33];
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", name->log[i]);
    switch (entry->place >> 1 & 3) {
    case 1:
        snprintf(taken, sizeof taken, TALLY_SPILL_TAKEN);
        break;
    case 2:
        snprintf(taken, sizeof taken, TALLY_SPILL_TAKEN ".%s", ledger_instance(self.collector.ledger));
        break;
    case 3:
        snprintf(taken, sizeof taken, TALLY_SPILL_TAKEN ".0123456789abcdef");
        break;
    default:
        break;
    }
    snprintf(out, SPILL_NAME_MAX, TALLY_SPILL_PREFIX "%s-%u" TALLY_SPILL_SUFFIX "%s", hex, name->index,
             taken);
}

static void put_file(struct fuzz_input *input, uint8_t flags)
{
    static _Alignas(8) uint8_t bytes[UINT16_MAX + 8];
    char text[SPILL_NAME_MAX];
    char path[640];
    char other[660];
    struct entry entry;
    struct spill_name name = {.index = 0};

    fuzz_take(input, &entry, sizeof entry);
    size_t length = entry.length < input->left ? entry.length : input->left;
    fuzz_take(input, bytes, length);
    name.index = entry.index % 8 ? entry.index % 8u : UINT32_MAX;
    memset(name.log, entry.place & 8 ? 0xB2 : 0xA1, sizeof name.log);
    if (flags & (MEND | HEAD))
        mend(bytes, length, &name, entry.kind & 8, flags & MEND);
    put_name(text, &entry, &name);
    snprintf(path, sizeof path, "%s/%s", self.folders[entry.place & 1], text);
    snprintf(other, sizeof other, "%s/other", self.folder);
    if (entry.kind % 8 == 5 || entry.kind % 8 == 7) {
        (void)(entry.kind % 8 == 5 ? mkfifo(path, 0600) : mkdir(path, 0700)); /* there may be one */
        return;
    }
    unlink(other);
    int fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    fuzz_expect(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
    close(fd);
    if (entry.kind % 8 == 4)
        (void)!symlink(other, path);
    else if (entry.kind % 8 == 6)
        (void)!link(other, path);
    else
        (void)!renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_NOREPLACE);
}

/* ---- what has to hold ----------------------------------------------------------------------------- */

static bool noted(const char *name)
{
    const struct spill *spill = &self.collector.spill;
    for (size_t i = 0; i < spill->known_count; i++)
        if (strcmp(spill->known[i].name, name) == 0)
            return true;
    return false;
}

/* In a folder that others use too, a file under the very name that another is to get keeps that one waiting, and what
 * comes behind it in its log. */
static bool held_up(const char *name)
{
    const struct spill *spill = &self.collector.spill;
    struct spill_name waiting;
    struct spill_name before;
    fuzz_expect(spill_name_parse(name, &waiting));
    for (size_t i = 0; i < spill->known_count; i++)
        if (spill_name_parse(spill->known[i].name, &before) && before.taken &&
            strcmp(before.taken, ledger_instance(self.collector.ledger)) == 0 &&
            memcmp(before.log, waiting.log, sizeof waiting.log) == 0 && before.index <= waiting.index)
            return true;
    return false;
}

/* Another database's is not this agent's business. */
static bool foreign(int folder, const char *name)
{
    struct spill_name parts;
    return spill_name_parse(name, &parts) && folder == 1 && parts.taken &&
           strcmp(parts.taken, ledger_instance(self.collector.ledger)) != 0;
}

static void check_folder(int folder, bool clear)
{
    DIR *listing = opendir(self.folders[folder]);
    const struct dirent *entry;
    fuzz_expect(listing);
    while ((entry = readdir(listing)))
        if (entry->d_name[0] != '.') {
            if (clear)
                fuzz_expect(unlinkat(dirfd(listing), entry->d_name, 0) == 0 ||
                            unlinkat(dirfd(listing), entry->d_name, AT_REMOVEDIR) == 0);
            else
                fuzz_expect(noted(entry->d_name) || foreign(folder, entry->d_name) || held_up(entry->d_name));
        }
    closedir(listing);
}

static void check(const struct ledger_figures *before)
{
    struct ledger_figures after;
    sqlite3 *database = books_open();
    ledger_figures(self.collector.ledger, &after);
    books_balance(database);
    fuzz_expect(books_number(database, "SELECT coalesce(sum(sequence), 0) FROM lanes") ==
                (int64_t)(after.records - before->records + after.skipped - before->skipped));
    sqlite3_close(database);
    for (int folder = 0; folder < FOLDERS; folder++)
        check_folder(folder, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct ledger_figures before;
    struct plan plan;

    if (!self.started)
        start();
    books_renew();
    ledger_start();
    spill_begin();
    self.collector.quarantine.bytes = 0;
    self.collector.gone_settled = false;
    fuzz_take(&input, &plan, sizeof plan);
    int files = 1 + plan.files % FILES_MAX;
    for (int i = 0; i < files - !!(plan.flags & LATER); i++)
        put_file(&input, plan.flags);
    if (plan.flags & DIE)
        die();
    ledger_figures(self.collector.ledger, &before);
    take_all();
    if (plan.flags & LATER) {
        put_file(&input, plan.flags);
        take_all();
    }
    check(&before);
    for (int folder = 0; folder < FOLDERS; folder++)
        check_folder(folder, true);
    spill_close(&self.collector);
    ledger_close(self.collector.ledger);
    return 0;
}
