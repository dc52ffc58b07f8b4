/* Usage objects in records: what one record states, and what the records of a call state one after another. */
#include "unit/ledger_kit.h"

#define COUNTS                                                                                               \
    "SELECT "                                                                                                \
    "provider,response_model,input_tokens,output_tokens,cache_read_tokens,cache_write_5m_tokens,status "     \
    "FROM usage"

static void add_json(struct kit *kit, enum tally_record_kind kind, uint32_t step, int64_t records,
                     const char *provider, const char *json)
{
    struct pen p = pen(kind, 0, KIT_TIME + SECOND);
    if (kind != TALLY_KIND_USAGE) {
        pen_id(&p, TALLY_FIELD_call_id, 'c');
        pen_u32(&p, TALLY_FIELD_call_step, kind == TALLY_KIND_CALL_END ? TALLY_CALL_STEP_END : step);
    }
    if (records >= 0)
        pen_u32(&p, TALLY_FIELD_call_records, (uint32_t)records);
    if (provider)
        pen_text(&p, TALLY_FIELD_provider, provider);
    if (json)
        pen_text(&p, TALLY_FIELD_usage_json, json);
    tape_add(kit, 0, &p);
}

static void one_record_is_understood(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_json(kit, TALLY_KIND_USAGE, 0, -1, NULL,
             "{\"input_tokens\":3,\"cache_read_input_tokens\":20,\"cache_creation_input_tokens\":5,"
             "\"output_tokens\":9}");
    kit_drain(kit);
    kit_expect(kit, COUNTS, "anthropic|NULL|28|9|20|5|ok");
}

/* The end's object alone would be a guess at Anthropic; and it states no input. */
static void a_call_is_understood_record_by_record(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_json(kit, TALLY_KIND_CALL_BEGIN, 0, -1, "acme", NULL);
    add_json(kit, TALLY_KIND_CALL_PROGRESS, 1, -1, NULL,
             "{\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":{\"input_tokens\":3,"
             "\"cache_read_input_tokens\":20,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}");
    add_json(kit, TALLY_KIND_CALL_END, 0, 2, NULL,
             "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}");
    kit_drain(kit);
    kit_expect(kit, COUNTS, "acme|claude-x|28|9|20|5|ok");
}

/* The same fragments as a list in one record. */
static void a_list_is_one_call(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_json(kit, TALLY_KIND_USAGE, 0, -1, "acme",
             "[{\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":{\"input_tokens\":3,"
             "\"cache_read_input_tokens\":20,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}},"
             "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}]");
    kit_drain(kit);
    kit_expect(kit, COUNTS, "acme|claude-x|28|9|20|5|ok");
}

static void a_failed_answer_is_an_error(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_json(
        kit, TALLY_KIND_USAGE, 0, -1, "openai",
        "{\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":"
        "\"server_error\"},\"usage\":null}}");
    kit_drain(kit);
    kit_expect(kit, "SELECT status,error_type,response_id,input_tokens FROM usage",
               "error|server_error|r|NULL");
}

static void what_nobody_knows_is_kept(void **state)
{
    struct kit *kit = *state;
    add_client(kit, 0, 's', 1, -1);
    add_json(kit, TALLY_KIND_USAGE, 0, -1, "acme", "{\"coins\":5}");
    kit_drain(kit);
    kit_expect(kit, "SELECT usage_json,input_tokens,output_tokens FROM usage", "{\"coins\":5}|NULL|NULL");
}

#define kit_test(function) cmocka_unit_test_setup_teardown(function, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(one_record_is_understood),  kit_test(a_call_is_understood_record_by_record),
        kit_test(a_list_is_one_call),        kit_test(a_failed_answer_is_an_error),
        kit_test(what_nobody_knows_is_kept),
    };
    return cmocka_run_group_tests_name("ledger understand", tests, NULL, NULL);
}
