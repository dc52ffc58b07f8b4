/* form.h: the model that a request of type multipart/form-data names (transcriptions, edits of images): the value of its part named "model".
 *
 * Plain memory of one owner; any bytes in pieces of any size; nothing else of the form is looked at, and nothing kept but that. */
#ifndef TALLY_CAPTURE_FORM_H
#define TALLY_CAPTURE_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORM_MODEL_BYTES  208 /* with the NUL */
#define FORM_BORDER_BYTES 76  /* line break, two hyphens, 70 characters at most */

struct form {
    uint8_t stage;
    uint8_t at;      /* how much of what ends this stage has come */
    uint8_t name_at; /* in a head: how much of the name */
    uint8_t border_length;
    bool named; /* this part is the model */
    uint16_t length;
    char border[FORM_BORDER_BYTES]; /* what stands between parts, as the first line says */
    char model[FORM_MODEL_BYTES];   /* empty: not stated, or too long, or not complete yet */
};

void form_begin(struct form *form);
void form_feed(struct form *form, const void *bytes, size_t length);

#endif
