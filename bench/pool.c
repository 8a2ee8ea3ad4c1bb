/* SPDX-License-Identifier: MIT */
/* pool.c - the rows pool.thread.*: empty tasks through a thread pool, from one thread outside it. */
#include <motet/executor.h>

#include "harness.h"

#include <stdlib.h>

#define TASKS   1000000
#define WINDOW  4096
#define IDLE_NS 2000000

MOTET_TASK(bench_count, uint64_t, uint64_t)
{
    *out = *in;
    bench_count_task();
    return 0;
}

static int square(const void *in, void *out)
{
    long v = *(const int *)in;
    *(long *)out = v * v;
    return 0;
}

/* As with the peers no compiler may put the item into the loop over them. */
static int (*volatile square_call)(const void *, void *) = square;

MOTET_TASK(bench_square, int, long) { return square_call(in, out); }

static motet_executor *open_pool(unsigned workers)
{
    motet_executor *ex;
    const motet_pool_options opt = {.workers = workers};
    bench_must(motet_thread_pool_open(&ex, &opt), "motet_thread_pool_open");
    return ex;
}

/* ---- submitting ------------------------------------------------------------------------------------ */

static double submit_once(void *arg, uint64_t n)
{
    bench_tasks_reset();
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++)
        bench_must(bench_count_submit(arg, &i, NULL), "motet_submit");
    bench_tasks_wait(n);
    return bench_now() - t;
}

/* Slot 1 is the share of the tasks that ran on a thread other than the submitter. */
static void record_share(struct bench *b, int samples)
{
    uint64_t by_others, all = bench_tasks(&by_others);
    for (int i = 0; i < samples; i++)
        bench_sample(b, 1, (double)by_others / (double)all);
}

static void submit(struct bench *b)
{
    motet_executor *ex = open_pool(0);
    int n = bench_measure(b, submit_once, ex,
                          &(struct bench_plan){.n_min = TASKS / 10, .n_max = TASKS, .span_ns = 400000000});
    record_share(b, n);
    motet_executor_close(ex);
}

/* With futures, of which WINDOW are held at a time: before the next task is submitted the oldest is waited for. */
static double window_once(void *arg, uint64_t n)
{
    motet_future *held[WINDOW] = {NULL};
    uint64_t result, wrong = 0;
    bench_tasks_reset();
    double t = bench_now();
    for (uint64_t i = 0; i < n + WINDOW; i++) {
        motet_future **f = &held[i % WINDOW];
        if (*f) {
            bench_must(bench_count_result(*f, &result, MOTET_FOREVER), "motet_future_take");
            wrong += result != i - WINDOW;
            *f = motet_future_unref(*f);
        }
        if (i < n)
            bench_must(bench_count_submit(arg, &i, f), "motet_submit");
    }
    double ns = bench_now() - t;
    if (wrong || bench_tasks(NULL) != n)
        bench_die("pool.thread.submit.window: results are missing or wrong");
    return ns;
}

static void window(struct bench *b)
{
    motet_executor *ex = open_pool(0);
    bench_measure(b, window_once, ex, &(struct bench_plan){.n_min = 20000, .n_max = TASKS, .span_ns = 200000000});
    motet_executor_close(ex);
}

/* ---- mapping --------------------------------------------------------------------------------------- */

struct mapping {
    motet_executor *ex;
    int *in;
    long *out;
};

static double map_once(void *arg, uint64_t n)
{
    struct mapping *m = arg;
    double ns = 0;
    while (n > 0) {
        size_t part = n < TASKS ? (size_t)n : TASKS;
        double t = bench_now();
        bench_must(bench_square_map(m->ex, m->in, m->out, part, NULL), "motet_map");
        ns += bench_now() - t;
        for (size_t i = 0; i < part; i++)
            if (m->out[i] != (long)m->in[i] * m->in[i])
                bench_die("pool.thread.map: the square of %d is wrong", m->in[i]);
        n -= part;
    }
    return ns;
}

