/* SPDX-License-Identifier: MIT */
/* Conformance: tasks, gates and helpers that the checks have in common. */
#include "executor/test_conformance.h"

MOTET_TASK(conform_square, int, long)
{
    *out = (long)*in * *in;
    return 0;
}

MOTET_TASK(conform_held_task, conform_held, int)
{
    *out = in->tag;
    return conform_gate_pass(in->gate);
}

MOTET_TASK(conform_count, conform_counted, int)
{
    atomic_add_relaxed(in->counter, 1);
    *out = in->code;
    return in->code;
}

MOTET_TASK(conform_code, int, int)
{
    *out = *in;
    return *in;
}

MOTET_TASK_BYTES(conform_shout)
{
    const char *text = in.data;
    for (size_t i = 0; i < in.size; i++) {
        char c = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
        int e = motet_buffer_append(out, &c, 1);
        if (e < 0)
            return e;
    }
    return 0;
}

motet_executor *conform_open(const conform_backend *b, const motet_pool_options *opt)
{
    motet_executor *ex = NULL;
    CHECK_EQ(b->open(&ex, opt), 0);
    CHECK(ex != NULL);
    return ex;
}

motet_executor *conform_open_workers(const conform_backend *b, unsigned workers)
{
    return conform_open(b, &(motet_pool_options){.workers = workers});
}

void *conform_alloc(const conform_backend *b, size_t size)
{
    CONFORM_NEEDS(b, alloc);
    void *memory = b->alloc(size);
    CHECK(memory != NULL);
    return memory;
}

/* ---- gates ----------------------------------------------------------------------------------------- */

conform_gate *conform_gate_new(const conform_backend *b)
{
    conform_gate *g = conform_alloc(b, sizeof *g);
    CHECK_EQ(motet_semaphore_init(&g->begun, 0, b->sync_flags), 0);
    CHECK_EQ(motet_event_init(&g->open, b->sync_flags), 0);
    return g;
}

void conform_gate_await(conform_gate *g, unsigned n)
{
    while (n--)
        CHECK_EQ(motet_semaphore_acquire(&g->begun, MOTET_FOREVER), 0);
}

int conform_gate_pass(conform_gate *g)
{
    atomic_add_relaxed(&g->ran, 1);
    uint32_t inside = atomic_add_acq_rel(&g->inside, 1) + 1, most = atomic_load_relaxed(&g->most);
    while (inside > most && !atomic_cas_relaxed(&g->most, &most, inside)) {}
    motet_semaphore_release(&g->begun, 1);
    int e = motet_event_wait(&g->open, MOTET_FOREVER);
    atomic_sub_acq_rel(&g->inside, 1);
    return e;
}

motet_future *conform_hold(motet_executor *ex, conform_gate *g, int tag)
{
    motet_future *f;
    CHECK_EQ(conform_held_task_submit(ex, &(conform_held){.gate = g, .tag = tag}, &f), 0);
    return f;
}

void conform_hold_workers(motet_executor *ex, conform_gate *g, unsigned n, motet_future **ret)
{
    for (unsigned i = 0; i < n; i++)
        ret[i] = conform_hold(ex, g, (int)i);
    conform_gate_await(g, n);
}

void conform_let_go(conform_gate *g, motet_future **f, unsigned n)
{
    CHECK_EQ(motet_event_set(&g->open), 0);
    for (unsigned i = 0; i < n; i++) {
        int tag = -1;
        CHECK_EQ(conform_held_task_result(f[i], &tag, MOTET_FOREVER), 0);
        CHECK_EQ(tag, i);
        motet_future_unref(f[i]);
    }
}

/* ---- the rest -------------------------------------------------------------------------------------- */

void conform_check_balance(motet_executor *ex, uint64_t submitted)
{
    motet_executor_stats_t stats;
    CHECK_EQ(motet_executor_stats(ex, &stats), 0);
    CHECK_EQ(stats.submitted, submitted);
    CHECK_EQ(stats.finished + stats.cancelled, submitted);
    CHECK_EQ(stats.pending, 0);
    CHECK_EQ(stats.alive, 0);
    CHECK_EQ(stats.waiting, 0);
    CHECK_EQ(stats.idle, 0);
}

void conform_threads(unsigned n, motet_fn *fn, void *arg)
{
    enum { MOST = 16 };
    motet_thread *threads[MOST];
    CHECK_LE(n, MOST);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(motet_thread_start(&threads[i], fn, arg, NULL), 0);
    for (unsigned i = 0; i < n; i++) {
        int code = -1;
        CHECK_EQ(motet_thread_join(threads[i], &code, MOTET_FOREVER), 0);
        CHECK_EQ(code, 0);
        motet_thread_free(threads[i]);
    }
}
