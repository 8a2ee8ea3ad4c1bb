/* SPDX-License-Identifier: MIT */
/* The slots of a queue: growing and shrinking, the stack and the heap. Layout: store.h. */
#include "queue/store.h"

#include "base/panic.h"
#include "queue/message.h"
#include "queue/ring.h"

enum {
    FIRST_SLOTS = 16,       /* of an unbounded queue */
    KEPT_BYTES = 64 * 1024, /* an array up to this size stays when the queue runs empty */
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

void motet__store_use(motet_queue *q, unsigned char *slots, size_t mask)
{
    /* relaxed: who holds an end, or the guard, has them from there; who does not, only expects to (ring_expect_put) */
    atomic_store_relaxed(&q->slots, slots);
    atomic_store_relaxed(&q->mask, mask);
    q->limit = store_least(mask + 1, q->capacity);
}

/* What is in, at positions from `begin` to `end`, goes to the same positions of another array. */
static void move_to(motet_queue *q, unsigned char *to, size_t mask, uint64_t begin, uint64_t end)
{
    MOTET_ASSERT(end - begin <= mask + 1);
    for (uint64_t at = begin; at != end;) {
        size_t n = store_straight(mask, at, store_straight(q->mask, at, end - at));
        memcpy(to + (at & mask) * q->stride, store_slot(q, at), n * q->stride);
        at += n;
    }
    motet__store_use(q, to, mask);
}

static void set_spare(motet_queue *q, unsigned char *spare, size_t mask)
{
    uint32_t flags = q->flags & ~(uint32_t)QUEUE_SPARE;
    q->spare = spare;
    q->spare_mask = mask;
    atomic_store_relaxed(&q->flags, spare ? flags | QUEUE_SPARE : flags); /* relaxed: the guard publishes it */
}

/* Of what is known to lie in `begin` .. `end`: */
static unsigned char *grow(motet_queue *q, unsigned char *slots, size_t mask, uint64_t begin, uint64_t end)
{
    unsigned char *old = q->slots;
    size_t old_mask = q->mask;
    move_to(q, slots, mask, begin, end);
    if ((q->flags & QUEUE_SPARE) || (mask + 1) * q->stride <= KEPT_BYTES)
        return old;
    set_spare(q, old, old_mask);
    return NULL;
}

static unsigned char *shrink(motet_queue *q, uint64_t begin, uint64_t end)
{
    if (end - begin > store_few(q))
        return NULL;
    unsigned char *old = q->slots;
    move_to(q, q->spare, q->spare_mask, begin, end);
    set_spare(q, NULL, 0);
    return old;
}

/* Both ends are free again, and say whether there is a spare array. Each has to look before it goes on. */
static void release_moved(motet_queue *q, ring_ends e)
{
    q->in.seen = q->out.seen = ring_position(e.out);
    ring_release(&q->out.word, q->spare ? e.out | RING_SPARE : e.out & ~(uint64_t)RING_SPARE);
    ring_release(&q->in.word, e.in);
}

unsigned char *motet__store_grow(motet_queue *q, unsigned char *slots, size_t mask)
{
    if (q->order != MOTET_FIFO)
        return grow(q, slots, mask, 0, q->count);
    ring_ends e = ring_hold_both(q);
    unsigned char *old = grow(q, slots, mask, ring_position(e.out), ring_position(e.in));
    release_moved(q, e);
    return old;
}

unsigned char *motet__store_shrink(motet_queue *q)
{
    if (q->order != MOTET_FIFO)
        return shrink(q, 0, q->count);
    ring_ends e = ring_hold_both(q);
    unsigned char *old = shrink(q, ring_position(e.out), ring_position(e.in));
    release_moved(q, e);
    return old;
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
    pile_count(q, q->count + 1);
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
    pile_count(q, n);
}

/* ---- put and get ----------------------------------------------------------------------------------- */

int motet__store_put(motet_queue *q, const void *items, size_t n, size_t want, size_t *slots)
{
    if (q->order == MOTET_FIFO)
        return motet__ring_put_some(q, items, n, want, slots);
    const unsigned char *from = items;
    n = store_room(q, q->count, n, want, slots);
    for (size_t i = 0; i < n; i++)
        pile_push(q, from + i * q->copy_size, q->copy_size);
    return *slots ? -ENOBUFS : (int)n;
}

int motet__store_get(motet_queue *q, void *items, size_t n, size_t *room)
{
    if (q->order == MOTET_FIFO)
        return motet__ring_get_some(q, items, n, room);
    unsigned char *to = items;
    n = store_least(n, q->count);
    int e = n && room ? motet__message_fits(store_slot(q, q->order == MOTET_LIFO ? q->count - 1 : 0), room) : 0;
    if (e < 0)
        return e;
    for (size_t i = 0; i < n; i++)
        pile_pop(q, to + i * q->copy_size, q->copy_size);
    return (int)n;
}
