/* tls.h: what passes through a TLS library in the clear, on its way to connection.h. A session is known by its address.
 *
 * Any thread. All keep errno, and none calls the TLS library. */
#ifndef TALLY_PRELOAD_TLS_H
#define TALLY_PRELOAD_TLS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/connection.h"
#include "capture/http.h"
#include "preload/real.h"

static inline bool tls_followed(const void *session)
{
    return connection_known(CAPTURE_OPENSSL, (uintptr_t)session);
}

/* Whether tls_sent() is to be told how it went. What libcurl sends is its own layer's. */
static inline bool tls_sending(const void *session, const void *bytes, size_t length, const void *caller)
{
    if (!capture_is_on(CAPTURE_OPENSSL))
        return false;
    bool follow =
        tls_followed(session) || (http_may_begin(bytes, length) &&
                                  !(capture_is_on(CAPTURE_CURL) && real_owner_of(caller) == REAL_CURL));
    if (follow)
        connection_sending(CAPTURE_OPENSSL, (uintptr_t)session, bytes, length);
    return follow;
}

static inline void tls_sent(const void *session, bool follow, size_t count)
{
    if (follow && tls_followed(session))
        connection_sent(CAPTURE_OPENSSL, (uintptr_t)session, count);
}

static inline void tls_received(const void *session, const void *bytes, size_t count)
{
    if (count && tls_followed(session))
        connection_received(CAPTURE_OPENSSL, (uintptr_t)session, bytes, count);
}

/* by_peer: or else the program has ended it. */
static inline void tls_over(const void *session, bool by_peer, const char *error_type)
{
    if (session && tls_followed(session))
        connection_over(CAPTURE_OPENSSL, (uintptr_t)session, by_peer, error_type);
}

#endif
