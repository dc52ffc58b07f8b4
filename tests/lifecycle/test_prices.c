/* Prices as operators meet them: a list for the agent, another while it runs, one that is not sound, history priced anew beside
 * the agent, and an agent killed in between. */
#include "support/command.h"
#include "support/test.h"
#include "support/tries.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CALL "record --provider p --request-model m --input-tokens 100 --output-tokens 10 --wait 30000"

static void path_of(const struct room *room, const char *name, char path[ROOM_PATH_MAX])
{
    snprintf(path, ROOM_PATH_MAX, "%s/%s", room->directory, name);
}

/* Renamed into place, as operators should. */
static void write_file(const struct room *room, const char *name, const char *text)
{
    char path[ROOM_PATH_MAX];
    char part[ROOM_PATH_MAX];

    path_of(room, name, path);
    path_of(room, "part", part);
    FILE *file = fopen(part, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(part, path), 0);
}

static void write_list(const struct room *room, const char *input_price)
{
    char text[300];

    snprintf(text, sizeof(text),
             "{\"p/m\": {\"input_cost_per_token\": %s, \"output_cost_per_token\": 1e-05,"
             " \"litellm_provider\": \"p\"}}",
             input_price);
    write_file(room, "prices.json", text);
}

/* An agent with --prices in its configuration file. */
static void start_priced(struct room *room, char config[ROOM_PATH_MAX])
{
    char text[ROOM_PATH_MAX + 20];
    char list[ROOM_PATH_MAX];

    path_of(room, "prices.json", list);
    path_of(room, "tallyd.conf", config);
    snprintf(text, sizeof(text), "prices = %s\n", list);
    write_file(room, "tallyd.conf", text);
    room->agent_config = config;
    agent_start(room);
}

static void call(const struct room *room)
{
    free(command_expect_success(room, CALL));
}

#define COSTS "SELECT group_concat(coalesce(cost_picodollars, '-')) FROM usage"

static void a_list_is_read_again_while_the_agent_runs(void **state)
{
    struct room *room = *state;
    char config[ROOM_PATH_MAX];

    write_list(room, "1e-06");
    start_priced(room, config);
    call(room);
    books_expect_text(room, "200000000", COSTS);
    write_list(room, "2e-06");
    kill(room->agent, SIGHUP);
    wait_until(agent_said(room, "prices.json: 1 models"));
    call(room);
    /* One that is not sound: the old one stays, and one sentence says where it is wrong. */
    write_list(room, "\"cheap\"");
    kill(room->agent, SIGHUP);
    wait_until(agent_said(
        room, "\"p/m\": \"input_cost_per_token\": must be a number; the price list that was in use "
              "stays in use"));
    call(room);
    books_expect_text(room, "200000000,300000000,300000000", COSTS);
    books_expect_text(room, "1,2,2", "SELECT group_concat(price_table_id) FROM usage");
    books_expect_text(
        room, "2|800000000|0",
        "SELECT (SELECT count(*) FROM price_tables)||'|'||sum(cost_picodollars)||'|'||sum(cost_unknown)"
        " FROM usage_hourly");
    agent_stop(room);
    tries(3, "price lists handed to a running agent");
}

