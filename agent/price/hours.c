/* hours.c: see hours.h. */
#include "price/hours.h"

#include <string.h>
#include <strings.h>

#define MINUTE_NS   INT64_C(60000000000)
#define DAY_MINUTES 1440
#define ALL_WEEK    0x7f

static bool is(struct scan_text text, const char *word)
{
    return text.length == strlen(word) && !strncasecmp(text.data, word, text.length);
}

static int wrong(struct price_hours *hours, const char *what)
{
    hours->wrong = what;
    return -1;
}

/* ---- hours ---- */

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "16:30", "9:05", " 04:00 ". */
static int read_minute(const char *text, size_t length, uint16_t *out)
{
    while (length && *text == ' ') {
        text++;
        length--;
    }
    while (length && text[length - 1] == ' ')
        length--;
    if (length != 4 && length != 5)
        return -1;
    const char *colon = text + length - 3;
    if (!digit(text[0]) || !digit(colon[-1]) || *colon != ':' || !digit(colon[1]) || !digit(colon[2]))
        return -1;
    int hour = (length == 5 ? (text[0] - '0') * 10 : 0) + (colon[-1] - '0');
    int minute = (colon[1] - '0') * 10 + (colon[2] - '0');
    if (hour > 23 || minute > 59)
        return -1;
    *out = (uint16_t)(hour * 60 + minute);
    return 0;
}

static int add_window(struct scan *scan, struct price_hours *hours)
{
    static const char form[] = "\"hours_utc\" must be hours such as \"16:30-00:30\"";
    struct price_window window = {.weekdays = ALL_WEEK};
    struct scan_text text;
    if (scan_peek(scan) != SCAN_STRING)
        return wrong(hours, form);
    if (scan_string(scan, &text))
        return -1;
    const char *dash = text.length ? memchr(text.data, '-', text.length) : NULL;
    size_t head = dash ? (size_t)(dash - text.data) : 0;
    if (!dash || read_minute(text.data, head, &window.from) ||
        read_minute(dash + 1, text.length - head - 1, &window.until))
        return wrong(hours, form);
    if (hours->count == PRICE_WINDOWS_MAX)
        return wrong(hours, "states too many hours");
    hours->windows[hours->count++] = window;
    return 0;
}

/* "16:30-00:30", or a list of such. */
static int read_hours(struct scan *scan, struct price_hours *hours)
{
    bool first = true;
    int more;
    if (scan_peek(scan) != SCAN_ARRAY)
        return add_window(scan, hours);
    if (scan_enter(scan, '['))
        return -1;
    while ((more = scan_element(scan, &first)) > 0)
        if (add_window(scan, hours))
            return -1;
    return more;
}

/* ---- weekdays ---- */

