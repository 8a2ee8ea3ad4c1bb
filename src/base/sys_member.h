/* SPDX-License-Identifier: MIT */
/* The seam for what a process tells others about itself. */
#ifndef MOTET_BASE_SYS_MEMBER_H
#define MOTET_BASE_SYS_MEMBER_H

#include "base/sys.h"

#ifdef MOTET_SIM
#define sys_pid()     ((int)sim_thread_self()) /* every virtual thread is a process */
#define sys_started() ((uint64_t)0)
#else

static inline int sys_pid(void) { return getpid(); }

/* When the calling process began, in clock ticks since the machine did: with the pid it says which process is meant, for
 * good. 0: it can't be had. */
uint64_t sys_started(void);

#endif /* MOTET_SIM */

#endif
