/* exchange_state.h: what is known of an exchange; for exchange*.c alone. */
#ifndef TALLY_CAPTURE_EXCHANGE_STATE_H
#define TALLY_CAPTURE_EXCHANGE_STATE_H

#include "capture/body.h"
#include "capture/decode.h"
#include "capture/exchange.h"
#include "capture/form.h"
#include "capture/match.h"
#include "capture/pool.h"

#include <sys/types.h>
#include <tally/tally.h>

#define EXCHANGE_PATH_BYTES 1536
/* Bedrock states counts in headers, too. */
#define EXCHANGE_COUNT_HEADERS 4
/* What usage_json may have in a record that has much else; what does not fit is left out by the library, which says so. */
#define EXCHANGE_USAGE_BYTES (BODY_FRAGMENTS_BYTES + 512)

struct exchange {
    pid_t pid; /* of the process that opened it: in a child it is the parent's */
    enum capture_layer layer;
    bool tls;
    enum exchange_worth worth;

    /* the request */
    char method[16];
    char host[264];                 /* lower case, with its port if one was given */
    char path[EXCHANGE_PATH_BYTES]; /* without query */
    bool path_cut;
    bool anthropic;          /* its client says that it is for Anthropic's API */
    bool request_form;       /* its body is multipart/form-data */
    bool request_compressed; /* then it is not looked into */
    bool request_over;
    struct match match; /* model points into path */
    char model[208];    /* of the path, percent-decoded */
    char key_fingerprint[16];
    char trace_id[33];
    char span_id[17];
    char user[129];
    char team[129];
    char project[129];
    char session[129];
    char tags[513];

    /* the call */
    struct tally_call call;
    bool begun;
    int64_t start_time_unix_ns;
    int64_t sent_ns;        /* monotonic; 0: not yet */
    int64_t first_token_ns; /* monotonic; 0: not yet */

    /* the response: begun anew by each status */
    int http_status;      /* 0: none yet */
    bool response_begun;  /* the body's format is settled */
    bool response_stream; /* it came as one */
    bool sniff;           /* the format shows with the first byte */
    bool unreadable;      /* the coding could not be undone */
    enum body_format format;
    enum decode_coding coding;
    struct decoder *decoder;
    uint64_t response_bytes;
    char content_type[96];
    char error_type[129];                   /* of a header: Bedrock's */
    int64_t counts[EXCHANGE_COUNT_HEADERS]; /* of headers; -1: not stated */

    /* the first of what went wrong while looking, static; NULL: nothing */
    const char *fault;

    char usage_json[EXCHANGE_USAGE_BYTES]; /* of the record being made: stacks of threads may be small */
    struct form form;
    struct body request;
    struct body response;
};

/* exchange_headers.c */
void exchange_take_request_header(struct exchange *exchange, const char *name, size_t name_length,
                                  const char *value, size_t value_length);
void exchange_take_response_header(struct exchange *exchange, const char *name, size_t name_length,
                                   const char *value, size_t value_length);
/* A key in the query, as Gemini's clients send it, is seen as a fingerprint, too. */
void exchange_take_query(struct exchange *exchange, const char *query, size_t length);
/* Up to to_bytes - 1 bytes, cut at a character's border. */
void exchange_copy(char *to, size_t to_bytes, const char *from, size_t length);
extern const char *const exchange_count_headers[EXCHANGE_COUNT_HEADERS];

/* exchange_record.c: the records that it becomes */
void exchange_begin_call(struct exchange *exchange);
void exchange_progress(struct exchange *exchange);
void exchange_end_call(struct exchange *exchange, int32_t status, const char *error_type);

#endif
