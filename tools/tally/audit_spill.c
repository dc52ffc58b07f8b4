/* audit_spill.c: what waits in spill files, for the balance. A log is a lane of its own, numbered from 1. */
#include "audit_data.h"
#include "command.h"
#include "spill_scan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct waiting {
    struct audit *audit;
    const char *folder;
    const struct spill_found *file;
    struct tally_spill_header header;
    struct tally_carried carried;
    struct stat status;
};

/* In the common folders files of other agents' clients may lie. */
static bool other_agents(const struct waiting *waiting, bool own)
{
    static const uint8_t none[16];

    if (own || memcmp(waiting->header.arena, none, sizeof(none)) == 0)
        return false;
    for (size_t i = 0; i < waiting->audit->arena_count; i++) {
        const struct audit_arena *arena = &waiting->audit->arenas[i];
        if (arena->spill_uid < 0 && memcmp(arena->uuid, waiting->header.arena, sizeof(arena->uuid)) == 0)
            return false;
    }
    return true;
}

static void take_record(void *context, const struct tally_record_header *record)
{
    struct waiting *waiting = context;

    struct audit_lane *lane =
        waiting->header.magic == TALLY_CARRIED_MAGIC
            ? audit_log(waiting->audit, waiting->header.arena, -1, waiting->carried.lane, waiting->folder)
            : audit_log(waiting->audit, waiting->file->log, (int64_t)waiting->status.st_uid, 0,
                        waiting->folder);
    /* Carried over of an arena that is there after all: counted as its lane is. */
    if (waiting->audit->arenas[lane->arena].there)
        return;
    /* The same number in two files is one record. */
    if ((wide_t)record->sequence <= lane->newest)
        return;
    lane->newest = (wide_t)record->sequence;
    lane->sums.waiting++;
}

static void count_file(struct audit *audit, const struct spill_scan *scan, const struct spill_found *file)
{
    const struct spill_folder *folder = &scan->folders.list[file->folder];
    struct waiting waiting = {.audit = audit, .folder = folder->path, .file = file};
    uid_t uid = geteuid();

    /* First its head alone: whose it is. */
    int result = spill_scan_file(scan, file, &waiting.header, &waiting.carried, &waiting.status, NULL, NULL);
    if (result == -ENOENT || result == -ENODATA)
        return; /* taken meanwhile, or nothing in it was ever acknowledged */
    if (result == 0 && (uid == 0 || waiting.status.st_uid == uid || waiting.status.st_uid == 0)) {
        if (!other_agents(&waiting, folder->own || file->taken))
            spill_scan_file(scan, file, &waiting.header, &waiting.carried, &waiting.status, take_record,
                            &waiting);
    } else if (folder->own) {
        audit_problem(audit, must_print("spill file %s/%s cannot be read: what waits in it is not counted",
                                        folder->path, file->name));
    }
}

void audit_spill(struct audit *audit, const char *directory, const char *instance)
{
    struct spill_scan scan;

    if (directory == NULL)
        return;
    spill_scan(&scan, directory, instance);
    if (scan.errors[0] != 0 && scan.errors[0] != -ENOENT && scan.errors[0] != -ENOTDIR)
        audit_problem(audit, must_print("spill folder %s cannot be looked through: %s",
                                        scan.folders.list[0].path, strerror(-scan.errors[0])));
    for (size_t i = 0; i < scan.list.count; i++) {
        if (!scan.list.files[i].foreign)
            count_file(audit, &scan, &scan.list.files[i]);
    }
    spill_scan_free(&scan);
}
