/* spill.c: a thread's records into its log's present file.
 *
 * Signals are blocked meanwhile: a handler that forked in the middle would leave a child that goes on to write
 * into its parent's file. What a death at any instruction leaves behind is argued at write_once(). */
#include "spill.h"

#include "arena.h"
#include "encode.h"
#include "identity.h"
#include "lane.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <tally/spill.h>

/* How often a record is written anew at most, because a file is taken from us. Bounded, like everything. */
#define TRIES 64
/* How often what stands in files is counted anew at most. */
#define RECOUNT_NS UINT64_C(10000000)
/* Hex digits that the logs' names of a process have in common. */
#define OWN_DIGITS 16

/* In pages of its own. Held by one thread at a time; the next holder goes on where it ended. */
struct spill_log {
    struct spill_log *next;
    uint32_t holder;     /* tid; 0: free; atomic */
    uint32_t index;      /* of the present file, or of the last; 0: none yet */
    uint64_t generation; /* of the process; another: not begun yet */
    uint8_t id[16];
    uint64_t number;             /* of the last record acknowledged; 1: the CLIENT record alone */
    uint64_t bytes;              /* in the present file */
    bool fresh;                  /* nothing acknowledged stands in it yet */
    char path[SPILL_PATH_BYTES]; /* empty: no file yet */
    uint32_t introduced[PROCESS_CLIENTS_MAX]; /* generation of each client object known in this log */
};

enum { TAKEN = 1 };

static size_t log_bytes(void)
{
    return (sizeof(struct spill_log) + TALLY_PAGE_BYTES - 1) / TALLY_PAGE_BYTES * TALLY_PAGE_BYTES;
}

/* ---- how much ------------------------------------------------------------------------ */

static void own_prefix(char out[sizeof TALLY_SPILL_PREFIX + OWN_DIGITS])
{
    int length = snprintf(out, sizeof TALLY_SPILL_PREFIX, "%s", TALLY_SPILL_PREFIX);
    for (int i = 0; i < OWN_DIGITS / 2; i++)
        snprintf(out + length + 2 * i, 3, "%02x", tally_process.clients[0]->session_id[i]);
}

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

struct count {
    int64_t bytes;
    bool failed; /* a folder that cannot be read */
};

/* Add up this process's files in a folder. */
static int count_folder(void *context, const char *folder)
{
    struct count *count = context;
    char prefix[sizeof TALLY_SPILL_PREFIX + OWN_DIGITS];
    _Alignas(8) char bytes[2048];
    struct stat status;
    long got;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        count->failed = true;
        return -EAGAIN; /* the next folder */
    }
    own_prefix(prefix);
    while ((got = syscall(SYS_getdents64, fd, bytes, sizeof bytes)) > 0)
        for (long at = 0; at < got;) {
            const struct directory_entry *entry = (const struct directory_entry *)(const void *)(bytes + at);
            size_t length = strlen(entry->name);
            at += entry->length;
            if (length > sizeof TALLY_SPILL_SUFFIX && !strncmp(entry->name, prefix, strlen(prefix)) &&
                !strcmp(entry->name + length - strlen(TALLY_SPILL_SUFFIX), TALLY_SPILL_SUFFIX) &&
                fstatat(fd, entry->name, &status, AT_SYMLINK_NOFOLLOW) == 0)
                count->bytes += status.st_size;
        }
    count->failed |= got < 0;
    close(fd);
    return -EAGAIN;
}

/* The count only grows while we write: what the agent has taken, and what came to nothing, is seen when the limit is
 * reached, by a look at the files themselves. Returns whether there was one, so that another try is worth it. */
