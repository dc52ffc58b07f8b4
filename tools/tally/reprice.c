/* reprice.c: price history anew: rows and sums, in one transaction, beside a running agent. */
#include "ledger/reprice.h"
#include "command.h"
#include "db.h"
#include "document.h"
#include "prices.h"
#include "state.h"
#include "table.h"
#include "when.h"

#include <search.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: tally reprice --since TIME [--until TIME] [--prices FILE] [--dry-run]\n"
    "                     [--format table|json|csv] [--state-dir DIR]\n"
    "\n"
    "Price the calls that started in that time anew, and say what changed. What newer\n"
    "versions understand of a provider's usage object is filled in too. All of it is\n"
    "one transaction; an agent that runs waits. Only rows change: what retention has\n"
    "deleted keeps its cost in the hourly sums.\n"
    "\n"
    "  --since TIME     from then on: 30m, 24h, 7d, 2w, today, yesterday,\n"
    "                   2026-11-22 or 2026-11-22T10:00:00Z\n"
    "  --until TIME     up to then\n"
    "  --prices FILE    a price list in the form of LiteLLM's; default: the one that\n"
    "                   priced the newest row, else the built-in one\n"
    "  --dry-run        only say what would change\n"
    "  --format FORMAT  table (default), json or csv; --json is --format json\n"
    "  --state-dir DIR  where usage.db is\n";

enum { OPTION_SINCE = OPTION_OWN, OPTION_UNTIL, OPTION_PRICES, OPTION_DRY_RUN };

/* Of one provider and model. */
struct group {
    char *provider;
    char *model;
    uint64_t calls;
    wide_t before, after; /* of the calls whose cost is known */
    uint64_t before_unknown, after_unknown;
};

struct request {
    struct common common;
    const char *since;
    const char *until;
    const char *prices;
    struct reprice_options options;
    struct group **groups; /* in the order in which they came */
    size_t group_count;
    void *found; /* tsearch()'s tree of them: names are clients', and may be as many as calls */
    struct group total;
};

enum column {
    COLUMN_PROVIDER,
    COLUMN_MODEL,
    COLUMN_CALLS,
    COLUMN_BEFORE,
    COLUMN_BEFORE_USD,
    COLUMN_BEFORE_UNKNOWN,
    COLUMN_AFTER,
    COLUMN_AFTER_USD,
    COLUMN_AFTER_UNKNOWN
};

/* clang-format off */
static const struct table_column columns[] = {
    [COLUMN_PROVIDER]       = {"provider", "PROVIDER", TABLE_SHRINK, 0},
    [COLUMN_MODEL]          = {"request_model", "REQUEST MODEL", TABLE_SHRINK, 0},
    [COLUMN_CALLS]          = {"calls", "CHANGED", TABLE_RIGHT, 0},
    [COLUMN_BEFORE]         = {"cost_before_picodollars", "BEFORE", TABLE_RIGHT, 0},
    [COLUMN_BEFORE_USD]     = {"cost_before_usd", "", TABLE_DATA, 0},
    [COLUMN_BEFORE_UNKNOWN] = {"cost_before_unknown", "", TABLE_DATA, 0},
    [COLUMN_AFTER]          = {"cost_after_picodollars", "AFTER", TABLE_RIGHT, 0},
    [COLUMN_AFTER_USD]      = {"cost_after_usd", "", TABLE_DATA, 0},
    [COLUMN_AFTER_UNKNOWN]  = {"cost_after_unknown", "", TABLE_DATA, 0},
};
/* clang-format on */

/* ---- what changes ---- */

static int compare(const void *a, const void *b)
{
    const struct group *x = a;
    const struct group *y = b;
    int order = strcmp(x->provider, y->provider);

    return order != 0 ? order : strcmp(x->model, y->model);
}

static char *copy_text(struct text text)
{
    return must_print("%.*s", (int)text.length, text.data != NULL ? text.data : "");
}

static void free_group(struct group *group)
{
    free(group->provider);
    free(group->model);
    free(group);
}

