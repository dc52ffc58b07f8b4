#include "table.h"
#include "command.h"
#include "document.h"
#include "text.h"

#include <langinfo.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define SHRINK_LEAST 8u
#define GAP          1u /* between columns */

enum cell_kind { CELL_NOTHING = 0, CELL_TEXT, CELL_INTEGER, CELL_BOOL };

struct cell {
    enum cell_kind kind;
    char *bytes; /* CELL_TEXT */
    size_t length;
    wide_t number; /* CELL_INTEGER, CELL_BOOL */
    char *shown;   /* for people, or NULL */
};

struct table {
    struct table_column *columns;
    size_t column_count;
    size_t *least;  /* widths as printed before */
    bool *left_out; /* in what was printed last */
    bool continued;
    struct cell *cells; /* row by row */
    size_t row_count;
    size_t row_capacity;
};

struct table *table_new(const struct table_column *columns, size_t count)
{
    struct table *table = must_allocate(sizeof(*table));

    table->columns = must_allocate(count * sizeof(*columns));
    memcpy(table->columns, columns, count * sizeof(*columns));
    table->column_count = count;
    table->least = must_allocate(count * sizeof(size_t));
    table->left_out = must_allocate(count * sizeof(bool));
    return table;
}

static void free_rows(struct table *table)
{
    for (size_t i = 0; i < table->row_count * table->column_count; i++) {
        free(table->cells[i].bytes);
        free(table->cells[i].shown);
    }
    table->row_count = 0;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    free_rows(table);
    free(table->cells);
    free(table->least);
    free(table->left_out);
    free(table->columns);
    free(table);
}

void table_continue(struct table *table)
{
    free_rows(table);
    table->continued = true;
}

size_t table_rows(const struct table *table)
{
    return table->row_count;
}

void table_row(struct table *table)
{
    if (table->row_count == table->row_capacity) {
        table->row_capacity = table->row_capacity * 2 + 16;
        table->cells =
            must_resize(table->cells, table->row_capacity, table->column_count * sizeof(*table->cells));
    }
    memset(table->cells + table->row_count * table->column_count, 0,
           table->column_count * sizeof(*table->cells));
    table->row_count++;
}

static struct cell *cell_of(const struct table *table, size_t row, size_t column)
{
    return &table->cells[row * table->column_count + column];
}

static struct cell *fresh_cell(struct table *table, size_t column)
{
    struct cell *cell = cell_of(table, table->row_count - 1, column);

    free(cell->bytes);
    free(cell->shown);
    memset(cell, 0, sizeof(*cell));
    return cell;
}

void table_bytes(struct table *table, size_t column, const char *bytes, size_t length)
{
    struct cell *cell = fresh_cell(table, column);

    if (bytes == NULL)
        return;
    cell->kind = CELL_TEXT;
    cell->bytes = must_allocate(length + 1);
    memcpy(cell->bytes, bytes, length);
    cell->length = length;
}

void table_text(struct table *table, size_t column, const char *text)
{
    table_bytes(table, column, text, text != NULL ? strlen(text) : 0);
}

void table_integer(struct table *table, size_t column, wide_t number)
{
    struct cell *cell = fresh_cell(table, column);

    cell->kind = CELL_INTEGER;
    cell->number = number;
}

void table_bool(struct table *table, size_t column, bool value)
{
    struct cell *cell = fresh_cell(table, column);

    cell->kind = CELL_BOOL;
    cell->number = value;
}

void table_show(struct table *table, size_t column, const char *format, ...)
{
    struct cell *cell = cell_of(table, table->row_count - 1, column);
    va_list arguments;

    free(cell->shown);
    va_start(arguments, format);
    int length = vasprintf(&cell->shown, format, arguments);
    va_end(arguments);
    if (length < 0)
        cell->shown = must_copy("?");
}

/* ---- for people --------------------------------------------------------------------------- */

static char *cell_shown(const struct cell *cell)
{
    char number[NUMBER_BYTES];

    if (cell->shown != NULL)
        return text_shown(cell->shown, strlen(cell->shown));
    switch (cell->kind) {
    case CELL_TEXT:
        return cell->length != 0 ? text_shown(cell->bytes, cell->length) : must_copy("-");
    case CELL_INTEGER:
        return must_copy(number_text(cell->number, number));
    case CELL_BOOL:
        return must_copy(cell->number != 0 ? "yes" : "no");
    default:
        return must_copy("-");
    }
}

/* Columns of a terminal that a (safe) text takes. */
static size_t text_width(const char *text)
{
    size_t length = mbstowcs(NULL, text, 0);

    if (length == (size_t)-1)
        return strlen(text);
    wchar_t *wide = must_allocate((length + 1) * sizeof(*wide));
    mbstowcs(wide, text, length + 1);
    int width = wcswidth(wide, length);
    free(wide);
    return width < 0 ? strlen(text) : (size_t)width;
}

