/* ledger_kit.h: a ledger on a real database in a folder of its own, and lanes' records written by hand.
 *
 * A tape holds what the rings would: records with their positions and sequences, fed to the ledger from wherever it
 * says that it stands, as the collector does. One kit a test.
 */
#ifndef TALLY_TESTS_LEDGER_KIT_H
#define TALLY_TESTS_LEDGER_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/ledger.h"
#include "store/rows.h"

#define KIT_LANES   8
#define KIT_RECORDS 4096
#define SECOND      INT64_C(1000000000)
#define KIT_TIME    (INT64_C(1700000000) * SECOND) /* 14 minutes into an hour */

/* ---- records ---- */

struct pen {
    _Alignas(8) unsigned char bytes[TALLY_RECORD_BYTES_MAX];
    uint32_t length;
};

static inline struct pen pen(enum tally_record_kind kind, uint16_t client, int64_t time)
{
    struct pen pen = {.length = sizeof(struct tally_record_header)};
    struct tally_record_header header = {
        .kind = (uint16_t)kind, .client = client, .time_unix_ns = (uint64_t)time};
    memcpy(pen.bytes, &header, sizeof header);
    return pen;
}

static inline void pen_field(struct pen *pen, int id, int type, const void *value, size_t length)
{
    struct tally_field field = {(uint8_t)id, (uint8_t)type, (uint16_t)length};
    memcpy(pen->bytes + pen->length, &field, sizeof field);
    memcpy(pen->bytes + pen->length + sizeof field, value, length);
    pen->length += tally_field_bytes((uint32_t)length);
}
static inline void pen_text(struct pen *pen, int id, const char *text)
{
    pen_field(pen, id, TALLY_TYPE_TEXT, text, strlen(text));
}
static inline void pen_u32(struct pen *pen, int id, uint32_t value)
{
    pen_field(pen, id, TALLY_TYPE_U32, &value, sizeof value);
}
static inline void pen_i64(struct pen *pen, int id, int64_t value)
{
    pen_field(pen, id, TALLY_TYPE_I64, &value, sizeof value);
}
static inline void pen_id(struct pen *pen, int id, char name)
{
    char value[16];
    memset(value, name, sizeof value);
    pen_field(pen, id, TALLY_TYPE_BYTES, value, sizeof value);
}

/* ---- tapes ---- */

struct tape_lane {
    struct tally_record_header *records[KIT_RECORDS];
    uint32_t count;
    uint64_t position, sequence;
};

struct kit {
    char folder[256];
    char path[300];
    struct ledger *ledger;
    struct tally_arena_header header;
    struct ledger_arena *arena;
    sqlite3 *reader;
    struct ledger_options options;
    struct tape_lane tape[KIT_LANES];
};

static inline void tape_add(struct kit *kit, uint32_t lane, const struct pen *pen)
{
    struct tape_lane *tape = &kit->tape[lane];
    struct tally_record_header *record = malloc(pen->length);
    assert_non_null(record);
    assert_true(tape->count < KIT_RECORDS);
    memcpy(record, pen->bytes, pen->length);
    record->length = pen->length;
    record->position = tape->position;
    record->sequence = record->kind == TALLY_KIND_PADDING ? 0 : ++tape->sequence;
    record->checksum = tally_checksum(record, record->length);
    tape->position += record->length;
    tape->records[tape->count++] = record;
}

/* ---- a kit ---- */

static inline void kit_open(struct kit *kit)
{
    int result = ledger_open(&kit->ledger, &kit->options);
    if (result)
        print_error("%s\n", ledger_error(kit->ledger));
    assert_int_equal(result, 0);
    assert_int_equal(ledger_attach(kit->ledger, &kit->header, "/tally-test-kit", &kit->arena), 0);
}

static inline void kit_close(struct kit *kit)
{
    if (kit->arena)
        assert_int_equal(ledger_detach(kit->ledger, kit->arena, false), 0);
    ledger_close(kit->ledger);
    kit->ledger = NULL;
    kit->arena = NULL;
}

/* As after a crash of the agent: what was not committed is gone. */
static inline void kit_restart(struct kit *kit)
{
    ledger_abandon(kit->ledger);
    kit_close(kit);
    kit_open(kit);
}

