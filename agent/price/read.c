/* read.c: a price list from its text. Strict: what looks like a price and is none refuses the whole list. Keys that are
 * not known are passed over, for LiteLLM adds some every week. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "price/scan.h"
#include "price/table.h"
#include "price/table_internal.h"

#define RANK_TIERED    0          /* of tiered_pricing: goes before all other spellings */
#define ABOVE_OFF_PEAK UINT64_MAX /* in the place of a tier: of off_peak_pricing */

/* A price as it stands in an entry, before the tiers are numbered. */
struct raw_cell {
    struct rate_key key;
    struct decimal price;
};

struct reading {
    struct price_table *table;
    struct scan scan;
    const char *name;
    struct price_text entry; /* being read; data NULL: none yet */
    struct price_text key;
    char *error;
    struct raw_cell raw[PRICE_CELLS_MAX];
    size_t raw_count;
    size_t cell_capacity, factor_capacity, window_capacity;
    uint32_t entry_capacity;
};

/* ---- errors ---- */

/* Text of the file for a message: what would move a terminal's cursor is left out. */
static void quote(struct price_text text, char out[96])
{
    size_t at = 0;
    for (size_t i = 0; i < text.length && at < 90; i++) {
        bool control = (unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f;
        out[at] = text.data[i];
        if (control)
            out[at] = '?';
        at++;
    }
    if (at == 90)
        at += (size_t)snprintf(out + at, 6, "...");
    out[at] = '\0';
}

static int refuse(struct reading *reading, const char *what)
{
    char entry[96] = "";
    char key[96] = "";
    size_t line = reading->scan.line;
    quote(reading->entry, entry);
    quote(reading->key, key);
    if (!reading->entry.data)
        snprintf(reading->error, PRICE_ERROR_BYTES, "%.200s: line %zu: %s", reading->name, line, what);
    else if (!reading->key.data)
        snprintf(reading->error, PRICE_ERROR_BYTES, "%.200s: line %zu: \"%s\": %s", reading->name, line,
                 entry, what);
    else
        snprintf(reading->error, PRICE_ERROR_BYTES, "%.200s: line %zu: \"%s\": \"%s\": %s", reading->name,
                 line, entry, key, what);
    return -EINVAL;
}

static int syntax(struct reading *reading)
{
    return refuse(reading, reading->scan.wrong ? reading->scan.wrong : "this is no JSON");
}

static int no_memory(struct reading *reading)
{
    snprintf(reading->error, PRICE_ERROR_BYTES, "%.200s: out of memory", reading->name);
    return -ENOMEM;
}

/* ---- values ---- */

static bool is(struct price_text text, const char *word)
{
    return text.length == strlen(word) && !memcmp(text.data, word, text.length);
}

/* Whether the value is null, which counts as not being there; then it is passed over. -EINVAL: it does not read. */
static int skip_null(struct reading *reading)
{
    if (scan_peek(&reading->scan) != SCAN_NULL)
        return 0;
    return scan_skip(&reading->scan) ? syntax(reading) : 1;
}

static int read_decimal(struct reading *reading, struct decimal *out)
{
    struct scan_text number;
    if (scan_peek(&reading->scan) != SCAN_NUMBER)
        return refuse(reading, "must be a number");
    if (scan_number(&reading->scan, &number))
        return syntax(reading);
    switch (decimal_parse(number.data, number.length, out)) {
    case 0:
        return 0;
    case -ERANGE:
        return refuse(reading, "has more than 18 digits, is finer than 10^-30, or is above a million");
    default:
        return refuse(reading, "must not be negative");
    }
}

static int read_text(struct reading *reading, struct price_text *out)
{
    struct scan_text text;
    if (scan_peek(&reading->scan) != SCAN_STRING)
        return refuse(reading, "must be a string");
    if (scan_string(&reading->scan, &text))
        return syntax(reading);
    *out = (struct price_text){text.data, text.length};
    return 0;
}

static int skip(struct reading *reading)
{
    return scan_skip(&reading->scan) ? syntax(reading) : 0;
}

/* Of two spellings of one price that of the lower rank counts; the same spelling twice is a mistake. */
static int add_raw(struct reading *reading, const struct rate_key *key, struct decimal price)
{
    for (size_t i = 0; i < reading->raw_count; i++) {
        struct raw_cell *raw = &reading->raw[i];
        if (raw->key.rate != key->rate || raw->key.service != key->service || raw->key.above != key->above)
            continue;
        if (raw->key.rank == key->rank)
            return refuse(reading, "occurs twice");
        if (key->rank < raw->key.rank)
            *raw = (struct raw_cell){*key, price};
        return 0;
    }
    if (reading->raw_count == PRICE_CELLS_MAX)
        return refuse(reading, "the entry states too many prices");
    reading->raw[reading->raw_count++] = (struct raw_cell){*key, price};
    return 0;
}

static int add_factor(struct reading *reading, struct price_entry *entry, enum price_factor_kind kind,
                      struct price_text name, struct decimal factor)
{
    struct price_table *table = reading->table;
    if (entry->factor_count == PRICE_FACTORS_MAX)
        return refuse(reading, "the entry states too many factors");
    if (!factor.digits)
        return refuse(reading, "must be above 0");
    if (table->factor_count == reading->factor_capacity) {
        size_t capacity = reading->factor_capacity ? reading->factor_capacity * 2 : 64;
        struct price_factor *factors = realloc(table->factors, capacity * sizeof(*factors));
        if (!factors)
            return no_memory(reading);
        table->factors = factors;
        reading->factor_capacity = capacity;
    }
    table->factors[table->factor_count++] = (struct price_factor){kind, name, factor};
    entry->factor_count++;
    return 0;
}

/* ---- keys whose values are more than a number ---- */

/* {"search_context_size_low": 0.01, ...}: what is not said about a search counts as medium. */
static int read_search(struct reading *reading, const struct rate_key *key)
{
    static const char *const sizes[] = {"search_context_size_medium", "search_context_size_low",
                                        "search_context_size_high"};
    struct decimal found[3];
    bool known[3] = {false, false, false};
    struct scan_text name;
    bool first = true;
    int more;
    if (scan_peek(&reading->scan) != SCAN_OBJECT)
        return refuse(reading, "must be an object");
    if (scan_enter(&reading->scan, '{'))
        return syntax(reading);
    while ((more = scan_member(&reading->scan, &first, &name)) > 0) {
        struct price_text size = {name.data, name.length};
        size_t which = 0;
        while (which < 3 && !is(size, sizes[which]))
            which++;
        int result = skip_null(reading);
        if (!result)
            result = which < 3 ? read_decimal(reading, &found[which]) : skip(reading);
        else if (result > 0)
            continue;
        if (result)
            return result;
        if (which < 3)
            known[which] = true;
    }
    if (more < 0)
        return syntax(reading);
    for (size_t i = 0; i < 3; i++)
        if (known[i])
            return add_raw(reading, key, found[i]);
    return 0;
}

/* [from, to]: the tier holds above `from` tokens. */
static int read_range(struct reading *reading, uint64_t *from)
{
    struct decimal bounds[2] = {{0, 0}, {0, 0}};
    bool first = true;
    int more;
    unsigned count = 0;
    if (scan_peek(&reading->scan) != SCAN_ARRAY)
        return refuse(reading, "\"range\" must be an array");
    if (scan_enter(&reading->scan, '['))
        return syntax(reading);
    while ((more = scan_element(&reading->scan, &first)) > 0) {
        struct scan_text number;
        if (count == 2 || scan_peek(&reading->scan) != SCAN_NUMBER)
            return refuse(reading, "\"range\" must be two numbers");
        if (scan_number(&reading->scan, &number))
            return syntax(reading);
        /* "no end" is written as a number beyond all prices */
        int result = decimal_parse(number.data, number.length, &bounds[count]);
        if (result == -ERANGE && count == 1)
            bounds[1] = (struct decimal){UINT64_MAX, 0};
        else if (result || bounds[count].scale)
            return refuse(reading,
                          "\"range\" must be whole numbers, up to a million for where a tier begins");
        count++;
    }
    if (more < 0)
        return syntax(reading);
    if (count != 2 || bounds[1].digits <= bounds[0].digits)
        return refuse(reading, "\"range\" must be two numbers, the second above the first");
    *from = bounds[0].digits;
    return 0;
}

static int read_tier(struct reading *reading)
{
    struct raw_cell cells[PRICE_CELLS_MAX];
    size_t count = 0;
    uint64_t from = 0;
    bool ranged = false;
    struct scan_text name;
    bool first = true;
    int more;
    if (scan_peek(&reading->scan) != SCAN_OBJECT)
        return refuse(reading, "must be an array of objects");
    if (scan_enter(&reading->scan, '{'))
        return syntax(reading);
    while ((more = scan_member(&reading->scan, &first, &name)) > 0) {
        struct price_text key = {name.data, name.length};
        struct rate_key rate;
        int result = skip_null(reading);
        if (result > 0)
            continue;
        if (!result && is(key, "range")) {
            result = read_range(reading, &from);
            ranged = true;
        } else if (!result && rate_key_read(key.data, key.length, &rate) && !rate.above &&
                   rate.rate != RATE_web_search) {
            if (count == PRICE_CELLS_MAX)
                return refuse(reading, "a tier states too many prices");
            rate.rank = RANK_TIERED;
            cells[count].key = rate;
            result = read_decimal(reading, &cells[count++].price);
        } else if (!result) {
            result = skip(reading);
        }
        if (result)
            return result;
    }
    if (more < 0)
        return syntax(reading);
    /* Others are tiers of something else: of search results, say. */
    for (size_t i = 0; ranged && i < count; i++) {
        cells[i].key.above = from;
        int result = add_raw(reading, &cells[i].key, cells[i].price);
        if (result)
            return result;
    }
    return 0;
}

static int read_tiers(struct reading *reading)
{
    bool first = true;
    int more;
    if (scan_peek(&reading->scan) != SCAN_ARRAY)
        return refuse(reading, "must be an array of objects");
    if (scan_enter(&reading->scan, '['))
        return syntax(reading);
    while ((more = scan_element(&reading->scan, &first)) > 0) {
        int result = read_tier(reading);
        if (result)
            return result;
    }
    return more < 0 ? syntax(reading) : 0;
}

static int add_windows(struct reading *reading, struct price_entry *entry, const struct price_hours *hours)
{
    struct price_table *table = reading->table;
    if (table->window_count + hours->count > reading->window_capacity) {
        size_t capacity = (table->window_count + hours->count) * 2;
        struct price_window *windows = realloc(table->windows, capacity * sizeof(*windows));
        if (!windows)
            return no_memory(reading);
        table->windows = windows;
        reading->window_capacity = capacity;
    }
    memcpy(table->windows + table->window_count, hours->windows, hours->count * sizeof(hours->windows[0]));
    table->window_count += hours->count;
    entry->window_count = hours->count;
    entry->calendar_minutes = hours->calendar_minutes;
    entry->by_time |= hours->unread;
    return 0;
}

/* A price, or what says when it holds. */
static int read_off_peak_member(struct reading *reading, struct price_text key, struct price_hours *hours)
{
    struct rate_key rate;
    struct decimal price;
    int result = skip_null(reading);
    if (result)
        return result < 0 ? result : 0;
    bool known = rate_key_read(key.data, key.length, &rate) && !rate.above &&
                 rate.service == SERVICE_STANDARD && rate.rate != RATE_web_search;
    if (!known) {
        if (!price_hours_member(&reading->scan, key.data, key.length, hours))
            return 0;
        return hours->wrong ? refuse(reading, hours->wrong) : syntax(reading);
    }
    rate.above = ABOVE_OFF_PEAK;
    result = read_decimal(reading, &price);
    return result ? result : add_raw(reading, &rate, price);
}

/* {"hours_utc": "16:30-00:30", "input_cost_per_token": 5e-07, ...}, "windows" in the place of "hours_utc", or both. */
static int read_off_peak(struct reading *reading, struct price_entry *entry)
{
    struct price_hours hours = {.count = 0};
    size_t stated = reading->raw_count;
    struct scan_text name;
    bool first = true;
    int more;
    if (entry->window_count)
        return refuse(reading, "occurs twice");
    if (scan_peek(&reading->scan) != SCAN_OBJECT)
        return refuse(reading, "must be an object");
    if (scan_enter(&reading->scan, '{'))
        return syntax(reading);
    while ((more = scan_member(&reading->scan, &first, &name)) > 0) {
        int result = read_off_peak_member(reading, (struct price_text){name.data, name.length}, &hours);
        if (result)
            return result;
    }
    if (more < 0)
        return syntax(reading);
    if (stated == reading->raw_count || !hours.count)
        return refuse(reading, hours.count ? "states no price" : "states no hours");
    return add_windows(reading, entry, &hours);
}

/* {"us": 1.1, "fast": 6.0, "bedrock_invocation_schema": "titan_v2"}: the numbers are factors. */
static int read_specific(struct reading *reading, struct price_entry *entry)
{
    struct scan_text name;
    struct decimal factor;
    bool first = true;
    int more;
    if (scan_peek(&reading->scan) != SCAN_OBJECT)
        return refuse(reading, "must be an object");
    if (scan_enter(&reading->scan, '{'))
        return syntax(reading);
    while ((more = scan_member(&reading->scan, &first, &name)) > 0) {
        int result;
        if (scan_peek(&reading->scan) != SCAN_NUMBER) {
            result = skip(reading);
        } else {
            result = read_decimal(reading, &factor);
            if (!result)
                result = add_factor(reading, entry, FACTOR_SPECIFIC,
                                    (struct price_text){name.data, name.length}, factor);
        }
        if (result)
            return result;
    }
    return more < 0 ? syntax(reading) : 0;
}

/* ---- entries ---- */

static int read_uplift(struct reading *reading, struct price_entry *entry, bool *taken)
{
    static const char region[] = "regional_processing_uplift_multiplier_";
    struct price_text key = reading->key;
    struct decimal factor;
    bool endpoint = is(key, "regional_endpoint_uplift_multiplier");
    *taken = endpoint || (key.length > sizeof(region) - 1 && !memcmp(key.data, region, sizeof(region) - 1));
    if (!*taken)
        return 0;
    int result = read_decimal(reading, &factor);
    if (result)
        return result;
    if (endpoint)
        return add_factor(reading, entry, FACTOR_ENDPOINT, key, factor);
    key.data += sizeof(region) - 1;
    key.length -= sizeof(region) - 1;
    return add_factor(reading, entry, FACTOR_REGION, key, factor);
}

/* "2026-08" or "2026-08-31". */
static void newest_date(struct price_table *table, struct price_text date)
{
    char text[sizeof(table->date)] = "";
    if (date.length >= sizeof(text))
        return;
    memcpy(text, date.data, date.length);
    text[date.length] = '\0';
    if (strspn(text, "0123456789-") == date.length && strcmp(text, table->date) > 0)
        memcpy(table->date, text, sizeof(text));
}

static int read_word(struct reading *reading, struct price_entry *entry)
{
    struct price_text text;
    if (is(reading->key, "litellm_provider"))
        return read_text(reading, &entry->provider);
    int result = read_text(reading, &text);
    if (result)
        return result;
    if (is(reading->key, "mode")) {
        entry->makes_images = is(text, "image_generation") || is(text, "image_edit");
    } else if (is(reading->key, "web_search_billing_unit")) {
        entry->search_each = is(text, "per_query");
    } else {
        entry->date = text;
        newest_date(reading->table, text);
    }
    return 0;
}

/* What only people read must not cost them the list. */
static int read_remark(struct reading *reading, struct price_text *out)
{
    return scan_peek(&reading->scan) == SCAN_STRING ? read_text(reading, out) : skip(reading);
}

static int read_value(struct reading *reading, struct price_entry *entry)
{
    struct rate_key rate;
    struct decimal price;
    bool taken;
    struct price_text key = reading->key;
    int result = skip_null(reading);
    if (result)
        return result < 0 ? result : 0;
    if (rate_key_read(key.data, key.length, &rate)) {
        if (rate.rate == RATE_web_search)
            return read_search(reading, &rate);
        result = read_decimal(reading, &price);
        return result ? result : add_raw(reading, &rate, price);
    }
    if (is(key, "litellm_provider") || is(key, "mode") || is(key, "web_search_billing_unit") ||
        is(key, "price_date"))
        return read_word(reading, entry);
    if (is(key, "tiered_pricing"))
        return read_tiers(reading);
    if (is(key, "provider_specific_entry"))
        return read_specific(reading, entry);
    if (is(key, "source"))
        return read_remark(reading, &entry->source);
    if (is(key, "price_note"))
        return read_remark(reading, &entry->note);
    if (is(key, "off_peak_pricing"))
        return read_off_peak(reading, entry);
    entry->by_time |= is(key, "pricing_periods");
    result = read_uplift(reading, entry, &taken);
    return result || taken ? result : skip(reading);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Number the tiers, and move the entry's prices to the table's list. */
static int settle_cells(struct reading *reading, struct price_entry *entry)
{
    struct price_table *table = reading->table;
    for (size_t i = 0; i < reading->raw_count; i++) {
        uint64_t above = reading->raw[i].key.above;
        unsigned tier = 0;
        while (tier < entry->tier_count && entry->tiers[tier] != above)
            tier++;
        if (!above || above == ABOVE_OFF_PEAK || tier < entry->tier_count)
            continue;
        if (tier == PRICE_TIERS_MAX)
            return refuse(reading, "the entry has too many tiers");
        entry->tiers[entry->tier_count++] = above;
    }
    qsort(entry->tiers, entry->tier_count, sizeof(entry->tiers[0]), compare_u64);
    if (table->cell_count + reading->raw_count > reading->cell_capacity) {
        size_t capacity = (table->cell_count + reading->raw_count) * 2;
        struct price_cell *cells = realloc(table->cells, capacity * sizeof(*cells));
        if (!cells)
            return no_memory(reading);
        table->cells = cells;
        reading->cell_capacity = capacity;
    }
    for (size_t i = 0; i < reading->raw_count; i++) {
        const struct raw_cell *raw = &reading->raw[i];
        bool off_peak = raw->key.above == ABOVE_OFF_PEAK;
        unsigned tier = 0;
        while (raw->key.above && !off_peak && entry->tiers[tier] != raw->key.above)
            tier++;
        tier = off_peak ? PRICE_TIER_OFF_PEAK : tier + (raw->key.above > 0);
        table->cells[table->cell_count++] = (struct price_cell){.rate = (uint8_t)raw->key.rate,
                                                                .tier = (uint8_t)tier,
                                                                .service = (uint8_t)raw->key.service,
                                                                .rank = raw->key.rank,
                                                                .price = raw->price};
    }
    entry->cell_count = (uint16_t)reading->raw_count;
    table->model_count += reading->raw_count > 0;
    return 0;
}

static int read_entry(struct reading *reading, struct price_entry *entry)
{
    struct scan_text name;
    bool first = true;
    int more;
    reading->raw_count = 0;
    entry->first_cell = reading->table->cell_count;
    entry->first_factor = reading->table->factor_count;
    entry->first_window = reading->table->window_count;
    if (scan_peek(&reading->scan) != SCAN_OBJECT)
        return refuse(reading, "must be an object");
    if (scan_enter(&reading->scan, '{'))
        return syntax(reading);
    while ((more = scan_member(&reading->scan, &first, &name)) > 0) {
        reading->key = (struct price_text){name.data, name.length};
        int result = read_value(reading, entry);
        if (result)
            return result;
        reading->key = (struct price_text){NULL, 0};
    }
    if (more < 0)
        return syntax(reading);
    entry->inclusive = is(entry->provider, "xai");
    return settle_cells(reading, entry);
}

static int new_entry(struct reading *reading, struct price_text name, struct price_entry **out)
{
    struct price_table *table = reading->table;
    if (!name.length || name.length > PRICE_NAME_BYTES_MAX)
        return refuse(reading, "an entry's name has 1 to 512 bytes");
    if (table->entry_count == PRICE_ENTRIES_MAX)
        return refuse(reading, "too many entries");
    if (table->entry_count == reading->entry_capacity) {
        uint32_t capacity = reading->entry_capacity ? reading->entry_capacity * 2 : 256;
        struct price_entry *entries = realloc(table->entries, capacity * sizeof(*entries));
        if (!entries)
            return no_memory(reading);
        table->entries = entries;
        reading->entry_capacity = capacity;
    }
    *out = &table->entries[table->entry_count];
    **out = (struct price_entry){
        .name = name, .provider = {"", 0}, .source = {"", 0}, .date = {"", 0}, .note = {"", 0}};
    return 0;
}

static int read_list(struct reading *reading)
{
    struct scan_text name;
    bool first = true;
    int more;
    if (scan_peek(&reading->scan) != SCAN_OBJECT || scan_enter(&reading->scan, '{'))
        return refuse(reading, "a price list is one JSON object");
    while ((more = scan_member(&reading->scan, &first, &name)) > 0) {
        struct price_entry *entry = NULL;
        reading->entry = (struct price_text){name.data, name.length};
        int result = 0;
        if (is(reading->entry, "sample_spec")) { /* documentation, in the place of an entry */
            result = skip(reading);
        } else {
            result = new_entry(reading, reading->entry, &entry);
            if (!result)
                result = read_entry(reading, entry);
            reading->table->entry_count += !result;
        }
        if (result)
            return result;
        reading->entry.data = NULL;
        reading->entry.length = 0;
        reading->key = (struct price_text){NULL, 0};
    }
    if (more < 0 || scan_finish(&reading->scan))
        return syntax(reading);
    if (!reading->table->model_count)
        return refuse(reading, "no entry states a price");
    return 0;
}

int price_table_read(struct price_table **out, const char *name, const char *text, size_t length,
                     char error[PRICE_ERROR_BYTES])
{
    struct reading *reading = calloc(1, sizeof(*reading));
    struct price_table *table = calloc(1, sizeof(*table));
    int result = -ENOMEM;
    *out = NULL;
    snprintf(error, PRICE_ERROR_BYTES, "%.200s: out of memory", name);
    if (reading && table) {
        table->name = strdup(name);
        table->text = malloc(length + 1);
        if (table->name && table->text) {
            memcpy(table->text, text, length);
            digest_sha256(text, length, table->sha256);
            *reading = (struct reading){.table = table, .name = name, .error = error};
            scan_begin(&reading->scan, table->text, length);
            result = read_list(reading);
        }
    }
    if (!result)
        result = price_table_index(table, error);
    free(reading);
    if (result)
        price_table_free(table);
    else
        *out = table;
    return result;
}
