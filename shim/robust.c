#include "robust.h"

#include "platform.h"

#include <pthread.h>
#include <string.h>

/* glibc and musl: a list pointer addresses the node's `next`; `previous` stands 8 bytes before it and
 * addresses the `next` of its predecessor, or the head. glibc tags pointers to priority-inheriting locks with
 * bit 0. Nodes may be unaligned (the word's place suits both libraries), hence memcpy. */
#define TAG             ((uintptr_t)1)
#define PREVIOUS_OFFSET 8

static uintptr_t load(uintptr_t address)
{
    uintptr_t value;
    memcpy(&value, (const void *)address, sizeof value); // NOLINT(performance-no-int-to-ptr)
    return value;
}

static void store(uintptr_t address, uintptr_t value)
{
    memcpy((void *)address, &value, sizeof value); // NOLINT(performance-no-int-to-ptr)
}

static uintptr_t node_of(const struct robust_list_head *head, const uint32_t *word)
{
    return (uintptr_t)word - (uintptr_t)head->futex_offset;
}

static void set_pending(struct robust_list_head *head, uintptr_t node)
{
    compiler_barrier();
    __atomic_store_n(&head->list_op_pending, (struct robust_list *)node,
                     __ATOMIC_RELAXED); // NOLINT(performance-no-int-to-ptr)
    compiler_barrier();
}

struct robust_list_head *robust_head(bool *busy)
{
    struct robust_list_head *head = NULL;
    size_t size = 0;
    *busy = false;
    if (syscall(SYS_get_robust_list, 0, &head, &size) || !head || size != sizeof *head)
        return NULL;
    if (__atomic_load_n(&head->list_op_pending, __ATOMIC_RELAXED)) {
        *busy = true;
        return NULL;
    }
    return head;
}

/* Lock a robust mutex of our own and look where the library puts what. */
bool robust_self_test(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    bool sound = false;
    bool busy;

    if (pthread_mutexattr_init(&attributes))
        return false;
    /* Shared, for musl has the kernel look after such mutexes alone. */
    if (pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0 &&
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
        pthread_mutex_init(&mutex, &attributes) == 0) {
        if (pthread_mutex_lock(&mutex) == 0) {
            struct robust_list_head *head = robust_head(&busy);
            uintptr_t node = head ? (uintptr_t)head->list.next & ~TAG : 0;
            uintptr_t from = (uintptr_t)&mutex;
            uintptr_t to = from + sizeof mutex - sizeof(uintptr_t);
            if (head && node >= from + PREVIOUS_OFFSET && node <= to && head->futex_offset < 0 &&
                head->futex_offset >= -(long)sizeof mutex) {
                uintptr_t word = node + (uintptr_t)head->futex_offset;
                uint32_t value = 0;
                if (word >= from && word <= to)
                    memcpy(&value, (const void *)word, sizeof value); // NOLINT(performance-no-int-to-ptr)
                sound = (value & FUTEX_TID_MASK) == gettid_now() &&
                        load(node - PREVIOUS_OFFSET) == (uintptr_t)head;
            }
            pthread_mutex_unlock(&mutex);
        }
        pthread_mutex_destroy(&mutex);
    }
    pthread_mutexattr_destroy(&attributes);
    return sound;
}

/* Killed right here, at any instruction: before the CAS the word is another's or free, and the kernel marks a
 * pending word only if it holds our tid; between CAS and clearing, `pending` names the word; afterwards the list
 * does. The kernel follows `next` alone, and head->list.next is stored last, so the list is whole at every point. */
bool robust_take(struct robust_list_head *head, uint32_t *word, uint32_t observed, uint32_t tid)
{
    uintptr_t node = head ? node_of(head, word) : 0;
    if (head)
        set_pending(head, node);
    /* acquire: pairs with the release in robust_leave(), or with the kernel's marking at the death of the
     * owner: all that it wrote to the lane is seen by its successor. */
    bool mine = __atomic_compare_exchange_n(word, &observed, tid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    TESTPOINT(robust_cas);
    if (!head)
        return mine;
    if (mine) {
        uintptr_t next = (uintptr_t)head->list.next;
        store(node, next);
        store(node - PREVIOUS_OFFSET, (uintptr_t)head);
        compiler_barrier();
        /* musl's head has no `previous` in front of it, so it is left alone; glibc never reads its own. */
        if ((next & ~TAG) != (uintptr_t)head)
            store((next & ~TAG) - PREVIOUS_OFFSET, node);
        compiler_barrier();
        __atomic_store_n(&head->list.next, (struct robust_list *)node,
                         __ATOMIC_RELAXED); // NOLINT(performance-no-int-to-ptr)
    }
    set_pending(head, 0);
    return mine;
}

/* Killed right here: until the CAS the kernel finds the word by the list or by `pending`; after it there is
 * nothing to mark. */
void robust_leave(struct robust_list_head *head, uint32_t *word, uint32_t tid)
{
    if (head) {
        uintptr_t node = node_of(head, word);
        uintptr_t next = load(node);
        uintptr_t previous = load(node - PREVIOUS_OFFSET);
        set_pending(head, node);
        if ((next & ~TAG) != (uintptr_t)head)
            store((next & ~TAG) - PREVIOUS_OFFSET, previous);
        store(previous & ~TAG, next);
        compiler_barrier();
    }
    /* release: pairs with the acquire in robust_take() of the next owner. */
    __atomic_compare_exchange_n(word, &tid, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    if (head)
        set_pending(head, 0);
}
