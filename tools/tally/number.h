/* number.h: whole numbers, money and durations, read strictly and written exactly.
 * Sums are 128 bits wide: 2^63 calls of 10^15 tokens do not reach their end. */
#ifndef TALLY_TOOLS_NUMBER_H
#define TALLY_TOOLS_NUMBER_H

#include <stdint.h>

typedef __int128 wide_t;

#define NUMBER_BYTES 48 /* room for any of the texts below */

/* The whole text as a decimal number from least to most: 0, -EINVAL or -ERANGE. */
int number_parse(const char *text, int64_t least, int64_t most, int64_t *out);
int number_parse_wide(const char *text, wide_t *out);
/* sum += by; -ERANGE if it does not fit (the sum then stays). */
int number_add(wide_t *sum, wide_t by);
const char *number_text(wide_t number, char out[NUMBER_BYTES]);

/* Picodollars (10^-12 dollar) as dollars, exactly: "0.000812", at least two decimals. */
const char *money_text(wide_t picodollars, char out[NUMBER_BYTES]);
/* "0.000812" to picodollars: at most 12 decimals; 0, -EINVAL or -ERANGE. */
int money_parse(const char *dollars, int64_t most_picodollars, int64_t *out);

/* For people: "850ns", "12.3ms", "4.56s", "12m03s", "3h04m", "5d02h". */
const char *duration_text(int64_t ns, char out[NUMBER_BYTES]);
/* For people: "812 B", "128 KiB", "1.5 GiB". */
const char *bytes_text(uint64_t bytes, char out[NUMBER_BYTES]);

#endif
