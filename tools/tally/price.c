/* price.c: what so much usage of a model costs, by which price, and why. */
#include "command.h"
#include "document.h"
#include "number.h"
#include "price/price.h"
#include "prices.h"
#include "table.h"
#include "text.h"
#include "when.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: tally price --model NAME [--provider NAME] [--COUNT N]... [--prices FILE]\n"
    "                   [--service-tier NAME] [--batch] [--server-address HOST]\n"
    "                   [--speed NAME] [--place NAME] [--at TIME]\n"
    "                   [--format table|json|csv]\n"
    "\n"
    "What usage costs by a price list: each kind of it, the price used and where\n"
    "that is from. Input tokens include cached ones, output tokens reasoning.\n"
    "\n"
    "  --input-tokens, --output-tokens, --cache-read-tokens, --cache-write-5m-tokens,\n"
    "  --cache-write-1h-tokens, --reasoning-tokens, --input-audio-tokens,\n"
    "  --output-audio-tokens, --input-image-tokens, --output-image-tokens,\n"
    "  --cache-read-audio-tokens, --cache-read-image-tokens, --input-video-tokens,\n"
    "  --input-images, --output-images, --input-audio-ms, --output-audio-ms,\n"
    "  --input-characters, --output-characters, --search-units, --web-searches N\n"
    "  --prices FILE          a list in the form of LiteLLM's; default: built in\n"
    "  --service-tier NAME    flex, priority, ultrafast, batch; a service without its\n"
    "                         own price costs the standard one (ultrafast: unknown)\n"
    "  --batch                as a batch\n"
    "  --server-address HOST  where a region's prices differ\n"
    "  --speed NAME, --place NAME\n"
    "                         as the response states them (Anthropic: fast, us)\n"
    "  --at TIME              when the call starts, for prices that go by the hour\n"
    "                         (DeepSeek's), as --since takes it; default: now\n"
    "  --format FORMAT        table (default), json or csv; --json is --format json\n"
    "Exit status 1: the cost is not known.\n";

enum {
    OPTION_MODEL = OPTION_OWN,
    OPTION_PROVIDER,
    OPTION_PRICES,
    OPTION_TIER,
    OPTION_BATCH,
    OPTION_SERVER,
    OPTION_SPEED,
    OPTION_PLACE,
    OPTION_AT,
    OPTION_QUANTITY /* and those that follow: one for each quantity */
};

#define COUNT_MAX INT64_C(1000000000000000)

static const char *const quantity_names[QUANTITY_COUNT] = {
#define QUANTITY_X(name) [QUANTITY_##name] = #name,
    QUANTITIES(QUANTITY_X)
#undef QUANTITY_X
};

struct request {
    struct common common;
    const char *prices;
    struct price_call call;
    struct quantities quantities;
};

enum column {
    COLUMN_KIND,
    COLUMN_COUNT_,
    COLUMN_UNIT,
    COLUMN_PRICE,
    COLUMN_PER,
    COLUMN_BY,
    COLUMN_OWN,
    COLUMN_TIER,
    COLUMN_PERIOD,
    COLUMN_SERVICE,
    COLUMN_COST,
    COLUMN_USD
};

/* clang-format off */
static const struct table_column columns[] = {
    [COLUMN_KIND]    = {"kind", "KIND", 0, 0},
    [COLUMN_COUNT_]  = {"count", "COUNT", TABLE_RIGHT, 0},
    [COLUMN_UNIT]    = {"unit", "UNIT", 0, 0},
    [COLUMN_PRICE]   = {"price_usd", "", TABLE_DATA, 0},
    [COLUMN_PER]     = {"", "PRICE", TABLE_RIGHT | TABLE_PEOPLE, 0},
    [COLUMN_BY]      = {"priced_as", "", TABLE_DATA, 0},
    [COLUMN_OWN]     = {"", "WHY", TABLE_PEOPLE, 0},
    [COLUMN_TIER]    = {"above_input_tokens", "", TABLE_DATA, 0},
    [COLUMN_PERIOD]  = {"period", "", TABLE_DATA, 0},
    [COLUMN_SERVICE] = {"service", "", TABLE_DATA, 0},
    [COLUMN_COST]    = {"cost_picodollars", "COST", TABLE_RIGHT, 0},
    [COLUMN_USD]     = {"cost_usd", "", TABLE_DATA, 0},
};
/* clang-format on */

/* ---- options ---- */

static struct price_text given(const char *text)
{
    return (struct price_text){text, strlen(text)};
}

