/* jail.h: programs and agents in containers' clothes: started through tests/programs/jail.c. Used by a test's main thread.
 * Words and arguments stand in one text, parted by spaces; '~'
 * stands for a space within one.
 */
#ifndef TESTS_SUPPORT_JAIL_H
#define TESTS_SUPPORT_JAIL_H

#include "room.h"

/* words: of the jail, see jail.c. program: of tests/programs, or an absolute path. */
struct program *jail_start(struct room *room, const char *words, const char *program, const char *arguments);
/* It has to end with status 0; where there is no right to the jail the test is skipped. */
void jail_run(struct room *room, const char *words, const char *program, const char *arguments);
void jail_expect_exit(struct room *room, struct program *program, int status);
/* SIGKILL to the program itself, where it has a PID namespace; until then its jail lives, and dies of the same. */
void jail_kill(struct room *room, struct program *program);

/* The room's agent (agent_stop() applies; jail_agent_kill() where it has a PID namespace), told nothing but these arguments and the room's settings. Returns when it serves. */
void jail_agent(struct room *room, const char *words, const char *arguments);
void jail_agent_kill(struct room *room);
/* The same, but it has to refuse: status 1, and one sentence that holds these words. */
void jail_agent_refuses(struct room *room, const char *words, const char *arguments, const char *sentence);
/* How many lines of the agent's log hold these words. */
int jail_log_lines(const struct room *room, const char *words);

/* A tmpfs of the room's, `volume` in its folder, as two containers would share it. Skips the test where there is no
 * right to mount. room_with_volume_teardown() takes it away. */
void jail_volume(struct room *room, const char *size);
int jail_teardown(void **state);

#define jail_test(function) cmocka_unit_test_setup_teardown(function, room_setup, jail_teardown)

#endif
