/* reprice.h: history priced anew, beside a running agent.
 *
 * All of it is one transaction of the store: rows and their sums change together or not at all, wherever it is killed, and the agent
 * waits for as long as it takes. What the agent holds in memory is not touched by it: calls in flight have no cost, and
 * the ids of price lists stay. Rows that retention has taken keep the cost that is in the sums.
 */
#ifndef TALLY_LEDGER_REPRICE_H
#define TALLY_LEDGER_REPRICE_H

#include "price/table.h"
#include "store/rows.h"

#define REPRICE_ERROR_BYTES 5632

struct reprice_options {
    const char *state_directory;
    const struct price_table *prices;
    int64_t since_unix_ns, until_unix_ns; /* by when calls started */
    bool dry_run;                         /* change nothing, and hold up nobody */
    /* Called for each row that changes; may be NULL. */
    void (*changed)(void *context, const struct usage_row *before, const struct usage_row *after);
    void *context;
};

struct reprice_outcome {
    uint64_t rows;    /* in the time asked for */
    uint64_t changed; /* whose cost, or what was understood of them, is another now */
    uint64_t
        orphans; /* left as they are: their client's row is gone, so nobody knows which sum they are in */
};

/* 0 or a negative errno value with one sentence. */
int reprice(const struct reprice_options *options, struct reprice_outcome *outcome,
            char error[REPRICE_ERROR_BYTES]);

#endif
