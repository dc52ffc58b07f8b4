/* decode.h: a record's fields as values. Records come from shared memory: nothing in them is believed.
 *
 * Pure functions of the caller's memory. The texts of the result point into the record, or into `scratch`
 * where they had to be mended, and live as long as those.
 */
#ifndef TALLY_LEDGER_DECODE_H
#define TALLY_LEDGER_DECODE_H

#include "store/rows.h"

/* Where texts are mended: a wrong byte becomes the three of U+FFFD. */
struct decode_scratch {
    char bytes[3 * TALLY_RECORD_BYTES_MAX];
    uint32_t used;
};

/* USAGE and CALL_* records. */
struct usage_record {
    struct usage_values values;
    bool has_call_id;
    uint8_t call_id[16];
    int64_t call_step;    /* -1: not stated */
    int64_t call_records; /* -1: not stated */
};

/* CLIENT and CLIENT_END records. Numbers: -1 not stated. */
struct client_record {
    bool has_session_id;
    uint8_t session_id[16];
    struct text host, executable, service, tags, resource_attributes, library_version;
    int64_t pid, tid, start_time, process_start_time, pid_namespace, uid;
    int64_t tenure;
    int64_t predecessor_sequence, predecessor_final, predecessor_refused;
    bool truncated;
};

/* 0, or -EBADMSG: a field does not end within the record, or one of a known id has the wrong type or length. Fields of
 * unknown id are skipped; of several with one id the last counts. Numbers outside of their range are unknown, and
 * named in `truncated`. Texts: what is not UTF-8, and NUL, is replaced by U+FFFD, so that the rest is kept. */
int decode_usage(const struct tally_record_header *record, struct usage_record *out,
                 struct decode_scratch *scratch);
int decode_client(const struct tally_record_header *record, struct client_record *out,
                  struct decode_scratch *scratch);

#endif
