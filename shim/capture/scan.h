/* scan.h: JSON, byte by byte: what is a name, what a value, and where. It checks as much as it needs in order not to lose its way: what is
 * skipped is only looked at for quotes and brackets. */
#ifndef TALLY_CAPTURE_SCAN_H
#define TALLY_CAPTURE_SCAN_H

#include "capture/paths.h"

enum scan_state {
    SCAN_IDLE, /* before a document */
    SCAN_VALUE,
    SCAN_FIRST_NAME,
    SCAN_NAME_DUE,
    SCAN_NAME,
    SCAN_COLON,
    SCAN_FIRST_ITEM,
    SCAN_AFTER,
    SCAN_STRING,
    SCAN_NUMBER,
    SCAN_LITERAL,
    SCAN_SKIP,
    SCAN_SKIP_STRING,
    SCAN_QUIET, /* after the one document */
    SCAN_BROKEN /* no JSON */
};

/* Where a string's characters go. */
enum scan_sink {
    SINK_NONE,
    SINK_NAME,
    SINK_TEXT,
    SINK_CONTENT,
    SINK_BYTES,
    SINK_VALUE,
    SINK_METADATA,
};

enum scan_literal { SCAN_TRUE, SCAN_FALSE, SCAN_NULL };

/* single: one document, else any number of them. Also to begin anew. */
void scan_begin(struct body_scan *scan, enum place root, bool single);
void scan_feed(struct body *body, struct body_scan *scan, const char *bytes, size_t length);
/* The text ends here; what is not complete was no JSON. */
void scan_end(struct body *body, struct body_scan *scan);

static inline bool scan_at_rest(const struct body_scan *scan)
{
    return scan->state == SCAN_IDLE || scan->state == SCAN_QUIET;
}

/* The open container within the document that values now belong to. */
static inline struct body_frame *scan_frame(struct body_scan *scan)
{
    return &scan->frames[scan->depth - 1];
}

#endif
