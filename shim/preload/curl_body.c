/* curl_body.c: a request body that is set with CURLOPT_COPYPOSTFIELDS (PHP and pycurl know no other way) is libcurl's alone from
 * then on, and there is no asking for it. So it is scanned when it is set; what was picked is kept, and told as a short body of the same meaning
 * when the request leaves. */
#include "capture/body.h"
#include "capture/pool.h"
#include "preload/curl.h"

#include <string.h>

_Static_assert(sizeof(struct body) <= POOL_SMALL_BYTES, "a body's state fits a block");

struct writer {
    char *at, *end;
    bool full;
};

static void put(struct writer *writer, const char *text, size_t length)
{
    if ((size_t)(writer->end - writer->at) < length)
        writer->full = true;
    else {
        memcpy(writer->at, text, length);
        writer->at += length;
    }
}

static void put_string(struct writer *writer, const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    put(writer, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\')
            put(writer, "\\", 1);
        if (byte >= 0x20)
            put(writer, text + i, 1);
        else
            put(writer, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
    }
    put(writer, "\"", 1);
}

/* What does not fit is left out. */
static void put_member(struct writer *writer, const char *name, size_t name_length, const char *value,
                       size_t length)
{
    struct writer before = *writer;
    if (!length)
        return;
    if (writer->at[-1] != '{')
        put(writer, ",", 1);
    put_string(writer, name, name_length);
    put(writer, ":", 1);
    put_string(writer, value, length);
    if (writer->full)
        *writer = before;
}

static void put_metadata(struct writer *writer, const char *list)
{
    if (!*list)
        return;
    put(writer, ",\"metadata\":{", 13);
    while (*list) {
        size_t length = strcspn(list, ",");
        const char *equals = memchr(list, '=', length);
        if (equals)
            put_member(writer, list, (size_t)(equals - list), equals + 1,
                       (size_t)(list + length - equals - 1));
        list += length + (list[length] == ',');
    }
    put(writer, "}", 1);
}

static void write_picked(struct curl_handle *handle, const struct body *body)
{
    static const struct {
        const char *name;
        enum body_value value;
    } members[] = {{"model", BODY_MODEL}, {"service_tier", BODY_SERVICE_TIER}, {"user", BODY_USER}};
    struct writer writer = {handle->picked, handle->picked + sizeof handle->picked - 2, false};
    const char *stream = body_streams(body) ? "{\"stream\":true" : "{\"stream\":false";
    put(&writer, stream, strlen(stream));
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const char *value = body_text(body, members[i].value);
        put_member(&writer, members[i].name, strlen(members[i].name), value, strlen(value));
    }
    struct writer before = writer;
    put_metadata(&writer, body_metadata(body));
    if (writer.full)
        writer = before;
    *writer.at++ = '}';
    handle->notes.picked_length = (uint16_t)(writer.at - handle->picked);
}

static bool may_be_json(const char *body, size_t length)
{
    size_t at = 0;
    while (at < length && (body[at] == ' ' || body[at] == '\n' || body[at] == '\r' || body[at] == '\t'))
        at++;
    return at < length && body[at] == '{';
}

void curl_body_pick(struct curl_handle *handle, const char *fields, size_t length)
{
    struct body *body = may_be_json(fields, length) ? pool_take(POOL_SMALL) : NULL;
    if (!body)
        return;
    body_begin(body, BODY_REQUEST_JSON, capture_settings.metadata);
    body_feed(body, fields, length);
    body_finish(body);
    write_picked(handle, body);
    pool_give(POOL_SMALL, body);
}
