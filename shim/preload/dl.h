/* dl.h: dlopen() and dlsym() as programs see them.
 *
 * dlopen: PHP loads its extensions with RTLD_DEEPBIND, so that they find libcurl's functions before ours; for its curl.so the flag is left out.
 *
 * dlsym: a function that was found in a library by its handle would be called past us (Python's ctypes, .NET). Each layer that has
 * functions which are found so gives what stands before them.
 *
 * The C library looks where both were called from (RTLD_NEXT, RUNPATH, namespaces). So ours decide what to do and then jump to the real
 * ones, from a few lines of assembly; on processors that those are not written for, programs that look for functions so are not followed. */
#ifndef TALLY_PRELOAD_DL_H
#define TALLY_PRELOAD_DL_H

/* What a layer gives to who found `real` under this name. NULL: nothing, let it be. */
void *curl_by_dlsym(const char *name, void *real);
void *openssl_by_dlsym(const char *name, void *real) __attribute__((weak));

#endif
