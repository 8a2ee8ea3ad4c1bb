/* SPDX-License-Identifier: MIT */
/* The semaphore: codes, bounds, and permits that are neither lost nor made up, whoever gives up waiting. */
#include "sync/test_threads.h"

#include "sync/sync.h"

#include <stdlib.h>

TEST(codes)
{
    motet_semaphore s = {0};
    CHECK_EQ(motet_semaphore_init(NULL, 1, 0), -EINVAL);
    CHECK_EQ(motet_semaphore_init(&s, 1, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_semaphore_init(&s, 1, MOTET_SHARED | MOTET_BOUNDED), -EFAULT);
    CHECK_EQ(motet_semaphore_init(&s, 1, 4), -EINVAL);
    CHECK_EQ(motet_semaphore_value(&s), 0);
    CHECK_EQ(motet_semaphore_acquire(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_semaphore_release(NULL, 1), -EINVAL);
    CHECK_EQ(motet_semaphore_value(NULL), 0);
    CHECK_EQ(motet_semaphore_acquire(&s, MOTET_NOWAIT), -ETIMEDOUT);
    motet_time deadline = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet_semaphore_acquire(&s, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(motet_semaphore_release(&s, 0), 0);
    CHECK_EQ(motet_semaphore_value(&s), 0);
    CHECK_EQ(motet_semaphore_release(&s, 2), 0);
    CHECK_EQ(motet_semaphore_acquire(&s, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_semaphore_acquire(&s, MOTET_FOREVER), 0);
    CHECK_EQ(motet_semaphore_acquire(&s, MOTET_NOWAIT), -ETIMEDOUT);
}

TEST(has_bounds)
{
    motet_semaphore s;
    CHECK_EQ(motet_semaphore_init(&s, UINT32_MAX - 1, 0), 0);
    CHECK_EQ(motet_semaphore_release(&s, 2), -EOVERFLOW);
    CHECK_EQ(motet_semaphore_value(&s), UINT32_MAX - 1);
    CHECK_EQ(motet_semaphore_release(&s, 1), 0);
    CHECK_EQ(motet_semaphore_release(&s, 1), -EOVERFLOW);
    CHECK_EQ(motet_semaphore_release(&s, UINT32_MAX), -EOVERFLOW);
    CHECK_EQ(motet_semaphore_value(&s), UINT32_MAX);

    CHECK_EQ(motet_semaphore_init(&s, 2, MOTET_BOUNDED), 0);
    CHECK_EQ(motet_semaphore_release(&s, 1), -EOVERFLOW);
    CHECK_EQ(motet_semaphore_acquire(&s, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_semaphore_release(&s, 2), -EOVERFLOW); /* all or none */
    CHECK_EQ(motet_semaphore_value(&s), 1);
    CHECK_EQ(motet_semaphore_release(&s, 1), 0);
    CHECK_EQ(motet_semaphore_value(&s), 2);
    CHECK_EQ(motet_semaphore_init(&s, 0, MOTET_BOUNDED), 0);
    CHECK_EQ(motet_semaphore_release(&s, 1), -EOVERFLOW);
    CHECK_EQ(motet_semaphore_release(&s, 0), 0);
}

static int take(void *s) { return motet_semaphore_acquire(s, MOTET_FOREVER); }

static uint32_t waiters(motet_semaphore *s) { return (uint32_t)(SEEN(&s->state_) >> 32); }

TEST(a_wait_can_be_ended)
{
    motet_semaphore s = {0};
    CHECK_EQ(cancelled(take, &s), -ECANCELED);
    CHECK_EQ(interrupted(take, &s), -EINTR);
    CHECK_EQ(in_forked_child(take, &s), -EPERM);
    CHECK_EQ(s.state_, 0);
    CHECK_EQ(motet_semaphore_release(&s, 1), 0);
    CHECK_EQ(cancelled(take, &s), 0);
    CHECK_EQ(s.state_, 0);
}

TEST(release_of_n_lets_n_through)
{
    motet_semaphore s = {0};
    motet_thread *t[8];
    start_all(t, 8, take, &s);
    UNTIL(waiters(&s) == 8);
    CHECK_EQ(motet_semaphore_release(&s, 3), 0);
    UNTIL(waiters(&s) == 5);
    CHECK_EQ(motet_semaphore_value(&s), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(motet_thread_cancel(t[i]), 0);
    int through = 0;
    for (int i = 0; i < 8; i++) {
        int e = finish(t[i]);
        CHECK(e == 0 || e == -ECANCELED);
        through += e == 0;
    }
    CHECK_EQ(through, 3);
    CHECK_EQ(s.state_, 0);
}

/* ---- conservation ---------------------------------------------------------------------------------- */

enum { TAKERS = 4, GIVERS = 2, PERMITS = 4000 };

struct pool {
    motet_semaphore s;
    uint32_t seed, stop;
};

/* Takes its share whatever happens to others. */
static int take_share(void *arg)
{
    struct pool *p = arg;
    for (int i = 0; i < PERMITS; i++)
        CHECK_EQ(motet_semaphore_acquire(&p->s, MOTET_FOREVER), 0);
    return 0;
}

/* Takes and gives back, and gives up often. */
static int disturb(void *arg)
{
    struct pool *p = arg;
    uint32_t seed = atomic_add_relaxed(&p->seed, 1) + 99;
    while (!SEEN(&p->stop)) {
        int e = motet_semaphore_acquire(&p->s, random_deadline(&seed));
        if (e == 0)
            CHECK_EQ(motet_semaphore_release(&p->s, 1), 0);
        else
            CHECK_EQ(e, -ETIMEDOUT);
    }
    return 0;
}

static int give_share(void *arg)
{
    struct pool *p = arg;
    uint32_t seed = atomic_add_relaxed(&p->seed, 1) + 7;
    for (uint32_t left = TAKERS * PERMITS / GIVERS; left;) {
        uint32_t n = 1 + random_below(&seed, 5);
        n = n > left ? left : n;
        CHECK_EQ(motet_semaphore_release(&p->s, n), 0);
        left -= n;
        if (n == 1)
            motet_yield();
    }
    return 0;
}

TEST(permits_are_conserved)
{
    struct pool p = {0};
    motet_thread *taker[TAKERS], *giver[GIVERS], *other[2];
    start_all(taker, TAKERS, take_share, &p);
    start_all(other, 2, disturb, &p);
    start_all(giver, GIVERS, give_share, &p);
    CHECK_EQ(finish_all(giver, GIVERS, 0), GIVERS);
    CHECK_EQ(finish_all(taker, TAKERS, 0), TAKERS);
    atomic_store_release(&p.stop, 1);
    CHECK_EQ(finish_all(other, 2, 0), 2);
    CHECK_EQ(p.s.state_, 0);
}

static int give_one(void *s) { return motet_semaphore_release(s, 1); }

TEST(may_be_freed_by_who_was_let_through)
{
    for (int i = 0; i < 300; i++) {
        motet_semaphore *s = calloc(1, sizeof *s);
        motet_thread *t = start(give_one, s);
        CHECK_EQ(take(s), 0);
        free(s);
        CHECK_EQ(finish(t), 0);
    }
}
