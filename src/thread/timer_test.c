/* SPDX-License-Identifier: MIT */
/* Timers. That the threads are gone once no timer is left, and every timer's memory, is the runner's check. */
#include "runner.h"

#include "thread/test_help.h"

#include <motet/thread.h>

#include <stdlib.h>
#include <sys/wait.h>

static uint32_t ran; /* counted by all functions here */

static motet_timer *start_timer(motet_time when, motet_fn *fn, void *arg)
{
    motet_timer *t = NULL;
    CHECK_EQ(motet_timer_start(&t, when, fn, arg), 0);
    return t;
}

static int count(void *arg)
{
    gate_count(&ran);
    return 0;
}

static int count_after(void *moment)
{
    CHECK_GE(motet_now(), *(motet_time *)moment);
    return count(NULL);
}

static motet_time later(void) { return motet_after(3600 * MOTET_S); }

static int never(void *arg)
{
    CHECK(!"a timer ran that must not");
    return 0;
}

/* ---- when ------------------------------------------------------------------------------------------ */

TEST(runs_once_and_not_before_its_time)
{
    motet_time whens[] = {MOTET_NOWAIT, 0, INT64_MIN, motet_now(), motet_after(30 * MOTET_MS), motet_after(MOTET_MS)};
    enum { N = sizeof whens / sizeof whens[0] };
    motet_timer *t[N];
    for (int i = 0; i < N; i++)
        t[i] = start_timer(whens[i], count_after, &whens[i]);
    gate_await(&ran, N);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(motet_timer_cancel(t[i]), -EAGAIN);
        CHECK_PTR(motet_timer_free(t[i]), NULL);
    }
    motet_timer_free(start_timer(motet_now(), count, NULL));
    gate_await(&ran, N + 1);
    CHECK_EQ(ran, N + 1);
}

TEST(far_ones_do_not_hinder_near_ones)
{
    /* Centuries away, and as far as can be. */
    motet_timer *far[] = {start_timer(INT64_MAX - 1, never, NULL), start_timer(MOTET_FOREVER, never, NULL),
                          start_timer(later(), never, NULL), start_timer(INT64_MAX / 2, never, NULL)};
    /* The leader sleeps until the far one; an earlier one has it look again. */
    for (uint32_t i = 1; i <= 400; i++) {
        motet_timer_free(start_timer(motet_after(i % 40 == 1 ? MOTET_MS : 0), count, NULL));
        gate_await(&ran, i);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(motet_timer_cancel(far[i]), 0);
        motet_timer_free(far[i]);
    }
}

TEST(one_at_the_end_of_time_needs_no_thread)
{
    motet_timer *t = start_timer(MOTET_FOREVER, never, NULL);
    CHECK_EQ(motet_thread_enumerate(NULL, 0), 1);
    CHECK_EQ(motet_timer_cancel(t), 0);
    CHECK_EQ(motet_timer_cancel(t), 0);
    motet_timer_free(t);
    motet_timer_free(start_timer(MOTET_FOREVER, never, NULL));
}

/* ---- cancel and free ------------------------------------------------------------------------------- */

TEST(a_cancelled_one_never_runs)
{
    for (int i = 0; i < 200; i++) {
        motet_timer *a = start_timer(later(), never, NULL), *b = start_timer(later(), never, NULL);
        CHECK_EQ(motet_timer_cancel(a), 0);
        CHECK_EQ(motet_timer_cancel(a), 0);
        CHECK_EQ(motet_timer_cancel(b), 0);
        motet_timer_free(a);
        motet_timer_free(b);
    }
}

TEST(a_freed_one_still_runs)
{
    motet_timer_free(start_timer(motet_after(5 * MOTET_MS), count, NULL));
    gate_await(&ran, 1);
}

static motet_timer *own, *other;

static int use_timers(void *arg)
{
    CHECK_EQ(motet_timer_cancel(own), -EAGAIN);
    own = motet_timer_free(own);
    CHECK_EQ(motet_timer_cancel(other), 0);
    other = motet_timer_free(other);
    motet_timer_free(start_timer(motet_now(), count, NULL));
    gate_await(&ran, 1); /* it has not to wait for this one */
    gate_count(&ran);
    return 0;
}

TEST(a_function_may_use_timers_its_own_too)
{
    other = start_timer(later(), never, NULL);
    CHECK_EQ(motet_timer_start(&own, motet_now(), use_timers, NULL), 0);
    gate_await(&ran, 2);
}

static int again(void *arg)
{
    uint32_t n = gate_count(&ran);
    if (n < 200)
        motet_timer_free(start_timer(motet_now() + (n % 3) * 100 * MOTET_US, again, NULL));
    return 0;
}

TEST(a_timer_may_start_the_next)
{
    motet_timer_free(start_timer(motet_now(), again, NULL));
    gate_await(&ran, 200);
}

