/* SPDX-License-Identifier: MIT */
/* The latch: codes, and that it opens for all, exactly at 0. */
#include "sync/test_threads.h"

#include "sync/sync.h"

#include <stdlib.h>

#define WAITED ((uint32_t)1 << 31)

TEST(codes)
{
    motet_latch l = {0};
    CHECK_EQ(motet_latch_init(NULL, 1, 0), -EINVAL);
    CHECK_EQ(motet_latch_init(&l, 1, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_latch_init(&l, 1, MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_latch_init(&l, WAITED, 0), -EINVAL);
    CHECK_EQ(motet_latch_count_down(NULL, 1), -EINVAL);
    CHECK_EQ(motet_latch_wait(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_latch_count(NULL), 0);
    CHECK_EQ(motet_latch_wait(&l, MOTET_NOWAIT), 0); /* zero: open */
    CHECK_EQ(motet_latch_count_down(&l, 1), -EINVAL);
    CHECK_EQ(motet_latch_count_down(&l, 0), 0);
    CHECK_EQ(motet_latch_init(&l, 3, 0), 0);
    CHECK_EQ(motet_latch_wait(&l, MOTET_NOWAIT), -ETIMEDOUT);
    motet_time deadline = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet_latch_wait(&l, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(motet_latch_count_down(&l, 4), -EINVAL);
    CHECK_EQ(motet_latch_count_down(&l, UINT32_MAX), -EINVAL);
    CHECK_EQ(motet_latch_count(&l), 3);
    CHECK_EQ(motet_latch_count_down(&l, 2), 0);
    CHECK_EQ(motet_latch_count_down(&l, 0), 0);
    CHECK_EQ(motet_latch_count(&l), 1);
    CHECK_EQ(motet_latch_wait(&l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_latch_count_down(&l, 1), 0);
    CHECK_EQ(motet_latch_wait(&l, MOTET_FOREVER), 0);
    CHECK_EQ(motet_latch_count_down(&l, 1), -EINVAL);
    CHECK_EQ(l.word_, 0);
    CHECK_EQ(motet_latch_init(&l, WAITED - 1, 0), 0);
    CHECK_EQ(motet_latch_count_down(&l, WAITED - 1), 0);
    CHECK_EQ(motet_latch_wait(&l, MOTET_NOWAIT), 0);
}

static int await(void *l) { return motet_latch_wait(l, MOTET_FOREVER); }

TEST(a_wait_can_be_ended)
{
    motet_latch l;
    CHECK_EQ(motet_latch_init(&l, 1, 0), 0);
    CHECK_EQ(cancelled(await, &l), -ECANCELED);
    CHECK_EQ(interrupted(await, &l), -EINTR);
    CHECK_EQ(in_forked_child(await, &l), -EPERM);
    CHECK_EQ(motet_latch_count(&l), 1);
    CHECK_EQ(motet_latch_count_down(&l, 1), 0);
    CHECK_EQ(cancelled(await, &l), 0);
}

/* ---- many ------------------------------------------------------------------------------------------ */

enum { WORKERS = 3, STEPS = 2000, WAITERS = 4 };

struct work {
    motet_latch done;
    uint32_t id;
    int parts[WORKERS]; /* published by the latch */
};

static int do_part(void *arg)
{
    struct work *w = arg;
    int *part = &w->parts[atomic_add_relaxed(&w->id, 1)];
    for (int i = 0; i < STEPS; i++) {
        ++*part;
        CHECK_EQ(motet_latch_count_down(&w->done, 1), 0);
    }
    return 0;
}

static int await_all(void *arg)
{
    struct work *w = arg;
    uint32_t seed = 77;
    for (int e = -ETIMEDOUT; e != 0;) {
        e = motet_latch_wait(&w->done, random_deadline(&seed));
        CHECK(e == 0 || e == -ETIMEDOUT);
    }
    CHECK_EQ(motet_latch_wait(&w->done, MOTET_FOREVER), 0);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(w->parts[i], STEPS);
    return 0;
}

static int await_patiently(void *arg)
{
    struct work *w = arg;
    CHECK_EQ(motet_latch_wait(&w->done, MOTET_FOREVER), 0);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(w->parts[i], STEPS);
    return 0;
}

TEST(opens_when_all_is_done)
{
    struct work w = {0};
    motet_thread *worker[WORKERS], *waiting[WAITERS], *other = NULL;
    CHECK_EQ(motet_latch_init(&w.done, WORKERS * STEPS, 0), 0);
    start_all(waiting, WAITERS, await_patiently, &w);
    other = start(await_all, &w);
    start_all(worker, WORKERS, do_part, &w);
    CHECK_EQ(finish_all(worker, WORKERS, 0), WORKERS);
    CHECK_EQ(finish_all(waiting, WAITERS, 0), WAITERS);
    CHECK_EQ(finish(other), 0);
    CHECK_EQ(w.done.word_, 0);
}

static int count_down(void *l) { return motet_latch_count_down(l, 1); }

TEST(may_be_freed_by_the_waiter)
{
    for (int i = 0; i < 300; i++) {
        motet_latch *l = calloc(1, sizeof *l);
        CHECK_EQ(motet_latch_init(l, 1, 0), 0);
        motet_thread *t = start(count_down, l);
        CHECK_EQ(await(l), 0);
        free(l);
        CHECK_EQ(finish(t), 0);
    }
}
