/* lttng_events.h: the event that stands for a record. The order and the names of these macros are LTTng-UST's. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER peer
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_events.h"

#if !defined(TALLY_TESTS_PEERS_LTTNG_EVENTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define TALLY_TESTS_PEERS_LTTNG_EVENTS_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(
    peer, usage, LTTNG_UST_TP_ARGS(unsigned long, producer, unsigned long, number, const char *, filling),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(unsigned long, producer, producer)
                            lttng_ust_field_integer(unsigned long, number, number)
                                lttng_ust_field_array_text(char, filling, filling, 112)))
#endif

#include <lttng/tracepoint-event.h>
