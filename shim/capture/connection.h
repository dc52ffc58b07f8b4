/* connection.h: which connections are being read, by what names them in their layer: a descriptor, an SSL object.
 *
 *   function            who may call it
 *   all                 any thread, any signal handler
 *
 * A connection is locked for the microseconds in which bytes are looked at. Two threads of which one sends and one receives wait for each
 * other, bounded; a signal handler that interrupted its own thread there, or one that waits too long, switches the connection
 * off (counted), and no thread ever waits for another process or for the network. In a forked child all are unknown. A vfork child
 * (getpid() differs) touches nothing. */
#ifndef TALLY_CAPTURE_CONNECTION_H
#define TALLY_CAPTURE_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "capture/settings.h"

/* Keys: a descriptor (layer CAPTURE_SOCKET) or an object's address (CAPTURE_OPENSSL). */

/* Whether anything is known of this key: the one question asked for every read and write of a program. No lock. */
bool connection_known(enum capture_layer layer, uintptr_t key);

/* About to send bytes: begins to follow the connection if http_may_begin(). */
void connection_sending(enum capture_layer layer, uintptr_t key, const void *bytes, size_t length);
void connection_sending_vector(enum capture_layer layer, uintptr_t key, const struct iovec *vector,
                               int count);
/* So many were sent of what was given to connection_sending() just now (0: none, it failed). */
void connection_sent(enum capture_layer layer, uintptr_t key, size_t length);

void connection_received(enum capture_layer layer, uintptr_t key, const void *bytes, size_t length);
void connection_received_vector(enum capture_layer layer, uintptr_t key, const struct iovec *vector,
                                int count, size_t length);

/* End of file or an error from the peer (by_peer), or the program closed it. */
void connection_over(enum capture_layer layer, uintptr_t key, bool by_peer, const char *error_type);

#endif
