/* SPDX-License-Identifier: MIT */
/* Workers of the thread pool that wait for futures: who stands in for them, and what happens when nobody can. */
#include "executor/test_conformance.h"

#include <stdlib.h>

static void *alloc(size_t size) { return calloc(1, size); }

static const conform_backend threads = {.open = motet_thread_pool_open,
                                        .alloc = alloc,
                                        .free = free,
                                        .holds_worker = true,
                                        .tasks_submit = true,
                                        .callbacks_share = true};

static motet_executor_stats_t stats_of(motet_executor *ex)
{
    motet_executor_stats_t stats;
    CHECK_EQ(motet_executor_stats(ex, &stats), 0);
    return stats;
}

/* A task waits for a future, says that it is back, and stays until it may go. */
typedef struct visit {
    motet_future *awaited;
    conform_gate after; /* it passes there when it is back */
    uint32_t back;
    uint32_t late; /* tasks that began while it was back */
} visit;

MOTET_TASK(stand_in_wait, visit *, int)
{
    visit *v = *in;
    *out = motet_future_wait(v->awaited, MOTET_FOREVER);
    atomic_store_release(&v->back, 1);
    return conform_gate_pass(&v->after);
}

MOTET_TASK(stand_in_look, visit *, int)
{
    visit *v = *in;
    *out = 0;
    if (atomic_load_acquire(&v->back))
        atomic_add_relaxed(&v->late, 1);
    return 0;
}

TEST(waiting_workers_are_counted)
{
    enum { WAITING = 5 };
    motet_executor *ex = conform_open_workers(&threads, 1);
    visit v = {.back = 0};
    motet_future *f[WAITING];
    CHECK_EQ(motet_promise_new(&v.awaited, 0), 0);
    for (int i = 0; i < WAITING; i++)
        CHECK_EQ(stand_in_wait_submit(ex, &(visit *){&v}, &f[i]), 0);
    while (stats_of(ex).waiting < WAITING) /* they come in one after the other, each with a stand-in behind it */
        motet_yield();
    motet_executor_stats_t s = stats_of(ex);
    CHECK_EQ(s.workers, 1);
    CHECK_GE(s.alive, WAITING);
    CHECK_LE(s.alive, WAITING + 1);
    CHECK_EQ(s.finished, 0);
    CHECK_EQ(motet_promise_set(v.awaited, (motet_bytes){NULL, 0}, 0), 0);
    conform_gate_await(&v.after, WAITING);
    CHECK_EQ(stats_of(ex).waiting, 0);
    CHECK_EQ(motet_event_set(&v.after.open), 0);
    CHECK_EQ(motet_wait_all(f, WAITING, MOTET_FOREVER), 0);
    for (int i = 0; i < WAITING; i++)
        motet_future_unref(f[i]);
    motet_future_unref(v.awaited);
    motet_executor_close(ex);
}

TEST(stand_ins_step_back)
{
    enum { MANY = 50 };
    conform_gate *g = conform_gate_new(&threads);
    motet_executor *ex = conform_open_workers(&threads, 1);
    visit v = {.back = 0};
    motet_future *waiting, *f[MANY];
    CHECK_EQ(motet_promise_new(&v.awaited, 0), 0);
    CHECK_EQ(stand_in_wait_submit(ex, &(visit *){&v}, &waiting), 0);
    motet_future *held;
    conform_hold_workers(ex, g, 1, &held); /* on the stand-in */
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(stand_in_look_submit(ex, &(visit *){&v}, &f[i]), 0);
    CHECK_EQ(motet_promise_set(v.awaited, (motet_bytes){NULL, 0}, 0), 0);
    conform_gate_await(&v.after, 1); /* the worker is back, and busy: one more than the pool has is at work */
    conform_let_go(g, &held, 1);
    motet_executor_stats_t s;
    do { /* until the stand-in has left, whatever it does before */
        motet_yield();
        s = stats_of(ex);
    } while (s.alive - s.idle > 1);
    CHECK_EQ(v.late, 0);
    CHECK_EQ(stats_of(ex).pending, MANY);
    CHECK_EQ(motet_event_set(&v.after.open), 0);
    CHECK_EQ(motet_wait_all(f, MANY, MOTET_FOREVER), 0);
    for (int i = 0; i < MANY; i++)
        motet_future_unref(f[i]);
    motet_future_unref(waiting);
    motet_future_unref(v.awaited);
    motet_executor_close(ex);
    free(g);
}

