/* rollup.c: sums in `usage_hourly`. They never overflow: SQLite would turn an integer that does
 * into a floating-point number, which is no money. They stop at INT64_MAX. */
#include <errno.h>

#include "store/sqlite_store.h"

/* Kept is >= 0; the difference d may be negative. min() makes room first, so that the + cannot overflow. */
#define ADDED(kept, d) "max(0,min(" kept ",9223372036854775807-max(" d ",0))+" d ")"

#define COLUMN(name) #name ","
#define MARK(name)   "?,"
#define ADD(name)    #name "=" ADDED(#name, "excluded." #name) ","

/* A sum that is NULL as long as no call states it; `calls` is how many do. */
#define ADD_KNOWN(name, calls)                                                                               \
#name "=CASE WHEN " calls ">0 THEN " ADDED("ifnull(" #name ",0)", "ifnull(excluded." #name ",0)") " END"

static const char add_sql[] =
    "INSERT INTO usage_hourly(hour_unix_s," ROLLUP_TEXTS(COLUMN) "status," ROLLUP_SUMS(
        COLUMN) "provider_cost_picodollars,cost_picodollars) "
                "VALUES(?," ROLLUP_TEXTS(MARK) "?," ROLLUP_SUMS(
                    MARK) "?,?)"
                          " ON "
                          "CONFLICT DO "
                          "UPDATE "
                          "SET"
                          " " ROLLUP_SUMS(ADD) ADD_KNOWN(
                              provider_cost_picodollars,
                              "prov"
                              "ider"
                              "_cos"
                              "t_"
                              "call"
                              "s+"
                              "excl"
                              "uded"
                              ".pro"
                              "vide"
                              "r_"
                              "cost"
                              "_cal"
                              "ls") "," ADD_KNOWN(cost_picodollars,
                                                  "calls+excluded.calls-cost_unknown-excluded.cost_unknown");

static const char delete_sql[] =
    "DELETE FROM usage_hourly WHERE hour_unix_s=? AND provider=? AND request_model=? AND service=? AND team=?"
    " AND project=? AND key_fingerprint=? AND status=? AND calls<=0";

static const char *const status_names[] = {"ok", "error", "cancelled", "aborted"};

static int bind_key(sqlite3_stmt *statement, const struct rollup_row *row)
{
    int column = 1;
    sqlite3_bind_int64(statement, column++, row->hour_unix_s);
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++)
        bind_text(statement, column++, row->texts[i]);
    bind_string(statement, column++, status_names[row->status & 3]);
    return column;
}

int store_rollup_add(struct store *store, const struct rollup_row *row)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_ROLLUP_ADD, add_sql);
    if (!statement)
        return -ENOMEM;
    int column = bind_key(statement, row);
    for (int i = 0; i < ROLLUP_provider_cost_picodollars; i++)
        sqlite3_bind_int64(statement, column++, row->sums[i]);
    /* On insertion: NULL if no call states it. */
    if (row->sums[ROLLUP_provider_cost_calls] || row->sums[ROLLUP_provider_cost_picodollars])
        sqlite3_bind_int64(statement, column, row->sums[ROLLUP_provider_cost_picodollars]);
    if (row->sums[ROLLUP_calls] != row->sums[ROLLUP_cost_unknown] || row->sums[ROLLUP_cost_picodollars])
        sqlite3_bind_int64(statement, column + 1, row->sums[ROLLUP_cost_picodollars]);
    int result = store_run(store, statement);
    if (result || row->sums[ROLLUP_calls] > 0)
        return result;
    statement = store_statement(store, STATEMENT_ROLLUP_DELETE, delete_sql);
    if (!statement)
        return -ENOMEM;
    bind_key(statement, row);
    return store_run(store, statement);
}
