/* prices.h: the price list that a command is given, or that the agent has used. */
#ifndef TALLY_TOOLS_PRICES_H
#define TALLY_TOOLS_PRICES_H

#include "db.h"
#include "price/table.h"

/* path NULL: the built-in list. NULL: it has been said why. */
struct price_table *prices_load(const char *path);
/* The file of the list that priced the newest row, to be freed; NULL: the built-in list, or nothing has been priced. Returns an
 * exit status. */
int prices_newest(struct db *db, char **path);

#endif
