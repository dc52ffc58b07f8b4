/* encode.h: struct tally_usage → the fields of a record. Pure: any thread, signal-safe. */
#ifndef TALLY_SHIM_ENCODE_H
#define TALLY_SHIM_ENCODE_H

#include <stdbool.h>
#include <tally/record.h>
#include <tally/tally.h>

/* What a call's records carry beside the usage. */
struct encode_call {
    uint8_t id[16];
    uint32_t step;
    uint32_t records; /* of the call written so far; goes into its end */
};

/* Writes the fields at `fields` (8-aligned, room for TALLY_RECORD_BYTES_MAX less the header). usage: NULL or of
 * this library's size; call: NULL for a finished call. Returns how many bytes they take, or -ERANGE; up to
 * ENCODE_BEHIND bytes after them may have been written, too. */
#define ENCODE_BEHIND 24
int encode_usage(uint8_t *fields, const struct tally_usage *usage, const struct encode_call *call);

/* Memcheck watches this process: from now on read no byte behind a text's end. */
void encode_watched(void);

/* One field each; return where the next one goes. The caller has seen to the room. */
uint8_t *encode_number(uint8_t *at, uint8_t id, uint64_t value);
uint8_t *encode_bytes(uint8_t *at, uint8_t id, uint8_t type, const void *value, uint32_t length);

/* The length to which a text of at most `bytes_max` bytes is cut, at a character's border. */
uint32_t encode_cut(const char *text, uint32_t bytes_max, bool *cut);

/* Copy a text (NULL: empty) to out, cut at a character's border. Returns whether it was cut. */
bool encode_copy(char *out, size_t bytes, const char *text);

#endif