/* Prices that depend on more than the model, from the list's text to the row: how much was asked, where, by which service. */
static void terms_of_a_call_reach_its_cost(void **state)
{
    static const char list[] =
        "{\"openai/t\": {\"litellm_provider\": \"openai\", \"tiered_pricing\": ["
        "  {\"range\": [0, 1000.0], \"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 2e-06},"
        "  {\"range\": [1000.0, 1e9], \"input_cost_per_token\": 3e-06, \"output_cost_per_token\": 4e-06}]},"
        " \"openai/r\": {\"litellm_provider\": \"openai\", \"input_cost_per_token\": 1e-06,"
        "  \"output_cost_per_token\": 1e-05, \"input_cost_per_token_batches\": 5e-07,"
        "  \"regional_processing_uplift_multiplier_eu\": 1.1},"
        " \"vertex_ai/v\": {\"litellm_provider\": \"vertex_ai\", \"input_cost_per_token\": 1e-06,"
        "  \"output_cost_per_token\": 1e-05, \"regional_endpoint_uplift_multiplier\": 1.1},"
        " \"deepseek/h\": {\"litellm_provider\": \"deepseek\", \"input_cost_per_token\": 1e-06,"
        "  \"output_cost_per_token\": 1e-05, \"pricing_periods\": [{\"effective_until\": \"2026-12-01\","
        "  \"input_cost_per_token\": 5e-07}]}}";
    static const struct {
        const char *terms;
        int input_tokens;
        const char *cost; /* with 10 output tokens */
    } calls[] = {
        {"--provider openai --request-model t", 1000, "1020000000"},
        {"--provider openai --request-model t", 1001, "3043000000"}, /* all of it at the upper tier */
        {"--provider openai --request-model r --server-address api.openai.com", 100, "200000000"},
        {"--provider openai --request-model r --server-address eu.api.openai.com", 100, "220000000"},
        {"--provider openai --request-model r --server-address us.api.openai.com", 100, "200000000"},
        {"--provider openai --request-model r --batch", 100, "150000000"}, /* no price of output in batches */
        {"--provider openai --request-model r --service-tier flex", 100, "200000000"},
        {"--provider gcp.vertex_ai --request-model v --server-address aiplatform.googleapis.com", 100,
         "200000000"},
        {"--provider gcp.vertex_ai --request-model v --server-address europe-west4-aiplatform.googleapis.com",
         100, "220000000"},
        {"--provider deepseek --request-model h", 100, "-"}, /* when, is not read: not known */
    };
    struct room *room = *state;
    char config[ROOM_PATH_MAX];
    char expected[300] = "";

    write_file(room, "prices.json", list);
    start_priced(room, config);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        char words[300];
        snprintf(words, sizeof(words), "record %s --input-tokens %d --output-tokens 10 --wait 30000",
                 calls[i].terms, calls[i].input_tokens);
        free(command_expect_success(room, words));
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof(expected) - used, "%s%s", i ? "," : "", calls[i].cost);
    }
    books_expect_text(room, expected, COSTS);
    books_expect_text(room, "no_rate", "SELECT cost_basis FROM usage WHERE cost_picodollars IS NULL");
    agent_stop(room);
    tries(sizeof(calls) / sizeof(calls[0]), "calls whose price depends on their terms");
}

static void write_hours(const struct room *room, const char *name, const char *hours)
{
    char text[300];

    snprintf(text, sizeof(text),
             "{\"deepseek/h\": {\"input_cost_per_token\": 2e-06, \"output_cost_per_token\": 1e-05,"
             " \"off_peak_pricing\": {\"hours_utc\": \"%s\", \"input_cost_per_token\": 1e-06}}}",
             hours);
    write_file(room, name, text);
}

/* Minutes 30 to 989 of the day are those between 00:30 and 16:30. */
#define COST_NOT_OF_THE_HOUR                                                                                 \
    "SELECT count(*) FROM usage WHERE cost_basis <> 'list' OR cost_picodollars IS NOT"                       \
    " CASE WHEN start_time_unix_ns / 60000000000 %% 1440 BETWEEN 30 AND 989 THEN %d ELSE %d END"

