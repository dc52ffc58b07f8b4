/* form.h: the model that a request of type multipart/form-data names (transcriptions, edits of images): the value of its part named "model".
 *
 * Plain memory of one owner; any bytes in pieces of any size; nothing else of the form is looked at, and nothing kept but that. */
#ifndef TALLY_CAPTURE_FORM_H
#define TALLY_CAPTURE_FORM_H

#include <stddef.h>
#include <stdint.h>

#define FORM_MODEL_BYTES 208 /* with the NUL */

struct form {
    uint8_t stage;
    uint8_t at;
    uint16_t length;
    char model[FORM_MODEL_BYTES]; /* empty: not stated, or too long, or not complete yet */
};

void form_begin(struct form *form);
void form_feed(struct form *form, const void *bytes, size_t length);

#endif