static void map(struct bench *b)
{
    struct mapping m = {open_pool(0), calloc(TASKS, sizeof *m.in), calloc(TASKS, sizeof *m.out)};
    if (!m.in || !m.out)
        bench_die("no memory");
    for (int i = 0; i < TASKS; i++)
        m.in[i] = i;
    bench_measure(b, map_once, &m, &(struct bench_plan){.n_min = TASKS, .n_max = 64 * TASKS, .span_ns = 100000000});
    motet_executor_close(m.ex);
    free(m.in);
    free(m.out);
}

/* ---- there and back -------------------------------------------------------------------------------- */

static void trip(motet_executor *ex, uint64_t i)
{
    motet_future *f;
    uint64_t result;
    bench_must(bench_count_submit(ex, &i, &f), "motet_submit");
    bench_must(bench_count_result(f, &result, MOTET_FOREVER), "motet_future_take");
    motet_future_unref(f);
    if (result != i)
        bench_die("pool.thread.roundtrip: another result came back");
}

static double trips_once(void *arg, uint64_t n)
{
    double t = bench_now();
    for (uint64_t i = 0; i < n; i++)
        trip(arg, i);
    return bench_now() - t;
}

/* A pool whose worker stays on CPU 1, where the caller was when it started; the caller goes to CPU 0. */
static motet_executor *open_pinned(void)
{
    bench_pin(1);
    motet_executor *ex = open_pool(1);
    trip(ex, 0);
    bench_pin(0);
    return ex;
}

/* Trips one by one, each after the pool has had nothing to do for IDLE_NS; a sample is the median of some. */
static void idle_trips(struct bench *b, motet_executor *ex)
{
    double v[30];
    int n = bench_quick(b) ? 3 : 30;
    for (int r = 0; r <= bench_repeats(b); r++) {
        for (int i = 0; i < n; i++) {
            bench_sleep_ns(IDLE_NS);
            double t = bench_now();
            trip(ex, (uint64_t)i);
            v[i] = bench_now() - t;
        }
        if (r > 0) /* the first warmed up */
            bench_sample(b, 0, bench_median(v, n));
    }
    motet_executor_close(ex);
}

static void hot_trips(struct bench *b, motet_executor *ex)
{
    bench_measure(b, trips_once, ex, &(struct bench_plan){.n_min = 200});
    motet_executor_close(ex);
}

static void roundtrip(struct bench *b) { hot_trips(b, open_pinned()); }
static void roundtrip_2w(struct bench *b) { hot_trips(b, open_pool(2)); }
static void roundtrip_idle(struct bench *b) { idle_trips(b, open_pool(1)); }
static void roundtrip_asleep(struct bench *b) { idle_trips(b, open_pinned()); }

static const struct bench_row pool_rows[] = {
    {"pool.thread.submit", "tasks/s", "unpinned", "a million empty tasks, from the first submit to the last one's end",
     submit, false},
    {"pool.thread.submit.share", "ratio", "unpinned",
     "the share of these that the pool's workers ran, not the submitter", submit, true},
    {"pool.thread.submit.window", "tasks/s", "unpinned", "the same with futures, 4,096 outstanding, every result taken",
     window, false},
    {"pool.thread.map", "items/s", "unpinned", "the squares of a million ints, in order, default chunks", map, false},
    {"pool.thread.roundtrip", "ns", "pinned", "submit, wait, result; one worker on another CPU, without pause",
     roundtrip, false},
    {"pool.thread.roundtrip.2w", "ns", "unpinned", "the same with two workers, wherever the kernel puts them",
     roundtrip_2w, false},
    {"pool.thread.roundtrip.idle", "ns", "unpinned", "one worker, each trip after 2 ms without work", roundtrip_idle,
     false},
    {"pool.thread.roundtrip.asleep", "ns", "pinned", "the same with the worker asleep on another CPU", roundtrip_asleep,
     false},
    {NULL, NULL, NULL, NULL, NULL, false},
};
BENCH_ROWS(pool_rows);
