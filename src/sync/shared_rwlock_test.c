/* SPDX-License-Identifier: MIT */
/* The rwlock between processes: who excludes whom, whose turn it is, what is left when one of them dies or stands still. */
#include "sync/test_crowd.h"

static int read_(void *l, motet_time deadline) { return motet_rwlock_acquire_read(l, deadline); }

static int write_(void *l, motet_time deadline) { return motet_rwlock_acquire_write(l, deadline); }

static int give(void *l, motet_time deadline) { return motet_rwlock_release(l); }

static motet_rwlock *new_lock(void)
{
    motet_rwlock *l = shared(sizeof *l);
    CHECK_EQ(motet_rwlock_init(l, MOTET_SHARED), 0);
    return l;
}

static int give_on_thread(void *l) { return motet_rwlock_release(l); }

static int write_on_thread(void *l) { return motet_rwlock_acquire_write(l, MOTET_NOWAIT); }

TEST(codes)
{
    motet_rwlock outside;
    CHECK_EQ(motet_rwlock_init(&outside, MOTET_SHARED), -EFAULT);
    motet_rwlock *l = new_lock();
    CHECK_EQ(motet_rwlock_init(l, MOTET_SHARED | MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_rwlock_init(&outside, MOTET_SHARED), -EFAULT);
    CHECK_EQ(give(l, 0), -EPERM);
    CHECK_EQ(write_(l, MOTET_FOREVER), 0);
    CHECK_EQ(write_(l, MOTET_FOREVER), -EDEADLK);
    CHECK_EQ(read_(l, MOTET_FOREVER), -EDEADLK);
    CHECK_EQ(finish(start(give_on_thread, l)), -EPERM);
    CHECK_EQ(finish(start(write_on_thread, l)), -ETIMEDOUT);
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(give(l, 0), -EPERM);
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    CHECK_EQ(write_(l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(finish(start(give_on_thread, l)), 0); /* some share of this process's */
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(give(l, 0), -EPERM);
    CHECK_EQ(records_left(l), 0);
}

TEST(who_excludes_whom)
{
    motet_rwlock *l = new_lock();
    peer *a = peer_start(), *b = peer_start();
    CHECK_EQ(peer_do(a, read_, l, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(b, read_, l, MOTET_NOWAIT), 0);
    CHECK_EQ(write_(l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(give(l, 0), -EPERM); /* others read, this process doesn't */
    CHECK_EQ(peer_do(a, give, l, 0), 0);
    CHECK_EQ(peer_do(a, give, l, 0), -EPERM);
    CHECK_EQ(peer_do(a, write_, l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(peer_do(b, give, l, 0), 0);
    CHECK_EQ(peer_do(a, write_, l, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(a, write_, l, MOTET_NOWAIT), -EDEADLK);
    CHECK_EQ(peer_do(b, write_, l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(peer_do(b, read_, l, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(peer_do(b, give, l, 0), -EPERM);
    CHECK_EQ(peer_do(a, give, l, 0), 0);
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    peer_end(a);
    peer_end(b);
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(records_left(l), 0);
}

/* Initialising forgets what the memory held before, other processes' shares too. */
TEST(begins_anew)
{
    motet_rwlock *l = new_lock();
    peer *a = peer_start();
    CHECK_EQ(peer_do(a, read_, l, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_rwlock_init(l, MOTET_SHARED), 0);
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(a, give, l, 0), -EPERM);
    peer_end(a);
}

/* Whatever one thread does, it is answered as by the private form. */
TEST(as_the_private_form)
{
    motet_rwlock *l = new_lock(), private = {0};
    uint32_t random = 21;
    peer_fn *const calls[] = {read_, write_, give, give};
    for (int i = 0; i < 5000; i++) {
        peer_fn *call = calls[random_below(&random, 4)];
        CHECK_EQ(call(l, MOTET_NOWAIT), call(&private, MOTET_NOWAIT));
    }
}

/* ---- turns ----------------------------------------------------------------------------------------- */

TEST(readers_wait_behind_a_waiting_writer)
{
    motet_rwlock *l = new_lock();
    peer *w = peer_start(), *r = peer_start();
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    peer_ask_and_wait(w, write_, l, RECORD_WAIT);
    CHECK_EQ(read_(l, MOTET_NOWAIT), -ETIMEDOUT);
    peer_ask_and_wait(r, read_, l, RECORD_WAIT);
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(peer_answer(w), 0);
    CHECK(peer_is_busy(r));
    CHECK_EQ(peer_do(w, give, l, 0), 0);
    CHECK_EQ(peer_answer(r), 0);
    peer_end(w);
    peer_end(r);
    CHECK_EQ(records_left(l), 0);
}

TEST(after_a_writer_come_the_readers_that_wait)
{
    motet_rwlock *l = new_lock();
    peer *w = peer_start(), *r = peer_start(), *late = peer_start();
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
    peer_ask_and_wait(w, write_, l, RECORD_WAIT);
    peer_ask_and_wait(r, read_, l, RECORD_WAIT);
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(peer_answer(r), 0); /* though the writer came first */
    CHECK(peer_is_busy(w));
    peer_ask_and_wait(late, read_, l, RECORD_WAIT);
    CHECK_EQ(peer_do(r, give, l, 0), 0);
    CHECK_EQ(peer_answer(w), 0);
    CHECK(peer_is_busy(late));
    CHECK_EQ(peer_do(w, give, l, 0), 0);
    CHECK_EQ(peer_answer(late), 0);
    peer_end(w);
    peer_end(r);
    peer_end(late);
}

TEST(writers_go_in_order)
{
    motet_rwlock *l = new_lock();
    peer *w[3];
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
    peer_start_waiting(w, 3, write_, l, RECORD_WAIT);
    CHECK_EQ(give(l, 0), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(peer_answer(w[i]), 0);
        for (int k = i + 1; k < 3; k++)
            CHECK(peer_is_busy(w[k]));
        CHECK_EQ(peer_do(w[i], give, l, 0), 0);
    }
    peer_end_all(w, 3);
}

static int write_a_little(void *l, motet_time deadline)
{
    motet_time until = motet_after(20 * MOTET_MS);
    int e = motet_rwlock_acquire_write(l, until);
    return e == -ETIMEDOUT && motet_now() < until ? 1 : e;
}

TEST(a_writer_that_gives_up_lets_readers_go)
{
    motet_rwlock *l = new_lock();
    peer *w = peer_start(), *r = peer_start();
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    peer_ask(w, write_a_little, l, 0);
    AWAIT(records_of(l, RECORD_WAIT) > 0 || !peer_is_busy(w));
    CHECK_EQ(peer_do(r, read_, l, MOTET_FOREVER), 0);
    CHECK_EQ(peer_answer(w), -ETIMEDOUT);
    CHECK_EQ(give(l, 0), 0);
    peer_end(w);
    peer_end(r);
}

static int take_write(void *l) { return motet_rwlock_acquire_write(l, MOTET_FOREVER); }

static int take_read(void *l) { return motet_rwlock_acquire_read(l, MOTET_FOREVER); }

TEST(a_wait_is_interrupted_but_not_cancelled)
{
    motet_rwlock *l = new_lock();
    peer *a = peer_start();
    CHECK_EQ(peer_do(a, write_, l, MOTET_NOWAIT), 0);
    CHECK_EQ(interrupted(take_write, l), -EINTR);
    CHECK_EQ(interrupted(take_read, l), -EINTR);
    CHECK_EQ(records_of(l, RECORD_WAIT), 0);
    motet_thread *t = start(take_write, l);
    AWAIT(records_of(l, RECORD_WAIT) == 1);
    CHECK_EQ(motet_thread_cancel(t), 0);
    CHECK_EQ(peer_do(a, give, l, 0), 0);
    CHECK_EQ(finish(t), 0);
    peer_end(a);
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

TEST(a_dead_reader_leaves)
{
    motet_rwlock *l = new_lock();
    peer *r = peer_start(), *w = peer_start(), *other = peer_start();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(peer_do(r, read_, l, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(other, read_, l, MOTET_NOWAIT), 0);
    peer_ask_and_wait(w, write_, l, RECORD_WAIT);
    peer_kill(r);
    CHECK_EQ(read_(l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(peer_is_busy(w)); /* another reads still */
    CHECK_EQ(peer_do(other, give, l, 0), 0);
    CHECK_EQ(peer_answer(w), 0); /* a dead reader spoils nothing */
    peer_end(other);
    peer_end(w);
    CHECK_EQ(write_(l, MOTET_NOWAIT), MOTET_RECOVERED); /* it ended with the lock in its hands */
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(records_left(l), 0);
}

TEST(one_writer_is_told_of_a_dead_writer)
{
    motet_rwlock *l = new_lock();
    peer *dead = peer_start(), *w[2];
    CHECK_EQ(peer_do(dead, write_, l, MOTET_NOWAIT), 0);
    peer_start_waiting(w, 2, write_, l, RECORD_WAIT);
    peer_kill(dead);
    CHECK_EQ(peer_answer(w[0]), MOTET_RECOVERED);
    CHECK_EQ(peer_do(w[0], give, l, 0), 0);
    CHECK_EQ(peer_answer(w[1]), 0);
    CHECK_EQ(peer_do(w[1], give, l, 0), 0);
    peer_end_all(w, 2);
}

TEST(one_reader_is_told_of_a_dead_writer)
{
    motet_rwlock *l = new_lock();
    peer *dead = peer_start(), *r[2];
    CHECK_EQ(peer_do(dead, write_, l, MOTET_NOWAIT), 0);
    peer_start_waiting(r, 2, read_, l, RECORD_WAIT);
    peer_kill(dead);
    int first = peer_answer(r[0]), second = peer_answer(r[1]);
    CHECK_EQ(first + second, MOTET_RECOVERED);
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    CHECK_EQ(give(l, 0), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(peer_do(r[i], give, l, 0), 0);
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
    peer_end_all(r, 2);
}

/* Who was told dies as well, before it let go: the next is told. */
TEST(the_news_does_not_die_with_who_was_told)
{
    motet_rwlock *l = new_lock();
    peer *dead = peer_start(), *r = peer_start(), *w = peer_start();
    CHECK_EQ(peer_do(dead, write_, l, MOTET_NOWAIT), 0);
    peer_kill(dead);
    CHECK_EQ(peer_do(r, read_, l, MOTET_NOWAIT), MOTET_RECOVERED);
    CHECK_EQ(peer_do(r, read_, l, MOTET_NOWAIT), 0);
    CHECK_EQ(peer_do(r, give, l, 0), 0);
    peer_kill(r);
    CHECK_EQ(peer_do(w, write_, l, MOTET_NOWAIT), MOTET_RECOVERED);
    peer_kill(w);
    CHECK_EQ(read_(l, MOTET_NOWAIT), MOTET_RECOVERED);
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
}

TEST(a_dead_waiting_writer_lets_readers_go)
{
    motet_rwlock *l = new_lock();
    peer *w = peer_start(), *r = peer_start();
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    peer_ask_and_wait(w, write_, l, RECORD_WAIT);
    peer_ask_and_wait(r, read_, l, RECORD_WAIT);
    peer_kill(w);
    CHECK_EQ(peer_answer(r), 0);
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    CHECK_EQ(give(l, 0), 0);
    CHECK_EQ(give(l, 0), 0);
    peer_end(r);
}

/* The readers whose turn it is have died: the writer goes. */
TEST(dead_waiting_readers_keep_no_writer)
{
    motet_rwlock *l = new_lock();
    peer *w = peer_start(), *r = peer_start();
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
    peer_ask_and_wait(w, write_, l, RECORD_WAIT);
    peer_ask_and_wait(r, read_, l, RECORD_WAIT);
    peer_stop(r, l, NULL);
    CHECK_EQ(give(l, 0), 0);
    peer_kill(r);
    CHECK_EQ(peer_answer(w), 0);
    peer_end(w);
}

/* ---- who stands still ------------------------------------------------------------------------------ */

TEST(a_stopped_writer_is_not_robbed)
{
    motet_rwlock *l = new_lock();
    peer *w = peer_start();
    CHECK_EQ(peer_do(w, write_, l, MOTET_NOWAIT), 0);
    peer_stop(w, l, NULL);
    CHECK_EQ(read_(l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(write_(l, motet_after(5 * MOTET_MS)), -ETIMEDOUT);
    peer_continue(w);
    CHECK_EQ(peer_do(w, give, l, 0), 0);
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
    peer_end(w);
}

/* It only waits, and is passed over after a while. */
TEST(a_stopped_waiter_does_not_hold_others_up)
{
    motet_rwlock *l = new_lock();
    peer *w = peer_start(), *r = peer_start();
    CHECK_EQ(read_(l, MOTET_NOWAIT), 0);
    peer_ask_and_wait(w, write_, l, RECORD_WAIT);
    peer_stop(w, l, NULL);
    CHECK_EQ(peer_do(r, read_, l, MOTET_FOREVER), 0);
    CHECK_EQ(give(l, 0), 0);
    peer_continue(w);
    CHECK(peer_is_busy(w));
    CHECK_EQ(peer_do(r, give, l, 0), 0);
    CHECK_EQ(peer_answer(w), 0);
    peer_end(w);
    peer_end(r);
}

/* Somebody stands still in the middle of an operation: deadlines hold, and nothing is lost. */
TEST(a_claim_that_is_held_keeps_deadlines)
{
    motet_rwlock *l = new_lock();
    CHECK_EQ(claim_acquire(&l->word_, MOTET_NOWAIT, false), 0);
    CHECK_EQ(read_(l, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(write_(l, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(interrupted(take_write, l), -EINTR);
    claim_release(&l->word_);
    CHECK_EQ(write_(l, MOTET_NOWAIT), 0);
}

/* ---- many processes, any of which may die ---------------------------------------------------------- */

/* What a process has: nothing, a share, all of it. */
enum { READS = 1, WRITES };

typedef struct pair {
    motet_rwlock lock;
    uint64_t a, b; /* changed together by writers; plain */
} pair;

static int change(crowd *c, uint32_t id, int e)
{
    pair *p = c->object;
    for (uint32_t i = 0; i < CROWD; i++)
        if (i != id && SEEN(&c->has[i]))
            return 11;
    if (p->a != p->b) {
        if (e != MOTET_RECOVERED)
            return 12;
        p->b = p->a;
    }
    p->a++;
    if (p->a % 4 == 0)
        motet_yield();
    p->b++;
    return 0;
}

static int look_at(const crowd *c, uint32_t id)
{
    for (uint32_t i = 0; i < CROWD; i++)
        if (i != id && SEEN(&c->has[i]) == WRITES)
            return 13;
    return 0;
}

static int read_or_write(crowd *c, uint32_t id, uint32_t *random)
{
    motet_rwlock *l = &((pair *)c->object)->lock;
    bool writes = random_below(random, 3) == 0;
    motet_time deadline = random_below(random, 2) ? MOTET_FOREVER : random_deadline(random);
    int e = writes ? write_(l, deadline) : read_(l, deadline);
    if (e < 0)
        return e == -ETIMEDOUT ? 0 : 10;
    atomic_store_seq_cst(&c->has[id], writes ? WRITES : READS);
    /* A reader that is told has to see to it that a writer mends: here it dies of it, and the news goes on. */
    if (!writes && e == MOTET_RECOVERED)
        raise(SIGKILL);
    int wrong = writes ? change(c, id, e) : look_at(c, id);
    if (wrong)
        return wrong;
    atomic_store_seq_cst(&c->has[id], 0);
    if (give(l, 0) != 0)
        return 14;
    atomic_add_relaxed(&c->steps, 1);
    return 0;
}

TEST(a_crowd_that_dies)
{
    pair *p = shared(sizeof *p);
    CHECK_EQ(motet_rwlock_init(&p->lock, MOTET_SHARED), 0);
    crowd_that_dies(read_or_write, p);
    int e = write_(&p->lock, MOTET_NOWAIT);
    CHECK_GE(e, 0);
    CHECK(e == MOTET_RECOVERED || p->a == p->b);
    CHECK_EQ(give(&p->lock, 0), 0);
    CHECK_EQ(records_left(&p->lock), 0);
}
