/* agent_scene.h: what an agent is killed in, or made to fail in: an arena whose clients are gone, a state folder, and the
 * books as they have to be in the end. The agent never writes to an arena, so the same one serves every try; the
 * state folder, the board and the lock are put back before each.
 */
#ifndef TESTS_CRASH_AGENT_SCENE_H
#define TESTS_CRASH_AGENT_SCENE_H

#include "crash/calls.h"
#include "support/room.h"

/* What the database has to say in the end, however it came to that. */
struct scene_books {
    int64_t rows, persisted, lost;
};

struct situation;

struct scene {
    struct room *room;
    const char *name;
    const struct situation *situation; /* NULL: none */
    bool
        once; /* tallyd --once; otherwise it serves until `patience` waits have come, and then gets SIGTERM */
    bool existing;  /* an earlier agent has been there: half of the records are in the database */
    bool retention; /* ... and old enough to be deleted */
    uint32_t patience;
    int64_t old_rows; /* of usage, that retention may delete */
    /* situations.c: made by prepare() instead of what is described above, and what sets them apart */
    void (*prepare)(struct scene *scene);
    void (*change)(
        struct scene *scene); /* done to a serving agent, once, when `durable` records are; NULL: nothing */
    bool changed;
    uint64_t durable;
    bool hurried;     /* each wait is over at once, and some seconds have passed */
    bool board_ahead; /* the board says more than the database, to begin with */
    const char
        *cause; /* of losses, and then some records of the only writer are not there; NULL: none are lost */
    const char *left[4];  /* beginnings of names that may be left in the state folder */
    int64_t strange_rows; /* of usage, of no writer */
    bool known;           /* `books` are */
    struct scene_books books;
    char kept[ROOM_PATH_MAX]; /* what is put back before each try */
    char log[ROOM_PATH_MAX];
    char trying[160]; /* for the message, should it fail */
};

/* Fixtures as of room.h, with everything of the room in /dev/shm: a sync costs nothing there. */
int scene_setup(void **state);
int scene_teardown(void **state);

/* Have clients record, and keep what has to be put back. */
void scene_prepare(struct scene *scene);
void scene_reset(struct scene *scene);
/* Keep one thing as it is now. */
void scene_keep_state(const struct scene *scene);
void scene_keep_home(const struct scene *scene);
void scene_keep_board(const struct scene *scene);
void scene_keep_arena(const struct scene *scene);
/* The path of the arena's sibling; of something below the room's folder. */
void scene_sibling(const struct scene *scene, const char *suffix, char path[ROOM_PATH_MAX]);
void scene_path(const struct scene *scene, const char *name, char path[ROOM_PATH_MAX]);
void scene_copy(const char *from, const char *to);
/* The agent, traced. The look is asked before the scene's own SIGTERM is sent. */
void scene_run(struct scene *scene, struct outcome *outcome, calls_look look, void *context);
/* tallyd --once, as after a reboot of the service; it has to succeed. */
void scene_recover(struct scene *scene);
/* After a try: recover, also from what had not come yet. */
void scene_settle(struct scene *scene);
/* Everything is in the database exactly once, the audit is clean, and nothing is left but what is documented. */
void scene_expect_complete(struct scene *scene);
/* As much as an agent that ended with status 0 has promised: all records are in. */
void scene_expect_drained(const struct scene *scene);
/* How many records the board says are durable, in all lanes. */
uint64_t scene_read_board(const struct scene *scene);
/* Ring space has not been given back early: the board says no more than what the database has committed. */
void scene_expect_board_behind(const struct scene *scene);
/* The agent has said something that ends its log, and that is a sentence. */
void scene_expect_sentence(const struct scene *scene);
/* Whether all is tried: TALLY_TEST_LONG. */
bool scene_long(void);

#endif
