/* framing.h: which bytes of a body are JSON: all of them, the data of events, the payloads of frames. */
#ifndef TALLY_CAPTURE_FRAMING_H
#define TALLY_CAPTURE_FRAMING_H

#include "capture/body.h"

void framing_begin(struct body *body);
void framing_feed(struct body *body, const char *bytes, size_t length);
void framing_end(struct body *body);

/* The same of AWS's frames. */
void frames_begin(struct body *body);
void frames_feed(struct body *body, const char *at, const char *end);

#endif
