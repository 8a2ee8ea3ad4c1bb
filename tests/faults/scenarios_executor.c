/* SPDX-License-Identifier: MIT */
/*
 * The n-th call fails: the thread pool, futures, promises, map, imap, completions.
 *
 * A pool starts its threads when tasks come: one that can't be had is an error only when there is none at all.
 */
#include "scenario.h"

#define OPEN_ERRORS   -ENOMEM, -EAGAIN
#define SUBMIT_ERRORS -ENOMEM, -EAGAIN

MOTET_TASK(twice, int, long)
{
    *out = 2L * *in;
    return 0;
}

MOTET_TASK_BYTES(echo) { return motet_buffer_append(out, in.data, in.size); }

struct large {
    char bytes[200];
} __attribute__((aligned(64)));

MOTET_TASK(turn, struct large, struct large)
{
    for (size_t i = 0; i < sizeof in->bytes; i++)
        out->bytes[i] = in->bytes[sizeof in->bytes - 1 - i];
    return 0;
}

enum { TASKS = 40, MANY = 600 };

/* ---- submit ---------------------------------------------------------------------------------------- */

static void submit_some(const motet_pool_options *opt)
{
    motet_executor *ex = NULL;
    motet_future *f[TASKS] = {NULL};
    TRY_OPEN(ex, motet_thread_pool_open(&ex, opt), OPEN_ERRORS);
    for (int i = 0; i < TASKS; i++)
        TRY_OPEN(f[i], twice_submit(ex, &i, &f[i]), SUBMIT_ERRORS);
    for (int i = 0; i < TASKS; i++) {
        long result;
        CHECK_EQ(twice_result(f[i], &result, MOTET_FOREVER), 0);
        CHECK_EQ(result, 2 * i);
    }
    CHECK_EQ(motet_executor_shutdown(ex, false, MOTET_FOREVER), 0);
out:
    motet_executor_close(ex);
    for (int i = 0; i < TASKS; i++)
        motet_future_unref(f[i]);
}

SCENARIO(pool) { submit_some(NULL); }
SCENARIO(pool_of_four) { submit_some(&(motet_pool_options){.workers = 4, .name = "Faulty"}); }
SCENARIO(pool_bounded) { submit_some(&(motet_pool_options){.workers = 2, .queue_max = 3}); }
SCENARIO(pool_helped) { submit_some(&(motet_pool_options){.workers = 1, .caller_helps = true}); }

static int initialize(void *arg) { return motet_semaphore_release(arg, 1); }

SCENARIO(pool_initialized)
{
    static motet_semaphore initialized;
    submit_some(&(motet_pool_options){.workers = 3, .initializer = initialize, .arg = &initialized});
}

/* Nobody holds its future; the pool's end waits for it. */
SCENARIO(pool_without_futures)
{
    motet_executor *ex = NULL;
    int in = 1;
    static const char text[3000];
    TRY_OPEN(ex, motet_thread_pool_open(&ex, NULL), OPEN_ERRORS);
    for (int i = 0; i < 10; i++)
        TRY(twice_submit(ex, &in, NULL), SUBMIT_ERRORS);
    TRY(echo_submit(ex, (motet_bytes){text, sizeof text}, NULL), SUBMIT_ERRORS);
    TRY(echo_submit(ex, (motet_bytes){text, 1}, NULL), SUBMIT_ERRORS);
out:
    motet_executor_close(ex);
}

SCENARIO(task_of_bytes)
{
    motet_executor *ex = NULL;
    motet_future *f = NULL;
    motet_buffer *b = NULL;
    static const char text[1000] = "some text";
    TRY_NEW(b, motet_buffer_new());
    TRY_OPEN(ex, motet_thread_pool_open(&ex, NULL), OPEN_ERRORS);
    for (int i = 0; i < 5; i++) {
        TRY_OPEN(f, echo_submit(ex, (motet_bytes){text, sizeof text}, &f), SUBMIT_ERRORS);
        motet_buffer_clear(b);
        int e = echo_result(f, b, MOTET_FOREVER); /* the task's own append may have failed, or this one's */
        f = motet_future_unref(f);
        if (e < 0) {
            CHECK_EQ(motet_buffer_size(b), 0);
            REFUSED(e, -ENOMEM);
            continue;
        }
        CHECK_EQ(motet_buffer_size(b), sizeof text);
    }
out:
    motet_executor_close(ex);
    motet_future_unref(f);
    motet_buffer_free(b);
}

