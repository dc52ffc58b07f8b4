/* prices.h: the price list that a command is given. */
#ifndef TALLY_TOOLS_PRICES_H
#define TALLY_TOOLS_PRICES_H

#include "price/table.h"

/* path NULL: the built-in list. NULL: it has been said why. */
struct price_table *prices_load(const char *path);

#endif
