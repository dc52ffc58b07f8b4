/* rollup.c: the transaction's sums, gathered in memory and added to usage_hourly once a key at commit. */
#include <errno.h>

#include "ledger/internal.h"

#define HOUR_NS INT64_C(3600000000000)

struct rollup {
    struct table_node by_key;
    struct rollup *next; /* in rollup_list or free_rollups */
    struct rollup_row row;
    char *texts; /* the row's texts, one after another */
    size_t capacity;
};

/* Which text of a call is which of the key; the service is the client's. */
static const int text_of_key[ROLLUP_TEXT_COUNT] = {
    [ROLLUP_TEXT_provider] = USAGE_TEXT_provider,
    [ROLLUP_TEXT_request_model] = USAGE_TEXT_request_model,
    [ROLLUP_TEXT_service] = -1,
    [ROLLUP_TEXT_team] = USAGE_TEXT_team,
    [ROLLUP_TEXT_project] = USAGE_TEXT_project,
    [ROLLUP_TEXT_key_fingerprint] = USAGE_TEXT_key_fingerprint,
};

static const struct {
    enum rollup_sum sum;
    enum usage_number number;
} summed[] = {
    {ROLLUP_input_tokens, USAGE_NUMBER_input_tokens},
    {ROLLUP_output_tokens, USAGE_NUMBER_output_tokens},
    {ROLLUP_cache_read_tokens, USAGE_NUMBER_cache_read_tokens},
    {ROLLUP_cache_write_5m_tokens, USAGE_NUMBER_cache_write_5m_tokens},
    {ROLLUP_cache_write_1h_tokens, USAGE_NUMBER_cache_write_1h_tokens},
    {ROLLUP_reasoning_tokens, USAGE_NUMBER_reasoning_tokens},
    {ROLLUP_input_audio_tokens, USAGE_NUMBER_input_audio_tokens},
    {ROLLUP_output_audio_tokens, USAGE_NUMBER_output_audio_tokens},
    {ROLLUP_input_image_tokens, USAGE_NUMBER_input_image_tokens},
    {ROLLUP_output_image_tokens, USAGE_NUMBER_output_image_tokens},
    {ROLLUP_duration_ns, USAGE_NUMBER_duration_ns},
};

void rollup_key(const struct usage_row *usage, struct text service, struct rollup_row *key)
{
    int64_t start = usage->values->numbers[USAGE_NUMBER_start_time_unix_ns];
    key->hour_unix_s = start / HOUR_NS * 3600;
    key->status = usage->values->numbers[USAGE_NUMBER_status];
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++) {
        struct text text = text_of_key[i] < 0 ? service : usage->values->texts[text_of_key[i]];
        key->texts[i] = text.data ? text : (struct text){"", 0};
    }
}

static uint64_t hash_of(const struct ledger *ledger, const struct rollup_row *key)
{
    uint64_t hash = table_mix(ledger->seed ^ (uint64_t)key->hour_unix_s, (uint64_t)key->status);
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++)
        hash = table_hash(hash, key->texts[i].data, key->texts[i].length);
    return hash;
}

static bool same_key(const struct rollup_row *a, const struct rollup_row *b)
{
    if (a->hour_unix_s != b->hour_unix_s || a->status != b->status)
        return false;
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++)
        if (a->texts[i].length != b->texts[i].length ||
            memcmp(a->texts[i].data, b->texts[i].data, a->texts[i].length))
            return false;
    return true;
}

static struct rollup *find(const struct ledger *ledger, const struct rollup_row *key, uint64_t hash)
{
    for (struct table_node *node = table_chain(&ledger->rollups, hash); node; node = node->next) {
        struct rollup *rollup = TABLE_ITEM(node, struct rollup, by_key);
        if (node->hash == hash && same_key(&rollup->row, key))
            return rollup;
    }
    return NULL;
}

static int keep_key(struct rollup *rollup, const struct rollup_row *key)
{
    size_t need = 1;
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++)
        need += key->texts[i].length;
    if (need > rollup->capacity) {
        char *texts = realloc(rollup->texts, need);
        if (!texts)
            return -ENOMEM;
        rollup->texts = texts;
        rollup->capacity = need;
    }
    rollup->row = (struct rollup_row){.hour_unix_s = key->hour_unix_s, .status = key->status};
    char *at = rollup->texts;
    for (int i = 0; i < ROLLUP_TEXT_COUNT; i++) {
        memcpy(at, key->texts[i].data, key->texts[i].length);
        rollup->row.texts[i] = (struct text){at, key->texts[i].length};
        at += key->texts[i].length;
    }
    return 0;
}

