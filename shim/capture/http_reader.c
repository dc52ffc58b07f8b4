/* http_reader.c: HTTP/1.x messages of one direction, as a sequence of events; the bytes may come in pieces of any size. See http_state.h.
 *
 * A line is gathered up to HTTP_LINE_MAX bytes, whatever is beyond is read past. A header's line is told when the first byte of the
 * next has come, for that may continue it (obs-fold). Lines may end with a bare LF.
 */
#include "capture/http.h"

#include <string.h>

#define HEAD_BYTES_MAX       (256u << 10)
#define METHOD_BYTES_MAX     32
#define CHUNK_LINE_BYTES_MAX (16u << 10)

void http_reader_begin(struct http_reader *reader, bool responses)
{
    /* All but the line. */
    memset(reader, 0, offsetof(struct http_reader, line));
    reader->responses = responses;
}

/* ---- lines ----------------------------------------------------------------------------------------- */

static void line_clear(struct http_reader *reader)
{
    reader->line_length = 0;
    reader->line_cut = false;
    reader->line_whole = false;
    reader->line_told = false;
}

static void line_append(struct http_reader *reader, const char *bytes, size_t length)
{
    size_t room = HTTP_LINE_MAX - reader->line_length;
    if (length > room) {
        length = room;
        reader->line_cut = true;
    }
    memcpy(reader->line + reader->line_length, bytes, length);
    reader->line_length += (uint32_t)length;
    reader->line[reader->line_length] = '\0';
}

/* Gather up to the next LF. Whether it came; then the line stands there without its end. */
static bool line_gather(struct http_reader *reader, struct http_input *input)
{
    const char *end = input->left ? memchr(input->at, '\n', input->left) : NULL;
    size_t length = end ? (size_t)(end - input->at) : input->left;
    size_t used = length + (end != NULL);
    line_append(reader, input->at, length);
    reader->head_bytes += used > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)used;
    input->at += used;
    input->left -= used;
    if (!end)
        return false;
    if (!reader->line_cut && reader->line_length && reader->line[reader->line_length - 1] == '\r')
        reader->line[--reader->line_length] = '\0';
    return true;
}

/* Whether a start line may go on from what has come of it: something else is seen to be so at its first bytes. */
static bool start_is_sound(const struct http_reader *reader)
{
    static const char version[] = "HTTP/1.";
    size_t length = reader->line_length;
    if (reader->responses)
        return !memcmp(reader->line, version, length < 7 ? length : 7);
    for (size_t i = 0; i < length && i < METHOD_BYTES_MAX; i++) {
        char c = reader->line[i];
        if (c == ' ')
            return i > 0;
        if ((c < 'A' || c > 'Z') && c != '-' && c != '_')
            return false;
    }
    return length < METHOD_BYTES_MAX;
}

static enum http_event next_start(struct http_reader *reader, struct http_input *input)
{
    while (input->left) {
        bool whole = line_gather(reader, input);
        if (reader->head_bytes > HEAD_BYTES_MAX)
            return HTTP_BAD;
        /* An empty line or two before a message are to be forgiven. */
        bool empty = reader->line_length == 0 || (!whole && !strcmp(reader->line, "\r"));
        if (!empty && !start_is_sound(reader))
            return HTTP_BAD;
        if (whole && !empty) {
            reader->place = HTTP_HEADERS;
            reader->has_length = reader->chunked = reader->other_coding = false;
            reader->length = 0;
            reader->line_told = true;
            return HTTP_START_LINE;
        }
        if (whole)
            line_clear(reader);
    }
    return HTTP_MORE;
}

static enum http_event next_header(struct http_reader *reader, struct http_input *input)
{
    if (reader->line_told)
        line_clear(reader);
    while (input->left) {
        if (reader->line_whole && input->at[0] != ' ' && input->at[0] != '\t') {
            reader->line_told = true;
            return HTTP_HEADER;
        }
        reader->line_whole = false;
        bool whole = line_gather(reader, input);
        if (reader->head_bytes > HEAD_BYTES_MAX)
            return HTTP_BAD;
        if (!whole)
            break;
        if (!reader->line_length)
            return HTTP_HEAD_END;
        reader->line_whole = true;
    }
    return HTTP_MORE;
}

/* ---- chunks ---------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A chunk's size, extensions behind it left alone. */
static bool chunk_size(const char *line, uint64_t *size)
{
    const char *at = line;
    *size = 0;
    for (int digit; (digit = hex_digit(*at)) >= 0; at++) {
        if (*size >> 59)
            return false;
        *size = *size << 4 | (uint64_t)digit;
    }
    return at > line && (*at == '\0' || *at == ';' || *at == ' ' || *at == '\t');
}

