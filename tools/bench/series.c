/* series.c: medians, spreads and ratios. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

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

struct spread series_ratios(const struct series *series, const struct series *peer)
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

struct spread series_spread(const struct series *series)
{
    return spread_of(series->value, series->count);
}

double series_median(const struct series *series)
{
    return spread_of(series->value, series->count).median;
}

double series_ratio(const struct series *series, const struct series *peer)
{
    return series_ratios(series, peer).median;
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
