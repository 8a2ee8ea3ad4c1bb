/* SPDX-License-Identifier: MIT */
/* Several threads: who is current, adopted, listed; freeing, cancelling; all of it at once; fork. */
#include "runner.h"

#include "thread/test_help.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 8 };

static motet_thread *itself;

static int sleep_for_ever(void *arg) { return motet_sleep(MOTET_FOREVER); }

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

/* Both are quiet when it forks, one asleep, the other gone as far as the kernel is concerned: a sanitizer's
 * own locks do not survive a fork. */
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
