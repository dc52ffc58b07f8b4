/* usage.c: rows of `usage`, as they are written: into the tables that the view of that name is made of. */
#include <errno.h>

#include "store/usage.h"

#define COLUMN(name) #name ","
#define MARK(name)   "?,"

/* ---- values ---- */

int store_bind_texts(sqlite3_stmt *statement, int column, const struct usage_values *values)
{
    for (int i = 0; i < USAGE_TEXTS; i++)
        bind_text(statement, column++, values->texts[i]);
    return column;
}

int store_bind_numbers(sqlite3_stmt *statement, int column, const struct usage_values *values)
{
    for (int i = 0; i < USAGE_NUMBERS; i++, column++)
        if (usage_number_known(values, (enum usage_number)i))
            sqlite3_bind_int64(statement, column, values->numbers[i]);
    return column;
}

/* ---- usage_rows ---- */

/* Columns that most calls have come first: a batch of such rows names no other. */
#define FEW_COLUMNS                                                                                          \
    "label_id,client_id,lane_id,sequence,time_unix_ns,cost_picodollars,duration_ns,input_tokens,"            \
    "output_tokens"
#define FEW_MARKS "?,?,?,?,?,?,?,?,?"
#define FEW       9
#define REST_COLUMNS                                                                                         \
    ",since_start_ns,list_cost_picodollars,cache_read_tokens,cache_write_5m_tokens,cache_write_1h_tokens,"   \
    "reasoning_tokens,input_audio_tokens,output_audio_tokens,input_image_tokens,output_image_tokens,"        \
    "time_to_first_token_ns,provider_cost_picodollars"
#define REST_MARKS ",?,?,?,?,?,?,?,?,?,?,?,?"
_Static_assert(FEW + 12 == USAGE_CELLS, "every column is in one of the lists");

static inline void put_cell(struct usage_cells *cells, int at, int64_t value)
{
    cells->of[at] = value;
    cells->known |= 1u << at;
}

/* How long before its time the call began, where that does not follow from the duration: what the view works out, the
 * other way round. All are 0 or more, so nothing overflows. */
static bool start_stands_for_itself(const struct usage_row *row, int64_t *since_start)
{
    const struct usage_values *values = row->values;
    int64_t start = values->numbers[USAGE_NUMBER_start_time_unix_ns];
    int64_t duration =
        usage_number_known(values, USAGE_NUMBER_duration_ns) ? values->numbers[USAGE_NUMBER_duration_ns] : 0;
    *since_start = row->time_unix_ns - start;
    return start != (duration < row->time_unix_ns ? row->time_unix_ns - duration : 0);
}

/* In the order of FEW_COLUMNS and REST_COLUMNS. */
static void fill_cells(struct usage_cells *cells, const struct usage_row *row, int64_t label_id)
{
    static const uint8_t cell_of_number[USAGE_NUMBERS] = {
        [USAGE_NUMBER_duration_ns] = 6,
        [USAGE_NUMBER_input_tokens] = 7,
        [USAGE_NUMBER_output_tokens] = 8,
        [USAGE_NUMBER_cache_read_tokens] = 11,
        [USAGE_NUMBER_cache_write_5m_tokens] = 12,
        [USAGE_NUMBER_cache_write_1h_tokens] = 13,
        [USAGE_NUMBER_reasoning_tokens] = 14,
        [USAGE_NUMBER_input_audio_tokens] = 15,
        [USAGE_NUMBER_output_audio_tokens] = 16,
        [USAGE_NUMBER_input_image_tokens] = 17,
        [USAGE_NUMBER_output_image_tokens] = 18,
        [USAGE_NUMBER_time_to_first_token_ns] = 19,
        [USAGE_NUMBER_provider_cost_picodollars] = 20,
    };
    int64_t since_start;
    cells->of[0] = label_id;
    cells->of[1] = row->client_id;
    cells->of[2] = row->lane_id;
    cells->of[3] = row->sequence;
    cells->of[4] = row->time_unix_ns;
    cells->known = (1u << 5) - 1;
    if (row->cost_known)
        put_cell(cells, 5, row->cost_picodollars);
    if (start_stands_for_itself(row, &since_start))
        put_cell(cells, 9, since_start);
    if (row->list_cost_known)
        put_cell(cells, 10, row->list_cost_picodollars);
    for (uint32_t left = row->values->numbers_known; left; left &= left - 1) {
        int number = __builtin_ctz(left);
        if (cell_of_number[number])
            put_cell(cells, cell_of_number[number], row->values->numbers[number]);
    }
}

