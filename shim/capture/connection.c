/* connection.c: see connection.h.
 *
 * A connection is followed from a request that may be interesting ("POST " at the start of what is sent) until nothing is under way; then
 * it is forgotten, and its memory is the next one's: a program with ten thousand idle connections needs none. What goes wrong leaves a mark (OFF)
 * in the connection's place until it is closed.
 *
 * Descriptors are used again, and not every close() is seen: close_range() by a bare system call, another library's dup2(). So a place also
 * knows which socket it was (its inode's number), and looks again wherever a message may begin: there a stale place would take
 * one connection's request for another's. In the middle of a message it does not look, at the price of one wrong reading: the new
 * socket's bytes would be taken for the rest of the old one's message, a length that does not come out, which ends in
 * HTTP_OFF, visibly; or a body's end, after which it looks. The one case that would do harm unseen, a new request in the
 * middle of an old one, is looked at too: what begins with "POST " is never taken for a body's continuation unchecked.
 *
 * OpenSSL's objects have no such name. The layer reports their end from SSL_free(), SSL_clear() and SSL_shutdown(); an object that libssl
 * frees by itself (BIO_free_all() on a BIO_f_ssl) was not seen being read either.
 *
 * In a child, places hold the parent's connections until the child begins one there; their memory is given back then, except where
 * a thread of the parent was at work on it at the fork: that memory is in no sound state, and stays away (some 16 KiB for each such thread).
 *
 * A longjmp out of a signal handler that interrupted us here leaves the place locked by its own thread: no connection under this number
 * is followed again. Nothing else happens.
 */
#include "capture/connection.h"

#include <string.h>
#include <sys/stat.h>

#include "capture/connection_place.h"
#include "capture/http.h"
#include "capture/pool.h"
#include "platform.h"

struct connection {
    uint64_t socket; /* its inode's number; 0: an object */
    struct http http;
};
_Static_assert(sizeof(struct connection) <= POOL_SMALL_BYTES, "a connection fits into a block");

/* A place's content: 0, a connection's address, or an odd number: OFF, and which socket it was. */
#define OFF UINT64_C(1)

/* A place that is held, and what for. */
struct held {
    enum capture_layer layer;
    uintptr_t key;
    struct place *place; /* the hold's */
    struct place_hold hold;
};

static struct connection *connection_of(const struct place *place)
{
    return place->content & OFF ? NULL : (struct connection *)(uintptr_t)place->content;
}

static void put(struct place *place, uint64_t content)
{
    /* For place_is_used(), which is told of the past or the present, and either will do. */
    __atomic_store_n(&place->content, content, __ATOMIC_RELAXED);
}

/* 0: no socket, or none that can be asked. */
static uint64_t socket_number(uintptr_t descriptor)
{
    struct stat status;
    return fstat((int)descriptor, &status) == 0 && S_ISSOCK(status.st_mode) ? (uint64_t)status.st_ino : 0;
}

static void forget(struct held held)
{
    struct connection *connection = connection_of(held.place);
    place_clear(held.layer, held.place);
    pool_give(POOL_SMALL, connection);
}

static void switch_off(struct held held)
{
    struct connection *connection = connection_of(held.place);
    if (connection)
        put(held.place, connection->socket << 1 | OFF);
    pool_give(POOL_SMALL, connection);
}

/* ---- holding --------------------------------------------------------------------------------------- */

/* Whether it could be had. What a parent has left there is cleared away. */
static bool hold(struct held *held, enum capture_layer layer, uintptr_t key, bool begin)
{
    uint32_t generation = place_generation(begin);
    if (!generation)
        return false;
    *held = (struct held){.layer = layer, .key = key};
    if (!place_lock(&held->hold, layer, key, generation, begin))
        return false;
    held->place = held->hold.place;
    if (held->hold.stale) {
        struct connection *connection = connection_of(held->place);
        put(held->place, 0);
        if (connection && !held->hold.torn) {
            http_end(&connection->http, false, NULL);
            pool_give(POOL_SMALL, connection);
        }
        if (!begin)
            place_clear(layer, held->place);
    }
    return true;
}

static void let_go(struct held held)
{
    /* With begin, an object may have got a place for nothing. */
    if (!held.place->content)
        place_clear(held.layer, held.place);
    while (!place_unlock(&held.hold)) {
        struct connection *connection = connection_of(held.place);
        if (!connection)
            continue;
        http_give_up(&connection->http, "connection_contended");
        switch_off(held);
    }
}

/* ---- beginning and ending -------------------------------------------------------------------------- */

static void begin(struct held held)
{
    uint64_t socket = held.layer == CAPTURE_SOCKET ? socket_number(held.key) : 0;
    if (held.layer == CAPTURE_SOCKET && !socket)
        return; /* a file, a pipe */
    struct connection *connection = pool_take(POOL_SMALL);
    if (!connection)
        return;
    connection->socket = socket;
    http_begin(&connection->http, held.layer, held.layer == CAPTURE_OPENSSL);
    put(held.place, (uintptr_t)connection);
}

