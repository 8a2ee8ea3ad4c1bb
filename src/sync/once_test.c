/* SPDX-License-Identifier: MIT */
/* Once: codes, that it is once, failures that let the next one try, waiting for the end. */
#include "sync/test_threads.h"

#include "sync/sync.h"

struct deed {
    motet_once_flag flag;
    uint32_t runs, failures, begun, go_on, threads;
    int result;
    long written; /* by the one that runs it */
};

static int act(void *arg)
{
    struct deed *d = arg;
    atomic_add_relaxed(&d->runs, 1);
    d->written = 42;
    return d->result;
}

TEST(codes)
{
    struct deed d = {.result = 7};
    CHECK_EQ(motet_once(NULL, act, &d), -EINVAL);
    CHECK_EQ(motet_once(&d.flag, NULL, &d), -EINVAL);
    CHECK_EQ(d.runs, 0);
    d.result = -5;
    CHECK_EQ(motet_once(&d.flag, act, &d), -5);
    CHECK_EQ(motet_once(&d.flag, act, &d), -5);
    CHECK_EQ(d.runs, 2);
    d.result = 7;
    CHECK_EQ(motet_once(&d.flag, act, &d), 7);
    d.result = 8;
    CHECK_EQ(motet_once(&d.flag, act, &d), 7);
    CHECK_EQ(d.runs, 3);
}

static int act_again(void *arg)
{
    struct deed *d = arg;
    CHECK_EQ(motet_once(&d->flag, act, d), -EDEADLK);
    return 1;
}

TEST(calls_of_itself)
{
    struct deed d = {0};
    CHECK_EQ(motet_once(&d.flag, act_again, &d), 1);
    CHECK_EQ(d.runs, 0);
    CHECK_EQ(motet_once(&d.flag, act, &d), 1);
}

/* ---- many ------------------------------------------------------------------------------------------ */

static int act_slowly(void *arg)
{
    struct deed *d = arg;
    atomic_add_relaxed(&d->runs, 1);
    atomic_store_release(&d->begun, 1);
    UNTIL(SEEN(&d->go_on));
    d->written = 42;
    return d->result;
}

static int once_slowly(void *arg)
{
    struct deed *d = arg;
    int r = motet_once(&d->flag, act_slowly, d);
    if (r >= 0)
        CHECK_EQ(d->written, 42);
    return r;
}

TEST(others_wait_for_its_end)
{
    struct deed d = {.result = 3};
    motet_thread *t[6];
    start_all(t, 6, once_slowly, &d);
    UNTIL(SEEN(&d.begun) && SEEN(&d.flag.word_) == 2);
    /* One that is cancelled waits all the same. */
    for (int i = 0; i < 6; i++)
        CHECK_EQ(motet_thread_cancel(t[i]), 0);
    CHECK_EQ(interrupted(once_slowly, &d), -EINTR);
    CHECK_EQ(in_forked_child(once_slowly, &d), -EPERM);
    CHECK_EQ(d.runs, 1);
    atomic_store_release(&d.go_on, 1);
    CHECK_EQ(finish_all(t, 6, 3), 6);
    CHECK_EQ(d.runs, 1);
}

/* Fails twice; each failure is one caller's, and the others try again. */
static int fail_twice(void *arg)
{
    struct deed *d = arg;
    atomic_add_relaxed(&d->runs, 1);
    motet_yield();
    return d->failures++ < 2 ? -7 : 5;
}

static int once_or_fail(void *arg)
{
    struct deed *d = arg;
    return motet_once(&d->flag, fail_twice, d);
}

TEST(a_failure_is_its_callers_alone)
{
    for (int i = 0; i < 50; i++) {
        struct deed d = {0};
        motet_thread *t[6];
        int failed = 0;
        start_all(t, 6, once_or_fail, &d);
        for (int n = 0; n < 6; n++) {
            int r = finish(t[n]);
            CHECK(r == -7 || r == 5);
            failed += r == -7;
        }
        CHECK_EQ(failed, 2);
        CHECK_EQ(d.runs, 3);
    }
}
