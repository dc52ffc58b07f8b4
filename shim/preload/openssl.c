/* openssl.c: what a program sends and receives through OpenSSL, in the clear.
 *
 * Versions 1.1 and 3 may be in one process, under many names: the real function is that of the caller's own library (real.h). All that is
 * known of an SSL object is its address. After the real function has returned, nothing of OpenSSL's is called: what it left in its error
 * queue is the program's. errno is as it left it. A call within a call is a call like any other (node writes from within a
 * read). Not seen: BIO_f_ssl (libssl calls itself there), statically linked OpenSSL, HTTP/2. */
#include "preload/tls.h"

#include <string.h>

#include "preload/dl.h"
#include "preload/interpose.h"

/* As in <openssl/ssl.h>, which need not be here. */
typedef struct ssl_st SSL;
int SSL_read(SSL *ssl, void *bytes, int length);
int SSL_read_ex(SSL *ssl, void *bytes, size_t length, size_t *count);
int SSL_write(SSL *ssl, const void *bytes, int length);
int SSL_write_ex(SSL *ssl, const void *bytes, size_t length, size_t *count);
int SSL_write_ex2(SSL *ssl, const void *bytes, size_t length, uint64_t flags, size_t *count);
int SSL_get_error(const SSL *ssl, int result);
int SSL_shutdown(SSL *ssl);
int SSL_clear(SSL *ssl);
void SSL_free(SSL *ssl);

static struct real_function real_SSL_read = {.name = "SSL_read"};
static struct real_function real_SSL_read_ex = {.name = "SSL_read_ex"};
static struct real_function real_SSL_write = {.name = "SSL_write"};
static struct real_function real_SSL_write_ex = {.name = "SSL_write_ex"};
static struct real_function real_SSL_write_ex2 = {.name = "SSL_write_ex2"};
static struct real_function real_SSL_get_error = {.name = "SSL_get_error"};
static struct real_function real_SSL_shutdown = {.name = "SSL_shutdown"};
static struct real_function real_SSL_clear = {.name = "SSL_clear"};
static struct real_function real_SSL_free = {.name = "SSL_free"};

/* The real function as the caller would have it, of this one's type. NULL: it cannot be, since somebody calls it. */
#define REAL(name) ((__typeof(&name))(uintptr_t)real_function(&real_##name, REAL_CALLER()))

/* ---- receiving ----------------------------------------------------------------- */

/* OpenSSL clears errno before it reads from a socket or writes to one, so it tells of a failure. */
static void failed(const SSL *ssl)
{
    if (errno == ECONNRESET || errno == EPIPE)
        tls_over(ssl, true, "connection_reset");
    else if (errno == ETIMEDOUT)
        tls_over(ssl, true, "timeout");
}

INTERPOSE int SSL_read(SSL *ssl, void *bytes, int length)
{
    __typeof(&SSL_read) real = REAL(SSL_read);
    if (!real)
        return -1;
    int result = real(ssl, bytes, length);
    if (result > 0)
        tls_received(ssl, bytes, (size_t)result);
    else if (result == 0 && length > 0)
        tls_over(ssl, true, NULL);
    else
        failed(ssl);
    return result;
}

INTERPOSE int SSL_read_ex(SSL *ssl, void *bytes, size_t length, size_t *count)
{
    __typeof(&SSL_read_ex) real = REAL(SSL_read_ex);
    if (!real)
        return 0;
    int result = real(ssl, bytes, length, count);
    if (result > 0)
        tls_received(ssl, bytes, *count);
    else
        failed(ssl);
    return result;
}

/* ---- sending ------------------------------------------------------------------- */

static void sent(const SSL *ssl, bool follow, size_t count)
{
    tls_sent(ssl, follow, count);
    if (follow && !count)
        failed(ssl);
}

