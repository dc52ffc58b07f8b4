/* The `tally` command as its users meet it: statuses, sentences, formats, and the books. */
#include "support/command.h"
#include "support/test.h"

#include "support/tries.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <tally/tally.h>

static const char *const commands[] = {"report", "tail",    "calls",  "clients", "lanes", "audit",
                                       "record", "recover", "doctor", "backup",  "price", "reprice"};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* ---- arguments ------------------------------------------------------------------------------- */

static void misuse_is_one_sentence_and_2(void **state)
{
    static const char *const bad[] = {
        "",
        "nonsense",
        "--nonsense",
        "report --nonsense",
        "report -x",
        "report surplus",
        "report --by nonsense",
        "report --by",
        "report --since yesteryear",
        "report --since 2026-02-30",
        "report --until 12",
        "report --since 1h --until 2h",
        "report --where team",
        "report --format xml",
        "report --json=1",
        "tail -n -1",
        "tail -n",
        "tail --lines 1x",
        "clients --since never",
        "lanes --arena /",
        "audit --format csv",
        "doctor --format csv",
        "recover surplus",
        "backup",
        "backup a b",
        "record",
        "record --user bob",
        "record --provider a --input-tokens 1.5",
        "record --provider a --input-tokens -1",
        "record --provider a --input-tokens 99999999999999999999",
        "record --provider a --input-tokens ~1",
        "record --provider a --output-tokens 0x10",
        "record --provider a --http-status 99",
        "record --provider a --status fine",
        "record --provider a --provider-cost 1,5",
        "record --provider a --provider-cost 0.0000000000001",
        "record --provider a --duration 5",
        "record --provider a --start-time soon",
        "record --provider a --wait -5",
        "record --provider a surplus",
    };
    struct room *room = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        command_expect_sentence(room, bad[i], 2);
    assert_int_equal(access(room->arena_path, F_OK), -1);
}

static void help_is_for_everyone(void **state)
{
    struct room *room = *state;
    char words[64];

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        snprintf(words, sizeof(words), "%s --help", commands[i]);
        char *help = command_expect_success(room, words);
        snprintf(words, sizeof(words), "Usage: tally %s ", commands[i]);
        assert_int_equal(strncmp(help, words, strlen(words)), 0);
        for (char *rest = help, *line; (line = strsep(&rest, "\n")) != NULL;)
            assert_true(strlen(line) <= 80);
        free(help);
    }
    char *text = command_expect_success(room, "--help");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        assert_non_null(strstr(text, commands[i]));
    free(text);
    text = command_expect_success(room, "--version");
    assert_string_equal(text, "tally " TALLY_VERSION "\n");
    free(text);
}

static void without_a_database_one_sentence_and_1(void **state)
{
    static const char *const askers[] = {"report",  "tail",  "tail -f",    "calls",
                                         "clients", "audit", "backup copy"};
    struct room *room = *state;

    for (size_t i = 0; i < sizeof(askers) / sizeof(askers[0]); i++)
        command_expect_sentence(room, askers[i], 1);
    command_expect_sentence(room, "lanes", 1);
}

/* ---- record, recover, report ------------------------------------------------------------------- */