static enum http_event next_chunk_line(struct http_reader *reader, struct http_input *input)
{
    bool whole = line_gather(reader, input);
    if (reader->head_bytes > (reader->place == HTTP_TRAILERS ? HEAD_BYTES_MAX : CHUNK_LINE_BYTES_MAX))
        return HTTP_BAD;
    if (!whole)
        return HTTP_MORE;
    bool empty = reader->line_length == 0;
    switch (reader->place) {
    case HTTP_CHUNK_SIZE:
        if (!chunk_size(reader->line, &reader->left))
            return HTTP_BAD;
        reader->place = reader->left ? HTTP_CHUNK : HTTP_TRAILERS;
        break;
    case HTTP_CHUNK_END:
        if (!empty)
            return HTTP_BAD;
        reader->place = HTTP_CHUNK_SIZE;
        break;
    default: /* trailers */
        if (empty)
            reader->place = HTTP_COMPLETE;
    }
    line_clear(reader);
    if (reader->place != HTTP_TRAILERS || empty)
        reader->head_bytes = 0;
    return HTTP_MORE;
}

/* ---- messages -------------------------------------------------------------------------------------- */

static enum http_event next_piece(struct http_reader *reader, struct http_input *input,
                                  struct http_input *piece)
{
    *piece = *input;
    if (reader->place != HTTP_TO_END) {
        if (piece->left > reader->left)
            piece->left = (size_t)reader->left;
        reader->left -= piece->left;
        if (!reader->left)
            reader->place = reader->place == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_COMPLETE;
    }
    input->at += piece->left;
    input->left -= piece->left;
    return HTTP_BODY;
}

enum http_event http_reader_next(struct http_reader *reader, struct http_input *input,
                                 struct http_input *piece)
{
    for (;;) {
        enum http_event event = HTTP_MORE;
        if (reader->place == HTTP_COMPLETE) {
            reader->place = HTTP_START;
            reader->head_bytes = 0;
            line_clear(reader);
            return HTTP_END;
        }
        if (!input->left)
            return HTTP_MORE;
        switch (reader->place) {
        case HTTP_START:
            event = next_start(reader, input);
            break;
        case HTTP_HEADERS:
            event = next_header(reader, input);
            break;
        case HTTP_LENGTH:
        case HTTP_TO_END:
        case HTTP_CHUNK:
            return next_piece(reader, input, piece);
        default:
            event = next_chunk_line(reader, input);
        }
        if (event != HTTP_MORE)
            return event;
    }
}

bool http_reader_body(struct http_reader *reader, enum http_body body)
{
    line_clear(reader);
    reader->head_bytes = 0;
    reader->left = reader->length;
    if (body == HTTP_BODY_NONE)
        reader->place = HTTP_COMPLETE;
    else if (reader->other_coding)
        return false;
    else if (reader->chunked) /* stronger than a length, as clients have it */
        reader->place = HTTP_CHUNK_SIZE;
    else if (reader->has_length)
        reader->place = reader->left ? HTTP_LENGTH : HTTP_COMPLETE;
    else
        reader->place = body == HTTP_BODY_TO_END ? HTTP_TO_END : HTTP_COMPLETE;
    return true;
}

/* ---- headers --------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(struct http_input *text)
{
    while (text->left && is_blank(text->at[0])) {
        text->at++;
        text->left--;
    }
    while (text->left && is_blank(text->at[text->left - 1]))
        text->left--;
}

bool http_reader_header(struct http_reader *reader, struct http_input *name, struct http_input *value)
{
    const char *line = reader->line;
    const char *colon = memchr(line, ':', reader->line_length);
    if (!colon)
        return false;
    *name = (struct http_input){line, (size_t)(colon - line)};
    *value = (struct http_input){colon + 1, reader->line_length - (size_t)(colon + 1 - line)};
    trim(name);
    trim(value);
    return name->left > 0;
}

bool http_is_name(struct http_input text, const char *lower_case)
{
    for (size_t i = 0; i < text.left; i++) {
        char c = text.at[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != lower_case[i])
            return false; /* its end, too: no name has a NUL */
    }
    return lower_case[text.left] == '\0';
}

/* The next of a list with commas, trimmed. */
static bool next_item(struct http_input *list, struct http_input *item)
{
    if (!list->left)
        return false;
    const char *comma = memchr(list->at, ',', list->left);
    size_t length = comma ? (size_t)(comma - list->at) : list->left;
    *item = (struct http_input){list->at, length};
    list->at += length + (comma != NULL);
    list->left -= length + (comma != NULL);
    trim(item);
    return true;
}

static bool number_of(struct http_input text, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.left; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || *number > UINT64_MAX / 16)
            return false;
        *number = *number * 10 + (uint64_t)(text.at[i] - '0');
    }
    return text.left > 0;
}

bool http_reader_framing(struct http_reader *reader, struct http_input name, struct http_input value)
{
    struct http_input item;
    if (http_is_name(name, "content-length")) {
        if (!value.left)
            return false;
        /* The same number twice is one number. */
        while (next_item(&value, &item)) {
            uint64_t length;
            if (!number_of(item, &length) || (reader->has_length && length != reader->length))
                return false;
            reader->has_length = true;
            reader->length = length;
        }
    } else if (http_is_name(name, "transfer-encoding")) {
        while (next_item(&value, &item)) {
            if (http_is_name(item, "chunked") && !reader->chunked)
                reader->chunked = true;
            else if (item.left && !http_is_name(item, "identity"))
                reader->other_coding = true;
        }
    }
    return true;
}
