/* SPDX-License-Identifier: MIT */
/* shared.c - the rows lock.shared.* and semaphore.shared.*: the same as between threads, between two processes. */
#include <motet/ipc.h>
#include <motet/process.h>

#include "lock.h"

/* ---- alone ----------------------------------------------------------------------------------------- */

static void *shared(struct bench *b, size_t size)
{
    void *p = motet_shared_alloc(size);
    if (!p)
        bench_skip(b, "no shared memory");
    return p;
}

static void uncontended(struct bench *b)
{
    motet_lock *l = shared(b, sizeof *l);
    if (!l)
        return;
    bench_must(motet_lock_init(l, MOTET_SHARED), "motet_lock_init");
    bench_pin(0);
    bench_measure(b, bench_lock_alone, l, NULL);
    if (motet_lock_locked(l))
        bench_die("lock.shared.uncontended: the lock is still held");
    motet_shared_free(l);
}

/* ---- two processes --------------------------------------------------------------------------------- */

/* In shared memory: two processes do the same; one of them is this one. */
struct pair {
    struct bench_contest contest;
    _Alignas(64) motet_semaphore there;
    _Alignas(64) motet_semaphore back;
    _Alignas(64) atomic_int ready;
    uint64_t n; /* trips there and back */
    double begin, end[2];
    void (*body)(struct pair *p, int i);
};

static void run(struct pair *p, int i)
{
    bench_pin(i);
    if (atomic_fetch_add(&p->ready, 1) == 1)
        p->begin = bench_now();
    while (atomic_load(&p->ready) != 2) {}
    p->body(p, i);
    p->end[i] = bench_now();
}

static int other_process(void *arg)
{
    run(arg, 1);
    return 0;
}

/* The nanoseconds from when both were there to when both had done it; negative: no process could be started. */
static double both(struct pair *p)
{
    motet_process *other;
    int code = -1;
    atomic_store(&p->ready, 0);
    if (motet_process_start(&other, other_process, p, NULL) < 0)
        return -1;
    run(p, 0);
    if (motet_process_join(other, &code, MOTET_FOREVER) < 0 || code != 0)
        bench_die("a process of the benchmark did not end as it should");
    motet_process_free(other);
    return (p->end[0] > p->end[1] ? p->end[0] : p->end[1]) - p->begin;
}

static struct pair *begin(struct bench *b, void (*body)(struct pair *p, int i))
{
    struct pair *p = shared(b, sizeof *p);
    if (!p)
        return NULL;
    p->body = body;
    bench_must(motet_lock_init(&p->contest.lock, MOTET_SHARED), "motet_lock_init");
    bench_must(motet_semaphore_init(&p->there, 0, MOTET_SHARED), "motet_semaphore_init");
    bench_must(motet_semaphore_init(&p->back, 0, MOTET_SHARED), "motet_semaphore_init");
    return p;
}

static void contend(struct pair *p, int i) { bench_contend(&p->contest, i); }

static double contended_once(void *arg, uint64_t n)
{
    struct pair *p = arg;
    bench_contest_begin(&p->contest, n);
    return bench_contest_end(&p->contest, both(p));
}

static void pingpong(struct pair *p, int i)
{
    for (uint64_t k = 0; k < p->n; k++) {
        if (i == 0)
            motet_semaphore_release(&p->there, 1);
        bench_must(motet_semaphore_acquire(i == 0 ? &p->back : &p->there, MOTET_FOREVER), "motet_semaphore_acquire");
        if (i == 1)
            motet_semaphore_release(&p->back, 1);
    }
}

static double pingpong_once(void *arg, uint64_t n)
{
    struct pair *p = arg;
    p->n = n;
    double ns = both(p);
    if (motet_semaphore_value(&p->there) || motet_semaphore_value(&p->back))
        bench_die("semaphore.shared.pingpong: permits are left");
    return ns;
}

static void measure(struct bench *b, void (*body)(struct pair *p, int i), bench_once *once)
{
    struct pair *p = begin(b, body);
    if (!p)
        return;
    if (once(p, 1) < 0)
        bench_skip(b, "no process could be started");
    else
        bench_measure(b, once, p, &(struct bench_plan){.n_min = 1000});
    motet_shared_free(p);
}

static void contended(struct bench *b) { measure(b, contend, contended_once); }
static void semaphore_pingpong(struct bench *b) { measure(b, pingpong, pingpong_once); }

static const struct bench_row shared_rows[] = {
    {"lock.shared.uncontended", "ns", "pinned", "acquire and release of a free lock in shared memory", uncontended,
     false},
    {"lock.shared.contended", "pairs/s", "pinned", "two processes on two CPUs acquire and release one lock", contended,
     false},
    {"semaphore.shared.pingpong", "ns", "pinned", "two processes on two CPUs, two semaphores: there and back",
     semaphore_pingpong, false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(shared_rows);
