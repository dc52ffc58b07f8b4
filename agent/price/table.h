/* table.h: a price list in memory: LiteLLM's model_prices_and_context_window.json, read as it is, or the built-in
 * one, which has the same form. Never changed once it is read; any number of readers. */
#ifndef TALLY_PRICE_TABLE_H
#define TALLY_PRICE_TABLE_H

#include <stdbool.h>

#include "price/decimal.h"
#include "digest.h"
#include "price/hours.h"
#include "price/rates.h"

#define PRICE_ERROR_BYTES    512
#define PRICE_FILE_BYTES_MAX (64u * 1024 * 1024)
#define PRICE_ENTRIES_MAX    1000000u
#define PRICE_TIERS_MAX      16u
#define PRICE_NAME_BYTES_MAX 512u
#define PRICE_CELLS_MAX      256u /* of one entry */
#define PRICE_FACTORS_MAX    64u
#define PRICE_TIER_OFF_PEAK  UINT8_MAX /* in the place of a cell's tier: while a window is open */

struct price_text {
    const char *data;
    size_t length;
};

/* One price of an entry: of this kind, in this tier (0: the base; PRICE_TIER_OFF_PEAK), in this service. */
struct price_cell {
    uint8_t rate;
    uint8_t tier;
    uint8_t service;
    uint8_t rank; /* read.c's: of two spellings of one price the lower rank counts */
    struct decimal price;
};

/* A factor on everything: of provider_specific_entry ("fast", "us"), or of a region's uplift. */
enum price_factor_kind {
    FACTOR_SPECIFIC, /* by the speed or the place that the response states */
    FACTOR_REGION,   /* regional_processing_uplift_multiplier_eu: by the host, eu.api.openai.com */
    FACTOR_ENDPOINT  /* regional_endpoint_uplift_multiplier: by the host, anything but the global one */
};
struct price_factor {
    enum price_factor_kind kind;
    struct price_text name;
    struct decimal factor;
};

struct price_entry {
    struct price_text name;     /* "azure/gpt-4o" */
    struct price_text provider; /* litellm_provider; "" if the entry has none */
    struct price_text source;   /* where its prices are from, as the list says; "" if it does not */
    struct price_text date;     /* when they were so, "2026-08"; "" */
    struct price_text note;     /* for people; "" */
    const struct price_cell *cells;
    uint64_t rates; /* bit n: some cell is of rate n; most calls ask for rates that an entry does not have */
    const struct price_factor *factors;
    const struct price_window *windows;            /* when its off-peak prices hold */
    size_t first_cell, first_factor, first_window; /* read.c's: where they are while the lists still grow */
    uint32_t next;                                 /* of the same hash; 1 + index, 0: none */
    uint16_t cell_count, factor_count, window_count;
    int16_t calendar_minutes; /* ahead of UTC, where the windows' weekdays begin */
    uint8_t tier_count;       /* above the base */
    bool inclusive;           /* a tier begins at its number of tokens, not above it */
    bool makes_images;        /* mode image_generation */
    bool search_each;         /* a search is billed by the query, even where others bill by the prompt */
    bool by_time;             /* it costs something else at times that cannot be read: its cost is unknown */
    uint64_t tiers[PRICE_TIERS_MAX]; /* ascending; tier n holds above tiers[n - 1] tokens of input */
};

struct price_table {
    char *name;                     /* for people: the file's name, or "built-in" */
    char sha256[DIGEST_TEXT_BYTES]; /* of the text */
    char date[11];                  /* "2026-08-31": its newest fact; "" if it does not say */
    struct price_entry *entries;
    uint32_t entry_count;
    uint32_t model_count; /* entries that state a price */
    /* the rest is table.c's and read.c's own */
    char *text;
    struct price_cell *cells;
    struct price_factor *factors;
    struct price_window *windows;
    size_t cell_count, factor_count, window_count;
    uint32_t *index; /* index_size of them, a power of two: 1 + the first entry of that hash */
    uint32_t index_size;
};

/* Read a list. On error *out is NULL, and error[] says which line, entry and key are wrong: all of it is refused, for half a price
 * list would make half the costs unknown, or wrong. name: for people. -EINVAL: not sound; -ENOMEM. */
int price_table_read(struct price_table **out, const char *name, const char *text, size_t length,
                     char error[PRICE_ERROR_BYTES]);
/* From a file. Other errors: open(2)'s, -EFBIG. */
int price_table_load(struct price_table **out, const char *path, char error[PRICE_ERROR_BYTES]);
int price_table_builtin(struct price_table **out, char error[PRICE_ERROR_BYTES]);
void price_table_free(struct price_table *table);

/* The entry of this name; capitals do not matter, but the same spelling goes first. NULL: none. */
const struct price_entry *price_table_find(const struct price_table *table, const char *name, size_t length);

/* Among `cells`, NULL: none. */
const struct price_cell *price_entry_cell(const struct price_entry *entry, enum price_rate rate,
                                          unsigned tier, enum price_service service);

#endif
