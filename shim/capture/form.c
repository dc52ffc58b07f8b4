/* form.c: see form.h. A part's name is looked for in its head alone: what a prompt or a file says about parts is none. */
#include "capture/form.h"

enum { BORDER, HEAD, VALUE, CONTENT, DONE };

/* A file that is called "model" has no space before its name. */
static const char name[] = " name=\"model\"";
static const char blank[] = "\r\n\r\n";

void form_begin(struct form *form)
{
    form->stage = BORDER;
    form->at = form->name_at = 0;
    form->named = false;
    form->border[0] = '\r';
    form->border[1] = '\n';
    form->border_length = 2;
    form->length = 0;
    form->model[0] = '\0';
}

/* One character further in a text in which none but the first can begin it anew, and "\r\n\r\n", where it does no harm; whether it is
 * complete. */
static bool follow(uint8_t *at, const char *text, size_t length, char c)
{
    *at = (uint8_t)(c == text[*at] ? *at + 1 : c == text[0]);
    return *at == length;
}

/* The body's first line: "--BOUNDARY". */
static void take_border(struct form *form, char c)
{
    bool hyphens = form->border_length >= 4;
    if (c == '\r' && hyphens) {
        form->stage = HEAD;
        form->at = 1; /* of a head without lines this is the first of four */
    } else if ((!hyphens && c != '-') || c < ' ' || form->border_length == FORM_BORDER_BYTES) {
        form->stage = DONE;
    } else {
        form->border[form->border_length++] = c;
    }
}

static void take_head(struct form *form, char c)
{
    if (form->name_at < sizeof name - 1 && follow(&form->name_at, name, sizeof name - 1, c))
        form->named = true;
    if (c == '\n' && !form->named)
        form->name_at = 0;
    if (follow(&form->at, blank, sizeof blank - 1, c)) {
        form->stage = form->named ? VALUE : CONTENT;
        form->at = form->name_at = 0;
    }
}

static void take_content(struct form *form, char c)
{
    if (follow(&form->at, form->border, form->border_length, c)) {
        form->stage = HEAD;
        form->at = 0;
    }
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
        if (form->stage == BORDER)
            take_border(form, *at);
        else if (form->stage == HEAD)
            take_head(form, *at);
        else if (form->stage == CONTENT)
            take_content(form, *at);
        else
            take(form, *at);
    }
}
