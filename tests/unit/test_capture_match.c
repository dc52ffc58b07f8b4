/* Which requests are taken for calls of an LLM's API. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "capture/match.h"

static void expect(const char *rows, const char *host, const char *path, const char *operation,
                   const char *model)
{
    struct match match;
    if (!match_request(rows, host, path, &match))
        fail_msg("%s%s was not matched", host, path);
    if (operation)
        assert_string_equal(match.operation ? match.operation : "", operation);
    else
        assert_null(match.operation);
    char found[256] = "";
    if (match.model)
        snprintf(found, sizeof found, "%.*s", (int)match.model_length, match.model);
    assert_string_equal(found, model ? model : "");
}

static void refuse(const char *rows, const char *host, const char *path)
{
    struct match match;
    if (match_request(rows, host, path, &match))
        fail_msg("%s%s was matched", host, path);
    assert_null(match.model);
}

static void test_providers(void **state)
{
    (void)state;
    expect("", "api.openai.com", "/v1/chat/completions", "chat", NULL);
    expect("", "api.openai.com:443", "/v1/responses", "chat", NULL);
    expect("", "api.openai.com", "/v1/embeddings", "embeddings", NULL);
    expect("", "myorg.openai.azure.com", "/openai/deployments/gpt-4o/chat/completions", "chat", "gpt-4o");
    expect("", "api.anthropic.com", "/v1/messages", "chat", NULL);
    expect("", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-pro:generateContent",
           "generate_content", "gemini-2.5-pro");
    expect("", "europe-west4-aiplatform.googleapis.com",
           "/v1/projects/p/locations/l/publishers/google/models/gemini-2.0-flash:streamGenerateContent",
           "generate_content", "gemini-2.0-flash");
    expect("", "aiplatform.googleapis.com",
           "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4:rawPredict", "chat",
           "claude-sonnet-4");
    expect("", "bedrock-runtime.us-east-1.amazonaws.com", "/model/us.amazon.nova-micro-v1%3A0/converse",
           "chat", "us.amazon.nova-micro-v1%3A0");
    expect("", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/invoke-with-response-stream", "chat",
           "m");
    expect("", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/invoke", NULL, "m");
    expect("", "api.cohere.com", "/v2/chat", "chat", NULL);
    expect("", "api.mistral.ai", "/v1/chat/completions", "chat", NULL);
    expect("", "127.0.0.1:11434", "/api/chat", "chat", NULL);
    expect("", "[::1]:11434", "/api/generate", "text_completion", NULL);
    expect("", "ollama", "/api/embed", "embeddings", NULL);
    expect("", "localhost:8000", "/v1/chat/completions", "chat", NULL);
    expect("", "router.huggingface.co", "/hf-inference/models/org/name/v1/chat/completions", "chat", NULL);
}

static void test_streams_by_path(void **state)
{
    struct match match;
    (void)state;
    assert_true(match_request("", "x", "/v1/models/m:streamGenerateContent", &match));
    assert_true(match.streams);
    assert_true(match_request("", "x", "/v1/models/m:generateContent", &match));
    assert_false(match.streams);
}

static void test_others_are_left_alone(void **state)
{
    (void)state;
    refuse("", "example.com", "/");
    refuse("", "example.com", "/api/chat"); /* many an application has one */
    refuse("", "example.com", "/v1/messages");
    refuse("", "example.com", "/chat/completions.html");
    refuse("", "github.com", "/owner/name.git/git-upload-pack");
    refuse("", "127.0.0.1:1143", "/api/chat");
    refuse("", "notcohere.example", "/v2/chat");
}

static void test_never(void **state)
{
    (void)state;
    assert_true(match_never("GET", "/v1/responses/resp_1"));
    assert_true(match_never("GET", "/v1/models"));
    assert_true(match_never("POST", "/v1/messages/count_tokens"));
    assert_true(match_never("POST", "/v1beta/models/m:countTokens"));
    assert_true(match_never("POST", "/v1/responses/resp_1/cancel"));
    assert_true(match_never("POST", "/v1/files"));
    assert_true(match_never("DELETE", "/v1/chat/completions"));
    assert_false(match_never("POST", "/v1/chat/completions"));
}

static void test_rows_of_the_user(void **state)
{
    struct match match;
    (void)state;
    const char *rows = "llm.internal/gen/*=openai, *.corp:8080 ,[::1]:9/x";
    assert_true(match_request(rows, "llm.internal:4000", "/gen/chat", &match));
    assert_memory_equal(match.provider, "openai", match.provider_length);
    assert_int_equal(match.provider_length, 6);
    expect(rows, "a.corp:8080", "/anything", NULL, NULL);
    refuse(rows, "a.corp:8081", "/anything");
    refuse(rows, "llm.internal", "/other");
    expect(rows, "[::1]:9", "/x", NULL, NULL);
    /* what the table knows of the path still holds */
    assert_true(match_request(rows, "llm.internal", "/gen/chat/completions", &match));
    assert_string_equal(match.operation, "chat");
    assert_int_equal(match.provider_length, 6);
}

static void test_rows_are_checked(void **state)
{
    char why[200];
    char long_rows[1100];
    (void)state;
    assert_true(match_check("", why, sizeof why));
    assert_true(match_check("a.b/c=d,e", why, sizeof why));
    assert_false(match_check("/v1/x", why, sizeof why));
    assert_false(match_check("a/b=", why, sizeof why));
    assert_non_null(strstr(why, "provider"));
    assert_false(match_check("https://a/b", why, sizeof why));
    assert_non_null(strstr(why, "https:"));
    memset(long_rows, 'a', sizeof long_rows - 1);
    long_rows[sizeof long_rows - 1] = '\0';
    assert_false(match_check(long_rows, why, sizeof why));
}

/* Patterns with many stars must not take for ever. */
static void test_many_stars(void **state)
{
    char text[1000];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[0] = '/';
    text[sizeof text - 1] = '\0';
    refuse("*/*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "h", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_providers),
        cmocka_unit_test(test_streams_by_path),
        cmocka_unit_test(test_others_are_left_alone),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_rows_of_the_user),
        cmocka_unit_test(test_rows_are_checked),
        cmocka_unit_test(test_many_stars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
