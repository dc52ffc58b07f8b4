/* An exchange, as a layer tells it: which calls are begun, what their records say, and what never gets into one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/exchange.h"

#include <tally/tally.h>

/* In place of the library's: what would have been recorded. */
static struct told {
    int begun;
    int progressed;
    int ended;
    int recorded;
    struct tally_usage usage; /* the newest */
    char texts[12][520];
    char json[4096];
    char all[65536]; /* every text of every record, to look for what must not be in one */
} told;

static void remember(const char *text)
{
    size_t used = strlen(told.all);
    snprintf(told.all + used, sizeof told.all - used, "%s\n", text);
}

static const char *keep(int which, const char *text)
{
    if (!text)
        return NULL;
    snprintf(told.texts[which], sizeof told.texts[which], "%s", text);
    remember(text);
    return told.texts[which];
}

static void note(const struct tally_usage *usage)
{
    told.usage = *usage;
    told.usage.provider = keep(0, usage->provider);
    told.usage.operation = keep(1, usage->operation);
    told.usage.request_model = keep(2, usage->request_model);
    told.usage.service_tier = keep(3, usage->service_tier);
    told.usage.server_address = keep(4, usage->server_address);
    told.usage.error_type = keep(5, usage->error_type);
    told.usage.user = keep(6, usage->user);
    told.usage.team = keep(7, usage->team);
    told.usage.project = keep(8, usage->project);
    told.usage.session = keep(9, usage->session);
    told.usage.key_fingerprint = keep(10, usage->key_fingerprint);
    told.usage.tags = keep(11, usage->tags);
    keep(11, usage->tags);
    snprintf(told.json, sizeof told.json, "%.*s", (int)usage->usage_json_length,
             usage->usage_json ? usage->usage_json : "");
    remember(told.json);
}

int tally_call_begin(struct tally_call *call, const struct tally_usage *usage)
{
    memset(call, 1, sizeof *call);
    told.begun++;
    note(usage);
    return 0;
}
int tally_call_progress(struct tally_call *call, const struct tally_usage *usage)
{
    (void)call;
    told.progressed++;
    note(usage);
    return 0;
}
int tally_call_end(struct tally_call *call, const struct tally_usage *usage)
{
    (void)call;
    told.ended++;
    note(usage);
    return 0;
}
int tally_record(const struct tally_usage *usage)
{
    told.recorded++;
    note(usage);
    return 0;
}

#define TEXT(text) (text), strlen(text)

static struct exchange *ask(const char *url, const char *headers[][2], const char *body)
{
    struct exchange *exchange = exchange_open(CAPTURE_OPENSSL, true);
    assert_non_null(exchange);
    exchange_method(exchange, TEXT("POST"));
    exchange_target(exchange, TEXT(url));
    for (; headers && (*headers)[0]; headers++)
        exchange_request_header(exchange, TEXT((*headers)[0]), TEXT((*headers)[1]));
    if (exchange_request_head_end(exchange) == EXCHANGE_IGNORED) {
        exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
        return NULL;
    }
    exchange_request_body(exchange, TEXT(body));
    exchange_request_end(exchange);
    return exchange;
}

static void answer(struct exchange *exchange, int status, const char *type, const char *body)
{
    exchange_status(exchange, status);
    exchange_response_header(exchange, TEXT("Content-Type"), TEXT(type));
    exchange_response_head_end(exchange, false);
    exchange_response_body(exchange, TEXT(body));
}

#define CHAT_URL "https://api.openai.com/v1/chat/completions"
#define CHAT_ANSWER                                                                                          \
    "{\"id\":\"chatcmpl-1\",\"model\":\"gpt-4o-2024\",\"choices\":[{\"message\":{\"content\":\"the "         \
    "answer\"}}],"                                                                                           \
    "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}}"

