/* SPDX-License-Identifier: MIT */
/* Futures without an executor: promises, callbacks on them, waiting for them; misuse of every call. */
#include "base/atomic.h"
#include "runner.h"

#include <motet/executor.h>
#include <motet/sync.h>

static motet_future *promise_new(size_t size)
{
    motet_future *f = NULL;
    CHECK_EQ(motet_promise_new(&f, size), 0);
    CHECK(f != NULL);
    return f;
}

TEST(promise_is_set_once)
{
    motet_future *f = promise_new(sizeof(int));
    CHECK_EQ(motet_future_state_of(f), MOTET_PENDING);
    CHECK_EQ(motet_future_code(f), -EAGAIN);
    CHECK_EQ(motet_future_wait(f, MOTET_NOWAIT), -ETIMEDOUT);
    motet_bytes value = {&(int){42}, sizeof(int)};
    CHECK_EQ(motet_promise_set(f, value, 0), 0);
    CHECK_EQ(motet_promise_set(f, (motet_bytes){&(int){43}, sizeof(int)}, -EIO), -EAGAIN);
    CHECK_EQ(motet_promise_set(f, value, 0), -EAGAIN);
    CHECK_EQ(motet_future_cancel(f), -EAGAIN);
    CHECK_EQ(motet_future_kill(f), -EAGAIN);
    CHECK_EQ(motet_future_state_of(f), MOTET_DONE);
    CHECK_EQ(motet_future_outcome(f), MOTET_RETURNED);
    CHECK_EQ(motet_future_code(f), 0);
    int out = 0;
    CHECK_EQ(motet_future_take(f, NULL, &out, sizeof out, MOTET_FOREVER), 0);
    CHECK_EQ(out, 42);
    CHECK(motet_future_report(f)[0] != 0);
    motet_future_unref(f);
}

TEST(promise_fails)
{
    motet_future *f = promise_new(64);
    CHECK_EQ(motet_promise_set(f, (motet_bytes){"why", 3}, -ENOLCK), 0); /* a failure may carry a value */
    CHECK_EQ(motet_future_code(f), -ENOLCK);
    CHECK_EQ(motet_future_outcome(f), MOTET_RETURNED);
    CHECK_EQ(motet_future_value(f).size, 3);
    CHECK_MEM(motet_future_value(f).data, "why", 3);
    char out[3] = "abc";
    CHECK_EQ(motet_future_take(f, NULL, out, 3, MOTET_FOREVER), -ENOLCK);
    CHECK_MEM(out, "abc", 3);
    motet_future_unref(f);
}

TEST(promise_has_so_much_room)
{
    static char bytes[200];
    memset(bytes, 'b', sizeof bytes);
    for (size_t room = 0; room < 140; room += 7) {
        motet_future *f = promise_new(room);
        CHECK_EQ(motet_promise_set(f, (motet_bytes){bytes, room + 1}, 0), -EMSGSIZE);
        CHECK_EQ(motet_future_state_of(f), MOTET_PENDING); /* it can still be set */
        CHECK_EQ(motet_promise_set(f, (motet_bytes){bytes, room / 2}, 0), 0);
        CHECK_EQ(motet_future_value(f).size, room / 2);
        CHECK_MEM(motet_future_value(f).data, bytes, room / 2);
        char out[200];
        if (room / 2)
            CHECK_EQ(motet_future_take(f, NULL, out, room / 2 + 1, MOTET_FOREVER), -EMSGSIZE);
        motet_future_unref(f);
    }
    motet_future *f = NULL;
    CHECK_EQ(motet_promise_new(&f, SIZE_MAX), -ENOMEM);
    CHECK(f == NULL);
}

