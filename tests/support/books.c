#include "test.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <sqlite3.h>

/* ---- database --------------------------------------------------------------------- */

static sqlite3 *open_database(const struct room *room)
{
    char path[ROOM_PATH_MAX + 16];
    sqlite3 *database = NULL;

    snprintf(path, sizeof(path), "%s/usage.db", room->state);
    if (access(path, F_OK) != 0)
        return NULL;
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        sqlite3_close(database);
        return NULL;
    }
    sqlite3_busy_timeout(database, 20000);
    return database;
}

/* Run a query and show each row; returns how many there were. */
static int query(const struct room *room, const char *sql, void (*show)(sqlite3_stmt *row, void *argument),
                 void *argument)
{
    sqlite3 *database = open_database(room);
    sqlite3_stmt *statement = NULL;
    int rows = 0;
    int status;

    if (database == NULL)
        return 0;
    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) {
        /* the schema is not there yet: the agent is only starting */
        bool young = strstr(sqlite3_errmsg(database), "no such table") != NULL;
        if (!young)
            print_error("%s: %s\n", sql, sqlite3_errmsg(database));
        sqlite3_close(database);
        assert_true(young);
        return 0;
    }
    while ((status = sqlite3_step(statement)) == SQLITE_ROW) {
        rows++;
        show(statement, argument);
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
    assert_int_equal(status, SQLITE_DONE);
    return rows;
}

static void show_number(sqlite3_stmt *row, void *argument)
{
    *(int64_t *)argument = sqlite3_column_int64(row, 0);
}

static void show_text(sqlite3_stmt *row, void *argument)
{
    const char *text = (const char *)sqlite3_column_text(row, 0);
    char **out = argument;

    free(*out);
    *out = strdup(text ? text : "");
}

static void format_sql(char *sql, size_t bytes, const char *format, va_list arguments)
{
    int length = vsnprintf(sql, bytes, format, arguments);

    assert_true(length > 0 && (size_t)length < bytes);
}

int64_t books_number(const struct room *room, const char *format, ...)
{
    char sql[2000];
    int64_t value = 0;
    va_list arguments;

    va_start(arguments, format);
    format_sql(sql, sizeof(sql), format, arguments);
    va_end(arguments);
    query(room, sql, show_number, &value);
    return value;
}

char *books_text(const struct room *room, const char *format, ...)
{
    char sql[2000];
    char *value = strdup("");
    va_list arguments;

    va_start(arguments, format);
    format_sql(sql, sizeof(sql), format, arguments);
    va_end(arguments);
    query(room, sql, show_text, &value);
    return value;
}

void books_expect_text(const struct room *room, const char *expected, const char *format, ...)
{
    char sql[2000];
    char *value = strdup("");
    va_list arguments;

    va_start(arguments, format);
    format_sql(sql, sizeof(sql), format, arguments);
    va_end(arguments);
    query(room, sql, show_text, &value);
    if (strcmp(value, expected) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", sql, value, expected);
    free(value);
}

/* ---- audit ---------------------------------------------------------------------------- */

static int64_t json_number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    if (!cJSON_IsNumber(item))
        fail_msg("tally audit --json has no number '%s'", name);
    return (int64_t)item->valuedouble;
}

void books_audit(const struct room *room, struct audit *audit)
{
    char *output;

    audit->status = room_capture(room, &output, "tally", "audit", "--json", (char *)NULL);
    cJSON *json = cJSON_Parse(output);
    if (json == NULL)
        fail_msg("tally audit --json (status %d) is no JSON: %s", audit->status, output);
    audit->written = json_number(json, "written");
    audit->persisted = json_number(json, "persisted");
    audit->waiting = json_number(json, "waiting");
    audit->lost = json_number(json, "lost");
    audit->unaccounted = json_number(json, "unaccounted");
    cJSON_Delete(json);
    free(output);
}

/* ---- waiting ---------------------------------------------------------------------------- */

/* What stands in the room's arenas. */
struct written {
    uint64_t sequences, refused, damaged;
};

static struct written read_arenas(const struct room *room)
{
    const char *const paths[] = {room->arena_path, room->other_arena_path};
    struct written sum = {0};
    struct arena_copy copy;

    for (int i = 0; i < 2; i++) {
        if (paths[i][0] == '\0' || !arena_copy_read(&copy, paths[i]))
            continue;
        sum.sequences += copy.sequences;
        sum.refused += copy.refused_full + copy.refused[COPY_NO_LANE] + copy.refused[COPY_REENTERED] +
                       copy.refused[COPY_SPILL];
        sum.damaged += copy.damaged;
        arena_copy_free(&copy);
    }
    return sum;
}

