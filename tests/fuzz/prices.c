/* prices.c: price lists as anybody may write them, read, asked and multiplied out.
 *
 * Input: a model's name up to the first NUL, then two bytes of counts and terms, then the list. What a list says is believed, if it
 * is sound, but whatever it says costs are exact or unknown. */
#include "fuzz/fuzz.h"

#include "price/price.h"

/* Each line's cost anew, with nothing but additions: rounded once, half up. */
static void check_line(const struct price_result *result, const struct price_line *line)
{
    fuzz_expect(line->count > 0 && line->picodollars >= 0);
    fuzz_expect(line->tier <= result->tier && (!line->off_peak || (result->off_peak && line->tier == 0)));
    fuzz_expect(line->price.scale <= DECIMAL_SCALE_MAX);
    if (!line->found)
        fuzz_expect(result->outcome != PRICE_KNOWN && line->picodollars == 0);
}

static void check_result(const struct price_result *result)
{
    int64_t sum = 0;
    fuzz_expect(result->line_count >= 0 && result->line_count <= PRICE_LINES_MAX);
    fuzz_expect((result->outcome == PRICE_NO_MODEL) == !result->entry);
    for (int i = 0; i < result->line_count; i++) {
        check_line(result, &result->lines[i]);
        if (result->outcome == PRICE_KNOWN)
            fuzz_expect(!__builtin_add_overflow(sum, result->lines[i].picodollars, &sum));
    }
    fuzz_expect(result->outcome != PRICE_KNOWN || (sum == result->picodollars && sum >= 0));
}

/* What is printed of a price is the price. */
static void check_text(struct decimal price)
{
    char text[DECIMAL_TEXT_BYTES];
    struct decimal again;
    decimal_text(price, 0, text);
    fuzz_expect(decimal_parse(text, strlen(text), &again) == 0 && decimal_equal(price, again));
}

static void check_table(const struct price_table *table)
{
    fuzz_expect(table->model_count > 0 && table->model_count <= table->entry_count);
    for (uint32_t i = 0; i < table->entry_count; i++) {
        const struct price_entry *entry = &table->entries[i];
        fuzz_expect(price_table_find(table, entry->name.data, entry->name.length) == entry);
        for (unsigned tier = 1; tier < entry->tier_count; tier++)
            fuzz_expect(entry->tiers[tier - 1] < entry->tiers[tier]);
        for (unsigned j = 0; j < entry->window_count; j++)
            fuzz_expect(entry->windows[j].from < 1440 && entry->windows[j].until < 1440 &&
                        entry->windows[j].weekdays && entry->windows[j].weekdays <= 127);
        for (unsigned j = 0; j < entry->cell_count; j++) {
            fuzz_expect(entry->cells[j].rate < RATE_COUNT);
            fuzz_expect(entry->cells[j].tier <= entry->tier_count ||
                        (entry->cells[j].tier == PRICE_TIER_OFF_PEAK && entry->window_count));
            check_text(entry->cells[j].price);
        }
    }
}

static void ask(const struct price_table *table, struct price_text name, uint8_t counts, uint8_t terms)
{
    static const int64_t sizes[] = {-1, 0, 1, 1000, 200000, 200001, 1000000, INT64_C(1000000000000000)};
    static const char *const tiers[] = {"default", "flex", "priority", "batch"};
    struct quantities quantities;
    struct price_call call = {
        .names = {.request_model = name, .provider = {"openai", terms & 64 ? 6 : 0}},
        .service_tier = {tiers[terms & 3], strlen(tiers[terms & 3])},
        .speed = {"fast", terms & 4 ? 4 : 0},
        .time_unix_ns = (int64_t)counts * terms * 60000000000,
        .quantities = &quantities,
    };
    struct price_result result = {.entry = NULL};
    for (int i = 0; i < QUANTITY_COUNT; i++)
        quantities.of[i] = sizes[(counts + i * (1 + (terms >> 4))) & 7];
    price(table, NULL, &call, &result);
    check_result(&result);
    for (uint32_t i = 0; i < table->entry_count && i < 8; i++) {
        price_by(&table->entries[i], &call, &result);
        check_result(&result);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[PRICE_ERROR_BYTES] = "";
    struct price_table *table;
    const uint8_t *end = memchr(data, 0, size);
    if (!end || end + 3 > data + size)
        return 0;
    size_t length = (size_t)(data + size - (end + 3));
    /* of just that size, so that a byte read beyond it is seen */
    char *text = malloc(length + !length);
    fuzz_expect(text);
    memcpy(text, end + 3, length);
    int result = price_table_read(&table, "list", text, length, error);
    free(text);
    fuzz_expect(!result == !!table);
    if (!table) {
        fuzz_expect(strlen(error) > 5 && !strchr(error, '\n'));
        return 0;
    }
    check_table(table);
    ask(table, (struct price_text){(const char *)data, (size_t)(end - data)}, end[1], end[2]);
    price_table_free(table);
    return 0;
}