/* The hour in which a call starts, not the one in which it is recorded or priced anew. */
static void prices_go_by_the_hour_of_each_call(void **state)
{
    static const struct {
        int second; /* of two days that are over */
        const char *period;
        int64_t cost;
    } calls[] = {
        {59399, "peak", 300000000},     {59400, "off_peak", 200000000}, {86400, "off_peak", 200000000},
        {88199, "off_peak", 200000000}, {88200, "peak", 300000000},
    };
    struct room *room = *state;
    char config[ROOM_PATH_MAX];
    char list[ROOM_PATH_MAX];
    char other[ROOM_PATH_MAX];
    char words[2 * ROOM_PATH_MAX];
    char when[40];
    time_t midnight = (time(NULL) / 86400 - 2) * 86400;

    write_hours(room, "prices.json", "16:30-00:30");
    write_hours(room, "other.json", "00:30-16:30");
    path_of(room, "prices.json", list);
    path_of(room, "other.json", other);
    start_priced(room, config);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct tm tm;
        time_t start = midnight + calls[i].second;
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&start, &tm));
        snprintf(words, sizeof(words),
                 "record --provider deepseek --request-model h --input-tokens 100 --output-tokens 10"
                 " --start-time %s --wait 30000",
                 when);
        free(command_expect_success(room, words));
        books_expect_text(room, calls[i].cost == 200000000 ? "200000000" : "300000000",
                          "SELECT cost_picodollars FROM usage ORDER BY id DESC LIMIT 1");
        snprintf(words, sizeof(words),
                 "price --model deepseek/h --input-tokens 100 --output-tokens 10 --at %s --json --prices %s",
                 when, list);
        cJSON *json = command_expect_json(room, words, 0);
        assert_int_equal(command_number(json, "cost_picodollars"), calls[i].cost);
        assert_string_equal(cJSON_GetObjectItem(json, "period")->valuestring, calls[i].period);
        assert_string_equal(cJSON_GetObjectItem(json, "time")->valuestring, when);
        cJSON_Delete(json);
    }
    /* one that does not say when it started */
    free(command_expect_success(room, "record --provider deepseek --request-model h --input-tokens 100"
                                      " --output-tokens 10 --wait 30000"));
    books_expect_text(room, "0", COST_NOT_OF_THE_HOUR, 300000000, 200000000);
    snprintf(words, sizeof(words), "reprice --since 7d --prices %s", other);
    free(command_expect_success(room, words));
    books_expect_text(room, "0", COST_NOT_OF_THE_HOUR, 200000000, 300000000);
    books_expect_text(room, "6", "SELECT count(*) FROM usage");
    write_hours(room, "prices.json", "16:30-24:30");
    kill(room->agent, SIGHUP);
    wait_until(agent_said(room, "\"deepseek/h\": \"off_peak_pricing\": \"hours_utc\" must be hours"));
    agent_stop(room);
    command_expect_sentence(room, "price --model h --input-tokens 1 --at yesteryear", 2);
    tries(12, "calls priced by the hour of their start, and anew");
}

static void an_agent_does_not_start_with_a_bad_list(void **state)
{
    struct room *room = *state;
    char *output;
    char list[ROOM_PATH_MAX];

    write_list(room, "-1");
    path_of(room, "prices.json", list);
    assert_int_not_equal(room_capture(room, &output, "tallyd", "--once", "--prices", list, NULL), 0);
    free(output);
    assert_int_not_equal(room_capture(room, &output, "tallyd", "--once", "--prices", "/nonexistent", NULL),
                         0);
    free(output);
    assert_int_equal(room_capture(room, &output, "tallyd", "--once", "--prices", "", NULL), 0);
    free(output);
}

/* The agent killed while lists change and calls come: each row is there once, with the cost by the list that it names. */
static void an_agent_killed_between_lists(void **state)
{
    struct room *room = *state;
    char config[ROOM_PATH_MAX];
    static const char *const list_prices[] = {"1e-06", "2e-06", "3e-06"};

    write_list(room, list_prices[0]);
    start_priced(room, config);
    for (int i = 0; i < 12; i++) {
        call(room);
        write_list(room, list_prices[(i + 1) % 3]);
        kill(room->agent, SIGHUP);
        if (i % 4 == 3) {
            agent_kill(room);
            free(command_expect_success(
                room, "record --provider p --request-model m --input-tokens 100 --output-tokens 10"));
            agent_start(room);
        }
    }
    books_await_ended(room);
    books_expect_text(room, "15", "SELECT count(*) FROM usage");
    books_expect_text(room, "0",
                      "SELECT count(*) FROM usage WHERE cost_picodollars IS NULL OR price_table_id IS NULL");
    /* one list, one cost */
    books_expect_text(room, "1",
                      "SELECT max(n) FROM (SELECT count(DISTINCT cost_picodollars) AS n FROM usage"
                      " GROUP BY price_table_id)");
    books_expect_text(room, "1",
                      "SELECT (SELECT sum(cost_picodollars) FROM usage) ="
                      " (SELECT sum(cost_picodollars) FROM usage_hourly)");
    agent_stop(room);
    tries(3, "agents killed between two price lists");
}

