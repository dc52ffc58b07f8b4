/* socket.c: see socket.h. */
#include "preload/socket.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/http.h"
#include "preload/real.h"

uint8_t socket_watch[SOCKETS_MAX];
/* One more than the greatest descriptor that was ever watched: as far as a range to be closed need be looked at. */
static unsigned socket_watch_end;
/* Whose descriptors the marks are: the process that connected last. A vfork child closes copies of its parent's, and must leave the marks. */
static pid_t socket_watch_owner;

static void mark(int fd, bool watched)
{
    if ((unsigned)fd >= SOCKETS_MAX || socket_watch[fd] == watched)
        return;
    __atomic_store_n(&socket_watch[fd], watched, __ATOMIC_RELAXED);
    unsigned end = __atomic_load_n(&socket_watch_end, __ATOMIC_RELAXED);
    while (watched && end <= (unsigned)fd &&
           !__atomic_compare_exchange_n(&socket_watch_end, &end, (unsigned)fd + 1, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

static void over(int fd, bool by_peer, const char *error_type)
{
    connection_over(CAPTURE_SOCKET, (uintptr_t)fd, by_peer, error_type);
}

/* ---- life of a descriptor ------------------------------------------------------ */

/* What was followed under this number and is connected anew was closed where we could not see it. What libcurl connects is its own
 * layer's. A library's connect() may come before the environment was read. */
void socket_connecting(int fd, const void *caller)
{
    int error = errno;
    capture_settings_read();
    socket_lost(fd);
    bool watch =
        capture_is_on(CAPTURE_SOCKET) && !(capture_is_on(CAPTURE_CURL) && real_owner_of(caller) == REAL_CURL);
    mark(fd, watch);
    if (watch)
        __atomic_store_n(&socket_watch_owner, getpid(), __ATOMIC_RELAXED);
    errno = error;
}

/* What comes to lie under this number is nothing that we have seen connected: a pipe, by which some ask whether memory is there. */
static void unmark(int fd)
{
    if (socket_watched(fd) && __atomic_load_n(&socket_watch_owner, __ATOMIC_RELAXED) == getpid())
        mark(fd, false);
}

void socket_duplicated(int fd, int other)
{
    int error = errno;
    if (socket_watched(fd))
        mark(other, true);
    else
        unmark(other);
    errno = error;
}

void socket_lost(int fd)
{
    int error = errno;
    if (socket_followed(fd))
        over(fd, false, NULL);
    errno = error;
}

void socket_closing(int fd)
{
    int error = errno;
    socket_lost(fd);
    unmark(fd);
    errno = error;
}

void socket_closing_range(unsigned first, unsigned last)
{
    unsigned end = __atomic_load_n(&socket_watch_end, __ATOMIC_RELAXED);
    for (unsigned fd = first; fd < end && fd <= last; fd++)
        socket_closing((int)fd);
}

/* ---- sending ------------------------------------------------------------------- */

/* Errors after which nothing more comes. NULL: it may go on. */
static const char *fatal(int error)
{
    switch (error) {
    case ECONNRESET:
    case EPIPE:
        return "connection_reset";
    case ETIMEDOUT:
        return "timeout";
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENOTCONN:
        return "connection_failed";
    default:
        return NULL;
    }
}

/* A stream's, whoever gave us the descriptor; and not a library's that is followed above: OpenSSL and GnuTLS write plain text to a
 * socket whose encryption the kernel does. Asked once for each request that begins a conversation. */
static bool may_follow(int fd, const void *caller)
{
    int type = 0;
    socklen_t length = sizeof type;
    switch (real_owner_of(caller)) {
    case REAL_SSL:
    case REAL_CRYPTO:
    case REAL_GNUTLS:
        return false;
    case REAL_CURL:
        if (capture_is_on(CAPTURE_CURL))
            return false;
        break;
    default:
        break;
    }
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) && type == SOCK_STREAM;
}

/* The first characters may lie in several parts. */
static bool begins_request(const struct iovec *vector, int count)
{
    char start[5];
    size_t length = 0;
    for (int i = 0; i < count && length < sizeof start; i++) {
        const char *bytes = vector[i].iov_base;
        for (size_t j = 0; j < vector[i].iov_len && length < sizeof start; j++)
            start[length++] = bytes[j];
        if (length && start[0] != 'P')
            return false;
    }
    return http_may_begin(start, length);
}

bool socket_sending(int fd, const struct iovec *vector, int count, const void *caller)
{
    int error = errno;
    if (count < 0 || count > IOV_MAX)
        return false; /* the kernel will refuse it unread */
    bool follow = socket_followed(fd) || (begins_request(vector, count) && may_follow(fd, caller));
    if (follow && count == 1)
        connection_sending(CAPTURE_SOCKET, (uintptr_t)fd, vector->iov_base, vector->iov_len);
    else if (follow)
        connection_sending_vector(CAPTURE_SOCKET, (uintptr_t)fd, vector, count);
    errno = error;
    return follow;
}

void socket_sent(int fd, ssize_t result)
{
    int error = errno;
    const char *why = result < 0 ? fatal(error) : NULL;
    if (socket_followed(fd)) {
        connection_sent(CAPTURE_SOCKET, (uintptr_t)fd, result > 0 ? (size_t)result : 0);
        if (why)
            over(fd, true, why);
    }
    errno = error;
}

/* ---- receiving ----------------------------------------------------------------- */

static bool has_room(const struct iovec *vector, int count)
{
    for (int i = 0; i < count; i++)
        if (vector[i].iov_len)
            return true;
    return false;
}

void socket_received(int fd, const struct iovec *vector, int count, ssize_t result)
{
    int error = errno;
    const char *why = result < 0 ? fatal(error) : NULL;
    if (socket_followed(fd)) {
        if (result > 0 && count == 1)
            connection_received(CAPTURE_SOCKET, (uintptr_t)fd, vector->iov_base, (size_t)result);
        else if (result > 0)
            connection_received_vector(CAPTURE_SOCKET, (uintptr_t)fd, vector, count, (size_t)result);
        else if (why || (result == 0 && has_room(vector, count)))
            over(fd, true, why);
    }
    errno = error;
}
