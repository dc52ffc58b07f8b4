/* robust.h: a futex word in shared memory that the kernel marks when its owner dies.
 *
 * The word lies TALLY_GUARDED_WORD_FROM_END bytes before the end of a shared mapping; the list node of
 * the kernel's robust list in the private page that follows, at word - futex_offset, linked into the C library's own list.
 * No pointer lies in shared memory, so no neighbour can make a stray one.
 *
 *   function        thread                         holding
 *   robust_head     any                            -
 *   robust_take     the thread that is to own      the mapping exclusively within the process
 *   robust_leave    the owner                      the word
 *
 * Not to be called while the C library is in the midst of a robust operation of this thread
 * (we are in a signal handler then): robust_head() answers NULL with *busy set.
 */
#ifndef TALLY_SHIM_ROBUST_H
#define TALLY_SHIM_ROBUST_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>

/* The calling thread's list, if it has one of the form that we know. *busy: an operation is pending. */
struct robust_list_head *robust_head(bool *busy);

/* Try to find out, once in a process, whether this C library's list looks as expected. */
bool robust_self_test(void);

/* observed -> tid. head NULL: without the kernel's guard. Returns whether the word is ours. */
bool robust_take(struct robust_list_head *head, uint32_t *word, uint32_t observed, uint32_t tid);

/* tid -> 0. If the word is no longer ours (scribbled), it stays as it is. */
void robust_leave(struct robust_list_head *head, uint32_t *word, uint32_t tid);

static inline bool robust_free(uint32_t word)
{
    return word == 0 || (word & FUTEX_OWNER_DIED);
}

#endif
