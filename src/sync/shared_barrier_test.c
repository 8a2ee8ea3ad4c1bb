/* SPDX-License-Identifier: MIT */
/* The barrier between processes: rounds that do not mix, every way in which it breaks, what a death breaks and what not. */
#include "sync/test_meeting.h"
#include "sync/test_shared.h"

static int meet(void *b, motet_time deadline) { return motet_barrier_wait(b, deadline); }

static int meet_for_ever(void *b) { return motet_barrier_wait(b, MOTET_FOREVER); }

static int reset(void *b, motet_time deadline) { return motet_barrier_reset(b); }

static int break_(void *b, motet_time deadline) { return motet_barrier_abort(b); }

static motet_barrier *new_barrier(unsigned parties)
{
    motet_barrier *b = shared(sizeof *b);
    CHECK_EQ(motet_barrier_init(b, parties, MOTET_SHARED), 0);
    CHECK_EQ(motet_barrier_parties(b), parties);
    CHECK_EQ(motet_barrier_waiting(b), 0);
    CHECK(!motet_barrier_broken(b));
    return b;
}

static void start_and_meet(peer **p, int n, motet_barrier *b)
{
    peer_start_waiting(p, n, meet, b, RECORD_BARRIER);
    CHECK_EQ(motet_barrier_waiting(b), n);
}

/* The numbers that they were given when they were let through, as bits. */
static int numbers(peer **p, int n)
{
    int all = 0;
    for (int i = 0; i < n; i++)
        all |= 1 << peer_answer(p[i]);
    return all;
}

