/* SPDX-License-Identifier: MIT */
/* The condition between processes: each notify chooses one waiter, and none is lost with a waiter that dies. */
#include "sync/test_shared.h"

typedef struct place {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition c;
    int items; /* guarded by the lock */
} place;

static place *new_place(void)
{
    place *p = shared(sizeof *p);
    CHECK_EQ(motet_lock_init(&p->lock, MOTET_SHARED), 0);
    CHECK_EQ(motet_rlock_init(&p->rlock, MOTET_SHARED), 0);
    CHECK_EQ(motet_condition_init(&p->c, MOTET_SHARED), 0);
    return p;
}

/* Waits once, and checks that the lock was held in the end. */
static int wait_once(void *arg, motet_time deadline)
{
    place *p = arg;
    int e = motet_lock_acquire(&p->lock, MOTET_FOREVER);
    if (e < 0)
        return e;
    e = motet_condition_wait(&p->c, &p->lock, deadline);
    return motet_lock_release(&p->lock) == 0 ? e : -EDOM;
}

static int wait_recursive(void *arg, motet_time deadline)
{
    place *p = arg;
    for (int i = 0; i < 3; i++)
        if (motet_rlock_acquire(&p->rlock, MOTET_FOREVER) < 0)
            return -EDOM;
    int e = motet_condition_wait_r(&p->c, &p->rlock, deadline);
    for (int i = 0; i < 3; i++)
        if (motet_rlock_release(&p->rlock) != 0)
            return -EDOM;
    return motet_rlock_release(&p->rlock) == -EPERM ? e : -EDOM;
}

static int notify(void *arg, motet_time n) { return motet_condition_notify(&((place *)arg)->c, (unsigned)n); }

static int hold(void *arg, motet_time deadline) { return motet_lock_acquire(&((place *)arg)->lock, deadline); }

static bool never(void *arg) { return false; }

static bool has_items(void *arg) { return ((place *)arg)->items > 0; }

static int wait_for_items(void *arg, motet_time deadline)
{
    place *p = arg;
    int e = motet_lock_acquire(&p->lock, MOTET_FOREVER);
    if (e < 0)
        return e;
    e = motet_condition_wait_for(&p->c, &p->lock, has_items, p, deadline);
    p->items -= e == 0;
    return motet_lock_release(&p->lock) == 0 ? e : -EDOM;
}