TEST(promise_is_cancelled)
{
    motet_future *f = promise_new(8);
    CHECK_EQ(motet_future_cancel(f), 0);
    CHECK_EQ(motet_future_cancel(f), 0);
    CHECK_EQ(motet_promise_set(f, (motet_bytes){"x", 1}, 0), -ECANCELED);
    CHECK_EQ(motet_future_state_of(f), MOTET_CANCELLED);
    CHECK_EQ(motet_future_code(f), -ECANCELED);
    CHECK_EQ(motet_future_outcome(f), MOTET_WAS_CANCELLED);
    CHECK_EQ(motet_future_value(f).size, 0);
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_wait_any(&f, 1, MOTET_FOREVER), 0);
    motet_future_unref(f);
    f = promise_new(8);
    CHECK_EQ(motet_future_kill(f), 0); /* as cancel */
    CHECK_EQ(motet_future_state_of(f), MOTET_CANCELLED);
    motet_future_unref(f);
}

TEST(task_futures_are_not_set)
{
    motet_executor *ex;
    CHECK_EQ(motet_thread_pool_open(&ex, &(motet_pool_options){.workers = 1}), 0);
    motet_future *f;
    const motet_task *task = motet_task_find("conform_square");
    CHECK_EQ(motet_submit(ex, task, (motet_bytes){&(int){2}, sizeof(int)}, NULL, &f), 0);
    CHECK_EQ(motet_promise_set(f, (motet_bytes){&(long){3}, sizeof(long)}, 0), -EINVAL);
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_promise_set(f, (motet_bytes){&(long){3}, sizeof(long)}, 0), -EINVAL);
    CHECK_EQ(*(const long *)motet_future_value(f).data, 4);
    motet_future_unref(f);
    motet_executor_close(ex);
}

/* ---- threads beside each other --------------------------------------------------------------------- */

typedef struct race {
    motet_future *f;
    motet_semaphore there;
    uint32_t won, late, cancelled, told;
} race;

static void on_done(motet_future *f, void *arg)
{
    race *r = arg;
    CHECK(f == r->f);
    atomic_add_relaxed(&r->told, 1);
}

static int await(void *arg)
{
    race *r = arg;
    motet_semaphore_release(&r->there, 1);
    CHECK_EQ(motet_future_wait(r->f, MOTET_FOREVER), 0);
    CHECK_NE(motet_future_code(r->f), -EAGAIN);
    return 0;
}

static int set(void *arg)
{
    race *r = arg;
    int e = motet_promise_set(r->f, (motet_bytes){&(int){1}, sizeof(int)}, 0);
    atomic_add_relaxed(e == 0 ? &r->won : e == -EAGAIN ? &r->late : &r->cancelled, 1);
    CHECK(e == 0 || e == -EAGAIN || e == -ECANCELED);
    return 0;
}

static int cancel(void *arg)
{
    race *r = arg;
    int e = motet_future_cancel(r->f);
    CHECK(e == 0 || e == -EAGAIN);
    if (e == 0)
        CHECK_EQ(motet_future_state_of(r->f), MOTET_CANCELLED);
    return 0;
}

TEST(one_wins_and_all_waiters_hear)
{
    enum { ROUNDS = 100, WAITERS = 3, SETTERS = 3, ALL = WAITERS + SETTERS + 1 };
    for (int round = 0; round < ROUNDS; round++) {
        race r = {.f = promise_new(sizeof(int))};
        motet_thread *threads[ALL];
        CHECK_EQ(motet_future_on_done(r.f, on_done, &r), 0);
        for (int i = 0; i < WAITERS; i++)
            CHECK_EQ(motet_thread_start(&threads[i], await, &r, NULL), 0);
        for (int i = 0; i < WAITERS; i++)
            CHECK_EQ(motet_semaphore_acquire(&r.there, MOTET_FOREVER), 0);
        for (int i = WAITERS; i < ALL; i++)
            CHECK_EQ(motet_thread_start(&threads[i], i == WAITERS + round % 4 ? cancel : set, &r, NULL), 0);
        for (int i = 0; i < ALL; i++) {
            CHECK_EQ(motet_thread_join(threads[i], NULL, MOTET_FOREVER), 0);
            motet_thread_free(threads[i]);
        }
        bool cancelled = motet_future_state_of(r.f) == MOTET_CANCELLED;
        CHECK_EQ(r.won, !cancelled);
        CHECK_EQ(r.late, cancelled ? 0 : SETTERS - 1);
        CHECK_EQ(r.cancelled, cancelled ? SETTERS : 0);
        CHECK_EQ(r.told, 1);
        motet_future_unref(r.f);
    }
}

