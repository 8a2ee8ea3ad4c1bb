/* SPDX-License-Identifier: MIT */
/* Conformance: callbacks of futures, each exactly once. */
#include "executor/test_conformance.h"

typedef struct calls {
    motet_future *f;
    uint32_t count;
    motet_event called;
} calls;

static void on_done(motet_future *f, void *arg)
{
    calls *c = arg;
    CHECK(f == c->f);
    CHECK_EQ(motet_future_wait(f, MOTET_NOWAIT), 0); /* it is over when it calls */
    atomic_add_acq_rel(&c->count, 1);
    motet_event_set(&c->called);
}

static void await_call(calls *c) { CHECK_EQ(motet_event_wait(&c->called, MOTET_FOREVER), 0); }

void conform_callbacks_once(const conform_backend *b)
{
    enum { MANY = 20 };
    CONFORM_NEEDS(b, callbacks_share);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f;
    calls c[MANY] = {{0}}, late = {0};
    conform_hold_workers(ex, g, 1, &f);
    for (int i = 0; i < MANY; i++) {
        c[i].f = f;
        CHECK_EQ(motet_future_on_done(f, on_done, &c[i]), 0);
        CHECK_EQ(atomic_load_acquire(&c[i].count), 0);
    }
    CHECK_EQ(motet_event_set(&g->open), 0);
    for (int i = 0; i < MANY; i++)
        await_call(&c[i]);
    late.f = f;
    for (unsigned i = 1; i <= 3; i++) { /* it is over: at once, each time */
        CHECK_EQ(motet_future_on_done(f, on_done, &late), 0);
        CHECK_EQ(atomic_load_acquire(&late.count), i);
    }
    CHECK_EQ(motet_future_on_done(NULL, on_done, &late), -EINVAL);
    CHECK_EQ(motet_future_on_done(f, NULL, &late), -EINVAL);
    motet_executor_close(ex);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(atomic_load_acquire(&c[i].count), 1);
    CHECK_EQ(late.count, 3);
    motet_future_unref(f);
    b->free(g);
}

/* Callbacks are added by two threads while the future ends. */
typedef struct adding {
    motet_future *f;
    calls *calls;
    uint32_t next, n;
} adding;

static int add_callbacks(void *arg)
{
    adding *a = arg;
    for (uint32_t i; (i = atomic_add_relaxed(&a->next, 1)) < a->n;)
        CHECK_EQ(motet_future_on_done(a->f, on_done, &a->calls[i]), 0);
    return 0;
}

void conform_callbacks_race_with_the_end(const conform_backend *b)
{
    enum { ROUNDS = 60, MANY = 64 };
    CONFORM_NEEDS(b, callbacks_share);
    motet_executor *ex = conform_open_workers(b, 2);
    for (int round = 0; round < ROUNDS; round++) {
        conform_gate *g = conform_gate_new(b);
        static calls c[MANY];
        adding a = {.calls = c, .n = MANY};
        conform_hold_workers(ex, g, 1, &a.f);
        for (int i = 0; i < MANY; i++)
            c[i] = (calls){.f = a.f};
        motet_thread *t;
        CHECK_EQ(motet_thread_start(&t, add_callbacks, &a, NULL), 0);
        CHECK_EQ(motet_event_set(&g->open), 0);
        add_callbacks(&a);
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
        motet_thread_free(t);
        for (int i = 0; i < MANY; i++)
            await_call(&c[i]);
        for (int i = 0; i < MANY; i++)
            CHECK_EQ(atomic_load_acquire(&c[i].count), 1);
        motet_future_unref(a.f);
        b->free(g);
    }
    motet_executor_close(ex);
}

void conform_callback_on_cancel(const conform_backend *b)
{
    CONFORM_NEEDS(b, callbacks_share);
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *held;
    calls c = {0};
    conform_hold_workers(ex, g, 1, &held);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &c.f), 0);
    CHECK_EQ(motet_future_on_done(c.f, on_done, &c), 0);
    CHECK_EQ(motet_future_cancel(c.f), 0);
    CHECK_EQ(c.count, 1); /* on the caller, before cancel returned */
    CHECK_EQ(motet_future_cancel(c.f), 0);
    conform_let_go(g, &held, 1);
    motet_executor_close(ex);
    CHECK_EQ(c.count, 1);
    motet_future_unref(c.f);
    b->free(g);
}

/* Each over future's callback submits the next task. */
typedef struct chain {
    motet_executor *ex;
    uint32_t left;
    uint32_t *counter;
    motet_event end;
} chain;

static void submit_next(motet_future *f, void *arg)
{
    chain *c = arg;
    CHECK_EQ(motet_future_code(f), 0);
    if (c->left-- == 0) {
        motet_event_set(&c->end);
        return;
    }
    motet_future *next;
    CHECK_EQ(conform_count_submit(c->ex, &(conform_counted){c->counter, 0}, &next), 0);
    CHECK_EQ(motet_future_on_done(next, submit_next, c), 0);
    motet_future_unref(next);
}

void conform_callback_submits(const conform_backend *b)
{
    enum { LINKS = 500 };
    CONFORM_NEEDS(b, callbacks_share);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    chain c = {.ex = ex, .left = LINKS, .counter = counter};
    motet_future *first;
    CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, 0}, &first), 0);
    CHECK_EQ(motet_future_on_done(first, submit_next, &c), 0);
    CHECK_EQ(motet_event_wait(&c.end, MOTET_FOREVER), 0);
    motet_future_unref(first);
    motet_executor_close(ex);
    CHECK_EQ(atomic_load_relaxed(counter), LINKS + 1);
    b->free(counter);
}

static void drop(motet_future *f, void *arg)
{
    calls *c = arg;
    CHECK_EQ(motet_future_code(f), 0);
    motet_future_unref(c->f); /* the user's own, and last */
    motet_event_set(&c->called);
}

void conform_callback_drops_the_last_hold(const conform_backend *b)
{
    CONFORM_NEEDS(b, callbacks_share);
    motet_executor *ex = conform_open_workers(b, 1);
    for (int i = 0; i < 100; i++) {
        calls c = {0};
        CHECK_EQ(conform_square_submit(ex, &i, &c.f), 0);
        if (i % 2)
            CHECK_EQ(motet_future_wait(c.f, MOTET_FOREVER), 0);
        CHECK_EQ(motet_future_on_done(c.f, drop, &c), 0);
        await_call(&c);
    }
    motet_executor_close(ex);
}
