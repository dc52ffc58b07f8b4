/* socket_life.c: how descriptors come to be watched, and end. See socket.h. */
#undef _FORTIFY_SOURCE
#include "preload/socket.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "preload/interpose.h"
#include "preload/real.h"
#include "preload/socket_real.h"

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library has names of its own */

/* Before the call: once it is made another thread may send. */
INTERPOSE int connect(int fd, SOCKET_CONST_ADDRESS address, socklen_t length)
{
    socket_connecting(fd, REAL_CALLER());
    return socket_real.connect(fd, SOCKET_ADDRESS_OF(address), length);
}

/* Before the call: once it is made the number may be another connection's. */
INTERPOSE int close(int fd)
{
    if (socket_watched(fd))
        socket_closing(fd);
    return socket_real.close(fd);
}

INTERPOSE int close_range(unsigned first, unsigned last, int flags)
{
    if (!(flags & (int)CLOSE_RANGE_CLOEXEC))
        socket_closing_range(first, last);
    return socket_real.close_range(first, last, flags);
}

INTERPOSE void closefrom(int first)
{
    socket_closing_range(first < 0 ? 0 : (unsigned)first, ~0u);
    socket_real.closefrom(first);
}

/* The C library closes the descriptor itself. */
INTERPOSE int fclose(FILE *stream)
{
    int error = errno;
    int fd = fileno(stream);
    errno = error;
    if (socket_watched(fd))
        socket_closing(fd);
    return socket_real.fclose(stream);
}

INTERPOSE int dup(int fd)
{
    int result = socket_real.dup(fd);
    if (result >= 0)
        socket_duplicated(fd, result);
    return result;
}

INTERPOSE int dup2(int fd, int other)
{
    if (socket_watched(other) && fd != other)
        socket_lost(other);
    int result = socket_real.dup2(fd, other);
    if (result >= 0)
        socket_duplicated(fd, result);
    return result;
}

INTERPOSE int dup3(int fd, int other, int flags)
{
    if (socket_watched(other) && fd != other)
        socket_lost(other);
    int result = socket_real.dup3(fd, other, flags);
    if (result >= 0)
        socket_duplicated(fd, result);
    return result;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
