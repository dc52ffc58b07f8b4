/* curl_callbacks.c: what passes through a transfer.
 *
 * The callbacks look at the bytes and hand them on unchanged, and what the program's return is returned. libcurl shows bodies after transfer coding and,
 * where the program asked for it, content coding are undone.
 *
 * A callback of the program may return for good by longjmp() (PHP does), so nothing is done after it: bytes are looked at before. What it did not
 * take comes again if it paused the transfer, and is then skipped.
 *
 * CURLOPT_HEADER mixes headers into the body: each piece of a head comes to the write function, then to the header function. Within a
 * head only the latter is listened to. Within a body what looks like a header's line is held until it is clear which it was:
 * the header function is called with it next, or it is not. */
#include "preload/curl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- what passes --------------------------------------------------------------------- */

void curl_request_ended(struct curl_transfer *transfer)
{
    if (!transfer->request_ended)
        exchange_request_end(transfer->exchange);
    transfer->request_ended = true;
}

static void body_passes(struct curl_handle *handle, const char *bytes, size_t length)
{
    struct curl_transfer *transfer = &handle->transfer;
    if (transfer->held_length) {
        exchange_response_body(transfer->exchange, handle->held, transfer->held_length);
        transfer->held_length = 0;
    }
    size_t seen = transfer->seen < length ? transfer->seen : length;
    transfer->seen -= seen;
    bytes += seen;
    length -= seen;
    if (!length || (handle->notes.header_in_body && !transfer->in_body))
        return;
    if (handle->notes.header_in_body && length <= CURL_HELD_BYTES && bytes[length - 1] == '\n') {
        memcpy(handle->held, bytes, length);
        transfer->held_length = (uint16_t)length;
        return;
    }
    exchange_response_body(transfer->exchange, bytes, length);
}

static int status_of(const char *line, size_t length)
{
    const char *space = memchr(line, ' ', length);
    size_t left = space ? (size_t)(line + length - space) : 0;
    if (left < 4)
        return -1;
    int status = 0;
    for (int i = 1; i <= 3; i++) {
        if (space[i] < '0' || space[i] > '9')
            return -1;
        status = status * 10 + (space[i] - '0');
    }
    return status;
}

static void head_ends(struct curl_handle *handle)
{
    struct curl_transfer *transfer = &handle->transfer;
    bool decoded = handle->notes.accepts_encoding && !handle->notes.keeps_encoding;
    transfer->in_body = true;
    if (exchange_response_head_end(transfer->exchange, decoded) == EXCHANGE_IGNORED) {
        exchange_close(transfer->exchange, EXCHANGE_COMPLETE, NULL);
        transfer->exchange = NULL;
    }
}

/* In a body: the status line of another response, or a trailer. */
static void header_line_passes(struct curl_handle *handle, const char *line, size_t length)
{
    struct curl_transfer *transfer = &handle->transfer;
    if (length > 5 && !memcmp(line, "HTTP/", 5)) {
        int status = status_of(line, length);
        transfer->in_body = false;
        transfer->answered = true;
        transfer->interim = status < 200;
        if (transfer->interim) /* the request's body may still have to leave */
            return;
        curl_request_ended(transfer);
        exchange_status(transfer->exchange, status);
        return;
    }
    if (transfer->in_body || transfer->interim)
        return;
    while (length && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        length--;
    if (!length) {
        head_ends(handle);
        return;
    }
    const char *colon = memchr(line, ':', length);
    if (!colon)
        return;
    const char *value = colon + 1;
    const char *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    exchange_response_header(transfer->exchange, line, (size_t)(colon - line), value, (size_t)(end - value));
}

/* libcurl hands heads over line by line, but several at a time after a pause. */
static void header_passes(struct curl_handle *handle, const char *lines, size_t length)
{
    handle->transfer.held_length = 0;
    while (length) {
        const char *newline = memchr(lines, '\n', length);
        size_t line_length = newline ? (size_t)(newline + 1 - lines) : length;
        header_line_passes(handle, lines, line_length);
        lines += line_length;
        length -= line_length;
    }
}

/* ---- our callbacks -------------------------------------------------------------------- */

static size_t hand_on(void *function, char *bytes, size_t size, size_t count, void *data)
{
    curl_transfer_callback *callback;
    if (!function) /* as libcurl does */
        return fwrite(bytes, size, count, data);
    memcpy(&callback, &function, sizeof callback);
    return callback(bytes, size, count, data);
}

void *curl_write_data(const struct curl_handle *handle)
{
    return handle->notes.write_data_set ? handle->notes.write_data : stdout;
}

size_t curl_on_write(char *bytes, size_t size, size_t count, void *data)
{
    struct curl_handle *handle = data;
    struct curl_transfer *transfer = &handle->transfer;
    size_t length = size * count;
    if (transfer->exchange) {
        int error = errno;
        curl_request_ended(transfer);
        body_passes(handle, bytes, length);
        errno = error;
    }
    size_t taken = hand_on(handle->notes.write_function, bytes, size, count, curl_write_data(handle));
    if (taken == CURL_WRITE_PAUSE && transfer->held_length)
        transfer->held_length = 0;
    else if (taken == CURL_WRITE_PAUSE)
        transfer->seen += length;
    return taken;
}

/* With HEADERDATA set and no header function libcurl calls the write function, with that. */
size_t curl_on_header(char *line, size_t size, size_t count, void *data)
{
    struct curl_handle *handle = data;
    const struct curl_notes *notes = &handle->notes;
    if (handle->transfer.exchange) {
        int error = errno;
        header_passes(handle, line, size * count);
        errno = error;
    }
    if (notes->header_function)
        return hand_on(notes->header_function, line, size, count, notes->header_data);
    if (notes->header_data)
        return hand_on(notes->write_function, line, size, count, notes->header_data);
    return size * count;
}

/* Bytes are looked at when the program has given them, so after its function, which owes no memory to a longjmp(). */
size_t curl_on_read(char *room, size_t size, size_t count, void *data)
{
    struct curl_handle *handle = data;
    struct curl_transfer *transfer = &handle->transfer;
    size_t given = hand_on(handle->notes.read_function, room, size, count, handle->notes.read_data);
    if (transfer->exchange && !transfer->request_ended) {
        int error = errno;
        if (given == 0)
            curl_request_ended(transfer);
        else if (given <= size * count)
            exchange_request_body(transfer->exchange, room, given);
        errno = error;
    }
    return given;
}