TEST(nobody_is_woken_beside_a_busy_stand_in)
{
    enum { MANY = 50 };
    conform_gate *g = conform_gate_new(&threads);
    motet_executor *ex = conform_open_workers(&threads, 1);
    visit v = {.back = 0};
    motet_future *waiting, *held, *f[MANY];
    CHECK_EQ(motet_promise_new(&v.awaited, 0), 0);
    CHECK_EQ(motet_event_set(&v.after.open), 0);
    CHECK_EQ(stand_in_wait_submit(ex, &(visit *){&v}, &waiting), 0);
    conform_hold_workers(ex, g, 1, &held); /* on the stand-in */
    CHECK_EQ(motet_promise_set(v.awaited, (motet_bytes){NULL, 0}, 0), 0);
    CHECK_EQ(motet_future_wait(waiting, MOTET_FOREVER), 0);
    while (stats_of(ex).idle < 1) /* the worker is back, finds nothing to do, and sleeps */
        motet_yield();
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(stand_in_look_submit(ex, &(visit *){&v}, &f[i]), 0);
        motet_yield();
    }
    CHECK_EQ(stats_of(ex).pending, MANY); /* one is at work, as many as the pool has workers */
    conform_let_go(g, &held, 1);
    CHECK_EQ(motet_wait_all(f, MANY, MOTET_FOREVER), 0);
    for (int i = 0; i < MANY; i++)
        motet_future_unref(f[i]);
    motet_future_unref(waiting);
    motet_future_unref(v.awaited);
    motet_executor_close(ex);
    free(g);
}

TEST(terminate_ends_waits_for_futures)
{
    enum { WAITING = 4 };
    motet_executor *ex = conform_open_workers(&threads, 2);
    visit v = {.back = 0};
    motet_future *f[WAITING];
    CHECK_EQ(motet_promise_new(&v.awaited, 0), 0);
    for (int i = 0; i < WAITING; i++)
        CHECK_EQ(stand_in_wait_submit(ex, &(visit *){&v}, &f[i]), 0);
    while (stats_of(ex).waiting < WAITING)
        motet_yield();
    CHECK_EQ(motet_executor_terminate(ex), 0);
    for (int i = 0; i < WAITING; i++) {
        CHECK_EQ(motet_future_wait(f[i], MOTET_FOREVER), 0);
        CHECK_EQ(motet_future_code(f[i]), -ECANCELED); /* its second wait, in the gate, ended as well */
        CHECK_EQ(motet_future_outcome(f[i]), MOTET_RETURNED);
        motet_future_unref(f[i]);
    }
    CHECK_EQ(motet_future_state_of(v.awaited), MOTET_PENDING);
    motet_future_unref(v.awaited);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, WAITING);
    motet_executor_close(ex);
}

static int fail_second(void *arg) { return atomic_add_relaxed((uint32_t *)arg, 1) ? -EXDEV : 0; }

TEST(a_stand_in_cannot_be_initialized)
{
    uint32_t calls = 0;
    motet_executor *ex = conform_open(&threads, &(motet_pool_options){1, NULL, fail_second, &calls});
    visit v = {.back = 0};
    motet_future *waiting, *never, *none = NULL;
    conform_gate *g = conform_gate_new(&threads);
    motet_future *held;
    conform_hold_workers(ex, g, 1, &held);
    CHECK_EQ(stand_in_wait_submit(ex, &(visit *){&v}, &waiting), 0);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &never), 0);
    CHECK_EQ(motet_promise_new(&v.awaited, 0), 0);
    conform_let_go(g, &held, 1); /* now one waits, and its stand-in fails for all */
    CHECK_EQ(motet_future_wait(never, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_code(never), -EXDEV);
    CHECK_EQ(motet_future_outcome(never), MOTET_WORKER_DIED);
    CHECK_EQ(motet_future_state_of(never), MOTET_DONE);
    CHECK(motet_future_value(never).data == NULL);
    CHECK(strstr(motet_future_report(never), "conform_square") != NULL);
    CHECK_EQ(conform_square_submit(ex, &(int){1}, &none), -EXDEV);
    CHECK_EQ(conform_square_map(ex, &(int){1}, &(long){0}, 1, NULL), -EXDEV);
    CHECK(none == NULL);
    CHECK_EQ(motet_promise_set(v.awaited, (motet_bytes){NULL, 0}, 0), 0);
    CHECK_EQ(motet_event_set(&v.after.open), 0);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_code(waiting), 0); /* it had begun, and finished */
    conform_check_balance(ex, 3);
    CHECK_EQ(calls, 2);
    motet_future_unref(waiting);
    motet_future_unref(never);
    motet_future_unref(v.awaited);
    motet_executor_close(ex);
    free(g);
}

