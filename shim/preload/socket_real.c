/* socket_real.c: see socket_real.h. */
#include "preload/socket_real.h"

#include <errno.h>

#include "preload/real.h"

static void resolve(void);

/* What a pointer leads to until all have been looked up. A function that this C library does not have stays so, and fails. */
#define X(result, name, parameters, arguments)                                                               \
    static result early_##name parameters                                                                    \
    {                                                                                                        \
        resolve();                                                                                           \
        if (__atomic_load_n(&socket_real.name, __ATOMIC_RELAXED) != early_##name)                            \
            return socket_real.name arguments;                                                               \
        errno = ENOSYS;                                                                                      \
        return -1;                                                                                           \
    }
SOCKET_REAL_LIST(X)
#undef X

static void early_closefrom(int first)
{
    resolve();
    if (__atomic_load_n(&socket_real.closefrom, __ATOMIC_RELAXED) != early_closefrom)
        socket_real.closefrom(first);
}

struct socket_real socket_real = {
#define X(result, name, parameters, arguments) .name = early_##name,
    SOCKET_REAL_LIST(X)
#undef X
        .closefrom = early_closefrom,
};

/* Threads that come here at the same time store the same. */
static void resolve_one(const char *name, void *place)
{
    void *pointer = real_next(name);
    if (pointer)
        __atomic_store((void **)place, &pointer, __ATOMIC_RELAXED);
}

static void resolve(void)
{
#define X(result, name, parameters, arguments) resolve_one(#name, &socket_real.name);
    SOCKET_REAL_LIST(X)
#undef X
    resolve_one("closefrom", &socket_real.closefrom);
}

__attribute__((constructor)) static void socket_real_start(void)
{
    resolve();
}
