/* arena_scan.h: all of an arena as it stands now, read through pread(2) as the agent reads it, with
 * its board and with what can be told about the agent. Nothing in it is believed unchecked; needs
 * no agent. */
#ifndef TALLY_TOOLS_ARENA_SCAN_H
#define TALLY_TOOLS_ARENA_SCAN_H

#include "arena/arena_reader.h"
#include "arena/lane_reader.h"

#include <stdbool.h>
#include <stddef.h>

enum agent_presence { AGENT_UNKNOWN, AGENT_NONE, AGENT_RUNNING };

struct lane_scan {
    uint32_t lane;
    uint32_t tenures; /* a hint */
    struct lane_head look;
    struct tally_board_lane durable; /* zeros without a board */
    const char *trouble;             /* NULL: sound */
};

struct arena_scan {
    char *path;
    struct arena_reader reader;
    uint64_t refused[TALLY_REFUSALS]; /* unchecked */
    bool board_there;                 /* and it is this arena's */
    struct tally_board board;
    enum agent_presence agent;
    struct lane_scan *lanes; /* those that have ever been used, by number */
    size_t lane_count;
    size_t held;    /* lanes owned now */
    size_t damaged; /* lanes with trouble */
};

/* path: to be copied. 0, or a negative errno value as arena_reader_open(). */
int arena_scan(struct arena_scan *scan, const char *path);
void arena_scan_free(struct arena_scan *scan);
/* What an error of arena_scan() means, and what to do: a clause. */
const char *arena_scan_error(int error);

/* Whether somebody holds the agent's lock of the arena at this path. */
enum agent_presence arena_agent(const char *path);

const struct lane_scan *arena_scan_lane(const struct arena_scan *scan, uint32_t lane); /* NULL: never used */

/* Arenas to look at: those named with --arena, else TALLY_ARENA, else the default. Fills paths (to be
 * freed, as many as returned; ARENAS_MAX at most). Negative: a misuse has been complained about. */
struct common;
int arena_paths(const struct common *common, char **paths);

#endif