static void history_is_priced_anew_beside_the_agent(void **state)
{
    struct room *room = *state;
    char config[ROOM_PATH_MAX];
    char words[ROOM_PATH_MAX + 100];
    char list[ROOM_PATH_MAX];

    write_list(room, "1e-06");
    start_priced(room, config);
    struct program *client = room_start(room, "client", "background=2", "await=1", "stop", "exit=0", NULL);
    call(room);
    wait_until(room_acknowledged(room) > 500);
    path_of(room, "other.json", list);
    write_file(room, "other.json",
               "{\"m\": {\"input_cost_per_token\": 5e-06, \"output_cost_per_token\": 1e-05}}");
    for (int i = 0; i < 5; i++) { /* while calls come in */
        snprintf(words, sizeof(words), "reprice --since 1h --json %s%s", i % 2 ? "" : "--prices ",
                 i % 2 ? "" : list);
        cJSON *json = command_expect_json(room, words, 0);
        assert_true(command_number(json, "calls") > 0);
        cJSON_Delete(json);
        uint64_t before = room_acknowledged(room);
        wait_until(room_acknowledged(room) > before + 100);
    }
    room_go(room, 1);
    room_expect_exit(room, client, 0);
    books_await_ended(room);
    books_expect_complete(room, room_refused(room));
    snprintf(words, sizeof(words), "reprice --since 1h --prices %s", list);
    free(command_expect_success(room, words));
    books_expect_text(room, "600000000", "SELECT cost_picodollars FROM usage WHERE request_model = 'm'");
    books_expect_text(room, "1",
                      "SELECT (SELECT sum(calls) FROM usage_hourly) = (SELECT count(*) FROM usage)");
    books_expect_text(room, "1",
                      "SELECT (SELECT sum(cost_picodollars) FROM usage) IS"
                      " (SELECT sum(cost_picodollars) FROM usage_hourly)");
    books_expect_text(room, "1",
                      "SELECT (SELECT sum(cost_unknown) FROM usage_hourly) ="
                      " (SELECT count(*) FROM usage WHERE cost_picodollars IS NULL)");
    assert_true(agent_running(room)); /* its epoch was left alone */
    call(room);
    agent_stop(room);
    tries(6, "times history was priced anew beside an agent that writes");
}

static void prices_by_hand(void **state)
{
    struct room *room = *state;
    char words[ROOM_PATH_MAX + 200];
    char list[ROOM_PATH_MAX];

    write_list(room, "1e-06");
    path_of(room, "prices.json", list);
    snprintf(words, sizeof(words),
             "price --prices %s --provider p --model m --input-tokens 100 --output-tokens 10 "
             "--cache-read-tokens 40 "
             "--json",
             list);
    cJSON *json = command_expect_json(room, words, 0);
    assert_int_equal(command_number(json, "cost_picodollars"), 200000000);
    assert_string_equal(cJSON_GetObjectItem(json, "entry")->valuestring, "p/m");
    const cJSON *cached = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "lines"), 1);
    assert_string_equal(cJSON_GetObjectItem(cached, "kind")->valuestring, "cache_read");
    assert_string_equal(cJSON_GetObjectItem(cached, "priced_as")->valuestring, "input");
    assert_string_equal(cJSON_GetObjectItem(cached, "price_usd")->valuestring, "0.000001");
    cJSON_Delete(json);
    char *table =
        command_expect_success(room, "price --model gpt-4o --input-tokens 1000 --output-tokens 500");
    assert_non_null(strstr(table, "Cost: 0.0075"));
    assert_non_null(strstr(table, "Source: https://developers.openai.com/api/docs/pricing, 2026-"));
    free(table);
    table = command_expect_success(
        room, "price --model o1 --input-tokens 1000 --output-tokens 500 --service-tier flex");
    assert_non_null(
        strstr(table, "It has no price for service \"flex\" of these: the standard price counts."));
    free(table);
    json = command_expect_json(room, "price --model nobody --input-tokens 1 --json", 1);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "cost_picodollars")));
    assert_string_equal(cJSON_GetObjectItem(json, "cost_basis")->valuestring, "no_model");
    cJSON_Delete(json);
    command_expect_sentence(room, "price --input-tokens 5", 2);
    command_expect_sentence(room, "price --model m --input-tokens 1.5", 2);
    command_expect_sentence(room, "price --model m --prices /nonexistent --input-tokens 1", 1);
    command_expect_sentence(room, "reprice", 2);
    command_expect_sentence(room, "reprice --since yesteryear", 2);
    command_expect_sentence(room, "reprice --since 1h --until 2h", 2);
    command_expect_sentence(room, "reprice --since 1h", 1); /* no database */
}

