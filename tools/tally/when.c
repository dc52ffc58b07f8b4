#include "when.h"
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_NS (24 * WHEN_HOUR_NS)

int64_t when_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * WHEN_SECOND_NS + now.tv_nsec;
}

int64_t when_hour_down(int64_t ns)
{
    int64_t part = ns % WHEN_HOUR_NS;

    return ns - (part < 0 ? part + WHEN_HOUR_NS : part);
}

int64_t when_hour_up(int64_t ns)
{
    int64_t down = when_hour_down(ns);
    int64_t up;

    if (down == ns || __builtin_add_overflow(down, WHEN_HOUR_NS, &up))
        return ns;
    return up;
}

/* ---- reading -------------------------------------------------------------------------- */

int when_parse_length(const char *text, int64_t *out_ns)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"s", WHEN_SECOND_NS},
        {"m", 60 * WHEN_SECOND_NS},
        {"h", WHEN_HOUR_NS},
        {"d", DAY_NS},
        {"w", 7 * DAY_NS},
    };
    size_t digits = strspn(text, "0123456789");
    char number[20];
    int64_t count;

    if (digits == 0)
        return -EINVAL;
    if (digits >= sizeof(number))
        return -ERANGE;
    memcpy(number, text, digits);
    number[digits] = '\0';
    int error = number_parse(number, 0, INT64_MAX, &count);
    if (error != 0)
        return error;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].name) == 0)
            return __builtin_mul_overflow(count, units[i].ns, out_ns) ? -ERANGE : 0;
    }
    return -EINVAL;
}

/* Exactly `count` digits; moves on. */
static bool digits(const char **at, int count, int *out)
{
    *out = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool mark(const char **at, const char *any_of)
{
    if (**at == '\0' || strchr(any_of, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

static bool fraction(const char **at, int64_t *out_ns)
{
    int64_t unit = WHEN_SECOND_NS;

    *out_ns = 0;
    if (!mark(at, "."))
        return true;
    if (!isdigit((unsigned char)**at))
        return false;
    for (; isdigit((unsigned char)**at); (*at)++) {
        unit /= 10;
        *out_ns += unit * (**at - '0');
    }
    return true;
}

/* "", "Z", "+01:00": seconds to the east. */
static bool zone(const char **at, int *out_s)
{
    int hours = 0;
    int minutes = 0;

    *out_s = 0;
    if (**at == '\0' || mark(at, "Zz"))
        return true;
    bool west = **at == '-';
    if (!mark(at, "+-") || !digits(at, 2, &hours) || !mark(at, ":") || !digits(at, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *out_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

static bool time_of_day(const char **at, struct tm *tm, int64_t *fraction_ns, int *east_s)
{
    if (!digits(at, 2, &tm->tm_hour) || !mark(at, ":") || !digits(at, 2, &tm->tm_min))
        return false;
    if (mark(at, ":") && (!digits(at, 2, &tm->tm_sec) || !fraction(at, fraction_ns)))
        return false;
    return tm->tm_hour <= 23 && tm->tm_min <= 59 && tm->tm_sec <= 60 && zone(at, east_s);
}

static int date_parse(const char *text, int64_t *out_ns)
{
    struct tm tm = {0};
    int64_t fraction_ns = 0;
    int east_s = 0;
    const char *at = text;

    if (!digits(&at, 4, &tm.tm_year) || !mark(&at, "-") || !digits(&at, 2, &tm.tm_mon) || !mark(&at, "-") ||
        !digits(&at, 2, &tm.tm_mday))
        return -EINVAL;
    if (mark(&at, "Tt ") && !time_of_day(&at, &tm, &fraction_ns, &east_s))
        return -EINVAL;
    if (*at != '\0')
        return -EINVAL;
    if (tm.tm_year < 1970 || tm.tm_year > 2261)
        return -ERANGE;
    int day = tm.tm_mday;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (tm.tm_mon < 0 || tm.tm_mon > 11 || day < 1)
        return -EINVAL;
    int month = tm.tm_mon;
    bool leap_second = tm.tm_sec == 60;
    time_t seconds = timegm(&tm);
    /* timegm() makes the first of March of the 30th of February: tell the caller instead. */
    if (!leap_second && (tm.tm_mday != day || tm.tm_mon != month))
        return -EINVAL;
    *out_ns = ((int64_t)seconds - east_s) * WHEN_SECOND_NS + fraction_ns;
    return 0;
}

int when_parse(const char *text, int64_t now_ns, int64_t *out_ns)
{
    int64_t length;
    int64_t today = now_ns - now_ns % DAY_NS;

    if (strcmp(text, "now") == 0 || strcmp(text, "today") == 0 || strcmp(text, "yesterday") == 0) {
        *out_ns = text[0] == 'n' ? now_ns : text[0] == 't' ? today : today - DAY_NS;
        return 0;
    }
    int error = date_parse(text, out_ns);
    if (error != -EINVAL)
        return error;
    error = when_parse_length(text, &length);
    if (error != 0)
        return error;
    if (length > now_ns)
        return -ERANGE;
    *out_ns = now_ns - length;
    return 0;
}

/* ---- writing --------------------------------------------------------------------------- */

static int64_t split(int64_t ns, struct tm *tm)
{
    int64_t part = ns % WHEN_SECOND_NS;
    if (part < 0)
        part += WHEN_SECOND_NS;
    time_t seconds = (time_t)((ns - part) / WHEN_SECOND_NS);

    gmtime_r(&seconds, tm);
    return part;
}

const char *when_shown(int64_t ns, char out[WHEN_BYTES])
{
    struct tm tm;

    split(ns, &tm);
    strftime(out, WHEN_BYTES, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

const char *when_short(int64_t ns, char out[WHEN_BYTES])
{
    struct tm tm;

    if (ns % (60 * WHEN_SECOND_NS) != 0)
        return when_shown(ns, out);
    split(ns, &tm);
    strftime(out, WHEN_BYTES, "%Y-%m-%d %H:%M", &tm);
    return out;
}

const char *when_exact(int64_t ns, char out[WHEN_BYTES])
{
    struct tm tm;
    int64_t part = split(ns, &tm);
    size_t length = strftime(out, WHEN_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);

    if (part != 0)
        length += (size_t)snprintf(out + length, WHEN_BYTES - length, ".%09" PRId64, part);
    snprintf(out + length, WHEN_BYTES - length, "Z");
    return out;
}
