/* framing.c: see framing.h. */
#include "capture/framing.h"
#include "capture/pick.h"

#include <string.h>

void framing_begin(struct body *body)
{
    body->framing = (struct body_framing){.empty = true};
    if (body->format == BODY_AWS_EVENTS)
        frames_begin(body);
    else
        scan_begin(&body->scan, body->format == BODY_REQUEST_JSON ? PLACE_REQUEST : PLACE_RESPONSE,
                   body->format == BODY_EVENTS);
}

/* ---- server-sent events ---- */

enum { LINE, LINE_DATA_BEGINS, LINE_DATA, LINE_SKIPPED };

static const char data_name[] = "data:";

/* The data of one event is one document. Some send one in each line without the blank line between. */
static void data_begins(struct body *body)
{
    if (body->scan.state == SCAN_QUIET)
        scan_begin(&body->scan, PLACE_RESPONSE, true);
    else if (body->scan.state != SCAN_IDLE)
        scan_feed(body, &body->scan, "\n", 1);
}

static void line_ends(struct body *body)
{
    struct body_framing *framing = &body->framing;
    if (framing->state == LINE && framing->at == 0)
        scan_end(body, &body->scan);
    framing->state = LINE;
    framing->at = 0;
}

static const char *line_end(const char *at, const char *end)
{
    const char *feed = memchr(at, '\n', (size_t)(end - at));
    const char *stop = feed ? feed : end;
    const char *carriage = memchr(at, '\r', (size_t)(stop - at));
    return carriage ? carriage : stop;
}

/* The rest of a line, or what there is of it. */
static void take_line(struct body *body, const char *at, const char *end)
{
    struct body_framing *framing = &body->framing;
    while (at < end && framing->state == LINE) {
        if (*at != data_name[framing->at])
            framing->state = LINE_SKIPPED;
        else if (!data_name[++framing->at])
            framing->state = LINE_DATA_BEGINS;
        at++;
    }
    if (at < end && framing->state == LINE_DATA_BEGINS) {
        framing->state = LINE_DATA;
        data_begins(body);
    }
    if (framing->state == LINE_DATA)
        scan_feed(body, &body->scan, at, (size_t)(end - at));
}

static void feed_events(struct body *body, const char *at, const char *end)
{
    struct body_framing *framing = &body->framing;
    while (at < end) {
        if (framing->after_cr && *at == '\n')
            at++;
        framing->after_cr = false;
        if (at == end)
            return;
        const char *stop = line_end(at, end);
        take_line(body, at, stop);
        if (stop == end)
            return;
        line_ends(body);
        framing->after_cr = *stop == '\r';
        at = stop + 1;
    }
}

/* ---- what it is ---- */

/* Servers say "events" of an error that is plain JSON, and "JSON" of events: no JSON begins as a line of events does. Before the first
 * byte that tells there may be a mark of the byte order, and white space. */
static const char *look(struct body *body, const char *at, const char *end)
{
    static const char events[] = "dei r:";
    while (at < end && !body->framing.begun) {
        char c = *at;
        if (c == '\xef' || c == '\xbb' || c == '\xbf' || c == '\n' || c == '\r' || c == ' ' || c == '\t') {
            at++;
            continue;
        }
        body->framing.begun = true;
        if (body->format == BODY_EVENTS && (c == '{' || c == '['))
            body->format = BODY_JSON;
        else if (body->format == BODY_JSON && c && strchr(events, c))
            body->format = BODY_EVENTS;
        body->scan.single = body->format == BODY_EVENTS;
    }
    return at;
}

void framing_feed(struct body *body, const char *bytes, size_t length)
{
    const char *end = bytes + length;
    if (body->format == BODY_AWS_EVENTS) {
        frames_feed(body, bytes, end);
        return;
    }
    bytes = look(body, bytes, end);
    if (body->format == BODY_EVENTS)
        feed_events(body, bytes, end);
    else
        scan_feed(body, &body->scan, bytes, (size_t)(end - bytes));
}

void framing_end(struct body *body)
{
    if (body->format == BODY_AWS_EVENTS && body->scan.sink == SINK_BYTES && body->scan.state == SCAN_STRING)
        pick_cut_off(body, &body->inner);
    else
        pick_cut_off(body, &body->scan);
}