INTERPOSE int SSL_write(SSL *ssl, const void *bytes, int length)
{
    __typeof(&SSL_write) real = REAL(SSL_write);
    if (!real)
        return -1;
    bool follow = length > 0 && tls_sending(ssl, bytes, (size_t)length, REAL_CALLER());
    int result = real(ssl, bytes, length);
    sent(ssl, follow, result > 0 ? (size_t)result : 0);
    return result;
}

INTERPOSE int SSL_write_ex(SSL *ssl, const void *bytes, size_t length, size_t *count)
{
    __typeof(&SSL_write_ex) real = REAL(SSL_write_ex);
    if (!real)
        return 0;
    bool follow = tls_sending(ssl, bytes, length, REAL_CALLER());
    int result = real(ssl, bytes, length, count);
    sent(ssl, follow, result > 0 ? *count : 0);
    return result;
}

INTERPOSE int SSL_write_ex2(SSL *ssl, const void *bytes, size_t length, uint64_t flags, size_t *count)
{
    __typeof(&SSL_write_ex2) real = REAL(SSL_write_ex2);
    if (!real)
        return 0;
    bool follow = tls_sending(ssl, bytes, length, REAL_CALLER());
    int result = real(ssl, bytes, length, flags, count);
    sent(ssl, follow, result > 0 ? *count : 0);
    return result;
}

/* ---- ending -------------------------------------------------------------------- */

/* Why nothing came is for the program to ask, and it does: SSL_read_ex() itself returns the same for a connection that has ended and for one
 * that has nothing just now. */
INTERPOSE int SSL_get_error(const SSL *ssl, int result)
{
    enum { ERROR_SSL = 1, ERROR_SYSCALL = 5, ERROR_ZERO_RETURN = 6 };
    __typeof(&SSL_get_error) real = REAL(SSL_get_error);
    if (!real)
        return ERROR_SSL;
    int reason = real(ssl, result);
    if (reason == ERROR_SSL || reason == ERROR_SYSCALL || reason == ERROR_ZERO_RETURN)
        tls_over(ssl, true, reason == ERROR_SYSCALL && errno == ECONNRESET ? "connection_reset" : NULL);
    return reason;
}

/* Whoever says good-bye waits for no response any more. */
INTERPOSE int SSL_shutdown(SSL *ssl)
{
    __typeof(&SSL_shutdown) real = REAL(SSL_shutdown);
    if (!real)
        return -1;
    tls_over(ssl, false, NULL);
    return real(ssl);
}

INTERPOSE int SSL_clear(SSL *ssl)
{
    __typeof(&SSL_clear) real = REAL(SSL_clear);
    if (!real)
        return 0;
    tls_over(ssl, false, NULL);
    return real(ssl);
}

/* Before it: the address may be another's right after. */
INTERPOSE void SSL_free(SSL *ssl)
{
    __typeof(&SSL_free) real = REAL(SSL_free);
    tls_over(ssl, false, NULL);
    if (real)
        real(ssl);
}

/* ---- found by dlsym() ------------------------------------------------------------ */

/* Whoever found a function by its library's handle (.NET, Python's ctypes) depends on no libssl, so the one to call is told by name alone. With two of them in
 * the process, what was found must be what our function will find; else it is left alone, and not seen. */
void *openssl_by_dlsym(const char *name, void *real)
{
    static const struct {
        const char *name;
        void *ours;
    } functions[] = {{"SSL_read", (void *)SSL_read},
                     {"SSL_read_ex", (void *)SSL_read_ex},
                     {"SSL_write", (void *)SSL_write},
                     {"SSL_write_ex", (void *)SSL_write_ex},
                     {"SSL_write_ex2", (void *)SSL_write_ex2},
                     {"SSL_get_error", (void *)SSL_get_error},
                     {"SSL_shutdown", (void *)SSL_shutdown},
                     {"SSL_clear", (void *)SSL_clear},
                     {"SSL_free", (void *)SSL_free}};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (!strcmp(name, functions[i].name))
            return real_find(name, NULL) == real ? functions[i].ours : NULL;
    return NULL;
}
