/* SPDX-License-Identifier: MIT */
/* The bounded semaphore between processes: permits are neither lost nor made, whoever dies or stands still. */
#include "sync/test_crowd.h"

static int take(void *s, motet_time deadline) { return motet_semaphore_acquire(s, deadline); }

static int give(void *s, motet_time n) { return motet_semaphore_release(s, (unsigned)n); }

static int take_for_ever(void *s) { return motet_semaphore_acquire(s, MOTET_FOREVER); }

static motet_semaphore *new_semaphore(unsigned permits)
{
    motet_semaphore *s = shared(sizeof *s);
    CHECK_EQ(motet_semaphore_init(s, permits, MOTET_SHARED | MOTET_BOUNDED), 0);
    CHECK_EQ(motet_semaphore_value(s), permits);
    return s;
}

TEST(codes)
{
    motet_semaphore outside;
    CHECK_EQ(motet_semaphore_init(&outside, 1, MOTET_SHARED | MOTET_BOUNDED), -EFAULT);
    CHECK_EQ(motet_semaphore_init(NULL, 1, MOTET_SHARED | MOTET_BOUNDED), -EINVAL);
    motet_semaphore *s = new_semaphore(2);
    CHECK_EQ(give(s, 1), -EOVERFLOW);
    CHECK_EQ(give(s, 0), 0);
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
    CHECK_EQ(take(s, MOTET_FOREVER), 0);
    times_out(take, s);
    CHECK_EQ(motet_semaphore_value(s), 0);
    CHECK_EQ(give(s, 3), -EOVERFLOW);
    CHECK_EQ(give(s, UINT32_MAX), -EOVERFLOW);
    CHECK_EQ(motet_semaphore_value(s), 0);
    CHECK_EQ(interrupted(take_for_ever, s), -EINTR);
    CHECK_EQ(cancelled(take_for_ever, s), -ECANCELED);
    CHECK_EQ(records_of(s, RECORD_WAIT), 0);
    CHECK_EQ(give(s, 2), 0);
    CHECK_EQ(give(s, 1), -EOVERFLOW);
    CHECK_EQ(motet_semaphore_value(s), 2);
    CHECK_EQ(records_left(s), 0);
    s = new_semaphore(0);
    CHECK_EQ(take(s, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(give(s, 1), -EOVERFLOW);
}

/* Whatever one thread does, it is answered as by the private form. */
TEST(as_the_private_form)
{
    enum { PERMITS_HERE = 5 };
    motet_semaphore *s = new_semaphore(PERMITS_HERE), private;
    uint32_t random = 21;
    CHECK_EQ(motet_semaphore_init(&private, PERMITS_HERE, MOTET_BOUNDED), 0);
    for (int i = 0; i < 5000; i++) {
        peer_fn *call = random_below(&random, 3) ? take : give;
        motet_time n = call == take ? MOTET_NOWAIT : (motet_time)random_below(&random, 4);
        CHECK_EQ(call(s, n), call(&private, n));
        CHECK_EQ(motet_semaphore_value(s), motet_semaphore_value(&private));
    }
}

TEST(anyone_gives_back)
{
    motet_semaphore *s = new_semaphore(3);
    peer *a = peer_start(), *b = peer_start();
    CHECK_EQ(peer_do(a, take, s, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(a, take, s, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(b, take, s, MOTET_NOWAIT), 0);
    CHECK_EQ(give(s, 1), 0);
    CHECK_EQ(motet_semaphore_value(s), 1);
    CHECK_EQ(peer_do(a, give, s, 3), -EOVERFLOW);
    CHECK_EQ(peer_do(b, give, s, 2), 0); /* its own, if it has one still, and another's */
    CHECK_EQ(motet_semaphore_value(s), 3);
    CHECK_EQ(give(s, 1), -EOVERFLOW);
    CHECK_EQ(records_left(s), 0);
    CHECK_EQ(peer_do(a, take, s, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_semaphore_value(s), 2);
    peer_end(a);
    peer_end(b);
    CHECK_EQ(motet_semaphore_value(s), 3); /* it ended, and was buried */
}

TEST(a_waiter_gets_what_is_given)
{
    motet_semaphore *s = new_semaphore(2);
    peer *w[3];
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
    peer_start_waiting(w, 3, take, s, RECORD_WAIT);
    CHECK_EQ(give(s, 1), 0);
    CHECK_EQ(peer_answer(w[0]), 0); /* the oldest */
    CHECK(peer_is_busy(w[1]) && peer_is_busy(w[2]));
    CHECK_EQ(give(s, 1), 0);
    CHECK_EQ(peer_answer(w[1]), 0);
    CHECK(peer_is_busy(w[2]));
    CHECK_EQ(give(s, 2), 0);
    CHECK_EQ(peer_answer(w[2]), 0);
    CHECK_EQ(motet_semaphore_value(s), 1);
    peer_end_all(w, 3);
    CHECK_EQ(motet_semaphore_value(s), 2);
    CHECK_EQ(records_left(s), 0);
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

TEST(permits_of_the_dead_come_back)
{
    motet_semaphore *s = new_semaphore(3);
    peer *dead = peer_start(), *w[2];
    for (int i = 0; i < 3; i++)
        CHECK_EQ(peer_do(dead, take, s, MOTET_NOWAIT), 0);
    peer_start_waiting(w, 2, take, s, RECORD_WAIT);
    peer_kill(dead);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(peer_answer(w[i]), 0);
    CHECK_EQ(motet_semaphore_value(s), 1);
    CHECK_EQ(give(s, 3), -EOVERFLOW);
    peer_kill(w[0]);
    CHECK_EQ(motet_semaphore_value(s), 2);
    peer_end(w[1]);
    CHECK_EQ(motet_semaphore_value(s), 3);
    CHECK_EQ(records_left(s), 0);
}

/* Two wait for one permit; it is given when the first, whose turn it is, has been stopped. */
static motet_semaphore *give_to_one_that_is_stopped(peer **w)
{
    motet_semaphore *s = new_semaphore(1);
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
    peer_start_waiting(w, 2, take, s, RECORD_WAIT);
    peer_stop(w[0], s, NULL);
    CHECK_EQ(give(s, 1), 0);
    return s;
}

/* The oldest waiter is woken, and dies before it takes what it was woken for. */
TEST(a_dead_waiter_swallows_no_wake)
{
    peer *w[2];
    give_to_one_that_is_stopped(w);
    peer_kill(w[0]);
    CHECK_EQ(peer_answer(w[1]), 0);
    peer_end(w[1]);
}

TEST(a_stopped_waiter_does_not_hold_others_up)
{
    peer *w[2];
    motet_semaphore *s = give_to_one_that_is_stopped(w);
    CHECK_EQ(peer_answer(w[1]), 0);
    peer_continue(w[0]);
    CHECK_EQ(peer_do(w[1], give, s, 1), 0);
    CHECK_EQ(peer_answer(w[0]), 0);
    peer_end_all(w, 2);
}

TEST(a_stopped_holder_is_not_robbed)
{
    motet_semaphore *s = new_semaphore(1);
    peer *a = peer_start();
    CHECK_EQ(peer_do(a, take, s, MOTET_NOWAIT), 0);
    peer_stop(a, s, NULL);
    CHECK_EQ(take(s, motet_after(5 * MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(motet_semaphore_value(s), 0);
    peer_kill(a);
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
}

TEST(a_claim_that_is_held_keeps_deadlines)
{
    motet_semaphore *s = new_semaphore(1);
    uint32_t *claim = (uint32_t *)&s->reserved_[0];
    CHECK_EQ(claim_acquire(claim, MOTET_NOWAIT, false), 0);
    CHECK_EQ(take(s, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_semaphore_value(s), 1);
    claim_release(claim);
    CHECK_EQ(take(s, MOTET_NOWAIT), 0);
}

/* ---- many processes, any of which may die ---------------------------------------------------------- */

enum { PERMITS = 2 };

/* What each has are permits, at least so many. */
static int take_and_give(crowd *c, uint32_t id, uint32_t *random)
{
    motet_semaphore *s = c->object;
    unsigned n = 0, wanted = 1 + random_below(random, 2), all = 0;
    for (; n < wanted; n++) {
        /* Who has one already must not wait for another for ever. */
        motet_time deadline = n || random_below(random, 2) ? random_deadline(random) : MOTET_FOREVER;
        int e = motet_semaphore_acquire(s, deadline);
        if (e == -ETIMEDOUT)
            break;
        if (e != 0)
            return 10;
        atomic_store_seq_cst(&c->has[id], n + 1);
    }
    for (int i = 0; i < CROWD; i++)
        all += atomic_load_seq_cst(&c->has[i]);
    /* The sum is of different moments: only one's own permits are there for certain. */
    if (n == PERMITS && all != PERMITS)
        return 11;
    if (motet_semaphore_value(s) > PERMITS - n)
        return 12;
    atomic_store_seq_cst(&c->has[id], 0);
    if (n && motet_semaphore_release(s, n) != 0)
        return 13;
    atomic_add_relaxed(&c->steps, 1);
    return 0;
}

TEST(a_crowd_that_dies)
{
    motet_semaphore *s = new_semaphore(PERMITS);
    crowd_that_dies(take_and_give, s);
    CHECK_EQ(motet_semaphore_value(s), PERMITS);
    CHECK_EQ(records_left(s), 0);
}
