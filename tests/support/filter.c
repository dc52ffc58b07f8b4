/* filter.c: TALLY_TEST_FILTER=PATTERN, with * and ?: of whatever program, the tests that match, alone. Linked into all. */
#include "test.h"

__attribute__((constructor)) static void filter(void)
{
    const char *pattern = getenv("TALLY_TEST_FILTER");
    if (pattern && *pattern)
        cmocka_set_test_filter(pattern);
}
