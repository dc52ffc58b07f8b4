#include "number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PICODOLLARS INT64_C(1000000000000)

int number_parse_wide(const char *text, wide_t *out)
{
    int negative = text[0] == '-';
    const char *at = text + negative;
    wide_t value = 0;

    if (*at == '\0')
        return -EINVAL;
    for (; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, (wide_t)10, &value) ||
            __builtin_sub_overflow(value, (wide_t)(*at - '0'), &value))
            return -ERANGE;
    }
    /* Gathered below zero, where there is room for one more than above. */
    if (!negative && __builtin_sub_overflow((wide_t)0, value, &value))
        return -ERANGE;
    *out = value;
    return 0;
}

int number_parse(const char *text, int64_t least, int64_t most, int64_t *out)
{
    wide_t value;
    int error = number_parse_wide(text, &value);

    if (error != 0)
        return error;
    if (value < least || value > most)
        return -ERANGE;
    *out = (int64_t)value;
    return 0;
}

int number_add(wide_t *sum, wide_t by)
{
    wide_t result;

    if (__builtin_add_overflow(*sum, by, &result))
        return -ERANGE;
    *sum = result;
    return 0;
}

const char *number_text(wide_t number, char out[NUMBER_BYTES])
{
    unsigned __int128 rest = number < 0 ? -(unsigned __int128)number : (unsigned __int128)number;
    char digits[NUMBER_BYTES];
    size_t at = sizeof(digits);

    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest != 0);
    if (number < 0)
        digits[--at] = '-';
    memcpy(out, digits + at, sizeof(digits) - at);
    return out;
}

const char *money_text(wide_t picodollars, char out[NUMBER_BYTES])
{
    unsigned __int128 whole =
        picodollars < 0 ? -(unsigned __int128)picodollars : (unsigned __int128)picodollars;
    uint64_t fraction = (uint64_t)(whole % PICODOLLARS);
    char dollars[NUMBER_BYTES];
    char decimals[16];

    number_text((wide_t)(whole / PICODOLLARS), dollars);
    snprintf(decimals, sizeof(decimals), "%012" PRIu64, fraction);
    size_t length = 12;
    while (length > 2 && decimals[length - 1] == '0')
        decimals[--length] = '\0';
    snprintf(out, NUMBER_BYTES, "%s%.30s.%s", picodollars < 0 ? "-" : "", dollars, decimals);
    return out;
}

int money_parse(const char *dollars, int64_t most_picodollars, int64_t *out)
{
    const char *point = strchr(dollars, '.');
    size_t decimals = point != NULL ? strlen(point + 1) : 0;
    char digits[NUMBER_BYTES];
    int whole = point != NULL ? (int)(point - dollars) : (int)strlen(dollars);

    if (whole < 1 || (point != NULL && decimals == 0))
        return -EINVAL;
    if (whole > 20 || decimals > 12)
        return -ERANGE;
    snprintf(digits, sizeof(digits), "%.*s%s%.*s", whole, dollars, point != NULL ? point + 1 : "",
             (int)(12 - decimals), "000000000000");
    return number_parse(digits, 0, most_picodollars, out);
}

const char *duration_text(int64_t ns, char out[NUMBER_BYTES])
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t n = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    uint64_t s = n / 1000000000;

    if (n < 1000)
        snprintf(out, NUMBER_BYTES, "%s%" PRIu64 "ns", sign, n);
    else if (n < 1000000)
        snprintf(out, NUMBER_BYTES, "%s%" PRIu64 "us", sign, n / 1000);
    else if (n < 1000000000)
        snprintf(out, NUMBER_BYTES, "%s%" PRIu64 "ms", sign, n / 1000000);
    else if (s < 60)
        snprintf(out, NUMBER_BYTES, "%s%" PRIu64 ".%02" PRIu64 "s", sign, s, n / 10000000 % 100);
    else if (s < 3600)
        snprintf(out, NUMBER_BYTES, "%s%" PRIu64 "m%02" PRIu64 "s", sign, s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, NUMBER_BYTES, "%s%" PRIu64 "h%02" PRIu64 "m", sign, s / 3600, s / 60 % 60);
    else
        snprintf(out, NUMBER_BYTES, "%s%" PRIu64 "d%02" PRIu64 "h", sign, s / 86400, s / 3600 % 24);
    return out;
}

const char *bytes_text(uint64_t bytes, char out[NUMBER_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t tenths = bytes;

    if (bytes < 1024) {
        snprintf(out, NUMBER_BYTES, "%" PRIu64 " B", bytes);
        return out;
    }
    while (tenths >= 1024) {
        unit++;
        /* tenths of the next unit, while the whole part still counts whole units */
        if (tenths / 1024 < 1024) {
            uint64_t part = tenths % 1024 * 10 / 1024;
            if (part == 0)
                snprintf(out, NUMBER_BYTES, "%" PRIu64 " %s", tenths / 1024, units[unit]);
            else
                snprintf(out, NUMBER_BYTES, "%" PRIu64 ".%" PRIu64 " %s", tenths / 1024, part, units[unit]);
            return out;
        }
        tenths /= 1024;
    }
    return out;
}