static void a_call_from_end_to_end(void **state)
{
    const char *headers[][2] = {{"Authorization", "Bearer sk-secret-1234567890"},
                                {"OpenAI-Organization", "org-7"},
                                {"OpenAI-Project", "proj_8"},
                                {"Content-Type", "application/json"},
                                {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
                                {"X-Tally-Tags", "step=2, session=s-9,user=u1,x=y"},
                                {NULL, NULL}};
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, headers,
                                    "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"a "
                                    "secret prompt\"}],\"service_tier\":\"flex\"}");
    assert_int_equal(told.begun, 1);
    assert_string_equal(told.usage.request_model, "gpt-4o");
    assert_string_equal(told.usage.operation, "chat");
    assert_string_equal(told.usage.server_address, "api.openai.com");
    assert_string_equal(told.usage.team, "org-7");
    assert_string_equal(told.usage.project, "proj_8");
    assert_string_equal(told.usage.session, "s-9");
    assert_string_equal(told.usage.user, "u1");
    assert_string_equal(told.usage.tags, "step=2,x=y,tally.layer=openssl");
    /* printf sk-secret-1234567890 | sha256sum */
    assert_string_equal(told.usage.key_fingerprint, "c84f50304a6c");
    answer(exchange, 200, "application/json", CHAT_ANSWER);
    /* killed from here on it has used what is known */
    assert_int_equal(told.progressed, 1);
    assert_non_null(strstr(told.json, "\"prompt_tokens\":12"));
    assert_int_equal(told.usage.flags, 0);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.ended, 1);
    assert_int_equal(told.usage.http_status, 200);
    assert_int_equal(told.usage.status, TALLY_STATUS_UNKNOWN);
    assert_non_null(strstr(told.json, "\"prompt_tokens\":12"));
    assert_non_null(strstr(told.json, "gpt-4o-2024"));
    assert_string_equal(told.usage.service_tier, "flex"); /* the answer does not say */
    assert_null(told.usage.error_type);
    assert_true(told.usage.duration_ns >= 0);
    assert_null(strstr(told.all, "secret"));
    assert_null(strstr(told.all, "the answer"));
}

static void a_stream_is_followed(void **state)
{
    (void)state;
    struct exchange *exchange = ask("https://api.anthropic.com/v1/messages", NULL,
                                    "{\"model\":\"claude-x\",\"stream\":true,\"max_tokens\":9}");
    answer(exchange, 200, "text/event-stream; charset=utf-8",
           "event: message_start\ndata: "
           "{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"claude-x-1\",\"usage\":"
           "{\"input_tokens\":5,\"output_tokens\":1}}}\n\n");
    assert_int_equal(told.progressed, 1);
    assert_non_null(strstr(told.json, "\"input_tokens\":5"));
    assert_int_equal(told.usage.time_to_first_token_ns, -1);
    exchange_response_body(
        exchange,
        TEXT("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
             "{\"type\":\"text_delta\",\"text\":\"hidden\"}}\n\n"));
    assert_int_equal(told.progressed, 2);
    assert_true(told.usage.time_to_first_token_ns >= 0);
    exchange_response_body(exchange,
                           TEXT("event: message_delta\ndata: "
                                "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
                                "\"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\ndata: "
                                "{\"type\":\"message_stop\"}\n\n"));
    /* the program has what it wants, and closes: that is no giving up */
    exchange_close(exchange, EXCHANGE_CANCELLED, NULL);
    assert_int_equal(told.usage.status, TALLY_STATUS_UNKNOWN);
    assert_true(told.usage.flags & TALLY_FLAG_STREAMED);
    assert_non_null(strstr(told.json, "\"output_tokens\":7"));
    assert_null(strstr(told.all, "hidden"));
}

static void a_stream_that_breaks_off(void **state)
{
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\",\"stream\":true}");
    answer(exchange, 200, "text/event-stream",
           "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: {\"choi");
    exchange_close(exchange, EXCHANGE_CUT, NULL);
    assert_int_equal(told.usage.status, TALLY_STATUS_ERROR);
    assert_string_equal(told.usage.error_type, "connection_closed");

    exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\",\"stream\":true}");
    answer(exchange, 200, "text/event-stream", "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
    exchange_close(exchange, EXCHANGE_CANCELLED, NULL);
    assert_int_equal(told.usage.status, TALLY_STATUS_CANCELLED);
    assert_string_equal(told.usage.tags, "tally.layer=openssl");
}

