/* prices.c: the price list that rows are priced by, and its change while the agent runs.
 *
 * Killed right here: a list lives in memory alone. Which one priced a row stands in the row, written in the same
 * transaction as the row's cost; after a restart the rows to come are priced by the list that is there then. */
#include "collector/state.h"

#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The name goes into the database, where others read it from other folders: 'tally reprice' must not come upon another file of the
 * same relative name. */
static int read_list(const struct collector *collector, struct price_table **out,
                     char error[PRICE_ERROR_BYTES])
{
    const char *path = collector->config->prices;
    if (!path || !*path)
        return price_table_builtin(out, error);
    char *folder = *path == '/' ? NULL : getcwd(NULL, 0);
    char *whole = NULL;
    if (folder && asprintf(&whole, "%s/%s", folder, path) < 0)
        whole = NULL;
    int result = price_table_load(out, whole ? whole : path, error);
    free(whole);
    free(folder);
    return result;
}

int prices_open(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    char reason[PRICE_ERROR_BYTES];
    if (read_list(collector, &collector->prices, reason)) {
        snprintf(error, COLLECTOR_ERROR_BYTES, "%s; mend it, or leave out --prices for the built-in list",
                 reason);
        return -1;
    }
    return 0;
}

void prices_reload(struct collector *collector)
{
    char reason[PRICE_ERROR_BYTES];
    struct price_table *fresh;
    if (read_list(collector, &fresh, reason)) {
        log_line(LOG_WARNING, "%s; the price list that was in use stays in use", reason);
        return;
    }
    if (!strcmp(fresh->sha256, collector->prices->sha256)) {
        price_table_free(fresh);
        return;
    }
    ledger_set_prices(collector->ledger, fresh);
    price_table_free(collector->prices);
    collector->prices = fresh;
    log_line(LOG_NOTE, "price list %s: %u models", fresh->name, fresh->model_count);
}