static inline void kit_make_folder(struct kit *kit)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(kit->folder, sizeof kit->folder, "%s/tally-unit-XXXXXX", temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(kit->folder));
    snprintf(kit->path, sizeof kit->path, "%s/usage.db", kit->folder);
    kit->options.state_directory = kit->folder;
}

static inline int kit_setup(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    assert_non_null(kit);
    kit_make_folder(kit);
    kit->header =
        (struct tally_arena_header){.magic = TALLY_ARENA_MAGIC, .abi = TALLY_ABI, .lane_count = KIT_LANES};
    memset(kit->header.uuid, 0xA7, 16);
    memset(kit->header.boot_id, 0xB0, 16);
    kit_open(kit);
    *state = kit;
    return 0;
}

static inline void kit_forget_tape(struct kit *kit)
{
    for (int lane = 0; lane < KIT_LANES; lane++) {
        for (uint32_t i = 0; i < kit->tape[lane].count; i++)
            free(kit->tape[lane].records[i]);
        memset(&kit->tape[lane], 0, sizeof kit->tape[lane]);
    }
}

static inline int kit_teardown(void **state)
{
    struct kit *kit = *state;
    static const char *const files[] = {"usage.db", "usage.db-wal", "usage.db-shm", "usage.db-journal"};
    char path[300];
    if (kit->ledger) {
        ledger_abandon(kit->ledger);
        kit_close(kit);
    }
    sqlite3_close(kit->reader);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", kit->folder, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(kit->folder), 0);
    kit_forget_tape(kit);
    free(kit);
    return 0;
}

/* Feed a lane's next `count` records (-1: all), from where the ledger stands. */
static inline int kit_try_feed(struct kit *kit, uint32_t lane, int count)
{
    struct tape_lane *tape = &kit->tape[lane];
    if (!kit->arena)
        return -ENOTCONN;
    for (uint32_t i = 0; i < tape->count && count; i++) {
        if (tape->records[i]->position < kit->arena->lanes[lane].position)
            continue;
        int result = ledger_record(kit->ledger, kit->arena, lane, tape->records[i]);
        if (result)
            return result;
        count--;
    }
    return 0;
}

static inline void kit_feed(struct kit *kit, uint32_t lane, int count)
{
    int result = kit_try_feed(kit, lane, count);
    if (result)
        print_error("%s\n", ledger_error(kit->ledger));
    assert_int_equal(result, 0);
}

static inline void kit_commit(struct kit *kit)
{
    int result = ledger_commit(kit->ledger);
    if (result)
        print_error("%s\n", ledger_error(kit->ledger));
    assert_int_equal(result, 0);
}

static inline void kit_drain(struct kit *kit)
{
    for (uint32_t lane = 0; lane < KIT_LANES; lane++)
        kit_feed(kit, lane, -1);
    kit_commit(kit);
}

/* ---- questions ---- */

static inline sqlite3 *kit_reader(struct kit *kit)
{
    if (!kit->reader)
        assert_int_equal(sqlite3_open_v2(kit->path, &kit->reader, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    return kit->reader;
}

static inline void kit_sql(struct kit *kit, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(kit_reader(kit), sql, NULL, NULL, &error))
        fail_msg("%s: %s", sql, error);
}

/* All values of all rows, as SQL literals: a|b, rows separated by newlines. The caller frees it. */
static inline char *kit_ask(struct kit *kit, const char *sql)
{
    sqlite3_stmt *statement;
    sqlite3_str *text = sqlite3_str_new(NULL);
    if (sqlite3_prepare_v2(kit_reader(kit), sql, -1, &statement, NULL))
        fail_msg("%s: %s", sql, sqlite3_errmsg(kit->reader));
    for (int row = 0; sqlite3_step(statement) == SQLITE_ROW; row++)
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            sqlite3_str_appendall(text, i ? "|" : row ? "\n" : "");
            if (sqlite3_column_type(statement, i) == SQLITE_BLOB)
                for (int j = 0; j < sqlite3_column_bytes(statement, i); j++)
                    sqlite3_str_appendf(text, "%02x",
                                        ((const unsigned char *)sqlite3_column_blob(statement, i))[j]);
            else if (sqlite3_column_type(statement, i) == SQLITE_NULL)
                sqlite3_str_appendall(text, "NULL");
            else
                sqlite3_str_append(text, (const char *)sqlite3_column_text(statement, i),
                                   sqlite3_column_bytes(statement, i));
        }
    sqlite3_finalize(statement);
    sqlite3_str_appendchar(text, 1, 0); /* an empty answer is a string too */
    return sqlite3_str_finish(text);
}

