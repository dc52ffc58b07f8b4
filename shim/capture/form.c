/* form.c: see form.h. */
#include "capture/form.h"

#include <stdbool.h>

enum { NAME, HEAD, VALUE, DONE };

static const char name[] = "name=\"model\"";
static const char blank[] = "\r\n\r\n";

void form_begin(struct form *form)
{
    form->stage = NAME;
    form->at = 0;
    form->length = 0;
    form->model[0] = '\0';
}

/* One character further in a text in which none but the first can begin it anew; whether it is complete. */
static bool follow(struct form *form, const char *text, size_t length, char c)
{
    form->at = (uint8_t)(c == text[form->at] ? form->at + 1 : c == text[0]);
    return form->at == length;
}

/* A model's name is printable, and ends with its line. Its first byte is written last: half a name is none. */
static void take(struct form *form, char c)
{
    if (c == '\r') {
        form->model[form->length] = '\0';
        if (form->length)
            form->model[0] = form->model[FORM_MODEL_BYTES - 1];
        form->stage = DONE;
    } else if (c <= ' ' || c > '~' || form->length == FORM_MODEL_BYTES - 2) {
        form->stage = DONE;
    } else {
        form->model[form->length ? form->length : FORM_MODEL_BYTES - 1] = c;
        form->length++;
    }
}

void form_feed(struct form *form, const void *bytes, size_t length)
{
    const char *at = bytes;
    const char *end = at + length;
    for (; at < end && form->stage != DONE; at++) {
        bool complete = false;
        if (form->stage == NAME)
            complete = follow(form, name, sizeof name - 1, *at);
        else if (form->stage == HEAD)
            complete = follow(form, blank, sizeof blank - 1, *at);
        else
            take(form, *at);
        if (complete) {
            form->stage++;
            form->at = 0;
        }
    }
}
