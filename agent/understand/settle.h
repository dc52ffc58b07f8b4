/* settle.h: from what a provider states to counts that mean the same for all: input includes what was read from and written
 * to a cache, output includes reasoning. */
#ifndef TALLY_UNDERSTAND_SETTLE_H
#define TALLY_UNDERSTAND_SETTLE_H

#include "understand/shapes.h"
#include "understand/understand.h"

/* hints: looked into where the figures leave something open. */
void settle(const struct shape *shape, const struct figures *figures, const struct understand_hints *hints,
            struct quantities *out);
/* Forget what cannot be: counts beyond their range, parts greater than their whole. Also for what was merged from several objects. */
void settle_parts(struct quantities *quantities);
/* The cost that the provider states, in picodollars, of all who charge for the call; -1: not stated, or not wholly. */
int64_t settle_cost(const struct figures *figures);

#endif
