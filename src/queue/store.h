/* SPDX-License-Identifier: MIT */
/* The slots of a queue: one array for all three orders.
 *
 *     FIFO      a ring (ring.h)
 *     LIFO      a stack: slots 0 .. count - 1, the newest last
 *     PRIORITY  a binary heap in slots 0 .. count - 1, the next one in slot 0; each slot ends with the number of its
 *               put, which decides among equals
 *
 * The latter two are piles, and everything about them is under the queue's guard. count <= mask + 1. Of an item,
 * `copy_size` bytes lie at the slot's begin. */
#ifndef MOTET_QUEUE_STORE_H
#define MOTET_QUEUE_STORE_H

#include "queue/queue.h"

#include <string.h>

/* ---- the array ------------------------------------------------------------------------------------- */

/* An array of 2^k slots, at least `slots`, or NULL; *ret_mask its mask. Without the guard. */
unsigned char *motet__store_alloc(const motet_queue *q, size_t slots, size_t *ret_mask);

/* How many slots a new queue begins with. */
size_t motet__store_first_slots(const motet_queue *q);

/* Moves in, or to a larger array. Returns what is to be freed, maybe NULL. */
void motet__store_use(motet_queue *q, unsigned char *slots, size_t mask);
unsigned char *motet__store_grow(motet_queue *q, unsigned char *slots, size_t mask);

/* With QUEUE_SPARE: goes back to the smaller array once that has become roomy. Returns what is to be freed,
 * maybe NULL. */
unsigned char *motet__store_shrink(motet_queue *q);

/* The smaller array is gone back to when so many are left: a fourth of what it holds. */
static inline size_t store_few(const motet_queue *q) { return (q->spare_mask + 1) / 4; }

static inline unsigned char *store_slot(const motet_queue *q, uint64_t i)
{
    return q->slots + (i & q->mask) * q->stride;
}

/* ---- put and get, under the guard: of all orders --------------------------------------------------- */

/* Puts the first of `n` items: as many as there is room for. How many; 0: full; -ENOBUFS, and nothing was put: for up to
 * `want` of them, if capacity allows, so many slots in all are needed. *slots is 0 but for that. */
int motet__store_put(motet_queue *q, const void *items, size_t n, size_t want, size_t *slots);

/* Moves the next items, up to `n`, to `items`. How many; 0: empty; with `room` -EMSGSIZE, as motet__queue_get. */
int motet__store_get(motet_queue *q, void *items, size_t n, size_t *room);

/* ---- what both have in common ---------------------------------------------------------------------- */

static inline size_t store_least(size_t a, size_t b) { return a < b ? a : b; }

/* How many of `n` places from `at` on lie before the array's end. */
static inline size_t store_straight(size_t mask, uint64_t at, size_t n)
{
    return store_least(n, mask + 1 - (at & mask));
}

/* With `count` in: how many of n go in, 0 too when *slots says how many slots that takes. As motet__store_put. */
static inline size_t store_room(const motet_queue *q, size_t count, size_t n, size_t want, size_t *slots)
{
    size_t room = q->capacity - count, free = q->mask + 1 - count, wanted = store_least(want, room);
    *slots = free < wanted ? count + wanted : 0;
    return *slots ? 0 : store_least(n, store_least(room, free));
}

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

/* ---- one of a pile, under the guard ---------------------------------------------------------------- */

void motet__heap_push(motet_queue *q, const void *item);
void motet__heap_pop(motet_queue *q, void *item);

static inline void pile_count(motet_queue *q, size_t count)
{
    atomic_store_relaxed(&q->count, count); /* relaxed: who reads it without the guard takes it for a hint */
}

/* Puts one of `size` bytes, the queue's copy_size; there is a free slot. */
static inline void pile_push(motet_queue *q, const void *item, size_t size)
{
    if (q->order == MOTET_PRIORITY) {
        motet__heap_push(q, item);
        return;
    }
    store_copy(store_slot(q, q->count), item, size);
    pile_count(q, q->count + 1);
}

/* Moves the next one, of `size` bytes, to `item`; there is one. */
static inline void pile_pop(motet_queue *q, void *item, size_t size)
{
    q->got++;
    if (q->order == MOTET_PRIORITY) {
        motet__heap_pop(q, item);
        return;
    }
    store_copy(item, store_slot(q, q->count - 1), size);
    pile_count(q, q->count - 1);
}

#endif
