/* rollup.c: sums in `usage_hourly`, and the same by the day in `usage_daily`, so that a report over months reads a
 * twentieth of the rows. They never overflow: SQLite would turn an integer that does
 * into a floating-point number, which is no money. Counts stop at INT64_MAX; money goes on in millions. */
#include <errno.h>

#include "store/sqlite_store.h"

/* Kept is >= 0; the difference d may be negative. min() makes room first, so that the + cannot overflow. */
#define ADDED(kept, d) "max(0,min(" kept ",9223372036854775807-max(" d ",0))+" d ")"

#define COLUMN(name) #name ","
#define MARK(name)   "?,"
#define ADD(name)    #name "=" ADDED(#name, "excluded." #name) ","

/* A sum of money: millions of dollars and the rest in picodollars, 0 to MILLION - 1; of the difference too, whose
 * millions may be negative. NULL as long as no call states one; `calls` is how many do. */
#define MILLION    "1000000000000000000"
#define REST(name) "(ifnull(" name "_picodollars,0)+ifnull(excluded." name "_picodollars,0))"
#define ADD_MONEY(name, calls)                                                                               \
    name "_millions=CASE WHEN " calls ">0 THEN " name "_millions+excluded." name                             \
         "_millions+" REST(name) "/" MILLION " ELSE 0 END," name "_picodollars=CASE WHEN " calls             \
                                 ">0 THEN " REST(name) "%" MILLION " END"

/* clang-format off */ /* the pieces of a statement read better as they are */
#define ADD_SQL(table, time)                                                                                 \
    "INSERT INTO " table "(" time "," ROLLUP_TEXTS(COLUMN) "status," ROLLUP_SUMS(COLUMN)                     \
    "provider_cost_millions,provider_cost_picodollars,cost_millions,cost_picodollars) "                      \
    "VALUES(?," ROLLUP_TEXTS(MARK) "?," ROLLUP_SUMS(MARK) "?,?,?,?)"                                         \
    " ON CONFLICT DO UPDATE SET " ROLLUP_SUMS(ADD)                                                           \
    ADD_MONEY("provider_cost", "provider_cost_calls+excluded.provider_cost_calls") ","                       \
    ADD_MONEY("cost", "calls+excluded.calls-cost_unknown-excluded.cost_unknown")
#define DELETE_SQL(table, time)                                                                              \
    "DELETE FROM " table " WHERE " time "=? AND provider=? AND request_model=? AND service=? AND team=?"     \
    " AND project=? AND key_fingerprint=? AND status=? AND calls<=0"
/* clang-format on */

/* Both hold the same calls: what is added to one is added to the other, in one transaction. */
static const struct span {
    int64_t seconds;
    enum statement add, remove;
    const char *add_sql, *delete_sql;
} spans[] = {
    {3600, STATEMENT_ROLLUP_ADD, STATEMENT_ROLLUP_DELETE, ADD_SQL("usage_hourly", "hour_unix_s"),
     DELETE_SQL("usage_hourly", "hour_unix_s")},
    {86400, STATEMENT_DAY_ADD, STATEMENT_DAY_DELETE, ADD_SQL("usage_daily", "day_unix_s"),
     DELETE_SQL("usage_daily", "day_unix_s")},
};

static const char *const status_names[] = {"ok", "error", "cancelled", "aborted"};

/* The beginning of the hour or day that the hour lies in; before 1970 too. */
static int64_t start_of(const struct span *span, int64_t hour_unix_s)
{
    int64_t into = hour_unix_s % span->seconds;
    return hour_unix_s - (into < 0 ? into + span->seconds : into);
}

static int bind_key(sqlite3_stmt *statement, const struct span *span, const struct rollup_row *row)
{
    int column = 1;
    sqlite3_bind_int64(statement, column++, start_of(span, row->hour_unix_s));
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++)
        bind_text(statement, column++, row->texts[i]);
    bind_string(statement, column++, status_names[row->status & 3]);
    return column;
}

/* As a column pair. known: on insertion it is NULL otherwise. */
static int bind_money(sqlite3_stmt *statement, int column, __int128 picodollars, bool known)
{
    const __int128 million = INT64_C(1000000000000000000);
    __int128 millions = picodollars / million;
    __int128 rest = picodollars % million;
    if (rest < 0) {
        rest += million;
        millions--;
    }
    sqlite3_bind_int64(statement, column++, (int64_t)millions);
    if (known)
        sqlite3_bind_int64(statement, column, (int64_t)rest);
    return column + 1;
}

static int add_to(struct store *store, const struct span *span, const struct rollup_row *row)
{
    sqlite3_stmt *statement = store_statement(store, span->add, span->add_sql);
    if (!statement)
        return -ENOMEM;
    int column = bind_key(statement, span, row);
    for (int i = 0; i < ROLLUP_SUM_COUNT; i++)
        sqlite3_bind_int64(statement, column++, row->sums[i]);
    __int128 stated = row->money[ROLLUP_MONEY_provider_cost];
    __int128 cost = row->money[ROLLUP_MONEY_cost];
    column = bind_money(statement, column, stated, row->sums[ROLLUP_provider_cost_calls] || stated);
    bind_money(statement, column, cost, row->sums[ROLLUP_calls] != row->sums[ROLLUP_cost_unknown] || cost);
    int result = store_run(store, statement);
    if (result || row->sums[ROLLUP_calls] > 0)
        return result;
    statement = store_statement(store, span->remove, span->delete_sql);
    if (!statement)
        return -ENOMEM;
    bind_key(statement, span, row);
    return store_run(store, statement);
}

int store_rollup_add(struct store *store, const struct rollup_row *row)
{
    int result = 0;
    for (size_t i = 0; !result && i < sizeof(spans) / sizeof(spans[0]); i++)
        result = add_to(store, &spans[i], row);
    return result;
}
