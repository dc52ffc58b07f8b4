/* dl.c: see dl.h. */
#include "preload/dl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "capture/settings.h"
#include "preload/curl.h"
#include "preload/real.h"

void *curl_by_dlsym(const char *name, void *real)
{
    void *ours = curl_easy_by_pointer(name);
    if (!ours)
        ours = curl_multi_by_pointer(name);
    return ours && curl_api_by_pointer(real) ? ours : NULL;
}

#if defined(__x86_64__) || defined(__aarch64__)

_Static_assert(REAL_DLOPEN == 0 && REAL_DLSYM == 1, "as the assembly below says");

/* What dlsym() shall do. */
struct dl_answer {
    void *symbol;
    long decided; /* 0: ask the real one */
};

/* Called from the assembly below, and nowhere else. */
int dl_mode(const char *path, int mode) __attribute__((used));
struct dl_answer dl_symbol(void *handle, const char *name, const void *caller) __attribute__((used));

int dl_mode(const char *path, int mode)
{
    if (!path || !(mode & RTLD_DEEPBIND) || !capture_is_on(CAPTURE_CURL))
        return mode;
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, "curl.so") != 0 ? mode : mode & ~RTLD_DEEPBIND;
}

/* Found by a search of all libraries, which sees us first: what is behind us is there for the caller too, or it is not there at all. Then
 * the error is the C library's. */
static struct dl_answer search(const char *name, const void *caller)
{
    const struct dl_answer ask = {NULL, 0};
    if (real_dlsym(RTLD_NEXT, name) || real_find_through(caller, name))
        return ask;
    return (struct dl_answer){real_dlsym(RTLD_NEXT, name), 1};
}

/* One behind the caller is looked for by who stands before it himself. */
struct dl_answer dl_symbol(void *handle, const char *name, const void *caller)
{
    const struct dl_answer ask = {NULL, 0};
    void *(*give)(const char *, void *);
    if (!name || handle == RTLD_NEXT)
        return ask;
    if (!strncmp(name, "curl_", 5))
        give = capture_is_on(CAPTURE_CURL) ? curl_by_dlsym : NULL;
    else if (!strncmp(name, "SSL_", 4))
        give = capture_is_on(CAPTURE_OPENSSL) ? openssl_by_dlsym : NULL;
    else
        return ask;
    int error = errno;
    void *found = real_dlsym(handle, name);
    struct dl_answer answer = ask;
    if (found && real_owner_of(found) == REAL_SELF)
        answer = search(name, caller);
    else if (found && give && handle != RTLD_DEFAULT)
        answer.symbol = give(name, found);
    answer.decided |= answer.symbol != NULL;
    errno = error;
    return answer;
}

/* Both begin by asking above, and end in a jump with the caller's return address where it was. */
#ifdef __x86_64__
__asm__(".text\n"
        ".globl dlopen\n.type dlopen,@function\n.p2align 4\n"
        "dlopen:\n.cfi_startproc\nendbr64\n"
        "push %rdi\n.cfi_adjust_cfa_offset 8\n"
        "push %rsi\n.cfi_adjust_cfa_offset 8\n"
        "sub $8,%rsp\n.cfi_adjust_cfa_offset 8\n"
        "call dl_mode\n"
        "mov %eax,8(%rsp)\n"
        "xor %edi,%edi\n"
        "call real_dl\n"
        "add $8,%rsp\n.cfi_adjust_cfa_offset -8\n"
        "pop %rsi\n.cfi_adjust_cfa_offset -8\n"
        "pop %rdi\n.cfi_adjust_cfa_offset -8\n"
        "jmp *%rax\n"
        ".cfi_endproc\n.size dlopen,.-dlopen\n"
        ".globl dlsym\n.type dlsym,@function\n.p2align 4\n"
        "dlsym:\n.cfi_startproc\nendbr64\n"
        "push %rdi\n.cfi_adjust_cfa_offset 8\n"
        "push %rsi\n.cfi_adjust_cfa_offset 8\n"
        "sub $8,%rsp\n.cfi_adjust_cfa_offset 8\n"
        "mov 24(%rsp),%rdx\n"
        "call dl_symbol\n"
        "test %rdx,%rdx\n"
        "jnz 1f\n"
        "mov $1,%edi\n"
        "call real_dl\n"
        "add $8,%rsp\n.cfi_adjust_cfa_offset -8\n"
        "pop %rsi\n.cfi_adjust_cfa_offset -8\n"
        "pop %rdi\n.cfi_adjust_cfa_offset -8\n"
        "jmp *%rax\n"
        "1: .cfi_adjust_cfa_offset 24\n"
        "add $24,%rsp\n.cfi_adjust_cfa_offset -24\n"
        "ret\n"
        ".cfi_endproc\n.size dlsym,.-dlsym\n");
#else
__asm__(".text\n"
        ".globl dlopen\n.type dlopen,%function\n.p2align 4\n"
        "dlopen:\n.cfi_startproc\nhint #34\n"
        "stp x29,x30,[sp,#-32]!\n.cfi_def_cfa_offset 32\n.cfi_offset 29,-32\n.cfi_offset 30,-24\n"
        "str x0,[sp,#16]\n"
        "bl dl_mode\n"
        "str x0,[sp,#24]\n"
        "mov w0,#0\n"
        "bl real_dl\n"
        "mov x16,x0\n"
        "ldp x0,x1,[sp,#16]\n"
        "ldp x29,x30,[sp],#32\n.cfi_restore 30\n.cfi_restore 29\n.cfi_def_cfa_offset 0\n"
        "br x16\n"
        ".cfi_endproc\n.size dlopen,.-dlopen\n"
        ".globl dlsym\n.type dlsym,%function\n.p2align 4\n"
        "dlsym:\n.cfi_startproc\nhint #34\n"
        "stp x29,x30,[sp,#-32]!\n.cfi_def_cfa_offset 32\n.cfi_offset 29,-32\n.cfi_offset 30,-24\n"
        "stp x0,x1,[sp,#16]\n"
        "mov x2,x30\n"
        "bl dl_symbol\n"
        "cbnz x1,1f\n"
        "mov w0,#1\n"
        "bl real_dl\n"
        "mov x16,x0\n"
        "ldp x0,x1,[sp,#16]\n"
        ".cfi_remember_state\n"
        "ldp x29,x30,[sp],#32\n.cfi_restore 30\n.cfi_restore 29\n.cfi_def_cfa_offset 0\n"
        "br x16\n"
        "1: .cfi_restore_state\n"
        "ldp x29,x30,[sp],#32\n.cfi_restore 30\n.cfi_restore 29\n.cfi_def_cfa_offset 0\n"
        "ret\n"
        ".cfi_endproc\n.size dlsym,.-dlsym\n");
#endif

#endif
