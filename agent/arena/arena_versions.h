/* arena_versions.h: arenas of other versions of the layout, beside those that this program serves.
 *
 * The version stands in the default name, /tally-<uid>.v<abi>, so that programs linked with libraries of different
 * versions never meet in one arena, and each agent serves those of its own. Whoever can read a further version opens it here
 * too: a reader for it belongs beside arena_reader.c, chosen by the abi in the header. What nobody here can read is said,
 * and left alone: its records wait for an agent that can.
 */
#ifndef TALLY_ARENA_VERSIONS_H
#define TALLY_ARENA_VERSIONS_H

#include <stdint.h>
#include <sys/types.h>

/* Call found() with each arena of another version under the default names of a user. abi: as its header says. */
void arena_versions(uid_t uid, void (*found)(void *context, const char *path, uint32_t abi), void *context);

#endif
