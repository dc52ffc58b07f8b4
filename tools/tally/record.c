/* record.c: one call, recorded by a shell script. */
#include "command.h"
#include "document.h"
#include "number.h"
#include "understand/understand.h"
#include "when.h"

#include <tally/record.h>
#include <tally/tally.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT_MAX   INT64_C(1000000000000000)    /* 10^15 tokens */
#define COST_MAX    INT64_C(1000000000000000000) /* 10^18 picodollars */
#define JSON_MAX    (8 << 20) /* of a file with a usage object, or with all of a response */
#define KEPT_MAX    3072      /* of what goes into the record, beside its other fields */
#define TIMEOUT_MAX 3600000

static const char help[] =
    "Usage: tally record --provider NAME --request-model NAME [--input-tokens N]\n"
    "                    [--output-tokens N] ...\n"
    "\n"
    "Record one finished call. Exit status 0 if and only if it is recorded.\n"
    "\n"
    "Texts:\n"
    "  --provider --operation --request-model --response-model --response-id\n"
    "  --service-tier --server-address --error-type --user --team --project\n"
    "  --session --key-fingerprint --trace-id --span-id --tags K=V,K=V\n"
    "Counts, 0 to 10^15:\n"
    "  --input-tokens --output-tokens --cache-read-tokens --cache-write-5m-tokens\n"
    "  --cache-write-1h-tokens --reasoning-tokens --input-audio-tokens\n"
    "  --output-audio-tokens --input-image-tokens --output-image-tokens\n"
    "The rest:\n"
    "  --start-time TIME          when the request left (RFC 3339 UTC, or 5m: so long\n"
    "                             ago)\n"
    "  --start-time-unix-ns N     the same in nanoseconds since 1970\n"
    "  --duration LENGTH          such as 850ms or 12s; or --duration-ns N\n"
    "  --time-to-first-token LENGTH    or --time-to-first-token-ns N\n"
    "  --provider-cost DOLLARS    what the provider stated, such as 0.0042; or\n"
    "                             --provider-cost-picodollars N\n"
    "  --status WORD              ok, error, cancelled or aborted; default: by\n"
    "                             --error-type and --http-status\n"
    "  --http-status N            100 to 599\n"
    "  --streamed --estimated --batch    flags; or --flags N\n"
    "  --usage-json FILE          the provider's own usage object, as received, or a\n"
    "                             response, or a stream's events, of which only what\n"
    "                             tells usage is kept; - is standard input\n"
    "\n"
    "  --service NAME             instead of TALLY_SERVICE\n"
    "  --client-tags K=V,K=V      instead of TALLY_TAGS\n"
    "  --arena NAME               instead of TALLY_ARENA\n"
    "  --wait MS                  wait until it is on disk; says so if it is not\n"
    "                             after MS milliseconds (it is recorded all the same,\n"
    "                             and the status is 0)\n"
    "  --json                     say what was reached as JSON\n"
    "\n"
    "What is not given is unknown, which is not 0. Texts that are too long are cut,\n"
    "and the row says so.\n";

/* Codes: a field's id above OPTION_FIELDS; OPTION_OTHER and on for the rest. */
enum { OPTION_FIELDS = OPTION_OWN, OPTION_OTHER = OPTION_OWN + 256 };
enum {
    OPTION_START_TIME = OPTION_OTHER,
    OPTION_DURATION,
    OPTION_FIRST_TOKEN,
    OPTION_COST,
    OPTION_STREAMED,
    OPTION_ESTIMATED,
    OPTION_BATCH,
    OPTION_USAGE_JSON,
    OPTION_SERVICE,
    OPTION_CLIENT_TAGS,
    OPTION_WAIT
};

struct record {
    struct common common;
    struct tally_usage usage;
    struct tally_options options;
    char *usage_json;
    int64_t wait_ms; /* -1: not asked for */
};

/* ---- options ------------------------------------------------------------------------------------------ */

