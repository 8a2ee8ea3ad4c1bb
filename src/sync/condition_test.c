/* SPDX-License-Identifier: MIT */
/* The condition: codes, exact counts of wakes, the lock held again after every kind of end. */
#include "sync/test_threads.h"

#include "sync/sync.h"

enum { MANY = 8 };

struct place {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition news;
    int waiting, woken; /* under the lock */
    uint32_t stop, seed;
    long wakes;
};

TEST(codes)
{
    struct place p = {0};
    motet_condition *c = &p.news;
    CHECK_EQ(motet_condition_init(NULL, 0), -EINVAL);
    CHECK_EQ(motet_condition_init(c, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_condition_init(c, MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_condition_init(c, 0), 0);
    CHECK_EQ(motet_condition_wait(NULL, &p.lock, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait(c, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait(c, &p.lock, MOTET_NOWAIT), -EPERM);
    CHECK_EQ(motet_condition_wait_r(NULL, &p.rlock, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_r(c, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_r(c, &p.rlock, MOTET_NOWAIT), -EPERM);
    CHECK_EQ(motet_condition_notify(NULL, 1), -EINVAL);
    CHECK_EQ(motet_condition_notify_all(NULL), -EINVAL);
    CHECK_EQ(motet_condition_notify(c, 0), 0);
    CHECK_EQ(motet_condition_notify(c, 5), 0); /* nobody waits: it is not remembered */
    CHECK_EQ(motet_condition_notify_all(c), 0);
    CHECK_EQ(motet_lock_acquire(&p.lock, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_condition_wait(c, &p.lock, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(motet_lock_locked(&p.lock));
    motet_time deadline = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet_condition_wait(c, &p.lock, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
    CHECK_EQ(motet_lock_release(&p.lock), 0);
}

/* ---- exact counts ---------------------------------------------------------------------------------- */

static int await_news(void *arg)
{
    struct place *p = arg;
    CHECK_EQ(motet_lock_acquire(&p->lock, MOTET_FOREVER), 0);
    p->waiting++;
    int e = motet_condition_wait(&p->news, &p->lock, MOTET_FOREVER);
    CHECK(motet_lock_locked(&p->lock));
    p->woken += e == 0;
    CHECK_EQ(motet_lock_release(&p->lock), 0);
    return e;
}

/* When this returns, n threads stand in the condition's queue. */
static void await_waiters(struct place *p, int n)
{
    for (int waiting = 0; waiting < n; motet_yield()) {
        CHECK_EQ(motet_lock_acquire(&p->lock, MOTET_FOREVER), 0);
        waiting = p->waiting;
        CHECK_EQ(motet_lock_release(&p->lock), 0);
    }
}

static int woken_by(unsigned n, bool under_lock)
{
    struct place p = {0};
    motet_thread *t[MANY];
    start_all(t, MANY, await_news, &p);
    await_waiters(&p, MANY);
    if (under_lock)
        CHECK_EQ(motet_lock_acquire(&p.lock, MOTET_FOREVER), 0);
    CHECK_EQ(motet_condition_notify(&p.news, n), 0);
    if (under_lock)
        CHECK_EQ(motet_lock_release(&p.lock), 0);
    /* The others end by this, and one that was notified keeps that. */
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(motet_thread_cancel(t[i]), 0);
    int woken = 0;
    for (int i = 0; i < MANY; i++) {
        int e = finish(t[i]);
        CHECK(e == 0 || e == -ECANCELED);
        woken += e == 0;
    }
    CHECK_EQ(p.woken, woken);
    return woken;
}

TEST(notify_wakes_exactly_n)
{
    for (unsigned n = 0; n <= MANY + 1; n++)
        CHECK_EQ(woken_by(n, n % 2), n < MANY ? n : MANY);
    CHECK_EQ(woken_by(UINT32_MAX, false), MANY);
}

TEST(notify_all_wakes_all)
{
    struct place p = {0};
    motet_thread *t[MANY];
    start_all(t, MANY, await_news, &p);
    await_waiters(&p, MANY);
    CHECK_EQ(motet_condition_notify_all(&p.news), 0);
    CHECK_EQ(finish_all(t, MANY, 0), MANY);
}

/* Who wakes by an address that was another object's, and comes late, notifies nobody. */
TEST(a_hint_is_no_notify)
{
    struct place p = {0};
    motet_thread *t[1];
    start_all(t, 1, await_news, &p);
    await_waiters(&p, 1);
    CHECK_EQ(motet__unpark(&p.news, UNPARK_ALL), 0);
    CHECK_EQ(motet__unpark(&p.lock, UNPARK_ALL), 0);
    CHECK_EQ(motet_condition_notify(&p.news, 1), 0);
    CHECK_EQ(finish(t[0]), 0);
    CHECK_EQ(p.woken, 1);
}

static int await_impatiently(void *arg)
{
    struct place *p = arg;
    uint32_t seed = atomic_add_relaxed(&p->seed, 1) + 5;
    int woken = 0;
    CHECK_EQ(motet_lock_acquire(&p->lock, MOTET_FOREVER), 0);
    while (!SEEN(&p->stop)) {
        int e = motet_condition_wait(&p->news, &p->lock, random_deadline(&seed));
        CHECK(e == 0 || e == -ETIMEDOUT);
        woken += e == 0;
        p->wakes += e == 0;
    }
    CHECK_EQ(motet_lock_release(&p->lock), 0);
    return woken;
}

/* As many returns of 0 as notifies that found somebody, though the deadlines come in between. */
TEST(a_timed_out_waiter_swallows_no_notify)
{
    struct place p = {0};
    motet_thread *t[4];
    long given = 0, taken = 0;
    start_all(t, 4, await_impatiently, &p);
    for (int i = 0; i < 20000 || given < 100; i++)
        given += motet__unpark(message_key(&p.news, 1), 1);
    atomic_store_release(&p.stop, 1);
    for (int i = 0; i < 4; i++)
        taken += finish(t[i]);
    CHECK_EQ(taken, given);
    CHECK_EQ(p.wakes, given);
}

/* ---- other ends ------------------------------------------------------------------------------------ */

static int wait_once(void *arg)
{
    struct place *p = arg;
    CHECK_EQ(motet_lock_acquire(&p->lock, MOTET_FOREVER), 0);
    int e = motet_condition_wait(&p->news, &p->lock, MOTET_FOREVER);
    CHECK(motet_lock_locked(&p->lock));
    p->woken++;
    CHECK_EQ(motet_lock_release(&p->lock), 0);
    return e;
}

static int wait_in_child(void *arg)
{
    struct place *p = arg;
    int e = motet_condition_wait(&p->news, &p->lock, MOTET_FOREVER);
    return motet_lock_locked(&p->lock) ? e : -1;
}

TEST(a_wait_can_be_ended)
{
    struct place p = {0};
    CHECK_EQ(cancelled(wait_once, &p), -ECANCELED);
    CHECK_EQ(interrupted(wait_once, &p), -EINTR);
    CHECK_EQ(p.woken, 2);
    CHECK_EQ(motet_lock_acquire(&p.lock, MOTET_NOWAIT), 0);
    CHECK_EQ(in_forked_child(wait_in_child, &p), -EPERM);
}

static int wait_nested(void *arg)
{
    struct place *p = arg;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(motet_rlock_acquire(&p->rlock, MOTET_FOREVER), 0);
    p->waiting = 1;
    int e = motet_condition_wait_r(&p->news, &p->rlock, MOTET_FOREVER);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(motet_rlock_release(&p->rlock), 0);
    CHECK_EQ(motet_rlock_release(&p->rlock), -EPERM);
    return e;
}

static void await_nested(struct place *p)
{
    for (bool waiting = false; !waiting; motet_yield()) {
        CHECK_EQ(motet_rlock_acquire(&p->rlock, MOTET_FOREVER), 0);
        waiting = p->waiting;
        CHECK_EQ(motet_rlock_release(&p->rlock), 0);
    }
}

TEST(an_rlock_keeps_its_levels)
{
    struct place p = {0};
    motet_thread *t = start(wait_nested, &p);
    await_nested(&p);
    CHECK(!motet_rlock_locked(&p.rlock));
    CHECK_EQ(motet_rlock_acquire(&p.rlock, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_condition_notify(&p.news, 1), 0);
    CHECK_EQ(motet_rlock_release(&p.rlock), 0);
    CHECK_EQ(finish(t), 0);
    CHECK_EQ(cancelled(wait_nested, &p), -ECANCELED);
    CHECK_EQ(motet_rlock_acquire(&p.rlock, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_condition_wait_r(&p.news, &p.rlock, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_rlock_release(&p.rlock), 0);
}

/* ---- wait_for -------------------------------------------------------------------------------------- */

struct test_of {
    struct place *place;
    int calls, true_at; /* true from this call on */
};

static bool holds(void *arg)
{
    struct test_of *t = arg;
    CHECK(motet_lock_locked(&t->place->lock));
    return ++t->calls >= t->true_at;
}

static int wait_for_nothing(void *arg)
{
    struct place *p = arg;
    struct test_of never = {p, 0, 1 << 30};
    CHECK_EQ(motet_lock_acquire(&p->lock, MOTET_FOREVER), 0);
    int e = motet_condition_wait_for(&p->news, &p->lock, holds, &never, MOTET_FOREVER);
    CHECK_EQ(motet_lock_release(&p->lock), 0);
    return e;
}

TEST(wait_for)
{
    struct place p = {0};
    struct test_of first = {&p, 0, 1}, second = {&p, 0, 2}, third = {&p, 0, 3};
    CHECK_EQ(motet_condition_wait_for(NULL, &p.lock, holds, &first, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_for(&p.news, NULL, holds, &first, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_for(&p.news, &p.lock, NULL, &first, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_for(&p.news, &p.lock, holds, &first, MOTET_NOWAIT), -EPERM);
    CHECK_EQ(first.calls, 0);
    CHECK_EQ(motet_lock_acquire(&p.lock, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_condition_wait_for(&p.news, &p.lock, holds, &first, MOTET_NOWAIT), 0);
    CHECK_EQ(first.calls, 1);
    /* At the deadline its last value decides. */
    CHECK_EQ(motet_condition_wait_for(&p.news, &p.lock, holds, &second, MOTET_NOWAIT), 0);
    CHECK_EQ(second.calls, 2);
    CHECK_EQ(motet_condition_wait_for(&p.news, &p.lock, holds, &third, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(third.calls, 2);
    CHECK_EQ(motet_lock_release(&p.lock), 0);
    CHECK_EQ(cancelled(wait_for_nothing, &p), -ECANCELED);
    CHECK_EQ(interrupted(wait_for_nothing, &p), -EINTR);
    CHECK(!motet_lock_locked(&p.lock));
}

struct slot {
    struct place place;
    motet_condition emptied, filled;
    int item; /* 0: none */
    long sum;
};

static bool is_empty(void *slot) { return !((struct slot *)slot)->item; }

static bool is_full(void *slot) { return ((struct slot *)slot)->item; }

enum { ITEMS = 2000, PAIRS = 3 };

static int fill(void *arg)
{
    struct slot *s = arg;
    for (int i = 1; i <= ITEMS; i++) {
        motet_lock_acquire(&s->place.lock, MOTET_FOREVER);
        CHECK_EQ(motet_condition_wait_for(&s->emptied, &s->place.lock, is_empty, s, MOTET_FOREVER), 0);
        s->item = i;
        motet_condition_notify(&s->filled, 1);
        motet_lock_release(&s->place.lock);
    }
    return 0;
}

static int empty(void *arg)
{
    struct slot *s = arg;
    for (int i = 1; i <= ITEMS; i++) {
        motet_lock_acquire(&s->place.lock, MOTET_FOREVER);
        CHECK_EQ(motet_condition_wait_for(&s->filled, &s->place.lock, is_full, s, MOTET_FOREVER), 0);
        s->sum += s->item;
        s->item = 0;
        motet_lock_release(&s->place.lock);
        motet_condition_notify(&s->emptied, 1); /* without the lock */
    }
    return 0;
}

TEST(items_go_through_a_slot)
{
    struct slot s = {0};
    motet_thread *from[PAIRS], *to[PAIRS];
    start_all(to, PAIRS, empty, &s);
    start_all(from, PAIRS, fill, &s);
    CHECK_EQ(finish_all(from, PAIRS, 0), PAIRS);
    CHECK_EQ(finish_all(to, PAIRS, 0), PAIRS);
    CHECK_EQ(s.sum, (long)PAIRS * ITEMS * (ITEMS + 1) / 2);
}
