/* shapes.h: the table of what providers call what: shapes.c is the one place to mend when one of them changes. */
#ifndef TALLY_UNDERSTAND_SHAPES_H
#define TALLY_UNDERSTAND_SHAPES_H

#include <stdbool.h>
#include <stdint.h>

#include "understand/json.h"
#include "understand/quantities.h"

/* What rules fill in: the quantities, as far as an object states them, and what they are then worked out from. */
enum figure {
    FIGURE_total_tokens = QUANTITY_COUNT, /* proves what the other counts include */
    FIGURE_cache_write_tokens,            /* 5m and 1h together */
    FIGURE_tool_tokens,        /* input beside input_tokens: what the provider's own tools put in */
    FIGURE_apart_image_tokens, /* input beside input_tokens */
    FIGURE_more_input_tokens,  /* beside all others: samplings that the main counts leave out */
    FIGURE_more_output_tokens,
    FIGURE_more_cache_read_tokens,
    FIGURE_more_cache_write_5m_tokens,
    FIGURE_more_cache_write_1h_tokens,
    FIGURE_provider_cost, /* picodollars */
    FIGURE_upstream_cost, /* picodollars: what somebody else charges for the same call */
    FIGURE_own_key,       /* 1: upstream_cost comes on top */
    FIGURE_COUNT
};

struct figures {
    int64_t of[FIGURE_COUNT]; /* -1: not stated */
};

/* How a rule's value is to be taken. */
enum how {
    IS,      /* the count */
    ELSE,    /* another name of the same count: where the rules before found none */
    HEADER,  /* the count; the name in any case of letters */
    SECONDS, /* milliseconds; a fraction is meant */
    DOLLARS, /* picodollars */
    TICKS,   /* xAI's: 10^-10 dollar */
    YES,     /* 1 where it is true */
    QUIRK    /* what a table cannot say */
};

#define PATH_MAX_STEPS 3

struct name {
    const char *text;
    uint32_t length;
};

struct rule {
    struct name path[PATH_MAX_STEPS]; /* members of members; ends early with NULL */
    int figure;                       /* enum quantity or enum figure */
    enum how how;
    void (*quirk)(const cJSON *item, struct figures *figures);
};

/* What a shape is like as a whole. */
enum {
    CACHE_APART =
        1, /* input leaves out what was read from and written to a cache, unless the total shows otherwise */
    THOUGHTS_APART = 2,  /* output leaves out reasoning, unless the total shows otherwise */
    LAST_WINS = 4,       /* each object of a stream says all, and leaves out what is 0 */
    FILLS = 8,           /* counts that repeat, less exactly, what other objects of the call say */
    ADDS = 16,           /* each object is of an answer of its own */
    BILLED = 32,         /* counts of what is billed: parts counted otherwise do not belong to them */
    TOTAL_IS_INPUT = 64, /* a total alone is of the input: there is no output to embeddings and the like */
};

struct shape {
    const char *name;
    const char *provider;       /* whose it is, where it can be only one's */
    const struct name *markers; /* any of these members makes it one of this shape */
    unsigned traits;
    const struct rule *rules; /* up to one without a path */
};

/* In the order in which they are tried; ends with NULL. */
extern const struct shape *const shapes[];
/* Some that more than their members tell: shape_of(). Headers, images and speech are not in the list. */
extern const struct shape *const shape_of_headers;
extern const struct shape *const shape_of_messages;
extern const struct shape *const shape_of_responses;
extern const struct shape *const shape_of_images;
extern const struct shape *const shape_of_speech;

/* The shape of a usage object; NULL: none. type: of the event that holds it, or NULL; before: the shape of the object before it
 * in the same stream, or NULL. */
const struct shape *shape_of(const struct json_object *usage, const char *type, const struct shape *before);
/* What the shape's rules find in it. figures: set wholly. */
void shape_read(const struct shape *shape, const struct json_object *usage, struct figures *figures);

#endif
