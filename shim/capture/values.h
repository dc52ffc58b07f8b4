/* values.h: a request's values, decoded, in memory of a fixed size. */
#ifndef TALLY_CAPTURE_VALUES_H
#define TALLY_CAPTURE_VALUES_H

#include "capture/scan.h"

/* The string that begins now is one. Where it goes: SINK_NONE if it is not wanted. */
enum scan_sink values_begin(struct body *body, struct body_scan *scan);
void values_take(struct body *body, struct body_scan *scan, const char *bytes, size_t length);
void values_end(struct body *body, struct body_scan *scan);
/* A number, or true or false, as metadata. */
void values_scalar(struct body *body, struct body_scan *scan, const char *bytes, size_t length);
/* The string at hand does not come to its end. */
void values_abandon(struct body *body);

#endif
