/* quarantine.h: where bytes go that should have been records. One thread.
 *
 * Files <state>/quarantine/<arena uuid>-<lane>-<position>.bin, mode 0600, at most QUARANTINE_BYTES_MAX in
 * all: beyond that damage is counted and not kept. A file is on disk before the database moves past
 * its bytes; after a crash in between the same bytes are written to the same name again. */
#ifndef TALLY_QUARANTINE_H
#define TALLY_QUARANTINE_H

#include <stddef.h>
#include <stdint.h>

#define QUARANTINE_BYTES_MAX (64u * 1024u * 1024u)
#define QUARANTINE_NAME_MAX  80

struct quarantine {
    const char *state_directory;
    uint64_t bytes; /* kept so far, of all agents */
    int counted;    /* bytes is known */
};

/* Keep bytes. name receives the file's name. Returns 0, -EDQUOT past the limit, or another negative
 * errno value; the caller counts the records as lost in any case. */
int quarantine_keep(struct quarantine *quarantine, const uint8_t uuid[16], uint32_t lane, uint64_t position,
                    const void *bytes, size_t length, char name[QUARANTINE_NAME_MAX]);

#endif
