/* SPDX-License-Identifier: MIT */
/* The slow path of a guard. */
#include "base/guard.h"

#ifdef MOTET_SIM
enum { GUARD_SPINS = 3 }; /* the explorer chooses how long; more would be more of the same */
#else
enum { GUARD_SPINS = 100 };
#endif

void motet__guard_lock_slow(guard *g)
{
    for (int i = 0; i < GUARD_SPINS; i++) {
        if (atomic_load_relaxed(&g->word) == 0 && guard_try_lock(g))
            return;
        cpu_relax();
    }
    /* From here on it takes the guard as 2: it can't know whether others sleep. */
    while (atomic_exchange_acquire(&g->word, 2) != 0)
        sys_futex_wait(&g->word, 2, INT64_MAX);
}
