/* doctor_spill.c: where records go when there is no room in shared memory, and what waits there. */
#include "doctor.h"
#include "spill_scan.h"
#include "state.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAITING_SECONDS 120 /* longer than an agent leaves a file alone */

static bool some_are_old(const struct spill_scan *scan, bool foreign)
{
    for (size_t i = 0; i < scan->list.count; i++) {
        const struct spill_found *file = &scan->list.files[i];
        struct stat status;
        int directory = file->foreign != foreign ? -1 : spill_folder_open(&scan->folders.list[file->folder]);
        if (directory < 0)
            continue;
        bool old = fstatat(directory, file->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                   time(NULL) - status.st_mtime > WAITING_SECONDS;
        close(directory);
        if (old)
            return true;
    }
    return false;
}

static void check_files(struct doctor *doctor, const struct spill_scan *scan)
{
    bool old = scan->files != 0 && some_are_old(scan, false);
    char size[NUMBER_BYTES];

    doctor_find(
        doctor, old ? FINDING_WARN : FINDING_OK, "spill",
        old ? "Start tallyd, or run 'tally recover'; if one runs, its log says why it leaves them alone."
            : NULL,
        "%" PRIu64 " files wait, %s", scan->files, bytes_text(scan->bytes, size));
    if (scan->foreign != 0 && some_are_old(scan, true))
        doctor_find(doctor, FINDING_WARN, "spill",
                    "If that agent is gone for good, remove what follows '.spill' in their names.",
                    "%" PRIu64 " files have been begun by an agent with another database", scan->foreign);
}

static void check_folders(struct doctor *doctor, const struct spill_scan *scan)
{
    const char *named = getenv("TALLY_SPILL_DIR");
    bool writable = false;

    for (unsigned int i = 0; i < scan->folders.count; i++) {
        const char *path = scan->folders.list[i].path;
        bool there = scan->errors[i] == 0 && access(path, W_OK | X_OK) == 0;
        writable = writable || there;
        if (named != NULL && strcmp(named, path) == 0 && !there)
            doctor_find(doctor, FINDING_WARN, "spill",
                        "Make the folder, and give it to who records, or mode 1777.",
                        "TALLY_SPILL_DIR: %s may not be written by you: %s", path,
                        strerror(scan->errors[i] != 0 ? -scan->errors[i] : EACCES));
        else if (scan->errors[i] != 0 && scan->errors[i] != -ENOENT && scan->folders.list[i].own)
            doctor_find(doctor, FINDING_WARN, "spill", "Run it as the agent's user.", "%s: %s", path,
                        strerror(-scan->errors[i]));
    }
    if (!writable)
        doctor_find(doctor, FINDING_OK, "spill", NULL,
                    "no folder yet: the agent or the first record that needs it makes one");
}

void doctor_spill(struct doctor *doctor)
{
    char *directory = state_directory(doctor->common.state_directory);
    struct spill_scan scan;

    if (directory == NULL)
        return;
    spill_scan(&scan, directory, "");
    check_files(doctor, &scan);
    check_folders(doctor, &scan);
    spill_scan_free(&scan);
    free(directory);
}