TEST(misuse)
{
    motet_timer *untouched = (motet_timer *)&own, *t = untouched;
    CHECK_EQ(motet_timer_start(NULL, MOTET_NOWAIT, never, NULL), -EINVAL);
    CHECK_EQ(motet_timer_start(&t, MOTET_NOWAIT, NULL, NULL), -EINVAL);
    CHECK_PTR(t, untouched);
    CHECK_EQ(motet_timer_cancel(NULL), -EINVAL);
    CHECK_PTR(motet_timer_free(NULL), NULL);
}

/* ---- many ------------------------------------------------------------------------------------------ */

enum { TOGETHER = 40 };

static int await_the_others(void *arg)
{
    gate_count(&ran);
    gate_await(&ran, TOGETHER);
    return 0;
}

TEST(one_that_blocks_does_not_delay_the_others)
{
    motet_time when = motet_after(MOTET_MS);
    for (int i = 0; i < TOGETHER; i++)
        motet_timer_free(start_timer(i % 2 ? when : when + MOTET_MS, await_the_others, NULL));
    gate_await(&ran, TOGETHER);
}

static int meet(void *both)
{
    gate_count(&ran);
    gate_await(&ran, (uint32_t)(uintptr_t)both);
    return 0;
}

/* Two threads stay, since there is a far one: one leads, the other is called each time. */
TEST(a_spare_thread_comes_when_one_blocks)
{
    motet_timer *far = start_timer(later(), never, NULL);
    for (uintptr_t both = 2; both <= 40; both += 2) {
        motet_timer_free(start_timer(0, meet, (void *)both));
        motet_timer_free(start_timer(0, meet, (void *)both));
        gate_await(&ran, (uint32_t)both);
    }
    CHECK_EQ(motet_timer_cancel(far), 0);
    motet_timer_free(far);
}

TEST(threads_come_and_go_without_end)
{
    for (uint32_t i = 1; i <= 1100; i++) { /* more than there may be at a time */
        motet_timer_free(start_timer(0, count, NULL));
        gate_await(&ran, i);
        while (motet_thread_enumerate(NULL, 0) > 1)
            motet_yield();
    }
}

static int spoil_the_thread(void *arg)
{
    CHECK(!motet_cancelled());
    CHECK(!motet_shield(true));
    CHECK(!motet_interruptible(true));
    motet_thread *me = motet_thread_current();
    CHECK_STR(motet_thread_name(me), "Timer");
    if (arg)
        CHECK_EQ(motet_thread_cancel(me), 0);
    motet_thread_free(me);
    gate_count(&ran);
    return 0;
}

TEST(what_one_does_to_its_thread_is_not_for_the_next)
{
    enum { N = 100 };
    for (int i = 0; i < N; i++)
        motet_timer_free(start_timer(motet_after(i % 7 * MOTET_US), spoil_the_thread, i % 5 ? NULL : &ran));
    gate_await(&ran, N);
}

/* Each timer either runs once, or its cancel says 0. */
enum { STORM = 2000, STARTERS = 3 };

static struct storm {
    motet_timer *timer;
    uint32_t runs, cancelled;
} storm[STARTERS][STORM];

static int count_run(void *arg)
{
    atomic_add_relaxed(&((struct storm *)arg)->runs, 1);
    gate_count(&ran);
    return 0;
}

static int start_many(void *arg)
{
    struct storm *mine = arg;
    for (uint32_t i = 0; i < STORM; i++) {
        mine[i].timer = start_timer(motet_after(i * 7919 % 3000 * MOTET_US), count_run, &mine[i]);
        struct storm *victim = &mine[i * 31 % (i + 1)];
        if (i % 2 && !victim->cancelled && motet_timer_cancel(victim->timer) == 0) {
            victim->cancelled = 1;
            gate_count(&ran);
        }
    }
    return 0;
}

TEST(each_runs_once_or_was_cancelled)
{
    motet_thread *starters[STARTERS];
    for (int i = 0; i < STARTERS; i++)
        CHECK_EQ(motet_thread_start(&starters[i], start_many, storm[i], NULL), 0);
    gate_await(&ran, STARTERS * STORM);
    for (int i = 0; i < STARTERS; i++) {
        CHECK_EQ(motet_thread_join(starters[i], NULL, MOTET_FOREVER), 0);
        motet_thread_free(starters[i]);
        for (int j = 0; j < STORM; j++) {
            struct storm *s = &storm[i][j];
            CHECK_EQ(atomic_load_relaxed(&s->runs) + s->cancelled, 1);
            CHECK_EQ(motet_timer_cancel(s->timer), s->cancelled ? 0 : -EAGAIN);
            motet_timer_free(s->timer);
        }
    }
}

/* ---- when threads can't be had --------------------------------------------------------------------- */

