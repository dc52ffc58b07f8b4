/* exchange_story.h: exchange.h's functions, which write down what they are told; for what tells it (the HTTP reader), without all that the
 * real ones do. All of them are here, so that none of the archive's are linked.
 *
 * A story is text, one exchange after another in the order in which they were opened; pieces of a body are joined, so
 * it does not depend on how the bytes came. Different exchanges may be told of in different threads. What must not be told in the place where it is told is kept in story.wrong.
 */
#ifndef TESTS_UNIT_EXCHANGE_STORY_H
#define TESTS_UNIT_EXCHANGE_STORY_H

#include "capture/exchange.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { STORY_ASKING, STORY_ASKING_BODY, STORY_ASKED, STORY_ANSWERING, STORY_ANSWERING_BODY };

struct exchange {
    bool open;
    int phase;
    bool in_body; /* the last line of the text is a body's */
    bool ignored, deaf;
    bool maybe;
    char *text; /* at first in `story_first`: signal handlers must not allocate */
    size_t length, room;
};

#define STORY_EXCHANGES_MAX 65536
static struct {
    struct exchange exchanges[STORY_EXCHANGES_MAX];
    uint32_t count, open;
    bool no_memory;     /* exchange_open() yields NULL */
    void (*hook)(void); /* called in the middle of exchange_request_body() */
    const char *wrong;
} story;

#define STORY_FIRST_BYTES 512
static char story_first[STORY_EXCHANGES_MAX][STORY_FIRST_BYTES];

static inline void story_append(struct exchange *exchange, const void *bytes, size_t length)
{
    if (exchange->length + length + 1 > exchange->room) {
        bool first = exchange->room <= STORY_FIRST_BYTES;
        exchange->room = (exchange->length + length + 1) * 2 + STORY_FIRST_BYTES;
        char *text = realloc(first ? NULL : exchange->text, exchange->room);
        if (!text)
            abort();
        if (first && exchange->length)
            memcpy(text, exchange->text, exchange->length);
        exchange->text = text;
    }
    if (length)
        memcpy(exchange->text + exchange->length, bytes, length);
    exchange->length += length;
    exchange->text[exchange->length] = '\0';
}

static inline void story_line(struct exchange *exchange, const char *word, const char *text, size_t length)
{
    if (exchange->in_body)
        story_append(exchange, "\n", 1);
    exchange->in_body = false;
    story_append(exchange, word, strlen(word));
    if (text) {
        story_append(exchange, " ", 1);
        story_append(exchange, text, length);
    }
    story_append(exchange, "\n", 1);
}

static inline void story_body(struct exchange *exchange, const char *word, const void *bytes, size_t length)
{
    if (!length)
        return;
    if (!exchange->in_body) {
        story_append(exchange, word, strlen(word));
        story_append(exchange, " ", 1);
    }
    exchange->in_body = true;
    story_append(exchange, bytes, length);
}

/* Told of this exchange, in one of these phases. */
static inline bool story_in(struct exchange *exchange, int from, int to, const char *what)
{
    if (!exchange)
        return false;
    if ((!exchange->open || exchange->phase < from || exchange->phase > to) && !story.wrong)
        story.wrong = what;
    return exchange->open;
}

static inline void story_begin(void)
{
    for (uint32_t i = 0; i < story.count; i++)
        if (story.exchanges[i].room > STORY_FIRST_BYTES)
            free(story.exchanges[i].text);
    memset(story.exchanges, 0, story.count * sizeof story.exchanges[0]);
    story.count = story.open = 0;
    story.no_memory = false;
    story.hook = NULL;
    story.wrong = NULL;
}

/* Two can be kept, until the next call for the same one. */
static inline const char *story_text(int which)
{
    static struct exchange kept[2];
    struct exchange *all = &kept[which];
    all->length = 0;
    all->in_body = false;
    story_append(all, "", 0);
    for (uint32_t i = 0; i < story.count; i++) {
        story_append(all, story.exchanges[i].text, story.exchanges[i].length);
        if (story.exchanges[i].open)
            story_line(all, story.exchanges[i].in_body ? "\n(open)" : "(open)", NULL, 0);
    }
    return all->text;
}

struct exchange *exchange_open(enum capture_layer layer, bool tls)
{
    uint32_t index =
        story.no_memory ? STORY_EXCHANGES_MAX : __atomic_fetch_add(&story.count, 1, __ATOMIC_RELAXED);
    if (index >= STORY_EXCHANGES_MAX)
        return NULL;
    struct exchange *exchange = &story.exchanges[index];
    *exchange = (struct exchange){.open = true, .text = story_first[index], .room = STORY_FIRST_BYTES};
    __atomic_add_fetch(&story.open, 1, __ATOMIC_RELAXED);
    story_line(exchange, tls ? "open tls" : "open", capture_layer_names[layer],
               strlen(capture_layer_names[layer]));
    return exchange;
}

