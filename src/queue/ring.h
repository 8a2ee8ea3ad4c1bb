/* SPDX-License-Identifier: MIT */
/* The ring of a MOTET_FIFO queue: puts at one end, gets at the other, each end with a word of its own.
 *
 *     word = position * RING_STEP + flags        slot of a position: position & mask
 *
 * `in` counts what was put, ever, `out` what was got:   out <= in <= out + limit,  limit <= slots, capacity.
 * Slots [out, in) hold items, and are the getters'; the rest are the putters'.
 *
 * An end is HELD by who works there (a spin lock inside the word, taken by compare-and-swap), and released by one
 * store that publishes position and flags together:
 *
 *     free --(cas, acquire)--> HELD --(store, release)--> free, further on by as many as were moved
 *
 * So a put, or a get, is one read-modify-write and one store; its effect is that store. The holder compares with the
 * other end's position, of which it keeps a copy (`seen`) and looks at the true one (acquire, partner of the other
 * end's release) only when by the copy nothing goes: then the line with the word comes over once for many items.
 *
 * Flags of an end, changed by who holds the guard and the end:
 *
 *     RING_GATE   somebody on the other side waits untold (queue.h): whoever comes takes the guard
 *     RING_SHUT   of `in`: nothing more is put
 *     RING_SPARE  of `out`: there is a smaller array to go back to, when few are left
 *
 * What each call says is true at one moment: of a put or get that went through, the release; of one that finds the
 * ring full or empty, the look at the other end, while its own is held and stands still. put_many of more than there
 * is room for, and get_many of more than there are, must have found *all* the room or items, so that they hold both
 * ends (and the guard); so does what changes the array.
 *
 * An end is held for a few instructions and one copy. Who finds it held spins, less and less often, so that the
 * holder goes on undisturbed and several of its calls follow each other; then offers its CPU; then naps, since the
 * holder may have lost its own, and may be of lower priority than all who wait. Nobody at the *other* end waits for
 * a holder: to them what is not released has not happened. (Two locks, one an end: after Maged Michael and Michael
 * Scott, "Simple, fast, and practical non-blocking and blocking concurrent queue algorithms", 1996; the copy of the
 * other's position: after Lee, Bu and Chandranmenon, "A lock-free, cache-efficient multi-core synchronization
 * mechanism for line-rate network traffic monitoring", 2010.) */
#ifndef MOTET_QUEUE_RING_H
#define MOTET_QUEUE_RING_H

#include "queue/store.h"

enum {
    RING_HELD = 1,
    RING_GATE = 2,
    RING_SHUT = 4,
    RING_SPARE = 4,
    RING_STEP = 8,
    RING_FLAGS = RING_STEP - 1,
};

/* ---- an end ---------------------------------------------------------------------------------------- */

static inline uint64_t ring_position(uint64_t word) { return word / RING_STEP; }

uint64_t motet__ring_hold_slow(uint64_t *word, uint64_t unless);

/* Holds the end, unless it has one of the flags `unless`. Its word without HELD, which has such a flag or is held. */
static inline uint64_t ring_hold(uint64_t *word, uint64_t unless)
{
    uint64_t w = atomic_load_relaxed(word); /* relaxed: the cas decides */
    if (likely(!(w & (RING_HELD | unless)) && atomic_cas_acquire(word, &w, w | RING_HELD)))
        return w;
    return motet__ring_hold_slow(word, unless);
}

/* Publishes what was done at the end to the next who holds it, and to who looks from the other. */
static inline void ring_release(uint64_t *word, uint64_t w) { atomic_store_release(word, w); }

/* Both ends, as their words are: those who hold the guard. */
typedef struct ring_ends {
    uint64_t in, out;
} ring_ends;

static inline ring_ends ring_hold_both(motet_queue *q)
{
    uint64_t in = ring_hold(&q->in.word, 0), out = ring_hold(&q->out.word, 0);
    return (ring_ends){in, out};
}

/* How many are in, at one moment of the call. */
static inline size_t ring_count(const motet_queue *q)
{
    for (;;) {
        uint64_t in = ring_position(atomic_load_acquire(&q->in.word));
        uint64_t out = ring_position(atomic_load_acquire(&q->out.word));
        if (ring_position(atomic_load_acquire(&q->in.word)) == in)
            return in - out;
    }
}

