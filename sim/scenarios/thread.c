/* SPDX-License-Identifier: MIT */
/* Threads as objects, and timers: join, free, cancel, deadlines. */
#include "help.h"

#include "thread/thread.h"

static motet_thread *t;
static int value, codes[2];
static uint32_t fired;

static int body(void *arg)
{
    SIM_WRITE(&value, 7);
    return 3;
}

SIM_SCENARIO(thread_join, .about = "join gives the code, and sees what the thread did",
             .faults = SIM_SPURIOUS | SIM_NO_MEMORY)
{
    int e = motet_thread_start(&t, body, NULL, NULL), code = 0;
    if (e < 0)
        return;
    SIM_CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(code, 3);
    SIM_CHECK_EQ(SIM_READ(&value), 7);
    motet_thread_free(t);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

static void joins(void *arg) { SIM_CHECK_EQ(motet_thread_join(t, &codes[(intptr_t)arg], MOTET_FOREVER), 0); }

SIM_SCENARIO(thread_join_two, .about = "two join the same thread")
{
    SIM_CHECK_EQ(motet_thread_start(&t, body, NULL, NULL), 0);
    int other = sim_spawn(joins, (void *)1, "joiner");
    joins((void *)0);
    sim_join(other);
    SIM_CHECK_EQ(codes[0] + codes[1], 6);
    motet_thread_free(t);
}

SIM_SCENARIO(thread_free_running, .about = "freed while it runs or ends: it goes on, and is joined by somebody later")
{
    SIM_CHECK_EQ(motet_thread_start(&t, body, NULL, NULL), 0);
    motet_thread_free(t);
    sim_join_all();
    SIM_CHECK_EQ(sim_allocated(), 0);
}

SIM_SCENARIO(thread_not_alive, .about = "who sees that a thread is not alive sees what it did")
{
    SIM_CHECK_EQ(motet_thread_start(&t, body, NULL, NULL), 0);
    while (motet_thread_alive(t))
        cpu_relax();
    SIM_CHECK_EQ(SIM_READ(&value), 7);
    motet_thread_free(t);
}

static void adopts(void *arg)
{
    motet_thread *me = motet_thread_current();
    SIM_CHECK(me && motet_thread_alive(me));
    motet_thread_free(me);
}

SIM_SCENARIO(thread_adopt_two, .about = "two foreign threads ask who they are: the first makes the key")
{
    run_many(2, adopts);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

static int sleeps(void *arg) { return motet_sleep(MOTET_FOREVER); }

SIM_SCENARIO(thread_cancel, .about = "a cancel ends the sleep, whether it has begun or not")
{
    int code = 0;
    SIM_CHECK_EQ(motet_thread_start(&t, sleeps, NULL, NULL), 0);
    SIM_CHECK_EQ(motet_thread_cancel(t), 0);
    SIM_CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    SIM_CHECK_EQ(code, -ECANCELED);
    motet_thread_free(t);
}

SIM_SCENARIO(thread_cancel_ending, .about = "a cancel against a thread that ends")
{
    SIM_CHECK_EQ(motet_thread_start(&t, body, NULL, NULL), 0);
    SIM_CHECK_EQ(motet_thread_cancel(t), 0);
    SIM_CHECK_EQ(motet_thread_join(t, NULL, MOTET_FOREVER), 0);
    motet_thread_free(t);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

static int fires(void *arg)
{
    atomic_add_relaxed(&fired, 1);
    return 0;
}

SIM_SCENARIO(timer_cancel, .about = "a timer's time comes, or it is cancelled: one of them", .cap = 30)
{
    motet_timer *timer;
    SIM_CHECK_EQ(motet_timer_start(&timer, sim_now() + 1000, fires, NULL), 0);
    int e = motet_timer_cancel(timer);
    motet_timer_free(timer);
    sim_join_all();
    SIM_CHECK_EQ(fired, e == 0 ? 0 : 1);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

SIM_SCENARIO(timer_two, .about = "two timers fire once each, and their workers end", .cap = 30)
{
    motet_timer *one, *two;
    SIM_CHECK_EQ(motet_timer_start(&one, sim_now() + 2000, fires, NULL), 0);
    SIM_CHECK_EQ(motet_timer_start(&two, sim_now() + 1000, fires, NULL), 0);
    motet_timer_free(one);
    motet_timer_free(two);
    sim_join_all();
    SIM_CHECK_EQ(fired, 2);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

/* ---- the program's end ----------------------------------------------------------------------------- */

static int each[2];

static int writes_its_own(void *arg)
{
    SIM_WRITE((int *)arg, 7);
    return 0;
}

SIM_SCENARIO(thread_exit, .about = "the end waits for two threads that nobody joins, and sees what they did", .cap = 30)
{
    for (int i = 0; i < 2; i++) {
        SIM_CHECK_EQ(motet_thread_start(&t, writes_its_own, &each[i], NULL), 0);
        motet_thread_free(t);
    }
    motet__exit_run();
    SIM_CHECK_EQ(SIM_READ(&each[0]) + SIM_READ(&each[1]), 14);
    SIM_CHECK_EQ(sim_allocated(), 0);
}

static exit_hook hook;

static void runs(exit_hook *of) { SIM_WRITE(&value, SIM_READ(&value) + 1); }

static void removes(void *arg)
{
    motet__exit_hook_remove(&hook);
    SIM_WRITE(&value, SIM_READ(&value) + 1); /* it doesn't run any more */
}

SIM_SCENARIO(thread_exit_hook, .about = "a hook is removed while it runs: who removes it waits", .faults = SIM_SPURIOUS)
{
    hook.run = runs;
    SIM_CHECK_EQ(motet__exit_hook_add(&hook), 0);
    sim_spawn(removes, NULL, "remover");
    motet__exit_run();
    sim_join_all();
    SIM_CHECK(value == 1 || value == 2);
}
