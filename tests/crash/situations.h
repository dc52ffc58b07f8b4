/* situations.h: scenes in which more has happened to the agent's files than that clients have recorded. */
#ifndef TESTS_CRASH_SITUATIONS_H
#define TESTS_CRASH_SITUATIONS_H

#include "crash/agent_scene.h"

struct situation {
    const char *name;
    void (*make)(struct scene *scene);
    /* The short form tries one of so many: points of death, calls that fail. */
    uint32_t stride_killed, stride_failed;
};
extern const struct situation situations[];
extern const size_t situation_count;

/* Not one of them: the files of one log stand in two folders, the first in this one. */
#define SITUATION_FIRST_FOLDER "home/tally/spill"
void situation_two_folders(struct scene *scene);

/* A fixture, whose initial state is the situation. Its teardown is scene_teardown(). */
int situation_setup(void **state);

#endif