TEST(without_a_thread_there_is_no_timer)
{
    motet_timer *untouched = (motet_timer *)&own, *t = untouched;
    size_t was = motet_stack_size(SIZE_MAX);
    CHECK_EQ(motet_timer_start(&t, MOTET_NOWAIT, never, NULL), -EAGAIN);
    CHECK_PTR(t, untouched);
    motet_stack_size(was);
    motet_timer_free(start_timer(MOTET_NOWAIT, count, NULL));
    gate_await(&ran, 1);
}

static uint32_t first_may_return, first_began, first_over;

static int first(void *arg)
{
    gate_open(&first_began);
    gate_await(&first_may_return, 1);
    gate_open(&first_over);
    return 0;
}

static int second(void *arg)
{
    CHECK_EQ(atomic_load_relaxed(&first_over), 1);
    return count(NULL);
}

/* Starts both for the same moment. False: the first had begun by then, so that there was no thread for the
 * second. */
static bool start_both(void)
{
    motet_timer *a = NULL, *b = NULL;
    motet_time when = motet_after(20 * MOTET_MS);
    int e = motet_timer_start(&a, when, first, NULL);
    if (e == 0) {
        e = motet_timer_start(&b, when, second, NULL);
        gate_await(&first_began, 1);
        CHECK_EQ(motet_thread_enumerate(NULL, 0), 2); /* the one thread runs it, and there is no other */
        gate_open(&first_may_return);
        gate_await(&first_over, 1);
    }
    CHECK(e == 0 || e == -EAGAIN);
    motet_timer_free(a);
    motet_timer_free(b);
    return e == 0;
}

TEST(without_a_second_thread_they_run_one_after_the_other)
{
    motet_timer *far = start_timer(later(), never, NULL);
    motet_thread *listed[2];
    CHECK_EQ(motet_thread_enumerate(listed, 2), 2);
    motet_thread_free(listed[0]);
    size_t was = motet_stack_size(SIZE_MAX);
    while (!start_both())
        first_began = first_may_return = first_over = 0;
    gate_await(&ran, 1);
    motet_stack_size(was);
    CHECK_EQ(motet_timer_cancel(far), 0);
    motet_timer_free(far);
    CHECK_EQ(motet_thread_join(listed[1], NULL, MOTET_FOREVER), 0);
    motet_thread_free(listed[1]);
}

/* ---- exit and fork --------------------------------------------------------------------------------- */

static void one_ran(void) { CHECK_EQ(ran, 1); }
static void two_ran(void) { CHECK_EQ(ran, 2); }

TEST_OPT(the_programs_end_waits_for_pending_ones, .at_exit = one_ran)
{
    motet_timer_free(start_timer(motet_after(30 * MOTET_MS), count, NULL));
    motet_timer_free(start_timer(MOTET_FOREVER, never, NULL)); /* not for this one */
    exit(0);
}

static int start_last(void *arg)
{
    motet_timer_free(start_timer(motet_after(5 * MOTET_MS), count, NULL));
    return count(NULL);
}

TEST_OPT(the_programs_end_waits_for_those_started_meanwhile, .at_exit = two_ran)
{
    motet_timer_free(start_timer(motet_after(5 * MOTET_MS), start_last, NULL));
    exit(0);
}

static int call_exit(void *arg)
{
    count(NULL);
    exit(4);
}

TEST_OPT(a_function_may_call_exit, .exit_code = 4, .at_exit = two_ran)
{
    motet_timer_free(start_timer(motet_after(20 * MOTET_MS), count, NULL));
    motet_timer_free(start_timer(motet_after(MOTET_MS), call_exit, NULL));
    motet_sleep(MOTET_FOREVER);
}

/* The one thread is asleep in a timer's function when it forks: a sanitizer's own locks do not survive a
 * fork. */
TEST(in_the_child_of_a_raw_fork_nothing_hangs)
{
    motet_timer *running = start_timer(MOTET_NOWAIT, first, NULL), *pending = start_timer(MOTET_FOREVER, never, NULL),
                *t = pending;
    gate_await(&first_began, 1);
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0) {
        CHECK_EQ(motet_timer_start(&t, MOTET_NOWAIT, never, NULL), -EPERM);
        CHECK_EQ(motet_timer_start(&t, MOTET_FOREVER, never, NULL), -EPERM);
        CHECK_PTR(t, pending);
        CHECK_EQ(motet_timer_cancel(pending), -EPERM);
        CHECK_EQ(motet_timer_cancel(running), -EPERM);
        motet_timer_free(pending);
        motet_timer_free(running);
        exit(9);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 9);
    gate_open(&first_may_return);
    CHECK_EQ(motet_timer_cancel(pending), 0);
    motet_timer_free(pending);
    motet_timer_free(running);
}
