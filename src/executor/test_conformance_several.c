/* SPDX-License-Identifier: MIT */
/* Conformance: waiting for several futures: all, any, as they get over. */
#include "executor/test_conformance.h"

void conform_wait_all(const conform_backend *b)
{
    enum { MANY = 100 };
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *f[MANY], *held;
    conform_hold_workers(ex, g, 1, &held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_code_submit(ex, &(int){i % 7 ? i : -EIO}, &f[i]), 0);
    CHECK_EQ(motet_wait_all(f, MANY, MOTET_FOREVER), 0); /* however they went */
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(motet_future_code(f[i]), i % 7 ? i : -EIO);
    motet_future *both[] = {f[0], held, f[1]};
    motet_time deadline = motet_after(3 * MOTET_MS);
    CHECK_EQ(motet_wait_all(both, 3, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(motet_wait_all(both, 3, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_wait_all(both, 1, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_wait_all(NULL, 0, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_wait_all(both, 0, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_wait_all(NULL, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_wait_all((motet_future *[]){held, NULL}, 2, MOTET_FOREVER), -EINVAL); /* before any wait */
    conform_let_go(g, &held, 1);
    for (int i = 0; i < MANY; i++)
        motet_future_unref(f[i]);
    motet_executor_close(ex);
    b->free(g);
}

void conform_wait_any(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g[3];
    motet_future *f[3];
    motet_executor *ex = conform_open_workers(b, 3);
    for (int i = 0; i < 3; i++) {
        g[i] = conform_gate_new(b);
        conform_hold_workers(ex, g[i], 1, &f[i]);
    }
    motet_time deadline = motet_after(3 * MOTET_MS);
    CHECK_EQ(motet_wait_any(f, 3, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(motet_wait_any(f, 3, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_event_set(&g[1]->open), 0);
    CHECK_EQ(motet_wait_any(f, 3, MOTET_FOREVER), 1);
    CHECK_EQ(motet_wait_any(f, 3, MOTET_NOWAIT), 1);
    CHECK_EQ(motet_wait_any((motet_future *[]){f[0], f[2], f[0]}, 3, MOTET_NOWAIT), -ETIMEDOUT);
    motet_future *pending; /* a cancelled one is over too */
    motet_future *again;
    conform_gate *fourth = conform_gate_new(b);
    conform_hold_workers(ex, fourth, 1, &again);
    CHECK_EQ(conform_square_submit(ex, &(int){2}, &pending), 0);
    CHECK_EQ(motet_future_cancel(pending), 0);
    CHECK_EQ(motet_wait_any((motet_future *[]){f[0], pending, f[2]}, 3, MOTET_FOREVER), 1);
    CHECK_EQ(motet_wait_any(f, 0, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_wait_any(NULL, 1, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_wait_any((motet_future *[]){f[1], NULL}, 2, MOTET_NOWAIT), -EINVAL);
    motet_future_unref(pending);
    conform_let_go(fourth, &again, 1);
    for (int i = 0; i < 3; i++) {
        conform_let_go(g[i], &f[i], 1);
        b->free(g[i]);
    }
    motet_executor_close(ex);
    b->free(fourth);
}

typedef struct hunt {
    motet_future **f;
    size_t n;
    motet_semaphore there;
} hunt;

static int hunt_any(void *arg)
{
    hunt *h = arg;
    motet_semaphore_release(&h->there, 1);
    return motet_wait_any(h->f, h->n, MOTET_FOREVER);
}

void conform_wait_any_of_many(const conform_backend *b)
{
    enum { MANY = 200, LUCKY = 137, HUNTERS = 4 }; /* more than park's nodes on the stack */
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f[MANY], *held;
    conform_hold_workers(ex, g, 1, &held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_square_submit(ex, &i, &f[i]), 0);
    hunt h = {.f = f, .n = MANY};
    motet_thread *threads[HUNTERS];
    for (int i = 0; i < HUNTERS; i++)
        CHECK_EQ(motet_thread_start(&threads[i], hunt_any, &h, NULL), 0);
    for (int i = 0; i < HUNTERS; i++)
        CHECK_EQ(motet_semaphore_acquire(&h.there, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_cancel(f[LUCKY]), 0); /* the only one that can be over */
    for (int i = 0; i < HUNTERS; i++) {
        int index = -1;
        CHECK_EQ(motet_thread_join(threads[i], &index, MOTET_FOREVER), 0);
        CHECK_EQ(index, LUCKY);
        motet_thread_free(threads[i]);
    }
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_wait_all(f, MANY, MOTET_FOREVER), 0);
    for (int i = 0; i < MANY; i++)
        motet_future_unref(f[i]);
    motet_executor_close(ex);
    b->free(g);
}

/* ---- as completed ---------------------------------------------------------------------------------- */

void conform_completions_in_order_of_end(const conform_backend *b)
{
    enum { MANY = 6 };
    static const int order[MANY] = {3, 0, 5, 1, 4, 2};
    CONFORM_NEEDS(b, holds_worker);
    motet_executor *ex = conform_open_workers(b, MANY);
    conform_gate *g[MANY];
    motet_future *f[MANY], *next = NULL;
    for (int i = 0; i < MANY; i++) {
        g[i] = conform_gate_new(b);
        conform_hold_workers(ex, g[i], 1, &f[i]);
    }
    motet_completions *it = NULL;
    CHECK_EQ(motet_completions_open(&it, f, MANY), 0);
    for (int i = 0; i < MANY; i++) {
        motet_time deadline = motet_after(i % 2 ? MOTET_MS : 0);
        CHECK_EQ(motet_completions_next(it, &next, deadline), -ETIMEDOUT);
        CHECK_GE(motet_now(), deadline);
        CHECK_EQ(motet_event_set(&g[order[i]]->open), 0);
        CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), 0);
        CHECK(next == f[order[i]]);
        next = NULL;
    }
    CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), -ENOENT);
    CHECK(next == NULL);
    CHECK_EQ(motet_completions_next(NULL, &next, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_completions_next(it, NULL, MOTET_FOREVER), -EINVAL);
    CHECK(motet_completions_close(it) == NULL);
    CHECK(motet_completions_close(NULL) == NULL);
    for (int i = 0; i < MANY; i++) {
        conform_let_go(g[i], &f[i], 1);
        b->free(g[i]);
    }
    motet_executor_close(ex);
}

void conform_completions_of_one_twice(const conform_backend *b)
{
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *held, *other, *next;
    conform_hold_workers(ex, g, 1, &held);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &other), 0);
    CHECK_EQ(motet_future_wait(other, MOTET_FOREVER), 0);
    motet_future *f[] = {held, other, held, other, held};
    motet_completions *it;
    CHECK_EQ(motet_completions_open(&it, f, 5), 0);
    for (int i = 0; i < 2; i++) { /* that was over before */
        CHECK_EQ(motet_completions_next(it, &next, MOTET_NOWAIT), 0);
        CHECK(next == other);
    }
    CHECK_EQ(motet_event_set(&g->open), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), 0);
        CHECK(next == held);
    }
    CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), -ENOENT);
    motet_completions_close(it);
    conform_let_go(g, &held, 1);
    motet_future_unref(other);
    motet_executor_close(ex);
    b->free(g);
}

void conform_completions_closed_early(const conform_backend *b)
{
    enum { MANY = 50 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *held, *f[MANY], *next;
    conform_hold_workers(ex, g, 1, &held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_square_submit(ex, &i, &f[i]), 0);
    motet_completions *it;
    CHECK_EQ(motet_completions_open(&it, f, MANY), 0);
    for (int i = 0; i < MANY; i++)
        if (i % 2)
            motet_future_unref(f[i]); /* `it` holds them */
    CHECK_EQ(motet_completions_next(it, &next, MOTET_NOWAIT), -ETIMEDOUT);
    motet_completions_close(it); /* before any is over */
    CHECK_EQ(motet_completions_open(&it, f, 0), 0);
    CHECK_EQ(motet_completions_next(it, &next, MOTET_NOWAIT), -ENOENT);
    motet_completions_close(it);
    CHECK_EQ(motet_completions_open(NULL, f, 1), -EINVAL);
    CHECK_EQ(motet_completions_open(&it, NULL, 1), -EINVAL);
    CHECK_EQ(motet_completions_open(&it, (motet_future *[]){f[0], NULL}, 2), -EINVAL);
    conform_let_go(g, &held, 1);
    for (int i = 0; i < MANY; i += 2) { /* they went on */
        long out;
        CHECK_EQ(conform_square_result(f[i], &out, MOTET_FOREVER), 0);
        CHECK_EQ(out, (long)i * i);
        motet_future_unref(f[i]);
    }
    motet_executor_close(ex);
    b->free(g);
}

void conform_completions_of_cancelled(const conform_backend *b)
{
    enum { MANY = 30 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *held, *f[MANY], *next;
    conform_hold_workers(ex, g, 1, &held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_code_submit(ex, &i, &f[i]), 0);
    motet_completions *it;
    CHECK_EQ(motet_completions_open(&it, f, MANY), 0);
    for (int i = MANY - 1; i >= 0; i -= 3) {
        CHECK_EQ(motet_future_cancel(f[i]), 0);
        CHECK_EQ(motet_completions_next(it, &next, MOTET_NOWAIT), 0);
        CHECK(next == f[i]);
    }
    conform_let_go(g, &held, 1);
    bool seen[MANY] = {false};
    for (int i = 0; i < MANY - MANY / 3; i++) {
        CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), 0);
        int which = motet_future_code(next);
        CHECK(which >= 0 && which < MANY && !seen[which] && next == f[which]);
        seen[which] = true;
    }
    CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), -ENOENT);
    motet_completions_close(it);
    for (int i = 0; i < MANY; i++)
        motet_future_unref(f[i]);
    motet_executor_close(ex);
    b->free(g);
}

/* ---- from inside a task ---------------------------------------------------------------------------- */

MOTET_TASK(conform_several_in_a_task, motet_executor *, long)
{
    enum { MANY = 40 };
    motet_future *f[MANY], *next;
    motet_completions *it;
    *out = 0;
    for (int i = 0; i < MANY; i++)
        if (conform_square_submit(*in, &i, &f[i]) < 0)
            return -EIO;
    int any = motet_wait_any(f, MANY, MOTET_FOREVER);
    if (any < 0 || motet_future_state_of(f[any]) != MOTET_DONE)
        return -EIO;
    if (motet_completions_open(&it, f, MANY) < 0)
        return -EIO;
    for (int i = 0; i < MANY; i++) {
        if (motet_completions_next(it, &next, MOTET_FOREVER) < 0)
            return -EIO;
        *out += *(const long *)motet_future_value(next).data;
    }
    motet_completions_close(it);
    if (motet_wait_all(f, MANY, MOTET_FOREVER) < 0)
        return -EIO;
    for (int i = 0; i < MANY; i++)
        motet_future_unref(f[i]);
    return 0;
}

void conform_several_from_a_task(const conform_backend *b)
{
    enum { MANY = 12 };
    CONFORM_NEEDS(b, tasks_submit);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f[MANY];
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_several_in_a_task_submit(ex, &ex, &f[i]), 0);
    for (int i = 0; i < MANY; i++) {
        long sum = 0;
        CHECK_EQ(conform_several_in_a_task_result(f[i], &sum, MOTET_FOREVER), 0);
        CHECK_EQ(sum, 39L * 40 * 79 / 6);
        motet_future_unref(f[i]);
    }
    motet_executor_close(ex);
}
