/* inspect_spill.c: spill files read as a stranger does, from include/tally/spill.h alone. */
#include "crash/inspect.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/spill.h>
#include <unistd.h>

#define FILES_MAX  32
#define BYTES_MAX  (128u * 1024u)
#define HEX_DIGITS 32

struct file {
    char path[512];
    char log[HEX_DIGITS + 1];
    unsigned int index;
};

static int order(const void *left, const void *right)
{
    const struct file *a = left;
    const struct file *b = right;
    int logs = strcmp(a->log, b->log);
    return logs ? logs : (int)a->index - (int)b->index;
}

static struct inspect_log *find_log(struct inspection *inspection, const struct tally_spill_header *header)
{
    for (uint32_t i = 0; i < inspection->logs; i++)
        if (!memcmp(inspection->log[i].id, header->log, sizeof header->log))
            return &inspection->log[i];
    if (inspection->logs == INSPECT_LOGS_MAX) {
        inspect_wrong(inspection, "more spill logs than anybody began");
        return NULL;
    }
    struct inspect_log *log = &inspection->log[inspection->logs++];
    memset(log, 0, sizeof *log);
    memcpy(log->id, header->log, sizeof log->id);
    return log;
}

/* A number that is there already has to be the same record again. */
static int check_record(struct inspection *inspection, struct inspect_log *log,
                        const struct tally_record_header *record)
{
    uint64_t number = record->sequence;
    unsigned long long shown = number;
    int32_t call = -1;
    if (number == 0 || number > log->highest + 1 || number >= sizeof log->entry / sizeof log->entry[0] ||
        record->client >= INSPECT_CLIENTS_MAX)
        return inspect_wrong(inspection, "spilled: number %llu after %llu, client %u", shown,
                             (unsigned long long)log->highest, record->client);
    if (record->kind == TALLY_KIND_CLIENT) {
        log->introduced[record->client] = true;
        if (record->client == 0)
            log->pid = (uint32_t)inspect_number(record, TALLY_FIELD_pid);
    } else {
        call = inspect_call(inspection, record, log->pid);
        if (call < 0)
            return -1;
        if (!log->introduced[record->client])
            return inspect_wrong(inspection, "spilled: record %llu of a client that was not introduced",
                                 shown);
    }
    if (number <= log->highest)
        return log->entry[number] == call
                   ? 0
                   : inspect_wrong(inspection, "spilled: number %llu is two records", shown);
    log->entry[number] = call;
    log->highest = number;
    if (call >= 0)
        inspection->found[call]++;
    return 0;
}

static int check_records(struct inspection *inspection, const uint8_t *bytes, size_t length,
                         const struct file *file)
{
    uint64_t buffer[TALLY_RECORD_BYTES_MAX / 8];
    struct tally_record_header *record = (struct tally_record_header *)(void *)buffer;
    const struct tally_spill_header *header = (const struct tally_spill_header *)(const void *)bytes;
    struct inspect_log *log = find_log(inspection, header);
    uint64_t last = 0;
    if (!log)
        return -1;
    for (size_t at = sizeof *header; at < length; at += record->length) {
        size_t left = length - at;
        memcpy(buffer, bytes + at, left < sizeof buffer ? left : sizeof buffer);
        uint32_t checksum = record->checksum;
        record->checksum = 0;
        bool whole = left >= sizeof *record && record->length >= sizeof *record &&
                     record->length <= sizeof buffer && record->length <= left && record->length % 8 == 0 &&
                     checksum == tally_checksum(record, record->length);
        if (!whole)
            return left <= TALLY_RECORD_BYTES_MAX
                       ? 0 /* torn: nothing was acknowledged from here on */
                       : inspect_wrong(inspection, "%s is damaged at %zu of %zu", file->path, at, length);
        if (record->position != at || record->sequence <= last ||
            (last == 0 && (record->sequence != 1 || record->kind != TALLY_KIND_CLIENT || record->client)))
            return inspect_wrong(inspection, "%s: at %zu stands position %llu, number %llu after %llu",
                                 file->path, at, (unsigned long long)record->position,
                                 (unsigned long long)record->sequence, (unsigned long long)last);
        last = record->sequence;
        if (check_record(inspection, log, record))
            return -1;
    }
    return 0;
}

static int check_file(struct inspection *inspection, const struct file *file)
{
    _Alignas(8) static uint8_t bytes[BYTES_MAX];
    const struct tally_spill_header *header = (const struct tally_spill_header *)(const void *)bytes;
    struct stat status;
    char hex[HEX_DIGITS + 1];
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    if (fd < 0 || fstat(fd, &status) || got != status.st_size)
        got = -1;
    if (fd >= 0)
        close(fd);
    if (got < 0)
        return inspect_wrong(inspection, "%s cannot be read", file->path);
    if (got < (ssize_t)sizeof *header)
        return 0; /* killed before there was anything in it */
    for (int i = 0; i < HEX_DIGITS / 2; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", header->log[i]);
    if (header->magic != TALLY_SPILL_MAGIC || header->abi != TALLY_ABI || header->index != file->index ||
        strcmp(hex, file->log) != 0 || (status.st_mode & 07777) != 0600)
        return inspect_wrong(inspection, "%s: its header or mode is wrong", file->path);
    return check_records(inspection, bytes, (size_t)got, file);
}

int inspect_spilled(struct inspection *inspection, const char *folder)
{
    static struct file files[FILES_MAX];
    size_t count = 0;
    int result = 0;
    DIR *listing = opendir(folder);
    const struct dirent *entry;
    while (listing && result == 0 && (entry = readdir(listing))) {
        struct file *file = &files[count];
        int end = 0;
        if (entry->d_name[0] == '.')
            continue;
        if (count == FILES_MAX ||
            sscanf(entry->d_name, "tally-%32[0-9a-f]-%u.spill%n", file->log, &file->index, &end) < 2 ||
            end == 0 || strlen(file->log) != HEX_DIGITS)
            result = inspect_wrong(inspection, "what is %s?", entry->d_name);
        else
            snprintf(file->path, sizeof file->path, "%s/%s", folder, entry->d_name);
        count++;
    }
    if (listing)
        closedir(listing);
    if (result == 0)
        qsort(files, count, sizeof *files, order);
    for (size_t i = 0; i < count && result == 0; i++)
        result = check_file(inspection, &files[i]);
    return result;
}