/* A stream that was not asked for usage: a call with unknown tokens, and it says why. */
static void no_usage_is_visible(void **state)
{
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\",\"stream\":true}");
    answer(exchange, 200, "text/event-stream",
           "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n");
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.ended, 1);
    assert_string_equal(told.usage.tags, "tally.layer=openssl,tally.capture=no_usage");
}

static void errors(void **state)
{
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    answer(exchange, 429, "application/json",
           "{\"error\":{\"message\":\"the prompt 'x' is too much\",\"type\":\"rate_limit\"}}");
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.usage.http_status, 429);
    assert_string_equal(told.usage.error_type, "rate_limit");
    assert_null(strstr(told.all, "too much"));

    /* a class is a word: what has spaces may repeat what was asked */
    exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\",\"metadata\":{\"user_id\":\"nobody asked for\"}}");
    assert_null(told.usage.user);
    answer(exchange, 400, "application/json",
           "{\"error\":{\"type\":\"your words\",\"code\":\"bad_words\",\"status\":\"said words\"}}");
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_string_equal(told.usage.error_type, "bad_words");
    assert_null(strstr(told.all, " words"));
    assert_null(strstr(told.all, "nobody"));

    exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    answer(exchange, 502, "text/html", "<html>");
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_string_equal(told.usage.error_type, "502");

    exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    exchange_close(exchange, EXCHANGE_FAILED, "timeout");
    assert_string_equal(told.usage.error_type, "timeout");
    assert_int_equal(told.usage.status, TALLY_STATUS_ERROR);
    assert_int_equal(told.begun, 4);
    assert_int_equal(told.ended, 4);
}

static void a_retry_begins_the_response_anew(void **state)
{
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    exchange_status(exchange, 100);
    answer(exchange, 401, "application/json",
           "{\"error\":{\"type\":\"auth\"},\"usage\":{\"prompt_tokens\":99}}");
    answer(exchange, 200, "application/json", CHAT_ANSWER);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.begun, 1);
    assert_int_equal(told.usage.http_status, 200);
    assert_null(strstr(told.json, "99"));
    assert_null(told.usage.error_type);
}

static void unknown_hosts_count_if_usage_comes_back(void **state)
{
    (void)state;
    struct exchange *exchange = ask("http://gateway.internal/ask", NULL, "{\"model\":\"m\"}");
    assert_int_equal(told.begun, 0);
    answer(exchange, 200, "application/json", CHAT_ANSWER);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.recorded, 1);
    assert_string_equal(told.usage.server_address, "gateway.internal");

    exchange = ask("http://app.internal/quota", NULL, "{}");
    answer(exchange, 200, "application/json",
           "{\"usage\":{\"disk\":12},\"text\":\"{\\\"usage\\\":{\\\"prompt_tokens\\\":1}}\"}");
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    exchange = ask("http://app.internal/page", NULL, "{}");
    exchange_status(exchange, 200);
    exchange_response_header(exchange, TEXT("Content-Type"), TEXT("text/html"));
    assert_int_equal(exchange_response_head_end(exchange, false), EXCHANGE_IGNORED);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.recorded, 1);
    assert_int_equal(told.ended, 0);

    /* behind a redirect whose page is none */
    exchange = ask("http://gateway.internal/ask", NULL, "{\"model\":\"m\"}");
    exchange_status(exchange, 103);
    assert_int_equal(exchange_response_head_end(exchange, false), EXCHANGE_MAYBE);
    exchange_status(exchange, 307);
    exchange_response_header(exchange, TEXT("Content-Type"), TEXT("text/html"));
    assert_int_equal(exchange_response_head_end(exchange, false), EXCHANGE_MAYBE);
    answer(exchange, 200, "application/json", CHAT_ANSWER);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.recorded, 2);

    assert_null(ask("https://api.anthropic.com/v1/messages/count_tokens", NULL, "{}"));
}

