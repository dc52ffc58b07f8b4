/* real.c: see real.h. */
#include "preload/real.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

/* A library (or the program: its path is empty) as it lies in memory. */
struct module {
    uintptr_t start, end;
    const char *path;
};

/* ---- whose code is it --------------------------------------------------------- */

/* From glibc 2.35 on there is a way without a lock; before, the list of libraries is gone through under a lock that is never held
 * while code of others runs. */
#ifdef DLFO_STRUCT_HAS_EH_DBASE
#pragma weak _dl_find_object

static bool find_quickly(const void *address, struct module *module)
{
    struct dl_find_object found;
    void *pointer = (void *)(uintptr_t)address;
    if (_dl_find_object(pointer, &found))
        return false;
    module->start = (uintptr_t)found.dlfo_map_start;
    module->end = (uintptr_t)found.dlfo_map_end;
    module->path = found.dlfo_link_map->l_name;
    return true;
}
#define CAN_FIND_QUICKLY (&_dl_find_object != NULL)
#else
#define CAN_FIND_QUICKLY false
static bool find_quickly(const void *address, struct module *module)
{
    (void)address, (void)module;
    return false;
}
#endif

static void extent(const struct dl_phdr_info *info, struct module *module)
{
    module->start = UINTPTR_MAX;
    module->end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD)
            continue;
        if (start < module->start)
            module->start = start;
        if (start + part->p_memsz > module->end)
            module->end = start + part->p_memsz;
    }
    module->path = info->dlpi_name;
}

struct search {
    uintptr_t address;
    struct module *module;
};

static int is_it_here(struct dl_phdr_info *info, size_t size, void *context)
{
    const struct search *search = context;
    struct module module;
    (void)size;
    extent(info, &module);
    if (search->address < module.start || search->address >= module.end)
        return 0;
    *search->module = module;
    return 1;
}

static bool find_module(const void *address, struct module *module)
{
    if (CAN_FIND_QUICKLY)
        return find_quickly(address, module);
    struct search search = {(uintptr_t)address, module};
    return dl_iterate_phdr(is_it_here, &search) == 1;
}

/* "libcurl.so.4" and "libcurl-gnutls.so.4" are libcurl; "libcurlpp.so.0" and NSS's "libssl3.so" are somebody else. */
static enum real_owner owner_of_path(const char *path)
{
    static const struct {
        const char *stem;
        size_t length;
        enum real_owner owner;
    } known[] = {{"curl", 4, REAL_CURL},
                 {"ssl", 3, REAL_SSL},
                 {"crypto", 6, REAL_CRYPTO},
                 {"nghttp2", 7, REAL_NGHTTP2},
                 {"gnutls", 6, REAL_GNUTLS}};
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    if (strncmp(file, "lib", 3) != 0)
        return REAL_OTHER;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t length = known[i].length;
        if (!strncmp(file + 3, known[i].stem, length) && (file[3 + length] == '.' || file[3 + length] == '-'))
            return known[i].owner;
    }
    return REAL_OTHER;
}

static bool is_ours(const struct module *module)
{
    uintptr_t here = (uintptr_t)&is_ours;
    return here >= module->start && here < module->end;
}

enum real_owner real_owner_of(const void *address)
{
    struct module module;
    if (!find_module(address, &module) || !module.path)
        return REAL_OTHER;
    return is_ours(&module) ? REAL_SELF : owner_of_path(module.path);
}

/* glibc's own: see libc.c. */
#pragma weak dlvsym

/* ---- the functions behind ours ------------------------------------------------- */

void *real_dl(enum real_dl which)
{
    static _Atomic(void *) found[2];
    void *pointer = atomic_load_explicit(&found[which], memory_order_relaxed);
    if (pointer)
        return pointer;
    int error = errno;
    const char *name = which == REAL_DLOPEN ? "dlopen" : "dlsym";
#if defined(__x86_64__) || defined(__aarch64__)
#ifdef __x86_64__
    static const char version[] = "GLIBC_2.2.5";
#else
    static const char version[] = "GLIBC_2.17";
#endif
    pointer = dlvsym ? dlvsym(RTLD_NEXT, name, version) : real_without_dlvsym(name);
#else
    pointer = which == REAL_DLOPEN ? (void *)dlopen : (void *)dlsym; /* not interposed: dl.h */
    (void)name;
#endif
    errno = error;
    atomic_store_explicit(&found[which], pointer, memory_order_relaxed);
    return pointer;
}

void *real_dlsym(void *handle, const char *name)
{
    void *(*call)(void *, const char *) = (void *(*)(void *, const char *))real_dl(REAL_DLSYM);
    void *result = call(handle, name);
    /* The C library looks where the call came from: it must not be a jump. */
    __asm__ volatile("" ::: "memory");
    return result;
}

