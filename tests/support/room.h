/* room.h: a test's private environment: arena name, state folder, counters, and the processes that
 * it starts. Made before each test and taken down after it, also when it failed: nothing of it stays
 * in /dev/shm, in TMPDIR or among the processes.
 *
 * Used by a test's main thread. Functions fail the test rather than return an error.
 */
#ifndef TESTS_SUPPORT_ROOM_H
#define TESTS_SUPPORT_ROOM_H

#include "counters.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ROOM_PATH_MAX     256
#define ROOM_PROGRAMS_MAX 256
#define ROOM_SETTINGS_MAX 16

struct program {
    pid_t pid;
    bool ended;
    int status; /* of waitpid(), once it has ended */
};

struct room {
    char directory[96];         /* short: a socket's path has 108 bytes */
    char arena[112];            /* the value of TALLY_ARENA */
    char arena_path[144];       /* the file */
    char other_arena_path[144]; /* a second one that the agent serves; empty: none */
    const char *agent_users;    /* not NULL: arenas have their default names, the agent serves these users */
    const char *agent_build;    /* not NULL: the agent is this folder's of the build */
    const char *agent_config;   /* not NULL: a configuration file for it */
    char state[ROOM_PATH_MAX];
    char *settings[ROOM_SETTINGS_MAX]; /* NAME=value for programs and agents started from now on */
    size_t setting_count;
    bool talkative; /* programs may print */
    struct counters *counters;
    struct program programs[ROOM_PROGRAMS_MAX];
    size_t program_count;
    pid_t agent; /* 0: none */
    int notify;  /* the agent's NOTIFY_SOCKET, our end */
};

/* cmocka fixtures; *state is the struct room. */
int room_setup(void **state);
int room_teardown(void **state);

/* Set a variable in the environment of programs started from now on. */
void room_set(struct room *room, const char *name, const char *value);

/* Start tests/programs/NAME of the build, or an absolute path, with arguments; the list ends with NULL. */
struct program *room_start(struct room *room, const char *name, ...) __attribute__((sentinel));
struct program *room_start_list(struct room *room, const char *name, const char *const *arguments);
/* Wait for its end, check that it printed nothing, and return the status as of waitpid(). */
int room_wait(struct room *room, struct program *program);
bool room_ended(struct program *program);
/* All of the above; the program has to end with status 0. */
void room_run(struct room *room, const char *name, ...) __attribute__((sentinel));
void room_expect_exit(struct room *room, struct program *program, int status);
void room_expect_signal(struct room *room, struct program *program, int signal_number);
void room_kill(struct room *room, struct program *program); /* SIGKILL, and wait */

/* What its first thread does, as ps(1) says it: 'S' is asleep, until something happens; 0: there is no such process. */
char room_state_letter(pid_t pid);

/* Wait until a process that is not our child is gone. */
void room_wait_for_orphan(const struct room *room, pid_t pid);

/* Wait until the program has come to a stage, and let it go on. */
void room_await_stage(struct room *room, uint32_t stage);
void room_go(struct room *room, uint32_t go);

/* What programs returned and counted. */
int64_t room_result(const struct room *room, uint32_t index);
uint64_t room_acknowledged(const struct room *room);
uint64_t room_attempted(const struct room *room);
uint64_t room_refused(const struct room *room);

/* Of the build under test. */
const char *room_build(void);
/* In a child that is to become a program of the room: its environment. */
void room_enter(const struct room *room);
/* Run a program of the build (the `tally` command), its output into memory that the caller frees. */
int room_capture(const struct room *room, char **output, const char *path, ...) __attribute__((sentinel));

#endif
