/* price.h: what a call costs by a price list, and why.
 *
 * Each kind of token or other unit is multiplied out exactly and rounded once, to picodollars; the cost is their sum. The whole
 * request is at the tier that its input reaches. A kind without a price of its own costs what the kind that it is part of costs: cached,
 * audio and image input the plain input's rate, reasoning, audio and image output the output's. What then has no price makes the
 * cost unknown: an unknown price is not zero.
 */
#ifndef TALLY_PRICE_PRICE_H
#define TALLY_PRICE_PRICE_H

#include "price/lookup.h"
#include "understand/quantities.h"

struct price_call {
    struct price_names names;
    struct price_text service_tier; /* "flex", "priority", "batch"; else standard */
    struct price_text speed;        /* "fast": a factor of the entry's */
    struct price_text place;        /* "us": the same */
    bool batch;
    int64_t time_unix_ns; /* of its start: some prices go by the hour */
    const struct quantities *quantities;
};

enum price_outcome {
    PRICE_KNOWN,
    PRICE_NO_MODEL, /* the list has no entry */
    PRICE_NO_RATE, /* the entry has no price for something that was used, or others at times that cannot be read */
    PRICE_NO_COUNTS, /* how much was used is not known */
    PRICE_TOO_LARGE, /* beyond 9.2 million dollars */
    PRICE_OUTCOMES
};
/* As in usage.cost_basis: "list", "no_model", ... */
extern const char *const price_outcome_names[PRICE_OUTCOMES];

/* One kind of unit. */
struct price_line {
    const char *what;     /* "cache_read": of rate_names, or a part of input without a rate of its own */
    enum price_rate rate; /* whose price it is: not its own where that is missing */
    bool own;             /* it is its own */
    bool found;           /* there is one */
    bool off_peak;        /* it holds at that hour; then the tier is 0 */
    uint8_t tier;         /* of the price: 0 base */
    enum price_service service;
    int64_t count;        /* units, or thousandths of them */
    unsigned count_scale; /* 3: thousandths */
    struct decimal price;
    int64_t picodollars;
};
#define PRICE_LINES_MAX 24

struct price_result {
    enum price_outcome outcome;
    int64_t picodollars;             /* if known */
    const struct price_entry *entry; /* NULL: none */
    enum price_service service;      /* as the call asked for */
    unsigned tier;                   /* that its input reached */
    bool off_peak;                   /* an off-peak window was open */
    struct decimal factor;           /* of everything */
    struct price_line lines[PRICE_LINES_MAX];
    int line_count;
};

/* Price by an entry that is known already (NULL: there is none). */
void price_by(const struct price_entry *entry, const struct price_call *call, struct price_result *out);

/* Entries found before, by the names that they were asked for: looking one up takes ten times as long as finding it here. One
 * thread. Starts zeroed; to be zeroed when the list changes. */
#define PRICE_CACHE_SLOTS 256
#define PRICE_CACHE_BYTES 192
struct price_cache {
    struct {
        bool used;
        uint16_t length;
        char names[PRICE_CACHE_BYTES];
        const struct price_entry *entry;
    } slots[PRICE_CACHE_SLOTS];
};
/* cache: may be NULL. */
void price(const struct price_table *table, struct price_cache *cache, const struct price_call *call,
           struct price_result *out);

#endif
