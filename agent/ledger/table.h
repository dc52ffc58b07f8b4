/* table.h: a hash table of things that carry their own node. Keys come from clients, so the hash is seeded:
 * nobody outside can choose keys that fall into one chain. One thread.
 */
#ifndef TALLY_LEDGER_TABLE_H
#define TALLY_LEDGER_TABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct table_node {
    struct table_node *next;
    uint64_t hash;
};

struct table {
    struct table_node **buckets;
    size_t size; /* a power of two, or 0 before the first insertion */
    size_t count;
};

#define TABLE_ITEM(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline uint64_t table_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product =
        (unsigned __int128)(a ^ UINT64_C(0x9E3779B97F4A7C15)) * (b ^ UINT64_C(0xD1B54A32D192ED03));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Hash of any bytes. */
static inline uint64_t table_hash(uint64_t seed, const void *key, size_t length)
{
    const unsigned char *bytes = key;
    uint64_t hash = seed ^ length;
    uint64_t word;
    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        hash = table_mix(hash ^ word, seed);
    }
    word = 0;
    memcpy(&word, bytes, length);
    return table_mix(hash ^ word, seed + 1);
}

/* The chain in which the hash would stand. */
static inline struct table_node *table_chain(const struct table *table, uint64_t hash)
{
    return table->size ? table->buckets[hash & (table->size - 1)] : NULL;
}

static inline int table_grow(struct table *table)
{
    size_t size = table->size ? table->size * 2 : 256;
    struct table_node **buckets = calloc(size, sizeof(struct table_node *));
    if (!buckets)
        return -ENOMEM;
    for (size_t i = 0; i < table->size; i++) {
        struct table_node *next;
        for (struct table_node *node = table->buckets[i]; node; node = next) {
            struct table_node **bucket = &buckets[node->hash & (size - 1)];
            next = node->next;
            node->next = *bucket;
            *bucket = node;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->size = size;
    return 0;
}

/* -ENOMEM only if the table could not even begin. */
static inline int table_insert(struct table *table, struct table_node *node, uint64_t hash)
{
    if (table->count >= table->size && table_grow(table) && !table->size)
        return -ENOMEM;
    struct table_node **bucket = &table->buckets[hash & (table->size - 1)];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->count++;
    return 0;
}

static inline void table_remove(struct table *table, struct table_node *node)
{
    struct table_node **at = &table->buckets[node->hash & (table->size - 1)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    table->count--;
}

/* Take all nodes out, one chain after another: for (node = table_any(t); node; node = table_any(t)). */
static inline struct table_node *table_take_any(struct table *table, size_t *from)
{
    for (; *from < table->size; (*from)++) {
        struct table_node *node = table->buckets[*from];
        if (node) {
            table->buckets[*from] = node->next;
            table->count--;
            return node;
        }
    }
    return NULL;
}

static inline void table_free(struct table *table)
{
    free(table->buckets);
    *table = (struct table){NULL, 0, 0};
}

#endif
