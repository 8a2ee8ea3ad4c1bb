/* SPDX-License-Identifier: MIT */
/* The slots of a queue: growing and shrinking, many at once, and the heap. Layout: store.h. */
#include "queue/store.h"

#include "base/panic.h"
#include "queue/message.h"

#include <string.h>

enum {
    FIRST_SLOTS = 16,       /* of an unbounded queue */
    KEPT_BYTES = 64 * 1024, /* an array up to this size stays when the queue runs empty */
    SHRINK_SHARE = 4,       /* the smaller array is gone back to when it would be filled to this part at most */
};

/* ---- the array ------------------------------------------------------------------------------------- */

/* No array is larger; more than an address space has. */
static const size_t array_bytes_max = (size_t)1 << 47;

static size_t power_of_two(size_t n) { return n < 2 ? 1 : (size_t)1 << (64 - __builtin_clzl(n - 1)); }

unsigned char *motet__store_alloc(const motet_queue *q, size_t slots, size_t *ret_mask)
{
    if (slots > array_bytes_max / q->stride)
        return NULL;
    slots = power_of_two(slots);
    *ret_mask = slots - 1;
    return sys_alloc(slots * q->stride);
}

size_t motet__store_first_slots(const motet_queue *q)
{
    size_t fit = KEPT_BYTES / q->stride;
    size_t wanted = q->capacity == SIZE_MAX ? FIRST_SLOTS : q->capacity;
    if (wanted > fit)
        wanted = fit;
    return wanted ? wanted : 1;
}

/* Copies everything to the begin of `to`. */
static void move_to(motet_queue *q, unsigned char *to, size_t mask)
{
    size_t at = q->head & q->mask, before_end = q->mask + 1 - at;
    size_t straight = q->count < before_end ? q->count : before_end;
    MOTET_ASSERT(q->count <= mask + 1);
    memcpy(to, q->slots + at * q->stride, straight * q->stride);
    memcpy(to + straight * q->stride, q->slots, (q->count - straight) * q->stride);
    q->slots = to;
    q->mask = mask;
    q->head = 0;
}

unsigned char *motet__store_grow(motet_queue *q, unsigned char *slots, size_t mask)
{
    unsigned char *old = q->slots;
    size_t old_mask = q->mask;
    move_to(q, slots, mask);
    if ((q->flags & QUEUE_SPARE) || (mask + 1) * q->stride <= KEPT_BYTES)
        return old;
    q->spare = old;
    q->spare_mask = old_mask;
    atomic_store_relaxed(&q->flags, q->flags | QUEUE_SPARE);
    return NULL;
}

unsigned char *motet__store_shrink(motet_queue *q)
{
    if (q->count > (q->spare_mask + 1) / SHRINK_SHARE)
        return NULL;
    unsigned char *old = q->slots;
    move_to(q, q->spare, q->spare_mask);
    q->spare = NULL;
    atomic_store_relaxed(&q->flags, q->flags & ~(uint32_t)QUEUE_SPARE);
    return old;
}

/* ---- many at once ---------------------------------------------------------------------------------- */

void motet__store_push_many(motet_queue *q, const void *items, size_t n)
{
    const unsigned char *from = items;
    if (q->order == MOTET_PRIORITY) {
        for (size_t i = 0; i < n; i++)
            motet__heap_push(q, from + i * q->copy_size);
        return;
    }
    size_t at = (q->head + q->count) & q->mask, before_end = q->mask + 1 - at;
    size_t straight = n < before_end ? n : before_end;
    memcpy(q->slots + at * q->stride, from, straight * q->copy_size);
    memcpy(q->slots, from + straight * q->copy_size, (n - straight) * q->copy_size);
    store_count(q, q->count + n);
}

void motet__store_pop_many(motet_queue *q, void *items, size_t n)
{
    unsigned char *to = items;
    if (q->order != MOTET_FIFO) {
        for (size_t i = 0; i < n; i++)
            store_pop(q, to + i * q->copy_size, q->copy_size);
        return;
    }
    size_t at = q->head & q->mask, before_end = q->mask + 1 - at;
    size_t straight = n < before_end ? n : before_end;
    memcpy(to, q->slots + at * q->stride, straight * q->copy_size);
    memcpy(to + straight * q->copy_size, q->slots, (n - straight) * q->copy_size);
    q->head += n;
    store_count(q, q->count - n);
}

/* ---- the heap -------------------------------------------------------------------------------------- */

static uint64_t sequence_of(const motet_queue *q, const unsigned char *slot)
{
    uint64_t sequence;
    memcpy(&sequence, slot + q->stride - sizeof sequence, sizeof sequence);
    return sequence;
}

/* Whether item a goes before item b, both with their numbers. */
static bool goes_before(const motet_queue *q, const void *a, uint64_t a_sequence, const void *b, uint64_t b_sequence)
{
    int order = motet__queue_compare(q, a, b);
    return order < 0 || (order == 0 && a_sequence < b_sequence);
}

void motet__heap_push(motet_queue *q, const void *item)
{
    uint64_t sequence = q->sequence++;
    size_t hole = q->count;
    while (hole > 0) {
        size_t parent = (hole - 1) / 2;
        unsigned char *above = store_slot(q, parent);
        if (!goes_before(q, item, sequence, above, sequence_of(q, above)))
            break;
        memcpy(store_slot(q, hole), above, q->stride);
        hole = parent;
    }
    unsigned char *slot = store_slot(q, hole);
    memcpy(slot, item, q->copy_size);
    memcpy(slot + q->stride - sizeof sequence, &sequence, sizeof sequence);
    store_count(q, q->count + 1);
}

void motet__heap_pop(motet_queue *q, void *item)
{
    memcpy(item, q->slots, q->copy_size);
    size_t n = q->count - 1, hole = 0;
    const unsigned char *last = store_slot(q, n);
    for (size_t child; (child = 2 * hole + 1) < n; hole = child) {
        const unsigned char *below = store_slot(q, child);
        if (child + 1 < n) {
            const unsigned char *other = below + q->stride;
            if (goes_before(q, other, sequence_of(q, other), below, sequence_of(q, below))) {
                below = other;
                child++;
            }
        }
        if (!goes_before(q, below, sequence_of(q, below), last, sequence_of(q, last)))
            break;
        memcpy(store_slot(q, hole), below, q->stride);
    }
    if (hole != n)
        memcpy(store_slot(q, hole), last, q->stride);
    store_count(q, n);
}