/* ---- the quick way --------------------------------------------------------------------------------- */

static inline void ring_found(ring_end *end, size_t n)
{
    if (n)
        atomic_store_relaxed(&end->found, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX); /* relaxed: a hint */
}

/* `in` is held at `w`: looks at the other end. How much room there is. */
static inline size_t ring_look_for_room(motet_queue *q, uint64_t w)
{
    q->in.seen = ring_position(atomic_load_acquire(&q->out.word));
    size_t n = q->limit - (ring_position(w) - q->in.seen);
    ring_found(&q->in, n);
    return n;
}

/* `out` is held at `w`: looks at the other end. How many there are, or 0 if there is an array to be given back, which
 * needs the guard. */
static inline size_t ring_look_for_items(motet_queue *q, uint64_t w)
{
    uint64_t in = ring_position(atomic_load_acquire(&q->in.word)), n = in - ring_position(w);
    if (unlikely(w & RING_SPARE)) {
        size_t few = store_few(q) + 1;
        n = n > few ? n - few : 0; /* that is when to look next */
    }
    q->out.seen = ring_position(w) + n;
    ring_found(&q->out, n);
    return n;
}

/* The slot's line comes over while the end is being held, not after: what a put costs is mostly two lines that another
 * core has. An array that is being replaced is the wrong one, which does no harm. */
static inline void ring_expect_put(const motet_queue *q)
{
    /* relaxed: see above; the end is not held yet */
    uint64_t at = ring_position(atomic_load_relaxed(&q->in.word)) & atomic_load_relaxed(&q->mask);
    const unsigned char *slot = atomic_load_relaxed(&q->slots) + at * q->stride;
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*slot)); /* seam: no access, a hint */
#else
    __builtin_prefetch(slot, 1);
#endif
}

/* Puts one of `size` bytes, the queue's copy_size, or refuses: full, shut, somebody to be told. */
static inline bool ring_put(motet_queue *q, const void *item, size_t size)
{
    ring_expect_put(q);
    uint64_t w = ring_hold(&q->in.word, RING_GATE | RING_SHUT), at = ring_position(w);
    if (unlikely(w & (RING_GATE | RING_SHUT)))
        return false;
    if (unlikely(at - q->in.seen >= q->limit) && !ring_look_for_room(q, w)) {
        ring_release(&q->in.word, w);
        return false;
    }
    store_copy(store_slot(q, at), item, size);
    ring_release(&q->in.word, w + RING_STEP);
    return true;
}

/* Gets one of `size` bytes, or refuses: empty, somebody to be told, memory to be given back. */
static inline bool ring_get(motet_queue *q, void *item, size_t size)
{
    uint64_t w = ring_hold(&q->out.word, RING_GATE), at = ring_position(w);
    if (unlikely(w & RING_GATE))
        return false;
    if (unlikely(at == q->out.seen) && !ring_look_for_items(q, w)) {
        ring_release(&q->out.word, w);
        return false;
    }
    store_copy(item, store_slot(q, at), size);
    ring_release(&q->out.word, w + RING_STEP);
    return true;
}

/* All of `n`, or refuses. */
bool motet__ring_put_all(motet_queue *q, const void *items, size_t n);
bool motet__ring_get_all(motet_queue *q, void *items, size_t n);

/* ---- under the guard ------------------------------------------------------------------------------- */

/* As motet__store_put and motet__store_get (store.h). */
int motet__ring_put_some(motet_queue *q, const void *items, size_t n, size_t want, size_t *slots);
int motet__ring_get_some(motet_queue *q, void *items, size_t n, size_t *room);

/* How many of those who wait at the gate are to be told, as `due` says of what there is for them; shows the others. */
uint32_t motet__ring_settle(motet_queue *q, gate *g, uint32_t due(const motet_queue *q, gate *g, size_t there));

/* From now on nothing is put. */
void motet__ring_shut(motet_queue *q);

/* ---- waiting awake --------------------------------------------------------------------------------- */

/* Watches, for as long as watching has paid of late, for room or items or shutdown. True: worth another try. The caller
 * is counted in `watching` of the end meanwhile. */
bool motet__ring_watch(motet_queue *q, bool to_put, motet_time deadline);

#endif
