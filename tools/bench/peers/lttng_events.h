/* lttng_events.h: the event that stands for a record. The order and the names of these macros are LTTng-UST's. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_events.h"

#if !defined(TALLY_BENCH_LTTNG_EVENTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define TALLY_BENCH_LTTNG_EVENTS_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(bench, bytes, LTTNG_UST_TP_ARGS(unsigned long, number, const char *, filling),
                           LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(unsigned long, number, number)
                                                   lttng_ust_field_array_text(char, filling, filling, 112)))

LTTNG_UST_TRACEPOINT_EVENT(
    bench, fields,
    LTTNG_UST_TP_ARGS(const char *, provider, const char *, operation, const char *, model, const char *,
                      team, long, input, long, output, long, duration, int, status),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_string(provider, provider)
                            lttng_ust_field_string(operation, operation) lttng_ust_field_string(model, model)
                                lttng_ust_field_string(team, team) lttng_ust_field_integer(long, input, input)
                                    lttng_ust_field_integer(long, output, output)
                                        lttng_ust_field_integer(long, duration, duration)
                                            lttng_ust_field_integer(int, status, status)))
#endif

#include <lttng/tracepoint-event.h>
