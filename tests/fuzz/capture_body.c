/* capture_body.c: bodies as anybody may send them, picked while they pass: in pieces the same as whole, sound JSON, and no text that has no
 * business there.
 *
 * Input: what it is said to be, how to cut it into pieces, then the body. */
#include "fuzz/fuzz.h"

#include "capture/body.h"
#include "capture/form.h"
#include "understand/understand.h"

#include <cjson/cJSON.h>

#define FORMATS 5

struct picked {
    struct body body;
    unsigned news;
    size_t length;
    char json[BODY_FRAGMENTS_BYTES + 64];
};

/* Pieces of 1 to 16 bytes, mostly; by 0, all at once. Each is memory of its own, so that reading past its end is seen. */
static void feed(struct body *body, const uint8_t *bytes, size_t length, uint32_t seed, unsigned *news)
{
    for (size_t at = 0; at < length;) {
        seed = seed * 1664525u + (seed ? 1013904223u : 0);
        size_t piece = seed ? 1 + (seed >> 28) : length;
        if (seed >> 24 == 0xff)
            piece *= 100;
        piece = piece < length - at ? piece : length - at;
        uint8_t *exact = malloc(piece);
        fuzz_expect(exact);
        memcpy(exact, bytes + at, piece);
        *news |= body_feed(body, exact, piece);
        free(exact);
        at += piece;
    }
}

static struct picked *pick(enum body_format format, const uint8_t *bytes, size_t length, uint32_t seed)
{
    struct picked *picked = malloc(sizeof *picked);
    fuzz_expect(picked);
    memset(picked, (int)seed, sizeof *picked);
    picked->news = 0;
    body_begin(&picked->body, format, "team,user_id,a");
    feed(&picked->body, bytes, length, seed, &picked->news);
    picked->news |= body_finish(&picked->body);
    picked->length = body_usage_json(&picked->body, picked->json, sizeof picked->json);
    fuzz_expect(picked->length <= sizeof picked->json);
    return picked;
}

static void same(const struct picked *a, const struct picked *b)
{
    fuzz_expect(a->length == b->length && !memcmp(a->json, b->json, a->length));
    fuzz_expect(a->news == b->news);
    fuzz_expect(body_has_counts(&a->body) == body_has_counts(&b->body));
    fuzz_expect(body_is_over(&a->body) == body_is_over(&b->body));
    fuzz_expect(body_streams(&a->body) == body_streams(&b->body));
    fuzz_expect(!strcmp(body_metadata(&a->body), body_metadata(&b->body)));
    for (int i = 0; i < BODY_VALUES; i++)
        fuzz_expect(!strcmp(body_text(&a->body, i), body_text(&b->body, i)));
}

static bool is_name(const char *name)
{
    static const char *const names[] = {
        "id",          "model",       "service_tier", "status",        "type",     "modelVersion",
        "responseId",  "response_id", "code",         "ttl",           "modality", "model_version",
        "serviceTier", "trafficType", "speed",        "inference_geo",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name && !strcmp(name, names[i]))
            return true;
    return false;
}

static void check_texts(const cJSON *item)
{
    for (; item; item = item->next) {
        check_texts(item->child);
        if (cJSON_IsString(item))
            fuzz_expect((is_name(item->string) && strlen(item->valuestring) <= BODY_TEXT_BYTES_MAX) ||
                        strspn(item->valuestring, "0123456789.eE+-") == strlen(item->valuestring));
    }
}

static void check(const struct picked *picked)
{
    static struct understood understood;
    fuzz_expect(strlen(body_metadata(&picked->body)) < BODY_METADATA_BYTES);
    for (int i = 0; i < BODY_VALUES; i++)
        fuzz_expect(strlen(body_text(&picked->body, i)) < BODY_VALUE_BYTES);
    fuzz_expect(!(picked->news & BODY_USAGE) || picked->length);
    if (!picked->length)
        return;
    cJSON *json = cJSON_ParseWithLength(picked->json, picked->length);
    fuzz_expect(json);
    check_texts(json);
    cJSON_Delete(json);
    understand(NULL, picked->json, picked->length, &understood);
    fuzz_expect(understood.kind != UNDERSTOOD_DAMAGED);
}

/* The same bytes, taken for a form. */
static void check_form(const uint8_t *bytes, size_t length, uint32_t seed)
{
    struct form whole;
    struct form split;
    memset(&whole, 0, sizeof whole);
    memset(&split, 0xff, sizeof split);
    form_begin(&whole);
    form_begin(&split);
    form_feed(&whole, bytes, length);
    for (size_t at = 0, piece = 1 + seed % 7; at < length; at += piece)
        form_feed(&split, bytes + at, piece < length - at ? piece : length - at);
    fuzz_expect(strnlen(whole.model, sizeof whole.model) < sizeof whole.model);
    fuzz_expect(!strcmp(whole.model, split.model));
    fuzz_expect(!whole.model[0] || memmem(bytes, length, whole.model, strlen(whole.model)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    enum body_format format = fuzz_byte(&input) % FORMATS;
    uint32_t seed = fuzz_byte(&input) + 1u;
    struct picked *whole = pick(format, input.at, input.left, 0);
    struct picked *split = pick(format, input.at, input.left, seed);
    same(whole, split);
    check(whole);
    check_form(input.at, input.left, seed);
    free(whole);
    free(split);
    return 0;
}