/* Shorten in place to `width` terminal columns, the last of them an ellipsis, so that nobody takes
 * "gpt-4o" for "gpt-4o-mini" cut short. The text has room: an ellipsis is no longer than what it replaces. */
static char *shortened(char *text, size_t width)
{
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    size_t taken = 0;
    size_t at = 0;

    if (text_width(text) <= width)
        return text;
    while (text[at] != '\0') {
        wchar_t wide;
        int step = mbtowc(&wide, text + at, MB_CUR_MAX);
        int columns = step > 0 ? wcwidth(wide) : 1;
        if (step <= 0)
            step = 1;
        if (taken + (columns > 0 ? (size_t)columns : 0) > width - 1)
            break;
        taken += columns > 0 ? (size_t)columns : 0;
        at += (size_t)step;
    }
    char *result = must_print("%.*s%s", (int)at, text, utf8 ? "\u2026" : "~");
    free(text);
    return result;
}

struct layout {
    char **shown;  /* row by row, as cells */
    size_t *width; /* of each column; 0: left out */
};

static size_t layout_width(const struct table *table, const struct layout *layout)
{
    size_t sum = 0;

    for (size_t c = 0; c < table->column_count; c++)
        sum += layout->width[c] != 0 ? layout->width[c] + GAP : 0;
    return sum > GAP ? sum - GAP : 0;
}

/* How narrow a text's column may become: its heading stays whole. */
static size_t least_width(const struct table *table, size_t column)
{
    size_t title = text_width(table->columns[column].title);

    return title > SHRINK_LEAST ? title : SHRINK_LEAST;
}

/* Width if every text were as short as it may be. */
static size_t layout_least(const struct table *table, const struct layout *layout)
{
    size_t sum = layout_width(table, layout);

    for (size_t c = 0; c < table->column_count; c++) {
        if ((table->columns[c].flags & TABLE_SHRINK) != 0 && layout->width[c] > least_width(table, c))
            sum -= layout->width[c] - least_width(table, c);
    }
    return sum;
}

static size_t leave_out(struct table *table, struct layout *layout, size_t width)
{
    size_t left_out = 0;

    while (layout_least(table, layout) > width) {
        size_t worst = table->column_count;
        for (size_t c = 0; c < table->column_count; c++) {
            if (layout->width[c] != 0 && table->columns[c].leave > 0 &&
                (worst == table->column_count || table->columns[c].leave > table->columns[worst].leave))
                worst = c;
        }
        if (worst == table->column_count)
            break;
        layout->width[worst] = 0;
        table->left_out[worst] = true;
        left_out++;
    }
    return left_out;
}

static void shrink(const struct table *table, struct layout *layout, size_t width)
{
    while (layout_width(table, layout) > width) {
        size_t widest = table->column_count;
        for (size_t c = 0; c < table->column_count; c++) {
            if ((table->columns[c].flags & TABLE_SHRINK) != 0 && layout->width[c] > least_width(table, c) &&
                (widest == table->column_count || layout->width[c] > layout->width[widest]))
                widest = c;
        }
        if (widest == table->column_count)
            return;
        layout->width[widest]--;
    }
}

static size_t lay_out(struct table *table, struct layout *layout, size_t width)
{
    size_t left_out = 0;

    layout->shown = must_allocate(table->row_count * table->column_count * sizeof(char *));
    layout->width = must_allocate(table->column_count * sizeof(size_t));
    for (size_t c = 0; c < table->column_count; c++) {
        if ((table->columns[c].flags & TABLE_DATA) != 0)
            continue;
        layout->width[c] = text_width(table->columns[c].title);
        if (table->least[c] > layout->width[c])
            layout->width[c] = table->least[c];
        for (size_t r = 0; r < table->row_count; r++) {
            char *shown = cell_shown(cell_of(table, r, c));
            size_t wide = text_width(shown);
            layout->shown[r * table->column_count + c] = shown;
            if (wide > layout->width[c])
                layout->width[c] = wide;
        }
    }
    memcpy(table->least, layout->width, table->column_count * sizeof(size_t));
    if (width != 0) {
        left_out = leave_out(table, layout, width);
        shrink(table, layout, width);
    }
    return left_out;
}

/* A first row as wide as its columns holds all others to it. */
static char *padded(char *text, size_t width, bool right)
{
    size_t taken = text_width(text);
    int spaces = width > taken ? (int)(width - taken) : 0;
    char *result = right ? must_print("%*s%s", spaces, "", text) : must_print("%s%*s", text, spaces, "");

    free(text);
    return result;
}