static bool recount(void)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    uint64_t counted = __atomic_load_n(&tally_process.spill_counted_ns, __ATOMIC_RELAXED);
    if ((counted && now - counted < RECOUNT_NS) ||
        !__atomic_compare_exchange_n(&tally_process.spill_counted_ns, &counted, now, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return false;
    /* As a difference: what other threads reserve meanwhile stays counted. */
    int64_t before = __atomic_load_n(&tally_process.spilled_bytes, __ATOMIC_RELAXED);
    struct count count = {0, false};
    spill_folders(count_folder, &count);
    if (count.failed || count.bytes >= before)
        return false;
    __atomic_add_fetch(&tally_process.spilled_bytes, count.bytes - before, __ATOMIC_RELAXED);
    return true;
}

void spill_release(int64_t bytes)
{
    __atomic_sub_fetch(&tally_process.spilled_bytes, bytes, __ATOMIC_RELAXED);
}

int spill_reserve(int64_t bytes)
{
    for (int i = 0; i < 2; i++) {
        if (__atomic_add_fetch(&tally_process.spilled_bytes, bytes, __ATOMIC_RELAXED) <=
            tally_process.spill_bytes_max)
            return 0;
        spill_release(bytes);
        if (!recount())
            break;
    }
    return -ENOSPC;
}

/* ---- the file ------------------------------------------------------------------------- */

/* The present file is the agent's now, or spoilt, or full: the next record begins another. */
static void leave_file(struct spill_log *log)
{
    log->bytes = 0;
    log->path[0] = '\0';
}

/* One write call for one piece, so that a reader finds all of it or a torn end. */
static int append(int fd, struct spill_log *log, const void *bytes, uint32_t length)
{
    struct rlimit limit;
    ssize_t put;
    /* SIGXFSZ would kill the host. */
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur < log->bytes + length)
        return -EFBIG;
    int result = spill_reserve(length);
    if (result)
        return result;
    do
        put = write(fd, bytes, length);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)length) {
        log->bytes += length;
        return 0;
    }
    result = put < 0 ? -errno : -ENOSPC;
    spill_release(length);
    return result;
}

static int append_record(int fd, struct spill_log *log, struct tally_record_header *record, uint64_t number)
{
    record->sequence = number;
    record->position = log->bytes;
    record->reserved = 0;
    record->checksum = 0;
    record->checksum = tally_checksum(record, record->length);
    return append(fd, log, record, record->length);
}

static int append_client(int fd, struct spill_log *log, uint16_t index, uint64_t number)
{
    uint64_t buffer[(sizeof(struct tally_record_header) + IDENTITY_BYTES_MAX + 64) / 8];
    struct tally_record_header *record = (struct tally_record_header *)(void *)buffer;
    const struct tally_client *client = tally_process.clients[index];
    uint8_t *fields = (uint8_t *)(record + 1);
    uint8_t *at = fields + client->identity_bytes;
    uint32_t tid = gettid_now();

    memcpy(fields, client->identity, client->identity_bytes);
    at = encode_number(at, TALLY_FIELD_tid, tid);
    at = encode_number(at, TALLY_FIELD_start_time, identity_start_time(tally_process.pid, tid));
    record->length = (uint32_t)(sizeof *record + (size_t)(at - fields));
    record->kind = TALLY_KIND_CLIENT;
    record->client = index;
    record->time_unix_ns = clock_ns(CLOCK_REALTIME);
    return append_record(fd, log, record, number);
}

void spill_path(char out[SPILL_PATH_BYTES], const char *folder, const uint8_t log[16], uint32_t index)
{
    char hex[33];
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", log[i]);
    snprintf(out, SPILL_PATH_BYTES, "%s/" TALLY_SPILL_PREFIX "%s-%u" TALLY_SPILL_SUFFIX, folder, hex, index);
}

static int fill_head(int fd, struct spill_log *log)
{
    struct tally_spill_header header = {.magic = TALLY_SPILL_MAGIC,
                                        .abi = TALLY_ABI,
                                        .index = log->index,
                                        .created_unix_ns = clock_ns(CLOCK_REALTIME)};
    /* acquire: pairs with view_new() */
    const struct arena_view *arena = __atomic_load_n(&tally_process.arenas, __ATOMIC_ACQUIRE);
    memcpy(header.log, log->id, sizeof header.log);
    if (arena)
        memcpy(header.arena, arena->shape.uuid, sizeof header.arena);
    int result = append(fd, log, &header, sizeof header);
    return result ? result : append_client(fd, log, 0, 1);
}

struct beginning {
    struct spill_log *log;
    int error; /* of the last folder tried */
};

/* Header and CLIENT record, and only then may records follow. What could not be begun leaves nothing behind. -EAGAIN:
 * another folder may do, where this one may not be written or has no room. */
