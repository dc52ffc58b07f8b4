#include "prices.h"
#include "command.h"

struct price_table *prices_load(const char *path)
{
    char error[PRICE_ERROR_BYTES];
    struct price_table *prices;

    if ((path != NULL ? price_table_load(&prices, path, error) : price_table_builtin(&prices, error)) == 0)
        return prices;
    complain("%s: name one with --prices, or mend it", error);
    return NULL;
}

int prices_newest(struct db *db, char **path)
{
    sqlite3_stmt *statement =
        db_prepare(db, "SELECT p.name FROM price_tables p JOIN"
                       " (SELECT price_table_id AS id FROM usage ORDER BY usage.id DESC LIMIT 1) n"
                       " ON n.id = p.id WHERE p.name <> 'built-in'");
    int row = statement != NULL ? db_step(db, statement) : -1;

    *path = row == 1 ? must_copy(db_text(statement, 0, NULL)) : NULL;
    sqlite3_finalize(statement);
    return row < 0 ? EXIT_PROBLEM : EXIT_SUCCESS;
}
