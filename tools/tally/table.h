/* table.h: columns and rows, shown as a table, as JSON or as CSV.
 *
 * A cell has a value (nothing, text, a whole number, true or false) and may have a second form
 * for people. Tables fit the width they are given: columns that matter least go first, then long
 * texts are shortened with an ellipsis; numbers never are. Texts are made safe here (text.h), so that
 * callers hand over what stands in the database.
 */
#ifndef TALLY_TOOLS_TABLE_H
#define TALLY_TOOLS_TABLE_H

#include "number.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_flags {
    TABLE_RIGHT = 1,  /* numbers: to the right */
    TABLE_SHRINK = 2, /* text: may be shortened */
    TABLE_DATA = 4,   /* in JSON and CSV only */
    TABLE_PEOPLE = 8  /* in tables only */
};

struct table_column {
    const char *name;  /* in JSON and CSV */
    const char *title; /* in tables */
    unsigned flags;
    int leave; /* 0: always shown; else the highest goes first where it is narrow */
};

struct table;

struct table *table_new(const struct table_column *columns, size_t count);
void table_free(struct table *table);
size_t table_rows(const struct table *table);
/* Forget the rows. What is printed next goes on below what was: no heading, columns as wide at least. */
void table_continue(struct table *table);

/* A new last row, all of it nothing; the calls below fill it. */
void table_row(struct table *table);
void table_text(struct table *table, size_t column, const char *text); /* NULL: nothing */
void table_bytes(struct table *table, size_t column, const char *bytes, size_t length);
void table_integer(struct table *table, size_t column, wide_t number);
void table_bool(struct table *table, size_t column, bool value);
/* What people see instead of the value. Nothing is shown as "-" otherwise. */
void table_show(struct table *table, size_t column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* To a person. width 0: as wide as it gets. Returns how many columns were left out. */
size_t table_print(struct table *table, FILE *out, size_t width);
/* The same with the terminal's width (a pipe has none), and a line that names what was left out. */
void table_print_here(struct table *table);

void table_csv_heading(const struct table *table, FILE *out);
void table_csv(const struct table *table, FILE *out, bool terminal); /* rows alone */
cJSON *table_json(const struct table *table);                        /* an array of objects */
cJSON *table_json_row(const struct table *table, size_t row);

#endif
