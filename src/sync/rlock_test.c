/* SPDX-License-Identifier: MIT */
/* The recursive lock: codes, levels, owners, exclusion. */
#include "sync/test_threads.h"

#include "sync/sync.h"

TEST(codes)
{
    motet_rlock l = {0};
    CHECK_EQ(motet_rlock_init(NULL, 0), -EINVAL);
    CHECK_EQ(motet_rlock_init(&l, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_rlock_init(&l, MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_rlock_acquire(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_rlock_release(NULL), -EINVAL);
    CHECK(!motet_rlock_locked(NULL));
    CHECK_EQ(motet_rlock_release(&l), -EPERM);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(motet_rlock_acquire(&l, i % 2 ? MOTET_NOWAIT : MOTET_FOREVER), 0);
    for (int i = 0; i < 5; i++) {
        CHECK(motet_rlock_locked(&l));
        CHECK_EQ(motet_rlock_release(&l), 0);
    }
    CHECK(!motet_rlock_locked(&l));
    CHECK_EQ(motet_rlock_release(&l), -EPERM);
    CHECK_EQ(motet_rlock_acquire(&l, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_rlock_init(&l, 0), 0);
    CHECK(!motet_rlock_locked(&l));
}

TEST(levels_are_counted)
{
    motet_rlock l = {0};
    CHECK_EQ(motet_rlock_acquire(&l, MOTET_NOWAIT), 0);
    l.depth_ = UINT32_MAX - 1;
    CHECK_EQ(motet_rlock_acquire(&l, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_rlock_acquire(&l, MOTET_NOWAIT), -EOVERFLOW);
    CHECK_EQ(l.depth_, UINT32_MAX);
    CHECK_EQ(motet_rlock_release(&l), 0);
    CHECK_EQ(motet_rlock_acquire(&l, MOTET_NOWAIT), 0);
}

static int take(void *lock) { return motet_rlock_acquire(lock, MOTET_FOREVER); }

static int try_all(void *lock)
{
    motet_time deadline = motet_after(MOTET_MS);
    CHECK_EQ(motet_rlock_acquire(lock, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_rlock_acquire(lock, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(motet_rlock_release(lock), -EPERM);
    return 0;
}

TEST(belongs_to_one_thread)
{
    motet_rlock l = {0};
    CHECK_EQ(take(&l), 0);
    CHECK_EQ(take(&l), 0);
    CHECK_EQ(finish(start(try_all, &l)), 0);
    CHECK_EQ(interrupted(take, &l), -EINTR);
    CHECK_EQ(motet_rlock_release(&l), 0);
    motet_thread *t = start(take, &l);
    CHECK_EQ(motet_thread_cancel(t), 0); /* no cancellation point */
    UNTIL(SEEN(&l.lock_.word_) >= 2);
    CHECK_EQ(motet_rlock_release(&l), 0);
    CHECK_EQ(finish(t), 0);
    /* Its owner ended with it. A new thread is somebody else, whatever its address. */
    CHECK_EQ(finish(start(try_all, &l)), 0);
    CHECK_EQ(motet_rlock_release(&l), -EPERM);
    CHECK_EQ(in_forked_child(take, &l), -EPERM);
}

enum { THREADS = 4, ROUNDS = 3000 };

struct counted {
    motet_rlock lock;
    long count;
    uint32_t seed;
};

static int count_up(void *arg)
{
    struct counted *c = arg;
    uint32_t seed = atomic_add_relaxed(&c->seed, 1) + 11;
    for (int i = 0; i < ROUNDS; i++) {
        int depth = 1 + (int)random_below(&seed, 3);
        while (motet_rlock_acquire(&c->lock, i % 2 ? MOTET_FOREVER : random_deadline(&seed)) != 0) {}
        for (int d = 1; d < depth; d++)
            CHECK_EQ(motet_rlock_acquire(&c->lock, MOTET_NOWAIT), 0);
        c->count++;
        for (int d = 0; d < depth; d++)
            CHECK_EQ(motet_rlock_release(&c->lock), 0);
    }
    return 0;
}

TEST(excludes)
{
    struct counted c = {0};
    motet_thread *t[THREADS];
    start_all(t, THREADS, count_up, &c);
    CHECK_EQ(finish_all(t, THREADS, 0), THREADS);
    CHECK_EQ(c.count, THREADS * ROUNDS);
    CHECK(!motet_rlock_locked(&c.lock));
    CHECK_EQ(c.lock.owner_, 0);
}
