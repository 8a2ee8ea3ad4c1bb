/* SPDX-License-Identifier: MIT */
/* Shared locks, of both kinds: counters that only mutual exclusion keeps right, and holders and waiters that are killed, stopped,
 * or leave. */
#include "sync/test_shared.h"

#include "base/panic.h"

enum { KIN = 3, ROUNDS = 2000 };

static int take(void *l, motet_time deadline) { return motet_lock_acquire(l, deadline); }
static int give(void *l, motet_time deadline) { return motet_lock_release(l); }
static int take_r(void *l, motet_time deadline) { return motet_rlock_acquire(l, deadline); }
static int give_r(void *l, motet_time deadline) { return motet_rlock_release(l); }
static int take_for_ever(void *l) { return motet_lock_acquire(l, MOTET_FOREVER); }
static int take_r_for_ever(void *l) { return motet_rlock_acquire(l, MOTET_FOREVER); }

static motet_lock *new_lock(void)
{
    motet_lock *l = shared(sizeof *l);
    CHECK_EQ(motet_lock_init(l, MOTET_SHARED), 0);
    return l;
}

static motet_rlock *new_rlock(void)
{
    motet_rlock *l = shared(sizeof *l);
    CHECK_EQ(motet_rlock_init(l, MOTET_SHARED), 0);
    return l;
}

TEST(codes)
{
    motet_lock outside = {0};
    CHECK_EQ(motet_lock_init(&outside, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_lock_init(NULL, MOTET_SHARED), -EINVAL);
    motet_lock *l = new_lock();
    CHECK_EQ(motet_lock_init(l, MOTET_SHARED | MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_lock_init(&outside, MOTET_SHARED), -EFAULT);
    CHECK(!motet_lock_locked(l));
    CHECK_EQ(motet_lock_release(l), -EPERM);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), 0);
    CHECK(motet_lock_locked(l));
    times_out(take, l);
    CHECK_EQ(interrupted(take_for_ever, l), -EINTR);
    CHECK_EQ(motet_lock_release(l), 0);
    CHECK_EQ(motet_lock_release(l), -EPERM);
    CHECK_EQ(motet_lock_acquire(l, MOTET_FOREVER), 0);
    CHECK_EQ(motet_lock_init(l, MOTET_SHARED), 0);
    CHECK(!motet_lock_locked(l));
}

static uint32_t timed_out;

static int take_though_cancelled(void *l)
{
    while (!motet_cancelled())
        motet_yield();
    CHECK_EQ(motet_lock_acquire(l, motet_after(MOTET_MS)), -ETIMEDOUT);
    atomic_store_release(&timed_out, 1);
    return motet_lock_acquire(l, MOTET_FOREVER);
}

TEST(is_no_cancellation_point)
{
    motet_lock *l = new_lock();
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), 0);
    motet_thread *t = start(take_though_cancelled, l);
    CHECK_EQ(motet_thread_cancel(t), 0);
    UNTIL(SEEN(&timed_out));
    CHECK_EQ(motet_lock_release(l), 0);
    CHECK_EQ(finish(t), 0);
}

TEST(anyone_lets_go)
{
    motet_lock *l = new_lock();
    peer *p = peer_start();
    CHECK_EQ(peer_do(p, take, l, MOTET_NOWAIT), 0);
    CHECK(motet_lock_locked(l));
    CHECK_EQ(motet_lock_release(l), 0);
    CHECK_EQ(peer_do(p, give, l, 0), -EPERM);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(p, take, l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(peer_do(p, give, l, 0), 0);
    peer_end(p);
}

/* ---- counting -------------------------------------------------------------------------------------- */

typedef struct counted {
    motet_lock lock;
    motet_rlock rlock;
    unsigned inside, total; /* guarded by lock; plain */
} counted;

static int count(void *arg)
{
    counted *c = arg;
    uint32_t seed = (uint32_t)getpid() | 1;
    for (int i = 0; i < ROUNDS; i++) {
        bool again = random_below(&seed, 2);
        int e = random_below(&seed, 8) ? motet_lock_acquire(&c->lock, MOTET_FOREVER)
                                       : motet_lock_acquire(&c->lock, random_deadline(&seed));
        if (e == -ETIMEDOUT) {
            i--;
            continue;
        }
        CHECK_EQ(e, 0);
        CHECK_EQ(c->inside++, 0);
        c->total++;
        if (again)
            motet_yield();
        c->inside--;
        CHECK_EQ(motet_lock_release(&c->lock), 0);
    }
    return 0;
}

static int count_on_threads(void *arg)
{
    motet__family_enter();
    motet_thread *t[2];
    start_all(t, 2, count, arg);
    return finish_all(t, 2, 0) == 2 ? 0 : 1;
}

TEST(one_at_a_time)
{
    counted *c = shared(sizeof *c);
    CHECK_EQ(motet_lock_init(&c->lock, MOTET_SHARED), 0);
    kin k[KIN];
    kin_start_all(k, KIN, count, c);
    CHECK_EQ(count_on_threads(c), 0);
    kin_bury_all(k, KIN);
    CHECK_EQ(c->total, (KIN + 2) * ROUNDS);
    CHECK(!motet_lock_locked(&c->lock));
}

static int count_r(void *arg)
{
    counted *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        unsigned depth = 1 + (unsigned)i % 3;
        for (unsigned d = 0; d < depth; d++)
            CHECK_EQ(motet_rlock_acquire(&c->rlock, MOTET_FOREVER), 0);
        CHECK_EQ(c->inside++, 0);
        c->total++;
        c->inside--;
        for (unsigned d = 0; d < depth; d++)
            CHECK_EQ(motet_rlock_release(&c->rlock), 0);
        CHECK_EQ(motet_rlock_release(&c->rlock), -EPERM);
    }
    return 0;
}

