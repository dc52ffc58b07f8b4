/* settle.c: see settle.h.
 *
 * Providers differ in what their counts include, gateways differ from the providers they stand for, and both change it. So
 * where an object states its total, the total decides: it is the sum of input and output, and shows which of the others
 * are part of them. Without one the shape's own way holds.
 */
#include "understand/json.h"
#include "understand/provider.h"
#include "understand/settle.h"

/* At work on one object. */
struct sums {
    const struct shape *shape;
    int64_t of[FIGURE_COUNT];
};

#define INPUT     QUANTITY_input_tokens
#define OUTPUT    QUANTITY_output_tokens
#define READ      QUANTITY_cache_read_tokens
#define WRITE_5M  QUANTITY_cache_write_5m_tokens
#define WRITE_1H  QUANTITY_cache_write_1h_tokens
#define REASONING QUANTITY_reasoning_tokens

static bool known(const struct sums *sums, int figure)
{
    return sums->of[figure] >= 0;
}

/* 0 where unknown. */
static int64_t value(const struct sums *sums, int figure)
{
    return known(sums, figure) ? sums->of[figure] : 0;
}

static bool total_is(const struct sums *sums, int64_t sum)
{
    return known(sums, FIGURE_total_tokens) && sums->of[FIGURE_total_tokens] == sum;
}

static void add(struct sums *sums, int figure, int64_t more)
{
    sums->of[figure] = value(sums, figure) + more;
}

/* Writes by lifetime; what has none stated was for the default, five minutes. */
static void settle_writes(struct sums *sums)
{
    int64_t divided = value(sums, WRITE_5M) + value(sums, WRITE_1H);
    if (known(sums, FIGURE_cache_write_tokens) && sums->of[FIGURE_cache_write_tokens] >= divided)
        sums->of[WRITE_5M] = sums->of[FIGURE_cache_write_tokens] - value(sums, WRITE_1H);
}

/* Input that the provider states beside input_tokens becomes part of it. */
static void settle_input(struct sums *sums)
{
    int64_t cached = value(sums, READ) + value(sums, WRITE_5M) + value(sums, WRITE_1H);
    int64_t tools = value(sums, FIGURE_tool_tokens);
    int64_t stated = value(sums, INPUT) + value(sums, OUTPUT);
    if (!known(sums, INPUT) && !tools && value(sums, FIGURE_apart_image_tokens) == 0)
        return;
    bool thoughts = value(sums, REASONING) && total_is(sums, stated + value(sums, REASONING));
    bool apart = sums->shape->traits & CACHE_APART
                     ? !total_is(sums, stated)
                     : (!thoughts && total_is(sums, stated + cached)) || cached > value(sums, INPUT);
    if (sums->shape->traits & BILLED)
        apart = false;
    if (apart && known(sums, INPUT))
        add(sums, INPUT, cached);
    if (tools && !total_is(sums, stated + value(sums, REASONING)))
        add(sums, INPUT, tools);
    if (known(sums, FIGURE_apart_image_tokens)) {
        add(sums, INPUT, sums->of[FIGURE_apart_image_tokens]);
        sums->of[QUANTITY_input_image_tokens] = sums->of[FIGURE_apart_image_tokens];
    }
}

/* Reasoning that the provider states beside output_tokens becomes part of it. Input is settled by now. */
static void settle_output(struct sums *sums)
{
    int64_t reasoning = value(sums, REASONING);
    int64_t stated = value(sums, INPUT) + value(sums, OUTPUT);
    bool apart = total_is(sums, stated + reasoning) || reasoning > value(sums, OUTPUT);
    if (sums->shape->traits & THOUGHTS_APART)
        apart = !total_is(sums, stated);
    if (reasoning > 0 && apart && (known(sums, OUTPUT) || sums->shape->traits & THOUGHTS_APART))
        add(sums, OUTPUT, reasoning);
}

/* Not an embedding, nor a ranking. */
static bool has_output(const struct understand_hints *hints)
{
    return text_has(hints->operation, "chat") || text_has(hints->operation, "completion") ||
           text_has(hints->operation, "generate");
}