static void costs_are_reported_and_what_is_unknown_is_named(void **state)
{
    struct room *room = *state;
    char config[ROOM_PATH_MAX];

    write_list(room, "1e-06");
    start_priced(room, config);
    call(room);
    call(room);
    free(command_expect_success(room,
                                "record --provider p --request-model nobody --input-tokens 5 --wait 30000"));
    agent_stop(room);
    cJSON *json = command_expect_json(room, "report --json", 0);
    const cJSON *total = cJSON_GetObjectItem(json, "total");
    assert_int_equal(command_number(total, "cost_picodollars"), 400000000);
    assert_int_equal(command_number(total, "cost_unknown"), 1);
    assert_string_equal(cJSON_GetObjectItem(total, "cost_usd")->valuestring, "0.0004");
    cJSON_Delete(json);
    char *table = command_expect_success(room, "report --by none");
    assert_non_null(strstr(table, "0.0004 + 1 unknown"));
    free(table);
    struct command_result doctor = command_run(room, "doctor");
    assert_non_null(strstr(doctor.out, "1 calls of 1 models have no known cost: p/nobody: 1"));
    assert_non_null(strstr(doctor.out, "prices.json (no date)"));
    command_release(&doctor);
    json = command_expect_json(room, "tail --json -n 1", 0);
    const cJSON *usage = cJSON_GetObjectItem(json, "usage");
    assert_string_equal(cJSON_GetObjectItem(usage, "cost_basis")->valuestring, "no_model");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(usage, "cost_picodollars")));
    cJSON_Delete(json);
}

static void calls_in_flight_have_a_cost_so_far(void **state)
{
    struct room *room = *state;
    char config[ROOM_PATH_MAX];

    write_file(room, "prices.json",
               "{\"large\": {\"input_cost_per_token\": 1e-06, \"output_cost_per_token\": 1e-05}}");
    start_priced(room, config);
    free(command_expect_success(
        room,
        "record --provider test --request-model large --input-tokens 1 --output-tokens 0 --wait 30000"));
    struct program *client =
        room_start(room, "client", "begin", "progress=10", "progress=25", "stage=1", "await=1", NULL);
    room_await_stage(room, 1);
    wait_until(books_number(room, "SELECT output_tokens FROM open_calls") == 25);
    cJSON *json = command_expect_json(room, "calls --json", 0);
    const cJSON *row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "calls"), 0);
    assert_int_equal(command_number(row, "cost_so_far_picodollars"), 350000000); /* 100 in, 25 out */
    cJSON_Delete(json);
    room_kill(room, client);
    books_await_ended(room);
    /* aborted, with that cost, and marked as an estimate */
    books_expect_text(
        room, "aborted|350000000|2",
        "SELECT status||'|'||cost_picodollars||'|'||(flags & 2) FROM usage WHERE status = 'aborted'");
    agent_stop(room);
}

/* Its name is kept so that it means the same file in whatever folder history is priced anew. */
static void a_list_of_a_relative_name_is_found_again(void **state)
{
    struct room *room = *state;
    char here[ROOM_PATH_MAX];
    char list[4 * ROOM_PATH_MAX];
    int used = 0;
    char *output;

    write_list(room, "1e-06");
    free(command_expect_success(
        room, "record --provider p --request-model m --input-tokens 100 --output-tokens 10"));
    assert_non_null(getcwd(here, sizeof(here)));
    for (const char *at = here; at && at[1] && used < ROOM_PATH_MAX; at = strchr(at + 1, '/'))
        used += snprintf(list + used, sizeof(list) - (size_t)used, "%s", used ? "/.." : "..");
    assert_true(used > 0 && used < ROOM_PATH_MAX);
    snprintf(list + used, sizeof(list) - (size_t)used, "%s/prices.json", room->directory);
    assert_int_equal(list[0], '.');
    assert_int_equal(room_capture(room, &output, "tallyd", "--once", "--prices", list, NULL), 0);
    free(output);
    books_expect_text(room, "200000000", COSTS);
    books_expect_text(room, "/", "SELECT substr(name, 1, 1) FROM price_tables");
    cJSON *json = command_expect_json(room, "reprice --since 1h --json", 0);
    assert_int_equal(command_number(json, "calls"), 1);
    assert_int_equal(command_number(json, "changed"), 0);
    cJSON_Delete(json);
}

