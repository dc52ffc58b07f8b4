/* labels.c: rows of `usage_labels`: what calls have in common, written once and named by number in their rows.
 *
 * Which label has which content is remembered in memory alone, and within bounds: a label that has been forgotten, or that
 * another agent made, is made again, and that is all. So there is no index over contents, which each new label would pay for,
 * and nothing to be read at the start.
 *
 * Killed right here: a label is written in the transaction of the first row that names it, before that row. Memory may
 * name it to later transactions only because that one was committed; one that is rolled back takes all memory with it.
 *
 * Clients choose the contents, so that each call may come with a new one. Memory is bounded by LABELS and BYTES_MAX. On disk a label
 * lives as long as the rows that name it: none but those with an id below first_usage_id + ROWS_MAX do, because after that
 * its content gets a new label. Once retention has passed that id the label goes, unless one of the rows that stayed names it.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/usage.h"

#define WAYS   8
#define SETS   256 /* a power of two */
#define LABELS (SETS * WAYS)
/* Contents that are remembered, in all. */
#define BYTES_MAX (1 << 20)
/* Of one: longer ones, which only an edited database can hold, are not remembered. */
#define CONTENT_MAX 2048
/* A label is dead weight for as many rows at most, and costs its hundred bytes once in as many. */
#define ROWS_MAX 65536

struct label {
    char *content; /* NULL: free */
    uint32_t length;
    uint32_t used; /* label_memory.now, when it was asked for last */
    uint64_t hash;
    int64_t id;
    int64_t first_usage_id;
};

struct label_memory {
    uint32_t now;
    size_t bytes;
    struct label labels[SETS][WAYS];
};

/* ---- contents ---- */

struct content {
    char bytes[CONTENT_MAX + 8]; /* zeros up to the next multiple of 8 */
    uint32_t length;             /* above CONTENT_MAX: it is too long */
};

static void put(struct content *content, const void *bytes, size_t length)
{
    if (content->length + length > CONTENT_MAX) {
        content->length = CONTENT_MAX + 1;
        return;
    }
    memcpy(content->bytes + content->length, bytes, length);
    content->length += (uint32_t)length;
}

/* bit: of the text in the mask that stands before them all; those that are unknown take nothing else. */
static void put_text(struct content *content, uint32_t *mask, uint32_t bit, struct text text)
{
    if (!text.data)
        return;
    *mask |= bit;
    put(content, &text.length, sizeof(text.length));
    put(content, text.data, text.length);
}

/* The numbers of a label: NULL is -1, which none of them is. */
struct label_numbers {
    int64_t status, http_status, flags, price_table_id;
};

static struct label_numbers numbers_of(const struct usage_row *row)
{
    const struct usage_values *values = row->values;
    return (struct label_numbers){
        .status = values->numbers[USAGE_NUMBER_status],
        .http_status = usage_number_known(values, USAGE_NUMBER_http_status)
                           ? values->numbers[USAGE_NUMBER_http_status]
                           : -1,
        .flags = usage_number_known(values, USAGE_NUMBER_flags) ? values->numbers[USAGE_NUMBER_flags] : 0,
        .price_table_id = row->price_table_id,
    };
}

static void content_of(const struct usage_row *row, struct content *content)
{
    struct {
        struct label_numbers numbers;
        uint64_t texts;
    } head = {.numbers = numbers_of(row)};
    uint32_t mask = 0;
    uint32_t bit = 1;
    content->length = sizeof(head);
#define TALLY_Y(name) put_text(content, &mask, bit <<= 1, row->values->texts[USAGE_TEXT_##name]);
    LABEL_TEXTS(TALLY_Y)
#undef TALLY_Y
    put_text(content, &mask, 1, row->cost_basis);
    head.texts = mask;
    memcpy(content->bytes, &head, sizeof(head));
    if (content->length <= CONTENT_MAX)
        memset(content->bytes + content->length, 0, 8);
}

