/* paths.h: where in a document the values stand that are picked. Nothing is found by its name alone: names are known in a place, and
 * everything that is in none is skipped whole: answers' texts, tools' arguments, the user's own metadata. */
#ifndef TALLY_CAPTURE_PATHS_H
#define TALLY_CAPTURE_PATHS_H

#include "capture/body.h"

enum place {
    PLACE_NONE,    /* skipped */
    PLACE_CONTENT, /* skipped, but seen: the answer has begun if it holds anything */
    PLACE_RESPONSE,
    PLACE_AWS_PAYLOAD,
    PLACE_ANSWER,
    PLACE_MESSAGE,
    PLACE_NESTED,
    PLACE_RESULT,
    PLACE_DELTA,
    PLACE_BLOCK,
    PLACE_METADATA_EVENT,
    PLACE_CHOICE,
    PLACE_CHOICE_DELTA,
    PLACE_CANDIDATE,
    PLACE_CANDIDATE_CONTENT,
    PLACE_PART,
    PLACE_DELTA_MESSAGE,
    PLACE_TEXT,
    PLACE_TITAN_RESULT,
    PLACE_ERROR,
    PLACE_ERROR_HOLDER,
    PLACE_TIER,
    PLACE_GROQ,
    PLACE_META,
    PLACE_USAGE,  /* numbers of any name, a few texts, and what is nested in it */
    PLACE_BILLED, /* the same; only one API has it */
    PLACE_REQUEST,
    PLACE_REQUEST_METADATA,
    PLACES
};

enum path_text {
    TEXT_NOT,
    TEXT_KEPT,    /* written, if it is short */
    TEXT_DIGITS,  /* written, if it is a number */
    TEXT_CONTENT, /* the answer has begun if it is not empty */
    TEXT_BYTES,   /* base64 of a document */
    TEXT_MODEL,   /* values of requests */
    TEXT_TIER,
    TEXT_USER,
    TEXT_METADATA /* if its name is wanted */
};
enum path_number { NUMBER_NOT, NUMBER_COUNT, NUMBER_METADATA };

#define PATH_WEIGHTLESS 1u  /* alone it says nothing */
#define PATH_ALONE      2u  /* only if it is the root's only member */
#define PATH_LASTING    4u  /* that it is there says something, even empty */
#define PATH_BARE       8u  /* a count in the root itself */
#define PATH_LITERAL    16u /* true and false are kept */
#define PATH_STREAM     32u /* true: the request asks for a stream */
#define PATH_TELLING    64u /* a count that only an LLM's API has */

/* What becomes of the member `name` in a place; all zero: it is skipped. */
struct body_path paths_find(enum place place, const char *name, uint8_t length);

/* Of the item of that number, from 1, of a list whose items are in a place. */
struct body_path paths_item(enum place place, uint8_t number);

static inline bool place_is_usage(uint8_t place)
{
    return place == PLACE_USAGE || place == PLACE_BILLED;
}

#endif
