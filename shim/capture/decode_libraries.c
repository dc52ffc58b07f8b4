/* decode_libraries.c: zlib, brotli and zstd as they are found in the process, or beside it.
 *
 * A program that asks for a coding has its library loaded as a rule, be it for itself alone (Python's zlib module), and RTLD_NOLOAD finds
 * it. Others have it built in; then the system's own is loaded, if there is one. Handles are kept: a library that is in use must not go.
 */
#include "capture/decode_coding.h"

#include <dlfcn.h>
#include <string.h>

#include "platform.h"

static struct {
    /* 0: not looked for. DONE: found, or not, for good. Else the pid of who is looking: a child forked meanwhile sees that it is not
     * looking itself and begins anew. */
    uint32_t state;
    /* Atomic: they point at the structures below when these are complete. */
    const struct zlib_functions *zlib;
    const struct brotli_functions *brotli;
    const struct zstd_functions *zstd;
    struct zlib_functions zlib_found;
    struct brotli_functions brotli_found;
    struct zstd_functions zstd_found;
} libraries;
#define DONE UINT32_MAX

static void *library_open(const char *soname)
{
    void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    return handle ? handle : dlopen(soname, RTLD_NOW | RTLD_LOCAL);
}

/* A function's address as data: what POSIX promises of dlsym(), and C does not. */
static bool find(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

#define FIND(name) &&find(library, #name, &found->name)

static void find_zlib(void)
{
    struct zlib_functions *found = &libraries.zlib_found;
    void *library = library_open("libz.so.1");
    if (library ZLIB_FUNCTIONS(FIND)) /* release: pairs with decode_zlib_functions() */
        __atomic_store_n(&libraries.zlib, found, __ATOMIC_RELEASE);
}

static void find_brotli(void)
{
    struct brotli_functions *found = &libraries.brotli_found;
    void *library = library_open("libbrotlidec.so.1");
    if (library BROTLI_FUNCTIONS(FIND)) /* release: pairs with decode_brotli_functions() */
        __atomic_store_n(&libraries.brotli, found, __ATOMIC_RELEASE);
}

static void find_zstd(void)
{
    struct zstd_functions *found = &libraries.zstd_found;
    void *library = library_open("libzstd.so.1");
    if (library ZSTD_FUNCTIONS(FIND)) /* release: pairs with decode_zstd_functions() */
        __atomic_store_n(&libraries.zstd, found, __ATOMIC_RELEASE);
}

void decode_find_libraries(void)
{
    uint32_t state = __atomic_load_n(&libraries.state, __ATOMIC_RELAXED);
    if (state == DONE)
        return;
    int saved = errno;
    uint32_t self = (uint32_t)getpid();
    /* Whoever comes second does not wait: its response is still to come, and will find the libraries. */
    if (state != self && __atomic_compare_exchange_n(&libraries.state, &state, self, false, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
        find_zlib();
        find_brotli();
        find_zstd();
        dlerror(); /* what we did not find is not to be the program's news */
        __atomic_store_n(&libraries.state, DONE, __ATOMIC_RELAXED);
    }
    errno = saved;
}

/* acquire, all three: pairs with the release in find_*(), behind which the structure is complete. */
const struct zlib_functions *decode_zlib_functions(void)
{
    return __atomic_load_n(&libraries.zlib, __ATOMIC_ACQUIRE);
}
const struct brotli_functions *decode_brotli_functions(void)
{
    return __atomic_load_n(&libraries.brotli, __ATOMIC_ACQUIRE);
}
const struct zstd_functions *decode_zstd_functions(void)
{
    return __atomic_load_n(&libraries.zstd, __ATOMIC_ACQUIRE);
}