#define TEXT_COUNT(id, name, bytes_max) +1
#define NUMBER_COUNT(id, name)          +1
#define FIELD_COUNT                     (0 TALLY_USAGE_TEXTS(TEXT_COUNT) TALLY_USAGE_NUMBERS(NUMBER_COUNT))

static const struct option other_options[] = {
    {"start-time", required_argument, NULL, OPTION_START_TIME},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"time-to-first-token", required_argument, NULL, OPTION_FIRST_TOKEN},
    {"provider-cost", required_argument, NULL, OPTION_COST},
    {"streamed", no_argument, NULL, OPTION_STREAMED},
    {"estimated", no_argument, NULL, OPTION_ESTIMATED},
    {"batch", no_argument, NULL, OPTION_BATCH},
    {"usage-json", required_argument, NULL, OPTION_USAGE_JSON},
    {"service", required_argument, NULL, OPTION_SERVICE},
    {"client-tags", required_argument, NULL, OPTION_CLIENT_TAGS},
    {"wait", required_argument, NULL, OPTION_WAIT},
    {"json", no_argument, NULL, OPTION_JSON},
    COMMON_ARENA,
    COMMON_HELP,
    COMMON_END,
};

/* A field's name as an option: input_tokens is --input-tokens. */
static char *option_name(const char *field)
{
    char *name = must_copy(field);

    for (char *c = name; *c != '\0'; c++) {
        if (*c == '_')
            *c = '-';
    }
    return name;
}