typedef struct circle {
    motet_executor *ex;
    motet_future *first;
    conform_gate gate; /* open when `first` stands there */
} circle;

MOTET_TASK(stand_in_circle_end, circle *, int)
{
    *out = motet_future_wait((*in)->first, MOTET_FOREVER);
    return 0;
}

MOTET_TASK(stand_in_circle, circle *, int)
{
    circle *c = *in;
    motet_future *f;
    int e = conform_gate_pass(&c->gate);
    if (e < 0 || (e = stand_in_circle_end_submit(c->ex, in, &f)) < 0)
        return e;
    e = stand_in_circle_end_result(f, out, MOTET_FOREVER);
    motet_future_unref(f);
    return e;
}

TEST(a_circle_on_one_stack)
{
    /* With one worker the awaited task runs on the waiter's stack; there waiting back would never end. */
    motet_executor *ex = conform_open_workers(&threads, 1);
    circle c = {.ex = ex};
    CHECK_EQ(stand_in_circle_submit(ex, &(circle *){&c}, &c.first), 0);
    CHECK_EQ(motet_event_set(&c.gate.open), 0);
    int code = 0;
    CHECK_EQ(stand_in_circle_result(c.first, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, -EDEADLK);
    motet_future_unref(c.first);
    motet_executor_close(ex);
}

/* ---- no more threads to be had --------------------------------------------------------------------- */

/* From now on no thread can be started: none gets a stack so large. Returns what to set back. */
static size_t no_more_threads(void) { return motet_stack_size((size_t)1 << 52); }

TEST(no_thread_at_all)
{
    size_t before = no_more_threads();
    motet_executor *ex = conform_open_workers(&threads, 2), *failed = NULL;
    motet_future *f = NULL;
    CHECK_EQ(conform_square_submit(ex, &(int){3}, &f), -EAGAIN);
    CHECK_EQ(conform_square_map(ex, &(int){3}, &(long){0}, 1, NULL), -EAGAIN);
    CHECK(f == NULL);
    uint32_t calls = 0;
    CHECK_EQ(motet_thread_pool_open(&failed, &(motet_pool_options){2, NULL, fail_second, &calls}), -EAGAIN);
    CHECK(failed == NULL);
    CHECK_EQ(calls, 0);
    motet_stack_size(before);
    long out = 0;
    CHECK_EQ(conform_square_submit(ex, &(int){3}, &f), 0); /* it is none the worse */
    CHECK_EQ(conform_square_result(f, &out, MOTET_FOREVER), 0);
    CHECK_EQ(out, 9);
    motet_future_unref(f);
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
    conform_check_balance(ex, 1);
    motet_executor_close(ex);
}

/* An executor whose workers all exist, and which gets no more. */
static motet_executor *open_alone(unsigned workers, size_t queue_max)
{
    enum { MOST = 4 };
    conform_gate *g = conform_gate_new(&threads);
    motet_executor *ex = conform_open(&threads, &(motet_pool_options){.workers = workers, .queue_max = queue_max});
    motet_future *held[MOST];
    for (unsigned i = 0; i < workers; i++)
        conform_hold_workers(ex, g, 1, &held[i]);
    CHECK_EQ(motet_event_set(&g->open), 0);
    for (unsigned i = 0; i < workers; i++) {
        CHECK_EQ(motet_future_wait(held[i], MOTET_FOREVER), 0);
        motet_future_unref(held[i]);
    }
    free(g);
    no_more_threads();
    return ex;
}

/* Every worker can still be woken, and all at once. */
static void check_all_awake(motet_executor *ex, unsigned workers)
{
    conform_gate *g = conform_gate_new(&threads);
    motet_future *held[4];
    conform_hold_workers(ex, g, workers, held);
    conform_let_go(g, held, workers);
    free(g);
}

typedef struct branch {
    motet_executor *ex;
    int depth;
} branch;

/* Waits in every way there is for its two children, with a deadline, so that it does not run them itself. */
MOTET_TASK(stand_in_branch, branch, long)
{
    *out = 1;
    if (!in->depth)
        return 0;
    branch child = {in->ex, in->depth - 1};
    motet_future *f[2], *next;
    motet_completions *it;
    motet_time deadline = motet_after(3600 * MOTET_S);
    int e = 0;
    for (int i = 0; i < 2; i++)
        if (stand_in_branch_submit(in->ex, &child, &f[i]) < 0)
            return -EIO;
    if (in->depth % 3 == 0 && motet_wait_any(f, 2, deadline) < 0)
        return -EIO;
    if (in->depth % 3 == 1) {
        if (motet_completions_open(&it, f, 2) < 0)
            return -EIO;
        for (int i = 0; i < 2; i++)
            if (motet_completions_next(it, &next, deadline) < 0)
                return -EIO;
        motet_completions_close(it);
    }
    for (int i = 0; i < 2; i++) {
        long below = 0;
        int one = stand_in_branch_result(f[i], &below, deadline);
        e = one < 0 ? one : e;
        *out += below;
        motet_future_unref(f[i]);
    }
    return e;
}

TEST(waiting_workers_help_themselves)
{
    enum { DEPTH = 9 };
    for (unsigned workers = 1; workers <= 3; workers++) {
        size_t before = motet_stack_size(0);
        motet_executor *ex = open_alone(workers, 0);
        motet_future *f;
        long nodes = 0;
        CHECK_EQ(stand_in_branch_submit(ex, &(branch){ex, DEPTH}, &f), 0);
        CHECK_EQ(stand_in_branch_result(f, &nodes, MOTET_FOREVER), 0);
        CHECK_EQ(nodes, (2 << DEPTH) - 1);
        CHECK_EQ(stats_of(ex).alive, workers);
        motet_future_unref(f);
        check_all_awake(ex, workers);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        conform_check_balance(ex, 2 * workers + (2 << DEPTH) - 1);
        motet_executor_close(ex);
        motet_stack_size(before);
    }
}

typedef struct pair {
    motet_executor *ex;
    motet_future *never;
} pair;

MOTET_TASK(stand_in_any, pair, int)
{
    motet_future *f[2] = {in->never, NULL}; /* waiting for the first alone would never end */
    int e = conform_square_submit(in->ex, &(int){5}, &f[1]);
    if (e < 0)
        return e;
    *out = motet_wait_any(f, 2, MOTET_FOREVER);
    motet_future_unref(f[1]);
    return 0;
}

TEST(a_waiting_worker_looks_at_all_of_them)
{
    size_t before = motet_stack_size(0);
    motet_executor *ex = open_alone(1, 0);
    motet_future *f, *never;
    int index = -1;
    CHECK_EQ(motet_promise_new(&never, 0), 0);
    CHECK_EQ(stand_in_any_submit(ex, &(pair){ex, never}, &f), 0);
    CHECK_EQ(stand_in_any_result(f, &index, MOTET_FOREVER), 0);
    CHECK_EQ(index, 1);
    motet_future_unref(f);
    motet_future_unref(never);
    motet_executor_close(ex);
    motet_stack_size(before);
}

typedef struct spawn {
    motet_executor *ex;
    uint32_t *counter;
    motet_semaphore *leaves;
    int depth;
} spawn;

enum { SPAWN_DEPTH = 6, LEAVES = 64, SPAWNED = 127 };

MOTET_TASK(stand_in_spawn, spawn, int)
{
    *out = 0;
    atomic_add_relaxed(in->counter, 1);
    if (!in->depth)
        return motet_semaphore_release(in->leaves, 1);
    spawn child = *in;
    child.depth--;
    for (int i = 0; i < 2; i++) {
        int e = stand_in_spawn_submit(in->ex, &child, NULL); /* waits for room that only this very worker can make */
        if (e < 0)
            return e;
    }
    return 0;
}

TEST(a_worker_makes_room_for_itself)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        size_t before = motet_stack_size(0);
        motet_executor *ex = open_alone(workers, 1);
        uint32_t counter = 0;
        motet_semaphore leaves = {0};
        CHECK_EQ(stand_in_spawn_submit(ex, &(spawn){ex, &counter, &leaves, SPAWN_DEPTH}, NULL), 0);
        for (int i = 0; i < LEAVES; i++)
            CHECK_EQ(motet_semaphore_acquire(&leaves, MOTET_FOREVER), 0);
        CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
        CHECK_EQ(counter, SPAWNED);
        conform_check_balance(ex, SPAWNED + workers);
        motet_executor_close(ex);
        motet_stack_size(before);
    }
}