/* Its bit; 0: none. */
static uint8_t weekday_named(struct scan_text text)
{
    static const struct {
        const char *name;
        uint8_t day;
    } names[] = {
        {"mon", 0},       {"monday", 0}, {"tue", 1},      {"tues", 1},  {"tuesday", 1},  {"wed", 2},
        {"wednesday", 2}, {"thu", 3},    {"thur", 3},     {"thurs", 3}, {"thursday", 3}, {"fri", 4},
        {"friday", 4},    {"sat", 5},    {"saturday", 5}, {"sun", 6},   {"sunday", 6},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (is(text, names[i].name))
            return (uint8_t)(1u << names[i].day);
    return 0;
}

/* [1, "tuesday"]: Monday is 1. */
static int read_weekdays(struct scan *scan, struct price_hours *hours, uint8_t *out)
{
    static const char form[] =
        "\"weekdays\" must be a list of days, from 1 (Monday) to 7, or of names such as \"mon\"";
    struct scan_text text;
    bool first = true;
    int more;
    *out = 0;
    if (scan_peek(scan) != SCAN_ARRAY)
        return wrong(hours, form);
    if (scan_enter(scan, '['))
        return -1;
    while ((more = scan_element(scan, &first)) > 0) {
        uint8_t day = 0;
        enum scan_kind kind = scan_peek(scan);
        if (kind != SCAN_NUMBER && kind != SCAN_STRING)
            return wrong(hours, form);
        if (kind == SCAN_NUMBER ? scan_number(scan, &text) : scan_string(scan, &text))
            return -1;
        if (kind == SCAN_STRING)
            day = weekday_named(text);
        else if (text.length == 1 && text.data[0] >= '1' && text.data[0] <= '7')
            day = (uint8_t)(1u << (text.data[0] - '1'));
        if (!day)
            return wrong(hours, form);
        *out |= day;
    }
    return more || *out ? more : wrong(hours, form);
}

/* {"hours_utc": ["00:00-01:00", "10:00-00:00"], "weekdays": [1, 2, 3, 4, 5]}: without "weekdays" every day. */
static int read_rule(struct scan *scan, struct price_hours *hours)
{
    uint16_t before = hours->count;
    uint8_t weekdays = ALL_WEEK;
    struct scan_text key;
    bool first = true;
    int more;
    if (scan_peek(scan) != SCAN_OBJECT)
        return wrong(hours, "\"windows\" must be a list of objects");
    if (scan_enter(scan, '{'))
        return -1;
    while ((more = scan_member(scan, &first, &key)) > 0) {
        int result;
        if (scan_peek(scan) == SCAN_NULL) {
            result = scan_skip(scan);
        } else if (is(key, "hours_utc")) {
            result = read_hours(scan, hours);
        } else if (is(key, "weekdays")) {
            result = read_weekdays(scan, hours, &weekdays);
        } else {
            hours->unread = true;
            result = scan_skip(scan);
        }
        if (result)
            return -1;
    }
    if (!more && hours->count == before)
        return wrong(hours, "one of \"windows\" states no hours");
    for (uint16_t i = before; i < hours->count; i++)
        hours->windows[i].weekdays = weekdays;
    return more;
}

static int read_rules(struct scan *scan, struct price_hours *hours)
{
    bool first = true;
    int more;
    if (scan_peek(scan) != SCAN_ARRAY)
        return wrong(hours, "\"windows\" must be a list of objects");
    if (scan_enter(scan, '['))
        return -1;
    while ((more = scan_element(scan, &first)) > 0)
        if (read_rule(scan, hours))
            return -1;
    return more;
}

static int read_calendar(struct scan *scan, struct price_hours *hours)
{
    /* Without summer time: those that have it need a table of zones, and machines do not have the same one. */
    static const struct {
        const char *name;
        int16_t minutes;
    } zones[] = {
        {"UTC", 0},          {"Etc/UTC", 0},        {"Asia/Shanghai", 480}, {"Asia/Singapore", 480},
        {"Asia/Tokyo", 540}, {"Asia/Kolkata", 330},
    };
    struct scan_text text;
    if (scan_peek(scan) != SCAN_STRING)
        return wrong(hours, "\"weekday_timezone\" must be a string");
    if (scan_string(scan, &text))
        return -1;
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
        if (is(text, zones[i].name)) {
            hours->calendar_minutes = zones[i].minutes;
            return 0;
        }
    hours->unread = true;
    return 0;
}

int price_hours_member(struct scan *scan, const char *key, size_t length, struct price_hours *hours)
{
    struct scan_text name = {key, length};
    if (is(name, "hours_utc"))
        return read_hours(scan, hours);
    if (is(name, "windows"))
        return read_rules(scan, hours);
    if (is(name, "weekday_timezone"))
        return read_calendar(scan, hours);
    /* It may say when they do not hold: holidays, say. */
    hours->unread = true;
    return scan_skip(scan);
}

/* ---- the moment ---- */

bool price_windows_open(const struct price_window *windows, size_t count, int16_t calendar_minutes,
                        int64_t time_unix_ns)
{
    int64_t now = time_unix_ns > 0 ? time_unix_ns / MINUTE_NS : 0;
    unsigned minute = (unsigned)(now % DAY_MINUTES);
    /* 1970 began on a Thursday. */
    unsigned weekday = (unsigned)(((now + calendar_minutes) / DAY_MINUTES + 3) % 7);
    for (size_t i = 0; i < count; i++) {
        const struct price_window *window = &windows[i];
        bool begun = minute >= window->from;
        bool ended = minute >= window->until;
        bool open = window->from < window->until ? begun && !ended : begun || !ended;
        if (open && (window->weekdays >> weekday & 1))
            return true;
    }
    return false;
}
