/* SPDX-License-Identifier: MIT */
/* A private queue from the inside: its state, who waits on it, and its lock.
 *
 * MOTET_FIFO lives in a ring whose two ends are worked on without the guard (ring.h has its states); the other
 * orders live in a pile, under the guard (store.h). A queue of messages is a queue of pointers to them.
 *
 * Waiting. Each side (getters, putters) has a gate, which the guard protects:
 *
 *     waiting   registrations: calls that wait, and select's choices
 *     woken     how many of them have been told to look again and have not yet come back to the guard
 *     seq       bumped whenever some are told; a waiter parks while it is what he read when he registered
 *
 * The rule, true whenever the guard is free, and enforced by queue_unlock alone:
 *
 *     woken >= min(what there is for this side, waiting)        (W)     (after shutdown: woken == waiting)
 *
 * `What there is` are the items for getters and the free places for putters. Why no wake is lost: let A be
 * the registrations that are awake or about to be. Then woken <= |A| at all times, once the unparks under way
 * are through:
 *  - a bump by k is followed by unpark(k). Each waiter that it claims is new in A, or has just seen that seq
 *    differs, and then park passes the wake on to the next. If it finds fewer than k to claim, all that were
 *    registered are in A: one that was claimed or has timed out is awake; one that has not yet announced itself
 *    in park will find that seq differs.
 *  - whoever comes back, for whatever reason (woken, timed out, cancelled), leaves A, and takes 1 off `woken`
 *    if it is not 0. So `woken` may be too small, which costs a wake too many, but never too large.
 * With W, as many as can go on are on their way. One who comes back and takes nothing (cancelled; a select
 * that took something else) leaves through queue_unlock like everyone, which tells another. One who finds
 * that somebody was quicker registers anew. Nobody else is woken: no herd.
 *
 * What goes without the guard, puts and gets at the ring's ends, keeps W too. While some registration at the
 * getters' gate is untold (waiting > woken), the word of the ring's putting end says so (RING_GATE), and every
 * put takes the guard; while none is, W holds whatever is put. The flag changes under the guard, at an end
 * that is held: queue_unlock looks at what there is *at that moment*, so a put comes before the look, which
 * sees its item, or after it, and sees the flag. Gets may come at any time: they only lessen what there is for
 * getters. The same the other way round for putters.
 *
 * The end of a queue. A call's last access to the queue's memory is the release of what it holds, the guard or
 * an end of the ring, and nothing of the call's effect is seen before: a call that holds both ends, or the
 * guard and an end, releases the guard last, and close takes the guard. What follows (a futex wake, an unpark)
 * only uses addresses. So whoever knows that the call has had its effect may close the queue. Calls that wait
 * are registered at a gate, or, while they still watch for what they need, counted at the end where they will
 * work: close ends both, and waits for them.
 *
 * Counting: unfinished is what was put less what is done, got and not done what was got less what is done.
 * The ring's positions count puts and gets already.
 *
 * Lock order: the guard, the ring's putting end, its getting end. Who holds an end waits for nothing but the
 * getting end, and holds it no longer than a guard is held.
 *
 * Fork rule: in the child of a raw fork every call fails with -EPERM before it touches guard or ring. */
#ifndef MOTET_QUEUE_QUEUE_H
#define MOTET_QUEUE_QUEUE_H

#include "base/guard.h"
#include "park/park.h"

#include <motet/queue.h>

typedef struct gate {
    uint32_t waiting, woken;
} gate;

/* An end of the ring: states in ring.h. */
typedef struct ring_end {
    uint64_t word;     /* its position, and flags */
    uint64_t seen;     /* the other end's position when it was last looked at. Guarded by RING_HELD */
    uint32_t watching; /* how many calls watch for what they need here; close waits until there is none */
    uint32_t found;    /* how much there was when something was found there last; who waits reads it as a hint */
} ring_end;

enum {
    QUEUE_SHUT = 1,
    QUEUE_CLOSING = 2, /* close waits for the waiters to leave */
    QUEUE_SPARE = 4,   /* there is a smaller array to go back to */
    QUEUE_SHOWN = 8,   /* a RING_GATE is set */
};

