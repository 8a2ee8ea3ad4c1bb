/* SPDX-License-Identifier: MIT */
/* Conformance: tasks that wait for tasks of their own executor, and of others. */
#include "executor/test_conformance.h"

typedef struct level {
    motet_executor *ex, *other; /* the next level runs on `other` */
    int depth;
    bool finite; /* waits have a deadline, which is far away */
} level;

static motet_time deadline_of(const level *l) { return l->finite ? motet_after(3600 * MOTET_S) : MOTET_FOREVER; }

MOTET_TASK(conform_level, level, long)
{
    *out = 1;
    if (!in->depth)
        return 0;
    level below = {.ex = in->other, .other = in->ex, .depth = in->depth - 1, .finite = in->finite};
    motet_future *f;
    int e = conform_level_submit(below.ex, &below, &f);
    if (e < 0)
        return e;
    long rest;
    e = conform_level_result(f, &rest, deadline_of(in));
    *out += rest;
    motet_future_unref(f);
    return e;
}

MOTET_TASK(conform_fib, level, long)
{
    *out = in->depth;
    if (in->depth < 2)
        return 0;
    level below[2] = {*in, *in};
    motet_future *f[2];
    long results[2] = {0, 0};
    int e = 0;
    for (int i = 0; i < 2; i++) {
        below[i].depth -= i + 1;
        if (conform_fib_submit(in->ex, &below[i], &f[i]) < 0)
            return -EIO;
    }
    for (int i = 0; i < 2; i++) {
        int one = conform_fib_result(f[i], &results[i], deadline_of(in));
        e = e ? e : one;
        motet_future_unref(f[i]);
    }
    *out = results[0] + results[1];
    return e;
}

static long run_levels(motet_executor *ex, motet_executor *other, int depth, bool finite)
{
    motet_future *f;
    long levels = -1;
    CHECK_EQ(conform_level_submit(ex, &(level){ex, other, depth, finite}, &f), 0);
    CHECK_EQ(conform_level_result(f, &levels, MOTET_FOREVER), 0);
    motet_future_unref(f);
    return levels;
}

void conform_nested_deep(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    for (unsigned workers = 1; workers <= 2; workers++) {
        motet_executor *ex = conform_open_workers(b, workers);
        CHECK_EQ(run_levels(ex, ex, 1500, false), 1501);
        CHECK_EQ(run_levels(ex, ex, 1500, false), 1501);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        conform_check_balance(ex, 2 * 1501);
        motet_executor_close(ex);
    }
}

void conform_nested_wide(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    for (unsigned workers = 1; workers <= 3; workers++) {
        motet_executor *ex = conform_open_workers(b, workers);
        motet_future *f;
        long fib = 0;
        CHECK_EQ(conform_fib_submit(ex, &(level){.ex = ex, .depth = 16}, &f), 0);
        CHECK_EQ(conform_fib_result(f, &fib, MOTET_FOREVER), 0);
        CHECK_EQ(fib, 987);
        motet_future_unref(f);
        motet_executor_close(ex);
    }
}

void conform_nested_with_deadlines(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    for (unsigned workers = 1; workers <= 2; workers++) {
        motet_executor *ex = conform_open_workers(b, workers);
        CHECK_EQ(run_levels(ex, ex, 60, true), 61);
        motet_future *f;
        long fib = 0;
        CHECK_EQ(conform_fib_submit(ex, &(level){.ex = ex, .depth = 8, .finite = true}, &f), 0);
        CHECK_EQ(conform_fib_result(f, &fib, MOTET_FOREVER), 0);
        CHECK_EQ(fib, 21);
        motet_future_unref(f);
        motet_executor_close(ex);
    }
}

/* ---- what they wait for comes later ---------------------------------------------------------------- */

/* Tasks wait for `there`, which keeps their workers, then for the future that stands in `f` by then. */
typedef struct later {
    conform_gate gate;
    motet_future *f;
    int code; /* of a wait with a deadline that passes */
} later;

static later *later_new(const conform_backend *b)
{
    later *l = conform_alloc(b, sizeof *l);
    CHECK_EQ(motet_semaphore_init(&l->gate.begun, 0, b->sync_flags), 0);
    CHECK_EQ(motet_event_init(&l->gate.open, b->sync_flags), 0);
    return l;
}