static void bind_cells(sqlite3_stmt *statement, int column, const struct usage_cells *cells)
{
    for (uint32_t left = cells->known; left; left &= left - 1) {
        int at = __builtin_ctz(left);
        sqlite3_bind_int64(statement, column + at, cells->of[at]);
    }
}

static int insert_cells(struct store *store, int64_t usage_id, const struct usage_cells *cells)
{
    sqlite3_stmt *statement = store_statement(store, STATEMENT_USAGE_INSERT,
                                              "INSERT INTO usage_rows(" FEW_COLUMNS REST_COLUMNS
                                              ",id) VALUES(" FEW_MARKS REST_MARKS ",?)");
    if (!statement)
        return -ENOMEM;
    bind_cells(statement, 1, cells);
    sqlite3_bind_int64(statement, 1 + USAGE_CELLS, usage_id);
    return store_run(store, statement);
}

/* ---- in batches ----
 *
 * A statement that inserts 16 rows costs SQLite two thirds of what 16 statements do: most of these is beginning and
 * ending. The numbers of rows wait for it in memory, at the most until the transaction's commit or until rows are read or
 * changed; ids are those that SQLite gives to rows at the table's end. */

#define TIMES_4(marks)  marks "," marks "," marks "," marks
#define TIMES_16(marks) TIMES_4(TIMES_4(marks))
_Static_assert(USAGE_BATCH == 16, "as many rows as the statements have");

static int insert_batch(struct store *store)
{
    struct usage_batch *batch = &store->batch;
    uint32_t known = 0;
    for (int i = 0; i < USAGE_BATCH; i++)
        known |= batch->cells[i].known;
    bool few = !(known >> FEW);
    sqlite3_stmt *statement =
        few ? store_statement(store, STATEMENT_USAGE_BATCH_FEW,
                              "INSERT INTO usage_rows(" FEW_COLUMNS ") VALUES" TIMES_16("(" FEW_MARKS ")"))
            : store_statement(store, STATEMENT_USAGE_BATCH,
                              "INSERT INTO usage_rows(" FEW_COLUMNS REST_COLUMNS
                              ") VALUES" TIMES_16("(" FEW_MARKS REST_MARKS ")"));
    if (!statement)
        return -ENOMEM;
    for (int i = 0; i < USAGE_BATCH; i++)
        bind_cells(statement, 1 + i * (few ? FEW : USAGE_CELLS), &batch->cells[i]);
    int result = store_run(store, statement);
    if (!result && sqlite3_last_insert_rowid(store->database) != batch->first_id + USAGE_BATCH - 1)
        result = store_refuse(store, EUCLEAN, "rows did not get the ids that come next");
    return result;
}

int store_usage_flush(struct store *store)
{
    struct usage_batch *batch = &store->batch;
    int result = 0;
    if (batch->count == USAGE_BATCH)
        result = insert_batch(store);
    else
        for (int i = 0; !result && i < batch->count; i++)
            result = insert_cells(store, batch->first_id + i, &batch->cells[i]);
    if (!result && batch->count && batch->newest < batch->first_id + batch->count - 1)
        batch->newest = batch->first_id + batch->count - 1;
    batch->count = 0;
    return result;
}

static int read_newest(struct store *store)
{
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_USAGE_END, "SELECT ifnull(max(id),0) FROM usage_rows");
    int result = statement ? store_step(store, statement) : -ENOMEM;
    if (result <= 0)
        return result;
    store->batch.newest = sqlite3_column_int64(statement, 0);
    store_done(statement);
    return 0;
}

/* Rows get the ids that come next by themselves if the newest in the table has the one before. After retention has deleted
 * the newest of all it has not, for one row. */
static int insert_next(struct store *store, const struct usage_row *row)
{
    struct usage_batch *batch = &store->batch;
    int64_t label_id;
    int result = store_label(store, row, store->next_usage_id, &label_id);
    if (!result && batch->newest < 0)
        result = read_newest(store);
    if (result)
        return result;
    if (!batch->count)
        batch->first_id = store->next_usage_id;
    fill_cells(&batch->cells[batch->count++], row, label_id);
    if (batch->count < USAGE_BATCH && batch->newest == batch->first_id - 1)
        return 0;
    return store_usage_flush(store);
}

