/* agent_lock.h: "an agent is here", as a lock that the kernel drops with its holder.
 *
 * An open-file-description write lock on a file of mode 0600. Clients ask F_OFD_GETLK whether one is
 * held; nobody waits for it.
 *
 * The file is never deleted by an agent: a second agent could have it open already and lock the nameless file, while
 * a third makes and locks a new one. agent_lock_take() compares name and file after locking, so
 * that deletion by others is survived too.
 */
#ifndef TALLY_AGENT_LOCK_H
#define TALLY_AGENT_LOCK_H

#include <sys/types.h>

/* Take the lock on a file, made if there is none. owner: who besides root may open it, to ask. Returns a
 * descriptor that holds it until closed; -EBUSY: another holds it, and *holder is its pid (0: unknown);
 * -EACCES: the file is not one to be trusted; or another negative errno value. */
int agent_lock_take(const char *path, uid_t owner, pid_t *holder);

/* Whether the name still stands for the locked file: 1, 0, or a negative errno value: it cannot be told. */
int agent_lock_named(int fd, const char *path);

#endif
