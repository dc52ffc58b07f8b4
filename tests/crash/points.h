/* points.h: where a program's test points are: the labels that TESTPOINT() (shim/testpoint.h) leaves in its symbol table. */
#ifndef TESTS_CRASH_POINTS_H
#define TESTS_CRASH_POINTS_H

#include <stddef.h>
#include <stdint.h>

#define POINTS_MAX       192
#define POINT_COPIES_MAX 16 /* where the compiler has copied one */

struct points {
    size_t count;
    struct {
        char name[32];
        uintptr_t offset; /* from where the program is loaded */
    } point[POINTS_MAX];
};

/* Of a position-independent executable. 0, or -1 if it cannot be read or is stripped. */
int points_read(struct points *points, const char *file);

/* All places that have this name; returns how many. */
size_t points_find(const struct points *points, const char *name, uintptr_t out[POINT_COPIES_MAX]);

#endif