/* ---- usage_texts ---- */

static bool has_texts(const struct usage_row *row)
{
#define TALLY_Y(name) || row->values->texts[USAGE_TEXT_##name].data
    return row->values->usage_json.data || row->values->truncated OWN_TEXTS(TALLY_Y);
#undef TALLY_Y
}

static int put_texts(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    char truncated[NAMES_BYTES];
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_TEXTS_PUT,
        "INSERT OR REPLACE INTO usage_texts(" OWN_TEXTS(COLUMN) "usage_json,truncated,id)"
                                                                " VALUES(" OWN_TEXTS(MARK) "?,?,?)");
    if (!statement)
        return -ENOMEM;
    int column = 1;
#define TALLY_Y(name) bind_text(statement, column++, row->values->texts[USAGE_TEXT_##name]);
    OWN_TEXTS(TALLY_Y)
#undef TALLY_Y
    bind_text(statement, column++, row->values->usage_json);
    if (row->values->truncated)
        bind_string(statement, column, store_names_of(row->values->truncated, truncated));
    column++;
    sqlite3_bind_int64(statement, column, usage_id);
    return store_run(store, statement);
}

/* ---- usage_calls ---- */

static int put_call(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_CALL_OF_ROW_PUT,
        "INSERT OR REPLACE INTO usage_calls(id,call_id,call_step,call_records,call_records_total,field_steps,"
        "amendable) VALUES(?,?,?,?,?,?,?)");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, usage_id);
    bind_id(statement, 2, row->call_id);
    sqlite3_bind_int64(statement, 3, row->call_step);
    sqlite3_bind_int64(statement, 4, row->call_records);
    bind_known(statement, 5, row->call_records_total, -1);
    if (row->amendable) {
        bind_steps(statement, 6, row->field_steps);
        sqlite3_bind_int64(statement, 7, row->amendable);
    }
    return store_run(store, statement);
}

/* ---- rows ---- */

static int put_rest(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    int result = has_texts(row) ? put_texts(store, usage_id, row) : 0;
    if (!result && row->call_id)
        result = put_call(store, usage_id, row);
    return result;
}

int store_usage_insert_as(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    struct usage_cells cells;
    int64_t label_id;
    int result = store_label(store, row, usage_id, &label_id);
    if (result)
        return result;
    fill_cells(&cells, row, label_id);
    result = insert_cells(store, usage_id, &cells);
    return result ? result : put_rest(store, usage_id, row);
}

int store_usage_insert(struct store *store, const struct usage_row *row)
{
    int result = insert_next(store, row);
    if (!result)
        result = put_rest(store, store->next_usage_id, row);
    if (!result)
        store->next_usage_id++;
    return result;
}

/* The label may be one of rows that are yet to come; this row's id is below theirs. */
static int update_row(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    struct usage_cells cells;
    int64_t label_id;
    int result = store_usage_flush(store);
    if (!result)
        result = store_label(store, row, store->next_usage_id, &label_id);
    sqlite3_stmt *statement = result ? NULL
                                     : store_statement(store, STATEMENT_USAGE_UPDATE,
                                                       "UPDATE usage_rows SET (" FEW_COLUMNS REST_COLUMNS
                                                       ")=(" FEW_MARKS REST_MARKS ") WHERE id=?");
    if (!statement)
        return result ? result : -ENOMEM;
    fill_cells(&cells, row, label_id);
    bind_cells(statement, 1, &cells);
    sqlite3_bind_int64(statement, 1 + USAGE_CELLS, usage_id);
    return store_run(store, statement);
}

/* Texts can go away: a column's name in `truncated`, when a record of the call has all of it. */
static int update_texts(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    return has_texts(row) ? put_texts(store, usage_id, row)
                          : store_slice_delete(store, STATEMENT_EXPIRE_TEXTS,
                                               "DELETE FROM usage_texts WHERE id=?", usage_id);
}

int store_usage_update(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    int result = update_row(store, usage_id, row);
    if (!result)
        result = update_texts(store, usage_id, row);
    if (!result && row->call_id)
        result = put_call(store, usage_id, row);
    return result;
}

int store_usage_reprice(struct store *store, int64_t usage_id, const struct usage_row *row)
{
    int result = update_row(store, usage_id, row);
    return result ? result : update_texts(store, usage_id, row);
}
