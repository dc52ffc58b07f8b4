/* counters.h: what a helper program has done, counted outside of tally: a file that the test and its
 * programs map, so that it outlives any of them.
 *
 * A writer is one thread's book: `attempted` is raised before a record is made and `acknowledged` after
 * tally said that it is kept. Killed in between, the two differ by one, and tally may hold either number.
 * Each record of writer w carries user "w<index>" and output_tokens = its number from 1, so that a test
 * sees not only how many arrived but which.
 */
#ifndef TESTS_SUPPORT_COUNTERS_H
#define TESTS_SUPPORT_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS_WRITERS_MAX 12288
#define COUNTERS_RESULTS_MAX 1024
#define COUNTERS_ERRORS_MAX  256

struct counters_writer {
    _Atomic uint64_t attempted;
    _Atomic uint64_t acknowledged;
};

struct counters {
    _Atomic uint32_t stage; /* a program's: how far it has come */
    _Atomic uint32_t go;    /* the test's: how far it may go */
    _Atomic uint32_t writer_count;
    _Atomic uint32_t result_count;
    _Atomic int64_t results[COUNTERS_RESULTS_MAX]; /* what calls under test returned, in order */
    _Atomic uint64_t refused[COUNTERS_ERRORS_MAX]; /* records not kept, by errno */
    _Atomic uint64_t surprises;                    /* anything a program found wrong by itself */
    _Atomic uint64_t values[64];                   /* as test and program agree */
    struct counters_writer writers[COUNTERS_WRITERS_MAX];
};

#define COUNTERS_ENVIRONMENT "TALLY_TEST_COUNTERS"

#endif
