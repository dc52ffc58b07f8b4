/* real.h: the functions behind our own of the same name, and whose code an address is.
 *
 * A function that stands before another of the same name (an interposer) has to find that other one. RTLD_NEXT is not enough:
 * it does not see libraries that were loaded with RTLD_LOCAL (Python's and PHP's extensions and what they need), and where two
 * libcurls are in one process it finds only the first. So it is looked for where the caller would have found it: in the library that
 * the call came from and what that one depends on.
 *
 *   function                who may call it
 *   real_owner_of           any thread, any signal handler, a vfork child; no lock, no allocation; some 20 ns (glibc 2.35 or later)
 *   real_function           any thread; the first call from each library takes the loader's lock and may allocate, others are as above
 *   real_next, real_find,   any thread; take the loader's lock, may allocate
 *   real_find_through, real_beside, real_dlsym
 *
 * All keep errno. What a pointer was found in is kept loaded from then on: nobody can call into a library that has gone. */
#ifndef TALLY_PRELOAD_REAL_H
#define TALLY_PRELOAD_REAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Libraries that libraries above them call: what passes below them has been seen above. Known by their file's name
 * ("libcurl.so.4", "libcurl-gnutls.so.4", "libssl-3a880a2b.so.3"). */
enum real_owner {
    REAL_OTHER, /* the program, any other library, code made at run time */
    REAL_SELF,  /* this library */
    REAL_CURL,
    REAL_SSL,
    REAL_CRYPTO,
    REAL_NGHTTP2,
    REAL_GNUTLS
};

/* Where the call of the function that this stands in will return to: the caller's code. In the interposer itself only. */
#define REAL_CALLER() __builtin_extract_return_addr(__builtin_return_address(0))

/* Whose code `address` is. */
enum real_owner real_owner_of(const void *address);

/* One function that is interposed: static, with its name alone filled in: {.name = "SSL_read"}. */
#define REAL_FUNCTION_CALLERS 8
struct real_function {
    const char *name;
    struct real_function_caller {
        _Atomic(uintptr_t) start; /* of a caller's library; 0: free; 1: being filled */
        _Atomic(uintptr_t) end;
        _Atomic(void *) pointer;
    } callers[REAL_FUNCTION_CALLERS];
};

/* What `caller` would call by this name if this library were not there; remembered for each library that calls. NULL: there is none. */
void *real_function(struct real_function *function, const void *caller);

/* The same, looked for anew. */
void *real_find(const char *name, const void *caller);

/* The same, in what `caller`'s library depends on alone; NULL too if that is the program. */
void *real_find_through(const void *caller, const char *name);

/* What a library calls `name` itself in which `pointer` lies. */
void *real_beside(const void *pointer, const char *name);

/* As dlsym(RTLD_NEXT, name): right for what libc defines. */
void *real_next(const char *name);

/* The dlsym of the C library; as if called from this library. */
void *real_dlsym(void *handle, const char *name);
/* The C library's own of the two that are interposed (dl.h). Asked for by their oldest version, which every glibc has: looking
 * for one that is missing would allocate. */
enum real_dl { REAL_DLOPEN, REAL_DLSYM };
void *real_dl(enum real_dl which);
/* The first of this name in any library but this one; for C libraries that have no dlvsym(). */
void *real_without_dlvsym(const char *name);

#endif
