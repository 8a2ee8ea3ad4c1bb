/* SPDX-License-Identifier: MIT */
/* lock.c - the rows lock.*: an acquire and a release, alone and against another thread. */
#include <motet/sync.h>

#include "harness.h"

#include <stdatomic.h>

static double uncontended_once(void *arg, uint64_t n)
{
    motet_lock *l = arg;
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        motet_lock_acquire(l, MOTET_FOREVER);
        motet_lock_release(l);
    }
    return bench_now() - t;
}

static void uncontended(struct bench *b)
{
    _Alignas(64) motet_lock l = {0};
    bench_pin(0);
    struct bench_idler *other = bench_idler_start();
    bench_measure(b, uncontended_once, &l, NULL);
    bench_idler_stop(other);
    if (motet_lock_locked(&l))
        bench_die("lock.uncontended: the lock is still held");
}

/* Two threads take turns until one of them has had n; so both compete all the time. */
static struct {
    _Alignas(64) motet_lock lock;
    _Alignas(64) uint64_t counter; /* guarded by the lock */
    _Alignas(64) atomic_bool stop;
    uint64_t n;
    uint64_t done[2];
} contest;

static void contender(void *arg, int i)
{
    uint64_t done = 0;
    (void)arg;
    while (!atomic_load_explicit(&contest.stop, memory_order_relaxed) && done < contest.n) {
        motet_lock_acquire(&contest.lock, MOTET_FOREVER);
        contest.counter++;
        motet_lock_release(&contest.lock);
        done++;
    }
    atomic_store_explicit(&contest.stop, true, memory_order_relaxed); /* a hint; nothing is read through it */
    contest.done[i] = done;
}

static double contended_once(void *arg, uint64_t n)
{
    contest.n = n;
    contest.counter = 0;
    atomic_store(&contest.stop, false);
    double ns = bench_team(2, (const int[]){0, 1}, contender, arg);
    uint64_t total = contest.done[0] + contest.done[1];
    if (contest.counter != total)
        bench_die("lock.contended: the lock let two threads in");
    return ns * (double)n / (double)total;
}

static void contended(struct bench *b) { bench_measure(b, contended_once, NULL, NULL); }

static const struct bench_row lock_rows[] = {
    {"lock.uncontended", "ns", "pinned", "acquire and release of a free lock, a second thread alive", uncontended,
     false},
    {"lock.contended", "pairs/s", "pinned", "two threads on two CPUs acquire and release one lock", contended, false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(lock_rows);
