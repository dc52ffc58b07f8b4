/* gnutls.c: what a program sends and receives through GnuTLS, in the clear: wget, and what is built on GLib's networking. libcurl with GnuTLS is
 * libcurl's layer. It is on where OpenSSL's is, and works as that does; see openssl.c. Not seen: the calls that take ranges, packets and files. */
#include "preload/tls.h"

#include <sys/types.h>

#include "preload/interpose.h"

/* As in <gnutls/gnutls.h>, which need not be here. */
typedef struct gnutls_session_int *gnutls_session_t;
ssize_t gnutls_record_recv(gnutls_session_t session, void *bytes, size_t length);
ssize_t gnutls_record_send(gnutls_session_t session, const void *bytes, size_t length);
int gnutls_bye(gnutls_session_t session, int how);
void gnutls_deinit(gnutls_session_t session);

enum {
    INVALID_SESSION = -10,
    FATAL_ALERT_RECEIVED = -12,
    PUSH_ERROR = -53,
    PULL_ERROR = -54,
    PREMATURE_TERMINATION = -110
};
#define RECORD_BYTES_MAX 16384

static struct real_function real_gnutls_record_recv = {.name = "gnutls_record_recv"};
static struct real_function real_gnutls_record_send = {.name = "gnutls_record_send"};
static struct real_function real_gnutls_bye = {.name = "gnutls_bye"};
static struct real_function real_gnutls_deinit = {.name = "gnutls_deinit"};

#define REAL(name) ((__typeof(&name))(uintptr_t)real_function(&real_##name, REAL_CALLER()))

/* Others say "not now", or ask for something. */
static void failed(gnutls_session_t session, ssize_t result)
{
    if (result == PUSH_ERROR || result == PULL_ERROR)
        tls_over(session, true, "connection_reset");
    else if (result == INVALID_SESSION || result == FATAL_ALERT_RECEIVED || result == PREMATURE_TERMINATION)
        tls_over(session, true, NULL);
}

INTERPOSE ssize_t gnutls_record_recv(gnutls_session_t session, void *bytes, size_t length)
{
    __typeof(&gnutls_record_recv) real = REAL(gnutls_record_recv);
    if (!real)
        return INVALID_SESSION;
    ssize_t result = real(session, bytes, length);
    if (result > 0)
        tls_received(session, bytes, (size_t)result);
    else if (result == 0 && length > 0)
        tls_over(session, true, NULL);
    else
        failed(session, result);
    return result;
}

/* Without bytes: what could not leave by the last call, and stays in the library, leaves now. */
static void left_now(gnutls_session_t session, size_t count)
{
    static const char looked_at[RECORD_BYTES_MAX];
    if (count > RECORD_BYTES_MAX || !tls_followed(session))
        return;
    connection_sending(CAPTURE_OPENSSL, (uintptr_t)session, looked_at, count);
    connection_sent(CAPTURE_OPENSSL, (uintptr_t)session, count);
}

INTERPOSE ssize_t gnutls_record_send(gnutls_session_t session, const void *bytes, size_t length)
{
    __typeof(&gnutls_record_send) real = REAL(gnutls_record_send);
    if (!real)
        return INVALID_SESSION;
    bool follow = length > 0 && tls_sending(session, bytes, length, REAL_CALLER());
    ssize_t result = real(session, bytes, length);
    tls_sent(session, follow, result > 0 ? (size_t)result : 0);
    if (!length && result > 0)
        left_now(session, (size_t)result);
    failed(session, result);
    return result;
}

INTERPOSE int gnutls_bye(gnutls_session_t session, int how)
{
    __typeof(&gnutls_bye) real = REAL(gnutls_bye);
    if (!real)
        return INVALID_SESSION;
    tls_over(session, false, NULL);
    return real(session, how);
}

INTERPOSE void gnutls_deinit(gnutls_session_t session)
{
    __typeof(&gnutls_deinit) real = REAL(gnutls_deinit);
    tls_over(session, false, NULL);
    if (real)
        real(session);
}
