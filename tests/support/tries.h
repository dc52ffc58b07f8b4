/* tries.h: say how often a claim was tried; `make proof` adds these up. */
#ifndef TALLY_TESTS_TRIES_H
#define TALLY_TESTS_TRIES_H

#include <stdio.h>

/* count: of tries that were really made; what: a few words, plural: "kill points". */
static inline void tries(unsigned long long count, const char *what)
{
    printf("# tries: %llu %s\n", count, what);
    fflush(stdout);
}

#endif
