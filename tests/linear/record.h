/* SPDX-License-Identifier: MIT */
/* Recording a history with real threads: each has a log of its own, and writes the moments around its calls.
 *
 * The moments are the monotonic clock's, which never runs backwards from one CPU to the next. A processor may look at the
 * clock out of turn, so that fences keep each look outside of the call: a span may be too long, which hides a wrong
 * history at worst, never too short, which would invent one. */
#ifndef MOTET_TESTS_LINEAR_RECORD_H
#define MOTET_TESTS_LINEAR_RECORD_H

#include "base/atomic.h"
#include "base/sys.h"
#include "linear/linear.h"

/* The clock is read when all before is done, and before anything after begins. */
static inline int64_t linear_moment(void)
{
    atomic_fence_seq_cst();
    int64_t now = sys_now();
    atomic_fence_seq_cst();
#if defined(__x86_64__)
    __builtin_ia32_lfence(); /* no later load before the clock was read: a fence of memory alone does not say so */
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
    return now;
}

/* Runs the call, and fills in the span and the result. At every instruction the operation is either cut off, or whole:
 * its thread may be killed. */
#define LINEAR_TIMED(op, call)                                 \
    do {                                                       \
        (op)->cut = true;                                      \
        atomic_store_seq_cst(&(op)->invoked, linear_moment()); \
        (op)->result = (int32_t)(call);                        \
        (op)->returned = linear_moment();                      \
        atomic_store_seq_cst(&(op)->cut, false);               \
    } while (0)

#endif
