/* connection_place.c: see connection_place.h.
 *
 * The lock says which process's content it guards: with the generation in the same word, a child takes over in one exchange both a place and the lock
 * that one of its parent's threads held, and no thread mistakes a parent's connection for its own.
 *
 * Generations. A page that the kernel wipes in a child (MADV_WIPEONFORK; where that is refused a fork handler does it) holds the pid and the
 * generation. Wiped: this is a child that has not begun anything yet; what is in the places is its parent's, and is left alone until the
 * child begins a connection itself. So ending and reading never begin a generation, and a vfork child of such a child, which closes
 * descriptors by the hundred before it execs, cannot take the page for its own. Another pid there: a vfork child, in whose parent's memory
 * we are: touch nothing. (A vfork child that sent an HTTP request before any other thread of a fresh process did
 * would leave its pid there, and nothing would be captured after it. Nobody does that.)
 *
 * A raw clone() without CLONE_VM is a fork to all of this; one with CLONE_VM and a pid of its own is a vfork.
 *
 * Killed right here: all is private memory.
 */
#include "capture/connection_place.h"

#include <string.h>
#include <sys/mman.h>

#include "platform.h"

#define BUCKETS         1024u
#define BUCKET_KEYS     8u /* one line of the cache */
#define ABANDONED       UINT32_C(0x80000000)
#define WAIT_MAX_NS     1000000000u
#define WAIT_FIRST_NS   20000u
#define WAIT_LONGEST_NS 1000000u
#define SPINS           200

struct page {
    uint64_t owner; /* pid << 32 | generation */
};

static struct {
    struct page *page;
    uint32_t last_generation; /* of this process or of those it was forked from */
    struct place descriptors[PLACE_DESCRIPTORS];
    struct place objects[BUCKETS * BUCKET_KEYS];
    uintptr_t keys[BUCKETS][BUCKET_KEYS] __attribute__((aligned(64)));
} places;

/* ---- generations ----------------------------------------------------------------------------------- */

static void wipe_in_child(void)
{
    __atomic_store_n(&places.page->owner, 0, __ATOMIC_RELAXED);
}

