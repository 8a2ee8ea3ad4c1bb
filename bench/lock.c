/* SPDX-License-Identifier: MIT */
/* lock.c - the rows lock.*: an acquire and a release, alone and against another thread. */
#include "lock.h"

double bench_lock_alone(void *lock, uint64_t n)
{
    motet_lock *l = lock;
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
    bench_measure(b, bench_lock_alone, &l, NULL);
    bench_idler_stop(other);
    if (motet_lock_locked(&l))
        bench_die("lock.uncontended: the lock is still held");
}

void bench_contest_begin(struct bench_contest *c, uint64_t n)
{
    c->n = n;
    c->counter = 0;
    atomic_store(&c->stop, false);
}

void bench_contend(void *contest, int i)
{
    struct bench_contest *c = contest;
    uint64_t done = 0;
    while (!atomic_load_explicit(&c->stop, memory_order_relaxed) && done < c->n) {
        motet_lock_acquire(&c->lock, MOTET_FOREVER);
        c->counter++;
        motet_lock_release(&c->lock);
        done++;
    }
    atomic_store_explicit(&c->stop, true, memory_order_relaxed); /* a hint; nothing is read through it */
    c->done[i] = done;
}

double bench_contest_end(const struct bench_contest *c, double ns)
{
    uint64_t total = c->done[0] + c->done[1];
    if (c->counter != total)
        bench_die("a lock that is contended let two in");
    return ns * (double)c->n / (double)total;
}

static double contended_once(void *arg, uint64_t n)
{
    static struct bench_contest contest;
    bench_contest_begin(&contest, n);
    return bench_contest_end(&contest, bench_team(2, (const int[]){0, 1}, bench_contend, &contest));
}

static void contended(struct bench *b) { bench_measure(b, contended_once, NULL, NULL); }

static const struct bench_row lock_rows[] = {
    {"lock.uncontended", "ns", "pinned", "acquire and release of a free lock, a second thread alive", uncontended,
     false},
    {"lock.contended", "pairs/s", "pinned", "two threads on two CPUs acquire and release one lock", contended, false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(lock_rows);
