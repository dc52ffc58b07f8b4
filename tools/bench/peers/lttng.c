/* lttng.c: the contender that records with LTTng-UST, which takes the time by itself.
 *
 *     lttng bytes|fields     an event of ready-made bytes, as long as a record; or of the record's fields
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_events.h"

#include "order.h"

static char filling[112] = "usage";

static void record_bytes(uint64_t number)
{
    lttng_ust_tracepoint(bench, bytes, number, filling);
}

static void record_fields(uint64_t number)
{
    lttng_ust_tracepoint(bench, fields, "openai", "chat", "gpt-4o-mini", "search", number, 64, 900000000, 0);
}

/* Its consumer daemon reads a sub-buffer when that is full, and says nothing of it. */
static void await_nothing(void)
{
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "fields") == 0)
        return order_serve(record_fields, await_nothing);
    return order_serve(record_bytes, await_nothing);
}
