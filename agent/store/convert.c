/* convert.c: rows of the second schema become rows of the third, a slice in a transaction, in the order of their ids.
 *
 * Each is read in its columns and written as a new call's would be, so that there is one way into the new tables. Memory is
 * that of one slice, and so is the log; what a slice gives free in the file the next ones use.
 *
 * Killed right here: a row is in one place or the other, and the version says that there may be more: the next agent
 * goes on. Readers wait for the fourth version; until then they say that tallyd is to be started.
 */
#include <errno.h>

#include "store/usage.h"

/* A slice takes some tens of milliseconds: a commit and what it costs are little beside that. */
#define SLICE_ROWS "10000"

static int move(struct store *store, sqlite3_stmt *statement, int64_t *last)
{
    struct usage_row row;
    struct usage_room room;
    int result;
    while ((result = store_step(store, statement)) > 0) {
        *last = store_read_usage(statement, &row, &room);
        result = store_usage_insert_as(store, *last, &row);
        if (result < 0) {
            store_done(statement);
            return result;
        }
    }
    return result;
}

int store_convert(struct store *store)
{
    int64_t last = INT64_MIN;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_CONVERT_EACH,
                        "SELECT " USAGE_COLUMNS " FROM usage_v2 ORDER BY id LIMIT " SLICE_ROWS);
    int result = statement ? move(store, statement, &last) : -ENOMEM;
    if (result || last == INT64_MIN)
        return result;
    statement = store_statement(store, STATEMENT_CONVERT_DELETE, "DELETE FROM usage_v2 WHERE id<=?");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, last);
    result = store_run(store, statement);
    return result ? result : 1;
}
