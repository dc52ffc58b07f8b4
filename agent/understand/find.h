/* find.h: where in what was handed over the usage stands, and what stands beside it. */
#ifndef TALLY_UNDERSTAND_FIND_H
#define TALLY_UNDERSTAND_FIND_H

#include <stdbool.h>

#include "understand/shapes.h"

struct found {
    struct json_object usage;  /* .object NULL: none */
    const cJSON *holder;       /* the answer that it belongs to; usage itself where it stands alone */
    const char *member;        /* its name in there, for people and for distilling; NULL: it stands alone */
    const struct shape *shape; /* NULL: nobody knows it */
};

/* Looked for at known places only: what merely looks like usage in a text, a tool's arguments or the user's own metadata is none. root: a
 * response, an event of a stream, or a usage object; before: as for shape_of(). */
void find_usage(const struct json_object *root, const struct shape *before, struct found *out);

/* The answer within an event: what states model and id. */
const cJSON *find_answer(const struct json_object *root);
/* A text that is not empty, or NULL. */
const char *find_text(const cJSON *item);

#endif