static struct rollup *create(struct ledger *ledger, const struct rollup_row *key, uint64_t hash)
{
    struct rollup *rollup = ledger->free_rollups;
    if (rollup)
        ledger->free_rollups = rollup->next;
    else
        rollup = calloc(1, sizeof(*rollup));
    if (!rollup)
        return NULL;
    if (keep_key(rollup, key) || table_insert(&ledger->rollups, &rollup->by_key, hash)) {
        rollup->next = ledger->free_rollups;
        ledger->free_rollups = rollup;
        return NULL;
    }
    rollup->next = ledger->rollup_list;
    ledger->rollup_list = rollup;
    return rollup;
}

static void add(struct rollup_row *row, enum rollup_sum sum, int64_t value)
{
    row->sums[sum] = add_saturated(row->sums[sum], value);
}

void rollup_count(struct rollup_row *row, const struct usage_row *usage, int sign)
{
    const struct usage_values *values = usage->values;
    add(row, ROLLUP_calls, sign);
    for (size_t i = 0; i < sizeof(summed) / sizeof(summed[0]); i++)
        if (usage_number_known(values, summed[i].number))
            add(row, summed[i].sum, sign * values->numbers[summed[i].number]);
    if (!usage_number_known(values, USAGE_NUMBER_input_tokens))
        add(row, ROLLUP_input_tokens_unknown, sign);
    if (!usage_number_known(values, USAGE_NUMBER_output_tokens))
        add(row, ROLLUP_output_tokens_unknown, sign);
    if (!usage_number_known(values, USAGE_NUMBER_duration_ns))
        add(row, ROLLUP_duration_unknown, sign);
    if (usage_number_known(values, USAGE_NUMBER_flags) &&
        (values->numbers[USAGE_NUMBER_flags] & TALLY_FLAG_ESTIMATED))
        add(row, ROLLUP_estimated, sign);
    /* No overflow: a transaction has at most some 10^5 rows of less than 10^19 each. */
    if (usage_number_known(values, USAGE_NUMBER_provider_cost_picodollars)) {
        row->money[ROLLUP_MONEY_provider_cost] +=
            (__int128)sign * values->numbers[USAGE_NUMBER_provider_cost_picodollars];
        add(row, ROLLUP_provider_cost_calls, sign);
    }
    if (usage->cost_known)
        row->money[ROLLUP_MONEY_cost] += (__int128)sign * usage->cost_picodollars;
    else
        add(row, ROLLUP_cost_unknown, sign);
}

int ledger_rollup_add(struct ledger *ledger, const struct usage_row *usage, struct text service, int sign)
{
    struct rollup_row key;
    rollup_key(usage, service, &key);
    uint64_t hash = hash_of(ledger, &key);
    struct rollup *rollup = find(ledger, &key, hash);
    if (!rollup)
        rollup = create(ledger, &key, hash);
    if (!rollup)
        return ledger_say(ledger, ENOMEM, "out of memory");
    rollup_count(&rollup->row, usage, sign);
    return 0;
}

int ledger_rollups_flush(struct ledger *ledger)
{
    for (struct rollup *rollup = ledger->rollup_list; rollup; rollup = rollup->next) {
        int result = store_rollup_add(ledger->store, &rollup->row);
        if (result)
            return result;
    }
    ledger_rollups_clear(ledger);
    return 0;
}

/* Their memory is kept for the next transaction. */
void ledger_rollups_clear(struct ledger *ledger)
{
    struct rollup *rollup;
    while ((rollup = ledger->rollup_list)) {
        ledger->rollup_list = rollup->next;
        table_remove(&ledger->rollups, &rollup->by_key);
        rollup->next = ledger->free_rollups;
        ledger->free_rollups = rollup;
    }
}

void ledger_rollups_free(struct ledger *ledger)
{
    struct rollup *rollup;
    ledger_rollups_clear(ledger);
    while ((rollup = ledger->free_rollups)) {
        ledger->free_rollups = rollup->next;
        free(rollup->texts);
        free(rollup);
    }
    table_free(&ledger->rollups);
}
