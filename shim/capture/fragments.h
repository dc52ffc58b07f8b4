/* fragments.h: what was picked out of a response, one piece of JSON a document, in memory of a fixed size. A stream's documents mostly say
 * again what earlier ones said: the newer takes the older's place if it says all that that did. */
#ifndef TALLY_CAPTURE_FRAGMENTS_H
#define TALLY_CAPTURE_FRAGMENTS_H

#include "capture/body.h"

/* Write on at the end of the fragment being built, for which older ones give way if they must; false: there is no room. */
bool fragments_put(struct body *body, const char *bytes, size_t length);
/* Back to this length. */
void fragments_cut(struct body *body, uint16_t length);
/* What was built is a fragment now. Whether that changes anything. */
bool fragments_commit(struct body *body);
size_t fragments_print(const struct body *body, char *out, size_t capacity);

#endif
