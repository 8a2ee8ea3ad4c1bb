/* SPDX-License-Identifier: MIT */
/* A worker's ring of jobs: one thread puts, any thread takes, oldest first.
 *
 * Invariant: head <= tail <= head + RING_SIZE, as counters that wrap at 2^32 together. Slots from head to tail hold jobs.
 * Only the owner moves tail (release: publishes the slot); whoever moves head by compare-and-swap owns the job that stood
 * there. A slot is written again only after head has passed it, and then the taker's compare-and-swap fails; it can't pass
 * by a wrap unless 2^32 jobs go through while one taker stands still between two instructions.
 * (After the run queues of Go's scheduler, Dmitry Vyukov.) */
#ifndef MOTET_EXECUTOR_RING_H
#define MOTET_EXECUTOR_RING_H

#include "executor/future.h"

enum { RING_SIZE = 256 }; /* a power of two */

typedef struct ring {
    CACHE_ALIGNED uint32_t head; /* moved by takers */
    CACHE_ALIGNED uint32_t tail; /* moved by the owner */
    job *slots[RING_SIZE];
} ring;

static inline bool ring_empty(ring *r) { return atomic_load_acquire(&r->head) == atomic_load_acquire(&r->tail); }

/* By the owner. How many more it can put. */
static inline uint32_t ring_room(ring *r) { return RING_SIZE - (r->tail - atomic_load_acquire(&r->head)); }

/* By the owner, who has seen that there is room. */
static inline void ring_put(ring *r, job *j)
{
    atomic_store_relaxed(&r->slots[r->tail % RING_SIZE], j);
    atomic_store_release(&r->tail, r->tail + 1);
}

/* By anyone. NULL: it was empty at some moment. */
static inline job *ring_take(ring *r)
{
    uint32_t head = atomic_load_acquire(&r->head);
    while (head != atomic_load_acquire(&r->tail)) {
        job *j = atomic_load_relaxed(&r->slots[head % RING_SIZE]);
        if (atomic_cas_acq_rel(&r->head, &head, head + 1))
            return j;
    }
    return NULL;
}

#endif
