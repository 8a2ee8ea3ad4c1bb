/* SPDX-License-Identifier: MIT */
/* A private queue from the inside: its state, who waits on it, and its lock.
 *
 * One guard protects everything; all three orders live in one array of slots (store.c). A queue of messages
 * is a queue of pointers to them.
 *
 * Waiting. Each side (getters, putters) has a gate:
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
 *  - a bump by k is followed by unpark(k). Each waiter that it claims is new in A. If it finds fewer than k
 *    to claim, all that were registered are in A: one that was claimed or has timed out is awake; one that
 *    has not yet announced itself in park will find that seq differs.
 *  - whoever comes back, for whatever reason (woken, timed out, cancelled), leaves A, and takes 1 off `woken`
 *    if it is not 0. So `woken` may be too small, which costs a wake too many, but never too large.
 * With W, as many as can go on are on their way. One who comes back and takes nothing (cancelled; a select
 * that took something else) leaves through queue_unlock like everyone, which tells another. One who finds
 * that somebody was quicker registers anew. Nobody else is woken: no herd.
 *
 * The end of a queue. Releasing the guard is a call's last access to the queue's memory: what follows (a
 * futex wake, an unpark) only uses addresses. So whoever knows by way of the guard that the call has had its
 * effect may close the queue.
 *
 * Fork rule: in the child of a raw fork every call fails with -EPERM before it touches the guard. */
#ifndef MOTET_QUEUE_QUEUE_H
#define MOTET_QUEUE_QUEUE_H

#include "base/guard.h"
#include "park/park.h"

#include <motet/queue.h>

typedef struct gate {
    uint32_t waiting, woken;
} gate;

enum {
    QUEUE_SHUT = 1,
    QUEUE_CLOSING = 2, /* close waits for the waiters to leave */
    QUEUE_SPARE = 4,   /* there is a smaller array to go back to */
};

struct motet_queue {
    /* Never changed after open. */
    CACHE_ALIGNED size_t item_size; /* as the caller sees it; 0: messages */
    size_t copy_size;               /* bytes that go in and out of a slot: item_size, or those of a pointer */
    size_t stride;   /* from slot to slot, bytes; for MOTET_PRIORITY with the sequence number at its end */
    size_t capacity; /* SIZE_MAX: unbounded */
    motet_queue_order order;
    int (*compare)(const void *, const void *);

    /* A line of its own: those who wait for it read it all the time, while its holder writes below. */
    CACHE_ALIGNED guard guard;

    /* What every call needs: one line. Under the guard; `count` and `flags` are also read without it: hints. */
    CACHE_ALIGNED uint32_t flags;
    gate getters, putters;
    unsigned char *slots;
    size_t mask;      /* the number of slots, a power of two, less 1 */
    size_t head;      /* FIFO: the oldest one's place, not yet masked; else 0 */
    size_t count;     /* how many are in */
    uint64_t in_hand; /* got and not yet done; with `count` Python's unfinished_tasks */

    /* What waits and growth need. Under the guard; waiters read the seqs without. */
    CACHE_ALIGNED uint32_t getters_seq;
    uint32_t putters_seq;
    uint32_t joiners_seq, joiners; /* bumped when nothing is unfinished, and by close; how many wait */
    uint32_t left_seq;             /* bumped by each waiter that leaves while close waits */
    uint64_t sequence;             /* of the next put, MOTET_PRIORITY */
    unsigned char *spare;
    size_t spare_mask;
};

/* ---- the lock -------------------------------------------------------------------------------------- */

void motet__queue_unlock_waking(motet_queue *q);

static inline void queue_lock(motet_queue *q) { guard_lock(&q->guard); }

/* Establishes W, releases the guard, then wakes. */
static inline void queue_unlock(motet_queue *q)
{
    if (likely(q->getters.waiting == q->getters.woken && q->putters.waiting == q->putters.woken))
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

/* Locks the queue for a getter: 0, the guard held and at least one in; or -EPIPE, -ETIMEDOUT, -ECANCELED,
 * -EINTR, the guard free. */
int motet__queue_lock_to_get(motet_queue *q, motet_time deadline);

/* Locks the queue for a putter: 0, the guard held and room for at least one, and for up to `want` if capacity
 * and memory allow; or a code as above or -ENOMEM, the guard free. */
int motet__queue_lock_to_put(motet_queue *q, size_t want, motet_time deadline);

/* Under the guard, which it drops and takes again: tries to have slots for `want` more, or as many as the
 * capacity allows. 0: look again; -ENOMEM: no memory, and no free slot. */
int motet__queue_make_room(motet_queue *q, size_t want);

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
