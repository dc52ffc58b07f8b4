/* settle.h: from what a provider states to counts that mean the same for all: input includes what was read from and written
 * to a cache, output includes reasoning. */
#ifndef TALLY_UNDERSTAND_SETTLE_H
#define TALLY_UNDERSTAND_SETTLE_H

#include <stdbool.h>

#include "understand/shapes.h"

/* What the object itself leaves open. */
struct settle_hints {
    bool google;     /* Gemini by an API like OpenAI's */
    bool has_output; /* a chat: then a total alone is not of the input */
};

void settle(const struct shape *shape, const struct figures *figures, const struct settle_hints *hints,
            struct quantities *out);
/* The cost that the provider states, in picodollars, of all who charge for the call; -1: not stated, or not wholly. */
int64_t settle_cost(const struct figures *figures);

#endif
