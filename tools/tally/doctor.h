/* doctor.h: findings, and the rooms they are looked for in. */
#ifndef TALLY_TOOLS_DOCTOR_H
#define TALLY_TOOLS_DOCTOR_H

#include "command.h"
#include "db.h"
#include "number.h"

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct finding {
    enum finding_level level;
    const char *check;
    char *text;
    const char *remedy; /* NULL: none needed */
};

struct doctor {
    struct common common;
    bool thorough; /* --check: read the whole database */
    struct finding *findings;
    size_t count;
};

/* remedy: a sentence that says what to do, or NULL. */
void doctor_find(struct doctor *doctor, enum finding_level level, const char *check, const char *remedy,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_system(struct doctor *doctor);
void doctor_arena(struct doctor *doctor, const char *path);
void doctor_spill(struct doctor *doctor);
void doctor_store(struct doctor *doctor);
/* Calls that were seen, and their counts not. db: open, of the current schema. */
void doctor_capture(struct doctor *doctor, struct db *db);

#endif
