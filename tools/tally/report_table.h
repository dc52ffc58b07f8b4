/* report_table.h: the rows of a report and their total. */
#ifndef TALLY_TOOLS_REPORT_TABLE_H
#define TALLY_TOOLS_REPORT_TABLE_H

#include "report_query.h"
#include "table.h"

struct figures {
    wide_t value[FIGURE_COUNT];
    bool known[FIGURE_COUNT]; /* false: no call states it */
};

struct report_table {
    const struct report_query *query;
    char *titles[DIMENSIONS_MAX];
    struct table *table;
    struct figures total;
};

void report_table_begin(struct report_table *report, const struct report_query *query);
void report_table_end(struct report_table *report);
/* One group. 0, or -ERANGE if a total does not fit. */
int report_table_add(struct report_table *report, const char *const *groups, const size_t *lengths,
                     const struct figures *figures);
/* The total as a last row, for people. */
void report_table_total(struct report_table *report);
cJSON *report_table_total_json(const struct report_table *report);

#endif
