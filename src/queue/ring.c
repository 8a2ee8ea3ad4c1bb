/* SPDX-License-Identifier: MIT */
/* The ring: holding an end that is contended, many at once, both ends together. States: ring.h. */
#include "queue/ring.h"

#include "base/sys_nap.h"
#include "queue/message.h"

enum {
    ROUNDS_AWAKE = 10,  /* tries of ring_hold before it offers its CPU, each after a pause twice as long, */
    PAUSE_MAX = 64,     /* up to this many cpu_relax */
    ROUNDS_POLITE = 50, /* tries after which it sleeps between them */
    NAP_NS = 50 * 1000,
    LULL_EACH = 4, /* cpu_relax for each item or place that was found, */
    LULL_MAX = 64, /* up to this many: 1 to 3 us */
};

/* ---- holding --------------------------------------------------------------------------------------- */

static unsigned longer(unsigned pause) { return pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX; }

uint64_t motet__ring_hold_slow(uint64_t *word, uint64_t unless)
{
    unsigned pause = 1;
    for (unsigned round = 0;; round++) {
        uint64_t w = atomic_load_relaxed(word);
        if (w & unless)
            return w;
        if (!(w & RING_HELD) && atomic_cas_acquire(word, &w, w | RING_HELD))
            return w;
        if (round < ROUNDS_AWAKE && motet__spin_pays()) {
            cpu_relax_for(pause);
            pause = longer(pause);
        } else if (round < ROUNDS_POLITE) {
            sys_yield();
        } else {
            sys_nap(NAP_NS);
        }
    }
}

/* ---- copying --------------------------------------------------------------------------------------- */

static void copy_in(motet_queue *q, uint64_t at, const void *items, size_t n)
{
    const unsigned char *from = items;
    size_t first = store_straight(q->mask, at, n);
    memcpy(store_slot(q, at), from, first * q->stride);
    if (n > first)
        memcpy(q->slots, from + first * q->stride, (n - first) * q->stride);
}

static void copy_out(const motet_queue *q, uint64_t at, void *items, size_t n)
{
    unsigned char *to = items;
    size_t first = store_straight(q->mask, at, n);
    memcpy(to, store_slot(q, at), first * q->stride);
    if (n > first)
        memcpy(to + first * q->stride, q->slots, (n - first) * q->stride);
}

/* ---- all of n -------------------------------------------------------------------------------------- */

bool motet__ring_put_all(motet_queue *q, const void *items, size_t n)
{
    uint64_t w = ring_hold(&q->in.word, RING_GATE | RING_SHUT), at = ring_position(w);
    if (w & (RING_GATE | RING_SHUT))
        return false;
    bool fits = n <= q->limit - (at - q->in.seen) || n <= ring_look_for_room(q, w);
    if (fits)
        copy_in(q, at, items, n);
    ring_release(&q->in.word, fits ? w + n * RING_STEP : w);
    return fits;
}

bool motet__ring_get_all(motet_queue *q, void *items, size_t n)
{
    uint64_t w = ring_hold(&q->out.word, RING_GATE), at = ring_position(w);
    if (w & RING_GATE)
        return false;
    bool there = n <= q->out.seen - at || n <= ring_look_for_items(q, w);
    if (there)
        copy_out(q, at, items, n);
    ring_release(&q->out.word, there ? w + n * RING_STEP : w);
    return there;
}

/* ---- under the guard: as many as there are --------------------------------------------------------- */

/* Of one it is enough to hold the end where it goes: as without the guard. */
static int put_one(motet_queue *q, const void *item, size_t *slots)
{
    uint64_t w = ring_hold(&q->in.word, 0), at = ring_position(w);
    ring_look_for_room(q, w);
    size_t moved = store_room(q, at - q->in.seen, 1, 1, slots);
    copy_in(q, at, item, moved);
    ring_release(&q->in.word, w + moved * RING_STEP);
    return *slots ? -ENOBUFS : (int)moved;
}

int motet__ring_put_some(motet_queue *q, const void *items, size_t n, size_t want, size_t *slots)
{
    if (n == 1)
        return put_one(q, items, slots);
    ring_ends e = ring_hold_both(q);
    uint64_t at = ring_position(e.in);
    q->in.seen = ring_position(e.out);
    size_t moved = store_room(q, at - q->in.seen, n, want, slots);
    copy_in(q, at, items, moved);
    ring_release(&q->in.word, e.in + moved * RING_STEP);
    ring_release(&q->out.word, e.out); /* last: nobody may get before what was found to be all the room is filled */
    return *slots ? -ENOBUFS : (int)moved;
}