static struct option *make_options(void)
{
    static const struct option fixed[] = {
        {"model", required_argument, NULL, OPTION_MODEL},
        {"provider", required_argument, NULL, OPTION_PROVIDER},
        {"prices", required_argument, NULL, OPTION_PRICES},
        {"service-tier", required_argument, NULL, OPTION_TIER},
        {"batch", no_argument, NULL, OPTION_BATCH},
        {"server-address", required_argument, NULL, OPTION_SERVER},
        {"speed", required_argument, NULL, OPTION_SPEED},
        {"place", required_argument, NULL, OPTION_PLACE},
        {"at", required_argument, NULL, OPTION_AT},
        COMMON_FORMAT,
        COMMON_HELP,
    };
    enum { FIXED = sizeof(fixed) / sizeof(fixed[0]) };
    struct option *options = must_allocate((FIXED + QUANTITY_COUNT + 1) * sizeof(*options));

    memcpy(options, fixed, sizeof(fixed));
    for (int i = 0; i < QUANTITY_COUNT; i++) {
        char *name = must_copy(quantity_names[i]);
        for (char *c = name; *c != '\0'; c++)
            *c = (char)(*c == '_' ? '-' : *c);
        options[FIXED + i] = (struct option){name, required_argument, NULL, OPTION_QUANTITY + i};
    }
    return options;
}

static void free_options(struct option *options)
{
    for (struct option *option = options; option->name != NULL; option++) {
        if (option->val >= OPTION_QUANTITY) {
            char *name;
            memcpy(&name, &option->name, sizeof(name));
            free(name);
        }
    }
    free(options);
}

static int take_option(struct request *request, int code)
{
    switch (code) {
    case OPTION_MODEL:
        request->call.names.request_model = given(optarg);
        return EXIT_SUCCESS;
    case OPTION_PROVIDER:
        request->call.names.provider = given(optarg);
        return EXIT_SUCCESS;
    case OPTION_PRICES:
        request->prices = optarg;
        return EXIT_SUCCESS;
    case OPTION_TIER:
        request->call.service_tier = given(optarg);
        return EXIT_SUCCESS;
    case OPTION_BATCH:
        request->call.batch = true;
        return EXIT_SUCCESS;
    case OPTION_SERVER:
        request->call.names.server_address = given(optarg);
        return EXIT_SUCCESS;
    case OPTION_SPEED:
        request->call.speed = given(optarg);
        return EXIT_SUCCESS;
    case OPTION_PLACE:
        request->call.place = given(optarg);
        return EXIT_SUCCESS;
    case OPTION_AT:
        if (when_parse(optarg, when_now(), &request->call.time_unix_ns) == 0)
            return EXIT_SUCCESS;
        return misuse("--at wants a time such as " WHEN_FORMS ", not '%s'", optarg);
    default:
        if (number_parse(optarg, 0, COUNT_MAX, &request->quantities.of[code - OPTION_QUANTITY]) == 0)
            return EXIT_SUCCESS;
        return misuse("a count is a whole number from 0 to 10^15, not '%s'", optarg);
    }
}

static int parse(int argc, char **argv, struct request *request)
{
    struct option *longs = make_options();
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "", longs, help, &request->common, &status)) >= 0) {
        status = take_option(request, code);
        if (status != EXIT_SUCCESS)
            break;
    }
    free_options(longs);
    if (code == OPTIONS_EXIT)
        return status == EXIT_SUCCESS ? -1 : status;
    if (status == EXIT_SUCCESS)
        status = no_more_arguments(argc, argv);
    if (status == EXIT_SUCCESS && request->call.names.request_model.data == NULL)
        return misuse("say which model: --model gpt-4o");
    return status;
}

/* Who names one side of a call and not the other means that there is none of it. */
static void suppose_none(struct quantities *quantities)
{
    int64_t *input = &quantities->of[QUANTITY_input_tokens];
    int64_t *output = &quantities->of[QUANTITY_output_tokens];

    if (*input >= 0 && *output < 0)
        *output = 0;
    else if (*output >= 0 && *input < 0)
        *input = 0;
}

/* ---- answers ---- */

/* A rate as people compare them: of tokens and characters for a million. */
static void show_price(struct table *table, const struct price_line *line)
{
    char text[DECIMAL_TEXT_BYTES];
    bool million =
        strcmp(rate_units[line->rate], "token") == 0 || strcmp(rate_units[line->rate], "character") == 0;

    decimal_text(line->price, 0, text);
    table_text(table, COLUMN_PRICE, text);
    decimal_text(line->price, million ? 6 : 0, text);
    table_show(table, COLUMN_PER, million ? "%s / million" : "%s", text);
}

