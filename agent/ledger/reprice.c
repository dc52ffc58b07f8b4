/* reprice.c: see reprice.h. */
#include "ledger/reprice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger/internal.h"

struct repricing {
    const struct reprice_options *options;
    struct reprice_outcome *outcome;
    struct store *store;
    struct costing costing;
};

static bool same_text(struct text a, struct text b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data;
    return a.length == b.length && !memcmp(a.data, b.data, a.length);
}

static bool cost_differs(const struct usage_row *a, const struct usage_row *b)
{
    return a->cost_known != b->cost_known || (a->cost_known && a->cost_picodollars != b->cost_picodollars);
}

/* Whether the row is to be written: also where only the list behind an unchanged cost is another. */
static bool differs(const struct usage_row *a, const struct usage_row *b)
{
    return cost_differs(a, b) || !same_text(a->cost_basis, b->cost_basis) ||
           a->list_cost_known != b->list_cost_known ||
           (a->list_cost_known && a->list_cost_picodollars != b->list_cost_picodollars) ||
           a->price_table_id != b->price_table_id;
}

/* What has been understood since; nothing that was known changes. */
static bool understood_more(const struct usage_values *a, const struct usage_values *b)
{
    if (a->numbers_known != b->numbers_known)
        return true;
    for (int i = 0; i < USAGE_TEXTS; i++)
        if (!same_text(a->texts[i], b->texts[i]))
            return true;
    return false;
}

static int move_sums(struct store *store, const struct usage_row *before, const struct usage_row *after,
                     struct text service)
{
    struct rollup_row row = {.hour_unix_s = 0};
    rollup_key(before, service, &row);
    rollup_count(&row, before, -1);
    int result = store_rollup_add(store, &row);
    if (result)
        return result;
    row = (struct rollup_row){.hour_unix_s = 0};
    rollup_key(after, service, &row);
    rollup_count(&row, after, 1);
    return store_rollup_add(store, &row);
}

static int take(void *context, int64_t usage_id, const struct usage_row *before, struct text service)
{
    struct repricing *repricing = context;
    struct understood understood;
    struct usage_values values = *before->values;
    struct usage_row after = *before;
    enum understood_kind kind;

    repricing->outcome->rows++;
    if (!service.data) {
        repricing->outcome->orphans++;
        return 0;
    }
    after.values = &values;
    /* A row that may be amended knows which record said what; what is filled in here would be from none. */
    bool fresh = !before->amendable && cost_understand(&values, &understood);
    int result = cost_row(&repricing->costing, repricing->store, fresh ? &understood : NULL, &after, &kind);
    if (result)
        return result;
    bool more = understood_more(before->values, &values);
    bool cost = cost_differs(before, &after);
    if (cost || more) {
        repricing->outcome->changed++;
        if (repricing->options->changed)
            repricing->options->changed(repricing->options->context, before, &after);
    }
    if (repricing->options->dry_run || (!more && !differs(before, &after)))
        return 0;
    result = store_usage_reprice(repricing->store, usage_id, &after);
    return result || (!cost && !more) ? result : move_sums(repricing->store, before, &after, service);
}

static int run(struct repricing *repricing)
{
    const struct reprice_options *options = repricing->options;
    int result = store_visit(&repricing->store, options->state_directory);
    if (result)
        return result;
    if (options->dry_run) /* reading alone: SQLite shows one moment to one statement */
        return store_usage_each(repricing->store, options->since_unix_ns, options->until_unix_ns, take,
                                repricing);
    result = store_begin(repricing->store);
    if (!result)
        result = store_usage_each(repricing->store, options->since_unix_ns, options->until_unix_ns, take,
                                  repricing);
    if (!result)
        result = store_commit(repricing->store);
    if (result)
        store_rollback(repricing->store);
    return result;
}

int reprice(const struct reprice_options *options, struct reprice_outcome *outcome,
            char error[REPRICE_ERROR_BYTES])
{
    struct repricing *repricing = calloc(1, sizeof(*repricing));
    int result = -ENOMEM;
    *outcome = (struct reprice_outcome){0, 0, 0};
    if (repricing) {
        repricing->options = options;
        repricing->outcome = outcome;
        cost_use(&repricing->costing, options->prices);
        if (options->dry_run)
            repricing->costing.table_id = -1; /* none is entered */
        result = run(repricing);
    }
    if (result)
        snprintf(error, REPRICE_ERROR_BYTES, "%s", store_error(repricing ? repricing->store : NULL));
    if (repricing)
        store_close(repricing->store);
    free(repricing);
    return result;
}
