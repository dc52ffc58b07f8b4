/* scan.c: see scan.h. */
#include "capture/scan.h"
#include "capture/pick.h"

#include <string.h>

#define REPLACEMENT 0xfffdu

static const char *const literals[] = {"true", "false", "null"};

void scan_begin(struct body_scan *scan, enum place root, bool single)
{
    scan->state = SCAN_IDLE;
    scan->sink = SINK_NONE;
    scan->root = (uint8_t)root;
    scan->single = single;
    scan->base = scan->depth = 0;
}

static void broken(struct body *body, struct body_scan *scan)
{
    scan->state = SCAN_BROKEN;
    pick_abandon(body, scan);
    pick_fault(body);
}

/* After any value. */
static void done(struct body_scan *scan)
{
    if (scan->depth)
        scan->state = SCAN_AFTER;
    else
        scan->state = scan->single ? SCAN_QUIET : SCAN_IDLE;
}

/* ---- strings ---- */

/* To behind the closing quote, or to the end. Every byte is looked at by memchr() twice at most. */
static const char *skip_string(struct body_scan *scan, const char *at, const char *end, bool *closed)
{
    *closed = false;
    if (scan->escape) {
        scan->escape = 0;
        at++;
    }
    while (at < end) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        const char *stop = quote ? quote : end;
        const char *slash = NULL;
        while (at <= stop && (slash = memchr(at, '\\', (size_t)(stop - at))))
            at = slash + 2;
        if (slash && slash + 1 == end) {
            scan->escape = 1;
            return end;
        }
        if (slash)
            continue; /* that quote was escaped */
        *closed = quote;
        return quote ? quote + 1 : end;
    }
    return at;
}

static void take_character(struct body *body, struct body_scan *scan, uint32_t code)
{
    char bytes[4];
    size_t length = 1;
    if (code < 0x80) {
        bytes[0] = (char)code;
    } else if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3f));
        length = 2;
    } else if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (code & 0x3f));
        length = 3;
    } else {
        bytes[0] = (char)(0xf0 | code >> 18);
        bytes[1] = (char)(0x80 | (code >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (code & 0x3f));
        length = 4;
    }
    pick_string_take(body, scan, bytes, length);
}

/* Half a pair without the other. */
static void flush_high(struct body *body, struct body_scan *scan)
{
    if (scan->high)
        take_character(body, scan, REPLACEMENT);
    scan->high = 0;
}

static void take_unit(struct body *body, struct body_scan *scan, uint32_t unit)
{
    if (scan->high && unit >= 0xdc00 && unit < 0xe000) {
        uint32_t code = 0x10000 + ((scan->high - 0xd800u) << 10) + (unit - 0xdc00);
        scan->high = 0;
        take_character(body, scan, code);
        return;
    }
    flush_high(body, scan);
    if (unit >= 0xd800 && unit < 0xdc00)
        scan->high = (uint16_t)unit;
    else
        take_character(body, scan, unit >= 0xdc00 && unit < 0xe000 ? REPLACEMENT : unit);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of an escape: escape is 1 behind the backslash, 2 to 5 before the digits of \u. */
static void escaped(struct body *body, struct body_scan *scan, char c)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *name = c ? strchr(names, c) : NULL;
    int digit = hex(c);
    if (scan->escape == 1 && c == 'u') {
        scan->escape = 2;
        scan->unit = 0;
    } else if (scan->escape == 1 && name) {
        scan->escape = 0;
        take_unit(body, scan, (uint32_t)values[name - names]);
    } else if (scan->escape > 1 && digit >= 0) {
        scan->unit = (uint16_t)(scan->unit << 4 | digit);
        if (scan->escape++ == 5) {
            scan->escape = 0;
            take_unit(body, scan, scan->unit);
        }
    } else {
        broken(body, scan);
    }
}

static void string_end(struct body *body, struct body_scan *scan)
{
    flush_high(body, scan);
    if (scan->state == SCAN_NAME) {
        pick_name(body, scan);
        scan->state = SCAN_COLON;
    } else {
        pick_string_end(body, scan);
        done(scan);
    }
}