static int begin_in(void *context, const char *folder)
{
    struct beginning *beginning = context;
    struct spill_log *log = beginning->log;
    spill_path(log->path, folder, log->id, log->index);
    int fd = open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        beginning->error = -errno;
        leave_file(log);
        return -EAGAIN;
    }
    if (tally_process.group != (gid_t)-1 && fchown(fd, (uid_t)-1, tally_process.group) == 0)
        fchmod(fd, 0660);
    TESTPOINT(spill_file_made);
    log->bytes = 0;
    log->fresh = true;
    beginning->error = fill_head(fd, log);
    if (beginning->error == 0)
        return fd;
    close(fd);
    unlink(log->path);
    leave_file(log);
    return -EAGAIN;
}

static int begin_file(struct spill_log *log)
{
    struct beginning beginning = {log, -EACCES};
    /* Else a file would be made and removed again for each record that there is no room for. */
    int result = spill_reserve(sizeof(struct tally_spill_header));
    if (result)
        return result;
    spill_release(sizeof(struct tally_spill_header));
    log->index++;
    result = spill_folders(begin_in, &beginning);
    return result < 0 ? beginning.error : result;
}

/* The present file, if it still is what we left, or a new one. */
static int open_file(struct spill_log *log, uint32_t length, struct stat *status)
{
    if (log->bytes + length + 2 * TALLY_RECORD_BYTES_MAX > TALLY_SPILL_FILE_BYTES_MAX)
        leave_file(log);
    if (log->path[0]) {
        int fd = open(log->path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 && fstat(fd, status) == 0 && S_ISREG(status->st_mode) &&
            (uint64_t)status->st_size == log->bytes)
            return fd;
        if (fd >= 0)
            close(fd);
        leave_file(log);
    }
    int fd = begin_file(log);
    if (fd >= 0 && fstat(fd, status)) {
        close(fd);
        return -EIO;
    }
    return fd;
}

/* Whether the file still has its name. If not, the agent has taken it: it renames first and then reads to the end, so
 * what was written before the renaming is read, and of what was written after nobody knows. */
static bool still_named(const struct spill_log *log, const struct stat *opened)
{
    struct stat named;
    return lstat(log->path, &named) == 0 && named.st_dev == opened->st_dev && named.st_ino == opened->st_ino;
}

/* Killed right here, wherever here is: a record counts if it stands whole in a file whose end the agent reads after
 * renaming it. It is acknowledged only when the file, after the write, still had its name: then the renaming and the
 * reading come later. When it has not, the record may or may not have been read; it is written again under the same
 * number of the same log, and a number counts once. A record torn by death or a full disk ends its file: nothing is
 * written behind it. Returns 0, TAKEN, or a negative errno value. */
static int write_once(struct spill_log *log, struct tally_record_header *record)
{
    uint64_t number = log->number + 1;
    uint32_t generation = tally_process.clients[record->client]->generation;
    bool introduce = record->client && log->introduced[record->client] != generation;
    struct stat status;
    int fd = open_file(log, record->length, &status);
    if (fd < 0)
        return fd;
    int result = introduce ? append_client(fd, log, record->client, number++) : 0;
    if (result == 0) {
        TESTPOINT(spill_before_write);
        result = append_record(fd, log, record, number);
        TESTPOINT(spill_after_write);
    }
    if (result == 0 && !still_named(log, &status))
        result = TAKEN;
    TESTPOINT(spill_looked);
    close(fd);
    if (result) {
        if (result < 0 && log->fresh)
            unlink(log->path); /* of no use to anybody */
        leave_file(log);
        return result;
    }
    log->fresh = false;
    log->number = number;
    if (introduce)
        log->introduced[record->client] = generation;
    return 0;
}

/* ---- the log ----------------------------------------------------------------------------- */

/* Unique for ever, as a call's: the session's random id plus a count. */
void spill_identify(uint8_t log[16])
{
    uint64_t words[2];
    memcpy(words, tally_process.clients[0]->session_id, sizeof words);
    words[1] += __atomic_add_fetch(&tally_process.spill_serial, 1, __ATOMIC_RELAXED);
    memcpy(log, words, sizeof words);
}