TEST(one_at_a_time_again_and_again)
{
    counted *c = shared(sizeof *c);
    CHECK_EQ(motet_rlock_init(&c->rlock, MOTET_SHARED), 0);
    kin k[KIN];
    kin_start_all(k, KIN, count_r, c);
    motet_thread *t = start(count_r, c);
    CHECK_EQ(count_r(c), 0);
    CHECK_EQ(finish(t), 0);
    kin_bury_all(k, KIN);
    CHECK_EQ(c->total, (KIN + 2) * ROUNDS);
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

TEST(a_dead_holder_is_followed)
{
    motet_lock *l = new_lock();
    peer *a = peer_start(), *b = peer_start();
    CHECK_EQ(peer_do(a, take, l, MOTET_NOWAIT), 0);
    peer_ask_and_sleep(b, take, l);
    peer_kill(a);
    CHECK_EQ(peer_answer(b), MOTET_RECOVERED);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(peer_do(b, give, l, 0), 0);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_lock_release(l), 0);
    CHECK_EQ(peer_do(b, take, l, MOTET_NOWAIT), 0);
    peer_kill(b);
    CHECK(motet_lock_locked(l));
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), MOTET_RECOVERED);
    CHECK_EQ(motet_lock_release(l), 0);
}

TEST(who_lets_go_of_a_dead_ones_lock_does_not_hide_the_death)
{
    motet_lock *l = new_lock();
    peer *p = peer_start();
    CHECK_EQ(peer_do(p, take, l, MOTET_NOWAIT), 0);
    peer_kill(p);
    CHECK_EQ(motet_lock_release(l), 0);
    CHECK(!motet_lock_locked(l));
    CHECK_EQ(motet_lock_release(l), -EPERM);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), MOTET_RECOVERED);
    CHECK_EQ(motet_lock_release(l), 0);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), 0);
}

TEST(one_that_is_stopped_is_not_robbed)
{
    motet_lock *l = new_lock();
    peer *p = peer_start(), *other = peer_start();
    CHECK_EQ(peer_do(p, take, l, MOTET_NOWAIT), 0);
    kin_stop(p->kin);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_lock_acquire(l, motet_after(5 * MOTET_MS)), -ETIMEDOUT);
    peer_kill(other); /* somebody else's death is not its own */
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), -ETIMEDOUT);
    peer_continue(p);
    CHECK_EQ(peer_do(p, give, l, 0), 0);
    CHECK_EQ(motet_lock_acquire(l, MOTET_NOWAIT), 0);
    peer_end(p);
}

/* Waiters are killed or stopped at about the moment when they are woken: the last one gets the lock all the same. */
TEST(no_wake_dies_with_a_waiter)
{
    motet_lock *l = new_lock();
    for (int round = 0; round < 20; round++) {
        peer *a = peer_start(), *b = peer_start();
        CHECK_EQ(motet_lock_acquire(l, MOTET_FOREVER), 0);
        peer_ask_and_sleep(a, take, l);
        peer_ask_and_sleep(b, take, l);
        if (round % 4 == 0)
            kin_stop(a->kin);
        if (round % 2) {
            CHECK_EQ(kill(a->kin.pid, SIGKILL), 0);
            CHECK_EQ(motet_lock_release(l), 0);
            CHECK_EQ(kin_bury(a->kin), -SIGKILL);
        } else {
            CHECK_EQ(motet_lock_release(l), 0);
            CHECK_EQ(kill(a->kin.pid, SIGKILL), 0);
            CHECK_EQ(kin_bury(a->kin), -SIGKILL);
        }
        int e = peer_answer(b);
        CHECK(e == 0 || e == MOTET_RECOVERED);
        CHECK_EQ(peer_do(b, give, l, 0), 0);
        peer_end(b);
    }
    CHECK(!motet_lock_locked(l));
}

/* A woken waiter stands still: the others find the free lock by themselves. */
TEST(one_that_was_woken_and_stopped_keeps_nobody_from_the_lock)
{
    motet_lock *l = new_lock();
    peer *a = peer_start(), *b = peer_start();
    CHECK_EQ(motet_lock_acquire(l, MOTET_FOREVER), 0);
    peer_ask_and_sleep(a, take, l);
    peer_ask_and_sleep(b, take, l);
    kin_stop(a->kin);
    CHECK_EQ(motet_lock_release(l), 0);
    CHECK_EQ(peer_answer(b), 0);
    CHECK_EQ(peer_do(b, give, l, 0), 0);
    peer_continue(a);
    CHECK_EQ(peer_answer(a), 0);
    CHECK_EQ(peer_do(a, give, l, 0), 0);
    peer_end(a);
    peer_end(b);
}

