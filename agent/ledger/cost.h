/* cost.h: what a call's usage object says, and what the call costs: understanding and pricing, joined. For the ledger, and for
 * pricing history anew. One thread.
 */
#ifndef TALLY_LEDGER_COST_H
#define TALLY_LEDGER_COST_H

#include "price/price.h"
#include "store/store.h"
#include "understand/understand.h"

struct costing {
    const struct price_table *table; /* NULL: costs stay unknown */
    int64_t table_id; /* its row's; 0: not looked up since the last transaction that may have failed */
    struct price_cache cache;
};

void cost_use(struct costing *costing, const struct price_table *table);

/* What the usage object states and the client did not, into values. What the client stated goes before what
 * the object says. understood: whatever values' texts point to afterwards; true: it was filled in. */
bool cost_understand(struct usage_values *values, struct understood *understood);

/* Fill in what the row costs, from its values. understood: of just these values' object, or NULL: it is understood once more.
 * kind: what the object was found to be. 0 or the store's error. */
int cost_row(struct costing *costing, struct store *store, const struct understood *understood,
             struct usage_row *row, enum understood_kind *kind);

#endif
