/* SPDX-License-Identifier: MIT */
/* Threads: every call's meaning and codes, then calls that race. That nothing is left (memory, threads) is the runner's
 * check after each test. The exit rule is in exit_test.c. */
#include "runner.h"

#include "base/sys_thread.h"
#include "thread/gate.h"

#include <motet/thread.h>

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { MANY = 8 };

static motet_thread *start(motet_fn *fn, void *arg)
{
    motet_thread *t = NULL;
    CHECK_EQ(motet_thread_start(&t, fn, arg, NULL), 0);
    return t;
}

static int join(motet_thread *t)
{
    int code = 0;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    return code;
}

static int join_and_free(motet_thread *t)
{
    int code = join(t);
    motet_thread_free(t);
    return code;
}

static int await_gate(void *gate)
{
    gate_await(gate, 1);
    return 7;
}

static int sleep_for_ever(void *arg)
{
    return motet_sleep(MOTET_FOREVER);
}

static int nothing(void *arg)
{
    return 0;
}

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

static int join_it(void *t)
{
    return join(t);
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

static int leave_by_pthread_exit(void *arg)
{
    pthread_exit(NULL);
}

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

/* ---- current, adopted ones, enumerate -------------------------------------------------------------- */

TEST(main_is_adopted)
{
    motet_thread *me = motet_thread_current(), *again = motet_thread_current(), *listed[2] = {0};
    CHECK_PTR(me, again);
    CHECK_STR(motet_thread_name(me), "MainThread");
    CHECK_EQ(motet_thread_id(me), 1);
    CHECK(motet_thread_alive(me));
    CHECK_EQ(motet_thread_join(me, NULL, MOTET_FOREVER), -EDEADLK);
    CHECK_EQ(motet_thread_enumerate(listed, 2), 1);
    CHECK_PTR(listed[0], me);
    CHECK_PTR(listed[1], NULL);
    motet_thread_free(listed[0]);
    motet_thread_free(me);
    motet_thread_free(again);
}

static int find_and_cancel_main(void *arg)
{
    motet_thread *listed[1];
    CHECK_GE(motet_thread_enumerate(listed, 1), 2);
    CHECK_STR(motet_thread_name(listed[0]), "MainThread");
    CHECK_EQ(motet_thread_cancel(listed[0]), 0);
    motet_thread_free(listed[0]);
    return 0;
}

TEST(main_can_be_found_and_cancelled)
{
    motet_thread *t = start(find_and_cancel_main, NULL);
    CHECK_EQ(motet_sleep(MOTET_FOREVER), -ECANCELED);
    motet_shield(true);
    join_and_free(t);
}

struct foreign {
    motet_thread *thread;
    uint32_t known, gate;
    int slept;
};

static void *foreign_main(void *arg)
{
    struct foreign *f = arg;
    f->thread = motet_thread_current();
    motet_thread *again = motet_thread_current();
    CHECK_PTR(again, f->thread);
    CHECK_EQ(motet_thread_join(again, NULL, MOTET_FOREVER), -EDEADLK);
    motet_thread_free(again);
    gate_open(&f->known);
    f->slept = motet_sleep(MOTET_FOREVER);
    gate_await(&f->gate, 1);
    return NULL;
}

TEST(foreign_threads_are_adopted_until_they_end)
{
    struct foreign f = {0};
    pthread_t thread;
    motet_thread *listed[3] = {0}, *joiners[MANY];
    CHECK_EQ(pthread_create(&thread, NULL, foreign_main, &f), 0);
    gate_await(&f.known, 1);
    CHECK_STR(motet_thread_name(f.thread), "Dummy-1");
    CHECK_GT(motet_thread_id(f.thread), 1);
    CHECK_EQ(motet_thread_enumerate(listed, 3), 2);
    CHECK_PTR(listed[1], f.thread);
    motet_thread_free(listed[0]);
    motet_thread_free(listed[1]);
    CHECK_EQ(motet_thread_join(f.thread, NULL, MOTET_NOWAIT), -ETIMEDOUT);
    for (int i = 0; i < MANY; i++)
        joiners[i] = start(join_it, f.thread);
    CHECK_EQ(motet_thread_cancel(f.thread), 0);
    gate_open(&f.gate);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(join_and_free(joiners[i]), 0);
    CHECK_EQ(f.slept, -ECANCELED);
    CHECK(!motet_thread_alive(f.thread));
    CHECK_EQ(motet_thread_enumerate(NULL, 0), 1);
    CHECK_EQ(motet_thread_cancel(f.thread), 0);
    motet_thread_free(f.thread);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(enumerate_lists_the_living)
{
    uint32_t gate = 0;
    motet_thread *t[MANY], *listed[MANY + 2] = {0};
    for (int i = 0; i < MANY; i++)
        t[i] = start(await_gate, &gate);
    CHECK_EQ(motet_thread_enumerate(NULL, 0), MANY + 1);
    CHECK_EQ(motet_thread_enumerate(listed, 3), MANY + 1);
    CHECK_PTR(listed[2], t[1]);
    CHECK_PTR(listed[3], NULL);
    for (int i = 0; i < 3; i++)
        motet_thread_free(listed[i]);
    CHECK_EQ(motet_thread_enumerate(listed, MANY + 2), MANY + 1);
    CHECK_PTR(listed[MANY + 1], NULL);
    gate_open(&gate);
    for (int i = 0; i < MANY; i++) {
        CHECK_PTR(listed[i + 1], t[i]);
        CHECK_EQ(join_and_free(t[i]), 7);
        CHECK(!motet_thread_alive(listed[i + 1])); /* a reference of its own */
        motet_thread_free(listed[i + 1]);
    }
    motet_thread_free(listed[0]);
    CHECK_EQ(motet_thread_enumerate(NULL, 0), 1);
}

/* ---- free and cancel ------------------------------------------------------------------------------- */

static int count_when_open(void *gates)
{
    uint32_t *gate = gates;
    gate_await(&gate[0], 1);
    gate_count(&gate[1]);
    return 0;
}

TEST(freed_ones_go_on)
{
    static uint32_t gates[2];
    for (int i = 0; i < MANY; i++)
        CHECK_PTR(motet_thread_free(start(count_when_open, gates)), NULL);
    CHECK_EQ(motet_thread_enumerate(NULL, 0), MANY + 1);
    gate_open(&gates[0]);
    gate_await(&gates[1], MANY);
}

static size_t mapped_bytes(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    CHECK(f && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The stack of one that nobody joins goes back to the system as well, but for the last one's. */
TEST(stacks_of_freed_ones_are_given_back)
{
    enum { THREADS = 100 };
    const motet_thread_options large = {.stack_size = 64 << 20}; /* more than the C library keeps for later */
    size_t before = mapped_bytes();
    for (int i = 0; i < THREADS; i++) {
        motet_thread *t;
        CHECK_EQ(motet_thread_start(&t, nothing, NULL, &large), 0);
        motet_thread_free(t);
        while (motet_thread_enumerate(NULL, 0) > 1)
            motet_yield();
    }
    while (mapped_bytes() > before + THREADS / 4 * large.stack_size)
        motet_yield();
}

static int free_itself(void *gate)
{
    gate_await(gate, 1); /* the starter is done with it */
    motet_thread_free(itself);
    return 0;
}

TEST(a_thread_may_free_its_own_object)
{
    static uint32_t gate;
    itself = start(free_itself, &gate);
    gate_open(&gate);
}

static int stays_cancelled(void *arg)
{
    CHECK_EQ(motet_sleep(MOTET_FOREVER), -ECANCELED);
    CHECK(motet_cancelled());
    CHECK_EQ(motet_sleep(motet_after(3600 * MOTET_S)), -ECANCELED);
    CHECK(!motet_shield(true));
    CHECK_EQ(motet_sleep(motet_after(MOTET_MS)), 0);
    CHECK(motet_shield(false));
    CHECK_EQ(motet_sleep(MOTET_FOREVER), -ECANCELED);
    return 3;
}

TEST(cancel_is_sticky_and_never_lost)
{
    /* At once: some are cancelled before they have begun, some while they begin, some asleep. */
    for (int i = 0; i < 300; i++) {
        motet_thread *t = start(stays_cancelled, NULL);
        for (int spins = 0; spins < i * 20; spins++)
            cpu_relax();
        CHECK_EQ(motet_thread_cancel(t), 0);
        CHECK_EQ(motet_thread_cancel(t), 0);
        CHECK_EQ(join(t), 3);
        CHECK_EQ(motet_thread_cancel(t), 0);
        motet_thread_free(t);
    }
}

static int not_cancelled(void *arg)
{
    CHECK(!motet_cancelled());
    return motet_sleep(motet_after(1));
}

TEST(cancel_is_not_inherited)
{
    motet_thread *me = motet_thread_current(), *t;
    CHECK_EQ(motet_thread_cancel(me), 0);
    t = start(not_cancelled, NULL);
    CHECK_EQ(motet_sleep(MOTET_FOREVER), -ECANCELED);
    motet_shield(true);
    CHECK_EQ(join_and_free(t), 0);
    motet_thread_free(me);
}

/* ---- races ----------------------------------------------------------------------------------------- */

enum { ROUNDS = 100 };

/* Does all that may be done to a living thread, to every thread that there is. */
static int meddle(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        motet_thread *listed[32];
        int n = motet_thread_enumerate(listed, 32);
        CHECK_GE(n, 1);
        for (int j = 0; j < n && j < 32; j++) {
            const char *name = motet_thread_name(listed[j]);
            if (strcmp(name, "victim") == 0)
                CHECK_EQ(motet_thread_cancel(listed[j]), 0);
            int e = motet_thread_join(listed[j], NULL, MOTET_NOWAIT);
            CHECK(e == 0 || e == -ETIMEDOUT || e == -EDEADLK);
            if (e == 0)
                CHECK(!motet_thread_alive(listed[j]));
            motet_thread_free(motet_thread_ref(listed[j]));
            motet_thread_free(listed[j]);
        }
    }
    return 0;
}

TEST(everything_at_once)
{
    motet_thread *meddlers[3];
    for (int i = 0; i < 3; i++)
        meddlers[i] = start(meddle, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        motet_thread *t, *helper;
        CHECK_EQ(motet_thread_start(&t, sleep_for_ever, NULL, &(motet_thread_options){.name = "victim"}), 0);
        helper = start(join_it, t);
        CHECK_EQ(motet_thread_cancel(t), 0);
        if (i % 2)
            CHECK_EQ(join(t), -ECANCELED);
        CHECK_EQ(join_and_free(helper), -ECANCELED);
        motet_thread_free(t);
    }
    for (int i = 0; i < 3; i++)
        join_and_free(meddlers[i]);
    CHECK_EQ(motet_thread_enumerate(NULL, 0), 1);
}

/* ---- fork ------------------------------------------------------------------------------------------ */

static void check_in_child(motet_thread *running, motet_thread *ended)
{
    motet_thread *t = running;
    CHECK_EQ(motet_thread_start(&t, nothing, NULL, NULL), -EPERM);
    CHECK_PTR(t, running);
    CHECK_EQ(motet_thread_join(running, NULL, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_thread_join(ended, NULL, MOTET_FOREVER), -EPERM);
    CHECK_EQ(motet_thread_cancel(running), -EPERM);
    CHECK_EQ(motet_thread_enumerate(&t, 1), -EPERM);
    CHECK_STR(motet_thread_name(running), "Thread-1");
    motet_thread_free(running);
    motet_thread_free(ended); /* it was never joined, and can't be here */
}

static int tell_that_it_runs(void *gates)
{
    uint32_t *gate = gates;
    gate_count(&gate[0]);
    return await_gate(&gate[1]);
}

static int own_tid(void *tid)
{
    *(pid_t *)tid = gettid();
    return 0;
}

/* Both are quiet when it forks, one asleep, the other gone as far as the kernel is concerned: a sanitizer's own locks do
 * not survive a fork. */
TEST(in_the_child_of_a_raw_fork_nothing_hangs)
{
    uint32_t gates[2] = {0};
    pid_t tid = 0;
    motet_thread *running = start(tell_that_it_runs, gates), *ended = start(own_tid, &tid);
    gate_await(&gates[0], 1);
    while (motet_thread_alive(ended))
        motet_yield();
    while (tgkill(getpid(), tid, 0) == 0)
        motet_yield();
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0) {
        check_in_child(running, ended);
        exit(9); /* waits for nobody */
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 9);
    gate_open(&gates[1]);
    CHECK_EQ(join_and_free(running), 7);
    join_and_free(ended);
}
