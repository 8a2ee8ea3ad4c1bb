/* SPDX-License-Identifier: MIT */
/* One thread: start, stack, join, its end. That nothing is left (memory, threads) is the runner's check after
 * each test. What several do to each other is in threads_test.c, the exit rule in exit_test.c. */
#include "runner.h"

#include "base/sys_thread.h"
#include "thread/test_help.h"

#include <stdio.h>
#include <sys/prctl.h>

enum { MANY = 8 };

/* ---- start, names, ids ----------------------------------------------------------------------------- */

static motet_thread *itself;

static int check_itself(void *arg)
{
    motet_thread *me = motet_thread_current();
    CHECK_PTR(me, itself);
    CHECK(motet_thread_alive(me));
    CHECK_EQ(motet_thread_join(me, NULL, MOTET_FOREVER), -EDEADLK);
    CHECK_EQ(motet_thread_join(me, NULL, MOTET_NOWAIT), -EDEADLK);
    motet_thread_free(me);
    *(int *)arg = 1; /* plain: the join makes it visible */
    return 42;
}

TEST(runs_and_gives_its_result)
{
    int ran = 0, code = -1;
    CHECK_EQ(motet_thread_start(&itself, check_itself, &ran, NULL), 0);
    CHECK_EQ(motet_thread_join(itself, &code, MOTET_FOREVER), 0);
    CHECK_EQ(ran, 1);
    CHECK_EQ(code, 42);
    CHECK(!motet_thread_alive(itself));
    /* Any number of times, and whatever the deadline. */
    CHECK_EQ(join(itself), 42);
    CHECK_EQ(motet_thread_join(itself, NULL, MOTET_NOWAIT), 0);
    CHECK_PTR(motet_thread_free(itself), NULL);
}

static int kernel_name(void *arg)
{
    CHECK_EQ(prctl(PR_GET_NAME, arg), 0);
    return 0;
}

TEST(names)
{
    char shown[16] = "", given[] = "a name of more than fifteen bytes";
    motet_thread *first = start(nothing, NULL), *named = NULL, *empty = NULL;
    CHECK_EQ(motet_thread_start(&named, kernel_name, shown, &(motet_thread_options){.name = given}), 0);
    memset(given, 'x', 5); /* it was copied */
    motet_thread *second = start(nothing, NULL);
    CHECK_EQ(motet_thread_start(&empty, nothing, NULL, &(motet_thread_options){.name = ""}), 0);
    CHECK_STR(motet_thread_name(first), "Thread-1");
    CHECK_STR(motet_thread_name(second), "Thread-2");
    CHECK_STR(motet_thread_name(empty), "Thread-3");
    CHECK_STR(motet_thread_name(named), "a name of more than fifteen bytes");
    join(named);
    CHECK_STR(shown, "a name of more ");
    CHECK_NE(motet_thread_id(first), motet_thread_id(second));
    CHECK_GT(motet_thread_id(first), 1);
    join_and_free(first);
    join_and_free(second);
    join_and_free(empty);
    motet_thread_free(named);
}

static int mask_of_thread(void *set)
{
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, set), 0);
    return 0;
}

TEST(inherits_the_signal_mask)
{
    sigset_t blocked, seen;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);
    join_and_free(start(mask_of_thread, &seen));
    CHECK(sigismember(&seen, SIGUSR1));
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &blocked, NULL), 0);
    join_and_free(start(mask_of_thread, &seen));
    CHECK(!sigismember(&seen, SIGUSR1));
}

