/* interpose.h: what functions that stand before the C library's and other libraries' have in common. */
#ifndef TALLY_PRELOAD_INTERPOSE_H
#define TALLY_PRELOAD_INTERPOSE_H

#include <sys/socket.h>

/* Its name stands in preload.map, too. */
#define INTERPOSE __attribute__((visibility("default")))

/* glibc declares addresses as a union of pointers to all kinds of them. */
#ifdef __SOCKADDR_ARG
#define SOCKET_ADDRESS           __SOCKADDR_ARG
#define SOCKET_CONST_ADDRESS     __CONST_SOCKADDR_ARG
#define SOCKET_ADDRESS_OF(value) ((value).__sockaddr__)
#else
#define SOCKET_ADDRESS           struct sockaddr *restrict
#define SOCKET_CONST_ADDRESS     const struct sockaddr *
#define SOCKET_ADDRESS_OF(value) (value)
#endif

#endif
