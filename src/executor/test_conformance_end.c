/* SPDX-License-Identifier: MIT */
/* Conformance: shutdown, terminate, close, and what outlives them. */
#include "executor/test_conformance.h"

void conform_shutdown_refuses_and_finishes(const conform_backend *b)
{
    enum { MANY = 200 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *held[2], *f = NULL;
    conform_hold_workers(ex, g, 2, held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, 0}, NULL), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &f), -EPIPE);
    CHECK(f == NULL);
    CHECK_EQ(conform_square_map(ex, &(int){1}, &(long){0}, 1, NULL), -EPIPE);
    CHECK_EQ(atomic_load_relaxed(counter), 0);
    conform_let_go(g, held, 2);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), MANY); /* what was submitted before is done */
    conform_check_balance(ex, MANY + 2);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(motet_executor_shutdown(ex, i % 2, i ? MOTET_NOWAIT : MOTET_FOREVER), 0); /* again */
        CHECK_EQ(conform_square_submit(ex, &(int){1}, &f), -EPIPE);
    }
    CHECK_EQ(motet_executor_terminate(ex), 0);
    CHECK(motet_executor_close(ex) == NULL);
    b->free(counter);
    b->free(g);
}

void conform_shutdown_cancels_pending(const conform_backend *b)
{
    enum { MANY = 700 }; /* more than fit into one piece of any queue */
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *held[2], *f[MANY];
    conform_hold_workers(ex, g, 2, held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, 0}, &f[i]), 0);
    CHECK_EQ(motet_executor_shutdown(ex, true, MOTET_NOWAIT), -ETIMEDOUT); /* two run still */
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(motet_future_state_of(f[i]), MOTET_CANCELLED);
        CHECK_EQ(motet_future_outcome(f[i]), MOTET_WAS_CANCELLED);
        motet_future_unref(f[i]);
    }
    conform_let_go(g, held, 2);
    CHECK_EQ(motet_executor_shutdown(ex, true, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), 0);
    conform_check_balance(ex, MANY + 2);
    motet_executor_close(ex);
    b->free(counter);
    b->free(g);
}

void conform_shutdown_deadline_and_again(const conform_backend *b)
{
    conform_gate *g = conform_gate_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *held;
    conform_hold_workers(ex, g, 1, &held);
    motet_time deadline = motet_after(5 * MOTET_MS);
    CHECK_EQ(motet_executor_shutdown(ex, false, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(motet_executor_shutdown(ex, true, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_future_state_of(held), MOTET_RUNNING);
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, 1);
    motet_executor_close(ex);
    b->free(g);
}

MOTET_TASK(conform_shut_down_own, motet_executor *, int)
{
    *out = motet_executor_shutdown(*in, true, MOTET_FOREVER);
    return 0;
}

void conform_shutdown_from_a_worker(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *f;
    int code = 0;
    CHECK_EQ(conform_shut_down_own_submit(ex, &ex, &f), 0);
    CHECK_EQ(conform_shut_down_own_result(f, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -EDEADLK);
    motet_future_unref(f);
    CHECK_EQ(conform_shut_down_own_map(ex, &ex, &code, 1, NULL), 0); /* an item of a map is a task too */
    CHECK_EQ(code, -EDEADLK);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &f), 0); /* nothing was done */
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_code(f), 0);
    motet_future_unref(f);
    motet_executor_close(ex);
}

typedef struct ending {
    motet_executor *ex;
    uint32_t *counter;
    uint32_t expected;
} ending;

static int shut_down(void *arg)
{
    ending *e = arg;
    CHECK_EQ(motet_executor_shutdown(e->ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(e->counter), e->expected); /* nobody comes back too early */
    return 0;
}

void conform_shutdown_by_many(const conform_backend *b)
{
    enum { MANY = 300, ROUNDS = 20 };
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    for (unsigned round = 0; round < ROUNDS; round++) {
        motet_executor *ex = conform_open_workers(b, 1 + round % 3);
        for (int i = 0; i < MANY; i++)
            CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, 0}, NULL), 0);
        conform_threads(4, shut_down, &(ending){ex, counter, MANY * (round + 1)});
        conform_check_balance(ex, MANY);
        motet_executor_close(ex);
    }
    b->free(counter);
}

/* ---- terminate ------------------------------------------------------------------------------------- */

MOTET_TASK(conform_asked_to_stop, conform_gate *, int)
{
    *out = 0;
    int e = conform_gate_pass(*in);
    return e == -ECANCELED && motet_cancelled() && motet_sleep(MOTET_FOREVER) == -ECANCELED ? -ESHUTDOWN : e;
}

