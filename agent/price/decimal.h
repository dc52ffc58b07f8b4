/* decimal.h: prices as they are written: whole digits and a power of ten, never a binary fraction.
 *
 * A price list states 7.5e-08 or 0.000000075; as a double it would be neither, and a sum of many would drift. Digits and
 * scale keep it exactly; a cost is rounded once, to picodollars (10^-12 US dollar), when it is multiplied out.
 */
#ifndef TALLY_PRICE_DECIMAL_H
#define TALLY_PRICE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

#define DECIMAL_DIGITS_MAX 18      /* significant ones: any double's shortest form has at most 17 */
#define DECIMAL_SCALE_MAX  30      /* places after the point */
#define DECIMAL_MAX        1000000 /* nothing that is billed costs more */

/* digits / 10^scale, >= 0. */
struct decimal {
    uint64_t digits;
    uint8_t scale;
};
#define DECIMAL_ONE ((struct decimal){1, 0})

/* text: a number of JSON's grammar. 0; -EINVAL: not such a number, or negative; -ERANGE: above DECIMAL_MAX, or more digits or places
 * than fit: it is not rounded, for then it would not be the price that was stated. */
int decimal_parse(const char *text, size_t length, struct decimal *out);

/* The same value: then digits and scale are the same too. */
static inline int decimal_equal(struct decimal a, struct decimal b)
{
    return a.digits == b.digits && a.scale == b.scale;
}

/* 0; -ERANGE: the product has too many digits. */
int decimal_multiply(struct decimal a, struct decimal b, struct decimal *out);

/* count / 10^count_scale units at this price, times factor, in picodollars, rounded half up, once. count: 0 to 10^15. 0; -ERANGE:
 * beyond INT64_MAX. */
int decimal_cost(int64_t count, unsigned count_scale, struct decimal price, struct decimal factor,
                 int64_t *picodollars);

/* "0.00000125"; `shift` moves the point that many places to the right (6: for a million). */
#define DECIMAL_TEXT_BYTES 64
void decimal_text(struct decimal value, unsigned shift, char text[DECIMAL_TEXT_BYTES]);

#endif