static void renew(struct spill_log *log)
{
    spill_identify(log->id);
    log->number = 1;
    log->index = 0;
    memset(log->introduced, 0, sizeof log->introduced);
    leave_file(log);
    log->generation = process_generation();
}

/* A log that nobody holds. One whose holder has vanished in the middle of who knows what is begun anew. */
static bool claim(struct spill_log *log, uint32_t tid)
{
    uint32_t holder = __atomic_load_n(&log->holder, __ATOMIC_RELAXED);
    if (holder && holder != tid && !thread_gone(holder))
        return false;
    /* acquire: pairs with the release in spill_thread_exit(): what the last holder wrote is seen. */
    if (!__atomic_compare_exchange_n(&log->holder, &holder, tid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    if (holder || log->generation != process_generation())
        renew(log);
    return true;
}

static struct spill_log *new_log(uint32_t tid)
{
    struct spill_log *log =
        mmap(NULL, log_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (log == MAP_FAILED)
        return NULL;
    log->holder = tid;
    renew(log);
    /* release: pairs with the acquire in thread_log(). */
    struct spill_log *first = __atomic_load_n(&tally_process.spills, __ATOMIC_RELAXED);
    do
        log->next = first;
    while (!__atomic_compare_exchange_n(&tally_process.spills, &first, log, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
    return log;
}

static int thread_log(struct thread *thread, struct spill_log **out)
{
    uint64_t generation = process_generation();
    if (thread->spill && thread->spill_generation == generation) {
        *out = thread->spill;
        return 0;
    }
    if (process_is_vfork_child())
        return -EAGAIN; /* what it claimed would seem to be a dead thread's as soon as it execs */
    uint32_t tid = gettid_now();
    struct spill_log *log =
        __atomic_load_n(&tally_process.spills, __ATOMIC_ACQUIRE); /* pairs with new_log() */
    while (log && !claim(log, tid))
        log = log->next;
    if (!log)
        log = new_log(tid);
    if (!log)
        return -ENOMEM;
    thread->spill = log;
    thread->spill_generation = generation;
    thread_watch_exit(thread);
    *out = log;
    return 0;
}

void spill_start(void)
{
    tally_process.spilled = 0;
    tally_process.spilled_bytes = 0;
    tally_process.spill_counted_ns = 0;
    /* Of a parent: its threads did not come along, and its logs go on without us. */
    for (struct spill_log *log = tally_process.spills; log; log = log->next) {
        log->holder = 0;
        log->generation = 0;
    }
}

void spill_thread_exit(struct thread *thread)
{
    struct spill_log *log = thread->spill;
    if (!log || thread->spill_generation != process_generation() || !thread_enter(thread))
        return;
    thread->spill = NULL;
    __atomic_store_n(&log->holder, 0, __ATOMIC_RELEASE); /* pairs with the acquire in claim() */
    thread_leave(thread);
}

/* ---- a record ------------------------------------------------------------------------------ */

/* A file that is taken costs another try, in the next file of the log. An error too, but once: the space may have been
 * short for this file's or this folder's reasons alone. Where it ends with an error nobody knows what of it stands in a file, so
 * that its numbers must not be used for other records: a new log. */
static int write_log(struct spill_log *log, struct tally_record_header *record)
{
    bool failed_before = false;
    int result = -EAGAIN;
    for (int i = 0; i < TRIES; i++) {
        result = write_once(log, record);
        if (result == 0)
            return 0;
        if (result < 0 && failed_before)
            break;
        failed_before = failed_before || result < 0;
    }
    renew(log);
    return result < 0 ? result : -EAGAIN;
}

int spill_write(struct thread *thread, struct tally_record_header *record)
{
    struct slow_path slow = slow_path_begin();
    struct spill_log *log;
    uint64_t signals = signals_block();
    int result = thread_log(thread, &log);
    if (result == 0)
        result = write_log(log, record);
    if (result == 0)
        __atomic_store_n(&tally_process.spilled, 1, __ATOMIC_RELAXED);
    else
        process_debug("tally: thread %u cannot spill: error %d", gettid_now(), -result);
    signals_restore(signals);
    slow_path_end(slow);
    return result;
}
