/* text.h: text that came from records, made fit for a terminal, for JSON and for CSV.
 *
 * Whoever can write a record chooses these bytes. A terminal must never obey them: control
 * characters, escape sequences, bidirectional overrides, line separators and invisible tag
 * characters are shown as \x1b, \u202e and so on, and bytes that are not UTF-8 as \xff.
 * All functions return memory to free().
 */
#ifndef TALLY_TOOLS_TEXT_H
#define TALLY_TOOLS_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum text_for {
    TEXT_UTF8,  /* a terminal, or a table in a pipe */
    TEXT_ASCII, /* the same where the locale is not UTF-8: the rest is escaped too */
    TEXT_LINES  /* a CSV cell in a pipe: line feeds and tabs stay as they are */
};
char *text_safe(const char *bytes, size_t length, enum text_for purpose);

/* text_safe() as the present locale wants it. */
char *text_shown(const char *bytes, size_t length);

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD; what text_safe() escapes is
 * written \uXXXX, so that the value stays exact and the terminal unharmed. */
char *text_json(const char *bytes, size_t length);

/* A CSV cell (RFC 4180): quoted where it must be. safe: from text_safe(). */
char *text_csv(const char *safe);

/* One character of UTF-8 at `bytes`; returns its length, or 0 if it is none. */
size_t text_decode(const unsigned char *bytes, size_t length, uint32_t *character);

#endif