SCENARIO(task_of_large_values)
{
    motet_executor *ex = NULL;
    motet_future *f = NULL;
    struct large in = {"abc"}, out;
    TRY_OPEN(ex, motet_thread_pool_open(&ex, NULL), OPEN_ERRORS);
    TRY_OPEN(f, turn_submit(ex, &in, &f), SUBMIT_ERRORS);
    CHECK_EQ(turn_result(f, &out, MOTET_FOREVER), 0);
    CHECK_EQ(out.bytes[sizeof out.bytes - 1], 'a');
out:
    motet_executor_close(ex);
    motet_future_unref(f);
}

/* ---- tasks that wait for tasks --------------------------------------------------------------------- */

static motet_executor *nested_pool;

/* A worker that waits is stood in for by another thread, or, when none can be had, runs what it waits for itself. */
MOTET_TASK(sum_below, int, long)
{
    if (*in == 0) {
        *out = 0;
        return 0;
    }
    motet_future *f = NULL;
    int below = *in - 1;
    long sum = 0;
    int e = sum_below_submit(nested_pool, &below, &f);
    if (e < 0)
        return e;
    e = sum_below_result(f, &sum, MOTET_FOREVER);
    motet_future_unref(f);
    *out = sum + *in;
    return e;
}

SCENARIO(nested)
{
    motet_future *f = NULL;
    long sum = 0;
    int in = 6, e;
    nested_pool = NULL;
    TRY_OPEN(nested_pool, motet_thread_pool_open(&nested_pool, &(motet_pool_options){.workers = 2}), OPEN_ERRORS);
    TRY_OPEN(f, sum_below_submit(nested_pool, &in, &f), SUBMIT_ERRORS);
    e = sum_below_result(f, &sum, MOTET_FOREVER);
    if (e < 0)
        REFUSED(e, SUBMIT_ERRORS);
    else
        CHECK_EQ(sum, 21);
out:
    motet_executor_close(nested_pool);
    motet_future_unref(f);
}

/* Waits for any of several from a worker. */
MOTET_TASK(first_of_many, int, long)
{
    motet_future *f[MANY / 10] = {NULL};
    int e = 0, n = 0;
    for (; n < MANY / 10 && e == 0; n += e == 0)
        e = twice_submit(nested_pool, in, &f[n]);
    if (e == 0)
        e = motet_wait_any(f, (size_t)n, MOTET_FOREVER);
    if (n)
        CHECK_EQ(motet_wait_all(f, (size_t)n, MOTET_FOREVER), 0);
    for (int i = 0; i < n; i++)
        motet_future_unref(f[i]);
    *out = 2L * *in;
    return e < 0 ? e : 0;
}

SCENARIO(nested_any)
{
    motet_future *f = NULL;
    long result;
    int in = 6, e;
    nested_pool = NULL;
    TRY_OPEN(nested_pool, motet_thread_pool_open(&nested_pool, &(motet_pool_options){.workers = 2}), OPEN_ERRORS);
    TRY_OPEN(f, first_of_many_submit(nested_pool, &in, &f), SUBMIT_ERRORS);
    e = first_of_many_result(f, &result, MOTET_FOREVER);
    if (e < 0)
        REFUSED(e, SUBMIT_ERRORS);
out:
    motet_executor_close(nested_pool);
    motet_future_unref(f);
}

/* ---- map and imap ---------------------------------------------------------------------------------- */

static void map_with(const motet_pool_options *pool, const motet_map_options *opt)
{
    motet_executor *ex = NULL;
    static int in[MANY];
    static long out[MANY];
    TRY_OPEN(ex, motet_thread_pool_open(&ex, pool), OPEN_ERRORS);
    for (int i = 0; i < MANY; i++)
        in[i] = i;
    TRY(twice_map(ex, in, out, MANY, opt), SUBMIT_ERRORS);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(out[i], 2 * i);
out:
    motet_executor_close(ex);
}

static int codes[MANY];

SCENARIO(map) { map_with(NULL, NULL); }
SCENARIO(map_in_chunks)
{
    map_with(&(motet_pool_options){.workers = 3, .caller_helps = true},
             &(motet_map_options){.chunk = 7, .codes = codes});
}
SCENARIO(map_with_deadline) { map_with(NULL, &(motet_map_options){.deadline = motet_after(1000 * MOTET_S)}); }

struct stream {
    int given, got;
    long sum;
};

static int next_number(void *arg, motet_buffer *in)
{
    struct stream *s = arg;
    if (s->given == TASKS)
        return 0;
    int e = motet_buffer_append(in, &s->given, sizeof s->given);
    if (e < 0)
        return e;
    s->given++;
    return 1;
}