static struct group *group_of(struct request *request, struct text provider, struct text model)
{
    struct group *group = must_allocate(sizeof(*group));

    *group = (struct group){.provider = copy_text(provider), .model = copy_text(model)};
    struct group **node = tsearch(group, &request->found, compare);
    if (node == NULL)
        out_of_memory();
    if (*node != group) {
        free_group(group);
        return *node;
    }
    if ((request->group_count & (request->group_count - 1)) == 0)
        request->groups = must_resize(request->groups, 2 * request->group_count + 1, sizeof(struct group *));
    return request->groups[request->group_count++] = group;
}

static void count(struct group *group, const struct usage_row *before, const struct usage_row *after)
{
    group->calls++;
    if (before->cost_known)
        number_add(&group->before, before->cost_picodollars);
    else
        group->before_unknown++;
    if (after->cost_known)
        number_add(&group->after, after->cost_picodollars);
    else
        group->after_unknown++;
}

static void changed(void *context, const struct usage_row *before, const struct usage_row *after)
{
    struct request *request = context;

    count(group_of(request, after->values->texts[USAGE_TEXT_provider],
                   after->values->texts[USAGE_TEXT_request_model]),
          before, after);
    count(&request->total, before, after);
}

/* ---- saying it ---- */

static void show_cost(struct table *table, size_t column, wide_t sum, uint64_t unknown, uint64_t calls)
{
    char money[NUMBER_BYTES];

    table_integer(table, column + 2, (wide_t)unknown);
    if (unknown == calls) {
        table_show(table, column, "unknown");
        return;
    }
    table_integer(table, column, sum);
    table_text(table, column + 1, money_text(sum, money));
    if (unknown == 0)
        table_show(table, column, "%s", money);
    else
        table_show(table, column, "%s + %llu unknown", money, (unsigned long long)unknown);
}

static void add_group(struct table *table, const struct group *group)
{
    table_row(table);
    table_text(table, COLUMN_PROVIDER, group->provider != NULL && *group->provider ? group->provider : NULL);
    table_text(table, COLUMN_MODEL, group->model != NULL && *group->model ? group->model : NULL);
    table_integer(table, COLUMN_CALLS, (wide_t)group->calls);
    show_cost(table, COLUMN_BEFORE, group->before, group->before_unknown, group->calls);
    show_cost(table, COLUMN_AFTER, group->after, group->after_unknown, group->calls);
}

static void print_json(const struct request *request, const struct reprice_outcome *outcome,
                       struct table *table)
{
    cJSON *document = document_new("reprice", 1);
    cJSON *list = document_object();
    const struct price_table *prices = request->options.prices;

    document_text(list, "name", prices->name);
    document_text(list, "sha256", prices->sha256);
    document_text(list, "date", prices->date[0] != '\0' ? prices->date : NULL);
    document_item(document, "price_list", list);
    document_bool(document, "dry_run", request->options.dry_run);
    document_integer(document, "calls", (wide_t)outcome->rows);
    document_integer(document, "changed", (wide_t)outcome->changed);
    document_integer(document, "without_client", (wide_t)outcome->orphans);
    document_item(document, "rows", table_json(table));
    document_print(document);
}

static void print_people(const struct request *request, const struct reprice_outcome *outcome,
                         struct table *table)
{
    const struct price_table *prices = request->options.prices;

    if (table_rows(table) != 0) {
        add_group(table, &request->total);
        table_show(table, COLUMN_PROVIDER, "TOTAL");
        table_show(table, COLUMN_MODEL, "%s", "");
        table_print_here(table);
        putchar('\n');
    }
    printf("%llu of %llu calls %s by price list %s%s%s.\n", (unsigned long long)outcome->changed,
           (unsigned long long)outcome->rows, request->options.dry_run ? "would change" : "changed",
           prices->name, prices->date[0] != '\0' ? " of " : "", prices->date);
    if (outcome->orphans != 0)
        printf("%llu calls stay as they are: their client's row is gone, with which sums they are found.\n",
               (unsigned long long)outcome->orphans);
}