static void every_field_comes_through(void **state)
{
    struct room *room = *state;

    free(command_expect_success(
        room,
        "record --provider openai --operation chat --request-model gpt-4o --response-model gpt-4o-2 "
        "--response-id r1 --service-tier flex --server-address api.example --error-type timeout --user bob "
        "--team red --project p1 --session s1 --key-fingerprint abc --trace-id "
        "0123456789abcdef0123456789abcdef --span-id 0123456789abcdef --tags a=b,c=d --input-tokens 1 "
        "--output-tokens 2 --cache-read-tokens 3 --cache-write-5m-tokens 4"));
    free(command_expect_success(
        room,
        "record --provider x --request-model y --cache-write-1h-tokens 5 --reasoning-tokens 6 "
        "--input-audio-tokens 7 --output-audio-tokens 8 --input-image-tokens 9 --output-image-tokens 10 "
        "--start-time 2026-11-22T10:00:00.5Z --duration 850ms --time-to-first-token-ns 12 --provider-cost "
        "0.0042 --status cancelled --http-status 499 --streamed --batch --input-tokens 1000000000000000 "
        "--service shop --client-tags k=v"));
    char *text = command_expect_success(room, "recover");
    assert_int_equal(strncmp(text, "4 records", 9), 0); /* two of them introduce the clients */
    free(text);
    books_expect_text(
        room,
        "openai|chat|gpt-4o|gpt-4o-2|r1|flex|api.example|timeout|bob|red|p1|s1|abc|"
        "0123456789abcdef0123456789abcdef|0123456789abcdef|a=b,c=d|1|2|3|4",
        "SELECT provider||'|'||operation||'|'||request_model||'|'||response_model||'|'||response_id||'|'||"
        "service_tier||'|'||server_address||'|'||error_type||'|'||user||'|'||team||'|'||project||'|'||"
        "session||'|'||key_fingerprint||'|'||trace_id||'|'||span_id||'|'||tags||'|'||input_tokens||'|'||"
        "output_tokens||'|'||cache_read_tokens||'|'||cache_write_5m_tokens FROM usage WHERE id = 1");
    books_expect_text(
        room, "5|6|7|8|9|10|1795341600500000000|850000000|12|4200000000|cancelled|499|5|1000000000000000",
        "SELECT cache_write_1h_tokens||'|'||reasoning_tokens||'|'||input_audio_tokens||'|'||"
        "output_audio_tokens||'|'||input_image_tokens||'|'||output_image_tokens||'|'||"
        "start_time_unix_ns||'|'||duration_ns||'|'||time_to_first_token_ns||'|'||"
        "provider_cost_picodollars||'|'||status||'|'||http_status||'|'||flags||'|'||input_tokens"
        " FROM usage WHERE id = 2");
    books_expect_text(room, "shop|k=v", "SELECT service||'|'||tags FROM clients WHERE id = 2");
    books_expect_complete(room, 0);
}

static void unknown_is_never_0(void **state)
{
    struct room *room = *state;

    free(command_expect_success(room, "record --provider a --request-model b"));
    free(command_expect_success(room, "recover"));
    cJSON *json = command_expect_json(room, "report --json", 0);
    const cJSON *row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "rows"), 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "input_tokens")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "cost_picodollars")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "provider_cost_picodollars")));
    assert_int_equal(command_number(row, "input_tokens_unknown"), 1);
    cJSON_Delete(json);
    char *table = command_expect_success(room, "report");
    assert_non_null(strstr(table, "unknown"));
    free(table);
    struct command_result csv = command_run(room, "report --format csv");
    assert_int_equal(csv.status, 0);
    assert_non_null(strstr(csv.out, "\na,b,1,0,0,0,0,,,"));
    command_release(&csv);
    tries(3, "outputs");
}

/* Rollups and raw rows, and both bounds within an hour. */
static void one_question_two_sources_one_answer(void **state)
{
    static const char *const questions[] = {
        "report --by none --json --since all", "report --by none --json --since all --where operation=chat",
        "report --by none --json --since 2026-11-22T09:59:59 --until 2026-11-22T10:30:01"};
    struct room *room = *state;

    for (int i = 0; i < 3; i++)
        free(command_expect_success(
            room, "record --provider a --operation chat --request-model b --input-tokens 1000000000000000 "
                  "--output-tokens 3 --provider-cost 0.000000000001 --start-time 2026-11-22T10:30:00Z"));
    free(command_expect_success(room, "recover"));
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        cJSON *json = command_expect_json(room, questions[i], 0);
        const cJSON *total = cJSON_GetObjectItem(json, "total");
        assert_string_equal(cJSON_GetObjectItem(json, "source")->valuestring,
                            i == 0 ? "usage_hourly" : "usage");
        assert_int_equal(command_number(total, "calls"), 3);
        assert_true(cJSON_GetObjectItem(total, "input_tokens")->valuedouble == 3e15);
        assert_int_equal(command_number(total, "output_tokens"), 9);
        assert_string_equal(cJSON_GetObjectItem(total, "provider_cost_usd")->valuestring, "0.000000000003");
        cJSON_Delete(json);
    }
}