struct recovered {
    motet_lock lock;
    uint32_t told, begun;
};

static int races(void *arg)
{
    struct recovered *r = arg;
    atomic_add_seq_cst(&r->begun, 1);
    int e = motet_lock_acquire(&r->lock, MOTET_FOREVER);
    if (e == MOTET_RECOVERED)
        atomic_add_seq_cst(&r->told, 1);
    return e < 0 || motet_lock_release(&r->lock) != 0;
}

TEST(one_of_many_hears_of_the_death)
{
    struct recovered *r = shared(sizeof *r);
    for (int round = 0; round < 10; round++) {
        CHECK_EQ(motet_lock_init(&r->lock, MOTET_SHARED), 0);
        peer *p = peer_start();
        CHECK_EQ(peer_do(p, take, &r->lock, MOTET_NOWAIT), 0);
        r->told = r->begun = 0;
        kin k[KIN];
        kin_start_all(k, KIN, races, r);
        AWAIT(SEEN(&r->begun) >= (uint32_t)(round % (KIN + 1)));
        peer_kill(p);
        kin_bury_all(k, KIN);
        CHECK_EQ(r->told, 1);
    }
}

/* ---- recursive ------------------------------------------------------------------------------------- */

TEST(rlock_codes)
{
    motet_rlock outside = {0};
    CHECK_EQ(motet_rlock_init(&outside, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_rlock_init(NULL, MOTET_SHARED), -EINVAL);
    motet_rlock *l = new_rlock();
    CHECK(!motet_rlock_locked(l));
    CHECK_EQ(motet_rlock_release(l), -EPERM);
    CHECK_EQ(motet_rlock_acquire(l, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_rlock_acquire(l, MOTET_NOWAIT), 0);
    CHECK(motet_rlock_locked(l));
    CHECK_EQ(interrupted(take_r_for_ever, l), -EINTR);
    peer *p = peer_start();
    CHECK_EQ(peer_do(p, take_r, l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(peer_do(p, give_r, l, 0), -EPERM);
    CHECK_EQ(motet_rlock_release(l), 0);
    CHECK_EQ(peer_do(p, take_r, l, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(motet_rlock_release(l), 0);
    CHECK_EQ(peer_do(p, take_r, l, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_rlock_release(l), -EPERM);
    l->depth_ = UINT32_MAX;
    CHECK_EQ(peer_do(p, take_r, l, MOTET_NOWAIT), -EOVERFLOW);
    peer_end(p);
}

/* A fork copies the number of the thread: with the tag of its process it is another's nevertheless. */
TEST(an_owner_in_another_process_is_another)
{
    motet_rlock *l = new_rlock();
    CHECK_EQ(motet_rlock_acquire(l, MOTET_NOWAIT), 0);
    peer *p = peer_start();
    CHECK_EQ(peer_do(p, give_r, l, 0), -EPERM);
    CHECK_EQ(motet_rlock_release(l), 0);
    peer_end(p);
}

TEST(rlock_of_a_dead_owner)
{
    motet_rlock *l = new_rlock();
    peer *p = peer_start();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(peer_do(p, take_r, l, MOTET_NOWAIT), 0);
    peer_kill(p);
    CHECK_EQ(motet_rlock_acquire(l, MOTET_FOREVER), MOTET_RECOVERED);
    CHECK_EQ(motet_rlock_acquire(l, MOTET_FOREVER), 0);
    CHECK_EQ(motet_rlock_release(l), 0);
    CHECK_EQ(motet_rlock_release(l), 0);
    CHECK_EQ(motet_rlock_release(l), -EPERM);
    CHECK(!motet_rlock_locked(l));
}

/* ---- who is no member ------------------------------------------------------------------------------ */

static int use_both(void *arg)
{
    counted *c = arg;
    int e = motet_lock_acquire(&c->lock, MOTET_FOREVER);
    int r = motet_lock_release(&c->lock);
    int f = motet_rlock_acquire(&c->rlock, MOTET_FOREVER);
    int g = motet_rlock_release(&c->rlock);
    int h = motet_lock_init(&c->lock, MOTET_SHARED);
    return e == r && r == f && f == g && g == h ? e : -1000;
}

TEST(strangers)
{
    counted *c = shared(sizeof *c);
    CHECK_EQ(motet_lock_init(&c->lock, MOTET_SHARED), 0);
    CHECK_EQ(motet_rlock_init(&c->rlock, MOTET_SHARED), 0);
    CHECK_EQ(motet_lock_acquire(&c->lock, MOTET_NOWAIT), 0);
    CHECK_EQ(in_forked_child(use_both, c), -EPERM);
    CHECK(motet_lock_locked(&c->lock));
    CHECK_EQ(motet_lock_release(&c->lock), 0);
}
