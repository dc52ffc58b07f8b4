/* identity.h: who a process and a thread are, as others can see it. Any thread; signal-safe. */
#ifndef TALLY_SHIM_IDENTITY_H
#define TALLY_SHIM_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/abi.h>

/* Clock ticks since boot at which a thread (of a process) started: field 22 of its stat file; 0: unknown or gone.
 * tid 0: the process itself; pid 0: the calling process. */
uint64_t identity_start_time(uint32_t pid, uint32_t tid);

/* The inode of the calling process's pid namespace; 0: unknown. */
uint64_t identity_pid_namespace(void);

/* Whether a thread is certainly gone. False where one cannot tell: another namespace, no /proc. */
bool identity_gone(const struct tally_identity *identity, uint64_t own_namespace);

#endif