static void a_report_says_what_it_cannot_show(void **state)
{
    struct room *room = *state;

    for (int i = 0; i < 3; i++)
        free(command_expect_success(
            room, "record --provider a --request-model b --user bob --start-time 2026-11-22T10:30:00Z"));
    free(command_expect_success(room, "recover"));
    command_change_database(room, "DELETE FROM usage_rows WHERE id < 3");
    cJSON *json = command_expect_json(room, "report --by user --since 2026-11-22 --json", 0);
    assert_int_equal(command_number(json, "calls_without_raw_rows"), 2);
    assert_string_equal(cJSON_GetObjectItem(json, "raw_since")->valuestring, "2026-11-22T11:00:00Z");
    cJSON_Delete(json);
    /* What rows can no longer answer to the minute, rollups do to the hour, and say so. */
    json = command_expect_json(room, "report --since 2026-11-22T10:10:00 --json", 0);
    assert_string_equal(cJSON_GetObjectItem(json, "since")->valuestring, "2026-11-22T10:00:00Z");
    assert_int_equal(command_number(cJSON_GetObjectItem(json, "total"), "calls"), 3);
    assert_non_null(
        strstr(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "notes"), 0)->valuestring, "moved out"));
    cJSON_Delete(json);
}

static void doctor_names_calls_whose_counts_were_not_seen(void **state)
{
    struct room *room = *state;

    free(command_expect_success(room, "record --provider a --request-model b --tags k=v,tally.layer=curl"));
    free(command_expect_success(room, "recover"));
    struct command_result result = command_run(room, "doctor");
    assert_null(strstr(result.out, "\nwarn  capture"));
    command_release(&result);
    for (int i = 0; i < 2; i++)
        free(command_expect_success(room, "record --provider a --request-model b --server-address h.example"
                                          " --tags tally.layer=curl,tally.capture=no_usage,k=v"));
    free(command_expect_success(room, "record --provider a --request-model b --tags tally.capture=odd"));
    free(command_expect_success(room, "recover"));
    result = command_run(room, "doctor");
    assert_non_null(strstr(result.out,
                           "tokens of 2 of the newest calls are unknown: their response stated no usage"
                           " (no_usage); h.example"));
    assert_non_null(strstr(result.out, "include_usage"));
    assert_non_null(
        strstr(result.out, "tokens of 1 of the newest calls are unknown: they could not be followed"));
    command_release(&result);
}

static void record_waits_if_asked(void **state)
{
    struct room *room = *state;

    struct command_result result =
        command_run(room, "record --provider a --request-model b --wait 1000 --json");
    assert_int_equal(result.status, 0); /* it is recorded */
    assert_int_equal(command_lines(result.err), 1);
    assert_non_null(strstr(result.out, "\"durable\":\tfalse"));
    command_release(&result);
    agent_start(room);
    cJSON *json = command_expect_json(room, "record --provider a --request-model b --wait 60000 --json", 0);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "durable")));
    cJSON_Delete(json);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 2);
}

/* ---- what records say, and terminals ----------------------------------------------------------------- */

static void expect_harmless(const char *words, const char *text)
{
    static const char override[] = {(char)0xE2, (char)0x80, (char)0xAE, '\0'};
    static const char csi[] = {(char)0xC2, (char)0x9B, '\0'};

    for (const char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7F)
            fail_msg("tally %s prints byte %02x", words, (unsigned char)*c);
    }
    if (strstr(text, override) != NULL || strstr(text, csi) != NULL)
        fail_msg("tally %s prints a character that drives terminals", words);
}

