/* price.c: see price.h. */
#include "price/price.h"

#include <string.h>
#include <strings.h>

const char *const price_outcome_names[PRICE_OUTCOMES] = {"list", "no_model", "no_rate", "no_counts",
                                                         "too_large"};

/* ---- the call's terms: service, tier, factor ---- */

static bool ends_with(struct price_text text, const char *word)
{
    size_t length = strlen(word);
    return text.data && text.length >= length && !strncasecmp(text.data + text.length - length, word, length);
}

/* "flex", "ON_DEMAND_FLEX"; "batch"; "priority", "fast" of OpenAI's (its newer name for priority). */
static enum price_service service_of(const struct price_call *call)
{
    if (call->batch || ends_with(call->service_tier, "batch") || ends_with(call->service_tier, "batches"))
        return SERVICE_BATCHES;
    if (ends_with(call->service_tier, "flex"))
        return SERVICE_FLEX;
    if (ends_with(call->service_tier, "ultrafast"))
        return SERVICE_ULTRAFAST;
    if (ends_with(call->service_tier, "priority") || ends_with(call->service_tier, "fast"))
        return SERVICE_PRIORITY;
    return SERVICE_STANDARD;
}

/* Strictly above, but for xAI, whose tiers begin at their number. */
static unsigned tier_of(const struct price_entry *entry, int64_t input_tokens)
{
    unsigned tier = 0;
    while (tier < entry->tier_count && input_tokens >= 0 &&
           (uint64_t)input_tokens + entry->inclusive > entry->tiers[tier])
        tier++;
    return tier;
}

static bool same(struct price_text a, struct price_text b)
{
    return a.data && b.data && a.length == b.length && !strncasecmp(a.data, b.data, a.length);
}

/* "eu.api.openai.com": its first label. */
static bool in_region(struct price_text host, struct price_text region)
{
    return host.data && host.length > region.length && host.data[region.length] == '.' &&
           !strncasecmp(host.data, region.data, region.length) && ends_with(host, ".openai.com");
}

/* "europe-west4-aiplatform.googleapis.com"; without the region it is the global one. */
static bool regional_endpoint(struct price_text host)
{
    return ends_with(host, "-aiplatform.googleapis.com") || ends_with(host, ".rep.googleapis.com");
}

static bool factor_holds(const struct price_factor *factor, const struct price_call *call)
{
    switch (factor->kind) {
    case FACTOR_SPECIFIC:
        return same(factor->name, call->speed) || same(factor->name, call->place);
    case FACTOR_REGION:
        return in_region(call->names.server_address, factor->name);
    default:
        return regional_endpoint(call->names.server_address);
    }
}

static int factor_of(const struct price_entry *entry, const struct price_call *call, struct decimal *out)
{
    *out = DECIMAL_ONE;
    for (unsigned i = 0; i < entry->factor_count; i++)
        if (factor_holds(&entry->factors[i], call) && decimal_multiply(*out, entry->factors[i].factor, out))
            return -1;
    return 0;
}

/* ---- rates ---- */

/* What a kind is part of: whose price it has where it has none. */
static const enum price_rate parents[RATE_COUNT] = {
    [RATE_input] = RATE_COUNT,
    [RATE_output] = RATE_COUNT,
    [RATE_cache_read] = RATE_input,
    [RATE_cache_write_5m] = RATE_input,
    [RATE_cache_write_1h] = RATE_cache_write_5m,
    [RATE_reasoning] = RATE_output,
    [RATE_input_audio] = RATE_input,
    [RATE_output_audio] = RATE_output,
    [RATE_input_image_token] = RATE_input,
    [RATE_output_image_token] = RATE_output,
    [RATE_input_video] = RATE_input,
    [RATE_cache_read_audio] = RATE_cache_read,
    [RATE_cache_read_image] = RATE_cache_read,
    [RATE_input_image] = RATE_COUNT,
    [RATE_output_image] = RATE_COUNT,
    [RATE_input_second] = RATE_COUNT,
    [RATE_output_second] = RATE_COUNT,
    [RATE_input_character] = RATE_COUNT,
    [RATE_output_character] = RATE_COUNT,
    [RATE_query] = RATE_COUNT,
    [RATE_web_search] = RATE_COUNT,
};

/* A kind's own price: of the tier and service; else of the tier; else of the service; else the base. A lower tier that the list
 * skips for this kind counts before the base. Tokens of a service at several times the price have no other. While a window is
 * open the off-peak price stands for the standard one, whatever the tier. */
