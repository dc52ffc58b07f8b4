/* series.c: medians, spreads and ratios, and how they are printed. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct output output;

void series_start(struct series *series, const char *unit, const char *name, ...)
{
    va_list arguments;

    *series = (struct series){.unit = unit};
    va_start(arguments, name);
    vsnprintf(series->name, sizeof(series->name), name, arguments);
    va_end(arguments);
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
    if (output.json)
        return;
    printf("\n%s\n  %s\n\n  %-42s %11s %25s %25s   %s\n", title, note, "", "median", "middle half",
           "least .. most", "times the peer (middle half)");
    fflush(stdout);
}

static void print_json(const struct series *series, const struct series *peer, const char *aim, bool met)
{
    struct spread spread = spread_of(series->value, series->count);

    printf("%s\n  {\"name\": \"%s\", \"unit\": \"%s\", \"rounds\": %zu, \"median\": %.6g, \"quarter\": %.6g, "
           "\"three_quarters\": %.6g, \"least\": %.6g, \"most\": %.6g",
           output.first ? "" : ",", series->name, series->unit, series->count, spread.median, spread.quarter,
           spread.three_quarters, spread.low, spread.high);
    if (peer != NULL) {
        struct spread ratio = ratios_of(series, peer);

        printf(", \"peer\": \"%s\", \"ratio\": %.4g, \"ratio_quarter\": %.4g, \"ratio_three_quarters\": %.4g",
               peer->name, ratio.median, ratio.quarter, ratio.three_quarters);
    }
    if (aim != NULL)
        printf(", \"aim\": \"%s\", \"met\": %s", aim, met ? "true" : "false");
    printf("}");
    output.first = false;
}

static const char *figure(char *text, size_t bytes, double value)
{
    snprintf(text, bytes, value < 100 ? "%.1f" : "%.0f", value);
    return text;
}

void output_series(struct series *series, const struct series *peer, const char *aim, bool met)
{
    struct spread spread;
    char text[5][32];
    char middle[72];
    char whole[72];

    if (output.json) {
        print_json(series, peer, aim, met);
        return;
    }
    spread = spread_of(series->value, series->count);
    snprintf(middle, sizeof(middle), "%s .. %s", figure(text[1], 32, spread.quarter),
             figure(text[2], 32, spread.three_quarters));
    snprintf(whole, sizeof(whole), "%s .. %s", figure(text[3], 32, spread.low),
             figure(text[4], 32, spread.high));
    printf("  %-42s %4s %6s %25s %25s", series->name, figure(text[0], 32, spread.median), series->unit,
           middle, whole);
    if (peer != NULL) {
        struct spread ratio = ratios_of(series, peer);

        printf("   %.2f (%.2f .. %.2f) of %s", ratio.median, ratio.quarter, ratio.three_quarters, peer->name);
    }
    printf("\n");
    if (aim != NULL)
        printf("  %-42s %s: %s\n", "", aim, met ? "met" : "NOT met");
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
        printf("%s\n  {\"note\": \"%s\"}", output.first ? "" : ",", text);
        output.first = false;
    } else {
        printf("  %s\n", text);
    }
}