static void records_never_drive_the_terminal(void **state)
{
    static const char *const askers[] = {"report", "report --by user,team,service,client_tags",
                                         "tail",   "clients",
                                         "calls",  "lanes --all",
                                         "audit",  "doctor"};
    static const char *const formats[] = {"", " --format json", " --format csv"};
    struct room *room = *state;
    char words[256];

    room_set(room, "TALLY_SERVICE", "evil\x1b[2J\x07");
    room_set(room, "TALLY_TAGS", "a=\x1b]0;title\x07");
    snprintf(words, sizeof(words),
             "record --provider p\x1b[31m --request-model m\xE2\x80\xAEx --user \xC2\x9B"
             "2J --team \rx\x7F");
    free(command_expect_success(room, words));
    free(command_expect_success(room, "recover"));
    for (size_t i = 0; i < sizeof(askers) / sizeof(askers[0]); i++) {
        for (size_t f = 0; f < 3; f++) {
            snprintf(words, sizeof(words), "%s%s", askers[i], formats[f]);
            struct command_result result = command_run(room, words);
            expect_harmless(words, result.out);
            expect_harmless(words, result.err);
            command_release(&result);
        }
    }
    /* The value itself stays exact in JSON. */
    cJSON *json = command_expect_json(room, "report --json", 0);
    const cJSON *row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "rows"), 0);
    assert_string_equal(cJSON_GetObjectItem(row, "provider")->valuestring, "p\x1b[31m");
    cJSON_Delete(json);
}

/* All that it prints on a terminal of so many columns. */
static char *on_terminal(const struct room *room, const char *words, unsigned short columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    size_t length = 0;
    char *text = calloc(1, 1 << 16);
    int outer = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    assert_true(outer >= 0 && grantpt(outer) == 0 && unlockpt(outer) == 0);
    int inner = open(ptsname(outer), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(inner >= 0);
    assert_int_equal(ioctl(inner, TIOCSWINSZ, &size), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(inner, STDOUT_FILENO);
        command_become(room, words);
    }
    close(inner);
    for (ssize_t got; (got = read(outer, text + length, (1 << 16) - 1 - length)) > 0;)
        length += (size_t)got;
    close(outer);
    assert_int_equal(command_await(pid), 0);
    return text;
}

static void tables_fit_the_terminal(void **state)
{
    struct room *room = *state;

    free(command_expect_success(
        room, "record --provider a-provider-with-a-long-name --request-model "
              "a-model-with-an-even-longer-name-20261122 "
              "--user somebody-with-a-name --team a-team-with-a-name --input-tokens 123456789012 "
              "--output-tokens 123456789012"));
    free(command_expect_success(room, "recover"));
    for (unsigned short columns = 80; columns <= 200; columns += 40) {
        static const char *const askers[] = {"report", "tail", "clients"};
        for (size_t i = 0; i < 3; i++) {
            char *text = on_terminal(room, askers[i], columns);
            assert_non_null(strstr(text, "\r\n"));
            for (char *rest = text, *line; (line = strsep(&rest, "\r\n")) != NULL;) {
                size_t width = 0;
                for (const char *c = line; *c != '\0'; c++)
                    width += ((unsigned char)*c & 0xC0) != 0x80;
                if (width > columns && line[0] != '(' && strncmp(line, "Note:", 5) != 0)
                    fail_msg("tally %s: %zu columns on a terminal of %u: %s", askers[i], width, columns,
                             line);
            }
            free(text);
        }
    }
    /* In a pipe nothing is left out or cut. */
    char *text = command_expect_success(room, "report");
    assert_non_null(strstr(text, "a-model-with-an-even-longer-name-20261122"));
    assert_non_null(strstr(text, "AVG TIME"));
    free(text);
}

/* ---- tail -f --------------------------------------------------------------------------------------------- */

static pid_t follow(const struct room *room, const char *words, int *out)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        dup2(ends[1], STDOUT_FILENO);
        command_become(room, words);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static void expect_line(int fd, const char *with)
{
    char line[8192] = "";
    size_t length = 0;

    while (length < sizeof(line) - 1 && strchr(line, '\n') == NULL) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, 60000), 1);
        ssize_t got = read(fd, line + length, 1);
        assert_int_equal(got, 1);
        length += (size_t)got;
    }
    if (strstr(line, with) == NULL)
        fail_msg("no '%s' in: %s", with, line);
}

