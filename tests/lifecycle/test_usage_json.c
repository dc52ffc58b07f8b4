/* Recorded responses on their whole way: tally record --usage-json, shared memory, agent, database. A sample of
 * ../shared/corpus, where it is; each is right to the token in tests/unit/test_understand_corpus.c, here the way is what is tried. */
#include "support/command.h"
#include "support/test.h"
#include "support/tries.h"

#define EVERY 16

static char *exceptions;

static void load_exceptions(void)
{
    char path[ROOM_PATH_MAX * 2];
    const char *source = getenv("TALLY_TEST_SOURCE");
    size_t size = 0;

    snprintf(path, sizeof(path), "%s/tests/fixtures/understand/exceptions", source ? source : ".");
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(getdelim(&exceptions, &size, '\0', file) > 0);
    fclose(file);
}

static FILE *open_corpus(void)
{
    char command[ROOM_PATH_MAX * 2];
    const char *source = getenv("TALLY_TEST_SOURCE");

    snprintf(command, sizeof(command), "%s/../shared/corpus/exchanges-open.jsonl.gz", source ? source : ".");
    if (access(command, R_OK) != 0)
        return NULL;
    snprintf(command, sizeof(command), "exec gzip -dc '%s/../shared/corpus/exchanges-open.jsonl.gz'",
             source ? source : ".");
    return popen(command, "r"); // NOLINT(cert-env33-c): of the test's own making
}

static long long count_of(const cJSON *usage, const char *name)
{
    const cJSON *count = cJSON_GetObjectItem(usage, name);

    return cJSON_IsNumber(count) ? (long long)count->valuedouble : 0;
}

/* Recorded under its identifier, and looked up again under it. */
static void record_and_look(const struct room *room, const cJSON *exchange)
{
    const cJSON *usage = cJSON_GetObjectItem(exchange, "usage");
    const char *id = cJSON_GetObjectItem(exchange, "id")->valuestring;
    const char *body = cJSON_GetObjectItem(exchange, "response_body")->valuestring;
    char path[ROOM_PATH_MAX];
    char words[ROOM_PATH_MAX + 120];
    char expected[200];

    snprintf(path, sizeof(path), "%s/response", room->directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(body, file) >= 0);
    assert_int_equal(fclose(file), 0);
    snprintf(words, sizeof(words), "record --provider p --session %s --usage-json %s --wait 30000", id, path);
    free(command_expect_success(room, words));
    assert_int_equal(unlink(path), 0);
    snprintf(expected, sizeof(expected), "%lld,%lld,%lld,%lld,%lld", count_of(usage, "input"),
             count_of(usage, "output"), count_of(usage, "cache_read"), count_of(usage, "cache_write"),
             count_of(usage, "reasoning"));
    books_expect_text(room, expected,
                      "SELECT printf('%%d,%%d,%%d,%%d,%%d',input_tokens,output_tokens,cache_read_tokens,"
                      "coalesce(cache_write_5m_tokens,0)+coalesce(cache_write_1h_tokens,0),reasoning_tokens) "
                      "FROM usage WHERE session='%s'",
                      id);
}

static void recorded_responses_arrive_right_to_the_token(void **state)
{
    struct room *room = *state;
    char *line = NULL;
    size_t capacity = 0;
    unsigned long long recorded = 0;
    FILE *corpus = open_corpus();

    if (!corpus)
        skip_because("no recordings: ../shared/corpus is not there");
    load_exceptions();
    agent_start(room);
    for (unsigned number = 0; getline(&line, &capacity, corpus) > 0; number++) {
        if (number % EVERY != 0)
            continue;
        cJSON *exchange = cJSON_Parse(line);
        const cJSON *usage = cJSON_GetObjectItem(exchange, "usage");
        if (cJSON_IsObject(usage) && !strstr(exceptions, cJSON_GetObjectItem(exchange, "id")->valuestring)) {
            record_and_look(room, exchange);
            recorded++;
        }
        cJSON_Delete(exchange);
    }
    pclose(corpus);
    free(line);
    free(exceptions);
    assert_true(recorded > 0);
    tries(recorded, "recorded responses from the command to the database");
    agent_stop(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(recorded_responses_arrive_right_to_the_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