#define kit_expect(kit, sql, expected)                                                                       \
    do {                                                                                                     \
        char *answer_ = kit_ask(kit, sql);                                                                   \
        assert_string_equal(answer_, expected);                                                              \
        sqlite3_free(answer_);                                                                               \
    } while (0)

/* The rollup as the raw rows have it must be the rollup as it stands. */
static inline void kit_expect_rollup_exact(struct kit *kit)
{
#define SUM(name) ",ifnull(sum(u." #name "),0)"
    char *kept = kit_ask(
        kit, "SELECT hour_unix_s,provider,request_model,service,team,project,key_fingerprint,status,calls,"
             "input_tokens,output_tokens,cache_read_tokens,cache_write_5m_tokens,"
             "cache_write_1h_tokens,reasoning_tokens,input_audio_tokens,output_audio_tokens,"
             "input_image_tokens,output_image_tokens,duration_ns,input_tokens_unknown,"
             "output_tokens_unknown,duration_unknown,estimated,provider_cost_picodollars,"
             "provider_cost_calls,cost_picodollars,cost_unknown FROM usage_hourly"
             " ORDER BY 1,2,3,4,5,6,7,8");
    char *counted = kit_ask(
        kit,
        "SELECT u.start_time_unix_ns/3600000000000*3600,ifnull(u.provider,''),ifnull(u.request_model,''),"
        "ifnull(c.service,''),ifnull(u.team,''),ifnull(u.project,''),ifnull(u.key_fingerprint,''),u.status,"
        "count(*)" SUM(input_tokens) SUM(output_tokens) SUM(cache_read_tokens) SUM(cache_write_5m_tokens)
            SUM(cache_write_1h_tokens) SUM(reasoning_tokens) SUM(input_audio_tokens) SUM(output_audio_tokens)
                SUM(input_image_tokens) SUM(output_image_tokens)
                    SUM(duration_ns) ",count(*)-count(u.input_tokens),count(*)-count(u.output_tokens),"
                                     "count(*)-count(u.duration_ns),sum((u.flags&2)/2),"
                                     "sum(u.provider_cost_picodollars),count(u.provider_cost_picodollars),"
                                     "sum(u.cost_picodollars),count(*)-count(u.cost_picodollars)"
                                     " FROM usage u LEFT JOIN clients c ON c.id=u.client_id"
                                     " GROUP BY 1,2,3,4,5,6,7,8 ORDER BY 1,2,3,4,5,6,7,8");
#undef SUM
    assert_string_equal(kept, counted);
    sqlite3_free(kept);
    sqlite3_free(counted);
    kit_expect(
        kit,
        "SELECT count(*) FROM (SELECT * FROM usage_daily EXCEPT SELECT hour_unix_s/86400*86400,provider,"
        "request_model,service,team,project,key_fingerprint,status,sum(calls),sum(input_tokens),"
        "sum(output_tokens),sum(cache_read_tokens),sum(cache_write_5m_tokens),sum(cache_write_1h_tokens),"
        "sum(reasoning_tokens),sum(input_audio_tokens),sum(output_audio_tokens),sum(input_image_tokens),"
        "sum(output_image_tokens),sum(duration_ns),sum(input_tokens_unknown),sum(output_tokens_unknown),"
        "sum(duration_unknown),sum(estimated),sum(provider_cost_picodollars),sum(provider_cost_calls),"
        "sum(cost_picodollars),sum(cost_unknown),sum(provider_cost_millions),sum(cost_millions) FROM "
        "usage_hourly GROUP BY 1,2,3,4,5,6,7,8)",
        "0");
    kit_expect(kit,
               "SELECT (SELECT ifnull(sum(calls),0) FROM usage_daily)=(SELECT ifnull(sum(calls),0) FROM "
               "usage_hourly)",
               "1");
}

/* ---- usual records ---- */

static uint64_t
    kit_namespace; /* of clients; 0: not the agent's, so that they are gone when their tenures are */
static uint32_t kit_pid = 4711;