/* ---- dropped --------------------------------------------------------------------------------------- */

static void expect_cancelled(motet_future *f, void *arg)
{
    CHECK_EQ(motet_future_code(f), -ECANCELED);
    CHECK_EQ(motet_future_outcome(f), MOTET_WAS_CANCELLED);
    ++*(int *)arg;
}

static void keep(motet_future *f, void *arg) { *(motet_future **)arg = motet_future_ref(f); }

TEST(dropped_promise_tells)
{
    int calls = 0;
    motet_future *kept = NULL, *f = promise_new(1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(motet_future_on_done(f, expect_cancelled, &calls), 0);
    CHECK_EQ(motet_future_on_done(f, keep, &kept), 0);
    motet_future_unref(f); /* nobody can set it any more */
    CHECK_EQ(calls, 3);
    CHECK(kept == f);
    CHECK_EQ(motet_future_state_of(kept), MOTET_CANCELLED);
    motet_future_unref(kept);
    motet_future_unref(promise_new(100)); /* nobody wants to be told */
}

TEST(completions_of_dropped_promises)
{
    motet_future *f[3] = {promise_new(0), promise_new(0), promise_new(0)}, *next;
    motet_completions *it;
    CHECK_EQ(motet_completions_open(&it, f, 3), 0);
    CHECK_EQ(motet_promise_set(f[1], (motet_bytes){NULL, 0}, 5), 0);
    for (int i = 0; i < 3; i++)
        motet_future_unref(f[i]);
    CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), 0);
    CHECK(next == f[1]);
    CHECK_EQ(motet_future_code(next), 5);
    CHECK_EQ(motet_completions_next(it, &next, MOTET_NOWAIT), -ETIMEDOUT);
    motet_completions_close(it); /* the test's end finds nothing leaked */
}

/* ---- misuse ---------------------------------------------------------------------------------------- */

TEST(misuse)
{
    motet_future *f = promise_new(4);
    CHECK_EQ(motet_promise_new(NULL, 4), -EINVAL);
    CHECK_EQ(motet_promise_set(NULL, (motet_bytes){NULL, 0}, 0), -EINVAL);
    CHECK_EQ(motet_promise_set(f, (motet_bytes){NULL, 1}, 0), -EINVAL);
    CHECK_EQ(motet_future_state_of(NULL), MOTET_CANCELLED);
    CHECK_EQ(motet_future_wait(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_future_code(NULL), -EINVAL);
    CHECK_EQ(motet_future_outcome(NULL), MOTET_RETURNED);
    CHECK(motet_future_value(NULL).data == NULL);
    CHECK_EQ(motet_future_value(NULL).size, 0);
    CHECK_STR(motet_future_report(NULL), "");
    CHECK_EQ(motet_future_cancel(NULL), -EINVAL);
    CHECK_EQ(motet_future_kill(NULL), -EINVAL);
    CHECK_EQ(motet_future_on_done(NULL, on_done, NULL), -EINVAL);
    CHECK_EQ(motet_future_on_done(f, NULL, NULL), -EINVAL);
    CHECK(motet_future_ref(NULL) == NULL);
    CHECK(motet_future_unref(NULL) == NULL);
    CHECK_EQ(motet_future_take(NULL, NULL, NULL, 0, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_future_take(f, NULL, NULL, 4, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_future_state_of(f), MOTET_PENDING);
    motet_future_unref(f);
}