static void show_count(struct table *table, const struct price_line *line)
{
    char text[DECIMAL_TEXT_BYTES];

    /* milliseconds, as seconds */
    if (line->count_scale == 0) {
        table_integer(table, COLUMN_COUNT_, line->count);
        return;
    }
    decimal_text((struct decimal){(uint64_t)line->count, (uint8_t)line->count_scale}, 0, text);
    table_text(table, COLUMN_COUNT_, text);
}

static void show_why(struct table *table, const struct price_result *result, const struct price_line *line)
{
    char tier[64] = "";

    if (line->tier != 0)
        snprintf(tier, sizeof(tier), ", %s %llu input tokens", result->entry->inclusive ? "from" : "above",
                 (unsigned long long)result->entry->tiers[line->tier - 1]);
    table_show(table, COLUMN_OWN, "%s%s price%s%s%s%s", line->own ? "its own" : "no price of its own: the ",
               line->own ? "" : rate_names[line->rate], tier, line->off_peak ? ", off-peak" : "",
               line->service != SERVICE_STANDARD ? ", " : "",
               line->service != SERVICE_STANDARD     ? service_names[line->service]
               : result->service != SERVICE_STANDARD ? " (standard: none for this service)"
                                                     : "");
}

/* NULL: the entry's prices are the same at all hours. */
static const char *period_name(const struct price_entry *entry, bool off_peak)
{
    if (entry == NULL || entry->window_count == 0)
        return NULL;
    return off_peak ? "off_peak" : "peak";
}

static void add_line(struct table *table, const struct price_result *result, const struct price_line *line)
{
    char money[NUMBER_BYTES];

    table_row(table);
    table_text(table, COLUMN_KIND, line->what);
    show_count(table, line);
    table_text(table, COLUMN_UNIT, rate_units[line->rate]);
    if (!line->found) {
        table_show(table, COLUMN_PER, "none");
        table_show(table, COLUMN_OWN, "the entry has no price for it");
        table_show(table, COLUMN_COST, "unknown");
        return;
    }
    show_price(table, line);
    table_text(table, COLUMN_BY, rate_names[line->rate]);
    show_why(table, result, line);
    if (line->tier != 0)
        table_integer(table, COLUMN_TIER, (wide_t)result->entry->tiers[line->tier - 1]);
    table_text(table, COLUMN_PERIOD, period_name(result->entry, line->off_peak));
    table_text(table, COLUMN_SERVICE, service_names[line->service]);
    table_integer(table, COLUMN_COST, line->picodollars);
    table_text(table, COLUMN_USD, money_text(line->picodollars, money));
    table_show(table, COLUMN_COST, "%s", money);
}

static struct table *make_table(const struct price_result *result)
{
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));

    for (int i = 0; i < result->line_count; i++)
        add_line(table, result, &result->lines[i]);
    return table;
}

/* NULL where the entry does not say it. */
static void document_remark(cJSON *document, const char *name, const struct price_text *text)
{
    if (text != NULL && text->length != 0)
        document_bytes(document, name, text->data, text->length);
    else
        document_text(document, name, NULL);
}

static void print_json(const struct price_table *prices, const struct price_call *call,
                       const struct price_result *result, struct table *table)
{
    cJSON *document = document_new("price", 1);
    cJSON *list = document_object();
    char text[DECIMAL_TEXT_BYTES];
    char money[NUMBER_BYTES];
    char when[WHEN_BYTES];
    bool known = result->outcome == PRICE_KNOWN;

    document_text(list, "name", prices->name);
    document_text(list, "sha256", prices->sha256);
    document_text(list, "date", prices->date[0] != '\0' ? prices->date : NULL);
    document_item(document, "price_list", list);
    if (result->entry != NULL)
        document_bytes(document, "entry", result->entry->name.data, result->entry->name.length);
    else
        document_text(document, "entry", NULL);
    document_remark(document, "source", result->entry != NULL ? &result->entry->source : NULL);
    document_remark(document, "price_date", result->entry != NULL ? &result->entry->date : NULL);
    document_remark(document, "price_note", result->entry != NULL ? &result->entry->note : NULL);
    document_text(document, "time", when_exact(call->time_unix_ns, when));
    document_text(document, "period", period_name(result->entry, result->off_peak));
    document_text(document, "service", service_names[result->service]);
    decimal_text(result->factor, 0, text);
    document_text(document, "factor", text);
    document_item(document, "lines", table_json(table));
    document_text(document, "cost_basis", price_outcome_names[result->outcome]);
    if (known)
        document_integer(document, "cost_picodollars", result->picodollars);
    else
        document_text(document, "cost_picodollars", NULL);
    document_text(document, "cost_usd", known ? money_text(result->picodollars, money) : NULL);
    document_print(document);
}

