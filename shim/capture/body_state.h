/* body_state.h: what a struct body is made of; body.h's own business, here so that it can lie in others' memory. */
#ifndef TALLY_CAPTURE_BODY_STATE_H
#define TALLY_CAPTURE_BODY_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define BODY_TEXT_BYTES_MAX 128 /* a text that is kept; longer ones are no names */
#define BODY_KEY_BYTES_MAX  48
#define BODY_FRAMES_MAX     12
#define BODY_FRAGMENTS_MAX  24

/* What the table says of a member: what becomes of its value. See paths.h. */
struct body_path {
    uint8_t text;   /* enum path_text: of a string */
    uint8_t number; /* enum path_number: of a number */
    uint8_t object; /* enum place to enter, if it is an object */
    uint8_t list;   /* enum place of its items, if it is a list */
    uint8_t flags;  /* PATH_* */
};

/* An open container that the table knows. What it does not know is a counter. */
struct body_frame {
    uint8_t place; /* of a list: of its items */
    bool list;
    bool filled;     /* something of it was written */
    bool lasting;    /* written even if nothing of it is */
    uint8_t levels;  /* of usage, up to here */
    uint8_t members; /* begun; stays at 255 */
    uint16_t mark;   /* where it began in what is being written */
    uint32_t seen;   /* names written, one bit each: may say yes wrongly */
};

/* Where one JSON text is being read. */
struct body_scan {
    uint8_t state;
    uint8_t sink; /* where the string at hand goes */
    bool single;  /* one document; what follows it is ignored */
    bool muted;   /* this document is followed, but nothing of it is written any more */
    bool alone;   /* what is written is of a member that must be the only one */
    bool bare;    /* counts stand in the document's root */
    bool worth;   /* something that says something was written */
    bool counts;  /* a number where usage stands was written */
    bool telling; /* ... that only an LLM's API has */
    bool watch;   /* of what is skipped, whether it is empty */
    bool wrong;   /* the name, or text, at hand is too long or strange to be kept */
    uint8_t root; /* enum place of documents */
    uint8_t base; /* frames around the document: 1 within a list of them */
    uint8_t depth;
    uint8_t escape;
    uint8_t literal;
    uint8_t literal_at;
    uint8_t key_length;
    uint8_t value_length;
    uint8_t sextets; /* base64: how many are in `bits` */
    uint16_t unit;
    uint16_t high; /* first half of a surrogate pair */
    uint32_t bits;
    uint32_t skipped; /* containers open in what is skipped */
    struct body_path path;
    struct body_frame frames[BODY_FRAMES_MAX];
    char key[BODY_KEY_BYTES_MAX];
    char value[BODY_TEXT_BYTES_MAX];
};

/* Where lines, or frames, are being read. */
struct body_framing {
    uint8_t state;
    uint8_t at; /* bytes of a field's or header's name, or of a prelude */
    bool empty; /* the line, so far */
    bool after_cr;
    bool begun;     /* the first byte has been seen */
    uint8_t type;   /* of a header's value */
    bool exception; /* the header at hand tells what went wrong */
    uint32_t left;  /* bytes of the part at hand */
    uint32_t headers_left;
    uint32_t payload_bytes;
    char word[20];
};

struct body {
    uint8_t format; /* enum body_format */
    bool has_counts;
    bool content;
    bool fault;
    bool streams;
    bool ending;  /* the document at hand says that it is the last */
    bool over;    /* the last one has come */
    uint8_t news; /* BODY_* bits for the call at hand */
    uint8_t open; /* enum body_value that is being written, + 1 */
    uint8_t error_rank;
    struct body_framing framing;
    struct body_scan scan;
    union {
        struct {
            struct body_scan inner; /* what frames hold in base64 */
            uint16_t used;          /* bytes of fragments */
            uint16_t built;         /* and of what is being written, behind them */
            uint16_t count;
            bool last_unlike; /* of the newest: the same again would be one more */
            uint16_t lengths[BODY_FRAGMENTS_MAX];
            char error_type[BODY_VALUE_BYTES];
            char text[BODY_FRAGMENTS_BYTES];
        };
        struct {
            const char *metadata_names;
            uint16_t metadata_length;
            uint16_t metadata_mark; /* where the pair being written began */
            uint16_t value_bytes;
            char values[3][BODY_VALUE_BYTES];
            char metadata[BODY_METADATA_BYTES];
        };
    };
};

#endif