/* A tenure begins. predecessor: sequence and final as found; -1: as if it had left cleanly. */
static inline void add_client(struct kit *kit, uint32_t lane, char session, uint32_t tenure, int64_t final)
{
    struct pen p = pen(TALLY_KIND_CLIENT, 0, KIT_TIME);
    pen_id(&p, TALLY_FIELD_session_id, session);
    pen_u32(&p, TALLY_FIELD_pid, kit_pid);
    pen_u32(&p, TALLY_FIELD_tid, kit_pid + lane);
    pen_i64(&p, TALLY_FIELD_start_time, 1000);
    pen_i64(&p, TALLY_FIELD_process_start_time, 1000);
    if (kit_namespace)
        pen_i64(&p, TALLY_FIELD_pid_namespace, (int64_t)kit_namespace);
    pen_text(&p, TALLY_FIELD_service, "shop");
    pen_text(&p, TALLY_FIELD_executable, "/usr/bin/shop");
    pen_u32(&p, TALLY_FIELD_tenure, tenure);
    pen_i64(&p, TALLY_FIELD_predecessor_sequence, (int64_t)kit->tape[lane].sequence);
    pen_i64(&p, TALLY_FIELD_predecessor_final, final < 0 ? (int64_t)kit->tape[lane].sequence : final);
    tape_add(kit, lane, &p);
}

static inline void add_usage(struct kit *kit, uint32_t lane, uint16_t client, uint32_t tokens)
{
    struct pen p = pen(TALLY_KIND_USAGE, client, KIT_TIME + 5 * SECOND);
    pen_text(&p, TALLY_FIELD_provider, "openai");
    pen_text(&p, TALLY_FIELD_request_model, "gpt-4o-mini");
    pen_u32(&p, TALLY_FIELD_input_tokens, tokens);
    pen_u32(&p, TALLY_FIELD_output_tokens, tokens / 2);
    pen_i64(&p, TALLY_FIELD_duration_ns, 2 * SECOND);
    tape_add(kit, lane, &p);
}

/* A call's record with output tokens so far (-1: not said). END: records before it, -1 not said. */
static inline struct pen call_pen(enum tally_record_kind kind, char call, uint32_t step, int64_t output,
                                  int64_t records)
{
    int64_t at = KIT_TIME + (kind == TALLY_KIND_CALL_END ? 60 : (int64_t)step) * SECOND;
    struct pen p = pen(kind, 0, at);
    pen_id(&p, TALLY_FIELD_call_id, call);
    pen_u32(&p, TALLY_FIELD_call_step, kind == TALLY_KIND_CALL_END ? TALLY_CALL_STEP_END : step);
    if (kind == TALLY_KIND_CALL_BEGIN) {
        pen_text(&p, TALLY_FIELD_provider, "anthropic");
        pen_u32(&p, TALLY_FIELD_input_tokens, 100);
    }
    if (output >= 0)
        pen_u32(&p, TALLY_FIELD_output_tokens, (uint32_t)output);
    if (kind == TALLY_KIND_CALL_END && records >= 0)
        pen_u32(&p, TALLY_FIELD_call_records, (uint32_t)records);
    return p;
}

static inline void add_call(struct kit *kit, uint32_t lane, enum tally_record_kind kind, char call,
                            uint32_t step, int64_t output, int64_t records)
{
    struct pen p = call_pen(kind, call, step, output, records);
    tape_add(kit, lane, &p);
}

/* The lane as the collector would see it: its owner gone, all drained. */
static inline struct ledger_lane_view view_left(struct kit *kit, uint32_t lane, bool clean)
{
    return (struct ledger_lane_view){
        .owner = clean ? 0 : 0x40000000,
        .final_sequence = clean ? kit->tape[lane].sequence : 0,
        .drained = true,
    };
}

/* The owner left, and the collector has looked often enough to be sure. */
static inline void kit_leave(struct kit *kit, uint32_t lane, bool clean)
{
    struct ledger_lane_view view = view_left(kit, lane, clean);
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, lane, &view), 0);
    assert_int_equal(ledger_observe(kit->ledger, kit->arena, lane, &view), 0);
}

static inline void kit_tick(struct kit *kit)
{
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME + 100 * SECOND), 0);
    assert_int_equal(ledger_tick(kit->ledger, KIT_TIME + 100 * SECOND), 0);
    kit_commit(kit);
}

#endif