static void print_remark(const char *what, struct price_text text, struct price_text date)
{
    char *shown = text_shown(text.data, text.length);
    char *when = text_shown(date.data, date.length);

    if (*shown != '\0')
        printf("%s: %s%s%s.\n", what, shown, *when != '\0' ? ", " : "", when);
    free(when);
    free(shown);
}

/* Where the price is from, and what else is to be known of it. */
static void print_entry(const struct price_table *prices, const struct price_result *result)
{
    const struct price_entry *entry = result->entry;
    char *name = text_shown(entry->name.data, entry->name.length);
    const struct price_text none = {"", 0};
    int standard = 0;

    printf("By \"%s\" of price list %s%s%s.\n", name, prices->name, prices->date[0] != '\0' ? " of " : "",
           prices->date);
    print_remark("Source", entry->source, entry->date);
    print_remark("Note", entry->note, none);
    for (int i = 0; i < result->line_count; i++)
        standard += result->lines[i].found && result->lines[i].service != result->service;
    if (standard != 0)
        printf("It has no price for service \"%s\" of %s: the standard price counts.\n",
               service_names[result->service], standard == result->line_count ? "these" : "some of these");
    free(name);
}

static void print_people(const struct price_table *prices, const struct price_call *call,
                         const struct price_result *result, struct table *table)
{
    char text[DECIMAL_TEXT_BYTES];
    char money[NUMBER_BYTES];
    char when[WHEN_BYTES];

    if (table_rows(table) != 0) {
        table_print_here(table);
        putchar('\n');
    }
    printf("Cost: %s\n", result->outcome == PRICE_KNOWN ? money_text(result->picodollars, money) : "unknown");
    if (result->entry != NULL)
        print_entry(prices, result);
    if (period_name(result->entry, result->off_peak) != NULL)
        printf("At %s UTC the %s prices hold.\n", when_shown(call->time_unix_ns, when),
               result->off_peak ? "off-peak" : "peak");
    if (!decimal_equal(result->factor, DECIMAL_ONE)) {
        decimal_text(result->factor, 0, text);
        printf("Tokens times %s, for their speed or place.\n", text);
    }
}

static int outcome_status(const struct price_table *prices, const struct request *request,
                          const struct price_result *result)
{
    bool provider = request->call.names.provider.data != NULL;

    switch (result->outcome) {
    case PRICE_KNOWN:
        return EXIT_SUCCESS;
    case PRICE_NO_MODEL:
        return complain("price list %s has no such model: %sname another list with --prices", prices->name,
                        provider ? "" : "say whose it is with --provider, or ");
    case PRICE_NO_RATE:
        if (result->entry->by_time)
            return complain(
                "it costs something else at other times, of which the list says what cannot be read here");
        return complain("the entry has no price for all that was used");
    case PRICE_NO_COUNTS:
        return complain(
            "how much was used is not known: say --input-tokens and --output-tokens, or what else "
            "the model is billed by");
    default:
        return complain("it is beyond what a call's cost may be, 9.2 million dollars");
    }
}

int price_command(int argc, char **argv)
{
    struct request request = {0};
    struct price_table *prices;
    struct price_result result;

    quantities_init(&request.quantities);
    request.call.quantities = &request.quantities;
    request.call.time_unix_ns = when_now();
    int status = parse(argc, argv, &request);
    suppose_none(&request.quantities);
    if (status != EXIT_SUCCESS)
        return status < 0 ? EXIT_SUCCESS : status;
    prices = prices_load(request.prices);
    if (prices == NULL)
        return EXIT_PROBLEM;
    price(prices, NULL, &request.call, &result);
    struct table *table = make_table(&result);
    if (request.common.format == FORMAT_JSON) {
        print_json(prices, &request.call, &result, table);
    } else if (request.common.format == FORMAT_CSV) {
        table_csv_heading(table, stdout);
        table_csv(table, stdout, isatty(STDOUT_FILENO));
    } else {
        print_people(prices, &request.call, &result, table);
    }
    status = outcome_status(prices, &request, &result);
    table_free(table);
    price_table_free(prices);
    return status;
}
