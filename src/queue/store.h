/* SPDX-License-Identifier: MIT */
/* The slots of a queue: one array for all three orders. Everything here is called under the queue's guard,
 * but for alloc.
 *
 *     FIFO      a ring: the oldest at `head`, the newest `count - 1` further, both masked
 *     LIFO      a stack: slots 0 .. count - 1, the newest last
 *     PRIORITY  a binary heap in slots 0 .. count - 1, the next one in slot 0; each slot ends with the number of its
 *               put, which decides among equals
 *
 * count <= mask + 1. Of an item, `copy_size` bytes lie at the slot's begin. */
#ifndef MOTET_QUEUE_STORE_H
#define MOTET_QUEUE_STORE_H

#include "queue/queue.h"

#include <string.h>

/* An array of 2^k slots, at least `slots`, or NULL; *ret_mask its mask. Without the guard. */
unsigned char *motet__store_alloc(const motet_queue *q, size_t slots, size_t *ret_mask);

/* How many slots a new queue begins with. */
size_t motet__store_first_slots(const motet_queue *q);

/* Moves everything to a larger array. Returns what is to be freed, maybe NULL. */
unsigned char *motet__store_grow(motet_queue *q, unsigned char *slots, size_t mask);

/* With QUEUE_SPARE: goes back to the smaller array once that has become roomy. Returns what is to be freed,
 * maybe NULL. */
unsigned char *motet__store_shrink(motet_queue *q);

void motet__heap_push(motet_queue *q, const void *item);
void motet__heap_pop(motet_queue *q, void *item);
void motet__store_push_many(motet_queue *q, const void *items, size_t n);
void motet__store_pop_many(motet_queue *q, void *items, size_t n);

static inline unsigned char *store_slot(const motet_queue *q, size_t i) { return q->slots + (i & q->mask) * q->stride; }

/* Most items are a word or two: no call for those. */
static inline void store_copy(void *restrict to, const void *restrict from, size_t size)
{
    switch (size) {
    case 4: __builtin_memcpy(to, from, 4); break;
    case 8: __builtin_memcpy(to, from, 8); break;
    case 16: __builtin_memcpy(to, from, 16); break;
    default: memcpy(to, from, size);
    }
}

static inline void store_count(motet_queue *q, size_t count)
{
    atomic_store_relaxed(&q->count, count); /* relaxed: who reads it without the guard takes it for a hint */
}

/* Puts one of `size` bytes, the queue's copy_size; there is a free slot. */
static inline void store_push(motet_queue *q, const void *item, size_t size)
{
    if (unlikely(q->order == MOTET_PRIORITY)) {
        motet__heap_push(q, item);
        return;
    }
    store_copy(store_slot(q, q->head + q->count), item, size);
    store_count(q, q->count + 1);
}

/* Where the next one lies; there is one. */
static inline const void *store_peek(const motet_queue *q)
{
    return store_slot(q, q->order == MOTET_LIFO ? q->count - 1 : q->head);
}

/* Moves the next one, of `size` bytes, to `item`; there is one. */
static inline void store_pop(motet_queue *q, void *item, size_t size)
{
    if (unlikely(q->order == MOTET_PRIORITY)) {
        motet__heap_pop(q, item);
        return;
    }
    store_copy(item, store_peek(q), size);
    q->head += q->order == MOTET_FIFO;
    store_count(q, q->count - 1);
}

#endif
