/* SPDX-License-Identifier: MIT */
/* lock.h - what the rows lock.* do with a lock, be it between threads or between processes. */
#ifndef MOTET_BENCH_LOCK_H
#define MOTET_BENCH_LOCK_H

#include <motet/sync.h>

#include "harness.h"

#include <stdatomic.h>

/* Acquires and releases the motet_lock `lock` n times; ns. */
double bench_lock_alone(void *lock, uint64_t n);

/* Two take turns until one of them has had n; so both compete all the time. */
struct bench_contest {
    _Alignas(64) motet_lock lock;
    _Alignas(64) uint64_t counter; /* guarded by the lock */
    _Alignas(64) atomic_bool stop;
    uint64_t n;
    uint64_t done[2];
};

/* Begins one; then each of the two, i = 0 and 1, contends; once both are done its end, `ns` later, gives the ns that n turns
 * took. It dies when the lock let two in. */
void bench_contest_begin(struct bench_contest *c, uint64_t n);
void bench_contend(void *contest, int i);
double bench_contest_end(const struct bench_contest *c, double ns);

#endif
