/* SPDX-License-Identifier: MIT */
/* Conformance: a future at each stage of its life; cancelling; waiting for one. */
#include "executor/test_conformance.h"

#include <string.h>

/* What everything that can be asked says while it is not over. */
static void check_not_over(motet_future *f, motet_future_state state)
{
    CHECK_EQ(motet_future_state_of(f), state);
    CHECK_EQ(motet_future_code(f), -EAGAIN);
    CHECK_EQ(motet_future_outcome(f), MOTET_RETURNED);
    CHECK(motet_future_value(f).data == NULL);
    CHECK_EQ(motet_future_value(f).size, 0);
    CHECK_STR(motet_future_report(f), "");
    CHECK_EQ(motet_future_wait(f, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_future_wait(f, 0), -ETIMEDOUT);
    int out = 55;
    CHECK_EQ(motet_future_take(f, NULL, &out, sizeof out, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(out, 55);
}

void conform_stages_of_a_future(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *held, *f;
    conform_hold_workers(ex, g, 1, &held);
    int in = 6;
    CHECK_EQ(conform_square_submit(ex, &in, &f), 0);
    check_not_over(held, MOTET_RUNNING);
    check_not_over(f, MOTET_PENDING);
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_wait(f, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_future_state_of(f), MOTET_DONE);
    CHECK_EQ(motet_future_code(f), 0);
    CHECK_EQ(motet_future_outcome(f), MOTET_RETURNED);
    CHECK_EQ(motet_future_value(f).size, sizeof(long));
    CHECK(strstr(motet_future_report(f), "conform_square") != NULL);
    CHECK_PTR(motet_future_report(f), motet_future_report(f)); /* made once */
    CHECK(motet_future_ref(f) == f);
    CHECK(motet_future_unref(f) == NULL);
    CHECK_EQ(*(const long *)motet_future_value(f).data, 36);
    motet_future_unref(f);
    motet_executor_close(ex);
    b->free(g);
}

static void check_cancelled(motet_future *f)
{
    CHECK_EQ(motet_future_state_of(f), MOTET_CANCELLED);
    CHECK_EQ(motet_future_wait(f, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_future_code(f), -ECANCELED);
    CHECK_EQ(motet_future_outcome(f), MOTET_WAS_CANCELLED);
    CHECK(motet_future_value(f).data == NULL);
    CHECK_EQ(motet_future_value(f).size, 0);
    CHECK(strstr(motet_future_report(f), "cancelled") != NULL);
    CHECK_EQ(motet_future_cancel(f), 0);
    CHECK_EQ(motet_future_kill(f), 0);
}

void conform_stages_of_a_cancelled_one(const conform_backend *b)
{
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *held, *f, *killed;
    conform_hold_workers(ex, g, 1, &held);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &f), 0);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &killed), 0);
    CHECK_EQ(motet_future_cancel(f), 0);
    CHECK_EQ(motet_future_kill(killed), 0);
    check_cancelled(f);
    check_cancelled(killed);
    long out = 99;
    CHECK_EQ(conform_square_result(f, &out, MOTET_FOREVER), -ECANCELED);
    CHECK_EQ(out, 99);
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    check_cancelled(f); /* still */
    conform_check_balance(ex, 3);
    motet_future_unref(f);
    motet_future_unref(killed);
    motet_executor_close(ex);
    b->free(g);
}

void conform_stages_of_a_failed_one(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f;
    int code = -ENOSPC;
    CHECK_EQ(conform_code_submit(ex, &code, &f), 0);
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0); /* the wait went well */
    CHECK_EQ(motet_future_state_of(f), MOTET_DONE);
    CHECK_EQ(motet_future_code(f), -ENOSPC);
    CHECK_EQ(motet_future_outcome(f), MOTET_RETURNED);
    CHECK(strstr(motet_future_report(f), "conform_code") != NULL);
    CHECK(strstr(motet_future_report(f), motet_strerror(-ENOSPC)) != NULL);
    CHECK_EQ(motet_future_cancel(f), -EAGAIN);
    motet_future_unref(f);
    /* A task's own -ECANCELED can be told from its cancellation. */
    code = -ECANCELED;
    CHECK_EQ(conform_code_submit(ex, &code, &f), 0);
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_code(f), -ECANCELED);
    CHECK_EQ(motet_future_outcome(f), MOTET_RETURNED);
    CHECK_EQ(motet_future_state_of(f), MOTET_DONE);
    motet_future_unref(f);
    motet_executor_close(ex);
}

/* ---- cancel ---------------------------------------------------------------------------------------- */

