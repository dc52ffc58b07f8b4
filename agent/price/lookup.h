/* lookup.h: which entry of a price list a call is priced by. */
#ifndef TALLY_PRICE_LOOKUP_H
#define TALLY_PRICE_LOOKUP_H

#include "price/table.h"

/* As a call states them; data NULL: not stated. */
struct price_names {
    struct price_text
        provider; /* OpenTelemetry's name, LiteLLM's, or a common one: "aws.bedrock", "bedrock" */
    struct price_text response_model;
    struct price_text request_model;
    struct price_text server_address; /* tells Bedrock's region */
};

/* An entry of the call's provider goes before another's, the model that answered before the one that was asked for (at Azure, where
 * that is a deployment's name, in the first place), a name as stated before one without path, region, version or date.
 * NULL: no entry. */
const struct price_entry *price_lookup(const struct price_table *table, const struct price_names *names);

#endif
