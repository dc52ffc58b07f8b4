/* output.h: what is the same in the output of most commands. */
#ifndef TALLY_TOOLS_OUTPUT_H
#define TALLY_TOOLS_OUTPUT_H

#include "command.h"
#include "db.h"
#include "table.h"

/* One table in the format asked for. name: of the document, and of the array in it; nothing: what a person
 * reads instead of a table without rows. */
void output_table(const struct common *common, struct table *table, const char *name, const char *nothing);

/* A time as a cell. */
void output_time(struct table *table, size_t column, int64_t unix_ns);

/* The first `count` columns of a query's row as a new row of the table: numbers as numbers, all
 * else as text. */
void output_row(struct table *table, sqlite3_stmt *row, size_t count);

#endif
