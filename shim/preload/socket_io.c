/* socket_io.c: reads and writes that a program makes on descriptors, each under the C library's own name.
 *
 * For a descriptor that is not watched each is a load, a comparison and a jump to the real function. What calls within the C
 * library (stdio on a socket), io_uring, sendfile(), splice() and bare system calls do is not seen; nor recvmmsg, sendmmsg, preadv2, pwritev2, which
 * nobody uses for HTTP/1.1. A request whose body is sent unseen is counted all the same, by its response. */
#undef _FORTIFY_SOURCE /* these are the functions that its wrappers call */
#include "preload/socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include "preload/interpose.h"
#include "preload/real.h"
#include "preload/socket_real.h"

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library has names of its own */

/* Bytes that were only looked at will come again; those of the two others are no part of the stream. */
#define NOT_STREAM (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)

static struct iovec one(const void *bytes, size_t length)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
}

static ssize_t took(int fd, void *bytes, size_t length, int flags, ssize_t result)
{
    struct iovec vector = one(bytes, length);
    if (flags & NOT_STREAM)
        return result;
    if (flags & MSG_TRUNC && result > 0)
        socket_lost(fd); /* TCP threw them away unread */
    else
        socket_received(fd, &vector, 1, result);
    return result;
}

/* ---- receiving ----------------------------------------------------------------- */

INTERPOSE ssize_t read(int fd, void *bytes, size_t length)
{
    if (!socket_watched(fd))
        return socket_real.read(fd, bytes, length);
    return took(fd, bytes, length, 0, socket_real.read(fd, bytes, length));
}

INTERPOSE ssize_t readv(int fd, const struct iovec *vector, int count)
{
    if (!socket_watched(fd))
        return socket_real.readv(fd, vector, count);
    ssize_t result = socket_real.readv(fd, vector, count);
    socket_received(fd, vector, count, result);
    return result;
}

INTERPOSE ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
    if (!socket_watched(fd))
        return socket_real.recv(fd, bytes, length, flags);
    return took(fd, bytes, length, flags, socket_real.recv(fd, bytes, length, flags));
}

INTERPOSE ssize_t recvfrom(int fd, void *restrict bytes, size_t length, int flags, SOCKET_ADDRESS from,
                           socklen_t *restrict from_length)
{
    if (!socket_watched(fd))
        return socket_real.recvfrom(fd, bytes, length, flags, SOCKET_ADDRESS_OF(from), from_length);
    return took(fd, bytes, length, flags,
                socket_real.recvfrom(fd, bytes, length, flags, SOCKET_ADDRESS_OF(from), from_length));
}

INTERPOSE ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    if (!message || !socket_watched(fd))
        return socket_real.recvmsg(fd, message, flags);
    ssize_t result = socket_real.recvmsg(fd, message, flags);
    if (flags & MSG_TRUNC && result > 0)
        socket_lost(fd);
    else if (!(flags & NOT_STREAM))
        socket_received(fd, message->msg_iov, (int)message->msg_iovlen, result);
    return result;
}

/* What the headers make of the above where the size of the buffer is known. */
ssize_t __read_chk(int fd, void *bytes, size_t length, size_t room);
ssize_t __recv_chk(int fd, void *bytes, size_t length, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *restrict bytes, size_t length, size_t room, int flags,
                       SOCKET_ADDRESS from, socklen_t *restrict from_length);

INTERPOSE ssize_t __read_chk(int fd, void *bytes, size_t length, size_t room)
{
    if (!socket_watched(fd))
        return socket_real.__read_chk(fd, bytes, length, room);
    return took(fd, bytes, length, 0, socket_real.__read_chk(fd, bytes, length, room));
}

INTERPOSE ssize_t __recv_chk(int fd, void *bytes, size_t length, size_t room, int flags)
{
    if (!socket_watched(fd))
        return socket_real.__recv_chk(fd, bytes, length, room, flags);
    return took(fd, bytes, length, flags, socket_real.__recv_chk(fd, bytes, length, room, flags));
}

INTERPOSE ssize_t __recvfrom_chk(int fd, void *restrict bytes, size_t length, size_t room, int flags,
                                 SOCKET_ADDRESS from, socklen_t *restrict from_length)
{
    struct sockaddr *address = SOCKET_ADDRESS_OF(from);
    if (!socket_watched(fd))
        return socket_real.__recvfrom_chk(fd, bytes, length, room, flags, address, from_length);
    return took(fd, bytes, length, flags,
                socket_real.__recvfrom_chk(fd, bytes, length, room, flags, address, from_length));
}

/* ---- sending ------------------------------------------------------------------- */

/* Calls with what is left of the real function's arguments, between the two looks at what is sent. */
#define SEND(fd, vector, count, call)                                                                        \
    do {                                                                                                     \
        bool follow_ = socket_sending(fd, vector, count, REAL_CALLER());                                     \
        ssize_t result_ = (call);                                                                            \
        if (follow_)                                                                                         \
            socket_sent(fd, result_);                                                                        \
        return result_;                                                                                      \
    } while (0)

INTERPOSE ssize_t write(int fd, const void *bytes, size_t length)
{
    if (!socket_watched(fd))
        return socket_real.write(fd, bytes, length);
    struct iovec vector = one(bytes, length);
    SEND(fd, &vector, 1, socket_real.write(fd, bytes, length));
}

INTERPOSE ssize_t writev(int fd, const struct iovec *vector, int count)
{
    if (!socket_watched(fd))
        return socket_real.writev(fd, vector, count);
    SEND(fd, vector, count, socket_real.writev(fd, vector, count));
}

INTERPOSE ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    if (!socket_watched(fd) || flags & NOT_STREAM)
        return socket_real.send(fd, bytes, length, flags);
    struct iovec vector = one(bytes, length);
    SEND(fd, &vector, 1, socket_real.send(fd, bytes, length, flags));
}

/* TCP's fast open connects by sending. */
INTERPOSE ssize_t sendto(int fd, const void *bytes, size_t length, int flags, SOCKET_CONST_ADDRESS to,
                         socklen_t to_length)
{
    if (flags & MSG_FASTOPEN)
        socket_connecting(fd, REAL_CALLER());
    if (!socket_watched(fd) || flags & NOT_STREAM)
        return socket_real.sendto(fd, bytes, length, flags, SOCKET_ADDRESS_OF(to), to_length);
    struct iovec vector = one(bytes, length);
    SEND(fd, &vector, 1, socket_real.sendto(fd, bytes, length, flags, SOCKET_ADDRESS_OF(to), to_length));
}

INTERPOSE ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (flags & MSG_FASTOPEN)
        socket_connecting(fd, REAL_CALLER());
    if (!message || !socket_watched(fd) || flags & NOT_STREAM)
        return socket_real.sendmsg(fd, message, flags);
    SEND(fd, message->msg_iov, (int)message->msg_iovlen, socket_real.sendmsg(fd, message, flags));
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
