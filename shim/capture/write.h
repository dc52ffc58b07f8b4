/* write.h: a document's fragment as it grows: members of the frames that are open. What does not fit whole is not written at all: the
 * document is muted then, and nothing of it counts. In a muted document all of these do nothing. */
#ifndef TALLY_CAPTURE_WRITE_H
#define TALLY_CAPTURE_WRITE_H

#include "capture/scan.h"

void write_bytes(struct body *body, struct body_scan *scan, const char *bytes, size_t length);
/* A comma where one is due, and the name at hand where there is one. */
void write_name(struct body *body, struct body_scan *scan);
void write_scalar(struct body *body, struct body_scan *scan, const char *bytes, size_t length);
/* A value that is not kept. */
void write_drop(struct body *body, struct body_scan *scan);
/* Whether a member of that name may have been written before. */
bool write_seen(struct body_scan *scan);

#endif
