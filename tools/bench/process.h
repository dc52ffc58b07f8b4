/* process.h: other programs, run to their end. */
#ifndef TALLY_BENCH_PROCESS_H
#define TALLY_BENCH_PROCESS_H

#include <stdint.h>

#define PROCESS_WORDS_MAX 16

/* Runs words[0] as found on the PATH; words end with NULL. Its standard output goes to output_file, or nowhere if
 * that is negative; nothing else is shown. Nanoseconds to its end; -1: it is not here, or ended badly. */
int64_t process_run(const char *const *words, int output_file);
/* The number that it prints, in one line; -1 if it does not. */
double process_number(const char *const *words);

#endif
