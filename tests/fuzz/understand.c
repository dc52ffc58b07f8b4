/* understand.c: usage objects, responses and streams, as anybody may write them, understood and distilled.
 *
 * Input: one byte of hints, then the text. */
#include "fuzz/fuzz.h"

#include "understand/understand.h"

#define COUNT_MAX INT64_C(1000000000000000)

static struct understood understood;

static struct text text(const char *bytes)
{
    return (struct text){bytes, (uint32_t)strlen(bytes)};
}

static int64_t count(enum quantity which)
{
    return understood.quantities.of[which];
}

/* A part is no greater than its whole, where both are known. */
static void expect_part(enum quantity part, enum quantity whole)
{
    fuzz_expect(count(whole) < 0 || count(part) <= count(whole));
}

static void check_counts(void)
{
    bool any = understood.provider_cost_picodollars >= 0;
    for (int i = 0; i < QUANTITY_COUNT; i++) {
        fuzz_expect(understood.quantities.of[i] >= -1 && understood.quantities.of[i] <= COUNT_MAX);
        any |= understood.quantities.of[i] >= 0;
    }
    expect_part(QUANTITY_cache_read_tokens, QUANTITY_input_tokens);
    expect_part(QUANTITY_cache_write_5m_tokens, QUANTITY_input_tokens);
    expect_part(QUANTITY_cache_write_1h_tokens, QUANTITY_input_tokens);
    expect_part(QUANTITY_input_audio_tokens, QUANTITY_input_tokens);
    expect_part(QUANTITY_reasoning_tokens, QUANTITY_output_tokens);
    expect_part(QUANTITY_cache_read_audio_tokens, QUANTITY_cache_read_tokens);
    fuzz_expect(understood.provider_cost_picodollars >= -1 &&
                understood.provider_cost_picodollars <= INT64_C(1000000000000000000));
    fuzz_expect(any == (understood.kind == UNDERSTOOD_COUNTS));
    fuzz_expect(understood.known == (understood.kind <= UNDERSTOOD_NOTHING));
    fuzz_expect(understood.kind != UNDERSTOOD_COUNTS || understood.shape);
}

static void check_texts(void)
{
    static const uint32_t bytes_max[] = {
#define UNDERSTOOD_X(name, max) max,
        UNDERSTOOD_TEXTS(UNDERSTOOD_X)
#undef UNDERSTOOD_X
    };
    for (int i = 0; i < UNDERSTOOD_TEXT_COUNT; i++) {
        struct text kept = understood.texts[i];
        fuzz_expect(kept.length <= bytes_max[i]);
        fuzz_expect(!kept.data || (kept.data >= understood.memory &&
                                   kept.data + kept.length <= understood.memory + sizeof understood.memory));
    }
}

static void check(const struct understand_hints *hints, const char *json, size_t length)
{
    understand(hints, json, length, &understood);
    check_counts();
    check_texts();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t which = fuzz_byte(&input);
    struct understand_hints hints = {.operation = {NULL, 0}};
    if (which & 1)
        hints.provider = text("google");
    if (which & 2)
        hints.operation = text("chat");
    if (which & 4)
        hints.server_address = text("eu-aiplatform.googleapis.com");
    /* of just that size, so that a byte read beyond it is seen */
    size_t length = input.left;
    char *json = malloc(length ? length : 1);
    fuzz_expect(json);
    fuzz_take(&input, json, length);
    check(&hints, json, length);
    enum understood_kind kind = understood.kind;

    size_t capacity = which & 8 ? 256 : 8192;
    char *kept = malloc(capacity);
    fuzz_expect(kept);
    size_t bytes = understand_distil(json, length, kept, capacity);
    fuzz_expect(bytes <= capacity);
    if (bytes)
        check(&hints, kept, bytes);
    fuzz_expect(!bytes || understood.kind != UNDERSTOOD_DAMAGED || kind == UNDERSTOOD_DAMAGED);
    free(kept);
    free(json);
    return 0;
}
