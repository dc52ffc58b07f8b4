#include "output.h"
#include "document.h"
#include "when.h"

#include <stdio.h>
#include <unistd.h>

void output_table(const struct common *common, struct table *table, const char *name, const char *nothing)
{
    if (common->format == FORMAT_CSV) {
        table_csv_heading(table, stdout);
        table_csv(table, stdout, isatty(STDOUT_FILENO));
    } else if (common->format == FORMAT_JSON) {
        cJSON *document = document_new(name, 1);
        document_item(document, name, table_json(table));
        document_print(document);
    } else if (table_rows(table) != 0) {
        table_print_here(table);
    } else {
        puts(nothing);
    }
}

void output_time(struct table *table, size_t column, int64_t unix_ns)
{
    char text[WHEN_BYTES];

    table_text(table, column, when_exact(unix_ns, text));
    table_show(table, column, "%s", when_shown(unix_ns, text));
}

void output_row(struct table *table, sqlite3_stmt *row, size_t count)
{
    table_row(table);
    for (size_t column = 0; column < count; column++) {
        size_t length;
        if (sqlite3_column_type(row, (int)column) == SQLITE_INTEGER) {
            table_integer(table, column, sqlite3_column_int64(row, (int)column));
        } else {
            const char *bytes = db_text(row, (int)column, &length);
            table_bytes(table, column, bytes, length);
        }
    }
}