/* A side that is not stated follows from the total. Google leaves out what is 0. */
static void settle_rest(struct sums *sums, const struct understand_hints *hints)
{
    int64_t total = sums->of[FIGURE_total_tokens];
    bool alone = !known(sums, INPUT) && !known(sums, OUTPUT);
    if (total < 0)
        return;
    if (alone) {
        if (sums->shape->traits & TOTAL_IS_INPUT && !has_output(hints))
            sums->of[INPUT] = total;
    } else if (!known(sums, OUTPUT)) {
        if (total >= sums->of[INPUT])
            sums->of[OUTPUT] = total - sums->of[INPUT];
    } else if (!known(sums, INPUT)) {
        if (total >= sums->of[OUTPUT])
            sums->of[INPUT] = total - sums->of[OUTPUT];
    } else if (total > sums->of[INPUT] + sums->of[OUTPUT] && !(sums->shape->traits & THOUGHTS_APART) &&
               provider_is_google(hints)) {
        /* Gemini by an API like OpenAI's: thoughts are in the total alone. */
        if (!known(sums, REASONING))
            sums->of[REASONING] = total - sums->of[INPUT] - sums->of[OUTPUT];
        sums->of[OUTPUT] = total - sums->of[INPUT];
    }
}

static void settle_more(struct sums *sums)
{
    int64_t read = value(sums, FIGURE_more_cache_read_tokens);
    int64_t write_5m = value(sums, FIGURE_more_cache_write_5m_tokens);
    int64_t write_1h = value(sums, FIGURE_more_cache_write_1h_tokens);
    if (known(sums, FIGURE_more_input_tokens) && known(sums, INPUT))
        add(sums, INPUT, sums->of[FIGURE_more_input_tokens] + read + write_5m + write_1h);
    if (known(sums, FIGURE_more_output_tokens) && known(sums, OUTPUT))
        add(sums, OUTPUT, sums->of[FIGURE_more_output_tokens]);
    if (read)
        add(sums, READ, read);
    if (write_5m)
        add(sums, WRITE_5M, write_5m);
    if (write_1h)
        add(sums, WRITE_1H, write_1h);
}

/* A part greater than its whole is none: of another counting (Cohere's cached tokens are of all tokens, not of those billed), or nonsense.
 * It must not reach a price. */
void settle_parts(struct quantities *quantities)
{
    static const uint8_t parts[][2] = {
        {READ, INPUT},
        {WRITE_5M, INPUT},
        {WRITE_1H, INPUT},
        {QUANTITY_input_audio_tokens, INPUT},
        {QUANTITY_input_image_tokens, INPUT},
        {QUANTITY_input_video_tokens, INPUT},
        {REASONING, OUTPUT},
        {QUANTITY_output_audio_tokens, OUTPUT},
        {QUANTITY_output_image_tokens, OUTPUT},
        {QUANTITY_cache_read_audio_tokens, READ},
        {QUANTITY_cache_read_image_tokens, READ},
    };
    int64_t *of = quantities->of;
    for (int i = 0; i < QUANTITY_COUNT; i++)
        if (of[i] > JSON_COUNT_MAX)
            of[i] = -1;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (of[parts[i][1]] >= 0 && of[parts[i][0]] > of[parts[i][1]])
            of[parts[i][0]] = -1;
}

void settle(const struct shape *shape, const struct figures *figures, const struct understand_hints *hints,
            struct quantities *out)
{
    struct sums sums = {.shape = shape};
    for (int i = 0; i < FIGURE_COUNT; i++)
        sums.of[i] = figures->of[i];
    settle_writes(&sums);
    settle_input(&sums);
    settle_output(&sums);
    settle_rest(&sums, hints);
    settle_more(&sums);
    for (int i = 0; i < QUANTITY_COUNT; i++)
        out->of[i] = sums.of[i];
    settle_parts(out);
}

int64_t settle_cost(const struct figures *figures)
{
    int64_t stated = figures->of[FIGURE_provider_cost];
    int64_t upstream = figures->of[FIGURE_upstream_cost];
    if (stated < 0 || figures->of[FIGURE_own_key] != 1)
        return stated;
    /* Unknown is not zero: without the greater part there is no cost. */
    return upstream < 0 ? -1 : stated + upstream;
}