static void add_line(const struct table *table, struct layout *layout, struct libscols_table *lines,
                     size_t row)
{
    struct libscols_line *line = scols_table_new_line(lines, NULL);
    size_t last = table->column_count;
    size_t at = 0;

    while (last > 0 && layout->width[last - 1] == 0)
        last--;
    for (size_t c = 0; c < table->column_count; c++) {
        char **shown = &layout->shown[row * table->column_count + c];
        if (layout->width[c] == 0)
            continue;
        if ((table->columns[c].flags & TABLE_SHRINK) != 0)
            *shown = shortened(*shown, layout->width[c]);
        bool right = (table->columns[c].flags & TABLE_RIGHT) != 0;
        if (row == 0 && (right || c + 1 < last))
            *shown = padded(*shown, layout->width[c], right);
        if (line == NULL || scols_line_set_data(line, at++, *shown) != 0)
            out_of_memory();
    }
}

size_t table_print(struct table *table, FILE *out, size_t width)
{
    struct layout layout;
    struct libscols_table *lines = scols_new_table();
    size_t left_out = lay_out(table, &layout, width);

    if (lines == NULL)
        out_of_memory();
    scols_table_set_stream(lines, out);
    scols_table_enable_noencoding(lines, 1); /* text_shown() has done it */
    scols_table_enable_noheadings(lines, table->continued);
    /* The widths are settled here; the library sets columns side by side. */
    scols_table_set_termforce(lines, SCOLS_TERMFORCE_NEVER);
    for (size_t c = 0; c < table->column_count; c++) {
        if (layout.width[c] != 0)
            scols_table_new_column(lines, table->columns[c].title, 0,
                                   (table->columns[c].flags & TABLE_RIGHT) != 0 ? SCOLS_FL_RIGHT : 0);
    }
    for (size_t r = 0; r < table->row_count; r++)
        add_line(table, &layout, lines, r);
    scols_print_table(lines);
    scols_unref_table(lines);
    for (size_t i = 0; i < table->row_count * table->column_count; i++)
        free(layout.shown[i]);
    free(layout.shown);
    free(layout.width);
    return left_out;
}

static size_t terminal_width(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO))
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

void table_print_here(struct table *table)
{
    size_t left_out = table_print(table, stdout, terminal_width());
    const char *comma = "";

    if (left_out == 0 || table->continued)
        return;
    fputs("(left out for want of width: ", stdout);
    for (size_t c = 0; c < table->column_count; c++) {
        if (table->left_out[c]) {
            printf("%s%s", comma, table->columns[c].name);
            comma = ", ";
        }
    }
    puts(")");
}

/* ---- for programs ---------------------------------------------------------------------------- */

void table_csv_heading(const struct table *table, FILE *out)
{
    const char *comma = "";

    for (size_t c = 0; c < table->column_count; c++) {
        if ((table->columns[c].flags & TABLE_PEOPLE) != 0)
            continue;
        char *heading = text_csv(table->columns[c].name);
        fprintf(out, "%s%s", comma, heading);
        free(heading);
        comma = ",";
    }
    fputc('\n', out);
}

static char *cell_csv(const struct cell *cell, bool terminal)
{
    char number[NUMBER_BYTES];

    switch (cell->kind) {
    case CELL_TEXT:
        break;
    case CELL_INTEGER:
        return must_copy(number_text(cell->number, number));
    case CELL_BOOL:
        return must_copy(cell->number != 0 ? "true" : "false");
    default:
        return must_copy("");
    }
    char *safe =
        terminal ? text_shown(cell->bytes, cell->length) : text_safe(cell->bytes, cell->length, TEXT_LINES);
    char *quoted = text_csv(safe);
    free(safe);
    return quoted;
}

void table_csv(const struct table *table, FILE *out, bool terminal)
{
    for (size_t r = 0; r < table->row_count; r++) {
        const char *comma = "";
        for (size_t c = 0; c < table->column_count; c++) {
            if ((table->columns[c].flags & TABLE_PEOPLE) != 0)
                continue;
            char *text = cell_csv(cell_of(table, r, c), terminal);
            fprintf(out, "%s%s", comma, text);
            free(text);
            comma = ",";
        }
        fputc('\n', out);
    }
}

cJSON *table_json_row(const struct table *table, size_t row)
{
    cJSON *object = document_object();

    for (size_t c = 0; c < table->column_count; c++) {
        const struct cell *cell = cell_of(table, row, c);
        const char *name = table->columns[c].name;
        if ((table->columns[c].flags & TABLE_PEOPLE) != 0)
            continue;
        if (cell->kind == CELL_TEXT)
            document_bytes(object, name, cell->bytes, cell->length);
        else if (cell->kind == CELL_INTEGER)
            document_integer(object, name, cell->number);
        else if (cell->kind == CELL_BOOL)
            document_bool(object, name, cell->number != 0);
        else
            document_text(object, name, NULL);
    }
    return object;
}

cJSON *table_json(const struct table *table)
{
    cJSON *array = document_array();

    for (size_t r = 0; r < table->row_count; r++)
        document_append(array, table_json_row(table, r));
    return array;
}