void exchange_method(struct exchange *exchange, const char *method, size_t length)
{
    if (story_in(exchange, STORY_ASKING, STORY_ASKING, "method"))
        story_line(exchange, "method", method, length);
}

void exchange_target(struct exchange *exchange, const char *target, size_t length)
{
    if (!story_in(exchange, STORY_ASKING, STORY_ASKING, "target"))
        return;
    exchange->ignored = memmem(target, length, "/ignored", 8) != NULL;
    exchange->deaf = memmem(target, length, "/deaf", 5) != NULL;
    story_line(exchange, "target", target, length);
}

void exchange_host(struct exchange *exchange, const char *host, size_t length)
{
    if (story_in(exchange, STORY_ASKING, STORY_ASKING, "host"))
        story_line(exchange, "host", host, length);
}

static inline void story_header(struct exchange *exchange, const char *word, const char *name,
                                size_t name_length, const char *value, size_t value_length)
{
    story_append(exchange, word, strlen(word));
    story_append(exchange, " ", 1);
    for (size_t i = 0; i < name_length; i++) {
        char lower = (char)tolower((unsigned char)name[i]);
        story_append(exchange, &lower, 1);
    }
    story_line(exchange, ":", value, value_length);
}

void exchange_request_header(struct exchange *exchange, const char *name, size_t name_length,
                             const char *value, size_t value_length)
{
    if (story_in(exchange, STORY_ASKING, STORY_ASKING, "request header"))
        story_header(exchange, "request", name, name_length, value, value_length);
}

bool exchange_wants_header(const char *name, size_t length)
{
    static const char *const wanted[] = {"authorization", "content-type", "content-encoding", "x-tally-tags"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (strlen(wanted[i]) == length && !strncasecmp(wanted[i], name, length))
            return true;
    return false;
}

enum exchange_worth exchange_request_head_end(struct exchange *exchange)
{
    if (!story_in(exchange, STORY_ASKING, STORY_ASKING, "request head end"))
        return EXCHANGE_IGNORED;
    exchange->phase = STORY_ASKING_BODY;
    story_line(exchange, "request head end", NULL, 0);
    return exchange->ignored ? EXCHANGE_IGNORED : EXCHANGE_MATCHED;
}

void exchange_request_body(struct exchange *exchange, const void *bytes, size_t length)
{
    if (!story_in(exchange, STORY_ASKING_BODY, STORY_ASKING_BODY, "request body"))
        return;
    if (story.hook)
        story.hook();
    story_body(exchange, "request body", bytes, length);
}

void exchange_request_end(struct exchange *exchange)
{
    if (!story_in(exchange, STORY_ASKING_BODY, STORY_ASKING_BODY, "request end"))
        return;
    exchange->phase = STORY_ASKED;
    story_line(exchange, "request end", NULL, 0);
}

void exchange_status(struct exchange *exchange, int http_status)
{
    char text[16];
    if (!story_in(exchange, STORY_ASKED, STORY_ASKED, "status"))
        return;
    exchange->phase = STORY_ANSWERING;
    story_line(exchange, "status", text, (size_t)snprintf(text, sizeof text, "%d", http_status));
}

void exchange_response_header(struct exchange *exchange, const char *name, size_t name_length,
                              const char *value, size_t value_length)
{
    if (story_in(exchange, STORY_ANSWERING, STORY_ANSWERING, "response header"))
        story_header(exchange, "response", name, name_length, value, value_length);
}

enum exchange_worth exchange_response_head_end(struct exchange *exchange, bool decoded)
{
    if (!story_in(exchange, STORY_ANSWERING, STORY_ANSWERING, "response head end"))
        return EXCHANGE_IGNORED;
    exchange->phase = STORY_ANSWERING_BODY;
    story_line(exchange, decoded ? "response head end, decoded" : "response head end", NULL, 0);
    return exchange->deaf ? EXCHANGE_IGNORED : EXCHANGE_MATCHED;
}

void exchange_response_body(struct exchange *exchange, const void *bytes, size_t length)
{
    if (story_in(exchange, STORY_ANSWERING_BODY, STORY_ANSWERING_BODY, "response body"))
        story_body(exchange, "response body", bytes, length);
}

static inline void story_end(struct exchange *exchange, const char *word, const char *why)
{
    if (!story_in(exchange, STORY_ASKING, STORY_ANSWERING_BODY, word))
        return;
    story_line(exchange, word, why, why ? strlen(why) : 0);
    exchange->open = false;
    __atomic_sub_fetch(&story.open, 1, __ATOMIC_RELAXED);
}

void exchange_close(struct exchange *exchange, enum exchange_end end, const char *error_type)
{
    static const char *const words[] = {"complete", "cut", "cancelled", "failed"};
    story_end(exchange, words[end], error_type);
}

void exchange_give_up(struct exchange *exchange, const char *why)
{
    story_end(exchange, "give up", why);
}

#endif
