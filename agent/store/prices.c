/* prices.c: the price lists that rows were priced by, and the usage objects that could not be understood. */
#include <errno.h>

#include "store/sqlite_store.h"

/* Providers are named by clients: beyond so many, the rest share a row. */
#define SHAPES_MAX "256"

int store_price_list(struct store *store, const struct price_list_row *row, int64_t *id)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_PRICE_LIST_FIND, "SELECT id FROM price_tables WHERE sha256=?");
    if (!statement)
        return -ENOMEM;
    bind_string(statement, 1, row->sha256);
    int result = store_step(store, statement);
    if (result < 0)
        return result;
    if (result > 0) {
        *id = sqlite3_column_int64(statement, 0);
        store_done(statement);
        return 0;
    }
    statement = store_statement(
        store, STATEMENT_PRICE_LIST_INSERT,
        "INSERT INTO price_tables(name,sha256,date,models,first_used_unix_ns) VALUES(?,?,nullif(?,''),?,?)");
    if (!statement)
        return -ENOMEM;
    bind_string(statement, 1, row->name);
    bind_string(statement, 2, row->sha256);
    bind_string(statement, 3, row->date);
    sqlite3_bind_int64(statement, 4, row->models);
    sqlite3_bind_int64(statement, 5, row->now_unix_ns);
    result = store_run(store, statement);
    if (!result)
        *id = sqlite3_last_insert_rowid(store->database);
    return result;
}

int store_unknown_shape(struct store *store, struct text provider, const char *kind, int64_t time_unix_ns)
{
    static const struct text none = {"", 0};
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_UNKNOWN_SHAPE,
        "INSERT INTO unknown_shapes(provider,kind,calls,first_unix_ns,last_unix_ns,usage_id)"
        " SELECT CASE WHEN (SELECT count(*) FROM unknown_shapes)<" SHAPES_MAX
        " OR EXISTS(SELECT 1 FROM unknown_shapes WHERE provider=?1 AND kind=?2) THEN ?1 ELSE '' END,"
        "?2,1,?3,?3,?4 WHERE true"
        " ON CONFLICT DO UPDATE SET calls=min(calls,9223372036854775806)+1,"
        "first_unix_ns=min(first_unix_ns,excluded.first_unix_ns),"
        "last_unix_ns=max(last_unix_ns,excluded.last_unix_ns),usage_id=excluded.usage_id");
    if (!statement)
        return -ENOMEM;
    bind_text(statement, 1, provider.data ? provider : none);
    bind_string(statement, 2, kind);
    sqlite3_bind_int64(statement, 3, time_unix_ns);
    sqlite3_bind_int64(statement, 4, store->next_usage_id - 1);
    return store_run(store, statement);
}