TEST(misuse)
{
    motet_thread *untouched = (motet_thread *)&itself, *t = untouched;
    CHECK_EQ(motet_thread_start(NULL, nothing, NULL, NULL), -EINVAL);
    CHECK_EQ(motet_thread_start(&t, NULL, NULL, NULL), -EINVAL);
    CHECK_EQ(motet_thread_start(&t, nothing, NULL, &(motet_thread_options){.stack_size = 1}), -EINVAL);
    CHECK_EQ(motet_thread_start(&t, nothing, NULL, &(motet_thread_options){.stack_size = 32 * 1024 - 1}), -EINVAL);
    CHECK_PTR(t, untouched);
    CHECK_EQ(motet_thread_join(NULL, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK(!motet_thread_alive(NULL));
    CHECK_PTR(motet_thread_name(NULL), NULL);
    CHECK_EQ(motet_thread_id(NULL), 0);
    CHECK_PTR(motet_thread_ref(NULL), NULL);
    CHECK_PTR(motet_thread_free(NULL), NULL);
    CHECK_EQ(motet_thread_cancel(NULL), -EINVAL);
    CHECK_EQ(motet_thread_enumerate(NULL, 1), -EINVAL);
}

TEST(a_start_that_fails_leaves_nothing)
{
    motet_thread *untouched = (motet_thread *)&itself, *t = untouched;
    motet_thread_options huge = {.stack_size = SIZE_MAX};
    CHECK_EQ(motet_thread_start(&t, nothing, NULL, &huge), -EAGAIN);
    CHECK_PTR(t, untouched);
    CHECK_EQ(motet_thread_enumerate(NULL, 0), 1);
    /* That the program's end does not wait for it is seen when this test ends. */
}

/* ---- stacks ---------------------------------------------------------------------------------------- */

static int own_stack(void *size)
{
    pthread_attr_t attr;
    CHECK_EQ(pthread_getattr_np(pthread_self(), &attr), 0);
    CHECK_EQ(pthread_attr_getstacksize(&attr, size), 0);
    pthread_attr_destroy(&attr);
    return 0;
}

static int use_a_megabyte(void *arg)
{
    volatile char big[1024 * 1024];
    for (size_t i = 0; i < sizeof big; i += 1024)
        big[i] = (char)i;
    return big[1024 * 1023] == (char)(1024 * 1023);
}

TEST(stack_size)
{
    size_t seen = 0, system = motet_stack_size(0), page = (size_t)sysconf(_SC_PAGESIZE);
    CHECK_GE(system, 32 * 1024);
    CHECK_EQ(motet_stack_size(4 * 1024 * 1024 - 1), system);
    CHECK_EQ(motet_stack_size(0), 4 * 1024 * 1024);
    join_and_free(start(own_stack, &seen));
    CHECK_GE(seen, 4 * 1024 * 1024);
    motet_thread *t;
    CHECK_EQ(motet_thread_start(&t, own_stack, &seen, &(motet_thread_options){.stack_size = 7000 * 1000}), 0);
    join_and_free(t);
    CHECK_GE(seen, 7000 * 1000);
    CHECK_EQ(motet_thread_start(&t, use_a_megabyte, NULL, &(motet_thread_options){.stack_size = 2 << 20}), 0);
    CHECK_EQ(join_and_free(t), 1);
    /* Too small becomes the minimum, and threads start with that. */
    CHECK_EQ(motet_stack_size(1), 4 * 1024 * 1024);
    size_t least = motet_stack_size(0);
    CHECK_GE(least, 32 * 1024);
    CHECK_EQ(least % page, 0);
    CHECK_EQ(motet_thread_start(&t, nothing, NULL, &(motet_thread_options){.stack_size = least}), 0);
    join_and_free(t);
    CHECK_EQ(motet_stack_size(system), least);
    CHECK_EQ(motet_stack_size(0), system);
}

/* ---- join ------------------------------------------------------------------------------------------ */

TEST(join_keeps_its_deadline)
{
    uint32_t gate = 0;
    int code = 99;
    motet_thread *t = start(await_gate, &gate);
    CHECK_EQ(motet_thread_join(t, &code, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_thread_join(t, &code, 0), -ETIMEDOUT);
    motet_time deadline = motet_after(20 * MOTET_MS);
    CHECK_EQ(motet_thread_join(t, &code, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(code, 99);
    CHECK(motet_thread_alive(t));
    gate_open(&gate);
    CHECK_EQ(join_and_free(t), 7);
}

TEST(many_join_at_once)
{
    uint32_t gate = 0;
    motet_thread *t = start(await_gate, &gate), *joiners[MANY];
    for (int i = 0; i < MANY; i++)
        joiners[i] = start(join_it, t);
    gate_open(&gate);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(join_and_free(joiners[i]), 7);
    motet_thread_free(t);
}

/* As comes from one that had the same address before. */
TEST(a_wake_meant_for_another_does_not_end_a_join)
{
    uint32_t gate = 0;
    motet_thread *t = start(await_gate, &gate), *joiner = start(join_it, t);
    for (unsigned woken = 0; !woken; motet_yield())
        for (int i = 0; i < 256; i += 4) /* wherever in it the word is */
            woken += motet__unpark((char *)t + i, UNPARK_ALL);
    gate_open(&gate);
    CHECK_EQ(join_and_free(joiner), 7);
    CHECK_EQ(join_and_free(t), 7);
}

TEST(one_after_the_other_without_end)
{
    for (int i = 0; i < 1200; i++) /* more than there are keys */
        join_and_free(start(nothing, NULL));
}

static int join_cancelled(void *t)
{
    int code = 99;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), -ECANCELED);
    CHECK_EQ(code, 99);
    return 0;
}

TEST(join_is_a_cancellation_point)
{
    uint32_t gate = 0;
    motet_thread *t = start(await_gate, &gate), *joiner = start(join_cancelled, t);
    CHECK_EQ(motet_thread_cancel(joiner), 0);
    join_and_free(joiner);
    gate_open(&gate);
    CHECK_EQ(join(t), 7);
    /* One that has ended needs no waiting. */
    motet_thread *me = motet_thread_current();
    CHECK_EQ(motet_thread_cancel(me), 0);
    CHECK_EQ(join_and_free(t), 7);
    motet_thread_free(me);
}

TEST(not_alive_means_joinable)
{
    for (int i = 0; i < 300; i++) {
        motet_thread *t = start(nothing, NULL);
        while (motet_thread_alive(t))
            motet_yield();
        CHECK_EQ(motet_thread_join(t, NULL, MOTET_NOWAIT), 0);
        motet_thread_free(t);
        CHECK_EQ(motet_thread_enumerate(NULL, 0), 1);
    }
}

static int leave_by_pthread_exit(void *arg) { pthread_exit(NULL); }

TEST(a_body_that_leaves_by_pthread_exit_was_cancelled)
{
    CHECK_EQ(join_and_free(start(leave_by_pthread_exit, NULL)), -ECANCELED);
}

/* ---- thread-local values --------------------------------------------------------------------------- */

static struct destruction {
    sys_key key;
    uint32_t begun, go_on;
    int rounds;
} destruction;

static void destroy_slowly(void *thread)
{
    motet_thread *me = motet_thread_current();
    CHECK_PTR(me, thread);
    motet_thread_free(me);
    if (destruction.rounds++ == 0) {
        gate_open(&destruction.begun);
        gate_await(&destruction.go_on, 1);
        CHECK_EQ(sys_key_set(destruction.key, thread), 0); /* once more */
    }
}

static int with_a_local(void *arg)
{
    motet_thread *me = motet_thread_current();
    CHECK_EQ(sys_key_set(destruction.key, me), 0);
    motet_thread_free(me);
    return 5;
}

TEST(an_ended_thread_has_destroyed_its_locals)
{
    CHECK_EQ(sys_key_create(&destruction.key, destroy_slowly), 0);
    motet_thread *t = start(with_a_local, NULL);
    gate_await(&destruction.begun, 1);
    CHECK(motet_thread_alive(t));
    CHECK_EQ(motet_thread_join(t, NULL, MOTET_NOWAIT), -ETIMEDOUT);
    gate_open(&destruction.go_on);
    CHECK_EQ(join_and_free(t), 5);
    CHECK_EQ(destruction.rounds, 2);
}

static sys_key late_key;
static bool known[16];
static int rounds;

static void look_late(void *arg)
{
    motet_thread *me = motet_thread_current();
    known[rounds++] = me;
    motet_thread_free(me);
    CHECK_EQ(sys_key_set(late_key, arg), 0); /* once more, as long as there are rounds */
}

static void *foreign_with_a_value(void *arg)
{
    motet_thread_free(motet_thread_current());
    CHECK_EQ(sys_key_set(late_key, arg), 0);
    return NULL;
}

TEST(in_the_last_round_of_destructors_a_thread_is_nobody)
{
    pthread_t thread;
#ifdef TEST_UNDER_TSAN
    SKIP("to ThreadSanitizer the thread is gone in the last round");
#endif
    CHECK_EQ(sys_key_create(&late_key, look_late), 0); /* before the library's own: it comes first in each round */
    CHECK_EQ(pthread_create(&thread, NULL, foreign_with_a_value, known), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(rounds, SYS_KEY_ROUNDS);
    for (int i = 0; i < SYS_KEY_ROUNDS; i++)
        CHECK_EQ(known[i], i < SYS_KEY_ROUNDS - 1);
}
