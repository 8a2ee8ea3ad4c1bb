/* SPDX-License-Identifier: MIT */
/* Conformance: maps that end before all their items have run. */
#include "executor/test_conformance.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ITEMS = 100, WORKERS = 2 };

/* A map's memory on the heap, of items that wait in a gate. */
typedef struct mapping {
    motet_executor *ex;
    conform_gate *gate;
    conform_held *in;
    int *out, *codes;
    motet_map_options options;
} mapping;

static mapping *mapping_new(motet_executor *ex, conform_gate *g, size_t chunk)
{
    mapping *m = malloc(sizeof *m);
    CHECK(m != NULL);
    *m = (mapping){.ex = ex, .gate = g};
    m->in = malloc(ITEMS * sizeof *m->in);
    m->out = malloc(ITEMS * sizeof *m->out);
    m->codes = malloc(ITEMS * sizeof *m->codes);
    CHECK(m->in && m->out && m->codes);
    for (int i = 0; i < ITEMS; i++) {
        m->in[i] = (conform_held){.gate = g, .tag = i};
        m->out[i] = -1;
        m->codes[i] = 12345;
    }
    m->options = (motet_map_options){.chunk = chunk, .codes = m->codes};
    return m;
}

/* Nothing may use what is freed here: a sanitizer, or the poison, would tell. */
static void mapping_free(mapping *m)
{
    memset(m->in, 0xdb, ITEMS * sizeof *m->in);
    memset(m->out, 0xdb, ITEMS * sizeof *m->out);
    memset(m->codes, 0xdb, ITEMS * sizeof *m->codes);
    free(m->in);
    free(m->out);
    free(m->codes);
    free(m);
}

static int map_held(void *arg)
{
    mapping *m = arg;
    return conform_held_task_map(m->ex, m->in, m->out, ITEMS, &m->options);
}

static motet_thread *map_on_thread(mapping *m)
{
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, map_held, m, NULL), 0);
    return t;
}

static int join(motet_thread *t)
{
    int code = 1;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    motet_thread_free(t);
    return code;
}

void conform_map_deadline(const conform_backend *b)
{
    static const size_t chunks[] = {0, 1, 7, ITEMS, 10 * ITEMS};
    CONFORM_NEEDS(b, holds_worker);
    for (size_t i = 0; i < 2 * sizeof chunks / sizeof *chunks; i++) {
        conform_gate *g = conform_gate_new(b);
        motet_executor *ex = conform_open_workers(b, WORKERS);
        mapping *m = mapping_new(ex, g, chunks[i / 2]);
        m->options.deadline = i % 2 ? MOTET_NOWAIT : motet_after(5 * MOTET_MS);
        CHECK_EQ(map_held(m), -ETIMEDOUT);
        CHECK_GE(motet_now(), m->options.deadline);
        for (int k = 0; k < ITEMS; k++) {
            CHECK_EQ(m->codes[k], -ECANCELED);
            CHECK_EQ(m->out[k], -1);
        }
        mapping_free(m);
        CHECK_EQ(motet_event_set(&g->open), 0);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        CHECK_LE(atomic_load_relaxed(&g->ran), WORKERS); /* only those that had begun */
        conform_check_balance(ex, ITEMS);
        motet_executor_close(ex);
        b->free(g);
    }
}

MOTET_TASK(conform_quick_or_held, conform_held, int)
{
    *out = in->tag;
    return in->gate ? conform_gate_pass(in->gate) : 0;
}

static int map_quick_or_held(void *arg)
{
    mapping *m = arg;
    return conform_quick_or_held_map(m->ex, m->in, m->out, ITEMS, &m->options);
}

void conform_map_deadline_keeps_what_is_done(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    mapping *m = mapping_new(ex, NULL, 1);
    for (int i = 0; i < ITEMS; i++)
        m->in[i].gate = i == ITEMS - 1 ? g : NULL;
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, map_quick_or_held, m, NULL), 0);
    conform_gate_await(g, 1); /* one worker: the others are done */
    CHECK_EQ(motet_thread_cancel(t), 0);
    CHECK_EQ(join(t), -ECANCELED);
    for (int i = 0; i < ITEMS - 1; i++) {
        CHECK_EQ(m->codes[i], 0);
        CHECK_EQ(m->out[i], i);
    }
    CHECK_EQ(m->codes[ITEMS - 1], -ECANCELED);
    mapping_free(m);
    CHECK_EQ(motet_event_set(&g->open), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, ITEMS);
    motet_executor_close(ex);
    b->free(g);
}

