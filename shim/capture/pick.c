/* pick.c: see pick.h. Documents, and the containers in them. */
#include "capture/pick.h"
#include "capture/fragments.h"
#include "capture/values.h"
#include "capture/write.h"

#include <string.h>

#define USAGE_LEVELS_MAX 4

void pick_fault(struct body *body)
{
    if (!body->fault)
        body->news |= BODY_FAULT;
    body->fault = true;
}

void pick_content(struct body *body)
{
    if (!body->content)
        body->news |= BODY_CONTENT;
    body->content = true;
}

/* ---- documents ---- */

void pick_document_begin(struct body *body, struct body_scan *scan)
{
    scan->frames[scan->depth++] = (struct body_frame){.place = scan->root, .lasting = true};
    scan->muted = body->format == BODY_REQUEST_JSON;
    scan->alone = scan->bare = scan->worth = scan->counts = scan->telling = false;
    if (scan->muted)
        return;
    fragments_cut(body, 0);
    write_bytes(body, scan, "{", 1);
}

void pick_document_end(struct body *body, struct body_scan *scan)
{
    if (scan->muted)
        return;
    write_bytes(body, scan, "}", 1);
    if (scan->muted)
        return;
    if (!scan->worth) {
        fragments_cut(body, 0);
        return;
    }
    bool counts = scan->counts;
    body->has_counts |= scan->telling;
    if (fragments_commit(body) && counts)
        body->news |= BODY_USAGE;
}

void pick_abandon(struct body *body, struct body_scan *scan)
{
    if (body->format == BODY_REQUEST_JSON)
        values_abandon(body);
    else
        fragments_cut(body, 0);
    scan->muted = true;
}

static bool must_be_whole(uint8_t place)
{
    return place_is_usage(place) || place == PLACE_META;
}

void pick_cut_off(struct body *body, struct body_scan *scan)
{
    if (body->format == BODY_REQUEST_JSON) {
        values_abandon(body);
        return;
    }
    if (scan->depth <= scan->base || scan->muted || scan->state == SCAN_BROKEN)
        return;
    for (uint8_t i = scan->base; i < scan->depth; i++) {
        if (scan->frames[i].place == PLACE_METADATA_EVENT || scan->bare || scan->alone) {
            pick_abandon(body, scan);
            return;
        }
        if (must_be_whole(scan->frames[i].place)) {
            fragments_cut(body, scan->frames[i].mark);
            scan->counts = scan->telling = false;
            scan->depth = i;
        }
    }
    while (scan->depth > scan->base) {
        bool root = scan->depth - 1 == scan->base;
        if (!root)
            pick_close(body, scan);
        scan->depth--;
        if (root)
            pick_document_end(body, scan);
    }
}

/* ---- names, items, containers ---- */

/* The user's own metadata, which many APIs echo, is not alone in its document. */
static void count_root_member(struct body *body, struct body_scan *scan, uint8_t members)
{
    if (members < 2)
        return;
    if (scan->path.flags & PATH_ALONE)
        scan->path = (struct body_path){0};
    if (!scan->alone)
        return;
    scan->alone = false;
    scan->worth = scan->counts = scan->telling = false;
    scan_frame(scan)->filled = false;
    scan_frame(scan)->seen = 0;
    if (!scan->muted)
        fragments_cut(body, 1);
}

void pick_name(struct body *body, struct body_scan *scan)
{
    struct body_frame *frame = scan_frame(scan);
    frame->members += frame->members < UINT8_MAX;
    scan->path = (struct body_path){0};
    if (scan->wrong)
        scan->key_length = 0;
    else if (scan->key_length)
        scan->path = paths_find(frame->place, scan->key, scan->key_length);
    if (scan->depth - 1 == scan->base)
        count_root_member(body, scan, frame->members);
}

void pick_item(struct body_scan *scan)
{
    struct body_frame *frame = scan_frame(scan);
    frame->members += frame->members < UINT8_MAX;
    scan->path = paths_item(frame->place, frame->members);
}

bool pick_open(struct body *body, struct body_scan *scan, bool list)
{
    uint8_t place = list ? scan->path.list : scan->path.object;
    const struct body_frame *outer = scan_frame(scan);
    uint8_t levels = outer->levels + place_is_usage(place);
    if (place == PLACE_CONTENT)
        scan->watch = !body->content;
    if (place <= PLACE_CONTENT || levels > USAGE_LEVELS_MAX || scan->depth == BODY_FRAMES_MAX) {
        if (scan->depth == BODY_FRAMES_MAX && place > PLACE_CONTENT)
            pick_fault(body);
        write_drop(body, scan);
        return false;
    }
    struct body_frame frame = {.place = place, .list = list, .levels = levels, .mark = body->built};
    /* within usage a name alone tells of the shape */
    bool telling = (scan->path.flags & PATH_LASTING) || levels > 1;
    frame.lasting = telling || write_seen(scan);
    scan->worth |= telling;
    if (!scan->muted) {
        write_name(body, scan);
        write_bytes(body, scan, list ? "[" : "{", 1);
    }
    scan->frames[scan->depth++] = frame;
    return true;
}

void pick_close(struct body *body, struct body_scan *scan)
{
    const struct body_frame *frame = scan_frame(scan);
    if (scan->muted)
        return;
    if (!frame->filled && !frame->lasting) {
        fragments_cut(body, frame->mark);
        return;
    }
    write_bytes(body, scan, frame->list ? "]" : "}", 1);
    scan->frames[scan->depth - 2].filled = true;
    if (frame->place == PLACE_METADATA_EVENT)
        scan->alone = true;
}