static const struct price_cell *own_cell(const struct price_result *terms, enum price_rate rate)
{
    const struct price_entry *entry = terms->entry;
    enum price_service service = terms->service;
    if (!(entry->rates >> rate & 1))
        return NULL;
    bool standard = service != SERVICE_ULTRAFAST || rate >= RATE_input_image;
    const struct price_cell *off_peak =
        terms->off_peak ? price_entry_cell(entry, rate, PRICE_TIER_OFF_PEAK, SERVICE_STANDARD) : NULL;
    for (unsigned at = terms->tier + 1; at-- > 0;) {
        const struct price_cell *cell =
            service != SERVICE_STANDARD ? price_entry_cell(entry, rate, at, service) : NULL;
        if (!cell && standard)
            cell = off_peak ? off_peak : price_entry_cell(entry, rate, at, SERVICE_STANDARD);
        if (cell)
            return cell;
    }
    return NULL;
}

/* Where the list gives a kind the same price as what it is part of, it has none of its own: then it follows that into tiers in
 * which the list says nothing about it, for the whole request is at the tier. */
static bool follows(const struct price_entry *entry, const struct price_cell *cell, enum price_rate parent)
{
    const struct price_cell *base =
        price_entry_cell(entry, parent, cell->tier, (enum price_service)cell->service);
    return base && decimal_equal(base->price, cell->price);
}

static const struct price_cell *rate_cell(const struct price_result *terms, enum price_rate rate)
{
    unsigned tier = terms->off_peak ? PRICE_TIER_OFF_PEAK : terms->tier;
    while (rate != RATE_COUNT) {
        enum price_rate parent = parents[rate];
        const struct price_cell *cell = own_cell(terms, rate);
        if (cell && (cell->tier == tier || parent == RATE_COUNT || !follows(terms->entry, cell, parent)))
            return cell;
        rate = parent;
    }
    return NULL;
}

/* A list that prices an image model's output by image tokens alone means all of its output. */
static const struct price_cell *output_cell(const struct price_result *terms)
{
    const struct price_cell *cell = rate_cell(terms, RATE_output);
    const struct price_cell *image = own_cell(terms, RATE_output_image_token);
    return (!cell || !cell->price.digits) && image ? image : cell;
}

/* ---- lines ---- */

struct pricing {
    const struct price_entry *entry;
    const struct price_call *call;
    struct price_result *out;
};

static bool has(const struct pricing *pricing, enum price_rate rate)
{
    return own_cell(pricing->out, rate) != NULL;
}

static void worse(struct price_result *out, enum price_outcome outcome)
{
    if (out->outcome == PRICE_KNOWN)
        out->outcome = outcome;
}

static void add_line(struct pricing *pricing, enum price_rate kind, int64_t count, unsigned count_scale)
{
    struct price_result *out = pricing->out;
    if (count <= 0 || out->line_count == PRICE_LINES_MAX)
        return;
    const struct price_cell *cell = kind == RATE_output ? output_cell(out) : rate_cell(out, kind);
    struct price_line *line = &out->lines[out->line_count++];
    *line = (struct price_line){
        .what = rate_names[kind], .rate = kind, .count = count, .count_scale = count_scale, .found = cell};
    if (!cell) {
        worse(out, PRICE_NO_RATE);
        return;
    }
    line->rate = (enum price_rate)cell->rate;
    line->own = line->rate == kind;
    line->off_peak = cell->tier == PRICE_TIER_OFF_PEAK;
    line->tier = line->off_peak ? 0 : cell->tier;
    line->service = (enum price_service)cell->service;
    line->price = cell->price;
    /* Regions and speeds make tokens dearer, not what is billed by the piece. */
    struct decimal factor = line->rate < RATE_input_image ? out->factor : DECIMAL_ONE;
    if (decimal_cost(count, count_scale, cell->price, factor, &line->picodollars) ||
        __builtin_add_overflow(out->picodollars, line->picodollars, &out->picodollars))
        worse(out, PRICE_TOO_LARGE);
}

static int64_t known(const struct pricing *pricing, enum quantity which)
{
    int64_t count = pricing->call->quantities->of[which];
    return count > 0 ? count : 0;
}

/* Take up to `count` of what is left: parts that add up to more than the whole are believed in this order. */
static int64_t take(int64_t *left, int64_t count)
{
    int64_t taken = count < *left ? count : *left;
    *left -= taken;
    return taken;
}

#define COUNT(name) known(pricing, QUANTITY_##name)

