/* spill_folders.h: where spill files may stand, and which do. For the agent and for tools that look on.
 * Functions return 0 or a negative errno value.
 */
#ifndef TALLY_SPILL_FOLDERS_H
#define TALLY_SPILL_FOLDERS_H

#include "spill/spill_file.h"

#include <sys/types.h>

#define SPILL_FOLDERS_MAX 320
#define SPILL_FILES_MAX   100000u
#define SPILL_PATH_MAX    4096

struct spill_folder {
    char path[SPILL_PATH_MAX];
    uid_t owner; /* who besides root may own it */
    bool own;    /* of this database's agent alone */
    bool state;  /* in this user's state folder */
    bool told;   /* an agent has said that it cannot be read */
};

struct spill_folders {
    struct spill_folder *list;
    unsigned int count;
};

/* <state>/spill, then those that clients find by themselves: TALLY_SPILL_DIR, in the user's state folder, and
 * /var/lib/tally/spill. None of them need exist. */
int spill_folders_find(struct spill_folders *folders, const char *state_directory);
/* One more: in the home of another user. Again for the same is harmless. */
int spill_folders_add_user(struct spill_folders *folders, uid_t uid);
void spill_folders_free(struct spill_folders *folders);

/* Open a folder: a directory, owned by whom it should be. */
int spill_folder_open(const struct spill_folder *folder);

/* A file found. */
struct spill_found {
    unsigned int folder;
    uint32_t index;
    uint8_t log[16];
    bool taken;
    bool foreign; /* by an agent with another database */
    char name[SPILL_NAME_MAX];
};
struct spill_list {
    struct spill_found *files;
    size_t count;
    size_t capacity;
};

/* Add the files of a folder to a list, after an error some of them. database: what an agent with this database appends to names in folders that are
 * not its own. */
int spill_list_folder(struct spill_list *list, const struct spill_folders *folders, unsigned int number,
                      const char *database);
/* Logs together, and each in the order in which it was written. */
void spill_list_sort(struct spill_list *list);
void spill_list_free(struct spill_list *list);

#endif
