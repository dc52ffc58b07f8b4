/* curl_transfer.c: a transfer, from its start to its end.
 *
 * In between three callbacks of ours (curl_callbacks.c) stand before the program's. libcurl has no way to ask for an option, so nobody can see them
 * there; curl_easy_duphandle() copies them, so they are taken out for it. */
#include "platform.h"
#include "preload/curl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- our callbacks before the program's ------------------------------------------------ */

static bool set(struct curl_handle *handle, int option, void *value)
{
    return handle->api->easy_setopt(handle->easy, option, value) == CURL_OK;
}

static void *pointer_to(curl_transfer_callback *function)
{
    void *pointer;
    memcpy(&pointer, &function, sizeof pointer);
    return pointer;
}

void curl_transfer_put_in(struct curl_handle *handle)
{
    struct curl_transfer *transfer = &handle->transfer;
    if (transfer->installed)
        return;
    transfer->installed = true;
    set(handle, OPT_WRITEFUNCTION, pointer_to(curl_on_write));
    set(handle, OPT_WRITEDATA, handle);
    set(handle, OPT_HEADERFUNCTION, pointer_to(curl_on_header));
    set(handle, OPT_HEADERDATA, handle);
    if (transfer->reading) {
        set(handle, OPT_READFUNCTION, pointer_to(curl_on_read));
        set(handle, OPT_READDATA, handle);
    }
}

void curl_transfer_take_out(struct curl_handle *handle)
{
    struct curl_transfer *transfer = &handle->transfer;
    const struct curl_notes *notes = &handle->notes;
    if (!transfer->installed)
        return;
    transfer->installed = false;
    set(handle, OPT_WRITEFUNCTION, notes->write_function);
    set(handle, OPT_WRITEDATA, curl_write_data(handle));
    set(handle, OPT_HEADERFUNCTION, notes->header_function);
    set(handle, OPT_HEADERDATA, notes->header_data);
    if (transfer->reading) {
        set(handle, OPT_READFUNCTION, notes->read_function);
        set(handle, OPT_READDATA, notes->read_data);
    }
}

bool curl_transfer_stands_for(const struct curl_handle *handle, int option)
{
    switch (option) {
    case OPT_WRITEFUNCTION:
    case OPT_WRITEDATA:
    case OPT_HEADERFUNCTION:
    case OPT_HEADERDATA:
        return handle->transfer.installed;
    case OPT_READFUNCTION:
    case OPT_READDATA:
        return handle->transfer.installed && handle->transfer.reading;
    default:
        return false;
    }
}

/* ---- beginning ------------------------------------------------------------------------ */

static const char *method_of(const struct curl_notes *notes)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "POST", "PUT"};
    return notes->custom_method[0] ? notes->custom_method : names[notes->method];
}

/* Where it goes, if the program set a URL as an object of libcurl's. */
static struct exchange *open_by_object(const struct curl_handle *handle)
{
    const struct curl_api *api = handle->api;
    char *scheme = NULL, *host = NULL, *path = NULL;
    struct exchange *exchange = NULL;
    void *url = handle->notes.url_object;
    if (!api->url_get || api->url_get(url, URL_PART_SCHEME, &scheme, 0) ||
        api->url_get(url, URL_PART_HOST, &host, 0) || api->url_get(url, URL_PART_PATH, &path, 0))
        goto out;
    bool tls = !strcasecmp(scheme, "https");
    if (!tls && strcasecmp(scheme, "http") != 0)
        goto out;
    exchange = exchange_open(CAPTURE_CURL, tls);
    exchange_host(exchange, host, strlen(host));
    exchange_target(exchange, path, strlen(path));
out:
    api->free(scheme);
    api->free(host);
    api->free(path);
    return exchange;
}

static struct exchange *open_by_text(const struct curl_handle *handle)
{
    const struct curl_notes *notes = &handle->notes;
    if (!notes->has_url)
        return NULL;
    struct exchange *exchange = exchange_open(CAPTURE_CURL, notes->tls);
    exchange_host(exchange, handle->place, notes->host_length);
    if (notes->path_length)
        exchange_target(exchange, handle->place + notes->host_length, notes->path_length);
    else
        exchange_target(exchange, "/", 1);
    return exchange;
}

/* "Name: value"; "Name:" takes one of libcurl's own out, and "Name;" is one without a value. */
static void tell_headers(struct exchange *exchange, const struct curl_header_line *headers)
{
    for (; headers; headers = headers->next) {
        const char *line = headers->data;
        const char *colon = line ? strchr(line, ':') : NULL;
        if (!colon)
            continue;
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        if (*value)
            exchange_request_header(exchange, line, (size_t)(colon - line), value, strcspn(value, "\r\n"));
    }
}

