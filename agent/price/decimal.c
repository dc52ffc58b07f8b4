/* decimal.c: see decimal.h. */
#include "price/decimal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PICODOLLAR_SCALE 12

struct reader {
    const char *at;
    const char *end;
};

static bool digit(const struct reader *reader)
{
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static bool skip(struct reader *reader, const char *any)
{
    if (reader->at >= reader->end || !*reader->at || !strchr(any, *reader->at))
        return false;
    reader->at++;
    return true;
}

/* The digits at the reader, appended. Zeros are held back until a digit follows: those at the end are no digits of the
 * value. places: how many positions were read, zeros included. */
struct digits {
    uint64_t value;
    unsigned used;
    long zeros;
    long places;
};

static int read_digits(struct reader *reader, struct digits *digits)
{
    if (!digit(reader))
        return -EINVAL;
    for (; digit(reader); reader->at++, digits->places++) {
        if (*reader->at == '0') {
            digits->zeros += digits->used > 0;
            continue;
        }
        long more = digits->zeros + 1;
        if (digits->used + (unsigned long)more > DECIMAL_DIGITS_MAX)
            return -ERANGE;
        for (; digits->zeros; digits->zeros--)
            digits->value *= 10;
        digits->value = digits->value * 10 + (uint64_t)(*reader->at - '0');
        digits->used += (unsigned)more;
    }
    return 0;
}

static int read_exponent(struct reader *reader, long *exponent)
{
    bool negative;
    *exponent = 0;
    if (!skip(reader, "eE"))
        return 0;
    negative = skip(reader, "-");
    if (!negative)
        skip(reader, "+");
    if (!digit(reader))
        return -EINVAL;
    for (; digit(reader); reader->at++)
        if (*exponent < 10000)
            *exponent = *exponent * 10 + (*reader->at - '0');
    if (negative)
        *exponent = -*exponent;
    return 0;
}

/* digits * 10^power, power above 0: as digits alone. */
static int spell_out(struct decimal *out, long power)
{
    for (; power > 0; power--) {
        if (out->digits > DECIMAL_MAX)
            return -ERANGE;
        out->digits *= 10;
    }
    return 0;
}

static int check_most(const struct decimal *value)
{
    uint64_t whole = value->digits;
    for (unsigned i = 0; i < value->scale; i++)
        whole /= 10;
    return whole > DECIMAL_MAX || (whole == DECIMAL_MAX && value->scale) ? -ERANGE : 0;
}

int decimal_parse(const char *text, size_t length, struct decimal *out)
{
    struct reader reader = {text, text + length};
    struct digits digits = {0, 0, 0, 0};
    long exponent;
    *out = (struct decimal){0, 0};
    if (skip(&reader, "-")) {
        /* -0 and -0.0 are 0; anything else below it is no price */
        int result = decimal_parse(text + 1, length - 1, out);
        return result ? result : out->digits || *reader.at == '-' ? -EINVAL : 0;
    }
    bool zero = reader.at < reader.end && *reader.at == '0';
    int result = read_digits(&reader, &digits);
    if (!result && zero && digits.places > 1)
        return -EINVAL;
    long whole_places = digits.places;
    if (!result && skip(&reader, "."))
        result = read_digits(&reader, &digits);
    if (!result)
        result = read_exponent(&reader, &exponent);
    if (result || reader.at != reader.end)
        return result ? result : -EINVAL;
    if (!digits.value)
        return 0;
    long power = exponent - (digits.places - whole_places) + digits.zeros;
    out->digits = digits.value;
    if (power >= 0)
        result = spell_out(out, power);
    else if (-power > DECIMAL_SCALE_MAX)
        result = -ERANGE;
    else
        out->scale = (uint8_t)-power;
    return result ? result : check_most(out);
}

int decimal_multiply(struct decimal a, struct decimal b, struct decimal *out)
{
    unsigned scale = (unsigned)a.scale + b.scale;
    uint64_t digits;
    if (__builtin_mul_overflow(a.digits, b.digits, &digits))
        return -ERANGE;
    while (scale && digits % 10 == 0) {
        digits /= 10;
        scale--;
    }
    if (!digits)
        scale = 0;
    if (scale > DECIMAL_SCALE_MAX)
        return -ERANGE;
    *out = (struct decimal){digits, (uint8_t)scale};
    return 0;
}

/* 10^power fits for all that can come here: 2 * DECIMAL_SCALE_MAX is more than 38, so it is checked. */
static int power_of_ten(unsigned power, unsigned __int128 *out)
{
    unsigned __int128 value = 1;
    if (power > 38)
        return -ERANGE;
    while (power--)
        value *= 10;
    *out = value;
    return 0;
}

int decimal_cost(int64_t count, unsigned count_scale, struct decimal price, struct decimal factor,
                 int64_t *picodollars)
{
    unsigned scale = count_scale + price.scale + factor.scale;
    unsigned __int128 product;
    unsigned __int128 power;
    *picodollars = 0;
    if (count <= 0 || !price.digits || !factor.digits)
        return 0;
    if (__builtin_mul_overflow((unsigned __int128)(uint64_t)count * price.digits,
                               (unsigned __int128)factor.digits, &product))
        return -ERANGE;
    if (scale > PICODOLLAR_SCALE) {
        if (power_of_ten(scale - PICODOLLAR_SCALE, &power))
            return -ERANGE;
        unsigned __int128 rest = product % power;
        product = product / power + (rest >= power - rest);
    } else if (power_of_ten(PICODOLLAR_SCALE - scale, &power) ||
               __builtin_mul_overflow(product, power, &product)) {
        return -ERANGE;
    }
    if (product > INT64_MAX)
        return -ERANGE;
    *picodollars = (int64_t)product;
    return 0;
}

void decimal_text(struct decimal value, unsigned shift, char text[DECIMAL_TEXT_BYTES])
{
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value.digits);
    int places = (int)value.scale - (int)shift;
    size_t at = 0;
    if (count < 0)
        count = 0;
    if (places >= count) { /* 0.000digits */
        text[at++] = '0';
        text[at++] = '.';
        for (int i = count; i < places; i++)
            text[at++] = '0';
    }
    for (int i = 0; i < count; i++) {
        if (places > 0 && places < count && i == count - places)
            text[at++] = '.';
        text[at++] = digits[i];
    }
    for (int i = places; i < 0 && value.digits; i++)
        text[at++] = '0';
    text[at] = '\0';
}