void conform_cancel_pending_running_over(const conform_backend *b)
{
    enum { MANY = 40 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *held[2], *f[MANY];
    conform_hold_workers(ex, g, 2, held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, 0}, &f[i]), 0);
    CHECK_EQ(motet_future_cancel(held[0]), -EAGAIN);
    for (int i = 0; i < MANY; i += 2)
        CHECK_EQ(motet_future_cancel(f[i]), 0);
    CHECK_EQ(atomic_load_relaxed(counter), 0);
    conform_let_go(g, held, 2);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(motet_future_wait(f[i], MOTET_FOREVER), 0);
        CHECK_EQ(motet_future_code(f[i]), i % 2 ? 0 : -ECANCELED);
        CHECK_EQ(motet_future_cancel(f[i]), i % 2 ? -EAGAIN : 0);
        motet_future_unref(f[i]);
    }
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), MANY / 2);
    conform_check_balance(ex, MANY + 2);
    motet_executor_stats_t stats;
    CHECK_EQ(motet_executor_stats(ex, &stats), 0);
    CHECK_EQ(stats.cancelled, MANY / 2);
    motet_executor_close(ex);
    b->free(counter);
    b->free(g);
}

void conform_cancel_races_with_start(const conform_backend *b)
{
    enum { ROUNDS = 3000 };
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    unsigned ran = 0;
    for (int i = 0; i < ROUNDS; i++) {
        motet_future *f;
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, 0}, &f), 0);
        for (int k = 0; k < i % 64; k++)
            cpu_relax(); /* another moment each time */
        int e = motet_future_cancel(f);
        CHECK(e == 0 || e == -EAGAIN);
        ran += e == -EAGAIN;
        CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
        CHECK_EQ(motet_future_code(f), e ? 0 : -ECANCELED);
        motet_future_unref(f);
    }
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), ran); /* either it never ran, or cancel said that it was too late */
    conform_check_balance(ex, ROUNDS);
    LOG("%u of %d ran", ran, ROUNDS);
    motet_executor_close(ex);
    b->free(counter);
}

void conform_kill_a_future(const conform_backend *b)
{
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f;
    conform_hold_workers(ex, g, 1, &f);
    int e = motet_future_kill(f); /* where tasks can't be ended, it goes on */
    CHECK(e == 0 || e == -ENOTSUP);
    if (e == -ENOTSUP) {
        CHECK_EQ(motet_future_state_of(f), MOTET_RUNNING);
        CHECK_EQ(motet_event_set(&g->open), 0);
    }
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_outcome(f) == MOTET_RETURNED, e == -ENOTSUP);
    CHECK_EQ(motet_future_kill(f), -EAGAIN);
    motet_future_unref(f);
    motet_executor_close(ex);
    b->free(g);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

void conform_wait_ends_at_its_deadline(const conform_backend *b)
{
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f;
    conform_hold_workers(ex, g, 1, &f);
    for (int ms = 0; ms < 20; ms += 5) {
        motet_time deadline = motet_after(ms * MOTET_MS);
        CHECK_EQ(motet_future_wait(f, deadline), -ETIMEDOUT);
        CHECK_GE(motet_now(), deadline);
        int out = 5;
        deadline = motet_after(ms * MOTET_MS);
        CHECK_EQ(conform_held_task_result(f, &out, deadline), -ETIMEDOUT);
        CHECK_GE(motet_now(), deadline);
        CHECK_EQ(out, 5);
    }
    CHECK_EQ(motet_future_state_of(f), MOTET_RUNNING); /* the task knows nothing of it */
    conform_let_go(g, &f, 1);
    motet_executor_close(ex);
    b->free(g);
}

typedef struct crowd {
    motet_future *f;
    motet_semaphore there;
} crowd;

static int wait_in_crowd(void *arg)
{
    crowd *c = arg;
    motet_semaphore_release(&c->there, 1);
    CHECK_EQ(motet_future_wait(c->f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_code(c->f), 0);
    return 0;
}

void conform_many_wait_for_one(const conform_backend *b)
{
    enum { CROWD = 8 };
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    crowd c = {.f = NULL};
    conform_hold_workers(ex, g, 1, &c.f);
    motet_thread *threads[CROWD];
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(motet_thread_start(&threads[i], wait_in_crowd, &c, NULL), 0);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(motet_semaphore_acquire(&c.there, MOTET_FOREVER), 0);
    CHECK_EQ(motet_event_set(&g->open), 0);
    for (int i = 0; i < CROWD; i++) {
        int code = -1;
        CHECK_EQ(motet_thread_join(threads[i], &code, MOTET_FOREVER), 0);
        CHECK_EQ(code, 0);
        motet_thread_free(threads[i]);
    }
    motet_future_unref(c.f);
    motet_executor_close(ex);
    b->free(g);
}

static int wait_until_cancelled(void *arg)
{
    crowd *c = arg;
    motet_semaphore_release(&c->there, 1);
    return motet_future_wait(c->f, MOTET_FOREVER);
}

void conform_a_cancelled_waiter(const conform_backend *b)
{
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    crowd c = {.f = NULL};
    conform_hold_workers(ex, g, 1, &c.f);
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, wait_until_cancelled, &c, NULL), 0);
    CHECK_EQ(motet_semaphore_acquire(&c.there, MOTET_FOREVER), 0);
    CHECK_EQ(motet_thread_cancel(t), 0);
    int code = 0;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -ECANCELED);
    motet_thread_free(t);
    CHECK_EQ(motet_future_state_of(c.f), MOTET_RUNNING); /* the waiter was cancelled, not the task */
    conform_let_go(g, &c.f, 1);
    motet_executor_close(ex);
    b->free(g);
}
