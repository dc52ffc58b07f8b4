/* when.h: points in time as people write and read them. All of it is UTC; numbers are nanoseconds
 * since 1970. */
#ifndef TALLY_TOOLS_WHEN_H
#define TALLY_TOOLS_WHEN_H

#include <stdint.h>

#define WHEN_BYTES     40
#define WHEN_SECOND_NS INT64_C(1000000000)
#define WHEN_HOUR_NS   (3600 * WHEN_SECOND_NS)
/* What a misuse says. */
#define WHEN_FORMS "30m, 24h, 7d, 2w, today, yesterday, 2026-11-22 or 2026-11-22T10:00:00Z"

/* A duration (30s, 30m, 24h, 7d, 2w: so long before `now`), now, today, yesterday, a date, or a
 * date and time (RFC 3339; without a zone: UTC). 0, -EINVAL, or -ERANGE for years out of 1970 to 2261. */
int when_parse(const char *text, int64_t now_ns, int64_t *out_ns);

/* 250ms, 1s, 30m, 24h, 7d, 2w: a length. 0, -EINVAL or -ERANGE. */
int when_parse_length(const char *text, int64_t *out_ns);

int64_t when_now(void);

/* "2026-11-22 10:00:00" for tables (UTC). */
const char *when_shown(int64_t ns, char out[WHEN_BYTES]);
/* "2026-11-22 10:00" on a minute's border, else as when_shown() */
const char *when_short(int64_t ns, char out[WHEN_BYTES]);
/* "2026-11-22T10:00:00.123456789Z" (RFC 3339) for JSON and CSV; a fraction only if there is one. */
const char *when_exact(int64_t ns, char out[WHEN_BYTES]);

/* To the border of the hour, towards the past and towards the future. */
int64_t when_hour_down(int64_t ns);
int64_t when_hour_up(int64_t ns);

#endif
