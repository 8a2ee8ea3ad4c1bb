/* SPDX-License-Identifier: MIT */
/* The seam for who has to wait and has nobody to wake him. */
#ifndef MOTET_BASE_SYS_NAP_H
#define MOTET_BASE_SYS_NAP_H

#include "base/sys.h"

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