static void tell_body(struct curl_handle *handle)
{
    struct curl_transfer *transfer = &handle->transfer;
    const struct curl_notes *notes = &handle->notes;
    bool fields = notes->method == METHOD_POST && (notes->fields || notes->copied_fields);
    transfer->reading =
        !fields && (notes->method == METHOD_POST || notes->method == METHOD_PUT) && notes->read_function;
    if (fields && notes->copied_fields)
        exchange_request_body(transfer->exchange, handle->picked, notes->picked_length);
    else if (fields)
        exchange_request_body(transfer->exchange, notes->fields,
                              notes->fields_size < 0 ? strlen(notes->fields) : (size_t)notes->fields_size);
    if (!transfer->reading)
        curl_request_ended(transfer);
}

void curl_transfer_begin(struct curl_handle *handle)
{
    struct curl_transfer *transfer = &handle->transfer;
    const struct curl_notes *notes = &handle->notes;
    curl_transfer_cancel(handle); /* one that was left by longjmp() */
    if (notes->connect_only)
        return;
    int error = errno;
    struct exchange *exchange = notes->url_object ? open_by_object(handle) : open_by_text(handle);
    if (exchange) {
        exchange_method(exchange, method_of(notes), strlen(method_of(notes)));
        tell_headers(exchange, notes->headers);
        if (exchange_request_head_end(exchange) == EXCHANGE_IGNORED)
            exchange_close(exchange, EXCHANGE_COMPLETE, NULL);
        else {
            transfer->exchange = exchange;
            tell_body(handle);
            curl_transfer_put_in(handle);
        }
    }
    errno = error;
}

/* ---- ending ---------------------------------------------------------------------------- */

/* An error's class. */
static const char *error_of(int result)
{
    switch (result) {
    case CURL_COULDNT_RESOLVE_PROXY:
    case CURL_COULDNT_RESOLVE_HOST:
        return "name_not_resolved";
    case CURL_COULDNT_CONNECT:
        return "connection_failed";
    case CURL_OPERATION_TIMEDOUT:
        return "timeout";
    case CURL_SSL_CONNECT_ERROR:
    case CURL_SSL_CERTPROBLEM:
    case CURL_PEER_FAILED_VERIFICATION:
        return "tls";
    case CURL_PARTIAL_FILE:
    case CURL_GOT_NOTHING:
        return "connection_closed";
    case CURL_SEND_ERROR:
    case CURL_RECV_ERROR:
        return "connection_reset";
    case CURL_HTTP2:
    case CURL_HTTP2_STREAM:
        return "http2";
    default:
        return NULL;
    }
}

static enum exchange_end end_of(const struct curl_transfer *transfer, int result)
{
    switch (result) {
    case CURL_OK:
    case CURL_HTTP_RETURNED_ERROR:
    case CURL_TOO_MANY_REDIRECTS:
        return EXCHANGE_COMPLETE;
    case CURL_WRITE_ERROR:
    case CURL_READ_ERROR:
    case CURL_ABORTED_BY_CALLBACK:
        return EXCHANGE_CANCELLED;
    default:
        return transfer->answered ? EXCHANGE_CUT : EXCHANGE_FAILED;
    }
}

static void leave(struct curl_handle *handle)
{
    curl_transfer_take_out(handle);
    handle->transfer = (struct curl_transfer){0};
}

static void finish(struct curl_handle *handle, enum exchange_end end, const char *error_type)
{
    struct curl_transfer *transfer = &handle->transfer;
    int error = errno;
    if (transfer->held_length)
        exchange_response_body(transfer->exchange, handle->held, transfer->held_length);
    exchange_close(transfer->exchange, end, error_type);
    leave(handle);
    errno = error;
}

void curl_transfer_end(struct curl_handle *handle, int result)
{
    if (!handle->transfer.installed)
        return;
    enum exchange_end end = end_of(&handle->transfer, result);
    bool failed = end == EXCHANGE_CUT || end == EXCHANGE_FAILED;
    char number[16];
    const char *error_type = failed ? error_of(result) : NULL;
    if (failed && !error_type) {
        memcpy(number, "curl_", 5);
        number[5 + decimal(number + 5, (unsigned long)result)] = '\0';
        error_type = number;
    }
    finish(handle, end, error_type);
}

void curl_transfer_cancel(struct curl_handle *handle)
{
    if (handle->transfer.installed)
        finish(handle, EXCHANGE_CANCELLED, NULL);
}

void curl_transfer_give_up(struct curl_handle *handle, const char *why)
{
    int error = errno;
    if (handle->transfer.installed) {
        exchange_give_up(handle->transfer.exchange, why);
        leave(handle);
    }
    errno = error;
}