/* Chosen contents can at worst fall into one set, and then make labels: no more than new ones would. */
static uint64_t hash_of(const struct content *content)
{
    uint64_t hash = content->length;
    for (uint32_t at = 0; at < content->length; at += 8) {
        uint64_t word;
        memcpy(&word, content->bytes + at, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    return hash;
}

/* ---- memory ---- */

void store_labels_forget(struct store *store)
{
    struct label_memory *memory = store->labels;
    if (!memory || !memory->bytes)
        return;
    for (int set = 0; set < SETS; set++)
        for (int way = 0; way < WAYS; way++)
            free(memory->labels[set][way].content);
    memset(memory, 0, sizeof(*memory));
}

void store_labels_free(struct store *store)
{
    store_labels_forget(store);
    free(store->labels);
    store->labels = NULL;
}

static struct label *find(struct label_memory *memory, const struct content *content, uint64_t hash)
{
    struct label *set = memory->labels[hash % SETS];
    for (int way = 0; way < WAYS; way++)
        if (set[way].content && set[way].hash == hash && set[way].length == content->length &&
            !memcmp(set[way].content, content->bytes, content->length))
            return &set[way];
    return NULL;
}

/* Its own, if it has come of age; a free one; or that which was not asked for longest. */
static struct label *place_for(struct label_memory *memory, const struct content *content, uint64_t hash)
{
    struct label *set = memory->labels[hash % SETS];
    struct label *label = find(memory, content, hash);
    if (label)
        return label;
    label = set;
    for (int way = 0; way < WAYS && label->content; way++)
        if (!set[way].content || memory->now - set[way].used > memory->now - label->used)
            label = &set[way];
    return label;
}

/* Without memory for it: next time. */
static void remember(struct store *store, const struct content *content, uint64_t hash, int64_t id,
                     int64_t usage_id)
{
    struct label_memory *memory = store->labels;
    char *bytes = malloc(content->length);
    if (!bytes)
        return;
    if (memory->bytes + content->length > BYTES_MAX)
        store_labels_forget(store);
    struct label *label = place_for(memory, content, hash);
    memory->bytes -= label->content ? label->length : 0;
    free(label->content);
    memcpy(bytes, content->bytes, content->length);
    memory->bytes += content->length;
    *label = (struct label){.content = bytes,
                            .length = content->length,
                            .used = memory->now,
                            .hash = hash,
                            .id = id,
                            .first_usage_id = usage_id};
}

/* ---- rows ---- */

static int insert(struct store *store, const struct usage_row *row, int64_t usage_id, int64_t *label_id)
{
#define TALLY_Y(name) #name ","
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_LABEL_INSERT,
                        "INSERT INTO usage_labels(first_usage_id," LABEL_TEXTS(
                            TALLY_Y) "cost_basis,status,http_status,flags,price_table_id)"
                                     " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
#undef TALLY_Y
    if (!statement)
        return -ENOMEM;
    struct label_numbers numbers = numbers_of(row);
    int column = 1;
    sqlite3_bind_int64(statement, column++, usage_id);
#define TALLY_Y(name) bind_text(statement, column++, row->values->texts[USAGE_TEXT_##name]);
    LABEL_TEXTS(TALLY_Y)
#undef TALLY_Y
    bind_text(statement, column++, row->cost_basis);
    bind_string(statement, column++, store_status_name(numbers.status));
    bind_known(statement, column++, numbers.http_status, -1);
    sqlite3_bind_int64(statement, column++, numbers.flags);
    bind_known(statement, column++, numbers.price_table_id, 0);
    int result = store_run(store, statement);
    *label_id = sqlite3_last_insert_rowid(store->database);
    return result;
}

int store_label(struct store *store, const struct usage_row *row, int64_t usage_id, int64_t *label_id)
{
    struct content content;
    if (!store->labels && !(store->labels = calloc(1, sizeof(*store->labels))))
        return store_refuse(store, ENOMEM, "out of memory");
    content_of(row, &content);
    if (content.length > CONTENT_MAX)
        return insert(store, row, usage_id, label_id);
    uint64_t hash = hash_of(&content);
    struct label *label = find(store->labels, &content, hash);
    store->labels->now++;
    if (label && usage_id >= label->first_usage_id && usage_id - label->first_usage_id < ROWS_MAX) {
        label->used = store->labels->now;
        *label_id = label->id;
        return 0;
    }
    int result = insert(store, row, usage_id, label_id);
    if (!result)
        remember(store, &content, hash, *label_id, usage_id);
    return result;
}

/* Rows with ids up to `passed` have been looked at; those of them that are still there may be of any age. */
int store_label_expire(struct store *store, int64_t passed, int64_t *cursor)
{
    struct slice slice = {.count = 0, .last = *cursor};
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_EXPIRE_LABEL_SLICE,
                        "SELECT id,id NOT IN (SELECT label_id FROM usage_rows WHERE id<=?1) FROM usage_labels"
                        " WHERE id>?2 AND first_usage_id<=?3 ORDER BY id LIMIT ?4");
    if (!statement)
        return -ENOMEM;
    sqlite3_bind_int64(statement, 1, passed);
    sqlite3_bind_int64(statement, 2, *cursor);
    sqlite3_bind_int64(statement, 3, passed - ROWS_MAX);
    sqlite3_bind_int64(statement, 4, STORE_SLICE_ROWS);
    int result = store_usage_flush(store);
    if (!result)
        result = store_slice_read(store, statement, &slice);
    for (int i = 0; !result && i < slice.count; i++)
        result = store_slice_delete(store, STATEMENT_EXPIRE_LABEL, "DELETE FROM usage_labels WHERE id=?",
                                    slice.ids[i]);
    bool moved = slice.last != *cursor;
    *cursor = slice.last;
    return result < 0 ? result : moved;
}