void conform_terminate_cancels_and_asks(const conform_backend *b)
{
    enum { MANY = 100 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *running[2], *f[MANY], *none = NULL;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(conform_asked_to_stop_submit(ex, &g, &running[i]), 0);
    conform_gate_await(g, 2);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, 0}, &f[i]), 0);
    CHECK_EQ(motet_executor_terminate(ex), 0);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &none), -EPIPE);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(motet_future_state_of(f[i]), MOTET_CANCELLED);
        motet_future_unref(f[i]);
    }
    for (int i = 0; i < 2; i++) { /* nobody opens the gate */
        CHECK_EQ(motet_future_wait(running[i], MOTET_FOREVER), 0);
        CHECK_EQ(motet_future_code(running[i]), -ESHUTDOWN);
        motet_future_unref(running[i]);
    }
    CHECK_EQ(motet_executor_terminate(ex), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(atomic_load_relaxed(counter), 0);
    conform_check_balance(ex, MANY + 2);
    motet_executor_close(ex);
    b->free(counter);
    b->free(g);
}

/* ---- close ----------------------------------------------------------------------------------------- */

static int open_gate(void *arg)
{
    conform_gate *g = arg;
    return motet_event_set(&g->open);
}

void conform_close_with_work_pending(const conform_backend *b)
{
    enum { MANY = 100 };
    CONFORM_NEEDS(b, holds_worker);
    conform_gate *g = conform_gate_new(b);
    uint32_t *counter = conform_alloc(b, sizeof *counter);
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *held[2], *f[MANY];
    conform_hold_workers(ex, g, 2, held);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_count_submit(ex, &(conform_counted){counter, i}, &f[i]), 0);
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, open_gate, g, NULL), 0);
    CHECK(motet_executor_close(ex) == NULL); /* waits for all of them */
    CHECK_EQ(atomic_load_relaxed(counter), MANY);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(motet_future_code(f[i]), i);
        motet_future_unref(f[i]);
    }
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    conform_let_go(g, held, 2);
    b->free(counter);
    b->free(g);
}

MOTET_TASK(conform_close_own, motet_executor *, bool)
{
    *out = motet_executor_close(*in) == *in;
    return 0;
}

MOTET_TASK(conform_terminate_own, motet_executor *, int)
{
    *out = motet_executor_terminate(*in);
    return motet_cancelled() ? 0 : -EIO;
}

void conform_close_from_a_worker(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    motet_executor *ex = conform_open_workers(b, 1);
    motet_future *f;
    bool refused = false;
    CHECK_EQ(conform_close_own_submit(ex, &ex, &f), 0);
    CHECK_EQ(conform_close_own_result(f, &refused, MOTET_FOREVER), 0);
    CHECK(refused);
    motet_future_unref(f);
    int code = 1; /* nothing was done; terminate does not wait, so a task may call it */
    CHECK_EQ(conform_terminate_own_submit(ex, &ex, &f), 0);
    CHECK_EQ(conform_terminate_own_result(f, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 0);
    motet_future_unref(f);
    CHECK(motet_executor_close(ex) == NULL);
}

static void count_call(motet_future *f, void *arg) { ++*(int *)arg; }

void conform_futures_outlive_it(const conform_backend *b)
{
    enum { MANY = 50 };
    motet_executor *ex = conform_open_workers(b, 2);
    motet_future *f[MANY], *failed, *cancelled = NULL;
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_square_submit(ex, &i, &f[i]), 0);
    CHECK_EQ(conform_code_submit(ex, &(int){-EIO}, &failed), 0);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &cancelled), 0);
    motet_future_cancel(cancelled);
    motet_executor_close(ex);
    for (int i = 0; i < MANY; i++) {
        long out = -1;
        CHECK_EQ(conform_square_result(f[i], &out, MOTET_FOREVER), 0);
        CHECK_EQ(out, (long)i * i);
        CHECK_EQ(motet_future_cancel(f[i]), -EAGAIN);
        CHECK_EQ(motet_future_kill(f[i]), -EAGAIN);
    }
    int calls = 0;
    motet_completions *it;
    motet_future *next;
    CHECK_EQ(motet_future_on_done(failed, count_call, &calls), 0);
    CHECK_EQ(calls, 1);
    CHECK_EQ(motet_future_code(failed), -EIO);
    CHECK(motet_future_report(failed)[0] != 0);
    CHECK_GE(motet_wait_any(f, MANY, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_completions_open(&it, &cancelled, 1), 0);
    CHECK_EQ(motet_completions_next(it, &next, MOTET_NOWAIT), 0);
    motet_completions_close(it);
    motet_future_unref(cancelled);
    motet_future_unref(failed);
    for (int i = 0; i < MANY; i++)
        motet_future_unref(f[i]);
}

void conform_executor_misuse(const conform_backend *b)
{
    motet_executor *ex = conform_open_workers(b, 1);
    motet_executor_stats_t stats;
    CHECK_EQ(motet_executor_shutdown(NULL, false, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_executor_terminate(NULL), -EINVAL);
    CHECK_EQ(motet_executor_stats(NULL, &stats), -EINVAL);
    CHECK_EQ(motet_executor_stats(ex, NULL), -EINVAL);
    CHECK(motet_executor_close(NULL) == NULL);
    motet_executor_close(ex);
}
