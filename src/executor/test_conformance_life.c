/* SPDX-License-Identifier: MIT */
/* Conformance: opening an executor, its initializer, its workers, its statistics. */
#include "executor/test_conformance.h"

void conform_open_and_close(const conform_backend *b)
{
    motet_executor *ex = NULL;
    CHECK_EQ(b->open(&ex, NULL), 0);
    motet_executor_stats_t stats;
    CHECK_EQ(motet_executor_stats(ex, &stats), 0);
    CHECK_EQ(stats.workers, motet_cpu_count());
    CHECK(motet_executor_close(ex) == NULL);
    for (unsigned workers = 0; workers < 20; workers += 3) { /* with and without anything done */
        ex = conform_open_workers(b, workers);
        if (workers % 2)
            CHECK_EQ(conform_square_submit(ex, &(int){1}, NULL), 0);
        CHECK(motet_executor_close(ex) == NULL);
    }
    motet_executor *two[2] = {conform_open_workers(b, 1), conform_open_workers(b, 1)};
    CHECK(two[0] != two[1]);
    motet_executor_close(two[0]);
    long out;
    motet_future *f;
    CHECK_EQ(conform_square_submit(two[1], &(int){5}, &f), 0);
    CHECK_EQ(conform_square_result(f, &out, MOTET_FOREVER), 0);
    motet_future_unref(f);
    motet_executor_close(two[1]);
}

void conform_open_misuse(const conform_backend *b)
{
    CHECK_EQ(b->open(NULL, NULL), -EINVAL);
    motet_executor *ex = NULL;
    CHECK_EQ(b->open(&ex, &(motet_pool_options){.workers = UINT32_MAX}), -EINVAL);
    CHECK_EQ(b->open(&ex, &(motet_pool_options){.queue_max = SIZE_MAX}), -EINVAL);
    CHECK(ex == NULL);
}

/* ---- initializers ---------------------------------------------------------------------------------- */

static _Thread_local bool initialized;

typedef struct initializing {
    uint32_t calls;
    uint32_t fail_at; /* this call fails */
    int code;
} initializing;

static int initialize(void *arg)
{
    initializing *i = arg;
    CHECK(!initialized); /* once a worker */
    initialized = true;
    return atomic_add_acq_rel(&i->calls, 1) + 1 == i->fail_at ? i->code : 3; /* positive is no failure */
}

MOTET_TASK(conform_is_initialized, int, bool)
{
    *out = initialized;
    return 0;
}

void conform_initializer_comes_first(const conform_backend *b)
{
    enum { WORKERS = 3, MANY = 200 };
    initializing *i = conform_alloc(b, sizeof *i);
    motet_executor *ex = conform_open(b,
                                      &(motet_pool_options){.workers = WORKERS, .initializer = initialize, .arg = i});
    CHECK_EQ(atomic_load_acquire(&i->calls), WORKERS); /* all have come through when open returns */
    static int in[MANY];
    bool out[MANY] = {false};
    CHECK_EQ(conform_is_initialized_map(ex, in, out, MANY, &(motet_map_options){.chunk = 1}), 0);
    for (int k = 0; k < MANY; k++)
        CHECK(out[k]);
    motet_executor_close(ex);
    CHECK_EQ(atomic_load_acquire(&i->calls), WORKERS);
    b->free(i);
}

void conform_initializer_fails(const conform_backend *b)
{
    enum { WORKERS = 3 };
    for (uint32_t fail_at = 1; fail_at <= WORKERS; fail_at++) {
        initializing *i = conform_alloc(b, sizeof *i);
        *i = (initializing){.fail_at = fail_at, .code = -EXDEV};
        motet_executor *ex = NULL;
        CHECK_EQ(b->open(&ex, &(motet_pool_options){.workers = WORKERS, .initializer = initialize, .arg = i}), -EXDEV);
        CHECK(ex == NULL); /* and the test's end finds nothing left behind */
        b->free(i);
    }
}

/* ---- workers --------------------------------------------------------------------------------------- */

void conform_workers_at_once(const conform_backend *b)
{
    enum { MOST = 6 };
    for (unsigned n = 1; n <= MOST; n++) {
        conform_gate *g = conform_gate_new(b);
        motet_executor *ex = conform_open_workers(b, n);
        motet_future *held[MOST];
        conform_hold_workers(ex, g, n, held); /* hangs unless all are inside at once */
        conform_let_go(g, held, n);
        motet_executor_close(ex);
        b->free(g);
    }
}

MOTET_TASK(conform_be_inside, conform_gate *, int)
{
    conform_gate *g = *in;
    uint32_t inside = atomic_add_acq_rel(&g->inside, 1) + 1, most = atomic_load_relaxed(&g->most);
    while (inside > most && !atomic_cas_relaxed(&g->most, &most, inside)) {}
    motet_yield();
    atomic_sub_acq_rel(&g->inside, 1);
    *out = 0;
    return 0;
}

void conform_no_more_than_its_workers(const conform_backend *b)
{
    enum { MANY = 400 };
    for (unsigned n = 1; n <= 3; n++) {
        conform_gate *g = conform_gate_new(b);
        conform_gate *in[MANY];
        int out[MANY];
        motet_executor *ex = conform_open_workers(b, n);
        for (int i = 0; i < MANY; i++) {
            in[i] = g;
            CHECK_EQ(conform_be_inside_submit(ex, &g, NULL), 0);
        }
        CHECK_EQ(conform_be_inside_map(ex, in, out, MANY, &(motet_map_options){.chunk = 1}), 0);
        motet_executor_close(ex);
        CHECK_GE(g->most, 1);
        CHECK_LE(g->most, n);
        b->free(g);
    }
}

void conform_stats_add_up(const conform_backend *b)
{
    enum { WORKERS = 2, WAITING = 30, CANCELLED = 10 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, WORKERS);
    motet_future *held[WORKERS], *f[WAITING];
    motet_executor_stats_t s;
    memset(&s, 0xff, sizeof s);
    CHECK_EQ(motet_executor_stats(ex, &s), 0);
    CHECK_EQ(s.workers, WORKERS);
    CHECK_EQ(s.submitted + s.finished + s.cancelled + s.pending + s.by_callers + s.stolen + s.waiting, 0);
    conform_hold_workers(ex, g, WORKERS, held);
    for (int i = 0; i < WAITING; i++)
        CHECK_EQ(conform_square_submit(ex, &i, &f[i]), 0);
    CHECK_EQ(motet_executor_stats(ex, &s), 0);
    CHECK_EQ(s.alive, WORKERS);
    CHECK_EQ(s.idle, 0);
    CHECK_EQ(s.submitted, WORKERS + WAITING);
    CHECK_EQ(s.pending, WAITING);
    CHECK_EQ(s.finished + s.cancelled, 0);
    for (int i = 0; i < CANCELLED; i++)
        CHECK_EQ(motet_future_cancel(f[i]), 0);
    conform_let_go(g, held, WORKERS);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, WORKERS + WAITING);
    CHECK_EQ(motet_executor_stats(ex, &s), 0);
    CHECK_EQ(s.finished, WORKERS + WAITING - CANCELLED);
    CHECK_EQ(s.by_callers, 0);
    for (int i = 0; i < WAITING; i++)
        motet_future_unref(f[i]);
    motet_executor_close(ex);
    b->free(g);
}
