/* SPDX-License-Identifier: MIT */
/* Shared once flags, events, latches, and semaphores without a bound: what several processes see, and what remains when some
 * of them are killed. */
#include "sync/test_shared.h"

/* ---- once ------------------------------------------------------------------------------------------ */

typedef struct deed {
    motet_once_flag flag;
    uint32_t begun, done, hang;
    int result;
} deed;

static int do_deed(void *arg)
{
    deed *d = arg;
    atomic_add_seq_cst(&d->begun, 1);
    while (SEEN(&d->hang))
        motet_yield();
    d->done++;
    return d->result;
}

static int do_once(void *d, motet_time deadline) { return motet_once(&((deed *)d)->flag, do_deed, d); }

static int once_within(void *arg) { return motet_once(&((deed *)arg)->flag, do_deed, arg); }

static int do_once_within(void *d, motet_time deadline) { return motet_once(&((deed *)d)->flag, once_within, d); }

TEST(once)
{
    deed *d = shared(sizeof *d);
    d->result = 7;
    peer *a = peer_start(), *b = peer_start();
    d->hang = 1;
    peer_ask(a, do_once, d, 0);
    AWAIT(SEEN(&d->begun) == 1);
    peer_ask(b, do_once, d, 0);
    kin_await_sleep(b->kin);
    atomic_store_release(&d->hang, 0);
    CHECK_EQ(peer_answer(a), 7);
    CHECK_EQ(peer_answer(b), 7);
    CHECK_EQ(do_once(d, 0), 7);
    CHECK_EQ(d->done, 1);
    peer_end(a);
    peer_end(b);
}

TEST(once_that_failed)
{
    deed *d = shared(sizeof *d);
    d->result = -EIO;
    peer *p = peer_start();
    CHECK_EQ(peer_do(p, do_once, d, 0), -EIO);
    CHECK_EQ(do_once(d, 0), -EIO);
    d->result = 0;
    CHECK_EQ(peer_do(p, do_once, d, 0), 0);
    CHECK_EQ(do_once(d, 0), 0);
    CHECK_EQ(d->done, 3);
    CHECK_EQ(motet_once(&d->flag, NULL, d), -EINVAL);
    peer_end(p);
}

TEST(once_within_itself)
{
    deed *d = shared(sizeof *d);
    CHECK_EQ(do_once_within(d, 0), -EDEADLK);
    peer *p = peer_start();
    CHECK_EQ(peer_do(p, do_once_within, d, 0), -EDEADLK);
    CHECK_EQ(do_once(d, 0), 0);
    peer_end(p);
}

TEST(once_that_killed_who_did_it)
{
    deed *d = shared(sizeof *d);
    d->hang = 1;
    peer *a = peer_start(), *b = peer_start();
    peer_ask(a, do_once, d, 0);
    AWAIT(SEEN(&d->begun) == 1);
    peer_ask(b, do_once, d, 0);
    kin_await_sleep(b->kin);
    peer_kill(a);
    AWAIT(SEEN(&d->begun) == 2);
    atomic_store_release(&d->hang, 0);
    CHECK_EQ(peer_answer(b), 0);
    CHECK_EQ(do_once(d, 0), 0);
    CHECK_EQ(d->done, 1);
    peer_end(b);
}

static int once_as_stranger(void *d) { return do_once(d, 0); }

TEST(once_by_a_stranger)
{
    deed *d = shared(sizeof *d);
    CHECK_EQ(in_forked_child(once_as_stranger, d), -EPERM);
    CHECK_EQ(do_once(d, 0), 0);
    CHECK_EQ(in_forked_child(once_as_stranger, d), 0);
}

/* ---- event ----------------------------------------------------------------------------------------- */

static int await_event(void *e, motet_time deadline) { return motet_event_wait(e, deadline); }
static int set_event(void *e, motet_time deadline) { return motet_event_set(e); }
static int await_for_ever(void *e) { return motet_event_wait(e, MOTET_FOREVER); }
static int set_as_stranger(void *e) { return motet_event_set(e); }
static int clear_as_stranger(void *e) { return motet_event_clear(e); }

static motet_event *new_event(void)
{
    motet_event *e = shared(sizeof *e);
    CHECK_EQ(motet_event_init(e, MOTET_SHARED), 0);
    return e;
}