/* A string that is skipped, or turned out to be. */
static const char *string_skipped(struct body *body, struct body_scan *scan, const char *at, const char *end)
{
    bool closed;
    at = skip_string(scan, at, end, &closed);
    if (closed && scan->state == SCAN_SKIP_STRING)
        scan->state = SCAN_SKIP;
    else if (closed)
        string_end(body, scan);
    return at;
}

static const char *string(struct body *body, struct body_scan *scan, const char *at, const char *end)
{
    while (at < end && scan->sink != SINK_NONE && scan->state != SCAN_BROKEN) {
        const char *run = at;
        if (scan->escape) {
            escaped(body, scan, *at++);
            continue;
        }
        while (at < end && *at != '"' && *at != '\\')
            at++;
        if (at > run) {
            flush_high(body, scan);
            pick_string_take(body, scan, run, (size_t)(at - run));
            continue;
        }
        at++;
        if (*run == '"') {
            string_end(body, scan);
            return at;
        }
        scan->escape = 1;
    }
    return at;
}

/* ---- numbers, literals, what is skipped ---- */

static bool in_number(char c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

static const char *number(struct body *body, struct body_scan *scan, const char *at, const char *end)
{
    for (; at < end && in_number(*at); at++) {
        if (scan->value_length < sizeof scan->value)
            scan->value[scan->value_length++] = *at;
        else
            scan->wrong = true;
    }
    if (at == end)
        return at;
    if (pick_number(body, scan))
        done(scan);
    else
        broken(body, scan);
    return at;
}

static const char *literal(struct body *body, struct body_scan *scan, const char *at)
{
    const char *word = literals[scan->literal];
    if (*at != word[scan->literal_at]) {
        broken(body, scan);
        return at;
    }
    if (!word[++scan->literal_at]) {
        pick_literal(body, scan);
        done(scan);
    }
    return at + 1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What matters in what is skipped: everything else, numbers of embeddings most of all, is passed over quickly. */
static const bool matters[256] = {['"'] = true, ['{'] = true, ['}'] = true, ['['] = true, [']'] = true};

static const char *watch(struct body *body, struct body_scan *scan, const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    if (at == end)
        return at;
    scan->watch = false;
    if (*at != '}' && *at != ']')
        pick_content(body);
    return at;
}

static const char *skip(struct body *body, struct body_scan *scan, const char *at, const char *end)
{
    if (scan->watch)
        at = watch(body, scan, at, end);
    for (;; at++) {
        while (at < end && !matters[(unsigned char)*at])
            at++;
        if (at == end)
            return at;
        if (*at == '"') {
            bool closed;
            scan->escape = 0;
            at = skip_string(scan, at + 1, end, &closed);
            if (!closed) {
                scan->state = SCAN_SKIP_STRING;
                return at;
            }
            at--;
        } else if (*at == '{' || *at == '[') {
            scan->skipped++;
            if (!scan->skipped) {
                broken(body, scan);
                return end;
            }
        } else if (!--scan->skipped) {
            done(scan);
            return at + 1;
        }
    }
}

/* ---- structure ---- */

static void open_container(struct body *body, struct body_scan *scan, bool list)
{
    bool root = scan->depth == scan->base;
    if (root && list && !scan->depth) {
        /* a list of documents */
        scan->frames[0] = (struct body_frame){.list = true};
        scan->base = scan->depth = 1;
        scan->state = SCAN_FIRST_ITEM;
        return;
    }
    bool entered = root ? !list : pick_open(body, scan, list);
    if (root && entered)
        pick_document_begin(body, scan);
    scan->skipped = 1;
    scan->state = !entered ? SCAN_SKIP : list ? SCAN_FIRST_ITEM : SCAN_FIRST_NAME;
}

static void close_container(struct body *body, struct body_scan *scan, bool list)
{
    if (scan_frame(scan)->list != list) {
        broken(body, scan);
        return;
    }
    if (scan->depth == scan->base) {
        scan->base = 0;
        scan->depth = 0;
    } else {
        bool root = scan->depth - 1 == scan->base;
        if (!root)
            pick_close(body, scan);
        scan->depth--;
        if (root) {
            pick_document_end(body, scan);
            pick_over(body, scan);
        }
    }
    done(scan);
}

static void begin_value(struct body *body, struct body_scan *scan, char c)
{
    if (scan->depth > scan->base && scan_frame(scan)->list)
        pick_item(scan);
    scan->escape = 0;
    scan->high = 0;
    scan->value_length = 0;
    scan->wrong = false;
    scan->watch = false;
    if (c == '{' || c == '[') {
        open_container(body, scan, c == '[');
    } else if (c == '"') {
        scan->sink = SINK_NONE;
        if (scan->depth > scan->base)
            pick_string_begin(body, scan);
        scan->state = SCAN_STRING;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        scan->value[scan->value_length++] = c;
        scan->state = SCAN_NUMBER;
    } else if (c == 't' || c == 'f' || c == 'n') {
        scan->literal = c == 't' ? SCAN_TRUE : c == 'f' ? SCAN_FALSE : SCAN_NULL;
        scan->literal_at = 1;
        scan->state = SCAN_LITERAL;
    } else if (c == 'D' && scan->single && scan->state == SCAN_FIRST_ITEM && scan->base && scan->depth == 1) {
        scan->base = scan->depth = 0; /* [DONE] */
        scan->state = SCAN_QUIET;
        body->over = true;
    } else {
        broken(body, scan);
    }
}

static void begin_name(struct body *body, struct body_scan *scan, char c)
{
    if (c == '}' && scan->state == SCAN_FIRST_NAME) {
        close_container(body, scan, false);
    } else if (c == '"') {
        scan->state = SCAN_NAME;
        scan->sink = SINK_NAME;
        scan->escape = 0;
        scan->high = 0;
        scan->wrong = false;
        scan->key_length = 0;
    } else {
        broken(body, scan);
    }
}

static void structure(struct body *body, struct body_scan *scan, char c)
{
    switch (scan->state) {
    case SCAN_FIRST_ITEM:
        if (c == ']')
            close_container(body, scan, true);
        else
            begin_value(body, scan, c);
        break;
    case SCAN_FIRST_NAME:
    case SCAN_NAME_DUE:
        begin_name(body, scan, c);
        break;
    case SCAN_COLON:
        scan->state = SCAN_VALUE;
        if (c != ':')
            broken(body, scan);
        break;
    case SCAN_AFTER:
        if (c == ',')
            scan->state = scan_frame(scan)->list ? SCAN_VALUE : SCAN_NAME_DUE;
        else if (c == '}' || c == ']')
            close_container(body, scan, c == ']');
        else
            broken(body, scan);
        break;
    default:
        begin_value(body, scan, c);
    }
}

void scan_feed(struct body *body, struct body_scan *scan, const char *bytes, size_t length)
{
    const char *at = bytes;
    const char *end = bytes + length;
    while (at < end) {
        switch (scan->state) {
        case SCAN_SKIP:
            at = skip(body, scan, at, end);
            break;
        case SCAN_NAME:
        case SCAN_STRING:
            at = scan->sink == SINK_NONE ? string_skipped(body, scan, at, end) : string(body, scan, at, end);
            break;
        case SCAN_SKIP_STRING:
            at = string_skipped(body, scan, at, end);
            break;
        case SCAN_NUMBER:
            at = number(body, scan, at, end);
            break;
        case SCAN_LITERAL:
            at = literal(body, scan, at);
            break;
        case SCAN_QUIET:
        case SCAN_BROKEN:
            return;
        default:
            if (!is_space(*at))
                structure(body, scan, *at);
            at++;
        }
    }
}

void scan_end(struct body *body, struct body_scan *scan)
{
    bool number = scan->state == SCAN_NUMBER && !scan->depth;
    if (!scan_at_rest(scan) && !number && scan->state != SCAN_BROKEN)
        broken(body, scan);
    scan_begin(scan, scan->root, scan->single);
}
