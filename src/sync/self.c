/* SPDX-License-Identifier: MIT */
/* Who the caller is: a number for each thread, never used again (an address or a kernel's id would be). */
#include "sync/sync.h"

_Thread_local uint64_t motet__self_id;

uint64_t motet__self_id_new(void)
{
    static uint64_t last;
    /* Relaxed: only that the numbers differ matters. */
    return motet__self_id = atomic_add_relaxed(&last, 1) + 1;
}
