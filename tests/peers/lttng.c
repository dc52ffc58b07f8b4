/* lttng.c: the producer that records with LTTng-UST. A tracepoint returns nothing: "acknowledged" is that it returned. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_events.h"

#include "counts.h"

int main(int argc, char **argv)
{
    struct producer producer = producer_start(argc, argv);
    static const char filling[112] = "usage";

    for (uint64_t number = 1; producer_goes_on(&producer, number); number++) {
        lttng_ust_tracepoint(peer, usage, producer.index, number, filling);
        producer_acknowledged(&producer, number);
    }
    return 0;
}
