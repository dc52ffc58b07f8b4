/* scan.c: see scan.h. */
#include "price/scan.h"

#include <stdint.h>
#include <string.h>

static int wrong(struct scan *scan, const char *what)
{
    if (!scan->wrong)
        scan->wrong = what;
    return -1;
}

static void space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->line += *scan->at++ == '\n'; /* nowhere else may a line end */
}

/* The next character past white space; 0 at the end. */
static char next(struct scan *scan)
{
    space(scan);
    if (scan->at >= scan->end)
        return '\0';
    return *scan->at;
}

void scan_begin(struct scan *scan, char *text, size_t length)
{
    *scan = (struct scan){text, text + length, 1, NULL};
    if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        scan->at += 3;
}

enum scan_kind scan_peek(struct scan *scan)
{
    switch (next(scan)) {
    case '{':
        return SCAN_OBJECT;
    case '[':
        return SCAN_ARRAY;
    case '"':
        return SCAN_STRING;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return SCAN_NUMBER;
    case 't':
        return SCAN_TRUE;
    case 'f':
        return SCAN_FALSE;
    case 'n':
        return SCAN_NULL;
    default:
        return SCAN_WRONG;
    }
}

int scan_enter(struct scan *scan, char bracket)
{
    if (next(scan) != bracket)
        return wrong(scan, bracket == '{' ? "an object is expected" : "an array is expected");
    scan->at++;
    return 0;
}

/* Past the comma before the next item: 1; past the closing bracket: 0. */
static int step(struct scan *scan, bool *first, char closing)
{
    char c = next(scan);
    if (c == closing) {
        scan->at++;
        return 0;
    }
    if (!*first) {
        if (c != ',')
            return wrong(scan, closing == '}' ? "\",\" or \"}\" is missing" : "\",\" or \"]\" is missing");
        scan->at++;
    }
    *first = false;
    return 1;
}

int scan_member(struct scan *scan, bool *first, struct scan_text *key)
{
    int result = step(scan, first, '}');
    if (result <= 0)
        return result;
    if (next(scan) != '"')
        return wrong(scan, "a name in quotes is expected");
    if (scan_string(scan, key))
        return -1;
    if (next(scan) != ':')
        return wrong(scan, "\":\" is missing");
    scan->at++;
    return 1;
}

int scan_element(struct scan *scan, bool *first)
{
    return step(scan, first, ']');
}

/* ---- strings ---- */

static int hex4(const struct scan *scan, const char *at, uint32_t *out)
{
    uint32_t value = 0;
    if (scan->end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit > 15)
            return -1;
        value = value << 4 | digit;
    }
    *out = value;
    return 0;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* Behind "\u". Six characters and more become four bytes at most: what is written never overtakes what is read. */
static int unescape_unicode(struct scan *scan, char **to)
{
    uint32_t high;
    uint32_t low;
    if (hex4(scan, scan->at, &high))
        return wrong(scan, "four hexadecimal digits are expected");
    scan->at += 4;
    if (high >= 0xdc00 && high < 0xe000)
        return wrong(scan, "half a character");
    if (high >= 0xd800 && high < 0xdc00) {
        if (scan->end - scan->at < 6 || scan->at[0] != '\\' || scan->at[1] != 'u' ||
            hex4(scan, scan->at + 2, &low) || low < 0xdc00 || low >= 0xe000)
            return wrong(scan, "half a character");
        scan->at += 6;
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    }
    *to = put_utf8(*to, high);
    return 0;
}

static int unescape(struct scan *scan, char **to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char into[] = "\"\\/\b\f\n\r\t";
    if (scan->at >= scan->end)
        return wrong(scan, "a string does not end");
    char c = *scan->at;
    if (c == 'u') {
        scan->at++;
        return unescape_unicode(scan, to);
    }
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return wrong(scan, "an unknown escape");
    scan->at++;
    *(*to)++ = into[found - from];
    return 0;
}

int scan_string(struct scan *scan, struct scan_text *out)
{
    if (next(scan) != '"')
        return wrong(scan, "a string is expected");
    char *to = ++scan->at;
    out->data = to;
    for (;;) {
        if (scan->at >= scan->end)
            return wrong(scan, "a string does not end");
        char c = *scan->at;
        if ((unsigned char)c < 0x20)
            return wrong(scan, "a control character in a string");
        scan->at++;
        if (c == '"')
            break;
        if (c != '\\')
            *to++ = c;
        else if (unescape(scan, &to))
            return -1;
    }
    out->length = (size_t)(to - out->data);
    return 0;
}

/* ---- numbers and the rest ---- */

static bool digits(struct scan *scan)
{
    char *from = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return scan->at > from;
}

static bool one_of(struct scan *scan, const char *any)
{
    if (scan->at >= scan->end || !*scan->at || !strchr(any, *scan->at))
        return false;
    scan->at++;
    return true;
}

int scan_number(struct scan *scan, struct scan_text *out)
{
    if (scan_peek(scan) != SCAN_NUMBER)
        return wrong(scan, "a number is expected");
    out->data = scan->at;
    one_of(scan, "-");
    if (!one_of(scan, "0") && !digits(scan))
        return wrong(scan, "a digit is expected");
    if (one_of(scan, ".") && !digits(scan))
        return wrong(scan, "a digit is expected");
    if (one_of(scan, "eE")) {
        one_of(scan, "+-");
        if (!digits(scan))
            return wrong(scan, "a digit is expected");
    }
    out->length = (size_t)(scan->at - out->data);
    return 0;
}

static int word(struct scan *scan, const char *expected)
{
    size_t length = strlen(expected);
    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, expected, length) != 0)
        return wrong(scan, "a value is expected");
    scan->at += length;
    return 0;
}

/* One value without what is in it: opens objects and arrays. */
static int skip_head(struct scan *scan)
{
    struct scan_text ignored;
    switch (scan_peek(scan)) {
    case SCAN_STRING:
        return scan_string(scan, &ignored);
    case SCAN_NUMBER:
        return scan_number(scan, &ignored);
    case SCAN_TRUE:
        return word(scan, "true");
    case SCAN_FALSE:
        return word(scan, "false");
    case SCAN_NULL:
        return word(scan, "null");
    default:
        return wrong(scan, "a value is expected");
    }
}

int scan_skip(struct scan *scan)
{
    struct {
        bool object;
        bool first;
    } open[SCAN_DEPTH_MAX];
    struct scan_text ignored;
    int depth = 0;
    for (;;) {
        enum scan_kind kind = scan_peek(scan);
        if (kind == SCAN_OBJECT || kind == SCAN_ARRAY) {
            if (depth == SCAN_DEPTH_MAX)
                return wrong(scan, "too deeply nested");
            scan->at++;
            open[depth].object = kind == SCAN_OBJECT;
            open[depth++].first = true;
        } else if (skip_head(scan)) {
            return -1;
        }
        int more = 0;
        while (depth && !more) {
            more = open[depth - 1].object ? scan_member(scan, &open[depth - 1].first, &ignored)
                                          : scan_element(scan, &open[depth - 1].first);
            if (more < 0)
                return -1;
            depth -= !more;
        }
        if (!depth)
            return 0;
    }
}

int scan_finish(struct scan *scan)
{
    return next(scan) || scan->at < scan->end ? wrong(scan, "something follows the end") : 0;
}
