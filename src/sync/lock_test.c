/* SPDX-License-Identifier: MIT */
/* The lock: codes, mutual exclusion under every way to wait, no wake lost, the hand-over. */
#include "sync/test_threads.h"

#include "sync/sync.h"

#include <stdlib.h>

enum { THREADS = 6, ROUNDS = 3000 };

TEST(codes)
{
    motet_lock l = {0};
    CHECK_EQ(motet_lock_init(NULL, 0), -EINVAL);
    CHECK_EQ(motet_lock_init(&l, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_lock_init(&l, MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_lock_init(&l, 64), -EINVAL);
    CHECK_EQ(motet_lock_acquire(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_lock_release(NULL), -EINVAL);
    CHECK(!motet_lock_locked(NULL));
    CHECK_EQ(motet_lock_release(&l), -EPERM);
    CHECK(!motet_lock_locked(&l));
    CHECK_EQ(motet_lock_acquire(&l, MOTET_NOWAIT), 0);
    CHECK(motet_lock_locked(&l));
    CHECK_EQ(motet_lock_init(&l, MOTET_SHARED), -EFAULT);
    CHECK(motet_lock_locked(&l)); /* untouched on failure */
    CHECK_EQ(motet_lock_release(&l), 0);
    CHECK_EQ(motet_lock_release(&l), -EPERM);
    CHECK_EQ(motet_lock_acquire(&l, MOTET_FOREVER), 0);
    CHECK_EQ(motet_lock_init(&l, 0), 0);
    CHECK(!motet_lock_locked(&l));
}

TEST(deadlines)
{
    motet_lock l = {0};
    CHECK_EQ(motet_lock_acquire(&l, 0), 0);
    CHECK_EQ(motet_lock_acquire(&l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_lock_acquire(&l, 0), -ETIMEDOUT);
    CHECK_EQ(motet_lock_acquire(&l, motet_now() - 1), -ETIMEDOUT);
    for (int i = 0; i < 20; i++) {
        motet_time deadline = motet_after(i * 100 * MOTET_US);
        CHECK_EQ(motet_lock_acquire(&l, deadline), -ETIMEDOUT);
        CHECK_GE(motet_now(), deadline);
    }
    CHECK_EQ(motet_lock_release(&l), 0);
    CHECK_EQ(motet_lock_acquire(&l, motet_now() - 1), 0);
    CHECK_EQ(motet_lock_release(&l), 0);
}

static int take(void *lock) { return motet_lock_acquire(lock, MOTET_FOREVER); }

static int give(void *lock) { return motet_lock_release(lock); }

TEST(anyone_may_release)
{
    motet_lock l = {0};
    CHECK_EQ(take(&l), 0);
    CHECK_EQ(finish(start(give, &l)), 0);
    CHECK_EQ(motet_lock_release(&l), -EPERM);
}

TEST(no_cancellation_point)
{
    motet_lock l = {0};
    CHECK_EQ(take(&l), 0);
    motet_thread *t = start(take, &l);
    CHECK_EQ(motet_thread_cancel(t), 0);
    UNTIL(SEEN(&l.word_) >= 2);
    CHECK_EQ(motet_thread_cancel(t), 0);
    CHECK_EQ(motet_lock_release(&l), 0);
    CHECK_EQ(finish(t), 0);
    CHECK(motet_lock_locked(&l));
}

TEST(a_signal_ends_the_wait)
{
    motet_lock l = {0};
    CHECK_EQ(take(&l), 0);
    CHECK_EQ(interrupted(take, &l), -EINTR);
    CHECK_EQ(motet_lock_release(&l), 0);
    CHECK(!motet_lock_locked(&l));
}

TEST(fails_in_a_forked_child)
{
    motet_lock l = {0};
    CHECK_EQ(take(&l), 0);
    CHECK_EQ(in_forked_child(take, &l), -EPERM);
    CHECK_EQ(in_forked_child(give, &l), 0);
}

/* ---- exclusion ------------------------------------------------------------------------------------- */

struct counted {
    motet_lock lock;
    long count; /* under the lock */
    long hold_ns;
    uint32_t seed;
};

static void hold(const struct counted *c)
{
    for (motet_time end = c->hold_ns ? motet_after(c->hold_ns) : 0; end && motet_now() < end;) {}
}

/* Every second thread waits for ever, the others give up soon. Returns how often it had the lock. */
static int count_up(void *arg)
{
    struct counted *c = arg;
    uint32_t seed = atomic_add_relaxed(&c->seed, 1) * 7919 + 1;
    bool patient = seed % 2;
    int had = 0;
    for (int i = 0; i < (c->hold_ns ? 20 : ROUNDS); i++) {
        int e = motet_lock_acquire(&c->lock, patient ? MOTET_FOREVER : random_deadline(&seed));
        if (e == 0) {
            c->count++;
            had++;
            hold(c);
            CHECK_EQ(motet_lock_release(&c->lock), 0);
        } else {
            CHECK(!patient);
            CHECK_EQ(e, -ETIMEDOUT);
        }
    }
    return had;
}

static void exclude(long hold_ns)
{
    struct counted c = {.hold_ns = hold_ns};
    motet_thread *t[THREADS];
    long sum = 0;
    start_all(t, THREADS, count_up, &c);
    for (int i = 0; i < THREADS; i++)
        sum += finish(t[i]);
    CHECK_EQ(c.count, sum);
    CHECK_EQ(c.lock.word_, 0);
}

TEST(excludes) { exclude(0); }

/* Long enough for waiters to starve: the lock is handed over. */
TEST(excludes_when_held_long) { exclude(1200 * MOTET_US); }

/* ---- handing over ---------------------------------------------------------------------------------- */

static int await_message(void *arg)
{
    motet_lock *l = arg;
    wait_node n = {.key = message_key(l, 1)};
    park_request r = {.nodes = &n, .nodes_count = 1, .deadline = MOTET_FOREVER};
    return motet__park_many(&r);
}

TEST(a_starved_lock_is_handed_over)
{
    motet_lock l = {.word_ = 3};
    motet_thread *t = start(await_message, &l);
    /* Until the waiter is there the lock becomes free. */
    while (motet_lock_release(&l) == 0 && !motet_lock_locked(&l)) {
        CHECK_EQ(motet_lock_acquire(&l, MOTET_NOWAIT), 0);
        atomic_store_release(&l.word_, 3);
        motet_yield();
    }
    CHECK_EQ(finish(t), 0);
    CHECK_EQ(l.word_, 2); /* held by the waiter, never free */
    CHECK_EQ(motet_lock_release(&l), 0);
    CHECK_EQ(l.word_, 0);
}

struct hogged {
    motet_lock lock;
    uint32_t had;
};

static int take_and_tell(void *arg)
{
    struct hogged *h = arg;
    CHECK_EQ(motet_lock_acquire(&h->lock, MOTET_FOREVER), 0);
    atomic_store_release(&h->had, 1);
    return motet_lock_release(&h->lock);
}

/* Who lets go only to take the lock again at once does not keep it. */
TEST(a_hog_is_made_to_share)
{
    struct hogged h = {0};
    CHECK_EQ(take(&h.lock), 0);
    motet_thread *t = start(take_and_tell, &h);
    while (!SEEN(&h.had)) {
        CHECK_EQ(motet_lock_release(&h.lock), 0);
        CHECK_EQ(take(&h.lock), 0);
    }
    CHECK_EQ(motet_lock_release(&h.lock), 0);
    CHECK_EQ(finish(t), 0);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

struct shared {
    motet_lock lock;
    int users;
};

static int use_and_drop(void *arg)
{
    struct shared *s = arg;
    CHECK_EQ(motet_lock_acquire(&s->lock, MOTET_FOREVER), 0);
    bool last = --s->users == 0;
    CHECK_EQ(motet_lock_release(&s->lock), 0);
    if (last)
        free(s);
    return 0;
}

/* The last user frees the lock while the one before may still be in its release (AddressSanitizer sees a touch). */
TEST(may_be_freed_by_the_next_holder)
{
    for (int i = 0; i < 100; i++) {
        struct shared *s = calloc(1, sizeof *s);
        motet_thread *t[3];
        s->users = 4;
        CHECK_EQ(take(&s->lock), 0);
        start_all(t, 3, use_and_drop, s);
        CHECK_EQ(motet_lock_release(&s->lock), 0);
        use_and_drop(s);
        CHECK_EQ(finish_all(t, 3, 0), 3);
    }
}
