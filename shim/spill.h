/* spill.h: records to a file, when there is no room in shared memory. Nothing is kept open; a thread holds a
 * log while it lives, and who comes after it goes on with it. Slow path: some nine system calls a record.
 *
 *   function            thread
 *   spill_write         any that has entered
 *   spill_thread_exit   the exiting thread
 *   spill_configure     within process_configure(), process_start(): one thread
 *   spill_start         within process_start(): one thread, nobody spilling
 *   spill_folders       any that has entered
 *   the others          any that has entered
 */
#ifndef TALLY_SHIM_SPILL_H
#define TALLY_SHIM_SPILL_H

#include "process.h"

#define SPILL_PATH_BYTES (SPILL_DIRECTORY_MAX + 80)

/* Append a record (as for lane_write) to the thread's log. 0 when it stands in a file that the agent will read; -ENOSPC
 * (TALLY_SPILL_MAX reached, or no space), -EACCES (no folder that may be written), ... */
int spill_write(struct thread *thread, struct tally_record_header *record);

void spill_thread_exit(struct thread *thread);

/* Read the environment. */
void spill_configure(void);
/* A session begins: nothing of an earlier one, of a parent, is this one's. */
void spill_start(void);

/* Count bytes against TALLY_SPILL_MAX, and take them back. 0 or -ENOSPC. */
int spill_reserve(int64_t bytes);
void spill_release(int64_t bytes);

/* The id of a new log; the path of one of its files. */
void spill_identify(uint8_t log[16]);
void spill_path(char out[SPILL_PATH_BYTES], const char *folder, const uint8_t log[16], uint32_t index);

/* spill_folder.c: call use() with each folder that may be written to, the best first, until it returns something else
 * than -EAGAIN; returns that, or -EACCES if there was none. */
int spill_folders(int (*use)(void *context, const char *folder), void *context);

#endif
