/* curl.h: what the parts of the libcurl layer share.
 *
 *   curl_api.c       the libcurls of this process
 *   curl_handle.c    the handles that were made since it began, and what was set on each: libcurl has no getopt
 *   curl_body.c      request bodies that are gone by the time the request leaves
 *   curl_transfer.c  a transfer: our callbacks before the program's
 *   curl_callbacks.c what passes, told to an exchange
 *   curl_easy.c, curl_multi.c     the functions that programs call instead of libcurl's
 *
 * A handle belongs to one thread at a time, as libcurl demands of its users; so does all that is known of it here. */
#ifndef TALLY_PRELOAD_CURL_H
#define TALLY_PRELOAD_CURL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/exchange.h"
#include "preload/curl_abi.h"

/* ---- libcurls ------------------------------------------------------------------- */

struct curl_api {
    void *(*easy_init)(void);
    int (*easy_setopt)(void *easy, int option, ...);
    int (*easy_perform)(void *easy);
    void (*easy_reset)(void *easy);
    void (*easy_cleanup)(void *easy);
    void *(*easy_duphandle)(void *easy);
    int (*multi_add_handle)(void *multi, void *easy);
    int (*multi_remove_handle)(void *multi, void *easy);
    struct curl_message *(*multi_info_read)(void *multi, int *left);
    int (*multi_setopt)(void *multi, int option, ...);
    int (*multi_cleanup)(void *multi);
    int (*url_get)(void *url, int part, char **out, unsigned flags); /* NULL: older than 7.62 */
    void (*free)(void *pointer);
};

/* Stands for a caller that came by a pointer out of dlsym(): a foreign function interface. */
extern const char curl_by_pointer;

/* The libcurl that `caller` would call. NULL: there is none. */
const struct curl_api *curl_api_for(const void *caller);
/* dlsym() has found `real`: whether callers by pointer come to this libcurl from now on. There is one of these in a process. */
bool curl_api_by_pointer(const void *real);

/* ---- handles -------------------------------------------------------------------- */

enum curl_method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_FORM, METHOD_PUT };

#define CURL_HANDLES      4096 /* at a time */
#define CURL_PLACE_BYTES  1024
#define CURL_PICKED_BYTES 2048
#define CURL_HELD_BYTES   256

/* Zeros: as curl_easy_init() makes it. */
struct curl_notes {
    enum curl_method method;
    char custom_method[16];
    bool has_url, tls, header_in_body, accepts_encoding, keeps_encoding, connect_only;
    bool write_data_set, copied_fields;
    int64_t fields_size; /* -1: up to the NUL */
    const char *fields;
    const struct curl_header_line *headers;
    void *url_object;
    void *write_function, *write_data;
    void *header_function, *header_data;
    void *read_function, *read_data;
    uint16_t host_length, path_length, picked_length;
};

struct curl_transfer {
    struct exchange *exchange; /* NULL: not, or no longer, of interest */
    bool installed;            /* our callbacks stand before the program's */
    bool performing;           /* curl_easy_perform() is at work: what it calls itself is none of ours */
    bool reading;              /* the program's read function is behind ours */
    bool request_ended, answered, in_body;
    bool interim; /* in a head of 100 to 199 */
    uint16_t held_length;
    size_t seen; /* bytes to come that were looked at already: the program paused */
};

struct curl_handle {
    const struct curl_api *api;
    void *easy;
    void *multi; /* that it was added to */
    struct curl_notes notes;
    struct curl_transfer transfer;
    char place[CURL_PLACE_BYTES];   /* host[:port] and path, without query */
    char picked[CURL_PICKED_BYTES]; /* of a request body that libcurl copied, in short */
    char held[CURL_HELD_BYTES];     /* what may be a header or may be body */
};

/* NULL: not made since this library was loaded, or there are too many. */
struct curl_handle *curl_handle_of(const void *easy);
/* easy has just been made. like: whose options it has, or NULL. Nothing happens if there is no room. */
void curl_handle_made(void *easy, const struct curl_api *api, const struct curl_handle *like);
void curl_handle_gone(struct curl_handle *handle);
/* Whether it is one of ours. */
bool curl_handle_is(const void *pointer);
/* All that run in `multi`, in no order, one a call; *place begins at 0. NULL: no more. */
struct curl_handle *curl_handle_next(const void *multi, size_t *place);

void curl_note(struct curl_handle *handle, int option, void *value);
void curl_note_reset(struct curl_handle *handle);

/* What is picked out of a body that libcurl copies when it is set, for later. */
void curl_body_pick(struct curl_handle *handle, const char *fields, size_t length);

/* ---- transfers ------------------------------------------------------------------- */

/* It is about to start. */
void curl_transfer_begin(struct curl_handle *handle);
/* It has come to its end, by this CURLcode. */
void curl_transfer_end(struct curl_handle *handle, int result);
/* The program gives it up. */
void curl_transfer_cancel(struct curl_handle *handle);
/* We do: it cannot be followed. why: a word. */
void curl_transfer_give_up(struct curl_handle *handle, const char *why);
/* Put the program's callbacks back; put ours before them again. */
void curl_transfer_take_out(struct curl_handle *handle);
void curl_transfer_put_in(struct curl_handle *handle);
/* Whether an option is one that our callbacks stand in for at present: it is noted, and not handed on. */
bool curl_transfer_stands_for(const struct curl_handle *handle, int option);

/* What stands before the program's functions; data: the handle. */
curl_transfer_callback curl_on_write, curl_on_header, curl_on_read;
/* What the program's write function gets. */
void *curl_write_data(const struct curl_handle *handle);
/* All of the request has been told. */
void curl_request_ended(struct curl_transfer *transfer);

/* ---- interposers ------------------------------------------------------------------- */

/* A handle is about to be freed: nothing of it is left in the multi handle that it may be in. */
void curl_multi_forget(struct curl_handle *handle);
/* For dlsym(): what stands before the function of this name, for callers by pointer. NULL: nothing does. */
void *curl_easy_by_pointer(const char *name);
void *curl_multi_by_pointer(const char *name);

#endif