MOTET_TASK(conform_wait_later, later *, int)
{
    later *l = *in;
    int e = conform_gate_pass(&l->gate);
    if (e == 0)
        e = motet_future_wait(l->f, MOTET_FOREVER);
    *out = motet_future_code(l->f);
    return e;
}

static void check_later(motet_future **f, int n, int code)
{
    for (int i = 0; i < n; i++) {
        int got = -1;
        CHECK_EQ(conform_wait_later_result(f[i], &got, MOTET_FOREVER), 0);
        CHECK_EQ(got, code);
        motet_future_unref(f[i]);
    }
}

void conform_tasks_wait_for_later_ones(const conform_backend *b)
{
    enum { WORKERS = 3 };
    CONFORM_NEEDS(b, tasks_submit);
    later *l = later_new(b);
    motet_executor *ex = conform_open_workers(b, WORKERS);
    motet_future *f[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(conform_wait_later_submit(ex, &l, &f[i]), 0);
    conform_gate_await(&l->gate, WORKERS);
    CHECK_EQ(conform_code_submit(ex, &(int){42}, &l->f), 0); /* every worker will wait for this one */
    CHECK_EQ(motet_event_set(&l->gate.open), 0);
    check_later(f, WORKERS, 42);
    motet_future_unref(l->f);
    motet_executor_close(ex);
    b->free(l);
}

void conform_tasks_wait_for_a_promise(const conform_backend *b)
{
    enum { WORKERS = 2, WAITING = 20, MANY = 100 };
    CONFORM_NEEDS(b, tasks_submit);
    later *l = later_new(b);
    motet_executor *ex = conform_open_workers(b, WORKERS);
    motet_future *f[WAITING], *others[MANY];
    CHECK_EQ(motet_promise_new(&l->f, 0), 0);
    CHECK_EQ(motet_event_set(&l->gate.open), 0);
    for (int i = 0; i < WAITING; i++)
        CHECK_EQ(conform_wait_later_submit(ex, &l, &f[i]), 0);
    conform_gate_await(&l->gate, WAITING); /* more than there are workers have begun */
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(conform_square_submit(ex, &i, &others[i]), 0);
    CHECK_EQ(motet_wait_all(others, MANY, MOTET_FOREVER), 0); /* others run meanwhile */
    for (int i = 0; i < WAITING; i++)
        CHECK_EQ(motet_future_state_of(f[i]), MOTET_RUNNING);
    CHECK_EQ(motet_promise_set(l->f, (motet_bytes){NULL, 0}, 0), 0);
    check_later(f, WAITING, 0);
    for (int i = 0; i < MANY; i++)
        motet_future_unref(others[i]);
    motet_future_unref(l->f);
    motet_executor_close(ex);
    b->free(l);
}

void conform_two_executors_wait_mutually(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    motet_executor *a = conform_open_workers(b, 1), *c = conform_open_workers(b, 1);
    CHECK_EQ(run_levels(a, c, 100, false), 101);
    CHECK_EQ(run_levels(c, a, 100, true), 101);
    motet_executor_close(a);
    motet_executor_close(c);
}

MOTET_TASK(conform_wait_for_self, later *, int)
{
    later *l = *in;
    int e = conform_gate_pass(&l->gate);
    if (e < 0)
        return e;
    *out = motet_future_wait(l->f, MOTET_FOREVER);
    if (motet_future_wait(l->f, MOTET_NOWAIT) != *out ||
        motet_future_take(l->f, NULL, NULL, 0, MOTET_FOREVER) != *out ||
        motet_wait_all(&l->f, 1, MOTET_FOREVER) != *out || motet_wait_any(&l->f, 1, MOTET_FOREVER) != *out)
        return -EIO;
    return 0;
}

void conform_a_task_waits_for_itself(const conform_backend *b)
{
    CONFORM_NEEDS(b, tasks_submit);
    later *l = later_new(b);
    motet_executor *ex = conform_open_workers(b, 1);
    int code = 0;
    CHECK_EQ(conform_wait_for_self_submit(ex, &l, &l->f), 0);
    CHECK_EQ(motet_event_set(&l->gate.open), 0); /* after the future stands there */
    CHECK_EQ(conform_wait_for_self_result(l->f, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -EDEADLK);
    motet_future_unref(l->f);
    motet_executor_close(ex);
    b->free(l);
}
