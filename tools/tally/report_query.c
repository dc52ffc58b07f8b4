#include "report_query.h"
#include "command.h"

#include <stdio.h>
#include <string.h>

/* Raw rows know "unknown" as NULL, rollups as ''; both come out as ''. */
#define RAW_TEXT(column) "coalesce(" column ", '')"
#define HOUR_FORMAT      "'%Y-%m-%dT%H:00:00Z'"
#define ROLLUP_TIME(f)   "strftime(" f ", h.hour_unix_s, 'unixepoch')"
#define RAW_TIME(f)      "strftime(" f ", u.start_time_unix_ns / 1000000000, 'unixepoch')"

static const struct dimension dimensions[] = {
    {"provider", "h.provider", RAW_TEXT("u.provider"), false, false},
    {"request_model", "h.request_model", RAW_TEXT("u.request_model"), false, false},
    {"service", "h.service", RAW_TEXT("c.service"), false, false},
    {"team", "h.team", RAW_TEXT("u.team"), false, false},
    {"project", "h.project", RAW_TEXT("u.project"), false, false},
    {"key_fingerprint", "h.key_fingerprint", RAW_TEXT("u.key_fingerprint"), false, false},
    {"status", "h.status", "u.status", false, false},
    {"hour", ROLLUP_TIME(HOUR_FORMAT), RAW_TIME(HOUR_FORMAT), true, true},
    {"day", ROLLUP_TIME("'%Y-%m-%d'"), RAW_TIME("'%Y-%m-%d'"), true, false},
    {"month", ROLLUP_TIME("'%Y-%m'"), RAW_TIME("'%Y-%m'"), true, false},
    {"operation", NULL, RAW_TEXT("u.operation"), false, false},
    {"response_model", NULL, RAW_TEXT("u.response_model"), false, false},
    {"service_tier", NULL, RAW_TEXT("u.service_tier"), false, false},
    {"server_address", NULL, RAW_TEXT("u.server_address"), false, false},
    {"error_type", NULL, RAW_TEXT("u.error_type"), false, false},
    {"http_status", NULL, RAW_TEXT("u.http_status"), false, false},
    {"user", NULL, RAW_TEXT("u.user"), false, false},
    {"session", NULL, RAW_TEXT("u.session"), false, false},
    {"trace_id", NULL, RAW_TEXT("u.trace_id"), false, false},
    {"tags", NULL, RAW_TEXT("u.tags"), false, false},
    {"streamed", NULL, "CASE WHEN u.flags & 1 THEN 'yes' ELSE 'no' END", false, false},
    {"batch", NULL, "CASE WHEN u.flags & 4 THEN 'yes' ELSE 'no' END", false, false},
    {"client_tags", NULL, RAW_TEXT("c.tags"), false, false},
    {"host", NULL, RAW_TEXT("c.host"), false, false},
    {"pid", NULL, RAW_TEXT("c.pid"), false, false},
    {"uid", NULL, RAW_TEXT("c.uid"), false, false},
    {"executable", NULL, RAW_TEXT("c.executable"), false, false},
};
#define DIMENSION_COUNT (sizeof(dimensions) / sizeof(dimensions[0]))

static const struct {
    const char *rollup;
    const char *raw;
} figures[FIGURE_COUNT] = {
    [FIGURE_calls] = {"sum128(h.calls)", "count(*)"},
    [FIGURE_errors] = {"sum128(h.calls * (h.status = 'error'))", "sum(u.status = 'error')"},
    [FIGURE_cancelled] = {"sum128(h.calls * (h.status = 'cancelled'))", "sum(u.status = 'cancelled')"},
    [FIGURE_aborted] = {"sum128(h.calls * (h.status = 'aborted'))", "sum(u.status = 'aborted')"},
    [FIGURE_estimated] = {"sum128(h.estimated)", "sum((u.flags & 2) != 0)"},
#define MONEY(name)                                                                                          \
    [FIGURE_##name##_picodollars] = {"sum_money(h." #name "_millions, h." #name "_picodollars)",             \
                                     "sum128(u." #name "_picodollars)"}
#define SUMMED(column) [FIGURE_##column] = {"sum128(h." #column ")", "sum128(u." #column ")"}
    SUMMED(input_tokens),
    SUMMED(output_tokens),
    SUMMED(cache_read_tokens),
    SUMMED(cache_write_5m_tokens),
    SUMMED(cache_write_1h_tokens),
    SUMMED(reasoning_tokens),
    SUMMED(input_audio_tokens),
    SUMMED(output_audio_tokens),
    SUMMED(input_image_tokens),
    SUMMED(output_image_tokens),
    [FIGURE_input_tokens_unknown] = {"sum128(h.input_tokens_unknown)", "sum(u.input_tokens IS NULL)"},
    [FIGURE_output_tokens_unknown] = {"sum128(h.output_tokens_unknown)", "sum(u.output_tokens IS NULL)"},
    SUMMED(duration_ns),
    [FIGURE_duration_unknown] = {"sum128(h.duration_unknown)", "sum(u.duration_ns IS NULL)"},
    MONEY(provider_cost),
    [FIGURE_provider_cost_calls] = {"sum128(h.provider_cost_calls)",
                                    "sum(u.provider_cost_picodollars IS NOT NULL)"},
    MONEY(cost),
    [FIGURE_cost_unknown] = {"sum128(h.cost_unknown)", "sum(u.cost_picodollars IS NULL)"},
#undef SUMMED
#undef MONEY
};

const struct dimension *dimension_find(const char *name, size_t length)
{
    for (size_t i = 0; i < DIMENSION_COUNT; i++) {
        if (strlen(dimensions[i].name) == length && memcmp(dimensions[i].name, name, length) == 0)
            return &dimensions[i];
    }
    return NULL;
}

char *dimension_names(void)
{
    char *names = must_copy(dimensions[0].name);

    for (size_t i = 1; i < DIMENSION_COUNT; i++) {
        char *longer = must_print("%s, %s", names, dimensions[i].name);
        free(names);
        names = longer;
    }
    return names;
}

static int no_such_dimension(const char *option, const char *name, size_t length)
{
    char *names = dimension_names();
    int status = misuse("%s does not know '%.*s': there are %s", option, (int)length, name, names);

    free(names);
    return status;
}

int report_query_by(struct report_query *query, const char *list)
{
    query->by_count = 0;
    if (strcmp(list, "none") == 0)
        return EXIT_SUCCESS;
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",");
        const struct dimension *dimension = dimension_find(at, length);
        if (dimension == NULL)
            return no_such_dimension("--by", at, length);
        for (size_t i = 0; i < query->by_count; i++) {
            if (query->by[i] == dimension)
                return misuse("--by names '%s' twice: once is enough", dimension->name);
        }
        if (query->by_count == DIMENSIONS_MAX)
            return misuse("--by takes at most %d names: leave some out", DIMENSIONS_MAX);
        query->by[query->by_count++] = dimension;
        at += length;
        if (*at == '\0')
            return EXIT_SUCCESS;
    }
}

