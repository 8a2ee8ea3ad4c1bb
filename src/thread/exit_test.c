/* SPDX-License-Identifier: MIT */
/* The exit rule. Each test ends by calling exit itself, with threads running; what must have happened by then
 * is checked at the very end, after the library's own handler. */
#include "runner.h"

#include "thread/test_help.h"
#include "thread/thread.h"

#include <stdlib.h>

static uint32_t gate, done;

/* Registered after the first start, it runs when the end has begun, and before threads are waited for. */
static void open_at_exit(void)
{
    CHECK_EQ(done, 0);
    gate_open(&gate);
}

static int work_after_exit_began(void *arg)
{
    gate_await(&gate, 1);
    for (int i = 0; i < 100; i++)
        motet_yield();
    gate_count(&done);
    return 0;
}

static void one_is_done(void) { CHECK_EQ(done, 1); }
static void three_are_done(void) { CHECK_EQ(done, 3); }

TEST_OPT(waits_for_threads, .at_exit = one_is_done)
{
    motet_thread *t = start(work_after_exit_began, NULL); /* held, and never joined */
    CHECK(motet_thread_alive(t));
    atexit(open_at_exit);
    exit(0);
}

TEST_OPT(waits_for_freed_threads, .at_exit = three_are_done)
{
    for (int i = 0; i < 3; i++)
        motet_thread_free(start(work_after_exit_began, NULL));
    atexit(open_at_exit);
    exit(0);
}

TEST_OPT(keeps_the_exit_code, .exit_code = 5, .at_exit = one_is_done)
{
    motet_thread_free(start(work_after_exit_began, NULL));
    atexit(open_at_exit);
    exit(5);
}

static int generations(void *left)
{
    gate_await(&gate, 1);
    if (left)
        motet_thread_free(start(generations, (void *)((intptr_t)left - 1)));
    motet_yield();
    gate_count(&done);
    return 0;
}

TEST_OPT(waits_for_threads_started_meanwhile, .at_exit = three_are_done)
{
    motet_thread_free(start(generations, (void *)(intptr_t)2));
    atexit(open_at_exit);
    exit(0);
}

enum { MANY = 40 };

static int ends_in_turn(void *arg)
{
    gate_await(&gate, 1);
    for (uintptr_t i = (uintptr_t)arg; i; i--)
        motet_yield();
    gate_count(&done);
    return 0;
}

static void many_are_done(void) { CHECK_EQ(done, MANY); }

/* While the exit waits one ends after the other. */
TEST_OPT(waits_for_the_last_of_many, .at_exit = many_are_done)
{
    for (uintptr_t i = 0; i < MANY; i++)
        motet_thread_free(start(ends_in_turn, (void *)(20 * i)));
    atexit(open_at_exit);
    exit(0);
}

static motet_thread *daemon_thread;

static void daemon_still_runs(void)
{
    CHECK(motet_thread_alive(daemon_thread));
    CHECK_EQ(done, 0);
}

TEST_OPT(does_not_wait_for_daemons, .at_exit = daemon_still_runs)
{
    CHECK_EQ(motet_thread_start(&daemon_thread, work_after_exit_began, NULL, &(motet_thread_options){.daemon = true}),
             0);
    exit(0);
}

/* ---- who calls exit -------------------------------------------------------------------------------- */

static motet_thread *exiting;

static int await_exiting(void *arg)
{
    int code = 99;
    CHECK_EQ(motet_thread_join(exiting, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, arg ? -ECANCELED : 0);
    CHECK(!motet_thread_alive(exiting));
    gate_count(&done);
    return 0;
}

TEST_OPT(main_has_ended_when_it_returns, .at_exit = one_is_done)
{
    exiting = motet_thread_current();
    motet_thread_free(start(await_exiting, NULL));
    exit(0);
}

static int call_exit(void *code)
{
    gate_await(&gate, 1);
    exit(*(int *)code);
}

TEST_OPT(another_thread_may_call_exit, .exit_code = 3, .at_exit = three_are_done)
{
    static int code = 3;
    exiting = start(call_exit, &code);
    for (intptr_t i = 1; i <= 3; i++)
        motet_thread_free(start(await_exiting, (void *)i));
    gate_open(&gate);
    motet_sleep(MOTET_FOREVER); /* main is not waited for */
}

TEST_OPT(a_cancelled_main_waits_all_the_same, .at_exit = one_is_done)
{
    motet_thread *me = motet_thread_current();
    motet_thread_free(start(work_after_exit_began, NULL));
    CHECK_EQ(motet_thread_cancel(me), 0);
    motet_thread_free(me);
    atexit(open_at_exit);
    exit(0);
}

static int outlive_main(void *main_thread)
{
    int code = 99;
    motet_thread *listed[2];
    CHECK_EQ(motet_thread_join(main_thread, &code, MOTET_FOREVER), 0);
    CHECK_EQ(code, 0);
    CHECK_EQ(motet_thread_enumerate(listed, 2), 1);
    motet_thread_free(listed[0]);
    gate_count(&done);
#ifdef MOTET_TSAN
    exit(0); /* its own thread keeps the process from ending with its last one */
#endif
    return 0;
}

TEST_OPT(main_may_leave_by_pthread_exit, .at_exit = one_is_done)
{
    motet_thread *me = motet_thread_current();
    motet_thread_free(start(outlive_main, me));
    motet_thread_free(me);
    pthread_exit(NULL);
}

/* ---- hooks ----------------------------------------------------------------------------------------- */

static exit_hook hooks[3];
static uint32_t order;

static void run_hook(exit_hook *hook)
{
    /* The last added first; the thread, which is waited for later, has not gone on. */
    CHECK_EQ(done, 0);
    CHECK_PTR(hook, &hooks[order == 0 ? 2 : 0]);
    CHECK_EQ(motet_sleep(motet_after(MOTET_US)), 0); /* shielded */
    motet__exit_hook_remove(hook);
    if (++order == 2)
        gate_open(&gate);
}

static void hooks_were_run(void)
{
    CHECK_EQ(order, 2);
    CHECK_EQ(done, 1);
}

TEST_OPT(hooks_run_before_threads_are_waited_for, .at_exit = hooks_were_run)
{
    motet_thread *me = motet_thread_current();
    for (int i = 0; i < 3; i++) {
        hooks[i].run = run_hook;
        CHECK_EQ(motet__exit_hook_add(&hooks[i]), 0);
    }
    motet__exit_hook_remove(&hooks[1]);
    motet__exit_hook_remove(&hooks[1]);
    motet_thread_free(start(work_after_exit_began, NULL));
    CHECK_EQ(motet_thread_cancel(me), 0);
    motet_thread_free(me);
    exit(0);
}

static uint32_t hook_over;

static void slow_hook(exit_hook *hook)
{
    gate_open(&gate);
    CHECK_EQ(motet_sleep(motet_after(5 * MOTET_MS)), 0); /* so that who removes it sleeps too, mostly */
    atomic_store_relaxed(&hook_over, 1);
}

static int remove_running_hook(void *arg)
{
    gate_await(&gate, 1);
    motet__exit_hook_remove(&hooks[0]);
    CHECK_EQ(atomic_load_relaxed(&hook_over), 1);
    gate_count(&done);
    return 0;
}

TEST_OPT(removing_a_running_hook_waits_for_it, .at_exit = one_is_done)
{
    hooks[0].run = slow_hook;
    CHECK_EQ(motet__exit_hook_add(&hooks[0]), 0);
    motet_thread_free(start(remove_running_hook, NULL));
    exit(0);
}
