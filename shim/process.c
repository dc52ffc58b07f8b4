#include "process.h"

#include "carry.h"
#include "encode.h"
#include "identity.h"
#include "lane.h"
#include "robust.h"
#include "shutdown.h"
#include "spill.h"

#include <limits.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>

/* The page that the kernel wipes in a child. */
struct sentinel {
    uint64_t generation; /* first: what tally_sentinel points at */
    uint32_t state;      /* SENTINEL_*; futex, private */
};
enum { SENTINEL_FRESH = 0, SENTINEL_STARTING = 1, SENTINEL_AWAITED = 2, SENTINEL_READY = 3 };

static const uint64_t no_generation = 0;

struct process tally_process = {
    .overflow = TALLY_OVERFLOW_SPILL, .block_timeout_ms = 100, .group = (gid_t)-1};
__thread struct thread tally_thread;
const uint64_t *tally_sentinel = &no_generation;

static struct tally_client process_client; /* clients[0]; a client object has pages of its own */

void process_debug(const char *format, ...)
{
    if (!tally_process.debug)
        return;
    char line[256];
    va_list arguments;
    int saved = errno;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > 0) {
        if ((size_t)length > sizeof line - 2)
            length = (int)sizeof line - 2;
        line[length] = '\n';
        syscall(SYS_write, STDERR_FILENO, line, (size_t)length + 1);
    }
    errno = saved;
}

/* ---- options ------------------------------------------------------------------- */

static bool environment_true(const char *name)
{
    const char *value = secure_getenv(name);
    return value && !strcmp(value, "1");
}

static int32_t environment_milliseconds(const char *name, int32_t otherwise)
{
    const char *value = secure_getenv(name);
    if (!value || !*value)
        return otherwise;
    char *end;
    long number = strtol(value, &end, 10);
    return *end || number < 0 || number > 60000 ? otherwise : (int32_t)number;
}

/* service.name=… in OTEL_RESOURCE_ATTRIBUTES. */
static bool service_of_attributes(char *out, size_t bytes, const char *attributes)
{
    static const char key[] = "service.name=";
    for (const char *at = attributes; at && *at;) {
        while (*at == ' ')
            at++;
        const char *end = strchrnul(at, ',');
        if (!strncmp(at, key, sizeof key - 1)) {
            at += sizeof key - 1;
            size_t length = (size_t)(end - at);
            if (length >= bytes)
                length = bytes - 1;
            memcpy(out, at, length);
            out[length] = '\0';
            return true;
        }
        at = *end ? end + 1 : end;
    }
    return false;
}

/* What the caller's options leave open comes from the environment. */
static void read_environment(struct tally_client *client)
{
    struct process *process = &tally_process;
    const char *overflow = secure_getenv("TALLY_OVERFLOW");
    process->disabled = environment_true("TALLY_DISABLE");
    process->debug = environment_true("TALLY_DEBUG");
    const char *preloaded =
        secure_getenv("LD_PRELOAD"); /* valgrind's tools that look at memory name themselves there */
    if (preloaded && strstr(preloaded, "/vgpreload_memcheck"))
        encode_watched();
    /* Not again in a child: the parent's other threads may have held locks of the user database when it was forked. */
    if (!process->generation)
        process->group = arena_group(secure_getenv("TALLY_GROUP"));
    spill_configure();
    if (!process->configured) {
        process->signals = environment_true("TALLY_SIGNALS");
        process->overflow = overflow && !strcmp(overflow, "drop")    ? TALLY_OVERFLOW_DROP
                            : overflow && !strcmp(overflow, "block") ? TALLY_OVERFLOW_BLOCK
                                                                     : TALLY_OVERFLOW_SPILL;
        process->block_timeout_ms = environment_milliseconds("TALLY_BLOCK_MS", 100);
        encode_copy(process->arena_name, sizeof process->arena_name, secure_getenv("TALLY_ARENA"));
    }
    if (!client->service[0]) {
        const char *service = secure_getenv("TALLY_SERVICE");
        if (!service || !*service)
            service = secure_getenv("OTEL_SERVICE_NAME");
        if (service && *service)
            client->truncated |= encode_copy(client->service, sizeof client->service, service);
        else
            service_of_attributes(client->service, sizeof client->service,
                                  secure_getenv("OTEL_RESOURCE_ATTRIBUTES"));
    }
    if (!client->tags[0])
        client->truncated |= encode_copy(client->tags, sizeof client->tags, secure_getenv("TALLY_TAGS"));
}

