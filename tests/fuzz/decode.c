/* decode.c: fields of a record, as anybody may write them, decoded.
 *
 * Input: one byte (odd: a client's record), then the fields. */
#include "fuzz/fuzz.h"

#include "ledger/decode.h"
#include "ledger/utf8.h"

#include <errno.h>

static struct decode_scratch scratch;

/* A text is UTF-8 without NUL, and lies in the record or in the scratch memory. */
static void check_text(const struct tally_record_header *record, struct text text)
{
    const char *bytes = (const char *)record;
    if (!text.data) {
        fuzz_expect(text.length == 0);
        return;
    }
    bool in_record = text.data >= bytes && text.data + text.length <= bytes + record->length;
    bool in_scratch =
        text.data >= scratch.bytes && text.data + text.length <= scratch.bytes + sizeof scratch.bytes;
    fuzz_expect(in_record || in_scratch);
    fuzz_expect(utf8_sound(text.data, text.length));
}

static void check_usage(const struct tally_record_header *record)
{
    struct usage_record usage;
    if (decode_usage(record, &usage, &scratch))
        return;
    for (int i = 0; i < USAGE_TEXTS; i++)
        check_text(record, usage.values.texts[i]);
    check_text(record, usage.values.usage_json);
    for (int i = 0; i < USAGE_NUMBERS; i++)
        fuzz_expect(!usage_number_known(&usage.values, (enum usage_number)i) || usage.values.numbers[i] >= 0);
    fuzz_expect(usage.call_step >= -1 && usage.call_step <= UINT32_MAX);
    fuzz_expect(usage.call_records >= -1);
    fuzz_expect(scratch.used <= sizeof scratch.bytes);
}

static void check_client(const struct tally_record_header *record)
{
    struct client_record client;
    if (decode_client(record, &client, &scratch))
        return;
    check_text(record, client.host);
    check_text(record, client.executable);
    check_text(record, client.service);
    check_text(record, client.tags);
    check_text(record, client.resource_attributes);
    check_text(record, client.library_version);
    fuzz_expect(client.pid >= -1 && client.tid >= -1 && client.uid >= -1 && client.tenure >= -1);
    fuzz_expect(client.start_time >= -1 && client.process_start_time >= -1 && client.pid_namespace >= -1);
    fuzz_expect(client.predecessor_sequence >= -1 && client.predecessor_final >= -1 &&
                client.predecessor_refused >= -1);
    fuzz_expect(scratch.used <= sizeof scratch.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    bool client = fuzz_byte(&input) & 1;
    size_t length = sizeof(struct tally_record_header) + (input.left + 7) / 8 * 8;
    if (length > TALLY_RECORD_BYTES_MAX)
        return 0;
    /* of just that size, so that a byte read beyond it is seen */
    struct tally_record_header *record = calloc(1, length);
    fuzz_expect(record);
    record->length = (uint32_t)length;
    fuzz_take(&input, record + 1, input.left);
    if (client)
        check_client(record);
    else
        check_usage(record);
    free(record);
    return 0;
}