static struct page *page_get(bool begin)
{
    /* acquire: pairs with the exchange below, in whichever thread. */
    struct page *page = __atomic_load_n(&places.page, __ATOMIC_ACQUIRE);
    if (page || !begin)
        return page;
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    struct page *fresh = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    bool wiped = madvise(fresh, bytes, MADV_WIPEONFORK) == 0;
    /* release: pairs with the acquire above; acquire: with the winner's release. */
    if (!__atomic_compare_exchange_n(&places.page, &page, fresh, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
        munmap(fresh, bytes);
        return page;
    }
    if (!wiped)
        pthread_atfork(NULL, NULL, wipe_in_child);
    return fresh;
}

uint32_t place_generation(bool begin)
{
    struct page *page = page_get(begin);
    if (!page)
        return 0;
    uint64_t owner = __atomic_load_n(&page->owner, __ATOMIC_RELAXED);
    uint32_t pid = (uint32_t)getpid();
    if (!owner && begin) {
        /* Counted before it is used: a child that is forked in between counts on from here. */
        uint32_t generation = __atomic_add_fetch(&places.last_generation, 1, __ATOMIC_RELAXED);
        uint64_t ours = (uint64_t)pid << 32 | generation;
        if (__atomic_compare_exchange_n(&page->owner, &owner, ours, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            owner = ours;
    }
    return owner >> 32 == pid ? (uint32_t)owner : 0;
}

/* ---- finding --------------------------------------------------------------------------------------- */

static uint32_t bucket_of(uintptr_t key)
{
    return (uint32_t)((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15) >> 54);
}
_Static_assert(BUCKETS == 1u << (64 - 54), "bucket_of() knows how many there are");

static int find_key(uint32_t bucket, uintptr_t key)
{
    for (uint32_t i = 0; i < BUCKET_KEYS; i++)
        if (__atomic_load_n(&places.keys[bucket][i], __ATOMIC_RELAXED) == key)
            return (int)i;
    return -1;
}

bool place_is_used(enum capture_layer layer, uintptr_t key)
{
    if (layer == CAPTURE_SOCKET)
        return key < PLACE_DESCRIPTORS &&
               __atomic_load_n(&places.descriptors[key].content, __ATOMIC_RELAXED) != 0;
    return key && find_key(bucket_of(key), key) >= 0;
}

/* ---- locking --------------------------------------------------------------------------------------- */

static void pause_ns(uint32_t ns)
{
    struct timespec time = {.tv_nsec = ns};
    /* Raw: the C library's is a cancellation point. */
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
}

static bool lock(struct place_hold *hold, struct place *place, uint32_t generation)
{
    uint32_t self = gettid_now();
    uint32_t waited_ns = 0, pause = WAIT_FIRST_NS;
    uint64_t wanted = (uint64_t)generation << 32 | self;
    uint64_t now = __atomic_load_n(&place->lock, __ATOMIC_RELAXED);

    for (int tries = 0;; tries++) {
        uint32_t holder = (uint32_t)now;
        bool stale = now >> 32 != generation;
        *hold = (struct place_hold){place, wanted, stale, stale && holder != 0};
        if (stale || !holder) {
            /* acquire: pairs with the release in place_unlock(). */
            if (__atomic_compare_exchange_n(&place->lock, &now, wanted, false, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED))
                return true;
            continue;
        }
        if (holder & ABANDONED)
            return false;
        if (holder == self || waited_ns >= WAIT_MAX_NS) {
            if (__atomic_compare_exchange_n(&place->lock, &now, now | ABANDONED, false, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED))
                return false;
            continue;
        }
        if (tries > SPINS) {
            pause_ns(pause);
            waited_ns += pause;
            pause = pause * 2 > WAIT_LONGEST_NS ? WAIT_LONGEST_NS : pause * 2;
        }
        now = __atomic_load_n(&place->lock, __ATOMIC_RELAXED);
    }
}

bool place_unlock(const struct place_hold *hold)
{
    uint64_t *word = &hold->place->lock;
    uint64_t now = hold->lock;
    /* release: pairs with the acquire in lock(). */
    if (__atomic_compare_exchange_n(word, &now, now >> 32 << 32, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return true;
    /* Neither ours nor abandoned: a signal handler has forked us in the middle, and the child that we are has begun anew. */
    if (now != (hold->lock | ABANDONED))
        return true;
    __atomic_store_n(word, hold->lock, __ATOMIC_RELAXED);
    return false;
}

/* A key's place in its bucket is found, locked, and looked at again: it may have become another's meanwhile. */
static bool lock_object(struct place_hold *hold, uintptr_t key, uint32_t generation, bool begin)
{
    uint32_t bucket = bucket_of(key);
    int found = find_key(bucket, key);
    for (uint32_t i = 0; i < BUCKET_KEYS; i++) {
        struct place *place = &places.objects[bucket * BUCKET_KEYS + i];
        uintptr_t *slot = &places.keys[bucket][i];
        if (found >= 0 ? (int)i != found
                       : !begin || (__atomic_load_n(slot, __ATOMIC_RELAXED) &&
                                    __atomic_load_n(&place->lock, __ATOMIC_RELAXED) >> 32 == generation))
            continue;
        if (!lock(hold, place, generation)) {
            if (found >= 0)
                return false;
            continue;
        }
        uintptr_t now = __atomic_load_n(slot, __ATOMIC_RELAXED);
        if (now == key)
            return true;
        if (found < 0 && (!now || hold->stale)) {
            __atomic_store_n(slot, key, __ATOMIC_RELAXED);
            return true;
        }
        while (!place_unlock(hold))
            ;
        if (found >= 0)
            return false;
    }
    return false;
}

bool place_lock(struct place_hold *hold, enum capture_layer layer, uintptr_t key, uint32_t generation,
                bool begin)
{
    if (layer != CAPTURE_SOCKET)
        return key && lock_object(hold, key, generation, begin);
    return key < PLACE_DESCRIPTORS && lock(hold, &places.descriptors[key], generation);
}

void place_clear(enum capture_layer layer, struct place *place)
{
    __atomic_store_n(&place->content, 0, __ATOMIC_RELAXED);
    if (layer != CAPTURE_SOCKET) {
        size_t index = (size_t)(place - places.objects);
        __atomic_store_n(&places.keys[index / BUCKET_KEYS][index % BUCKET_KEYS], 0, __ATOMIC_RELAXED);
    }
}