static void print_answer(struct request *request, const struct reprice_outcome *outcome)
{
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));

    for (size_t i = 0; i < request->group_count; i++)
        add_group(table, request->groups[i]);
    if (request->common.format == FORMAT_JSON) {
        print_json(request, outcome, table);
    } else if (request->common.format == FORMAT_CSV) {
        table_csv_heading(table, stdout);
        table_csv(table, stdout, isatty(STDOUT_FILENO));
    } else {
        print_people(request, outcome, table);
    }
    table_free(table);
}

/* ---- what is asked ---- */

static int parse(int argc, char **argv, struct request *request)
{
    static const struct option longs[] = {
        {"since", required_argument, NULL, OPTION_SINCE},
        {"until", required_argument, NULL, OPTION_UNTIL},
        {"prices", required_argument, NULL, OPTION_PRICES},
        {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
        COMMON_FORMAT,
        COMMON_STATE,
        COMMON_HELP,
        COMMON_END,
    };
    int64_t now = when_now();
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "", longs, help, &request->common, &status)) >= 0) {
        if (code == OPTION_SINCE)
            request->since = optarg;
        else if (code == OPTION_UNTIL)
            request->until = optarg;
        else if (code == OPTION_PRICES)
            request->prices = optarg;
        else
            request->options.dry_run = true;
    }
    if (code == OPTIONS_EXIT)
        return status == EXIT_SUCCESS ? -1 : status;
    if ((status = no_more_arguments(argc, argv)) != EXIT_SUCCESS)
        return status;
    if (request->since == NULL)
        return misuse("say from when on: --since 7d, --since 2026-11-01");
    request->options.until_unix_ns = INT64_MAX;
    if (when_parse(request->since, now, &request->options.since_unix_ns) != 0)
        return misuse("--since wants a time such as " WHEN_FORMS ", not '%s'", request->since);
    if (request->until != NULL && when_parse(request->until, now, &request->options.until_unix_ns) != 0)
        return misuse("--until wants a time such as " WHEN_FORMS ", not '%s'", request->until);
    if (request->options.since_unix_ns >= request->options.until_unix_ns)
        return misuse("--until is not after --since");
    return EXIT_SUCCESS;
}

/* The list that priced the newest row, by its name, if none is named. To be freed; NULL: the built-in one. */
static int newest_list(struct request *request, char **name)
{
    struct db db;
    int status = db_open(&db, request->common.state_directory);

    *name = NULL;
    if (status != EXIT_SUCCESS)
        return status;
    request->options.state_directory = must_copy(db.directory);
    if (request->prices != NULL)
        *name = must_copy(request->prices);
    else
        status = prices_newest(&db, name);
    db_close(&db);
    return status;
}

static int run(struct request *request)
{
    struct reprice_outcome outcome;
    char error[REPRICE_ERROR_BYTES];

    request->options.changed = changed;
    request->options.context = request;
    if (reprice(&request->options, &outcome, error) != 0)
        return complain("%s", error);
    print_answer(request, &outcome);
    return EXIT_SUCCESS;
}

int reprice_command(int argc, char **argv)
{
    struct request request = {.since = NULL};
    char *name = NULL;

    int status = parse(argc, argv, &request);
    if (status != EXIT_SUCCESS)
        return status < 0 ? EXIT_SUCCESS : status;
    status = newest_list(&request, &name);
    struct price_table *prices = status == EXIT_SUCCESS ? prices_load(name) : NULL;
    request.options.prices = prices;
    status = prices != NULL ? run(&request) : EXIT_PROBLEM;
    for (size_t i = 0; i < request.group_count; i++) {
        tdelete(request.groups[i], &request.found, compare);
        free_group(request.groups[i]);
    }
    free(request.groups);
    price_table_free(prices);
    free(name);
    char *directory;
    memcpy(&directory, &request.options.state_directory, sizeof(directory));
    free(directory);
    return status;
}
