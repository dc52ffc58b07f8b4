/* spill_scan.h: the spill files that wait now, without touching them. Needs no agent and no database. */
#ifndef TALLY_TOOLS_SPILL_SCAN_H
#define TALLY_TOOLS_SPILL_SCAN_H

#include "spill/spill_folders.h"

struct spill_scan {
    struct spill_folders folders;
    struct spill_list list; /* sorted: logs together, each in order */
    int *errors;            /* of each folder: 0, or a negative errno value */
    uint64_t files;         /* that wait for the agent of this state folder, or for any */
    uint64_t bytes;
    uint64_t foreign; /* that an agent with another database has begun to take */
};

/* directory: the state folder. instance: of its database, "" if not known. */
void spill_scan(struct spill_scan *scan, const char *directory, const char *instance);
void spill_scan_free(struct spill_scan *scan);

/* Call take() with each sound record of a file, whatever its number. header and status are filled in before, carried too if
 * the header has TALLY_CARRIED_MAGIC; take NULL: that is all. Returns
 * 0, or a negative errno value: it is no spill file that may be read. */
int spill_scan_file(const struct spill_scan *scan, const struct spill_found *file,
                    struct tally_spill_header *header, struct tally_carried *carried, struct stat *status,
                    void (*take)(void *context, const struct tally_record_header *record), void *context);

#endif
