/* store.h: where the ledger's rows are kept. SQLite behind it; another engine could stand there.
 *
 * One thread. Functions return 0 (or a positive result, where said) or a negative errno value; store_error() is
 * then one sentence for the operator. After an error inside a transaction: store_rollback(), nothing else.
 * What a row points to is read during the call only; rows handed to a callback are valid during the callback only.
 *
 * The epoch: a number in the database that each agent raises when it opens it. store_begin() compares,
 * inside the transaction, so that an agent that was frozen and replaced meanwhile writes nothing
 * more: -ESTALE.
 */
#ifndef TALLY_STORE_H
#define TALLY_STORE_H

#include "store/rows.h"

#define STORE_FILE "usage.db"

struct store;

/* Open directory/usage.db, making and migrating it as needed, and raise its epoch. On error *out is still to be closed and good for
 * store_error() alone (NULL: no memory). -EBUSY: locked by another; -ENOTSUP: written by a newer tally, or no
 * database of ours; -EUCLEAN: it seems to be damaged, see store_damaged(); -ENOSPC, -EACCES, -EIO, ... */
int store_open(struct store **out, const char *directory);
/* Open one that is there and of this version, to change rows beside a running agent: nothing is made or migrated, and the
 * epoch stays, so that the agent goes on. */
int store_visit(struct store **out, const char *directory);
void store_close(struct store *store);
const char *store_error(const struct store *store);

/* After -EUCLEAN, with the store closed: look at the whole file again. 1: it is damaged; 0: it is sound, and the
 * error was another's; a negative errno value: it cannot be told. Takes minutes where there are gigabytes. */
int store_damaged(const char *directory);
/* Rename it and what belongs to it, within its folder; no store is open there. name: what it is called now. */
#define STORE_ASIDE_NAME_MAX 64
int store_set_aside(const char *directory, char name[STORE_ASIDE_NAME_MAX]);

/* A transaction: all of it or nothing, on disk when store_commit() has returned 0. */
int store_begin(struct store *store);
int store_commit(struct store *store);
void store_rollback(struct store *store);

/* ---- usage ---- */
int store_usage_insert(struct store *store, const struct usage_row *row);
int store_usage_update(struct store *store, int64_t usage_id, const struct usage_row *row);
/* The row of a call that a late record may amend. Returns 1 after calling take, 0 if there is none. */
typedef int (*store_take_usage)(void *context, int64_t usage_id, const struct usage_row *row);
int store_usage_amendable(struct store *store, const uint8_t call_id[16], store_take_usage take,
                          void *context);
/* Calls started in [since, until), by id. Within a transaction; take may change the row that it is called with. A negative result of
 * take ends it. service: the client's; data NULL: there is no such client any more. */
typedef int (*store_take_priced)(void *context, int64_t usage_id, const struct usage_row *row,
                                 struct text service);
int store_usage_each(struct store *store, int64_t since_unix_ns, int64_t until_unix_ns,
                     store_take_priced take, void *context);
/* Texts, numbers and cost of a row as it was handed to take; what it says of its call's records stays. */
int store_usage_reprice(struct store *store, int64_t usage_id, const struct usage_row *row);
/* How many rows are amendable. */
int store_usage_count_amendable(struct store *store, int64_t *count);
/* Add to a row of the rollup; sums stop at INT64_MAX, but those of money. A row that comes to no calls goes. */
int store_rollup_add(struct store *store, const struct rollup_row *row);

/* ---- prices (prices.c) ---- */
/* The id of a price list, entered if it is new. */
int store_price_list(struct store *store, const struct price_list_row *row, int64_t *id);
/* A usage object that was not understood, in the row that was inserted last. */
int store_unknown_shape(struct store *store, struct text provider, const char *kind, int64_t time_unix_ns);

/* ---- calls in flight ---- */
int store_call_put(struct store *store, const struct call_row *row);
int store_call_delete(struct store *store, const uint8_t call_id[16]);
typedef int (*store_take_call)(void *context, const struct call_row *row);
int store_call_each(struct store *store, store_take_call take, void *context);

/* ---- clients ---- */
int store_client_insert(struct store *store, const struct client_row *row, int64_t *client_id);
int store_client_update(struct store *store, int64_t client_id, const struct client_state *state);
typedef int (*store_take_client)(void *context, const struct client_row *row);
int store_client_each_running(struct store *store, store_take_client take, void *context);
/* These return 1 after calling take, 0 if there is none. */
int store_client_by_session(struct store *store, const uint8_t session_id[16], store_take_client take,
                            void *context);
int store_client_by_id(struct store *store, int64_t client_id, store_take_client take, void *context);

/* ---- arenas, lanes, losses ---- */
/* Find by uuid and spill_uid, or insert; fills row->arena_id and the refused counters, and writes path and attached time. */
int store_arena_attach(struct store *store, struct arena_row *row);
/* The same, but what is there is left as it is. */
int store_arena_open(struct store *store, struct arena_row *row);
/* Read the refused counters anew. */
int store_arena_read(struct store *store, struct arena_row *row);
/* Whether there is an arena (no spill log) of this uuid: 1, 0 or an error. path: where it was last, cut to fit; may be NULL. */
int store_arena_known(struct store *store, const uint8_t uuid[16], char *path, size_t bytes);
int store_arena_retire(struct store *store, int64_t arena_id, int64_t now_unix_ns);
int store_arena_refused(struct store *store, const struct arena_row *row);
/* Arenas (no spill logs) that are not retired. */
typedef int (*store_take_arena)(void *context, const struct arena_row *row);
int store_arena_each_live(struct store *store, store_take_arena take, void *context);
int store_lane_insert(struct store *store, const struct lane_row *row, int64_t *lane_id);
int store_lane_update(struct store *store, const struct lane_row *row);
typedef int (*store_take_lane)(void *context, const struct lane_row *row);
int store_lane_each(struct store *store, int64_t arena_id, store_take_lane take, void *context);
/* Client objects of a lane's tenure. */
int store_lane_client_put(struct store *store, int64_t lane_id, uint32_t client, int64_t client_id);
int store_lane_clients_clear(struct store *store, int64_t lane_id);
typedef int (*store_take_lane_client)(void *context, uint32_t client, int64_t client_id);
int store_lane_client_each(struct store *store, int64_t lane_id, store_take_lane_client take, void *context);
int store_loss_add(struct store *store, const struct loss_row *row);

/* The database's name for itself: 16 hex digits, given once. */
const char *store_instance(const struct store *store);

/* ---- retention ---- */
#define STORE_SLICE_ROWS 2000
/* Look at the slice of rows with ids above *cursor and delete those older than before_unix_ns; moves *cursor past
 * the slice. Returns how many went. */
int store_usage_expire(struct store *store, int64_t before_unix_ns, int64_t *cursor);
/* After that: labels that no row names any more. passed: where the cursor above was when nothing was left to go. Moves *cursor;
 * returns 1 if there may be more. */
int store_label_expire(struct store *store, int64_t passed, int64_t *cursor);
/* The same for ended clients that no lane, call or child refers to. pinned: those that memory refers to. */
typedef bool (*store_client_pinned)(void *context, int64_t client_id);
int store_client_expire(struct store *store, int64_t before_unix_ns, int64_t *cursor,
                        store_client_pinned pinned, void *context);
/* And spill logs whose clients have gone: they are over. In the same transaction, so that the books stay even. */
int store_log_expire(struct store *store, int64_t before_unix_ns);

#endif