static int configure(const struct tally_options *options)
{
    struct process *process = &tally_process;
    char path[ARENA_PATH_MAX];
    if (options->size != sizeof *options || options->signals < -1 || options->signals > 1 ||
        options->overflow < TALLY_OVERFLOW_DEFAULT || options->overflow > TALLY_OVERFLOW_SPILL ||
        options->block_timeout_ms < -1 || options->block_timeout_ms > 60000)
        return -EINVAL;
    const char *arena = options->arena ? options->arena : secure_getenv("TALLY_ARENA");
    if (options->arena && arena_path(path, sizeof path, arena, 0))
        return -EINVAL;
    read_environment(&process_client);
    if (options->signals >= 0)
        process->signals = options->signals;
    if (options->overflow)
        process->overflow = options->overflow;
    if (options->block_timeout_ms >= 0)
        process->block_timeout_ms = options->block_timeout_ms;
    encode_copy(process->arena_name, sizeof process->arena_name, arena);
    if (options->service)
        process_client.truncated |=
            encode_copy(process_client.service, sizeof process_client.service, options->service);
    if (options->tags)
        process_client.truncated |=
            encode_copy(process_client.tags, sizeof process_client.tags, options->tags);
    process->configured = true;
    return 0;
}

/* ---- identity --------------------------------------------------------------------- */

static uint8_t *put_text(uint8_t *at, uint8_t id, uint32_t bytes_max, const char *text, uint32_t *truncated)
{
    bool cut;
    if (!text || !*text)
        return at;
    uint32_t length = encode_cut(text, bytes_max, &cut);
    *truncated |= cut;
    return encode_bytes(at, id, TALLY_TYPE_TEXT, text, length);
}

/* The path as it was executed (a script's own, a link's own), which the kernel has left with us: no system call. For what was
 * executed by a relative path or by a descriptor, the file's. */
static const char *executable_path(char *room, size_t bytes)
{
    const char *path = (const char *)getauxval(AT_EXECFN); // NOLINT(performance-no-int-to-ptr)
    if (path && path[0] == '/' && strncmp(path, "/dev/fd/", 8) != 0 && strncmp(path, "/proc/", 6) != 0)
        return path;
    ssize_t length = readlink("/proc/self/exe", room, bytes - 1);
    room[length > 0 ? length : 0] = '\0';
    return room;
}

void client_identify(struct tally_client *client, const struct tally_client *parent)
{
    struct process *process = &tally_process;
    char host[HOST_NAME_MAX + 1] = "";
    char executable[512];
    uint32_t truncated = client->truncated;
    uint8_t *at = client->identity;

    if (getrandom(client->session_id, sizeof client->session_id, 0) != (ssize_t)sizeof client->session_id) {
        /* No randomness to be had (old kernel in early boot): time, pid and place are unique enough. */
        uint64_t words[2] = {clock_ns(CLOCK_REALTIME), (uint64_t)process->pid << 32 ^ (uintptr_t)client};
        memcpy(client->session_id, words, sizeof words);
    }
    at = encode_bytes(at, TALLY_FIELD_session_id, TALLY_TYPE_BYTES, client->session_id, 16);
    if (parent)
        at = encode_bytes(at, TALLY_FIELD_parent_session_id, TALLY_TYPE_BYTES, parent->session_id, 16);
    at = encode_number(at, TALLY_FIELD_pid, process->pid);
    at = encode_number(at, TALLY_FIELD_process_start_time, process->start_time);
    at = encode_number(at, TALLY_FIELD_pid_namespace, process->pid_namespace);
    at = encode_number(at, TALLY_FIELD_uid, geteuid());
    if (gethostname(host, sizeof host - 1) == 0)
        at = put_text(at, TALLY_FIELD_host, 64, host, &truncated);
    const char *path = executable_path(executable, sizeof executable);
    at = put_text(at, TALLY_FIELD_executable, 255, path, &truncated);
    at = put_text(at, TALLY_FIELD_service, 128, client->service, &truncated);
    at = put_text(at, TALLY_FIELD_client_tags, 1024, client->tags, &truncated);
    at = put_text(at, TALLY_FIELD_resource_attributes, 1024, secure_getenv("OTEL_RESOURCE_ATTRIBUTES"),
                  &truncated);
    at = put_text(at, TALLY_FIELD_library_version, 32, TALLY_VERSION, &truncated);
    if (truncated)
        at = encode_number(at, TALLY_FIELD_client_truncated, 1);
    client->identity_bytes = (uint32_t)(at - client->identity);
    client->generation++;
}
/* session ids, 7 numbers, texts */
TALLY_LAYOUT(24 * 2 + 16 * 7 + (64 + 255 + 128 + 1024 + 1024 + 32) + 6 * 11 <= IDENTITY_BYTES_MAX);

bool process_is_vfork_child(void)
{
    return (uint32_t)getpid() != tally_process.pid;
}

/* The same question where there is no pid to compare yet, asked only if the thread has no robust list, as in a
 * vfork child. An answer that cannot be had (no kcmp) is no: then it is an odd kernel, not an odd child. */