TEST(event_codes)
{
    motet_event outside, *e = new_event();
    CHECK_EQ(motet_event_init(&outside, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_event_init(NULL, MOTET_SHARED), -EINVAL);
    CHECK(!motet_event_is_set(e));
    times_out(await_event, e);
    CHECK_EQ(interrupted(await_for_ever, e), -EINTR);
    CHECK_EQ(cancelled(await_for_ever, e), -ECANCELED);
    CHECK_EQ(motet_event_set(e), 0);
    CHECK(motet_event_is_set(e));
    CHECK_EQ(motet_event_wait(e, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_event_clear(e), 0);
    CHECK(!motet_event_is_set(e));
    CHECK_EQ(in_forked_child(await_for_ever, e), -EPERM);
    CHECK_EQ(in_forked_child(set_as_stranger, e), -EPERM);
    CHECK_EQ(in_forked_child(clear_as_stranger, e), -EPERM);
    CHECK(!motet_event_is_set(e));
}

TEST(event)
{
    motet_event *e = new_event();
    peer *a = peer_start(), *b = peer_start();
    peer_ask(a, await_event, e, MOTET_FOREVER);
    peer_ask(b, await_event, e, MOTET_FOREVER);
    CHECK_EQ(motet_event_set(e), 0);
    CHECK_EQ(peer_answer(a), 0);
    CHECK_EQ(peer_answer(b), 0);
    CHECK_EQ(motet_event_clear(e), 0);
    peer_ask_and_sleep(a, await_event, e);
    CHECK_EQ(peer_do(b, set_event, e, 0), 0);
    CHECK_EQ(motet_event_clear(e), 0); /* who waited goes on nevertheless */
    CHECK_EQ(peer_answer(a), 0);
    peer_ask_and_sleep(a, await_event, e);
    peer_kill(a);
    CHECK_EQ(peer_do(b, await_event, e, MOTET_NOWAIT), -ETIMEDOUT);
    peer_ask_and_sleep(b, await_event, e);
    CHECK_EQ(motet_event_set(e), 0);
    CHECK_EQ(peer_answer(b), 0);
    peer_end(b);
}

/* ---- latch ----------------------------------------------------------------------------------------- */

static int await_latch(void *l, motet_time deadline) { return motet_latch_wait(l, deadline); }
static int count_down(void *l, motet_time n) { return motet_latch_count_down(l, (unsigned)n); }
static int await_latch_for_ever(void *l) { return motet_latch_wait(l, MOTET_FOREVER); }
static int count_as_stranger(void *l) { return motet_latch_count_down(l, 1); }

TEST(latch)
{
    motet_latch outside, *l = shared(sizeof *l);
    CHECK_EQ(motet_latch_init(&outside, 1, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_latch_init(l, (unsigned)INT32_MAX + 1, MOTET_SHARED), -EINVAL);
    CHECK_EQ(motet_latch_init(l, 3, MOTET_SHARED), 0);
    times_out(await_latch, l);
    CHECK_EQ(interrupted(await_latch_for_ever, l), -EINTR);
    CHECK_EQ(cancelled(await_latch_for_ever, l), -ECANCELED);
    CHECK_EQ(in_forked_child(await_latch_for_ever, l), -EPERM);
    CHECK_EQ(in_forked_child(count_as_stranger, l), -EPERM);
    peer *a = peer_start(), *b = peer_start(), *c = peer_start();
    peer_ask(a, await_latch, l, MOTET_FOREVER);
    peer_ask_and_sleep(b, await_latch, l);
    CHECK_EQ(peer_do(c, count_down, l, 2), 0);
    CHECK_EQ(peer_do(c, count_down, l, 2), -EINVAL);
    peer_kill(c); /* what it counted, is counted */
    peer_kill(b);
    CHECK_EQ(motet_latch_count(l), 1);
    CHECK_EQ(motet_latch_count_down(l, 1), 0);
    CHECK_EQ(peer_answer(a), 0);
    CHECK_EQ(motet_latch_wait(l, MOTET_NOWAIT), 0);
    peer_end(a);
}

/* ---- semaphore ------------------------------------------------------------------------------------- */

static int take(void *s, motet_time deadline) { return motet_semaphore_acquire(s, deadline); }
static int give(void *s, motet_time n) { return motet_semaphore_release(s, (unsigned)n); }
static int take_for_ever(void *s) { return motet_semaphore_acquire(s, MOTET_FOREVER); }
static int give_as_stranger(void *s) { return motet_semaphore_release(s, 1); }

static motet_semaphore *new_semaphore(unsigned permits)
{
    motet_semaphore *s = shared(sizeof *s);
    CHECK_EQ(motet_semaphore_init(s, permits, MOTET_SHARED), 0);
    CHECK_EQ(motet_semaphore_value(s), permits);
    return s;
}

TEST(semaphore_codes)
{
    motet_semaphore outside, *s = new_semaphore(1);
    CHECK_EQ(motet_semaphore_init(&outside, 1, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_semaphore_init(NULL, 1, MOTET_SHARED), -EINVAL);
    CHECK_EQ(motet_semaphore_init(s, UINT32_MAX, MOTET_SHARED), -EINVAL);
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
    times_out(take, s);
    CHECK_EQ(motet_semaphore_value(s), 0);
    CHECK_EQ(interrupted(take_for_ever, s), -EINTR);
    CHECK_EQ(cancelled(take_for_ever, s), -ECANCELED);
    CHECK_EQ(in_forked_child(take_for_ever, s), -EPERM);
    CHECK_EQ(in_forked_child(give_as_stranger, s), -EPERM);
    CHECK_EQ(motet_semaphore_value(s), 0);
    CHECK_EQ(give(s, 0), 0);
    CHECK_EQ(give(s, 2), 0);
    CHECK_EQ(motet_semaphore_value(s), 2);
    CHECK_EQ(give(s, UINT32_MAX - 2), -EOVERFLOW);
    CHECK_EQ(give(s, UINT32_MAX - 3), 0);
    CHECK_EQ(motet_semaphore_value(s), UINT32_MAX - 1);
    CHECK_EQ(give(s, 1), -EOVERFLOW);
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
    CHECK_EQ(give(s, 1), 0);
}

enum { KIN = 3, ITEMS = 6000 };

static int take_many(void *s)
{
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQ(motet_semaphore_acquire(s, MOTET_FOREVER), 0);
    return 0;
}

TEST(permits_are_neither_lost_nor_made)
{
    motet_semaphore *s = new_semaphore(0);
    kin k[KIN];
    kin_start_all(k, KIN, take_many, s);
    uint32_t seed = 7;
    for (int left = KIN * ITEMS; left > 0;) {
        int n = 1 + (int)random_below(&seed, 3);
        n = n < left ? n : left;
        CHECK_EQ(motet_semaphore_release(s, (unsigned)n), 0);
        left -= n;
        if (n == 2)
            motet_yield();
    }
    kin_bury_all(k, KIN);
    CHECK_EQ(motet_semaphore_value(s), 0);
}

TEST(a_permit_stays_that_a_dead_waiter_was_woken_for)
{
    motet_semaphore *s = new_semaphore(0);
    for (int round = 0; round < 20; round++) {
        peer *a = peer_start(), *b = peer_start();
        peer_ask_and_sleep(a, take, s);
        peer_ask_and_sleep(b, take, s);
        bool stopped = round % 2;
        if (stopped)
            kin_stop(a->kin); /* so it is woken, and takes nothing */
        else
            CHECK_EQ(kill(a->kin.pid, SIGKILL), 0);
        CHECK_EQ(motet_semaphore_release(s, 1), 0);
        if (stopped)
            CHECK_EQ(kill(a->kin.pid, SIGKILL), 0);
        CHECK_EQ(kin_bury(a->kin), -SIGKILL);
        CHECK_EQ(peer_answer(b), 0);
        CHECK_EQ(motet_semaphore_value(s), 0);
        peer_end(b);
    }
}

TEST(a_permit_that_a_dead_one_took_is_gone)
{
    motet_semaphore *s = new_semaphore(2);
    peer *p = peer_start();
    CHECK_EQ(peer_do(p, take, s, MOTET_NOWAIT), 0);
    peer_kill(p);
    CHECK_EQ(motet_semaphore_value(s), 1);
    peer *q = peer_start();
    CHECK_EQ(peer_do(q, give, s, 1), 0);
    CHECK_EQ(motet_semaphore_value(s), 2);
    peer_end(q);
}

TEST(of_two_permits_both_are_taken)
{
    motet_semaphore *s = new_semaphore(0);
    peer *a = peer_start(), *b = peer_start();
    for (int i = 0; i < 200; i++) {
        peer_ask(a, take, s, MOTET_FOREVER);
        peer_ask(b, take, s, MOTET_FOREVER);
        if (i % 2)
            kin_await_sleep(b->kin);
        if (i % 3) {
            CHECK_EQ(motet_semaphore_release(s, 2), 0);
        } else {
            CHECK_EQ(motet_semaphore_release(s, 1), 0);
            CHECK_EQ(motet_semaphore_release(s, 1), 0);
        }
        CHECK_EQ(peer_answer(a), 0);
        CHECK_EQ(peer_answer(b), 0);
    }
    CHECK_EQ(motet_semaphore_value(s), 0);
    peer_end(a);
    peer_end(b);
}
