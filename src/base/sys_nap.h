/* SPDX-License-Identifier: MIT */
/* The seam for who has to wait and has nobody to wake him. */
#ifndef MOTET_BASE_SYS_NAP_H
#define MOTET_BASE_SYS_NAP_H

#include "base/atomic.h"
#include "base/sys.h"

/* So many cpu_relax between two looks. To the explorer they are one: it is the looks that matter. */
static inline void cpu_relax_for(unsigned times)
{
#ifdef MOTET_SIM
    times = times > 0;
#endif
    while (times--)
        cpu_relax();
}

/* Sleeps for about so many nanoseconds, or less. Not for waits that somebody ends: who naps in a loop has to be sure
 * that others will have gone on at last. So the explorer takes it for a look that was in vain: the others go first. */
static inline void sys_nap(int64_t ns)
{
#ifdef MOTET_SIM
    (void)ns;
    sys_yield();
#else
    struct timespec t = sys_timespec(ns);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
#endif
}

#endif