static int take_result(void *arg, size_t index, int code, motet_bytes value)
{
    struct stream *s = arg;
    CHECK_EQ(code, 0);
    s->got++;
    s->sum += *(const long *)value.data;
    return 0;
}

static int stream(motet_executor *ex, const motet_imap_options *opt)
{
    struct stream s = {0};
    int e = motet_imap(ex, &twice, next_number, &s, opt);
    CHECK_LE(s.got, s.given);
    if (e == 0) {
        CHECK_EQ(s.got, TASKS);
        CHECK_EQ(s.sum, TASKS * (TASKS - 1));
    }
    return e;
}

static void imap_with(const motet_imap_options *opt)
{
    motet_executor *ex = NULL;
    TRY_OPEN(ex, motet_thread_pool_open(&ex, NULL), OPEN_ERRORS);
    TRY(stream(ex, opt), SUBMIT_ERRORS);
out:
    motet_executor_close(ex);
}

SCENARIO(imap) { imap_with(&(motet_imap_options){.result = take_result}); }
SCENARIO(imap_unordered) { imap_with(&(motet_imap_options){.result = take_result, .unordered = true, .ahead = 40}); }

/* ---- several futures ------------------------------------------------------------------------------- */

SCENARIO(several)
{
    motet_executor *ex = NULL;
    motet_completions *it = NULL;
    motet_future *f[TASKS] = {NULL}, *next;
    TRY_OPEN(ex, motet_thread_pool_open(&ex, NULL), OPEN_ERRORS);
    for (int i = 0; i < TASKS; i++)
        TRY_OPEN(f[i], twice_submit(ex, &i, &f[i]), SUBMIT_ERRORS);
    TRY_OPEN(it, motet_completions_open(&it, f, TASKS), -ENOMEM);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), 0);
    CHECK_EQ(motet_completions_next(it, &next, MOTET_FOREVER), -ENOENT);
    TRY(motet_wait_any(f, TASKS, MOTET_FOREVER), -ENOMEM);
    CHECK_EQ(motet_wait_all(f, TASKS, MOTET_FOREVER), 0);
out:
    motet_completions_close(it);
    motet_executor_close(ex);
    for (int i = 0; i < TASKS; i++)
        motet_future_unref(f[i]);
}

static void count(motet_future *f, void *arg) { ++*(int *)arg; }

static int set_later(void *promise) { return motet_promise_set(promise, (motet_bytes){"value", 6}, 0); }

/* Waits for any of many promises of which none is set yet, and callbacks on each of them. */
SCENARIO(promises)
{
    motet_future *f[TASKS] = {NULL};
    motet_thread *t = NULL;
    int calls = 0, added = 0, any;
    char value[6];
    for (int i = 0; i < TASKS; i++) {
        TRY_OPEN(f[i], motet_promise_new(&f[i], 100), -ENOMEM);
        for (int k = 0; k < 3; k++, added++)
            TRY(motet_future_on_done(f[i], count, &calls), -ENOMEM);
    }
    TRY_OPEN(t, motet_thread_start(&t, set_later, f[0], NULL), -ENOMEM, -EAGAIN);
    any = motet_wait_any(f, TASKS, MOTET_FOREVER);
    if (any != 0)
        REFUSED(any, -ENOMEM);
    CHECK_EQ(motet_future_take(f[0], NULL, value, sizeof value, MOTET_FOREVER), 0);
    CHECK_STR(value, "value");
out:
    if (t)
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    for (int i = 0; i < TASKS && f[i]; i++)
        if (motet_future_state_of(f[i]) == MOTET_PENDING)
            CHECK_EQ(motet_future_cancel(f[i]), 0);
    CHECK_EQ(calls, added);
    for (int i = 0; i < TASKS; i++)
        motet_future_unref(f[i]);
}

/* What went wrong in words: memory too. */
static int fail(const motet_future *unused) { return unused ? 0 : -EDOM; }

MOTET_TASK(failing, int, int)
{
    *out = *in;
    return fail(NULL);
}

SCENARIO(report)
{
    motet_executor *ex = NULL;
    motet_future *f = NULL;
    int in = 1;
    TRY_OPEN(ex, motet_thread_pool_open(&ex, NULL), OPEN_ERRORS);
    TRY_OPEN(f, failing_submit(ex, &in, &f), SUBMIT_ERRORS);
    CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_EQ(motet_future_code(f), -EDOM);
    CHECK(motet_future_report(f)[0]);
out:
    motet_executor_close(ex);
    motet_future_unref(f);
}
