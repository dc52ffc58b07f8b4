/* socket_real.h: the C library's functions behind ours, for descriptors.
 *
 * They are looked up once, when the library is loaded: a signal handler that calls write() must not meet the loader. Until then
 * (other libraries' constructors may come first) each pointer leads to a function that looks all of them up. They are the
 * C library's own functions, or another preloaded library's, never bare system calls: they are cancellation points.
 * Any thread, any signal handler, a vfork child. */
#ifndef TALLY_PRELOAD_SOCKET_REAL_H
#define TALLY_PRELOAD_SOCKET_REAL_H

#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* X(result, name, parameters, arguments) */
#define SOCKET_REAL_LIST(X)                                                                                  \
    X(ssize_t, read, (int fd, void *bytes, size_t length), (fd, bytes, length))                              \
    X(ssize_t, write, (int fd, const void *bytes, size_t length), (fd, bytes, length))                       \
    X(ssize_t, readv, (int fd, const struct iovec *vector, int count), (fd, vector, count))                  \
    X(ssize_t, writev, (int fd, const struct iovec *vector, int count), (fd, vector, count))                 \
    X(ssize_t, recv, (int fd, void *bytes, size_t length, int flags), (fd, bytes, length, flags))            \
    X(ssize_t, send, (int fd, const void *bytes, size_t length, int flags), (fd, bytes, length, flags))      \
    X(ssize_t, recvfrom,                                                                                     \
      (int fd, void *bytes, size_t length, int flags, struct sockaddr *from, socklen_t *from_length),        \
      (fd, bytes, length, flags, from, from_length))                                                         \
    X(ssize_t, sendto,                                                                                       \
      (int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length), \
      (fd, bytes, length, flags, to, to_length))                                                             \
    X(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))                   \
    X(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))             \
    X(ssize_t, __read_chk, (int fd, void *bytes, size_t length, size_t room), (fd, bytes, length, room))     \
    X(ssize_t, __recv_chk, (int fd, void *bytes, size_t length, size_t room, int flags),                     \
      (fd, bytes, length, room, flags))                                                                      \
    X(ssize_t, __recvfrom_chk,                                                                               \
      (int fd, void *bytes, size_t length, size_t room, int flags, struct sockaddr *from,                    \
       socklen_t *from_length),                                                                              \
      (fd, bytes, length, room, flags, from, from_length))                                                   \
    X(int, connect, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))       \
    X(int, close, (int fd), (fd))                                                                            \
    X(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags))                    \
    X(int, dup, (int fd), (fd))                                                                              \
    X(int, dup2, (int fd, int other), (fd, other))                                                           \
    X(int, dup3, (int fd, int other, int flags), (fd, other, flags))                                         \
    X(int, fclose, (FILE * stream), (stream))

struct socket_real {
#define X(result, name, parameters, arguments) result(*name) parameters;
    SOCKET_REAL_LIST(X)
#undef X
    void (*closefrom)(int first);
};
extern struct socket_real socket_real;

#endif
