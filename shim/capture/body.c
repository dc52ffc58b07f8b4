/* body.c: see body.h. */
#include "capture/body.h"
#include "capture/fragments.h"
#include "capture/framing.h"

#include <string.h>

_Static_assert(sizeof(struct body) <= 6 << 10, "two of them, and more, share a block of the pool");

/* The texts need no clearing but for their first byte. */
void body_begin(struct body *body, enum body_format format, const char *metadata_names)
{
    bool request = format == BODY_REQUEST_JSON;
    body->format = (uint8_t)format;
    body->has_counts = body->content = body->fault = body->streams = body->ending = body->over = false;
    body->news = body->open = body->error_rank = 0;
    if (request) {
        body->metadata_names = metadata_names;
        body->metadata_length = body->metadata_mark = body->value_bytes = 0;
        body->metadata[0] = '\0';
        for (size_t i = 0; i < sizeof body->values / sizeof body->values[0]; i++)
            body->values[i][0] = '\0';
    } else {
        body->used = body->built = body->count = 0;
        body->error_type[0] = '\0';
    }
    framing_begin(body);
}

static unsigned news_of(struct body *body)
{
    unsigned news = body->news;
    body->news = 0;
    return news;
}

unsigned body_feed(struct body *body, const void *bytes, size_t length)
{
    if (body->format != BODY_NONE && length)
        framing_feed(body, bytes, length);
    return news_of(body);
}

unsigned body_finish(struct body *body)
{
    if (body->format != BODY_NONE)
        framing_end(body);
    body->format = body->format == BODY_REQUEST_JSON ? BODY_REQUEST_JSON : BODY_NONE;
    return news_of(body);
}

size_t body_usage_json(const struct body *body, char *out, size_t capacity)
{
    return body->format == BODY_REQUEST_JSON ? 0 : fragments_print(body, out, capacity);
}

bool body_has_counts(const struct body *body)
{
    return body->has_counts;
}

bool body_is_over(const struct body *body)
{
    return body->over;
}

const char *body_text(const struct body *body, enum body_value which)
{
    bool request = body->format == BODY_REQUEST_JSON;
    if (which == BODY_ERROR_TYPE)
        return request ? "" : body->error_type;
    return request && body->open != which + 1 && which < BODY_ERROR_TYPE ? body->values[which] : "";
}

bool body_streams(const struct body *body)
{
    return body->streams;
}

const char *body_metadata(const struct body *body)
{
    return body->format == BODY_REQUEST_JSON && !body->open ? body->metadata : "";
}