TEST(codes)
{
    motet_condition outside = {0};
    motet_lock own = {0};
    motet_rlock own_r = {0};
    CHECK_EQ(motet_condition_init(&outside, MOTET_SHARED), -EFAULT);
    place *p = new_place();
    CHECK_EQ(motet_condition_init(&p->c, MOTET_SHARED | MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_condition_wait(&p->c, &p->lock, MOTET_NOWAIT), -EPERM);
    CHECK_EQ(motet_condition_wait_r(&p->c, &p->rlock, MOTET_NOWAIT), -EPERM);
    CHECK_EQ(motet_condition_wait_for(&p->c, &p->lock, never, NULL, MOTET_NOWAIT), -EPERM);
    CHECK_EQ(motet_lock_acquire(&p->lock, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_lock_acquire(&own, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_rlock_acquire(&own_r, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_condition_wait(&p->c, &own, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_r(&p->c, &own_r, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait(&outside, &p->lock, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_for(&outside, &p->lock, never, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait_for(&p->c, &p->lock, NULL, NULL, MOTET_NOWAIT), -EINVAL);
    CHECK_EQ(motet_condition_wait(&p->c, &p->lock, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(motet_lock_locked(&p->lock));
    motet_time until = motet_after(MOTET_MS);
    CHECK_EQ(motet_condition_wait(&p->c, &p->lock, until), -ETIMEDOUT);
    CHECK_GE(motet_now(), until);
    CHECK_EQ(motet_condition_wait_for(&p->c, &p->lock, never, NULL, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(motet_lock_release(&p->lock), 0);
    CHECK_EQ(wait_recursive(p, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(notify(p, 1), 0);
    CHECK_EQ(motet_condition_notify_all(&p->c), 0);
    CHECK_EQ(records_left(&p->c), 0);
}

static int wait_for_ever(void *arg) { return wait_once(arg, MOTET_FOREVER); }

TEST(a_wait_can_be_ended)
{
    place *p = new_place();
    CHECK_EQ(interrupted(wait_for_ever, p), -EINTR);
    CHECK_EQ(cancelled(wait_for_ever, p), -ECANCELED);
    CHECK(!motet_lock_locked(&p->lock));
    CHECK_EQ(records_left(&p->c), 0);
}

static void ask_and_wait(peer *w, place *p, peer_fn *fn)
{
    unsigned before = records_of(&p->c, RECORD_CONDITION);
    peer_ask(w, fn, p, MOTET_FOREVER);
    AWAIT(records_of(&p->c, RECORD_CONDITION) > before);
}

/* n that wait, the first of them longest. */
static place *place_with_waiters(peer **w, int n)
{
    place *p = new_place();
    for (int i = 0; i < n; i++)
        ask_and_wait(w[i] = peer_start(), p, wait_once);
    return p;
}

TEST(notify_wakes_as_many_oldest_first)
{
    peer *w[4];
    place *p = place_with_waiters(w, 2);
    ask_and_wait(w[2] = peer_start(), p, wait_recursive);
    ask_and_wait(w[3] = peer_start(), p, wait_once);
    CHECK_EQ(notify(p, 0), 0);
    CHECK_EQ(notify(p, 1), 0);
    CHECK_EQ(peer_answer(w[0]), 0);
    CHECK_EQ(records_of(&p->c, RECORD_CONDITION), 3);
    CHECK_EQ(notify(p, 2), 0);
    CHECK_EQ(peer_answer(w[1]), 0);
    CHECK_EQ(peer_answer(w[2]), 0);
    CHECK(peer_is_busy(w[3]));
    CHECK_EQ(motet_condition_notify_all(&p->c), 0);
    CHECK_EQ(peer_answer(w[3]), 0);
    /* A notify that nobody waited for is gone. */
    CHECK_EQ(peer_do(w[0], wait_once, p, motet_after(MOTET_MS)), -ETIMEDOUT);
    peer_end_all(w, 4);
    CHECK_EQ(records_left(&p->c), 0);
}

TEST(many_are_woken_at_once)
{
    place *p = new_place();
    enum { MANY = SHARED_WAKES + 5 };
    motet_thread *t[MANY];
    start_all(t, MANY, wait_for_ever, p);
    AWAIT(records_of(&p->c, RECORD_CONDITION) == MANY);
    CHECK_EQ(notify(p, MANY), 0);
    CHECK_EQ(finish_all(t, MANY, 0), MANY);
    CHECK_EQ(records_left(&p->c), 0);
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

/* It was chosen, and stopped before it could return. */
TEST(a_dead_waiter_swallows_no_notify)
{
    peer *w[3];
    place *p = place_with_waiters(w, 3);
    peer_stop(w[0], &p->c, &p->lock);
    CHECK_EQ(notify(p, 1), 0);
    peer_kill(w[0]);
    CHECK_EQ(peer_answer(w[1]), 0);
    CHECK(peer_is_busy(w[2]));
    CHECK_EQ(notify(p, 1), 0);
    CHECK_EQ(peer_answer(w[2]), 0);
    peer_end(w[1]);
    peer_end(w[2]);
    CHECK_EQ(records_left(&p->c), 0);
}

/* Two of three were chosen and die: the third gets one of their notifies, and the other is gone. */
TEST(notifies_of_the_dead_are_given_once)
{
    peer *w[3];
    place *p = place_with_waiters(w, 3);
    peer_stop(w[0], &p->c, &p->lock);
    peer_stop(w[1], &p->c, &p->lock);
    CHECK_EQ(notify(p, 2), 0);
    peer_kill(w[0]);
    CHECK_EQ(peer_answer(w[2]), 0);
    peer_kill(w[1]);
    ask_and_wait(w[2], p, wait_once);
    CHECK(peer_is_busy(w[2]));
    CHECK_EQ(notify(p, 1), 0);
    CHECK_EQ(peer_answer(w[2]), 0);
    peer_end(w[2]);
}

TEST(a_dead_waiter_that_was_not_chosen_is_passed_over)
{
    peer *w[2];
    place *p = place_with_waiters(w, 2);
    peer_kill(w[0]);
    CHECK(peer_is_busy(w[1]));
    CHECK_EQ(notify(p, 1), 0);
    CHECK_EQ(peer_answer(w[1]), 0);
    peer_end(w[1]);
}

/* Who held the lock dies while a notified waiter is about to have it again. */
TEST(the_lock_comes_back_recovered)
{
    place *p = new_place();
    peer *w = peer_start(), *holder = peer_start(), *for_items = peer_start();
    ask_and_wait(w, p, wait_once);
    CHECK_EQ(peer_do(holder, hold, p, MOTET_FOREVER), 0);
    CHECK_EQ(notify(p, 1), 0);
    CHECK(peer_is_busy(w));
    peer_kill(holder);
    CHECK_EQ(peer_answer(w), MOTET_RECOVERED);
    CHECK(!motet_lock_locked(&p->lock));

    holder = peer_start();
    ask_and_wait(for_items, p, wait_for_items);
    CHECK_EQ(peer_do(holder, hold, p, MOTET_FOREVER), 0);
    CHECK_EQ(notify(p, 1), 0);
    peer_kill(holder);
    CHECK_EQ(peer_answer(for_items), MOTET_RECOVERED);
    peer_end(w);
    peer_end(for_items);
}

TEST(a_claim_that_is_held_keeps_deadlines)
{
    place *p = new_place();
    CHECK_EQ(claim_acquire(&p->c.word_, MOTET_NOWAIT, false), 0);
    CHECK_EQ(wait_once(p, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(!motet_lock_locked(&p->lock));
    claim_release(&p->c.word_);
    CHECK_EQ(records_left(&p->c), 0);
}

/* ---- conservation ---------------------------------------------------------------------------------- */

enum { KIN = 4, ITEMS = 2000, KILLS = 30 };

typedef struct market {
    place p;
    uint32_t got, over;
} market;

/* Takes items until there will be no more. */
static int consume(void *arg)
{
    market *m = arg;
    for (;;) {
        int e = motet_lock_acquire(&m->p.lock, MOTET_FOREVER);
        while (e >= 0 && m->p.items == 0 && !SEEN(&m->over))
            e = motet_condition_wait(&m->p.c, &m->p.lock, MOTET_FOREVER);
        if (e < 0)
            return 1;
        bool any = m->p.items > 0;
        m->p.items -= any;
        m->got += any;
        if (motet_lock_release(&m->p.lock) != 0)
            return 2;
        if (!any)
            return 0;
    }
}

static void put(market *m, int n)
{
    CHECK_GE(motet_lock_acquire(&m->p.lock, MOTET_FOREVER), 0);
    m->p.items += n;
    CHECK_EQ(motet_condition_notify(&m->p.c, (unsigned)n), 0);
    CHECK_EQ(motet_lock_release(&m->p.lock), 0);
}

static void close_market(market *m)
{
    CHECK_GE(motet_lock_acquire(&m->p.lock, MOTET_FOREVER), 0);
    atomic_store_release(&m->over, 1);
    CHECK_EQ(motet_condition_notify_all(&m->p.c), 0);
    CHECK_EQ(motet_lock_release(&m->p.lock), 0);
}

static market *new_market(kin *k)
{
    market *m = shared(sizeof *m);
    CHECK_EQ(motet_lock_init(&m->p.lock, MOTET_SHARED), 0);
    CHECK_EQ(motet_condition_init(&m->p.c, MOTET_SHARED), 0);
    kin_start_all(k, KIN, consume, m);
    return m;
}

TEST(items_are_taken_once_each)
{
    kin k[KIN];
    market *m = new_market(k);
    for (int i = 0; i < ITEMS; i += 4)
        put(m, i % 8 ? 7 : 1);
    close_market(m);
    kin_bury_all(k, KIN);
    CHECK_EQ(m->got, ITEMS);
    CHECK_EQ(m->p.items, 0);
    CHECK_EQ(records_left(&m->p.c), 0);
}

/* One item at a time, one notify for it: if that was lost with who was killed, the item would never be taken. One that was
 * killed with the lock in its hands had its notify: that has to be mended here, as the item. */
static void mend(market *m)
{
    int e = motet_lock_acquire(&m->p.lock, MOTET_FOREVER);
    CHECK_GE(e, 0);
    if (e == MOTET_RECOVERED)
        CHECK_EQ(motet_condition_notify(&m->p.c, 1), 0);
    CHECK_EQ(motet_lock_release(&m->p.lock), 0);
}

TEST(a_crowd_that_dies)
{
    kin k[KIN];
    market *m = new_market(k);
    uint32_t random = 11;
    for (int kills = 0; kills < KILLS; kills++) {
        uint32_t dead = random_below(&random, KIN);
        for (uint32_t n = random_below(&random, 8); n; n--) {
            put(m, 1);
            AWAIT(atomic_load_relaxed(&m->p.items) == 0);
        }
        put(m, 1);
        kin_kill(k[dead]);
        mend(m);
        AWAIT(atomic_load_relaxed(&m->p.items) == 0);
        k[dead] = kin_start(consume, m);
    }
    close_market(m);
    kin_bury_all(k, KIN);
    CHECK_EQ(records_left(&m->p.c), 0);
}
