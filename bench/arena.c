/* SPDX-License-Identifier: MIT */
/* arena.c - the rows shared.alloc*: a block of shared memory given back and another taken, of many that are held. */
#include <motet/ipc.h>

#include "harness.h"

#include <string.h>

/* Each step frees the oldest of HELD blocks and takes one of another size; zeroed memory, as all that is compared. */
enum { HELD = 256, THREADS = 2 };

typedef struct holder {
    _Alignas(64) void *held[HELD];
    uint64_t random, n;
} holder;

static size_t next_size(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return 16 + (*random >> 33) % 1009; /* to 1 KiB */
}

static void churn(holder *h, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        size_t size = next_size(&h->random);
        motet_shared_free(h->held[i % HELD]);
        char *p = motet_shared_alloc(size);
        if (!p || p[0] || p[size - 1])
            bench_die("shared.alloc: no block, or one that is not zeroed");
        p[0] = p[size - 1] = 1;
        h->held[i % HELD] = p;
    }
}

static void release(holder *h)
{
    for (int i = 0; i < HELD; i++)
        motet_shared_free(h->held[i]);
    memset(h->held, 0, sizeof h->held);
}

static double alloc_once(void *arg, uint64_t n)
{
    double t = bench_now();
    churn(arg, n);
    return bench_now() - t;
}

static void alloc(struct bench *b)
{
    static holder h;
    bench_pin(0);
    struct bench_idler *other = bench_idler_start();
    bench_measure(b, alloc_once, &h, NULL);
    bench_idler_stop(other);
    release(&h);
}

static void one_of_two(void *arg, int i)
{
    holder *h = arg;
    churn(&h[i], h[i].n);
}

static double two_once(void *arg, uint64_t n)
{
    holder *h = arg;
    for (int i = 0; i < THREADS; i++)
        h[i].n = n / THREADS;
    return bench_team(THREADS, (const int[]){0, 1}, one_of_two, h);
}

static void two(struct bench *b)
{
    static holder h[THREADS];
    bench_measure(b, two_once, h, NULL);
    for (int i = 0; i < THREADS; i++)
        release(&h[i]);
}

static const struct bench_row arena_rows[] = {
    {"shared.alloc", "ns", "pinned", "free and allocate a zeroed block of up to 1 KiB, 256 held", alloc, false},
    {"shared.alloc.2t", "ns", "pinned", "the same by two threads on two CPUs, each with its own", two, false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(arena_rows);
