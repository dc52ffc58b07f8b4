/* arena_file.h: the arena as a file: its name, its making, and whether to trust it.
 * Used by clients, the agent and the tools. Any thread; no state. */
#ifndef TALLY_SHIM_ARENA_FILE_H
#define TALLY_SHIM_ARENA_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <tally/abi.h>

#define ARENA_PATH_MAX 512

/* Room for a path and the longest suffix (".board", ".lock"). */
#define ARENA_SIBLING_MAX (ARENA_PATH_MAX + 8)

/* The file-system path of an arena. name: as TALLY_ARENA; NULL or empty: the default for uid.
 * Returns 0; -EINVAL if the name cannot be one; -ENAMETOOLONG. */
int arena_path(char *out, size_t bytes, const char *name, uid_t uid);

/* path + suffix into out (ARENA_SIBLING_MAX bytes). */
void arena_sibling(char *out, const char *path, const char *suffix);

/* A group's number from TALLY_GROUP's value (name or number); (gid_t)-1: none or unknown. Not signal-safe. */
gid_t arena_group(const char *value);

/* This boot of the host; zeros: unknown. */
void arena_boot_id(uint8_t out[16]);

/* Whether a descriptor's file may be an arena for a process of effective uid `uid`: a regular file with one
 * link, owned by uid or root and closed to all others, or belonging to `group` and closed to all outside it.
 * Returns 0, -EACCES, or -ESTALE if it has just been deleted. */
int arena_file_trusted(const struct stat *status, uid_t uid, gid_t group);

/* Open an arena for reading and writing. If there is none and create is set, make it: initialised
 * before it has a name, so that a half-made one is never visible and a death in the middle leaves nothing.
 * Geometry of a new one: TALLY_LANES and TALLY_LANE_KIB, else 1024 lanes of 128 KiB.
 * Fills header with a checked copy. Returns a descriptor (O_CLOEXEC), or -ENOENT, -EACCES (not
 * to be trusted), -EBADMSG (not an arena of this ABI, or truncated), -ENOSPC, -EFBIG (RLIMIT_FSIZE), ... */
int arena_file_open(const char *path, gid_t group, bool create, struct tally_arena_header *header);

/* The same; status: as fstat(2) found the file, after it was opened. */
int arena_file_open_status(const char *path, gid_t group, bool create, struct tally_arena_header *header,
                           struct stat *status);

/* Like open(2) on an existing arena with the given access mode; checked in the same way. */
int arena_file_open_existing(const char *path, gid_t group, int access, struct tally_arena_header *header);

#endif