static void price_input(struct pricing *pricing)
{
    int64_t left = COUNT(input_tokens);
    int64_t read = take(&left, COUNT(cache_read_tokens));
    int64_t write_1h = take(&left, COUNT(cache_write_1h_tokens));
    int64_t write_5m = take(&left, COUNT(cache_write_5m_tokens));
    int64_t read_audio = take(&read, COUNT(cache_read_audio_tokens));
    int64_t read_image = take(&read, COUNT(cache_read_image_tokens));
    int64_t audio_new = COUNT(input_audio_tokens) - read_audio;
    int64_t image_new = COUNT(input_image_tokens) - read_image;
    int64_t audio = take(&left, audio_new > 0 ? audio_new : 0);
    int64_t image = take(&left, image_new > 0 ? image_new : 0);
    int64_t video = take(&left, COUNT(input_video_tokens));
    add_line(pricing, RATE_input, left, 0);
    add_line(pricing, RATE_cache_read, read, 0);
    add_line(pricing, RATE_cache_read_audio, read_audio, 0);
    add_line(pricing, RATE_cache_read_image, read_image, 0);
    add_line(pricing, RATE_cache_write_5m, write_5m, 0);
    add_line(pricing, RATE_cache_write_1h, write_1h, 0);
    add_line(pricing, RATE_input_audio, audio, 0);
    add_line(pricing, RATE_input_image_token, image, 0);
    add_line(pricing, RATE_input_video, video, 0);
}

static void price_output(struct pricing *pricing)
{
    int64_t left = COUNT(output_tokens);
    int64_t audio = take(&left, COUNT(output_audio_tokens));
    int64_t image = take(&left, COUNT(output_image_tokens));
    int64_t reasoning = take(&left, COUNT(reasoning_tokens));
    add_line(pricing, RATE_output, left, 0);
    add_line(pricing, RATE_reasoning, reasoning, 0);
    add_line(pricing, RATE_output_audio, audio, 0);
    add_line(pricing, RATE_output_image_token, image, 0);
}

static bool stated(const struct pricing *pricing, enum quantity which)
{
    return pricing->call->quantities->of[which] >= 0;
}

/* Whether tokens of this side are billed at all. */
static bool by_token(const struct pricing *pricing, bool input)
{
    static const enum price_rate rates[2][4] = {
        {RATE_output, RATE_output_audio, RATE_output_image_token, RATE_reasoning},
        {RATE_input, RATE_input_audio, RATE_input_image_token, RATE_cache_read}};
    for (int i = 0; i < 4; i++)
        if (has(pricing, rates[input][i]))
            return true;
    return false;
}

/* A side that is billed by the token or by the piece: how much of it there was must be known in one of the two. */
static void price_side(struct pricing *pricing, bool input)
{
    static const struct {
        enum quantity quantity;
        enum price_rate rate;
        unsigned scale;
    } pieces[2][3] = {{{QUANTITY_output_images, RATE_output_image, 0},
                       {QUANTITY_output_audio_ms, RATE_output_second, 3},
                       {QUANTITY_output_characters, RATE_output_character, 0}},
                      {{QUANTITY_input_images, RATE_input_image, 0},
                       {QUANTITY_input_audio_ms, RATE_input_second, 3},
                       {QUANTITY_input_characters, RATE_input_character, 0}}};
    enum quantity tokens = input ? QUANTITY_input_tokens : QUANTITY_output_tokens;
    bool token_rates = by_token(pricing, input);
    bool tokens_stated = stated(pricing, tokens);
    bool settled = false;
    if (token_rates && tokens_stated) {
        if (input)
            price_input(pricing);
        else
            price_output(pricing);
        settled = true;
    }
    for (int i = 0; i < 3; i++) {
        /* Images go beside tokens that do not hold them; seconds and characters are another measure of the same. */
        bool image = pieces[input][i].quantity == (input ? QUANTITY_input_images : QUANTITY_output_images);
        bool counted = settled && (!image || COUNT(input_image_tokens) || COUNT(output_image_tokens));
        if (counted || !stated(pricing, pieces[input][i].quantity))
            continue;
        enum price_rate rate = pieces[input][i].rate;
        /* LiteLLM lists what an image model makes under what it is given. */
        if (rate == RATE_output_image && !has(pricing, rate) && pricing->entry->makes_images)
            rate = RATE_input_image;
        if (!has(pricing, rate))
            continue;
        add_line(pricing, rate, pricing->call->quantities->of[pieces[input][i].quantity],
                 pieces[input][i].scale);
        settled = true;
    }
    if (settled)
        return;
    if (!token_rates && tokens_stated && pricing->call->quantities->of[tokens] > 0)
        worse(pricing->out, PRICE_NO_RATE);
}

