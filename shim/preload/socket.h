/* socket.h: which descriptors are looked at, and what passes through them on its way to connection.h.
 *
 * Only descriptors that the program has called connect() on are watched: a byte for each in a table. All others (files, pipes, terminals, what
 * a server accepted) cost their reads and writes one load and a comparison, and their bytes are never looked at, so that a write of memory that is
 * not there still fails with EFAULT. A watched one is followed from the first bytes sent that begin like a request of
 * interest. A watched byte may outlive its descriptor (closed within the C library, by a system call, in a forked child):
 * bytes of whatever comes next under that number are compared with five characters, nothing more.
 *
 * Any thread, any signal handler, a vfork child (whose marks are its parent's too: harmless, as above). All keep errno. */
#ifndef TALLY_PRELOAD_SOCKET_H
#define TALLY_PRELOAD_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "capture/connection.h"

/* Descriptors from here on are not followed; connection.h knows no more either. */
#define SOCKETS_MAX 65536u

extern uint8_t socket_watch[SOCKETS_MAX];

static inline bool socket_watched(int fd)
{
    return __builtin_expect(
        (unsigned)fd < SOCKETS_MAX && __atomic_load_n(&socket_watch[fd], __ATOMIC_RELAXED), 0);
}

static inline bool socket_followed(int fd)
{
    return socket_watched(fd) && connection_known(CAPTURE_SOCKET, (uintptr_t)fd);
}

/* connect() was called, by `caller`'s code. */
void socket_connecting(int fd, const void *caller);
/* `other` has become a duplicate of fd. */
void socket_duplicated(int fd, int other);
/* About to be closed; all from first to last. */
void socket_closing(int fd);
void socket_closing_range(unsigned first, unsigned last);

/* A watched descriptor is about to send. Whether socket_sent() is to be told how that went. */
bool socket_sending(int fd, const struct iovec *vector, int count, const void *caller);
void socket_sent(int fd, ssize_t result);

/* A watched descriptor has received into the vector (of `room` bytes in all), or result says why not. */
void socket_received(int fd, const struct iovec *vector, int count, ssize_t result);
/* What is followed there cannot be any more: bytes were taken from it unseen, or another is about to take its number. */
void socket_lost(int fd);

#endif