static void models_in_paths(void **state)
{
    const char *aws[][2] = {
        {"Authorization",
         "AWS4-HMAC-SHA256 Credential=AKIAX/20260101/us-east-1/bedrock/aws4_request, Signature=1"},
        {NULL, NULL}};
    char first[16];
    (void)state;
    struct exchange *exchange = ask(
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-3%3A0/invoke?x=1", aws, "{}");
    assert_string_equal(told.usage.request_model, "anthropic.claude-3:0");
    snprintf(first, sizeof first, "%s", told.usage.key_fingerprint);
    exchange_status(exchange, 200);
    exchange_response_header(exchange, TEXT("x-amzn-bedrock-input-token-count"), TEXT("17"));
    exchange_response_header(exchange, TEXT("X-Amzn-Bedrock-Output-Token-Count"), TEXT("4"));
    exchange_response_header(exchange, TEXT("content-type"), TEXT("application/json"));
    exchange_response_head_end(exchange, false);
    exchange_response_body(exchange, TEXT("{\"outputs\":[{\"text\":\"hi\"}]}"));
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_string_equal(told.json, "{\"headers\":{\"x-amzn-bedrock-input-token-count\":\"17\",\"x-amzn-"
                                   "bedrock-output-token-count\":\"4\"}}");
    assert_string_equal(told.usage.tags, "tally.layer=openssl");

    exchange = ask("https://generativelanguage.googleapis.com/v1beta/models/"
                   "gemini-2.5-pro:generateContent?key=AIzaSECRET",
                   NULL, "{}");
    assert_string_equal(told.usage.request_model, "gemini-2.5-pro");
    assert_int_equal(strlen(told.usage.key_fingerprint), 12);
    assert_string_not_equal(told.usage.key_fingerprint, first);
    assert_null(strstr(told.all, "SECRET"));
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
}

/* What a type does not say the first character may. */
static void bodies_of_no_type(void **state)
{
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    answer(exchange, 200, "text/plain", "\n ");
    exchange_response_body(exchange, TEXT(CHAT_ANSWER));
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_non_null(strstr(told.json, "\"prompt_tokens\":12"));
    exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    answer(exchange, 200, "", "data: " CHAT_ANSWER "\n\n");
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_non_null(strstr(told.json, "\"prompt_tokens\":12"));
}

static void what_cannot_be_followed_says_so(void **state)
{
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    exchange_status(exchange, 200);
    exchange_response_header(exchange, TEXT("content-type"), TEXT("application/json"));
    exchange_response_header(exchange, TEXT("content-encoding"), TEXT("compress, gzip"));
    exchange_response_head_end(exchange, false);
    exchange_response_body(exchange, "\x1f\x9d", 2);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_string_equal(told.usage.tags, "tally.layer=openssl,tally.capture=content_encoding");
    exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    exchange_give_up(exchange, "http_garbage");
    assert_string_equal(told.usage.tags, "tally.layer=openssl,tally.capture=http_garbage");
    assert_int_equal(told.ended, 2);
}

/* In a child it is the parent's call. */
static void a_child_ends_nothing(void **state)
{
    (void)state;
    struct exchange *exchange = ask(CHAT_URL, NULL, "{\"model\":\"m\"}");
    pid_t child = fork();
    if (child == 0) {
        answer(exchange, 200, "application/json", CHAT_ANSWER);
        exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
        _exit(told.ended);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.ended, 1);
}

static void no_exchange_is_no_trouble(void **state)
{
    (void)state;
    capture_settings.on[CAPTURE_OPENSSL] = false;
    struct exchange *exchange = exchange_open(CAPTURE_OPENSSL, true);
    assert_null(exchange);
    exchange_method(exchange, TEXT("POST"));
    exchange_target(exchange, TEXT("/"));
    exchange_host(exchange, TEXT("h"));
    assert_int_equal(exchange_request_head_end(exchange), EXCHANGE_IGNORED);
    exchange_request_body(exchange, "", 0);
    exchange_request_end(exchange);
    exchange_status(exchange, 200);
    assert_int_equal(exchange_response_head_end(exchange, false), EXCHANGE_IGNORED);
    exchange_response_body(exchange, "x", 1);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    exchange_give_up(exchange, "x");
}

/* Long texts, odd URLs, headers that are no such thing. */
static void odd_requests(void **state)
{
    char url[9000];
    const char *headers[][2] = {
        {"traceparent", "00-zz"}, {"x-tally-tags", "=,,a,b=,=c, k=v "}, {"authorization", ""}, {NULL, NULL}};
    (void)state;
    memset(url, 'a', sizeof url);
    memcpy(url, "http://h/", 9);
    memcpy(url + sizeof url - 18, "/chat/completions", 18);
    struct exchange *exchange = ask(url, headers, "{}");
    assert_int_equal(told.begun, 0); /* its path does not fit: only if usage comes back */
    answer(exchange, 200, "application/json", CHAT_ANSWER);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_int_equal(told.recorded, 1);
    assert_string_equal(told.usage.tags, "b=,k=v,tally.layer=openssl");
    assert_null(told.usage.key_fingerprint);
    exchange = ask("http://user:password@Api.OpenAI.com:8443?x#y", NULL, "{}");
    answer(exchange, 200, "application/json", CHAT_ANSWER);
    exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    assert_string_equal(told.usage.server_address, "api.openai.com");
    assert_null(strstr(told.all, "password"));
}

/* Transcriptions, in pieces of any size; a name that is cut off is none, nor is one that a prompt speaks of. */
static void models_in_forms(void **state)
{
    const char *headers[][2] = {{"Content-Type", "multipart/form-data; boundary=xx"}, {NULL, NULL}};
    const char *url = "https://api.openai.com/v1/audio/transcriptions";
    const char *form = "--xx\r\nContent-Disposition: form-data; name=\"file\"; "
                       "filename=\"model\"\r\n\r\nnname=\"mod\r\n\r\n\r\n--xx\r\n\r\n; "
                       "name=\"model\"\r\n\r\nsaid\r\n--xx\r\n"
                       "Content-Disposition: form-data; name=\"prompt\"\r\n\r\nA part:\r\n--x\r\n"
                       "Content-Disposition: form-data; name=\"model\"\r\n\r\nsecret\r\n--xx\r\n"
                       "Content-Disposition: form-data; name=\"model\"\r\nContent-Type: "
                       "text/plain\r\n\r\ngpt-4o-transcribe\r\n--xx--\r\n";
    (void)state;
    for (size_t step = 1; step < strlen(form); step += step < 30 ? 1 : 50) {
        struct exchange *exchange = exchange_open(CAPTURE_OPENSSL, true);
        exchange_method(exchange, TEXT("POST"));
        exchange_target(exchange, TEXT(url));
        exchange_request_header(exchange, TEXT("content-type"), TEXT("multipart/form-data; boundary=xx"));
        assert_int_equal(exchange_request_head_end(exchange), EXCHANGE_MATCHED);
        for (size_t at = 0; at < strlen(form); at += step)
            exchange_request_body(exchange, form + at, step < strlen(form) - at ? step : strlen(form) - at);
        exchange_request_end(exchange);
        assert_string_equal(told.usage.request_model, "gpt-4o-transcribe");
        exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    }
    const char *nameless[] = {"--xx\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisp",
                              "Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--xx--\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct exchange *exchange = ask(url, headers, nameless[i]);
        assert_null(told.usage.request_model);
        exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
    }
}

static int forget(void **state)
{
    (void)state;
    memset(&told, 0, sizeof told);
    unsetenv("TALLY_DISABLE");
    unsetenv("TALLY_CAPTURE");
    capture_settings.ready = false;
    capture_settings_read();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_from_end_to_end, forget),
        cmocka_unit_test_setup(a_stream_is_followed, forget),
        cmocka_unit_test_setup(a_stream_that_breaks_off, forget),
        cmocka_unit_test_setup(no_usage_is_visible, forget),
        cmocka_unit_test_setup(errors, forget),
        cmocka_unit_test_setup(a_retry_begins_the_response_anew, forget),
        cmocka_unit_test_setup(unknown_hosts_count_if_usage_comes_back, forget),
        cmocka_unit_test_setup(models_in_paths, forget),
        cmocka_unit_test_setup(bodies_of_no_type, forget),
        cmocka_unit_test_setup(what_cannot_be_followed_says_so, forget),
        cmocka_unit_test_setup(a_child_ends_nothing, forget),
        cmocka_unit_test_setup(no_exchange_is_no_trouble, forget),
        cmocka_unit_test_setup(odd_requests, forget),
        cmocka_unit_test_setup(models_in_forms, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