static bool free_of_charge(const struct pricing *pricing, enum price_rate rate)
{
    const struct price_cell *cell = rate_cell(pricing->out, rate);
    return !cell || !cell->price.digits;
}

/* Searches go by the prompt at Google, however many it took, unless the list says otherwise. */
static int64_t searches_billed(const struct pricing *pricing)
{
    int64_t count = COUNT(web_searches);
    struct price_text owner = pricing->entry->provider;
    bool google = owner.length >= 6 && (!memcmp(owner.data, "gemini", 6) || !memcmp(owner.data, "vertex", 6));
    return google && !pricing->entry->search_each && count > 1 ? 1 : count;
}

void price_by(const struct price_entry *entry, const struct price_call *call, struct price_result *out)
{
    out->entry = entry;
    out->outcome = entry ? PRICE_KNOWN : PRICE_NO_MODEL;
    out->picodollars = 0;
    out->line_count = 0;
    out->tier = 0;
    out->off_peak = false;
    out->factor = DECIMAL_ONE;
    out->service = service_of(call);
    if (!entry)
        return;
    struct pricing pricing_state = {entry, call, out};
    struct pricing *pricing = &pricing_state;
    out->tier = tier_of(entry, call->quantities->of[QUANTITY_input_tokens]);
    out->off_peak =
        price_windows_open(entry->windows, entry->window_count, entry->calendar_minutes, call->time_unix_ns);
    if (factor_of(entry, call, &out->factor))
        worse(out, PRICE_TOO_LARGE);
    if (entry->by_time)
        worse(out, PRICE_NO_RATE);
    price_side(pricing, true);
    price_side(pricing, false);
    add_line(pricing, RATE_query, has(pricing, RATE_query) ? COUNT(search_units) : 0, 0);
    add_line(pricing, RATE_web_search, searches_billed(pricing), 0);
    bool counted =
        stated(pricing, QUANTITY_input_tokens) || stated(pricing, QUANTITY_output_tokens) || out->line_count;
    /* What is billed and not stated. */
    bool input_open = !stated(pricing, QUANTITY_input_tokens) && !free_of_charge(pricing, RATE_input);
    bool output_open = !stated(pricing, QUANTITY_output_tokens) && !free_of_charge(pricing, RATE_output);
    bool other_measure = false;
    for (int i = 0; i < out->line_count; i++)
        other_measure |= out->lines[i].rate >= RATE_input_image && out->lines[i].rate <= RATE_query;
    if (!counted || ((input_open || output_open) && !other_measure))
        worse(out, PRICE_NO_COUNTS);
}

/* ---- with a cache of entries ---- */

static size_t put_name(char *to, size_t used, struct price_text name)
{
    if (used + name.length + 1 > PRICE_CACHE_BYTES)
        return PRICE_CACHE_BYTES + 1;
    if (name.length)
        memcpy(to + used, name.data, name.length);
    to[used + name.length] = '\0';
    return used + name.length + 1;
}

/* All names in one, each closed by a NUL; 0: too long to be kept. */
static size_t key_of(const struct price_names *names, char key[PRICE_CACHE_BYTES])
{
    size_t used = put_name(key, 0, names->provider);
    if (used <= PRICE_CACHE_BYTES)
        used = put_name(key, used, names->response_model);
    if (used <= PRICE_CACHE_BYTES)
        used = put_name(key, used, names->request_model);
    if (used <= PRICE_CACHE_BYTES)
        used = put_name(key, used, names->server_address);
    return used <= PRICE_CACHE_BYTES ? used : 0;
}

static const struct price_entry *look_up(const struct price_table *table, struct price_cache *cache,
                                         const struct price_names *names)
{
    char key[PRICE_CACHE_BYTES];
    size_t length = cache ? key_of(names, key) : 0;
    uint64_t hash = length;
    if (!length)
        return price_lookup(table, names);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
    size_t slot = (hash ^ hash >> 32) % PRICE_CACHE_SLOTS;
    if (cache->slots[slot].used && cache->slots[slot].length == length &&
        !memcmp(cache->slots[slot].names, key, length))
        return cache->slots[slot].entry;
    const struct price_entry *entry = price_lookup(table, names);
    cache->slots[slot].used = true;
    cache->slots[slot].length = (uint16_t)length;
    memcpy(cache->slots[slot].names, key, length);
    cache->slots[slot].entry = entry;
    return entry;
}

void price(const struct price_table *table, struct price_cache *cache, const struct price_call *call,
           struct price_result *out)
{
    price_by(look_up(table, cache, &call->names), call, out);
}