static void end(struct held held, bool by_peer, const char *error_type)
{
    struct connection *connection = connection_of(held.place);
    if (connection)
        http_end(&connection->http, by_peer, error_type);
    forget(held);
}

/* Whether the descriptor is another socket's by now. */
static bool is_another(struct held held, uint64_t socket)
{
    if (held.layer != CAPTURE_SOCKET)
        return false;
    uint64_t now = socket_number(held.key);
    return now && now != socket;
}

/* What is known of this place before something is sent. NULL: do not look. */
static struct connection *before_sending(struct held held, bool may_begin)
{
    uint64_t content = held.place->content;
    struct connection *connection = connection_of(held.place);
    if (content & OFF) {
        if (!may_begin || !is_another(held, content >> 1))
            return NULL;
        put(held.place, 0);
    } else if (connection) {
        const struct http *http = &connection->http;
        bool boundary = may_begin || http_between_requests(http);
        if ((boundary && is_another(held, connection->socket)) || (may_begin && http_is_answered(http))) {
            http_end(&connection->http, false, NULL);
            put(held.place, 0);
            pool_give(POOL_SMALL, connection);
        }
    }
    if (!held.place->content && may_begin)
        begin(held);
    return connection_of(held.place);
}

static void after(struct held held, struct connection *connection, enum http_state state)
{
    if (state == HTTP_OFF)
        switch_off(held);
    else if (http_is_idle(&connection->http))
        forget(held);
}

/* ---- what layers call ------------------------------------------------------------------------------ */

bool connection_known(enum capture_layer layer, uintptr_t key)
{
    return place_is_used(layer, key);
}

/* The first bytes of a vector, in one piece. */
static size_t gather(const struct iovec *vector, int count, char *out, size_t bytes)
{
    size_t have = 0;
    for (int i = 0; i < count && have < bytes; i++) {
        size_t piece = vector[i].iov_len < bytes - have ? vector[i].iov_len : bytes - have;
        if (piece)
            memcpy(out + have, vector[i].iov_base, piece);
        have += piece;
    }
    return have;
}

void connection_sending_vector(enum capture_layer layer, uintptr_t key, const struct iovec *vector, int count)
{
    char first[8];
    int saved = errno;
    bool may_begin = http_may_begin(first, gather(vector, count, first, sizeof first));
    struct held held;
    if ((may_begin || place_is_used(layer, key)) && hold(&held, layer, key, may_begin)) {
        struct connection *connection = before_sending(held, may_begin);
        enum http_state state = HTTP_ON;
        for (int i = 0; i < count && connection && state == HTTP_ON; i++)
            state = http_sending(&connection->http, vector[i].iov_base, vector[i].iov_len);
        if (state == HTTP_OFF)
            switch_off(held);
        let_go(held);
    }
    errno = saved;
}

void connection_sending(enum capture_layer layer, uintptr_t key, const void *bytes, size_t length)
{
    struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    connection_sending_vector(layer, key, &vector, 1);
}

void connection_sent(enum capture_layer layer, uintptr_t key, size_t length)
{
    int saved = errno;
    struct held held;
    if (place_is_used(layer, key) && hold(&held, layer, key, false)) {
        struct connection *connection = connection_of(held.place);
        if (connection)
            after(held, connection, http_sent(&connection->http, length));
        let_go(held);
    }
    errno = saved;
}

void connection_received_vector(enum capture_layer layer, uintptr_t key, const struct iovec *vector,
                                int count, size_t length)
{
    int saved = errno;
    struct held held;
    if (length && place_is_used(layer, key) && hold(&held, layer, key, false)) {
        struct connection *connection = connection_of(held.place);
        if (connection && http_between_responses(&connection->http) && is_another(held, connection->socket)) {
            end(held, false, NULL);
            connection = NULL;
        }
        enum http_state state = HTTP_ON;
        for (int i = 0; i < count && length && connection && state == HTTP_ON; i++) {
            size_t piece = vector[i].iov_len < length ? vector[i].iov_len : length;
            state = http_received(&connection->http, vector[i].iov_base, piece);
            length -= piece;
        }
        if (connection)
            after(held, connection, state);
        let_go(held);
    }
    errno = saved;
}

void connection_received(enum capture_layer layer, uintptr_t key, const void *bytes, size_t length)
{
    struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    connection_received_vector(layer, key, &vector, 1, length);
}

void connection_over(enum capture_layer layer, uintptr_t key, bool by_peer, const char *error_type)
{
    int saved = errno;
    struct held held;
    if (place_is_used(layer, key) && hold(&held, layer, key, false)) {
        end(held, by_peer, error_type);
        let_go(held);
    }
    errno = saved;
}
