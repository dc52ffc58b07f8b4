/* command.h: run the `tally` command as its users do, and look at what it says. */
#ifndef TALLY_TEST_COMMAND_H
#define TALLY_TEST_COMMAND_H

#include "support/room.h"

#include <cjson/cJSON.h>
#include <sys/types.h>

struct command_result {
    int status; /* exit status; negative: the signal that ended it */
    char *out;
    char *err;
};

/* In the child. The words are separated by spaces; '~' stands for a space within one. */
void command_become(const struct room *room, const char *words);
int command_await(pid_t pid);
/* words: as command_become(). */
struct command_result command_run(const struct room *room, const char *words);
void command_release(struct command_result *result);
size_t command_lines(const char *text);
/* It ends with this status, and says one sentence on standard error and nothing else. */
void command_expect_sentence(const struct room *room, const char *words, int status);
char *command_expect_success(const struct room *room, const char *words);
cJSON *command_expect_json(const struct room *room, const char *words, int status);
int command_number(const cJSON *object, const char *name);
void command_change_database(const struct room *room, const char *sql);

#endif