TEST(codes)
{
    motet_barrier outside = {0};
    CHECK_EQ(motet_barrier_init(&outside, 1, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_barrier_init(NULL, 1, MOTET_SHARED), -EINVAL);
    motet_barrier *b = new_barrier(1);
    CHECK_EQ(motet_barrier_init(b, 0, MOTET_SHARED), -EINVAL);
    CHECK_EQ(motet_barrier_init(b, (unsigned)INT32_MAX + 1, MOTET_SHARED), -EINVAL);
    CHECK_EQ(motet_barrier_init(b, 1, MOTET_SHARED | MOTET_BOUNDED), -EINVAL);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(meet(b, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_barrier_abort(b), 0);
    CHECK(motet_barrier_broken(b));
    CHECK_EQ(meet(b, MOTET_NOWAIT), -EPIPE);
    CHECK_EQ(motet_barrier_reset(b), 0);
    CHECK(!motet_barrier_broken(b));
    CHECK_EQ(meet(b, MOTET_FOREVER), 0);
    CHECK_EQ(records_left(b), 0);
}

/* Whatever one thread does, it is answered as by the private form. */
TEST(as_the_private_form)
{
    uint32_t random = 21;
    peer_fn *const calls[] = {meet, meet, reset, break_};
    for (unsigned parties = 1; parties <= 2; parties++) {
        motet_barrier *b = new_barrier(parties), private;
        CHECK_EQ(motet_barrier_init(&private, parties, 0), 0);
        for (int i = 0; i < 2000; i++) {
            peer_fn *call = calls[random_below(&random, 4)];
            CHECK_EQ(call(b, MOTET_NOWAIT), call(&private, MOTET_NOWAIT));
            CHECK_EQ(motet_barrier_broken(b), motet_barrier_broken(&private));
            CHECK_EQ(motet_barrier_waiting(b), motet_barrier_waiting(&private));
        }
    }
}

TEST(who_gives_up_breaks_it)
{
    motet_barrier *b = new_barrier(2);
    CHECK_EQ(meet(b, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(motet_barrier_broken(b));
    CHECK_EQ(motet_barrier_reset(b), 0);
    motet_time until = motet_after(MOTET_MS);
    CHECK_EQ(meet(b, until), -ETIMEDOUT);
    CHECK_GE(motet_now(), until);
    CHECK(motet_barrier_broken(b));
    CHECK_EQ(motet_barrier_reset(b), 0);
    CHECK_EQ(cancelled(meet_for_ever, b), -ECANCELED);
    CHECK(motet_barrier_broken(b));
    CHECK_EQ(motet_barrier_reset(b), 0);
    CHECK_EQ(interrupted(meet_for_ever, b), -EINTR);
    CHECK(!motet_barrier_broken(b));
    CHECK_EQ(motet_barrier_waiting(b), 0);
    CHECK_EQ(records_left(b), 0);
}

TEST(others_are_told_when_one_gives_up)
{
    motet_barrier *b = new_barrier(3);
    peer *p[1];
    start_and_meet(p, 1, b);
    CHECK_EQ(meet(b, motet_after(MOTET_MS)), -ETIMEDOUT);
    CHECK_EQ(peer_answer(p[0]), -EPIPE);
    CHECK_EQ(peer_do(p[0], meet, b, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(peer_do(p[0], reset, b, 0), 0);
    peer_ask_and_wait(p[0], meet, b, RECORD_BARRIER);
    CHECK_EQ(motet_barrier_reset(b), 0);
    CHECK_EQ(peer_answer(p[0]), -EPIPE);
    CHECK(!motet_barrier_broken(b));
    peer_ask_and_wait(p[0], meet, b, RECORD_BARRIER);
    CHECK_EQ(motet_barrier_abort(b), 0);
    CHECK_EQ(peer_answer(p[0]), -EPIPE);
    CHECK(motet_barrier_broken(b));
    peer_end_all(p, 1);
}

/* ---- rounds ---------------------------------------------------------------------------------------- */

TEST(all_come_before_any_goes_on)
{
    meeting *m = shared(sizeof *m);
    kin k[PARTIES];
    CHECK_EQ(motet_barrier_init(&m->b, PARTIES, MOTET_SHARED), 0);
    kin_start_all(k, PARTIES, attend, m);
    kin_bury_all(k, PARTIES);
    check_numbers(m);
    CHECK(!motet_barrier_broken(&m->b));
    CHECK_EQ(records_left(&m->b), 0);
}

/* Threads of one process and another process, all parties. */
TEST(threads_are_parties_too)
{
    motet_barrier *b = new_barrier(4);
    peer *p[1];
    start_and_meet(p, 1, b);
    motet_thread *t[2];
    start_all(t, 2, meet_for_ever, b);
    AWAIT(motet_barrier_waiting(b) == 3);
    CHECK_EQ(meet(b, MOTET_NOWAIT), 3);
    int all = numbers(p, 1);
    for (int i = 0; i < 2; i++)
        all |= 1 << finish(t[i]);
    CHECK_EQ(all, 7);
    peer_end_all(p, 1);
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

TEST(a_death_inside_breaks_it)
{
    motet_barrier *b = new_barrier(4);
    peer *p[3];
    start_and_meet(p, 3, b);
    peer_kill(p[1]);
    CHECK_EQ(peer_answer(p[0]), -EPIPE);
    CHECK_EQ(peer_answer(p[2]), -EPIPE);
    CHECK(motet_barrier_broken(b));
    CHECK_EQ(meet(b, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(motet_barrier_reset(b), 0);
    peer_ask_and_wait(p[0], meet, b, RECORD_BARRIER);
    peer_ask_and_wait(p[2], meet, b, RECORD_BARRIER);
    p[1] = peer_start();
    peer_ask_and_wait(p[1], meet, b, RECORD_BARRIER);
    CHECK_EQ(meet(b, MOTET_FOREVER), 3);
    CHECK_EQ(numbers(p, 3), 7);
    peer_end_all(p, 3);
}

/* Nobody else waits: also who only asks finds it broken. */
TEST(a_death_inside_is_seen_by_who_asks)
{
    motet_barrier *b = new_barrier(2);
    peer *p[1];
    start_and_meet(p, 1, b);
    peer_kill(p[0]);
    CHECK_EQ(motet_barrier_waiting(b), 0);
    CHECK(motet_barrier_broken(b));
    CHECK_EQ(meet(b, MOTET_NOWAIT), -EPIPE);
}

TEST(a_death_outside_breaks_nothing)
{
    motet_barrier *b = new_barrier(2);
    peer *dead = peer_start(), *p[1];
    CHECK_EQ(peer_do(dead, meet, b, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(peer_do(dead, reset, b, 0), 0);
    start_and_meet(p, 1, b);
    peer_kill(dead);
    CHECK(peer_is_busy(p[0]));
    CHECK_EQ(meet(b, MOTET_FOREVER), 1);
    CHECK_EQ(peer_answer(p[0]), 0);
    peer_end_all(p, 1);
}

/* It was let through, and dies before it has left: the round was complete. */
TEST(a_death_on_the_way_out_breaks_nothing)
{
    motet_barrier *b = new_barrier(3);
    peer *p[2];
    start_and_meet(p, 2, b);
    peer_stop(p[0], b, NULL);
    CHECK_EQ(meet(b, MOTET_FOREVER), 2);
    CHECK_EQ(peer_answer(p[1]), 1);
    /* The next round can't begin before it has left. */
    peer_ask(p[1], meet, b, MOTET_FOREVER);
    peer_kill(p[0]);
    AWAIT(motet_barrier_waiting(b) == 1);
    CHECK(!motet_barrier_broken(b));
    p[0] = peer_start();
    peer_ask_and_wait(p[0], meet, b, RECORD_BARRIER);
    CHECK_EQ(meet(b, MOTET_FOREVER), 2);
    CHECK_EQ(numbers(p, 2), 3);
    peer_end_all(p, 2);
}

TEST(a_reset_or_abort_by_another_process)
{
    motet_barrier *b = new_barrier(3);
    peer *p[2];
    start_and_meet(p, 1, b);
    p[1] = peer_start();
    CHECK_EQ(peer_do(p[1], break_, b, 0), 0);
    CHECK_EQ(peer_answer(p[0]), -EPIPE);
    peer_kill(p[1]);
    CHECK(motet_barrier_broken(b));
    CHECK_EQ(peer_do(p[0], reset, b, 0), 0);
    CHECK(!motet_barrier_broken(b));
    peer_end_all(p, 1);
}

/* Somebody stands still in the middle of an operation: who gives up meanwhile breaks the barrier all the same. */
TEST(a_claim_that_is_held_keeps_deadlines)
{
    motet_barrier *b = new_barrier(3);
    uint32_t *claim = (uint32_t *)&b->reserved_[0];
    peer *p[1];
    start_and_meet(p, 1, b);
    CHECK_EQ(claim_acquire(claim, MOTET_NOWAIT, false), 0);
    CHECK_EQ(meet(b, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(!motet_barrier_broken(b)); /* not to be known yet */
    claim_release(claim);
    CHECK_EQ(peer_answer(p[0]), -EPIPE);
    CHECK(motet_barrier_broken(b));
    peer_end_all(p, 1);
}

/* ---- many rounds, with deaths ---------------------------------------------------------------------- */

enum { CROWD = 3, KILLS = 25 };

typedef struct crowd {
    motet_barrier b;
    uint32_t over, rounds, resets;
} crowd;

/* Everyone comes again and again; who finds it broken resets it. */
static int live(void *arg)
{
    crowd *c = arg;
    while (!SEEN(&c->over)) {
        int number = motet_barrier_wait(&c->b, MOTET_FOREVER);
        if (number == CROWD - 1)
            atomic_add_relaxed(&c->rounds, 1);
        else if (number == -EPIPE && motet_barrier_broken(&c->b) && motet_barrier_reset(&c->b) == 0)
            atomic_add_relaxed(&c->resets, 1);
        else if (number != -EPIPE && number < 0)
            return 1;
    }
    return 0;
}

TEST(a_crowd_that_dies)
{
    crowd *c = shared(sizeof *c);
    kin k[CROWD];
    uint32_t random = 9;
    CHECK_EQ(motet_barrier_init(&c->b, CROWD, MOTET_SHARED), 0);
    kin_start_all(k, CROWD, live, c);
    for (int kills = 0; kills < KILLS; kills++) {
        uint32_t until = SEEN(&c->rounds) + 1 + random_below(&random, 20);
        AWAIT(SEEN(&c->rounds) >= until);
        uint32_t dead = random_below(&random, CROWD);
        kin_kill(k[dead]);
        k[dead] = kin_start(live, c);
    }
    atomic_store_release(&c->over, 1);
    /* They may wait for one that has left for good. */
    for (int i = 0; i < CROWD; i++) {
        int status;
        while (waitpid(k[i].pid, &status, WNOHANG) == 0) {
            CHECK_EQ(motet_barrier_abort(&c->b), 0);
            motet_yield();
        }
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
        motet__member_bury(k[i].tag);
    }
    CHECK_EQ(records_left(&c->b), 0);
}
