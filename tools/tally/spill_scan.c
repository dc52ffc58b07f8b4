#include "spill_scan.h"
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (256u * 1024u)

static void add_size(struct spill_scan *scan, const struct spill_found *file)
{
    struct stat status;
    int directory = spill_folder_open(&scan->folders.list[file->folder]);

    if (directory < 0)
        return;
    if (fstatat(directory, file->name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        scan->files++;
        scan->bytes += (uint64_t)status.st_size;
    }
    close(directory);
}

void spill_scan(struct spill_scan *scan, const char *directory, const char *instance)
{
    memset(scan, 0, sizeof(*scan));
    if (spill_folders_find(&scan->folders, directory) != 0)
        out_of_memory();
    scan->errors = must_resize(NULL, scan->folders.count, sizeof(*scan->errors));
    for (unsigned int i = 0; i < scan->folders.count; i++)
        scan->errors[i] = spill_list_folder(&scan->list, &scan->folders, i, instance);
    spill_list_sort(&scan->list);
    for (size_t i = 0; i < scan->list.count; i++) {
        if (scan->list.files[i].foreign)
            scan->foreign++;
        else
            add_size(scan, &scan->list.files[i]);
    }
}

void spill_scan_free(struct spill_scan *scan)
{
    spill_list_free(&scan->list);
    spill_folders_free(&scan->folders);
    free(scan->errors);
    memset(scan, 0, sizeof(*scan));
}

/* carried: NULL: a log. */
static int walk(int fd, const struct tally_carried *carried,
                void (*take)(void *context, const struct tally_record_header *record), void *context)
{
    unsigned char *bytes = must_allocate(PIECE_BYTES);
    struct spill_piece piece = {.bytes = bytes, .offset = sizeof(struct tally_spill_header)};
    enum spill_find found = SPILL_MORE;
    ssize_t got = 0;

    if (carried != NULL)
        piece.offset = SPILL_CARRIED_OFFSET;
    while (found != SPILL_END && (got = spill_file_read(fd, bytes, PIECE_BYTES, piece.offset)) > 0) {
        size_t at = 0;
        size_t next = 0;
        piece.length = (size_t)got;
        piece.end = got < (ssize_t)PIECE_BYTES;
        for (;;) {
            found = carried != NULL ? spill_carried_find(&piece, carried, at, &next)
                                    : spill_piece_find(&piece, at, &next);
            if (found == SPILL_MORE || found == SPILL_END)
                break;
            const struct tally_record_header *record =
                (const struct tally_record_header *)(const void *)(bytes + at);
            if (found == SPILL_RECORD)
                take(context, record);
            at = found == SPILL_RECORD ? at + record->length : next;
        }
        piece.offset += at;
    }
    free(bytes);
    return got < 0 ? (int)got : 0;
}

int spill_scan_file(const struct spill_scan *scan, const struct spill_found *file,
                    struct tally_spill_header *header, struct tally_carried *carried, struct stat *status,
                    void (*take)(void *context, const struct tally_record_header *record), void *context)
{
    struct spill_name name;
    int directory = spill_folder_open(&scan->folders.list[file->folder]);

    if (directory < 0)
        return directory;
    spill_name_parse(file->name, &name);
    int fd = spill_file_open(directory, file->name, status);
    close(directory);
    int result = fd < 0 ? fd : spill_file_header(fd, &name, header);
    bool carries = result == 0 && header->magic == TALLY_CARRIED_MAGIC;
    if (carries)
        result = spill_file_carried(fd, carried);
    if (result == 0 && take != NULL)
        result = walk(fd, carries ? carried : NULL, take, context);
    if (fd >= 0)
        close(fd);
    return result;
}
