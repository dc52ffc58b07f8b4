/* scan.h: a strict reader of JSON that hands out numbers as they are written.
 *
 * cJSON, which reads JSON elsewhere, gives numbers as doubles: 4.5003000000000007e-07 has no double of its own. This reads
 * one value after another, checks the whole grammar of what it passes over, and needs no memory. Strings are unescaped where
 * they stand: the text is the caller's, and is changed.
 */
#ifndef TALLY_PRICE_SCAN_H
#define TALLY_PRICE_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#define SCAN_DEPTH_MAX 32

struct scan {
    char *at;
    char *end;
    size_t line;       /* that `at` is in, from 1 */
    const char *wrong; /* what is wrong at `at`; NULL: nothing yet */
};

struct scan_text {
    const char *data;
    size_t length;
};

enum scan_kind {
    SCAN_WRONG,
    SCAN_OBJECT,
    SCAN_ARRAY,
    SCAN_STRING,
    SCAN_NUMBER,
    SCAN_TRUE,
    SCAN_FALSE,
    SCAN_NULL
};

void scan_begin(struct scan *scan, char *text, size_t length);
/* What comes next. SCAN_WRONG: nothing that a value begins with. */
enum scan_kind scan_peek(struct scan *scan);
/* Into an object or array: then members or elements until 0 comes back. -1: wrong. first: true at the first call. */
int scan_enter(struct scan *scan, char bracket);
int scan_member(struct scan *scan, bool *first, struct scan_text *key);
int scan_element(struct scan *scan, bool *first);
/* 0 or -1. */
int scan_string(struct scan *scan, struct scan_text *out);
int scan_number(struct scan *scan, struct scan_text *out);
int scan_skip(struct scan *scan);
/* Nothing but white space is left: 0 or -1. */
int scan_finish(struct scan *scan);

#endif
