/* utf8.h: make bytes from outside into text. Pure. */
#ifndef TALLY_LEDGER_UTF8_H
#define TALLY_LEDGER_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* Whether it is UTF-8 (no surrogates, nothing overlong) without NUL. */
bool utf8_sound(const char *bytes, uint32_t length);

/* Copy, with U+FFFD in the place of NUL and of each longest part of a broken sequence. out: 3 * length bytes
 * of room. Returns the bytes written. */
uint32_t utf8_mend(const char *bytes, uint32_t length, char *out);

#endif
