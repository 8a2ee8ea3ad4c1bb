/* SPDX-License-Identifier: MIT */
/* A guard: the tiny lock inside motet's own objects, for a few instructions at a time.
 *
 * States of the word: 0 free, 1 held, 2 held and somebody may sleep on it. It spins for a moment, since who holds one lets
 * go at once, then sleeps in the kernel, since who holds it may have lost its CPU. It never waits for anything else while
 * held, knows no deadline, and is no cancellation point. (The three states are those of Ulrich Drepper, "Futexes are
 * tricky", 2011.) */
#ifndef MOTET_BASE_GUARD_H
#define MOTET_BASE_GUARD_H

#include "base/atomic.h"
#include "base/sys.h"

typedef struct guard {
    uint32_t word;
} guard;

void motet__guard_lock_slow(guard *g);

static inline bool guard_try_lock(guard *g)
{
    uint32_t free = 0;
    return atomic_cas_acquire(&g->word, &free, 1);
}

static inline void guard_lock(guard *g)
{
    if (unlikely(!guard_try_lock(g)))
        motet__guard_lock_slow(g);
}

static inline void guard_unlock(guard *g)
{
    /* Publishes what the guard protects to the next acquire. */
    if (unlikely(atomic_exchange_release(&g->word, 0) == 2))
        sys_futex_wake(&g->word, 1);
}

#endif
