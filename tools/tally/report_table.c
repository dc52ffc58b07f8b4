#include "report_table.h"
#include "command.h"

#include <ctype.h>
#include <string.h>

/* Columns after the dimensions. */
enum column {
    COLUMN_CALLS,
    COLUMN_ERRORS,
    COLUMN_CANCELLED,
    COLUMN_ABORTED,
    COLUMN_ESTIMATED,
    COLUMN_INPUT,
    COLUMN_OUTPUT,
    COLUMN_CACHE_READ,
    COLUMN_CACHE_WRITE, /* for people: the next two together */
    COLUMN_CACHE_WRITE_5M,
    COLUMN_CACHE_WRITE_1H,
    COLUMN_REASONING,
    COLUMN_INPUT_AUDIO,
    COLUMN_OUTPUT_AUDIO,
    COLUMN_INPUT_IMAGE,
    COLUMN_OUTPUT_IMAGE,
    COLUMN_INPUT_UNKNOWN,
    COLUMN_OUTPUT_UNKNOWN,
    COLUMN_AVERAGE,
    COLUMN_STATED,
    COLUMN_STATED_USD,
    COLUMN_STATED_UNKNOWN,
    COLUMN_COST,
    COLUMN_COST_USD,
    COLUMN_COST_UNKNOWN,
    COLUMN_COUNT
};

/* clang-format off */
static const struct table_column columns[COLUMN_COUNT] = {
    [COLUMN_CALLS]          = {"calls", "CALLS", TABLE_RIGHT, 0},
    [COLUMN_ERRORS]         = {"errors", "ERRORS", TABLE_RIGHT, 5},
    [COLUMN_CANCELLED]      = {"cancelled", "CANCELLED", TABLE_RIGHT, 9},
    [COLUMN_ABORTED]        = {"aborted", "ABORTED", TABLE_RIGHT, 6},
    [COLUMN_ESTIMATED]      = {"estimated", "", TABLE_DATA, 0},
    [COLUMN_INPUT]          = {"input_tokens", "INPUT", TABLE_RIGHT, 0},
    [COLUMN_OUTPUT]         = {"output_tokens", "OUTPUT", TABLE_RIGHT, 0},
    [COLUMN_CACHE_READ]     = {"cache_read_tokens", "CACHE READ", TABLE_RIGHT, 7},
    [COLUMN_CACHE_WRITE]    = {"cache_write_tokens", "CACHE WRITE", TABLE_RIGHT | TABLE_PEOPLE, 8},
    [COLUMN_CACHE_WRITE_5M] = {"cache_write_5m_tokens", "", TABLE_DATA, 0},
    [COLUMN_CACHE_WRITE_1H] = {"cache_write_1h_tokens", "", TABLE_DATA, 0},
    [COLUMN_REASONING]      = {"reasoning_tokens", "REASONING", TABLE_RIGHT, 8},
    [COLUMN_INPUT_AUDIO]    = {"input_audio_tokens", "", TABLE_DATA, 0},
    [COLUMN_OUTPUT_AUDIO]   = {"output_audio_tokens", "", TABLE_DATA, 0},
    [COLUMN_INPUT_IMAGE]    = {"input_image_tokens", "", TABLE_DATA, 0},
    [COLUMN_OUTPUT_IMAGE]   = {"output_image_tokens", "", TABLE_DATA, 0},
    [COLUMN_INPUT_UNKNOWN]  = {"input_tokens_unknown", "", TABLE_DATA, 0},
    [COLUMN_OUTPUT_UNKNOWN] = {"output_tokens_unknown", "", TABLE_DATA, 0},
    [COLUMN_AVERAGE]        = {"average_duration_ns", "AVG TIME", TABLE_RIGHT, 4},
    [COLUMN_STATED]         = {"provider_cost_picodollars", "STATED COST", TABLE_RIGHT, 3},
    [COLUMN_STATED_USD]     = {"provider_cost_usd", "", TABLE_DATA, 0},
    [COLUMN_STATED_UNKNOWN] = {"provider_cost_unknown", "", TABLE_DATA, 0},
    [COLUMN_COST]           = {"cost_picodollars", "COST", TABLE_RIGHT, 2},
    [COLUMN_COST_USD]       = {"cost_usd", "", TABLE_DATA, 0},
    [COLUMN_COST_UNKNOWN]   = {"cost_unknown", "", TABLE_DATA, 0},
};
/* clang-format on */

static struct table *make_table(const struct report_table *report, size_t dimensions)
{
    struct table_column all[DIMENSIONS_MAX + COLUMN_COUNT];

    for (size_t i = 0; i < dimensions; i++)
        all[i] = (struct table_column){report->query->by[i]->name, report->titles[i], TABLE_SHRINK, 0};
    memcpy(all + dimensions, columns, sizeof(columns));
    return table_new(all, dimensions + COLUMN_COUNT);
}

void report_table_begin(struct report_table *report, const struct report_query *query)
{
    memset(report, 0, sizeof(*report));
    report->query = query;
    for (size_t i = 0; i < query->by_count; i++) {
        report->titles[i] = must_copy(query->by[i]->name);
        for (char *c = report->titles[i]; *c != '\0'; c++)
            *c = (char)(*c == '_' ? ' ' : toupper((unsigned char)*c));
    }
    report->table = make_table(report, query->by_count);
}

void report_table_end(struct report_table *report)
{
    table_free(report->table);
    for (size_t i = 0; i < report->query->by_count; i++)
        free(report->titles[i]);
}

/* ---- cells ------------------------------------------------------------------------------------ */

static void fill_count(struct table *table, size_t at, enum column column, wide_t value)
{
    table_integer(table, at + column, value);
    if (value == 0)
        table_show(table, at + column, "-");
}

