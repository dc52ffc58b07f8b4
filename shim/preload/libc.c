/* libc.c: programs of another C library than the one that this library was built with.
 *
 * `tally run` starts a program, and that may start others: some may be linked with musl, whose loader takes this library too, and ends the program
 * if it misses a function. So what glibc alone has is referred to weakly, here and in real.c. Everything else has the same name and
 * shape in both. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "preload/real.h"

/* Both come with glibc's start-up files, as functions of each library itself, which need these. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library)
    __attribute__((weak));
int __cxa_at_quick_exit(void (*function)(void *), void *library) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (__register_atfork)
        return __register_atfork(prepare, parent, child, __dso_handle);
    __typeof(pthread_atfork) *real = (__typeof(real))real_next("pthread_atfork");
    return real ? real(prepare, parent, child) : ENOSYS;
}

int at_quick_exit(void (*function)(void)) /* NOLINT(readability-inconsistent-declaration-parameter-name) */
{
    if (__cxa_at_quick_exit)
        return __cxa_at_quick_exit((void (*)(void *))(void *)function, __dso_handle);
    __typeof(at_quick_exit) *real = (__typeof(real))real_next("at_quick_exit");
    return real ? real(function) : -1;
}

/* ---- a function, where there is no dlvsym() --------------------------------------------- */

struct wanted {
    const char *name;
    void *found;
};

static int look_in(struct dl_phdr_info *info, size_t size, void *context)
{
    struct wanted *wanted = context;
    const ElfW(Dyn) *dynamic = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const uint32_t *hash = NULL;
    bool ours = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)start;
        ours |=
            info->dlpi_phdr[i].p_type == PT_LOAD && (uintptr_t)look_in - start < info->dlpi_phdr[i].p_memsz;
    }
    for (; !ours && dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        uintptr_t pointer = info->dlpi_addr + dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const ElfW(Sym) *)pointer;
        else if (dynamic->d_tag == DT_STRTAB)
            names = (const char *)pointer;
        else if (dynamic->d_tag == DT_HASH)
            hash = (const uint32_t *)pointer;
    }
    for (uint32_t i = 0; symbols && names && hash && i < hash[1]; i++) {
        if (symbols[i].st_shndx != SHN_UNDEF && !strcmp(names + symbols[i].st_name, wanted->name)) {
            wanted->found = (void *)(info->dlpi_addr + symbols[i].st_value);
            return 1;
        }
    }
    return 0;
}

void *real_without_dlvsym(const char *name)
{
    struct wanted wanted = {name, NULL};
    dl_iterate_phdr(look_in, &wanted);
    return wanted.found;
}