static struct option *make_options(void)
{
    struct option *longs =
        must_allocate((FIELD_COUNT + sizeof(other_options) / sizeof(other_options[0])) * sizeof(*longs));
    size_t count = 0;
#define TALLY_X(id, name, bytes_max)                                                                         \
    longs[count++] = (struct option){option_name(#name), required_argument, NULL, OPTION_FIELDS + (id)};
    TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
#define TALLY_X(id, name)                                                                                    \
    longs[count++] = (struct option){option_name(#name), required_argument, NULL, OPTION_FIELDS + (id)};
    TALLY_USAGE_NUMBERS(TALLY_X)
#undef TALLY_X
    memcpy(longs + count, other_options, sizeof(other_options));
    return longs;
}

static void free_options(struct option *longs)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        free((void *)(uintptr_t)longs[i].name);
    free(longs);
}

static int number_option(int64_t least, int64_t most, const char *name, int64_t *out)
{
    if (number_parse(optarg, least, most, out) == 0)
        return EXIT_SUCCESS;
    return misuse("--%s wants a whole number from %lld to %lld, not '%s'", name, (long long)least,
                  (long long)most, optarg);
}

static int status_option(struct tally_usage *usage)
{
    static const char *const words[] = {"ok", "error", "cancelled", "aborted"};

    for (int i = 0; i < 4; i++) {
        if (strcmp(optarg, words[i]) == 0) {
            usage->status = i;
            return EXIT_SUCCESS;
        }
    }
    return misuse("--status is ok, error, cancelled or aborted, not '%s'", optarg);
}

static int count_option(int64_t *out, const char *field)
{
    char *name = option_name(field);
    int status = number_option(0, COUNT_MAX, name, out);

    free(name);
    return status;
}

static int field_option(struct record *record, int field)
{
    struct tally_usage *usage = &record->usage;
    int64_t number = 0;
    int status;

    switch (field) {
#define TALLY_X(id, name, bytes_max)                                                                         \
    case id:                                                                                                 \
        usage->name = optarg;                                                                                \
        return EXIT_SUCCESS;
        TALLY_USAGE_TEXTS(TALLY_X)
#undef TALLY_X
    case TALLY_FIELD_status:
        return status_option(usage);
    case TALLY_FIELD_http_status:
        status = number_option(100, 599, "http-status", &number);
        usage->http_status = (int32_t)number;
        return status;
    case TALLY_FIELD_flags:
        status = number_option(0, UINT32_MAX, "flags", &number);
        usage->flags |= (uint32_t)number;
        return status;
    case TALLY_FIELD_start_time_unix_ns:
        return number_option(0, INT64_MAX, "start-time-unix-ns", &usage->start_time_unix_ns);
    case TALLY_FIELD_duration_ns:
        return number_option(0, INT64_MAX, "duration-ns", &usage->duration_ns);
    case TALLY_FIELD_time_to_first_token_ns:
        return number_option(0, INT64_MAX, "time-to-first-token-ns", &usage->time_to_first_token_ns);
    case TALLY_FIELD_provider_cost_picodollars:
        return number_option(0, COST_MAX, "provider-cost-picodollars", &usage->provider_cost_picodollars);
#define COUNT(name)                                                                                          \
    case TALLY_FIELD_##name:                                                                                 \
        return count_option(&usage->name, #name);
        COUNT(input_tokens)
        COUNT(output_tokens)
        COUNT(cache_read_tokens)
        COUNT(cache_write_5m_tokens)
        COUNT(cache_write_1h_tokens)
        COUNT(reasoning_tokens)
        COUNT(input_audio_tokens)
        COUNT(output_audio_tokens)
        COUNT(input_image_tokens)
        COUNT(output_image_tokens)
#undef COUNT
    default:
        return misuse("there is no option for field %d", field);
    }
}

static int length_option(const char *name, int64_t *out)
{
    if (when_parse_length(optarg, out) == 0)
        return EXIT_SUCCESS;
    return misuse("--%s wants a length such as 850ms, 12s or 3m, not '%s'", name, optarg);
}

/* What tells usage, and nothing of what was said: no prompt and no completion gets into a record. A usage object that nobody
 * understands is kept as it is, if it fits, for the agent to count. */
static int keep_usage_json(struct record *record, const char *json, size_t length)
{
    static struct understood understood;
    char *kept = must_allocate(KEPT_MAX);
    size_t bytes = understand_distil(json, length, kept, KEPT_MAX);

    free(record->usage_json);
    record->usage_json = kept;
    if (bytes == 0) {
        understand(NULL, json, length, &understood);
        if (!understood.known && length > KEPT_MAX)
            return misuse("--usage-json: no usage is found in %zu bytes: give the usage object alone",
                          length);
        bytes = understood.known ? 0 : length;
        memcpy(kept, json, bytes);
    }
    record->usage.usage_json = kept;
    record->usage.usage_json_length = bytes;
    return EXIT_SUCCESS;
}

/* All of a file, or of standard input. */
static int usage_json_option(struct record *record)
{
    int fd = strcmp(optarg, "-") == 0 ? STDIN_FILENO : open(optarg, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = 0;
    int status;

    if (fd < 0)
        return complain("%s cannot be opened: %s", optarg, strerror(errno));
    char *json = must_allocate(JSON_MAX + 1);
    while (length <= JSON_MAX && (got = read(fd, json + length, JSON_MAX + 1 - length)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        length += got > 0 ? (size_t)got : 0;
    }
    status = errno;
    if (fd != STDIN_FILENO)
        close(fd);
    if (got < 0)
        status = complain("%s cannot be read: %s", optarg, strerror(status));
    else if (length > JSON_MAX)
        status = misuse("--usage-json has more than %d bytes: give the usage object alone", JSON_MAX);
    else
        status = keep_usage_json(record, json, length);
    free(json);
    return status;
}

static int other_option(struct record *record, int code)
{
    struct tally_usage *usage = &record->usage;

    switch (code) {
    case OPTION_START_TIME:
        if (when_parse(optarg, when_now(), &usage->start_time_unix_ns) == 0)
            return EXIT_SUCCESS;
        return misuse("--start-time wants a time such as 2026-11-22T10:00:00Z or 5m, not '%s'", optarg);
    case OPTION_DURATION:
        return length_option("duration", &usage->duration_ns);
    case OPTION_FIRST_TOKEN:
        return length_option("time-to-first-token", &usage->time_to_first_token_ns);
    case OPTION_COST:
        if (money_parse(optarg, COST_MAX, &usage->provider_cost_picodollars) == 0)
            return EXIT_SUCCESS;
        return misuse("--provider-cost wants dollars such as 0.0042, with 12 decimals at most, not '%s'",
                      optarg);
    case OPTION_STREAMED:
        usage->flags |= TALLY_FLAG_STREAMED;
        return EXIT_SUCCESS;
    case OPTION_ESTIMATED:
        usage->flags |= TALLY_FLAG_ESTIMATED;
        return EXIT_SUCCESS;
    case OPTION_BATCH:
        usage->flags |= TALLY_FLAG_BATCH;
        return EXIT_SUCCESS;
    case OPTION_USAGE_JSON:
        return usage_json_option(record);
    case OPTION_SERVICE:
        record->options.service = optarg;
        return EXIT_SUCCESS;
    case OPTION_CLIENT_TAGS:
        record->options.tags = optarg;
        return EXIT_SUCCESS;
    default:
        return number_option(0, TIMEOUT_MAX, "wait", &record->wait_ms);
    }
}

/* EXIT_SUCCESS, or -1 after --help, or a status. */
static int parse(int argc, char **argv, struct record *record)
{
    struct option *longs = make_options();
    int status = EXIT_SUCCESS;
    int code;

    while (status == EXIT_SUCCESS &&
           (code = option_next(argc, argv, "", longs, help, &record->common, &status)) >= 0)
        status =
            code < OPTION_OTHER ? field_option(record, code - OPTION_FIELDS) : other_option(record, code);
    free_options(longs);
    if (status != EXIT_SUCCESS)
        return status;
    if (code == OPTIONS_EXIT)
        return -1;
    if (record->common.arena_count > 1)
        return misuse("--arena was given twice: a record goes to one");
    if (record->common.arena_count == 1)
        record->options.arena = record->common.arenas[0];
    if (record->usage.provider == NULL && record->usage.request_model == NULL)
        return misuse("say what was called: give --provider and --request-model at least");
    return no_more_arguments(argc, argv);
}

/* ---- recording ------------------------------------------------------------------------------------------ */

static int record_complaint(int error)
{
    switch (error) {
    case -ERANGE:
        return complain("not recorded: a number is out of its range");
    case -EAGAIN:
        return complain(
            "not recorded: shared memory is full, because no agent drains it: start tallyd, or run "
            "'tally recover'");
    case -ENOSPC:
        return complain(
            "not recorded: there is no room in /dev/shm, or no lane is free: 'tally doctor' says more");
    case -EACCES:
        return complain(
            "not recorded: the arena is not yours, or not to be trusted: 'tally doctor' says more");
    case -EINVAL:
        return complain("not recorded: the arena's name cannot be one: give /NAME, or a path");
    default:
        return complain("not recorded: %s: 'tally doctor' may say more", strerror(-error));
    }
}

static int record_now(struct record *record)
{
    /* One record: to wait for room is better than to fail a script. */
    int error = tally_init(&record->options);

    if (error == 0)
        error = tally_record(&record->usage);
    if (error != 0)
        return record_complaint(error);
    int reached = tally_shutdown(record->wait_ms > 0 ? (int)record->wait_ms : 0);
    if (record->wait_ms >= 0 && reached != TALLY_DURABLE)
        remark("recorded, but not on disk yet: it will be once an agent runs; do not record it again");
    if (record->common.format == FORMAT_JSON) {
        cJSON *document = document_new("record", 1);
        document_bool(document, "recorded", true);
        document_bool(document, "durable", reached == TALLY_DURABLE);
        document_print(document);
    }
    return EXIT_SUCCESS;
}

int record_command(int argc, char **argv)
{
    struct record record = {
        .usage = TALLY_USAGE_INIT,
        .options = TALLY_OPTIONS_INIT,
        .wait_ms = -1,
    };
    const char *disabled = getenv("TALLY_DISABLE");
    int status = parse(argc, argv, &record);

    if (status == EXIT_SUCCESS && disabled != NULL && strcmp(disabled, "1") == 0)
        remark("nothing is recorded, because TALLY_DISABLE is 1");
    if (status == EXIT_SUCCESS)
        status = record_now(&record);
    free(record.usage_json);
    return status == -1 ? EXIT_SUCCESS : status;
}