/* A sum of tokens, and over how many calls it is not known. */
static void fill_tokens(struct table *table, size_t at, enum column column, const struct figures *figures,
                        enum report_figure sum, enum report_figure unknown)
{
    if (figures->value[unknown] >= figures->value[FIGURE_calls])
        table_show(table, at + column, "unknown");
    else
        table_integer(table, at + column, figures->value[sum]);
}

static void fill_cost(struct table *table, size_t at, enum column column, bool known, wide_t sum,
                      wide_t unknown)
{
    char money[NUMBER_BYTES];
    char calls[NUMBER_BYTES];

    table_integer(table, at + column + 2, unknown);
    if (!known) {
        table_show(table, at + column, "unknown");
        return;
    }
    table_integer(table, at + column, sum);
    table_text(table, at + column + 1, money_text(sum, money));
    if (unknown == 0)
        table_show(table, at + column, "%s", money);
    else
        table_show(table, at + column, "%s + %s unknown", money, number_text(unknown, calls));
}

static void fill_average(struct table *table, size_t at, const struct figures *figures)
{
    wide_t calls = figures->value[FIGURE_calls] - figures->value[FIGURE_duration_unknown];
    char text[NUMBER_BYTES];

    if (calls <= 0) {
        table_show(table, at + COLUMN_AVERAGE, "unknown");
        return;
    }
    wide_t average = figures->value[FIGURE_duration_ns] / calls;
    table_integer(table, at + COLUMN_AVERAGE, average);
    table_show(table, at + COLUMN_AVERAGE, "%s", duration_text((int64_t)average, text));
}

static void fill(struct table *table, size_t at, const struct figures *f)
{
    table_integer(table, at + COLUMN_CALLS, f->value[FIGURE_calls]);
    fill_count(table, at, COLUMN_ERRORS, f->value[FIGURE_errors]);
    fill_count(table, at, COLUMN_CANCELLED, f->value[FIGURE_cancelled]);
    fill_count(table, at, COLUMN_ABORTED, f->value[FIGURE_aborted]);
    fill_count(table, at, COLUMN_ESTIMATED, f->value[FIGURE_estimated]);
    fill_tokens(table, at, COLUMN_INPUT, f, FIGURE_input_tokens, FIGURE_input_tokens_unknown);
    fill_tokens(table, at, COLUMN_OUTPUT, f, FIGURE_output_tokens, FIGURE_output_tokens_unknown);
    fill_count(table, at, COLUMN_CACHE_READ, f->value[FIGURE_cache_read_tokens]);
    fill_count(table, at, COLUMN_CACHE_WRITE,
               f->value[FIGURE_cache_write_5m_tokens] + f->value[FIGURE_cache_write_1h_tokens]);
    fill_count(table, at, COLUMN_CACHE_WRITE_5M, f->value[FIGURE_cache_write_5m_tokens]);
    fill_count(table, at, COLUMN_CACHE_WRITE_1H, f->value[FIGURE_cache_write_1h_tokens]);
    fill_count(table, at, COLUMN_REASONING, f->value[FIGURE_reasoning_tokens]);
    fill_count(table, at, COLUMN_INPUT_AUDIO, f->value[FIGURE_input_audio_tokens]);
    fill_count(table, at, COLUMN_OUTPUT_AUDIO, f->value[FIGURE_output_audio_tokens]);
    fill_count(table, at, COLUMN_INPUT_IMAGE, f->value[FIGURE_input_image_tokens]);
    fill_count(table, at, COLUMN_OUTPUT_IMAGE, f->value[FIGURE_output_image_tokens]);
    fill_count(table, at, COLUMN_INPUT_UNKNOWN, f->value[FIGURE_input_tokens_unknown]);
    fill_count(table, at, COLUMN_OUTPUT_UNKNOWN, f->value[FIGURE_output_tokens_unknown]);
    fill_average(table, at, f);
    fill_cost(table, at, COLUMN_STATED, f->value[FIGURE_provider_cost_calls] > 0,
              f->value[FIGURE_provider_cost_picodollars],
              f->value[FIGURE_calls] - f->value[FIGURE_provider_cost_calls]);
    fill_cost(table, at, COLUMN_COST, f->known[FIGURE_cost_picodollars], f->value[FIGURE_cost_picodollars],
              f->value[FIGURE_cost_unknown]);
}

/* ---- rows --------------------------------------------------------------------------------------- */

int report_table_add(struct report_table *report, const char *const *groups, const size_t *lengths,
                     const struct figures *figures)
{
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        if (number_add(&report->total.value[i], figures->value[i]) != 0)
            return -1;
        report->total.known[i] = report->total.known[i] || figures->known[i];
    }
    /* Without a group SQL makes one row of an empty time: it is no row here. */
    if (figures->value[FIGURE_calls] == 0)
        return 0;
    table_row(report->table);
    for (size_t i = 0; i < report->query->by_count; i++) {
        if (lengths[i] != 0)
            table_bytes(report->table, i, groups[i], lengths[i]);
    }
    fill(report->table, report->query->by_count, figures);
    return 0;
}

void report_table_total(struct report_table *report)
{
    size_t dimensions = report->query->by_count;

    if (dimensions == 0)
        return;
    table_row(report->table);
    for (size_t i = 0; i < dimensions; i++)
        table_show(report->table, i, "%s", i == 0 ? "TOTAL" : "");
    fill(report->table, dimensions, &report->total);
}

cJSON *report_table_total_json(const struct report_table *report)
{
    struct table *table = make_table(report, 0);

    table_row(table);
    fill(table, 0, &report->total);
    cJSON *total = table_json_row(table, 0);
    table_free(table);
    return total;
}
