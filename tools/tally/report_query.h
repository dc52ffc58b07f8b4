/* report_query.h: from what `tally report` is asked to the SQL that answers it. Pure: no database.
 *
 * Two sources: rollups (usage_hourly, and usage_daily for whole days; kept for ever) and usage (raw rows, kept for the
 * retention time, joined to clients). Both give the same figures in the same order: first the dimensions, then
 * one column for each REPORT_FIGURES. Parameters: ?1 and ?2 are the bounds (since, until; hours' seconds for
 * rollups, nanoseconds for raw rows), ?3 and ?4 those of the days that rollups take from usage_daily
 * (report_query_days), QUERY_VALUE onwards the values of the conditions.
 */
#ifndef TALLY_TOOLS_REPORT_QUERY_H
#define TALLY_TOOLS_REPORT_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIMENSIONS_MAX 16
#define QUERY_VALUE    5

/* X(name): what is counted of each group. */
#define REPORT_FIGURES(X)                                                                                    \
    X(calls)                                                                                                 \
    X(errors)                                                                                                \
    X(cancelled)                                                                                             \
    X(aborted)                                                                                               \
    X(estimated)                                                                                             \
    X(input_tokens)                                                                                          \
    X(output_tokens)                                                                                         \
    X(cache_read_tokens)                                                                                     \
    X(cache_write_5m_tokens)                                                                                 \
    X(cache_write_1h_tokens)                                                                                 \
    X(reasoning_tokens)                                                                                      \
    X(input_audio_tokens)                                                                                    \
    X(output_audio_tokens)                                                                                   \
    X(input_image_tokens)                                                                                    \
    X(output_image_tokens)                                                                                   \
    X(input_tokens_unknown)                                                                                  \
    X(output_tokens_unknown)                                                                                 \
    X(duration_ns)                                                                                           \
    X(duration_unknown)                                                                                      \
    X(provider_cost_picodollars)                                                                             \
    X(provider_cost_calls)                                                                                   \
    X(cost_picodollars)                                                                                      \
    X(cost_unknown)

enum report_figure {
#define TALLY_X(name) FIGURE_##name,
    REPORT_FIGURES(TALLY_X)
#undef TALLY_X
        FIGURE_COUNT
};

struct dimension {
    const char *name;
    const char *rollup; /* SQL on usage_hourly h; NULL: rollups lack it */
    const char *raw;    /* SQL on usage u, clients c */
    bool time;          /* groups by it stand in its order */
    bool within_days;   /* a day's sum does not say it */
};

struct condition {
    const struct dimension *dimension;
    const char *value; /* "": unknown */
};

struct report_query {
    const struct dimension *by[DIMENSIONS_MAX];
    size_t by_count;
    struct condition where[DIMENSIONS_MAX];
    size_t where_count;
};

const struct dimension *dimension_find(const char *name, size_t length);
/* All names, "provider, request_model, ...": to be freed. */
char *dimension_names(void);

/* "provider,request_model" into by; "none" is no dimension. EXIT_SUCCESS or a misuse. */
int report_query_by(struct report_query *query, const char *list);
/* "provider=openai" onto where. EXIT_SUCCESS or a misuse. */
int report_query_where(struct report_query *query, const char *condition);

/* The first dimension asked for that rollups lack, or NULL. */
const struct dimension *report_query_lacking(const struct report_query *query);

/* To be freed. raw: ask usage, else the rollups. */
char *report_query_sql(const struct report_query *query, bool raw);
/* Of the hours [since_s, until_s) the whole days, [days_s[0], days_s[1]): none if they are the same. */
void report_query_days(const struct report_query *query, int64_t since_s, int64_t until_s, int64_t days_s[2]);

#endif