int report_query_where(struct report_query *query, const char *condition)
{
    size_t length = strcspn(condition, "=");
    const struct dimension *dimension = dimension_find(condition, length);

    if (condition[length] == '\0')
        return misuse("--where wants a name and a value, such as provider=openai, not '%s'", condition);
    if (dimension == NULL)
        return no_such_dimension("--where", condition, length);
    if (query->where_count == DIMENSIONS_MAX)
        return misuse("--where may be given %d times: leave some out", DIMENSIONS_MAX);
    query->where[query->where_count++] =
        (struct condition){.dimension = dimension, .value = condition + length + 1};
    return EXIT_SUCCESS;
}

const struct dimension *report_query_lacking(const struct report_query *query)
{
    for (size_t i = 0; i < query->by_count; i++) {
        if (query->by[i]->rollup == NULL)
            return query->by[i];
    }
    for (size_t i = 0; i < query->where_count; i++) {
        if (query->where[i].dimension->rollup == NULL)
            return query->where[i].dimension;
    }
    return NULL;
}

void report_query_days(const struct report_query *query, int64_t since_s, int64_t until_s, int64_t days_s[2])
{
    const int64_t day = 86400;
    bool within = false;

    for (size_t i = 0; i < query->by_count; i++)
        within = within || query->by[i]->within_days;
    for (size_t i = 0; i < query->where_count; i++)
        within = within || query->where[i].dimension->within_days;
    days_s[0] = until_s;
    days_s[1] = until_s;
    if (within || since_s < 0 || since_s > INT64_MAX - day)
        return;
    int64_t first = (since_s + day - 1) / day * day;
    int64_t end = until_s == INT64_MAX ? INT64_MAX : until_s / day * day;
    if (first < end) {
        days_s[0] = first;
        days_s[1] = end;
    }
}

static void print_source(FILE *out, const struct report_query *query, bool raw)
{
    fputs(raw ? " FROM usage u LEFT JOIN clients c ON c.id = u.client_id"
                " WHERE u.start_time_unix_ns >= ?1 AND u.start_time_unix_ns < ?2"
              : " FROM (SELECT * FROM usage_hourly WHERE hour_unix_s >= ?1 AND hour_unix_s < ?3"
                " UNION ALL SELECT * FROM usage_daily WHERE day_unix_s >= ?3 AND day_unix_s < ?4"
                " UNION ALL SELECT * FROM usage_hourly WHERE hour_unix_s >= ?4 AND hour_unix_s < ?2) h"
                " WHERE true",
          out);
    /* http_status and the like are numbers, what is asked for is text. */
    for (size_t i = 0; i < query->where_count; i++) {
        const struct dimension *dimension = query->where[i].dimension;
        fprintf(out, " AND CAST(%s AS TEXT) = ?%zu", raw ? dimension->raw : dimension->rollup,
                i + QUERY_VALUE);
    }
}

char *report_query_sql(const struct report_query *query, bool raw)
{
    char *sql = NULL;
    size_t length;
    FILE *out = open_memstream(&sql, &length);

    if (out == NULL)
        out_of_memory();
    fputs("SELECT ", out);
    for (size_t i = 0; i < query->by_count; i++)
        fprintf(out, "%s, ", raw ? query->by[i]->raw : query->by[i]->rollup);
    for (size_t i = 0; i < FIGURE_COUNT; i++)
        fprintf(out, "%s%s", i != 0 ? ", " : "", raw ? figures[i].raw : figures[i].rollup);
    print_source(out, query, raw);
    for (size_t i = 0; i < query->by_count; i++)
        fprintf(out, "%s%zu", i != 0 ? ", " : " GROUP BY ", i + 1);
    /* Busiest first, but time in its order. */
    if (query->by_count != 0) {
        bool by_time = query->by[0]->time;
        fprintf(out, " ORDER BY %s", by_time ? "1" : raw ? "count(*) DESC, 1" : "sum(h.calls) DESC, 1");
        for (size_t i = 1; i < query->by_count; i++)
            fprintf(out, ", %zu", i + 1);
    }
    if (fclose(out) != 0)
        out_of_memory();
    return sql;
}
