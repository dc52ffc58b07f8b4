/* output.c: what was measured, as a table while it is measured, as one JSON document, and at the end what was aimed for. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOALS_MAX 64

struct goal {
    const char *part;
    const char *measure;
    const char *aim;
    char figure[96];
    enum goal_state state;
};

static struct {
    bool table;
    FILE *json;       /* NULL: none is asked for */
    bool first;       /* of the JSON results */
    const char *part; /* the section's title */
    struct goal goal[GOALS_MAX];
    size_t goals;
} output;

static void json_text(const char *text)
{
    fputc('"', output.json);
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\')
            fprintf(output.json, "\\%c", *text);
        else
            fputc((unsigned char)*text < ' ' ? ' ' : *text, output.json);
    fputc('"', output.json);
}

static void json_member(const char *name, const char *text)
{
    fprintf(output.json, ", \"%s\": ", name);
    json_text(text);
}

/* One of the results; the caller adds members and a brace. */
static bool json_result(void)
{
    if (output.json == NULL)
        return false;
    fprintf(output.json, "%s\n  {\"part\": ", output.first ? "" : ",");
    json_text(output.part != NULL ? output.part : "");
    output.first = false;
    return true;
}

void output_begin(bool table, FILE *json, const char *machine)
{
    output.table = table;
    output.json = json;
    output.first = true;
    if (json == NULL)
        return;
    setvbuf(json, NULL, _IONBF, 0); /* children that exit would write the same once more */
    fprintf(json, "{\"schema\": 2, \"machine\": ");
    json_text(machine);
    fprintf(json, ", \"results\": [");
}

void output_section(const char *title, const char *note)
{
    output.part = title;
    if (!output.table)
        return;
    printf("\n%s\n  %s\n\n  %-56s %7s %-6s %20s %20s   %s\n", title, note, "", "median", "", "middle half",
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

static void print_line(const struct series *series, const struct spread *spread, const struct spread *ratio)
{
    char median[32];
    char middle[72];
    char whole[72];

    printf("  %-56s %7s %-6s %20s %20s", series->name, figure(median, spread->median), series->unit,
           range(middle, spread->quarter, spread->three_quarters), range(whole, spread->low, spread->high));
    if (ratio != NULL)
        printf("   %.2f (%.2f .. %.2f)", ratio->median, ratio->quarter, ratio->three_quarters);
    printf("\n");
    fflush(stdout);
}

static void print_json(const struct series *series, const struct spread *spread, const char *of,
                       const struct spread *ratio)
{
    json_member("name", series->name);
    json_member("unit", series->unit);
    fprintf(output.json,
            ", \"rounds\": %zu, \"median\": %.6g, \"quarter\": %.6g, \"three_quarters\": %.6g, \"least\": "
            "%.6g, \"most\": %.6g",
            series->count, spread->median, spread->quarter, spread->three_quarters, spread->low,
            spread->high);
    if (series->count >= 100)
        fprintf(output.json, ", \"p99\": %.6g", series_share(series, 0.99));
    if (series->count >= 1000)
        fprintf(output.json, ", \"p999\": %.6g", series_share(series, 0.999));
    if (ratio != NULL) {
        json_member("ratio_of", of);
        fprintf(output.json, ", \"ratio\": %.4g, \"ratio_quarter\": %.4g, \"ratio_three_quarters\": %.4g",
                ratio->median, ratio->quarter, ratio->three_quarters);
    }
    fprintf(output.json, "}");
}

static void line(const struct series *series, const char *of, const struct spread *ratio)
{
    struct spread spread = series_spread(series);

    if (output.table)
        print_line(series, &spread, ratio);
    if (json_result())
        print_json(series, &spread, of, ratio);
}

void output_series(const struct series *series)
{
    line(series, NULL, NULL);
}

void output_peer(const struct series *peer, const struct series *series)
{
    struct spread ratio = series_ratios(series, peer);

    line(peer, series->name, &ratio);
}

void output_missing(const char *name, const char *why)
{
    if (output.table)
        printf("  %-56s %s\n", name, why);
    if (json_result()) {
        json_member("name", name);
        json_member("missing", why);
        fprintf(output.json, "}");
    }
}

void output_note(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (output.table)
        printf("  %s\n", text);
    if (json_result()) {
        json_member("note", text);
        fprintf(output.json, "}");
    }
}

/* ---- goals ---------------------------------------------------------------------------- */

static const char *const states[] = {
    [GOAL_MISSED] = "NOT met", [GOAL_MET] = "met", [GOAL_STATED] = "stated", [GOAL_UNKNOWN] = "not measured"};

void output_goal(const char *measure, const char *aim, enum goal_state state, const char *format, ...)
{
    struct goal *goal = &output.goal[output.goals];
    va_list arguments;

    if (output.goals == GOALS_MAX)
        give_up("more than %d goals", GOALS_MAX);
    output.goals++;
    *goal = (struct goal){.part = output.part, .measure = measure, .aim = aim, .state = state};
    va_start(arguments, format);
    vsnprintf(goal->figure, sizeof(goal->figure), format, arguments);
    va_end(arguments);
    if (output.table)
        printf("  Goal, %s, %s: %s (%s).\n", measure, aim, states[state], goal->figure);
}

static void print_goals(void)
{
    printf("\nGoals\n\n  %-50s %-42s %-12s %s\n", "measure", "aim", "", "figure");
    for (size_t i = 0; i < output.goals; i++)
        printf("  %-50s %-42s %-12s %s\n", output.goal[i].measure, output.goal[i].aim,
               states[output.goal[i].state], output.goal[i].figure);
}

void output_end(void)
{
    if (output.table && output.goals > 0)
        print_goals();
    fflush(stdout);
    if (output.json == NULL)
        return;
    fprintf(output.json, "\n], \"goals\": [");
    for (size_t i = 0; i < output.goals; i++) {
        const struct goal *goal = &output.goal[i];

        fprintf(output.json, "%s\n  {\"part\": ", i > 0 ? "," : "");
        json_text(goal->part);
        json_member("measure", goal->measure);
        json_member("aim", goal->aim);
        json_member("figure", goal->figure);
        json_member("state", states[goal->state]);
        fprintf(output.json, "}");
    }
    fprintf(output.json, "\n]}\n");
    if (fflush(output.json) != 0 || ferror(output.json))
        give_up("the JSON document cannot be written");
}