/* `out` is held at `w`, and `in` was its other end's position: gets n, and returns the word after that. */
static uint64_t take(motet_queue *q, uint64_t w, uint64_t in, void *items, size_t n)
{
    copy_out(q, ring_position(w), items, n);
    w += n * RING_STEP;
    q->out.seen = in; /* with a spare array queue_unlock_taken sees to it that the next one looks again */
    return w;
}

static int get_one(motet_queue *q, void *item, size_t *room)
{
    uint64_t w = ring_hold(&q->out.word, 0), at = ring_position(w);
    uint64_t in = ring_position(atomic_load_acquire(&q->in.word));
    int e = in != at && room ? motet__message_fits(store_slot(q, at), room) : 0;
    size_t n = in != at && e == 0;
    ring_release(&q->out.word, take(q, w, in, item, n));
    return e < 0 ? e : (int)n;
}

int motet__ring_get_some(motet_queue *q, void *items, size_t n, size_t *room)
{
    if (n == 1)
        return get_one(q, items, room);
    ring_ends e = ring_hold_both(q);
    uint64_t in = ring_position(e.in);
    n = store_least(n, in - ring_position(e.out));
    ring_release(&q->out.word, take(q, e.out, in, items, n));
    ring_release(&q->in.word, e.in); /* last: nobody may put before what was found to be all is out */
    return (int)n;
}

/* ---- under the guard: the rest --------------------------------------------------------------------- */

uint32_t motet__ring_settle(motet_queue *q, gate *g, uint32_t due(const motet_queue *q, gate *g, size_t there))
{
    bool getters = g == &q->getters;
    uint64_t *word = getters ? &q->in.word : &q->out.word;
    uint64_t w = ring_hold(word, 0);
    /* The end that is held stands still; the other may move on, by which there is less for this gate. */
    size_t count = ring_position(atomic_load_acquire(&q->in.word)) - ring_position(atomic_load_acquire(&q->out.word));
    uint32_t n = due(q, g, getters ? count : q->capacity - count);
    ring_release(word, g->waiting > g->woken ? w | RING_GATE : w & ~(uint64_t)RING_GATE);
    return n;
}

void motet__ring_shut(motet_queue *q)
{
    uint64_t w = ring_hold(&q->in.word, 0);
    ring_release(&q->in.word, w | RING_SHUT);
}

/* ---- waiting awake --------------------------------------------------------------------------------- */

/* Whether the ring stands as it must for a call to wait: full, or empty, and not shut. */
static bool stands(motet_queue *q, bool to_put)
{
    uint64_t in = atomic_load_relaxed(&q->in.word), out = atomic_load_relaxed(&q->out.word); /* relaxed: a hint */
    uint64_t count = ring_position(in) - ring_position(out);
    return !(in & RING_SHUT) && (to_put ? count >= q->capacity : count == 0);
}

/* Each look disturbs the other side: the line that it writes has to come back. Where many were found the last time more
 * are on their way, and so the first look is the later the more there were; where it was one, as in a conversation, it
 * is at once. */
static void lull(const ring_end *end)
{
    uint32_t found = atomic_load_relaxed(&end->found); /* relaxed: a hint */
    uint32_t pause = found > LULL_MAX ? LULL_MAX : found ? (found - 1) * LULL_EACH : 0;
    cpu_relax_for(pause < LULL_MAX ? pause : LULL_MAX);
}

bool motet__ring_watch(motet_queue *q, bool to_put, motet_time deadline)
{
    if (!stands(q, to_put))
        return true;
    if (deadline <= 0 || !motet__spin_pays() || motet__park_cancelled())
        return false;
    spin_budget *budget = &motet__park_self()->spin;
    uint32_t ns = spin_budget_now(budget);
    if (!ns)
        return false;
    motet_time begin = sys_now(), end = begin + ns < deadline ? begin + ns : deadline;
    lull(to_put ? &q->in : &q->out);
    unsigned pause = 1;
    bool paid;
    while (!(paid = !stands(q, to_put))) {
        motet_time now = sys_now();
        if (now >= end)
            break;
        if (now - begin > SPIN_NS_POLITE) {
            sys_yield();
        } else {
            cpu_relax_for(pause);
            pause = longer(pause);
        }
    }
    spin_budget_learn(budget, paid);
    return paid;
}
