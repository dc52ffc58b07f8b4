/* http_state.h: what http.c keeps of a connection; for http.h, which says how much memory that is, and for the reader of messages. */
#ifndef TALLY_CAPTURE_HTTP_STATE_H
#define TALLY_CAPTURE_HTTP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a direction's reader stands. */
enum http_place {
    HTTP_START,      /* before or in a start line */
    HTTP_HEADERS,    /* in a head's lines */
    HTTP_LENGTH,     /* in a body of known length: `left` */
    HTTP_TO_END,     /* in a body that ends with the connection */
    HTTP_CHUNK_SIZE, /* in the line before a chunk */
    HTTP_CHUNK,      /* in a chunk: `left` */
    HTTP_CHUNK_END,  /* in the line break behind it */
    HTTP_TRAILERS,   /* in the lines behind the last chunk */
    HTTP_COMPLETE    /* at a message's end, which is still to be told */
};

/* One direction of a connection. */
struct http_reader {
    enum http_place place;
    bool responses;
    /* the line that is being gathered */
    bool line_cut;   /* it is longer than what was kept of it */
    bool line_whole; /* its end has come; it waits for the next byte, which may continue it */
    bool line_told;  /* the caller has seen it */
    uint32_t line_length;
    uint32_t head_bytes; /* of this head, or of this chunk's size, or of these trailers */
    /* of the present message */
    bool has_length;
    bool chunked;
    bool other_coding; /* a transfer coding that is not undone here */
    uint64_t length;
    uint64_t left;
    char line[HTTP_LINE_MAX + 1];
};

/* A request whose response has not come to its end. */
struct http_awaited {
    struct exchange *exchange; /* NULL: not looked at */
    bool head;                 /* its response has no body whatever it says */
    bool connect;
};

struct http {
    enum capture_layer layer;
    bool tls;
    bool off;

    /* Bytes that were looked at and have not left, and those given to http_sending() since the last http_sent(). */
    uint64_t ahead;
    uint64_t given;

    struct http_reader request;
    struct exchange *asking; /* of the request that is being sent, if it is looked at and not answered yet */
    bool asking_head;        /* its head has not come to its end */
    bool asking_absolute;    /* its target names the host */

    struct http_reader response;
    int status;
    bool told; /* the exchange has been told of this response */

    struct http_awaited awaited[HTTP_PIPELINED_MAX]; /* a ring: the first is the one that is being answered */
    uint32_t awaited_first, awaited_count;
};

/* ---- http_reader.c: one direction's framing ---------------------------------------------------- */

enum http_event {
    HTTP_MORE,       /* all was read: give it more */
    HTTP_START_LINE, /* reader->line */
    HTTP_HEADER,     /* reader->line: "name: value" */
    HTTP_HEAD_END,   /* say by http_reader_body() what follows */
    HTTP_BODY,       /* a piece of the body */
    HTTP_END,        /* of the message */
    HTTP_BAD         /* not to be followed any further */
};
struct http_input {
    const char *at;
    size_t left;
};

void http_reader_begin(struct http_reader *reader, bool responses);
/* Read on. piece: of HTTP_BODY, within the input. */
enum http_event http_reader_next(struct http_reader *reader, struct http_input *input,
                                 struct http_input *piece);

enum http_body { HTTP_BODY_NONE, HTTP_BODY_FRAMED, HTTP_BODY_TO_END };
/* At HTTP_HEAD_END. FRAMED: as the head said; TO_END: the same, and to the connection's end if it said nothing.
 * False: what it said cannot be followed. */
bool http_reader_body(struct http_reader *reader, enum http_body body);

/* At HTTP_HEADER: its parts, without white space around them. False: it has no name. */
bool http_reader_header(struct http_reader *reader, struct http_input *name, struct http_input *value);
/* Take note of a header that says how long the body is. False: it contradicts another. */
bool http_reader_framing(struct http_reader *reader, struct http_input name, struct http_input value);

bool http_is_name(struct http_input text, const char *lower_case);

#endif
