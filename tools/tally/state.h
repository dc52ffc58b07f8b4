/* state.h: where things are: the state folder, the arenas. */
#ifndef TALLY_TOOLS_STATE_H
#define TALLY_TOOLS_STATE_H

/* option (--state-dir), else as tallyd: TALLY_STATE_DIR, /var/lib/tally for root, $XDG_STATE_HOME/tally,
 * ~/.local/state/tally. To be freed; NULL after a complaint. */
char *state_directory(const char *option);

/* The file of an arena. name: as TALLY_ARENA; NULL or empty: the default. To be freed; NULL after a misuse
 * has been complained about. */
char *state_arena_path(const char *name);

#endif