struct motet_queue {
    /* Never changed after open. */
    CACHE_ALIGNED size_t item_size; /* as the caller sees it; 0: messages */
    size_t copy_size;               /* bytes that go in and out of a slot: item_size, or those of a pointer */
    size_t stride;   /* from slot to slot, bytes; for MOTET_PRIORITY with the sequence number at its end */
    size_t capacity; /* SIZE_MAX: unbounded */
    motet_queue_order order;
    /* Seldom changed: under the guard, and of a ring with both ends held. */
    unsigned char *slots;
    size_t mask;  /* the number of slots, a power of two, less 1 */
    size_t limit; /* how many can be in without growth: the number of slots, or capacity */

    /* The ring, MOTET_FIFO: an end a line. */
    CACHE_ALIGNED ring_end in;
    CACHE_ALIGNED ring_end out;

    /* A line of its own: those who wait for it read it all the time, while its holder writes below. */
    CACHE_ALIGNED guard guard;

    /* Under the guard; `count` and `flags` are also read without it: hints. */
    CACHE_ALIGNED uint32_t flags;
    gate getters, putters;
    size_t count;  /* of a pile: how many are in */
    uint64_t got;  /* of a pile: how many were got, ever */
    uint64_t done; /* how many of those got are done */

    /* What waits and growth need. Under the guard; waiters read the seqs without. */
    CACHE_ALIGNED uint32_t getters_seq;
    uint32_t putters_seq;
    uint32_t joiners_seq, joiners; /* bumped when nothing is unfinished, and by close; how many wait */
    uint32_t left_seq;             /* bumped by each waiter that leaves while close waits */
    uint64_t sequence;             /* of the next put, MOTET_PRIORITY */
    int (*compare)(const void *, const void *);
    unsigned char *spare;
    size_t spare_mask; /* of `spare`; of a ring, who holds the getting end may read it */
};

/* ---- the lock -------------------------------------------------------------------------------------- */

void motet__queue_unlock_waking(motet_queue *q);

static inline void queue_lock(motet_queue *q) { guard_lock(&q->guard); }

/* Establishes W, releases the guard, then wakes. */
static inline void queue_unlock(motet_queue *q)
{
    if (likely(q->getters.waiting == q->getters.woken && q->putters.waiting == q->putters.woken &&
               !(q->flags & QUEUE_SHOWN)))
        guard_unlock(&q->guard);
    else
        motet__queue_unlock_waking(q);
}

/* Under the guard: `g` loses one registration. */
static inline void gate_leave(motet_queue *q, gate *g)
{
    g->waiting--;
    g->woken -= g->woken > 0;
    if (unlikely(q->flags & QUEUE_CLOSING)) {
        atomic_store_relaxed(&q->left_seq, q->left_seq + 1); /* relaxed: unpark has the fence */
        motet__unpark(&q->left_seq, 1);
    }
}

static inline bool queue_is_shut(const motet_queue *q) { return q->flags & QUEUE_SHUT; }

/* ---- calls ----------------------------------------------------------------------------------------- */

/* Puts the first of `n`; waits for room for one. How many; -EPIPE, -ENOMEM, -ETIMEDOUT, -ECANCELED, -EINTR,
 * -EPERM. Not for those that have the ring's quick way (ring.h), but for what that refuses. */
int motet__queue_put(motet_queue *q, const void *items, size_t n, motet_time deadline);

/* Moves up to `n` to `items`; waits for one. How many, or a code as above; with `room` also -EMSGSIZE: the next
 * message, which stays, is larger than *room, and *room is its size now. */
int motet__queue_get(motet_queue *q, void *items, size_t n, size_t *room, motet_time deadline);

/* Under the guard, which it may drop for a while: puts if that is possible at once. How many; 0; -EPIPE, -ENOMEM. */
int motet__queue_put_now(motet_queue *q, const void *items, size_t n);

/* Unlocks after something was taken out. */
void motet__queue_unlock_shrinking(motet_queue *q);

static inline void queue_unlock_taken(motet_queue *q)
{
    if (likely(!(q->flags & QUEUE_SPARE)))
        queue_unlock(q);
    else
        motet__queue_unlock_shrinking(q);
}

#endif