static void tail_follows_until_it_is_interrupted(void **state)
{
    struct room *room = *state;
    int out;

    agent_start(room);
    free(command_expect_success(room, "record --provider a --request-model first --wait 60000"));
    pid_t pid = follow(room, "tail -f --json", &out);
    expect_line(out, "\"first\"");
    free(command_expect_success(room, "record --provider a --request-model second"));
    expect_line(out, "\"second\"");
    /* A new agent, a new log: it goes on. */
    agent_stop(room);
    agent_start(room);
    free(command_expect_success(room, "record --provider a --request-model third"));
    expect_line(out, "\"third\"");
    kill(pid, SIGINT);
    assert_int_equal(command_await(pid), -SIGINT);
    close(out);
}

static void tail_ends_with_its_reader(void **state)
{
    struct room *room = *state;
    int out;

    free(command_expect_success(room, "record --provider a --request-model b"));
    free(command_expect_success(room, "recover"));
    pid_t pid = follow(room, "tail -f --json", &out);
    expect_line(out, "\"b\"");
    close(out);
    assert_int_equal(command_await(pid), -SIGPIPE); /* though nothing more is committed */
}

/* ---- audit ------------------------------------------------------------------------------------------------- */

static void expect_audit(const struct room *room, int status, int unaccounted, int twice)
{
    cJSON *json = command_expect_json(room, "audit --json", status);

    assert_int_equal(command_number(json, "unaccounted"), unaccounted);
    assert_int_equal(command_number(json, "counted_twice"), twice);
    assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(json, "clean")), status == 0);
    cJSON_Delete(json);
}

static void the_audit_notices(void **state)
{
    struct room *room = *state;

    free(command_expect_success(room, "record --provider a --request-model b"));
    free(command_expect_success(room, "recover"));
    expect_audit(room, 0, 0, 0);
    command_change_database(room, "UPDATE lanes SET persisted = persisted - 1");
    expect_audit(room, 1, 1, 0);
    command_change_database(room, "UPDATE lanes SET persisted = persisted + 2");
    expect_audit(room, 1, 0, 1);
    command_change_database(room, "UPDATE lanes SET persisted = persisted - 1");
    command_change_database(room, "UPDATE clients SET persisted = persisted - 1");
    expect_audit(room, 1, 0, 0);
    command_change_database(room, "UPDATE clients SET persisted = persisted + 1");
    /* lost, without a cause, and then with one */
    command_change_database(room, "UPDATE lanes SET persisted = persisted - 1, lost = 1;"
                                  "UPDATE clients SET persisted = persisted - 1, lost = 1");
    expect_audit(room, 1, 1, 0);
    command_change_database(
        room, "INSERT INTO losses(arena_id, lane, client_id, cause, numbered, records, first_unix_ns,"
              " last_unix_ns) VALUES (1, 0, 1, 'quarantined', 1, 1, 0, 0)");
    expect_audit(room, 0, 0, 0);
    tries(4, "ways in which the books were made wrong");
}

static void the_audit_counts_what_waits(void **state)
{
    struct room *room = *state;

    free(command_expect_success(room, "record --provider a --request-model b"));
    free(command_expect_success(room, "recover"));
    free(command_expect_success(room, "record --provider a --request-model b"));
    cJSON *json = command_expect_json(room, "audit --json", 0);
    assert_int_equal(command_number(json, "written"), 4);
    assert_int_equal(command_number(json, "persisted"), 2);
    assert_int_equal(command_number(json, "waiting"), 2);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "lanes")), 1);
    cJSON_Delete(json);
    json = command_expect_json(room, "lanes --json", 0);
    const cJSON *lane = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "lanes"), 0);
    assert_int_equal(command_number(lane, "records"), 4);
    assert_int_equal(command_number(lane, "waiting"), 2);
    cJSON_Delete(json);
}

