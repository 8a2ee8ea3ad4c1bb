/* SPDX-License-Identifier: MIT */
/* The thread pool: submit against sleep, block and stand in, shutdown, terminate, map with a deadline. */
#include "help.h"

#include "executor/ring.h"

/* What the compiler makes of the atomic load in MOTET_TASK. */
uint32_t __tsan_atomic32_load(const volatile void *p, int order);
uint32_t __tsan_atomic32_load(const volatile void *p, int order)
{
    SIM_CHECK_EQ(order, __ATOMIC_RELAXED);
    return (uint32_t)sim_load(p, sizeof(uint32_t), SIM_RLX, SIM_AT("stop"));
}

static motet_executor *pool;
static uint32_t ran;

MOTET_TASK(twice, int, int)
{
    atomic_add_relaxed(&ran, 1);
    *out = 2 * *in;
    return 0;
}

MOTET_TASK(nested, int, int)
{
    motet_future *f;
    int e = twice_submit(pool, in, &f);
    if (e == 0)
        e = twice_result(f, out, MOTET_FOREVER);
    motet_future_unref(f);
    return e;
}

static void open_pool(unsigned workers, size_t queue_max, bool helps)
{
    motet_pool_options opt = {.workers = workers, .queue_max = queue_max, .caller_helps = helps};
    SIM_CHECK_EQ(motet_thread_pool_open(&pool, &opt), 0);
}

static void close_pool(void)
{
    pool = motet_executor_close(pool);
    sim_join_all();
    SIM_CHECK_EQ(sim_allocated(), 0);
}