static bool doctor_says(const struct room *room, const char *words)
{
    struct command_result doctor = command_run(room, "doctor");
    bool says = strstr(doctor.out, words) != NULL;

    command_release(&doctor);
    return says;
}

static void the_built_in_list_says_how_much_of_it_is_whose(void **state)
{
    struct room *room = *state;

    agent_start(room);
    call(room);
    agent_stop(room);
    assert_true(doctor_says(room, "entries as read on their provider's page, the others at second hand"));
    command_change_database(room, "UPDATE price_tables SET sha256 = 'another'");
    assert_true(doctor_says(room, "of another version of tallyd"));
}

/* An object that nobody knows; then, as if a newer version had come, one that is known; then filled in. */
static void what_was_not_understood_is_named_until_it_is_filled_in(void **state)
{
    struct room *room = *state;
    char config[ROOM_PATH_MAX];
    char words[ROOM_PATH_MAX + 100];

    write_list(room, "1e-06");
    start_priced(room, config);
    write_file(room, "usage.json", "{\"mystery\": 5, \"riddle\": 6}");
    snprintf(words, sizeof(words),
             "record --provider p --request-model m --wait 30000 --usage-json %s/usage.json",
             room->directory);
    free(command_expect_success(room, words));
    agent_stop(room);
    assert_true(doctor_says(room, "1 calls of provider p came with a usage object of an unknown shape"));
    assert_true(doctor_says(room, "a newer tallyd may understand it"));
    command_change_database(
        room, "UPDATE usage_texts SET usage_json = '{\"prompt_tokens\":100,\"completion_tokens\":10}'");
    assert_true(doctor_says(room, "'tally reprice' fills in what it says"));
    free(command_expect_success(room, "reprice --since 1h"));
    books_expect_text(room, "200000000", COSTS);
    assert_false(doctor_says(room, "came with a usage object"));
}

static void a_database_of_another_version_is_named(void **state)
{
    static const char *const commands[] = {"report", "tail", "calls", "reprice --since 1h"};
    static const char *const remedies[] = {"start tallyd", "use the newer tally"};
    struct room *room = *state;
    char config[ROOM_PATH_MAX];

    write_list(room, "1e-06");
    start_priced(room, config);
    call(room);
    agent_stop(room);
    for (int newer = 0; newer < 2; newer++) {
        command_change_database(room, newer ? "PRAGMA user_version=6"
                                            : "PRAGMA user_version=1; DROP TABLE price_tables;"
                                              "ALTER TABLE usage_hourly DROP COLUMN cost_millions");
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
            command_expect_sentence(room, commands[i], 1);
            struct command_result result = command_run(room, commands[i]);
            assert_non_null(strstr(result.err, remedies[newer]));
            command_release(&result);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(a_list_is_read_again_while_the_agent_runs),
        room_test(terms_of_a_call_reach_its_cost),
        room_test(prices_go_by_the_hour_of_each_call),
        room_test(an_agent_does_not_start_with_a_bad_list),
        room_test(an_agent_killed_between_lists),
        room_test(history_is_priced_anew_beside_the_agent),
        room_test(prices_by_hand),
        room_test(costs_are_reported_and_what_is_unknown_is_named),
        room_test(calls_in_flight_have_a_cost_so_far),
        room_test(a_list_of_a_relative_name_is_found_again),
        room_test(the_built_in_list_says_how_much_of_it_is_whose),
        room_test(what_was_not_understood_is_named_until_it_is_filled_in),
        room_test(a_database_of_another_version_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
