/* usage.h: how a call's row is spread over tables (schema_v3.sql), for the files of this folder alone.
 *
 *   usage_labels   what many calls have in common: a tuple that rows name by number   labels.c
 *   usage_rows     numbers; every call has its row                                    usage.c
 *   usage_texts    texts of one call's own, only if it has any                        usage.c
 *   usage_calls    of calls recorded by begin and end                                 usage.c
 *
 * The view `usage` puts them together again, in the columns of rows.h; reading goes by it (usage_read.c).
 */
#ifndef TALLY_STORE_USAGE_H
#define TALLY_STORE_USAGE_H

#include "store/sqlite_store.h"

#define LABEL_TEXTS(Y)                                                                                       \
    Y(provider)                                                                                              \
    Y(operation)                                                                                             \
    Y(request_model)                                                                                         \
    Y(response_model)                                                                                        \
    Y(service_tier)                                                                                          \
    Y(server_address)                                                                                        \
    Y(error_type)                                                                                            \
    Y(team)                                                                                                  \
    Y(project)                                                                                               \
    Y(key_fingerprint)
#define OWN_TEXTS(Y)                                                                                         \
    Y(response_id)                                                                                           \
    Y(user)                                                                                                  \
    Y(session)                                                                                               \
    Y(trace_id)                                                                                              \
    Y(span_id)                                                                                               \
    Y(tags)
/* All numbers stand in the row but status, http_status and flags, which are the label's; start_time_unix_ns as since_start_ns. */

/* No field may be in none of them, or in two. */
#define TALLY_Y(name) +(UINT64_C(1) << USAGE_TEXT_##name)
_Static_assert((0 LABEL_TEXTS(TALLY_Y) OWN_TEXTS(TALLY_Y)) == (UINT64_C(1) << USAGE_TEXTS) - 1,
               "every text stands in one table");
#undef TALLY_Y
/* "ok", ... */
const char *store_status_name(int64_t status);
/* "a,b,c" for a mask of truncated columns; NULL for 0. */
#define NAMES_BYTES 1024
const char *store_names_of(uint64_t mask, char buffer[NAMES_BYTES]);

/* The label for this row. usage_id: the highest id that is in use by now, this row's if it is new. Within a transaction. */
int store_label(struct store *store, const struct usage_row *row, int64_t usage_id, int64_t *label_id);
/* Rows that wait to be written: before any are read or changed, and before the commit. */
int store_usage_flush(struct store *store);
/* Labels made in a transaction that did not come to its end are none. */
void store_labels_forget(struct store *store);
void store_labels_free(struct store *store);

int store_usage_insert_as(struct store *store, int64_t usage_id, const struct usage_row *row);

/* All of the columns, of the view or of the table that it stands for, in the order that store_read_usage() takes them in, with
 * the texts and numbers at the end. */
#define USAGE_TEXT_COLUMN(id, name, bytes_max) #name ","
#define USAGE_NUMBER_COLUMN(id, name)          #name ","
#define USAGE_COLUMNS                                                                                        \
    "id,client_id,lane_id,sequence,time_unix_ns,call_id,call_step,call_records,call_records_total,"          \
    "field_steps,amendable,cost_picodollars,cost_basis,list_cost_picodollars,price_table_id,usage_json,"     \
    "truncated," TALLY_USAGE_TEXTS(USAGE_TEXT_COLUMN) TALLY_USAGE_NUMBERS(USAGE_NUMBER_COLUMN) "0"
/* What a row points to. */
struct usage_room {
    struct usage_values values;
    uint32_t steps[FIELD_STEPS];
    uint8_t call_id[16];
};
/* Returns its id. */
int64_t store_read_usage(sqlite3_stmt *statement, struct usage_row *row, struct usage_room *room);

#endif