static void a_damaged_lane_shows(void **state)
{
    struct room *room = *state;
    struct tally_arena_header header;
    uint64_t nonsense = 12345;

    free(command_expect_success(room, "record --provider a --request-model b"));
    free(command_expect_success(room, "recover"));
    int fd = open(room->arena_path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
    off_t tail =
        (off_t)(tally_lane_offset(&header, 0) + header.ring_bytes + offsetof(struct tally_lane_header, tail));
    assert_int_equal(pwrite(fd, &nonsense, sizeof(nonsense), tail), sizeof(nonsense));
    close(fd);
    cJSON *json = command_expect_json(room, "audit --json", 1);
    assert_int_equal(command_number(json, "damaged_lanes"), 1);
    cJSON_Delete(json);
    json = command_expect_json(room, "doctor --json", 1);
    assert_string_equal(cJSON_GetObjectItem(json, "result")->valuestring, "fail");
    cJSON_Delete(json);
}

/* ---- recover, doctor, backup ----------------------------------------------------------------------------------- */

static void recover_leaves_a_running_agent_alone(void **state)
{
    struct room *room = *state;

    agent_start(room);
    free(command_expect_success(room, "record --provider a --request-model b --wait 60000"));
    command_expect_sentence(room, "recover", 1);
    agent_stop(room);
    free(command_expect_success(room, "record --provider a --request-model b"));
    free(command_expect_success(room, "recover"));
    books_expect_complete(room, 0);
}

static void doctor_misses_the_agent(void **state)
{
    struct room *room = *state;

    free(command_expect_success(room, "record --provider a --request-model b"));
    struct command_result result = command_run(room, "doctor");
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.out, "fail  agent"));
    command_release(&result);
    agent_start(room);
    free(command_expect_success(room, "record --provider a --request-model b --wait 60000"));
    char *text = command_expect_success(room, "doctor --check");
    assert_non_null(strstr(text, "ok    agent"));
    assert_non_null(strstr(text, "ok    integrity"));
    free(text);
}

static void a_backup_is_whole_and_overwrites_nothing(void **state)
{
    struct room *room = *state;
    char words[ROOM_PATH_MAX + 64];
    char path[ROOM_PATH_MAX];
    struct stat status;

    agent_start(room);
    free(command_expect_success(room, "record --provider a --request-model b --wait 60000"));
    snprintf(path, sizeof(path), "%s/backup", room->directory);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(words, sizeof(words), "backup %s/backup/usage.db", room->directory);
    free(command_expect_success(room, words));
    /* The copy is a state folder of its own, and answers. */
    snprintf(words, sizeof(words), "report --json --state-dir %s/backup", room->directory);
    cJSON *json = command_expect_json(room, words, 0);
    assert_int_equal(command_number(cJSON_GetObjectItem(json, "total"), "calls"), 1);
    cJSON_Delete(json);
    snprintf(path, sizeof(path), "%s/backup/usage.db", room->directory);
    assert_int_equal(stat(path, &status), 0);
    ino_t before = status.st_ino;
    snprintf(words, sizeof(words), "backup %s", path);
    command_expect_sentence(room, words, 1);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_ino, before);
    snprintf(words, sizeof(words), "backup --force %s", path);
    free(command_expect_success(room, words));
    assert_int_equal(stat(path, &status), 0);
    assert_int_not_equal(status.st_ino, before);
    command_expect_sentence(room, "backup /nowhere/at/all", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(misuse_is_one_sentence_and_2),
        room_test(help_is_for_everyone),
        room_test(without_a_database_one_sentence_and_1),
        room_test(every_field_comes_through),
        room_test(unknown_is_never_0),
        room_test(one_question_two_sources_one_answer),
        room_test(a_report_says_what_it_cannot_show),
        room_test(doctor_names_calls_whose_counts_were_not_seen),
        room_test(record_waits_if_asked),
        room_test(records_never_drive_the_terminal),
        room_test(tables_fit_the_terminal),
        room_test(tail_follows_until_it_is_interrupted),
        room_test(tail_ends_with_its_reader),
        room_test(the_audit_notices),
        room_test(the_audit_counts_what_waits),
        room_test(a_damaged_lane_shows),
        room_test(recover_leaves_a_running_agent_alone),
        room_test(doctor_misses_the_agent),
        room_test(a_backup_is_whole_and_overwrites_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