static bool shares_memory_with_parent(void)
{
    return syscall(SYS_kcmp, getpid(), getppid(), KCMP_VM, 0, 0) == 0;
}

/* ---- start ---------------------------------------------------------------------------- */

static struct sentinel *sentinel_get(void)
{
    struct sentinel *page =
        __atomic_load_n(&tally_process.sentinel, __ATOMIC_ACQUIRE); /* pairs with the CAS below */
    if (page)
        return page;
    struct sentinel *fresh =
        mmap(NULL, TALLY_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    madvise(fresh, TALLY_PAGE_BYTES,
            MADV_WIPEONFORK); /* refused before Linux 4.14: at_fork_child() does it */
    /* release: pairs with the load above, in whichever thread. */
    if (!__atomic_compare_exchange_n(&tally_process.sentinel, &page, fresh, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        munmap(fresh, TALLY_PAGE_BYTES);
        return page;
    }
    return fresh;
}

static void at_fork_child(void)
{
    struct sentinel *page = __atomic_load_n(&tally_process.sentinel, __ATOMIC_RELAXED);
    if (page && page->state != SENTINEL_FRESH)
        memset(page, 0, sizeof *page);
    lane_after_fork(&tally_thread);
}

static void at_thread_exit(void *thread)
{
    lane_thread_exit(thread);
    spill_thread_exit(thread);
}

static void publish_at_exit(void)
{
    struct slow_path slow = slow_path_begin();
    tally_shutdown(0);
    carry_rest();
    slow_path_end(slow);
}

/* What is done once in a process and its children together. */
static void start_first(void)
{
    static bool done;
    if (done)
        return;
    pthread_atfork(NULL, NULL, at_fork_child);
    lane_key_create(at_thread_exit);
    atexit(publish_at_exit);
    at_quick_exit(publish_at_exit);
    /* Last: in a child that another thread forks meanwhile, twice is harmless and never is not. */
    done = true;
}

static int start(const struct tally_options *options)
{
    struct process *process = &tally_process;
    /* Written before anything of it is read: a fresh page that is read first is made twice. */
    process_client.state = CLIENT_CLAIMED;
    if (options) {
        int result = process->generation ? -EALREADY : configure(options);
        if (result)
            return result;
    }
    bool robust = robust_self_test();
    if (!robust && shares_memory_with_parent())
        return -EAGAIN;
    process->robust = robust;
    process->pid = (uint32_t)getpid();
    process->start_time = identity_start_time(0, 0);
    process->pid_namespace = identity_pid_namespace();
    /* The mappings of the parent's lanes did not come along, and its lanes are not ours. */
    process->lanes = NULL;
    spill_start();
    /* Nor is what another thread of the parent was just reclaiming. */
    for (struct arena_view *arena = process->arenas; arena; arena = arena->next)
        arena->reclaiming = 0;
    process->clients[0] = &process_client;
    read_environment(&process_client);
    client_identify(&process_client, NULL);
    process_client.state = CLIENT_LIVE;
    for (int i = 1; i < PROCESS_CLIENTS_MAX; i++)
        if (process->clients[i] && process->clients[i]->state == CLIENT_LIVE)
            client_identify(process->clients[i], &process_client);
    if (process->disabled)
        return 0;
    start_first();
    if (process->signals)
        shutdown_install_signals();
    return 0;
}

int process_start(const struct tally_options *options)
{
    struct sentinel *page = sentinel_get();
    if (!page)
        return -ENOMEM;
    for (;;) {
        uint32_t state = SENTINEL_FRESH;
        /* acquire: pairs with the release of READY below, so that a waiter sees what start() wrote. */
        if (__atomic_compare_exchange_n(&page->state, &state, SENTINEL_STARTING, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_ACQUIRE))
            break;
        if (state == SENTINEL_READY)
            return options ? -EALREADY : 0;
        if (state == SENTINEL_AWAITED ||
            __atomic_compare_exchange_n(&page->state, &state, SENTINEL_AWAITED, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            futex(&page->state, FUTEX_WAIT_PRIVATE, SENTINEL_AWAITED, NULL, NULL, 0);
    }
    int result = start(options);
    if (result == 0) {
        tally_process.generation++;
        __atomic_store_n(&page->generation, tally_process.generation, __ATOMIC_RELAXED);
        /* release: pairs with the acquire in process_generation(). */
        __atomic_store_n(&tally_sentinel, &page->generation, __ATOMIC_RELEASE);
    }
    /* release: pairs with the acquire above. */
    uint32_t was =
        __atomic_exchange_n(&page->state, result ? SENTINEL_FRESH : SENTINEL_READY, __ATOMIC_RELEASE);
    if (was == SENTINEL_AWAITED)
        futex(&page->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    return result;
}