/* What stands in spill files is counted by their number here, and record by record by expect_writers(). */
int books_spill_files(const struct room *room)
{
    const char *const folders[] = {"state/spill", "home/tally/spill", "spill"};
    int count = 0;

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        char path[ROOM_PATH_MAX];
        struct dirent *entry;
        snprintf(path, sizeof(path), "%s/%s", room->directory, folders[i]);
        DIR *listing = opendir(path);
        while (listing != NULL && (entry = readdir(listing)) != NULL)
            count += strstr(entry->d_name, ".spill") != NULL;
        if (listing != NULL)
            closedir(listing);
    }
    return count;
}

static int64_t spilled(const struct room *room)
{
    return books_number(room, "SELECT sum(sequence) FROM lanes l JOIN arenas a ON a.id = l.arena_id"
                              " WHERE a.spill_uid >= 0");
}

static bool drained(const struct room *room)
{
    /* files before the database: what is gone from there is in it */
    return books_spill_files(room) == 0 &&
           books_number(room, "SELECT sum(sequence) FROM lanes") - spilled(room) ==
               (int64_t)read_arenas(room).sequences;
}

void books_await_drained(const struct room *room)
{
    wait_until(drained(room));
}

static bool ended(const struct room *room)
{
    return drained(room) && books_number(room, "SELECT count(*) FROM clients") > 0 &&
           books_number(room, "SELECT count(*) FROM clients WHERE ended IS NULL") == 0;
}

void books_await_ended(const struct room *room)
{
    wait_until(ended(room));
}

/* ---- the main check -------------------------------------------------------------------------- */

struct found_writer {
    uint64_t rows, distinct, first, last;
};

struct found {
    uint32_t count;
    struct found_writer *writers;
};

static void show_writer(sqlite3_stmt *row, void *argument)
{
    struct found *found = argument;
    const char *user = (const char *)sqlite3_column_text(row, 0);

    if (user == NULL || user[0] != 'w')
        return;
    unsigned long index = strtoul(user + 1, NULL, 10);
    assert_true(index < found->count);
    found->writers[index] =
        (struct found_writer){(uint64_t)sqlite3_column_int64(row, 1), (uint64_t)sqlite3_column_int64(row, 2),
                              (uint64_t)sqlite3_column_int64(row, 3), (uint64_t)sqlite3_column_int64(row, 4)};
}

static void expect_writers(const struct room *room)
{
    struct found found = {.count = room->counters->writer_count};

    found.writers = calloc(found.count ? found.count : 1, sizeof(*found.writers));
    assert_non_null(found.writers);
    query(room,
          "SELECT user, count(*), count(DISTINCT output_tokens), min(output_tokens), max(output_tokens) "
          "FROM usage GROUP BY user",
          show_writer, &found);
    for (uint32_t i = 0; i < found.count; i++) {
        const struct found_writer *writer = &found.writers[i];
        uint64_t attempted = room->counters->writers[i].attempted;
        uint64_t acknowledged = room->counters->writers[i].acknowledged;
        if (writer->rows < acknowledged || writer->rows > attempted || writer->distinct != writer->rows ||
            (writer->rows && (writer->first != 1 || writer->last != writer->rows)))
            fail_msg(
                "writer %u: acknowledged %llu, attempted %llu; the database has %llu rows, %llu distinct, "
                "numbered %llu to %llu",
                i, (unsigned long long)acknowledged, (unsigned long long)attempted,
                (unsigned long long)writer->rows, (unsigned long long)writer->distinct,
                (unsigned long long)writer->first, (unsigned long long)writer->last);
    }
    free(found.writers);
}

void books_expect_complete(const struct room *room, uint64_t refused)
{
    struct written written = read_arenas(room);
    struct audit audit;

    written.sequences += (uint64_t)spilled(room);
    assert_int_equal(books_spill_files(room), 0);
    assert_int_equal(room->counters->surprises, 0);
    expect_writers(room);
    assert_true(written.sequences > 0);
    assert_int_equal(written.damaged, 0);
    assert_int_equal(written.refused, refused);
    books_audit(room, &audit);
    assert_int_equal(audit.unaccounted, 0);
    assert_int_equal(audit.waiting, 0);
    assert_int_equal(audit.lost, refused);
    assert_int_equal(audit.persisted, written.sequences);
    assert_int_equal(audit.written, written.sequences + refused);
    assert_int_equal(audit.status, 0);
    assert_int_equal(books_number(room, "SELECT sum(persisted) FROM lanes"), written.sequences);
    assert_int_equal(books_number(room, "SELECT coalesce(sum(records), 0) FROM losses WHERE numbered = 1"),
                     0);
}

uint64_t books_refused(const struct room *room, uint64_t killed)
{
    uint64_t counted = read_arenas(room).refused;

    assert_in_range(counted, room_refused(room), room_refused(room) + killed);
    return counted;
}

void books_expect_ends(const struct room *room, int64_t clean, int64_t died, int64_t exec)
{
    books_await_ended(room);
    books_expect_complete(room, 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'"), clean);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died'"), died);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'exec'"), exec);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE complete = 0"), 0);
}
