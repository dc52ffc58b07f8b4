/* table_internal.h: what read.c and table.c share. */
#ifndef TALLY_PRICE_TABLE_INTERNAL_H
#define TALLY_PRICE_TABLE_INTERNAL_H

#include "price/table.h"

/* All entries are read: make the index. -EINVAL: two have the same name. */
int price_table_index(struct price_table *table, char error[PRICE_ERROR_BYTES]);

#endif
