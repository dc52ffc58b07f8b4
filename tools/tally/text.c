#include "text.h"
#include "command.h"

#include <langinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct buffer {
    char *bytes;
    size_t length;
    size_t capacity;
};

static void append(struct buffer *buffer, const char *bytes, size_t length)
{
    if (buffer->length + length + 1 > buffer->capacity) {
        buffer->capacity = (buffer->length + length + 1) * 2;
        buffer->bytes = must_resize(buffer->bytes, buffer->capacity, 1);
    }
    if (length != 0)
        memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
}

static void append_text(struct buffer *buffer, const char *text)
{
    append(buffer, text, strlen(text));
}

size_t text_decode(const unsigned char *bytes, size_t length, uint32_t *character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t wanted = bytes[0] < 0x80 ? 1 : bytes[0] < 0xC2 ? 0 : bytes[0] < 0xE0 ? 2 : bytes[0] < 0xF0 ? 3 : 4;

    if (wanted == 0 || bytes[0] > 0xF4 || wanted > length)
        return 0;
    if (wanted == 1) {
        *character = bytes[0];
        return 1;
    }
    uint32_t value = bytes[0] & (0x7Fu >> wanted);
    for (size_t i = 1; i < wanted; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (bytes[i] & 0x3Fu);
    }
    if (value < least[wanted] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *character = value;
    return wanted;
}

/* What changes how a terminal shows the text around it, or shows as nothing. */
static bool drives_terminals(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || /* C0, DEL, C1, soft hyphen */
           c == 0x061C || c == 0x200E || c == 0x200F ||         /* bidi marks */
           (c >= 0x202A && c <= 0x202E) ||                      /* bidi embeddings and overrides */
           (c >= 0x2066 && c <= 0x206F) ||                      /* bidi isolates, deprecated formats */
           c == 0x2028 || c == 0x2029 ||                        /* line and paragraph separators */
           c == 0x180E || c == 0x200B || c == 0x2060 ||         /* widthless */
           (c >= 0x2061 && c <= 0x2064) || c == 0xFEFF ||       /* invisible operators, byte order mark */
           (c >= 0xFFF9 && c <= 0xFFFB) ||                      /* interlinear annotation */
           (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF) || /* not characters */
           (c >= 0xE0000 && c <= 0xE0FFF);                           /* tags, variation selectors */
}

static void append_escape(struct buffer *out, uint32_t c)
{
    char escape[16];

    if (c == '\n' || c == '\r' || c == '\t')
        snprintf(escape, sizeof(escape), "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c < 0x80)
        snprintf(escape, sizeof(escape), "\\x%02x", c);
    else if (c <= 0xFFFF)
        snprintf(escape, sizeof(escape), "\\u%04x", c);
    else
        snprintf(escape, sizeof(escape), "\\U%08x", c);
    append_text(out, escape);
}

char *text_safe(const char *bytes, size_t length, enum text_for purpose)
{
    struct buffer out = {0};
    const unsigned char *at = (const unsigned char *)bytes;

    append(&out, "", 0);
    for (size_t i = 0, step; i < length; i += step) {
        uint32_t c = 0;
        step = text_decode(at + i, length - i, &c);
        if (step == 0) {
            char escape[8];
            snprintf(escape, sizeof(escape), "\\x%02x", at[i]);
            append_text(&out, escape);
            step = 1;
        } else if (purpose == TEXT_LINES && (c == '\n' || c == '\t')) {
            append(&out, bytes + i, step);
        } else if (drives_terminals(c) || (purpose == TEXT_ASCII && c >= 0x80)) {
            append_escape(&out, c);
        } else {
            append(&out, bytes + i, step);
        }
    }
    return out.bytes;
}

char *text_shown(const char *bytes, size_t length)
{
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;

    return text_safe(bytes, length, utf8 ? TEXT_UTF8 : TEXT_ASCII);
}

static void append_json_character(struct buffer *out, uint32_t c, const char *bytes, size_t length)
{
    char escape[16];

    if (c == '"' || c == '\\') {
        snprintf(escape, sizeof(escape), "\\%c", (char)c);
        append_text(out, escape);
    } else if (!drives_terminals(c)) {
        append(out, bytes, length);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        append_escape(out, c);
    } else if (c <= 0xFFFF) {
        snprintf(escape, sizeof(escape), "\\u%04x", c);
        append_text(out, escape);
    } else {
        c -= 0x10000;
        snprintf(escape, sizeof(escape), "\\u%04x\\u%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
        append_text(out, escape);
    }
}

char *text_json(const char *bytes, size_t length)
{
    struct buffer out = {0};
    const unsigned char *at = (const unsigned char *)bytes;

    append_text(&out, "\"");
    for (size_t i = 0, step; i < length; i += step) {
        uint32_t c = 0;
        step = text_decode(at + i, length - i, &c);
        if (step == 0) {
            append_text(&out, "\\ufffd");
            step = 1;
        } else {
            append_json_character(&out, c, bytes + i, step);
        }
    }
    append_text(&out, "\"");
    return out.bytes;
}

char *text_csv(const char *safe)
{
    struct buffer out = {0};

    if (strpbrk(safe, ",\"\r\n") == NULL && safe[0] != ' ' && safe[0] != '\t') {
        append_text(&out, safe);
        return out.bytes;
    }
    append_text(&out, "\"");
    for (const char *at = safe; *at != '\0'; at++)
        append(&out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    append_text(&out, "\"");
    return out.bytes;
}