static void submit_and_wait(void *arg)
{
    motet_future *f;
    int in = 5, out = 0;
    SIM_CHECK_EQ(twice_submit(pool, &in, &f), 0);
    SIM_CHECK_EQ(twice_result(f, &out, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(out, 10);
    motet_future_unref(f);
}

SIM_SCENARIO(pool_submit, .about = "one task, one worker", .steps_max = 20000)
{
    open_pool(1, 0, false);
    submit_and_wait(NULL);
    close_pool();
}

SIM_SCENARIO(pool_submit_twice, .about = "one worker, asleep or not when the second task comes", .steps_max = 20000)
{
    open_pool(1, 0, false);
    submit_and_wait(NULL);
    submit_and_wait(NULL);
    close_pool();
}

SIM_SCENARIO(pool_two_submitters, .about = "two submit to two workers", .steps_max = 20000)
{
    open_pool(2, 0, false);
    int other = sim_spawn(submit_and_wait, NULL, "submitter");
    submit_and_wait(NULL);
    sim_join(other);
    close_pool();
}

SIM_SCENARIO(pool_queue_full, .about = "two submit to a queue of one", .steps_max = 20000)
{
    open_pool(1, 1, false);
    int other = sim_spawn(submit_and_wait, NULL, "submitter");
    submit_and_wait(NULL);
    sim_join(other);
    close_pool();
}

SIM_SCENARIO(pool_nested, .about = "a task waits for one of its own pool of one worker", .steps_max = 20000)
{
    motet_future *f;
    int in = 5, out = 0;
    open_pool(1, 0, false);
    SIM_CHECK_EQ(nested_submit(pool, &in, &f), 0);
    SIM_CHECK_EQ(nested_result(f, &out, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(out, 10);
    motet_future_unref(f);
    close_pool();
}

SIM_SCENARIO(pool_caller_helps, .about = "who waits may run the task itself", .steps_max = 20000)
{
    open_pool(1, 0, true);
    submit_and_wait(NULL);
    SIM_CHECK_EQ(ran, 1);
    close_pool();
}

static void submits_or_is_refused(void *arg)
{
    motet_future *f;
    int in = 5, e = twice_submit(pool, &in, &f);
    SIM_CHECK(e == 0 || e == -EPIPE);
    if (e < 0)
        return;
    SIM_CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    int code = motet_future_code(f);
    SIM_CHECK(code == 0 || code == -ECANCELED);
    motet_future_unref(f);
}

static void shut_down_against(void (*submits)(void *), bool cancel)
{
    open_pool(1, 0, false);
    int other = sim_spawn(submits, NULL, "submitter");
    SIM_CHECK_EQ(motet_executor_shutdown(pool, cancel, MOTET_FOREVER), 0);
    sim_join(other);
    close_pool();
}

SIM_SCENARIO(pool_shutdown, .about = "a submit against shutdown: refused, or finished", .steps_max = 20000)
{
    shut_down_against(submits_or_is_refused, false);
}

SIM_SCENARIO(pool_shutdown_cancel, .about = "a submit against a shutdown that cancels what is pending",
             .steps_max = 20000)
{
    shut_down_against(submits_or_is_refused, true);
}

SIM_SCENARIO(pool_terminate, .about = "a submit against terminate", .steps_max = 20000)
{
    open_pool(1, 0, false);
    int other = sim_spawn(submits_or_is_refused, NULL, "submitter");
    SIM_CHECK_EQ(motet_executor_terminate(pool), 0);
    sim_join(other);
    close_pool();
}

SIM_SCENARIO(pool_cancel, .about = "a future is cancelled or runs, and is over either way", .steps_max = 20000)
{
    motet_future *f;
    int in = 5;
    open_pool(1, 0, false);
    SIM_CHECK_EQ(twice_submit(pool, &in, &f), 0);
    int e = motet_future_cancel(f);
    SIM_CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
    SIM_CHECK(e == 0 || e == -EAGAIN);
    SIM_CHECK_EQ(motet_future_code(f), e == 0 ? -ECANCELED : 0);
    motet_future_unref(f);
    close_pool();
    SIM_CHECK_EQ(ran, e == 0 ? 0 : 1);
}

SIM_SCENARIO(pool_map, .about = "three items over two workers", .steps_max = 20000)
{
    static const int in[3] = {1, 2, 3};
    int out[3] = {0};
    motet_map_options opt = {.chunk = 1};
    open_pool(2, 0, false);
    SIM_CHECK_EQ(twice_map(pool, in, out, 3, &opt), 0);
    for (int i = 0; i < 3; i++)
        SIM_CHECK_EQ(out[i], 2 * in[i]);
    close_pool();
}

SIM_SCENARIO(pool_map_deadline, .about = "a map that may be given up: nothing is written afterwards",
             .steps_max = 20000)
{
    static const int in[2] = {1, 2};
    int out[2] = {0};
    motet_map_options opt = {.chunk = 1, .deadline = sim_now() + 1000};
    open_pool(1, 0, false);
    int e = twice_map(pool, in, out, 2, &opt);
    SIM_CHECK(e == 0 || e == -ETIMEDOUT);
    int first = out[0], second = out[1];
    if (e == 0)
        SIM_CHECK_EQ(first + second, 6);
    close_pool();
    SIM_CHECK_EQ(out[0], first);
    SIM_CHECK_EQ(out[1], second);
}

SIM_SCENARIO(pool_no_memory, .about = "an allocation or a thread that can't be had: an error, and all is whole",
             .faults = SIM_NO_MEMORY, .steps_max = 20000)
{
    motet_pool_options opt = {.workers = 1};
    motet_future *f;
    int in = 5;
    if (motet_thread_pool_open(&pool, &opt) < 0) {
        SIM_CHECK_EQ(sim_allocated(), 0);
        return;
    }
    if (twice_submit(pool, &in, &f) == 0) {
        SIM_CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
        motet_future_unref(f);
    }
    close_pool();
}

SIM_SCENARIO(pool_three_tasks, .about = "two workers; closed while they fall asleep, with and without a token",
             .pct = 4, .steps_max = 20000)
{
    motet_future *f[3];
    int in = 5;
    open_pool(2, 0, false);
    for (int i = 0; i < 3; i++)
        SIM_CHECK_EQ(twice_submit(pool, &in, &f[i]), 0);
    SIM_CHECK_EQ(motet_wait_all(f, 3, MOTET_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        motet_future_unref(f[i]);
    close_pool();
    SIM_CHECK_EQ(ran, 3);
}

/* ---- initializers that fail ------------------------------------------------------------------------ */

static uint32_t initialized;
static motet_future *promise;

static int fail_first(void *arg) { return atomic_add_relaxed(&initialized, 1) == 0 ? -EXDEV : 0; }

static int fail_second(void *arg) { return atomic_add_relaxed(&initialized, 1) == 1 ? -EXDEV : 0; }

SIM_SCENARIO(pool_initializer_fails,
             .about = "the first of two that initialize fails: no pool, and nothing of it is left", .steps_max = 20000)
{
    motet_pool_options opt = {.workers = 2, .initializer = fail_first};
    SIM_CHECK_EQ(motet_thread_pool_open(&pool, &opt), -EXDEV);
    SIM_CHECK(pool == NULL);
    sim_join_all();
    SIM_CHECK_EQ(initialized, 2);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

MOTET_TASK(awaits_promise, int, int)
{
    *out = *in;
    return motet_future_wait(promise, MOTET_FOREVER);
}

SIM_SCENARIO(pool_initializer_fails_later,
             .about = "a stand-in's initializer fails: what is pending is over, or has run", .steps_max = 20000)
{
    motet_pool_options opt = {.workers = 1, .initializer = fail_second};
    motet_future *waits, *f;
    int in = 5;
    SIM_CHECK_EQ(motet_promise_new(&promise, 0), 0);
    SIM_CHECK_EQ(motet_thread_pool_open(&pool, &opt), 0);
    SIM_CHECK_EQ(awaits_promise_submit(pool, &in, &waits), 0);
    int e = twice_submit(pool, &in, &f);
    SIM_CHECK(e == 0 || e == -EXDEV);
    SIM_CHECK_EQ(motet_promise_set(promise, (motet_bytes){NULL, 0}, 0), 0);
    SIM_CHECK_EQ(motet_future_wait(waits, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(motet_future_code(waits), 0); /* it had begun */
    if (e == 0) {
        SIM_CHECK_EQ(motet_future_wait(f, MOTET_FOREVER), 0);
        SIM_CHECK_EQ(motet_future_code(f), ran ? 0 : -EXDEV);
        motet_future_unref(f);
    }
    motet_future_unref(waits);
    motet_future_unref(promise);
    close_pool();
}

/* ---- tasks that nobody asks after ------------------------------------------------------------------ */

static void submits_three(void *arg)
{
    for (int i = 0; i < 3; i++)
        SIM_CHECK_EQ(twice_submit(pool, &i, NULL), 0);
}

SIM_SCENARIO(pool_detached, .about = "more tasks without a future than a slab has room for, one worker", .pct = 4,
             .steps_max = 20000)
{
    open_pool(1, 0, false);
    submits_three(NULL);
    submits_three(NULL);
    close_pool();
    SIM_CHECK_EQ(ran, 6);
}

SIM_SCENARIO(pool_detached_two, .about = "the same by two submitters, for two workers: each gives the memory back",
             .pct = 4, .steps_max = 20000)
{
    open_pool(2, 0, false);
    int other = sim_spawn(submits_three, NULL, "submitter");
    submits_three(NULL);
    sim_join(other);
    close_pool();
    SIM_CHECK_EQ(ran, 6);
}

static void submits_until_refused(void *arg)
{
    for (int i = 0, e = 0; i < 3 && e == 0; i++) {
        e = twice_submit(pool, &i, NULL);
        SIM_CHECK(e == 0 || e == -EPIPE);
    }
}

SIM_SCENARIO(pool_detached_cancel, .about = "tasks without a future against a shutdown that drops them",
             .steps_max = 20000)
{
    shut_down_against(submits_until_refused, true);
}

SIM_SCENARIO(pool_detached_no_memory, .about = "a slab or a thread that can't be had: refused, and all is given back",
             .faults = SIM_NO_MEMORY, .steps_max = 20000)
{
    motet_pool_options opt = {.workers = 1};
    uint32_t taken = 0;
    if (motet_thread_pool_open(&pool, &opt) < 0)
        return;
    for (int i = 0; i < 4; i++)
        taken += twice_submit(pool, &i, NULL) == 0;
    close_pool();
    SIM_CHECK(ran <= taken); /* those whose worker could not be had are dropped */
}

/* ---- a worker's ring ------------------------------------------------------------------------------- */

static ring r;
static struct {
    job job;
    int taken;
} jobs[3];

static void takes_two(void *arg)
{
    for (int i = 0; i < 2; i++) {
        job *j = ring_take(&r);
        if (j)
            plain_add(&container_of(j, __typeof__(jobs[0]), job)->taken, 1);
    }
}

SIM_SCENARIO(ring_steal, .about = "the owner puts and takes, two steal: each job is had once, and seen whole")
{
    spawn_many(2, takes_two);
    for (int i = 0; i < 3; i++) {
        SIM_WRITE(&jobs[i].taken, 0);
        ring_put(&r, &jobs[i].job);
    }
    takes_two(NULL);
    sim_join_all();
    takes_two(NULL);
    SIM_CHECK(ring_empty(&r));
    for (int i = 0; i < 3; i++)
        SIM_CHECK_EQ(jobs[i].taken, 1);
}