void conform_map_cancelled(const conform_backend *b)
{
    static const size_t chunks[] = {0, 1, 10};
    CONFORM_NEEDS(b, holds_worker);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        conform_gate *g = conform_gate_new(b);
        motet_executor *ex = conform_open_workers(b, WORKERS);
        mapping *m = mapping_new(ex, g, chunks[i]);
        motet_thread *t = map_on_thread(m);
        conform_gate_await(g, WORKERS); /* every worker is inside an item */
        CHECK_EQ(motet_thread_cancel(t), 0);
        CHECK_EQ(join(t), -ECANCELED);
        mapping_free(m);
        long out;
        motet_future *f; /* the executor goes on */
        CHECK_EQ(motet_event_set(&g->open), 0);
        CHECK_EQ(conform_square_submit(ex, &(int){4}, &f), 0);
        CHECK_EQ(conform_square_result(f, &out, MOTET_FOREVER), 0);
        motet_future_unref(f);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        CHECK_EQ(atomic_load_relaxed(&g->ran), WORKERS);
        conform_check_balance(ex, ITEMS + 1);
        motet_executor_close(ex);
        b->free(g);
    }
}

void conform_map_left_in_a_batch(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    mapping *m = mapping_new(ex, NULL, ITEMS);
    for (int i = ITEMS / 2; i < ITEMS; i++)
        m->in[i].gate = g; /* slow ones after many quick ones, all in one chunk */
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, map_quick_or_held, m, NULL), 0);
    conform_gate_await(g, 1);
    CHECK_EQ(motet_thread_cancel(t), 0);
    CHECK_EQ(join(t), -ECANCELED);
    for (int i = 0; i < ITEMS; i++)
        CHECK(m->codes[i] == -ECANCELED || (i < ITEMS / 2 && m->codes[i] == 0 && m->out[i] == i));
    mapping_free(m);
    CHECK_EQ(motet_event_set(&g->open), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(&g->ran), 1);
    conform_check_balance(ex, ITEMS);
    motet_executor_close(ex);
    b->free(g);
}

typedef struct megabyte {
    char bytes[1 << 20];
} megabyte;

MOTET_TASK(conform_megabyte, megabyte, megabyte)
{
    out->bytes[0] = in->bytes[0];
    return 0;
}

void conform_map_left_during_copies(const conform_backend *b)
{
    enum { ROUNDS = 30, COUNT = 4 };
    const size_t size = COUNT * sizeof(megabyte);
    motet_executor *ex = conform_open_workers(b, 2);
    for (int i = 0; i < ROUNDS; i++) {
        void *memory = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        megabyte *in = memory, *out = in + COUNT;
        int e = conform_megabyte_map(ex, in, out, COUNT,
                                     &(motet_map_options){.deadline = motet_after(i * 100 * MOTET_US)});
        CHECK(e == 0 || e == -ETIMEDOUT);
        CHECK_EQ(munmap(memory, 2 * size), 0); /* who still copies dies */
    }
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, ROUNDS * COUNT);
    motet_executor_close(ex);
}

void conform_map_after_shutdown(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 1);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    int in[3] = {1, 2, 3};
    long out[3] = {7, 7, 7};
    CHECK_EQ(conform_square_map(ex, in, out, 3, NULL), -EPIPE);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(out[i], 7);
    conform_check_balance(ex, 0);
    motet_executor_close(ex);
}

/* What the end of the executor leaves of a map whose every worker is inside an item. */
static void check_cut(mapping *m, int code_of_begun)
{
    int begun = 0;
    for (int i = 0; i < ITEMS; i++) {
        CHECK(m->codes[i] == -ECANCELED || m->codes[i] == code_of_begun);
        begun += m->codes[i] == 0;
    }
    CHECK_EQ(begun, code_of_begun ? 0 : WORKERS);
    CHECK_EQ(atomic_load_relaxed(&m->gate->ran), WORKERS);
    conform_check_balance(m->ex, ITEMS);
}

void conform_map_cut_by_cancel_pending(const conform_backend *b)
{
    static const size_t chunks[] = {0, 1, 10};
    CONFORM_NEEDS(b, holds_worker);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        conform_gate *g = conform_gate_new(b);
        motet_executor *ex = conform_open_workers(b, WORKERS);
        mapping *m = mapping_new(ex, g, chunks[i]);
        motet_thread *t = map_on_thread(m);
        conform_gate_await(g, WORKERS);
        CHECK_EQ(motet_executor_shutdown(ex, true, MOTET_NOWAIT), -ETIMEDOUT);
        CHECK_EQ(motet_event_set(&g->open), 0);
        CHECK_EQ(join(t), -ECANCELED); /* of the first item that did not run */
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        check_cut(m, 0);
        mapping_free(m);
        motet_executor_close(ex);
        b->free(g);
    }
}

void conform_map_cut_by_terminate(const conform_backend *b)
{
    static const size_t chunks[] = {0, 1, 10};
    CONFORM_NEEDS(b, holds_worker);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        conform_gate *g = conform_gate_new(b);
        motet_executor *ex = conform_open_workers(b, WORKERS);
        mapping *m = mapping_new(ex, g, chunks[i]);
        motet_thread *t = map_on_thread(m);
        conform_gate_await(g, WORKERS);
        CHECK_EQ(motet_executor_terminate(ex), 0); /* ends the wait in the gate, which nobody opens */
        CHECK_EQ(join(t), -ECANCELED);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        check_cut(m, -ECANCELED);
        mapping_free(m);
        motet_executor_close(ex);
        b->free(g);
    }
}
