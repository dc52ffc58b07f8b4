/* hours.h: the hours at which a list's off-peak prices hold, as LiteLLM's off_peak_pricing states them. */
#ifndef TALLY_PRICE_HOURS_H
#define TALLY_PRICE_HOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "price/scan.h"

#define PRICE_WINDOWS_MAX 64u /* of one entry */

/* From the first nanosecond of minute `from` of the UTC day on, up to that of minute `until`, and not with it. If `until` is not above
 * `from` it is the next day's; the same: all day. */
struct price_window {
    uint16_t from, until;
    uint8_t weekdays; /* of the moment that is asked about, not of the window's beginning; bit 0: Monday */
};

struct price_hours {
    struct price_window windows[PRICE_WINDOWS_MAX];
    uint16_t count;
    int16_t calendar_minutes; /* ahead of UTC, where weekdays begin; the hours are UTC's all the same */
    bool unread;              /* something is said about when they hold that is not known here */
    const char *wrong;        /* why price_hours_member() failed, for people; NULL: it is no JSON */
};

/* Take the value of a member of off_peak_pricing that is no price: "hours_utc", "windows", "weekday_timezone"; what else there is makes
 * them unread. 0 or -1. hours: starts zeroed. */
int price_hours_member(struct scan *scan, const char *key, size_t length, struct price_hours *hours);

/* Whether one of the windows is open. */
bool price_windows_open(const struct price_window *windows, size_t count, int16_t calendar_minutes,
                        int64_t time_unix_ns);

#endif
