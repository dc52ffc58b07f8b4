/* series.c: medians, spreads and ratios, and how they are printed. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct output output;

void series_start(struct series *series, const char *unit, const char *name)
{
    *series = (struct series){.name = name, .unit = unit};
}

void series_add(struct series *series, double value)
{
    if (series->count == series->room) {
        series->room = series->room > 0 ? series->room * 2 : 256;
        series->value = realloc(series->value, series->room * sizeof(double));
        if (series->value == NULL)
            give_up("out of memory");
    }
    series->value[series->count++] = value;
}

void series_free(struct series *series)
{
    free(series->value);
    series->value = NULL;
    series->count = series->room = 0;
}

struct spread {
    double low, quarter, median, three_quarters, high;
};

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

static struct spread spread_of(const double *value, size_t count)
{
    double *sorted = malloc(count * sizeof(double));
    struct spread spread;

    if (sorted == NULL || count == 0)
        give_up("nothing was measured");
    memcpy(sorted, value, count * sizeof(double));
    qsort(sorted, count, sizeof(double), ascending);
    spread = (struct spread){sorted[0], sorted[count / 4], sorted[count / 2], sorted[count * 3 / 4],
                             sorted[count - 1]};
    free(sorted);
    return spread;
}

static struct spread ratios_of(const struct series *series, const struct series *peer)
{
    size_t count = series->count < peer->count ? series->count : peer->count;
    double *ratio = malloc(count * sizeof(double));
    struct spread spread;

    if (ratio == NULL || count == 0)
        give_up("nothing was measured");
    for (size_t i = 0; i < count; i++)
        ratio[i] = series->value[i] / peer->value[i];
    spread = spread_of(ratio, count);
    free(ratio);
    return spread;
}

double series_median(const struct series *series)
{
    return spread_of(series->value, series->count).median;
}

double series_ratio(const struct series *series, const struct series *peer)
{
    return ratios_of(series, peer).median;
}

double series_share(const struct series *series, double share)
{
    double *sorted = malloc(series->count * sizeof(double));
    double value;

    if (sorted == NULL || series->count == 0)
        give_up("nothing was measured");
    memcpy(sorted, series->value, series->count * sizeof(double));
    qsort(sorted, series->count, sizeof(double), ascending);
    value = sorted[(size_t)((double)(series->count - 1) * share)];
    free(sorted);
    return value;
}

/* ---- output -------------------------------------------------------------------------- */

void output_begin(bool json)
{
    output.json = json;
    output.first = true;
    if (json)
        printf("{\"schema\": 1, \"results\": [");
}

void output_end(void)
{
    if (output.json)
        printf("\n]}\n");
    fflush(stdout);
}

void output_section(const char *title, const char *note)
{
    output.part = title;
    if (output.json)
        return;
    printf("\n%s\n  %s\n\n  %-40s %7s %-6s %20s %20s   %s\n", title, note, "", "median", "", "middle half",
           "least .. most", "tally : peer (middle half)");
    fflush(stdout);
}

static const char *figure(char text[32], double value)
{
    snprintf(text, 32, value < 100 ? "%.1f" : "%.0f", value);
    return text;
}

/* `low .. high` */
static const char *range(char text[72], double low, double high)
{
    char first[32];
    char second[32];

    snprintf(text, 72, "%s .. %s", figure(first, low), figure(second, high));
    return text;
}

static void begin_line(const struct series *series)
{
    struct spread spread = spread_of(series->value, series->count);
    char median[32];
    char middle[72];
    char whole[72];

    if (output.json)
        printf("%s\n  {\"part\": \"%s\", \"name\": \"%s\", \"unit\": \"%s\", \"rounds\": %zu, \"median\": "
               "%.6g, \"quarter\": "
               "%.6g, "
               "\"three_quarters\": %.6g, \"least\": %.6g, \"most\": %.6g",
               output.first ? "" : ",", output.part, series->name, series->unit, series->count, spread.median,
               spread.quarter, spread.three_quarters, spread.low, spread.high);
    else
        printf("  %-40s %7s %-6s %20s %20s", series->name, figure(median, spread.median), series->unit,
               range(middle, spread.quarter, spread.three_quarters), range(whole, spread.low, spread.high));
    output.first = false;
}

static void end_line(void)
{
    printf(output.json ? "}" : "\n");
    fflush(stdout);
}

void output_series(const struct series *series, const char *aim, bool met)
{
    begin_line(series);
    if (aim != NULL && output.json)
        printf(", \"aim\": \"%s\", \"met\": %s", aim, met ? "true" : "false");
    else if (aim != NULL)
        printf("   aim: %s: %s", aim, met ? "met" : "NOT met");
    end_line();
}

void output_peer(const struct series *peer, const struct series *series)
{
    struct spread ratio = ratios_of(series, peer);

    begin_line(peer);
    if (output.json)
        printf(", \"ratio_of\": \"%s\", \"ratio\": %.4g, \"ratio_quarter\": %.4g, \"ratio_three_quarters\": "
               "%.4g",
               series->name, ratio.median, ratio.quarter, ratio.three_quarters);
    else
        printf("   %.2f (%.2f .. %.2f)", ratio.median, ratio.quarter, ratio.three_quarters);
    end_line();
}

void output_missing(const char *name, const char *why)
{
    if (output.json)
        printf("%s\n  {\"part\": \"%s\", \"name\": \"%s\", \"missing\": \"%s\"}", output.first ? "" : ",",
               output.part, name, why);
    else
        printf("  %-40s %s\n", name, why);
    output.first = false;
    fflush(stdout);
}

void output_note(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (output.json) {
        printf("%s\n  {\"part\": \"%s\", \"note\": \"%s\"}", output.first ? "" : ",", output.part, text);
        output.first = false;
    } else {
        printf("  %s\n", text);
    }
}
