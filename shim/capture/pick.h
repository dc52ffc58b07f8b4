/* pick.h: what becomes of the values that the scanner comes upon, as the table says: written into the document's fragment, kept as a
 * value, or only noticed. */
#ifndef TALLY_CAPTURE_PICK_H
#define TALLY_CAPTURE_PICK_H

#include "capture/scan.h"

void pick_document_begin(struct body *body, struct body_scan *scan);
void pick_document_end(struct body *body, struct body_scan *scan);
/* After it: whether it was the last. */
void pick_over(struct body *body, const struct body_scan *scan);
/* The document goes no further: what was written of it is void. */
void pick_abandon(struct body *body, struct body_scan *scan);
/* The body ends in the middle of it: what was complete holds. */
void pick_cut_off(struct body *body, struct body_scan *scan);

/* A name was read: into scan->key, or scan->wrong. */
void pick_name(struct body *body, struct body_scan *scan);
/* The next item of a list. */
void pick_item(struct body_scan *scan);

/* Whether it is entered; else it is to be skipped. */
bool pick_open(struct body *body, struct body_scan *scan, bool list);
void pick_close(struct body *body, struct body_scan *scan);

void pick_string_begin(struct body *body, struct body_scan *scan);
void pick_string_take(struct body *body, struct body_scan *scan, const char *bytes, size_t length);
void pick_string_end(struct body *body, struct body_scan *scan);
/* Whether it is a number, as far as that matters. */
bool pick_number(struct body *body, struct body_scan *scan);
void pick_literal(struct body *body, struct body_scan *scan);

void pick_content(struct body *body);
void pick_fault(struct body *body);

#endif