void *real_next(const char *name)
{
    int error = errno;
    void *result = real_dlsym(RTLD_NEXT, name);
    errno = error;
    return result;
}

/* What a library that is loaded would find. Not ours: a handle of the program's sees us first. */
static void *find_through(const char *path, const char *name)
{
    void *handle = dlopen(path, RTLD_NOLOAD | RTLD_LAZY);
    if (!handle)
        return NULL;
    void *pointer = real_dlsym(handle, name);
    dlclose(handle);
    return pointer && real_owner_of(pointer) != REAL_SELF ? pointer : NULL;
}

struct family {
    const char *name;
    enum real_owner owner;
    char path[512];
};

static int is_of_family(struct dl_phdr_info *info, size_t size, void *context)
{
    struct family *family = context;
    (void)size;
    if (!info->dlpi_name || owner_of_path(info->dlpi_name) != family->owner)
        return 0;
    size_t length = strlen(info->dlpi_name);
    if (length >= sizeof family->path)
        return 0;
    memcpy(family->path, info->dlpi_name, length + 1);
    return 1;
}

/* The caller is nobody who depends on it (a foreign function interface, code made at run time): any library whose name tells that it
 * is the one. */
static void *find_by_family(const char *name)
{
    struct family family = {.name = name};
    if (!strncmp(name, "curl_", 5))
        family.owner = REAL_CURL;
    else if (!strncmp(name, "SSL_", 4))
        family.owner = REAL_SSL;
    else
        return NULL;
    if (dl_iterate_phdr(is_of_family, &family) != 1)
        return NULL;
    return find_through(family.path, name);
}

static void keep_loaded(const void *pointer)
{
    struct module module;
    if (find_module(pointer, &module) && module.path && module.path[0])
        dlopen(module.path, RTLD_NOLOAD | RTLD_LAZY | RTLD_NODELETE);
}

static void *find(const char *name, const struct module *caller)
{
    void *pointer = NULL;
    if (caller && caller->path && caller->path[0] && !is_ours(caller))
        pointer = find_through(caller->path, name);
    if (!pointer)
        pointer = real_dlsym(RTLD_NEXT, name);
    if (!pointer)
        pointer = find_by_family(name);
    if (pointer)
        keep_loaded(pointer);
    else
        dlerror(); /* the program did not ask: nothing is wrong */
    return pointer;
}

void *real_find(const char *name, const void *caller)
{
    int error = errno;
    struct module module;
    void *pointer = find(name, find_module(caller, &module) ? &module : NULL);
    errno = error;
    return pointer;
}

void *real_find_through(const void *caller, const char *name)
{
    int error = errno;
    struct module module;
    void *found = NULL;
    if (find_module(caller, &module) && module.path && module.path[0] && !is_ours(&module))
        found = find_through(module.path, name);
    if (!found)
        dlerror();
    errno = error;
    return found;
}

void *real_beside(const void *pointer, const char *name)
{
    void *found = real_find_through(pointer, name);
    if (found)
        keep_loaded(found);
    return found;
}

/* An entry is filled once and never changed, so whoever sees its start sees all of it. A library that is unloaded leaves its entry
 * behind; another that comes to lie in just the same place is taken for it, which is wrong only where there are two libraries
 * that define the function. With all entries in use the answer is looked for each time. */
void *real_function(struct real_function *function, const void *caller)
{
    struct module module;
    if (!find_module(caller, &module))
        module = (struct module){.start = 2, .end = 2};
    struct real_function_caller *entry = function->callers;
    struct real_function_caller *last = entry + REAL_FUNCTION_CALLERS;
    for (; entry < last; entry++) {
        /* pairs with the release store below */
        uintptr_t start = atomic_load_explicit(&entry->start, memory_order_acquire);
        if (start == module.start && atomic_load_explicit(&entry->end, memory_order_relaxed) == module.end)
            return atomic_load_explicit(&entry->pointer, memory_order_relaxed);
        if (!start)
            break;
    }
    int error = errno;
    void *pointer = find(function->name, module.path ? &module : NULL);
    errno = error;
    uintptr_t nobody = 0;
    /* A thread that dies here leaves a claimed entry unused, for good: no harm. */
    if (pointer && entry < last &&
        atomic_compare_exchange_strong_explicit(&entry->start, &nobody, 1, memory_order_relaxed,
                                                memory_order_relaxed)) {
        atomic_store_explicit(&entry->pointer, pointer, memory_order_relaxed);
        atomic_store_explicit(&entry->end, module.end, memory_order_relaxed);
        /* pairs with the acquire load above */
        atomic_store_explicit(&entry->start, module.start, memory_order_release);
    }
    return pointer;
}
