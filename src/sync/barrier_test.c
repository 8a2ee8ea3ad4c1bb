/* SPDX-License-Identifier: MIT */
/* The barrier: codes, rounds that do not mix, and every way in which it breaks. */
#include "sync/test_meeting.h"

#include "sync/sync.h"

#include <stdlib.h>

TEST(codes)
{
    motet_barrier b = {0};
    CHECK_EQ(motet_barrier_wait(NULL, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_barrier_wait(&b, MOTET_FOREVER), -EINVAL);
    CHECK_EQ(motet_barrier_reset(NULL), -EINVAL);
    CHECK_EQ(motet_barrier_reset(&b), -EINVAL);
    CHECK_EQ(motet_barrier_abort(NULL), -EINVAL);
    CHECK_EQ(motet_barrier_abort(&b), -EINVAL);
    CHECK_EQ(motet_barrier_parties(NULL), 0);
    CHECK_EQ(motet_barrier_waiting(NULL), 0);
    CHECK(!motet_barrier_broken(NULL));
    CHECK_EQ(motet_barrier_init(NULL, 1, 0), -EINVAL);
    CHECK_EQ(motet_barrier_init(&b, 0, 0), -EINVAL);
    CHECK_EQ(motet_barrier_init(&b, (unsigned)INT32_MAX + 1, 0), -EINVAL);
    CHECK_EQ(motet_barrier_init(&b, 1, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_barrier_init(&b, 1, MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_barrier_parties(&b), 0);
    CHECK_EQ(motet_barrier_init(&b, INT32_MAX, 0), 0);
    CHECK_EQ(motet_barrier_parties(&b), INT32_MAX);
    CHECK_EQ(motet_barrier_init(&b, 1, 0), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(motet_barrier_wait(&b, MOTET_NOWAIT), 0); /* alone: the last to come */
    CHECK_EQ(motet_barrier_waiting(&b), 0);
    CHECK_EQ(motet_barrier_abort(&b), 0);
    CHECK(motet_barrier_broken(&b));
    CHECK_EQ(motet_barrier_wait(&b, MOTET_FOREVER), -EPIPE);
    CHECK_EQ(motet_barrier_reset(&b), 0);
    CHECK(!motet_barrier_broken(&b));
    CHECK_EQ(motet_barrier_wait(&b, MOTET_FOREVER), 0);
}

/* ---- rounds ---------------------------------------------------------------------------------------- */

TEST(all_come_before_any_goes_on)
{
    meeting *m = calloc(1, sizeof *m);
    motet_thread *t[PARTIES];
    CHECK_EQ(motet_barrier_init(&m->b, PARTIES, 0), 0);
    start_all(t, PARTIES, attend, m);
    CHECK_EQ(finish_all(t, PARTIES, 0), PARTIES);
    check_numbers(m);
    CHECK_EQ(m->b.state_, 0);
    free(m);
}

static int wait_for_ever(void *b) { return motet_barrier_wait(b, MOTET_FOREVER); }

/* More threads than parties: each round takes some of them, and all get a number in the end. */
TEST(more_threads_than_parties)
{
    motet_barrier b;
    motet_thread *t[12];
    int numbers[3] = {0};
    CHECK_EQ(motet_barrier_init(&b, 3, 0), 0);
    start_all(t, 12, wait_for_ever, &b);
    for (int i = 0; i < 12; i++) {
        int number = finish(t[i]);
        CHECK(number >= 0 && number < 3);
        numbers[number]++;
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(numbers[i], 4);
}

TEST(the_last_to_come_has_the_last_number)
{
    motet_barrier b;
    CHECK_EQ(motet_barrier_init(&b, 2, 0), 0);
    for (int i = 0; i < 50; i++) {
        motet_thread *t = start(wait_for_ever, &b);
        UNTIL(motet_barrier_waiting(&b) == 1);
        CHECK_EQ(motet_barrier_wait(&b, MOTET_NOWAIT), 1);
        CHECK_EQ(finish(t), 0);
    }
}

/* ---- breaking -------------------------------------------------------------------------------------- */

static int fail_with(motet_barrier *b, int how)
{
    motet_time deadline = motet_after(MOTET_MS);
    switch (how) {
    case 0: return motet_barrier_wait(b, MOTET_NOWAIT);
    case 1: {
        int e = motet_barrier_wait(b, deadline);
        CHECK_GE(motet_now(), deadline);
        return e;
    }
    case 2: return cancelled(wait_for_ever, b);
    default: return motet_barrier_abort(b);
    }
}

TEST(who_gives_up_breaks_it)
{
    const int code[] = {-ETIMEDOUT, -ETIMEDOUT, -ECANCELED, 0};
    for (int how = 0; how < 4; how++) {
        motet_barrier b;
        motet_thread *t[2];
        CHECK_EQ(motet_barrier_init(&b, 4, 0), 0);
        start_all(t, 2, wait_for_ever, &b);
        UNTIL(motet_barrier_waiting(&b) == 2);
        CHECK_EQ(fail_with(&b, how), code[how]);
        CHECK(motet_barrier_broken(&b));
        CHECK_EQ(motet_barrier_waiting(&b), 0);
        CHECK_EQ(motet_barrier_wait(&b, MOTET_FOREVER), -EPIPE);
        CHECK_EQ(finish_all(t, 2, -EPIPE), 2);
        CHECK(motet_barrier_broken(&b));
        CHECK_EQ(motet_barrier_reset(&b), 0);
        CHECK_EQ(b.state_, 0);
    }
}

TEST(reset_sends_away_and_mends)
{
    motet_barrier b;
    motet_thread *t[2];
    CHECK_EQ(motet_barrier_init(&b, 3, 0), 0);
    for (int i = 0; i < 20; i++) {
        start_all(t, 2, wait_for_ever, &b);
        UNTIL(motet_barrier_waiting(&b) == 2);
        if (i % 3 == 0)
            CHECK_EQ(motet_barrier_abort(&b), 0);
        CHECK_EQ(motet_barrier_reset(&b), 0);
        CHECK(!motet_barrier_broken(&b));
        /* Those of the next round do not meet those that were sent away. */
        motet_thread *next[3];
        start_all(next, 3, wait_for_ever, &b);
        CHECK_EQ(finish_all(t, 2, -EPIPE), 2);
        int sum = 0;
        for (int n = 0; n < 3; n++)
            sum += 1 << finish(next[n]);
        CHECK_EQ(sum, 7);
        CHECK_EQ(motet_barrier_reset(&b), 0); /* nobody there: nothing happens */
    }
    CHECK_EQ(b.state_, 0);
}

/* Who was let through is not concerned by what comes after. */
TEST(abort_spares_who_was_let_through)
{
    for (int i = 0; i < 50; i++) {
        motet_barrier b;
        CHECK_EQ(motet_barrier_init(&b, 2, 0), 0);
        motet_thread *t = start(wait_for_ever, &b);
        UNTIL(motet_barrier_waiting(&b) == 1);
        CHECK_EQ(motet_barrier_wait(&b, MOTET_FOREVER), 1);
        CHECK_EQ(motet_barrier_abort(&b), 0);
        CHECK_EQ(finish(t), 0);
        CHECK(motet_barrier_broken(&b));
        CHECK_EQ(motet_barrier_wait(&b, MOTET_FOREVER), -EPIPE);
        CHECK_EQ(motet_barrier_reset(&b), 0);
        CHECK_EQ(b.state_, 0);
    }
}

/* A signal takes a party back without harm to the others. */
TEST(a_signal_does_not_break_it)
{
    motet_barrier b;
    motet_thread *t[2];
    CHECK_EQ(motet_barrier_init(&b, 3, 0), 0);
    start_all(t, 2, wait_for_ever, &b);
    UNTIL(motet_barrier_waiting(&b) == 2);
    motet_barrier alone;
    CHECK_EQ(motet_barrier_init(&alone, 2, 0), 0);
    CHECK_EQ(interrupted(wait_for_ever, &alone), -EINTR);
    CHECK_EQ(in_forked_child(wait_for_ever, &alone), -EPERM);
    CHECK_EQ(alone.state_, 0);
    CHECK_EQ(motet_barrier_wait(&b, MOTET_FOREVER), 2);
    CHECK_EQ(finish(t[0]) + finish(t[1]), 1);
}

/* Parties that give up at random times: every round ends for each in one of the known ways, and nobody hangs. */
struct crowd {
    motet_barrier b;
    uint32_t seed, passed;
};

static int come_and_go(void *arg)
{
    struct crowd *c = arg;
    uint32_t seed = atomic_add_relaxed(&c->seed, 1) + 21;
    for (int i = 0; i < 1000; i++) {
        int e = motet_barrier_wait(&c->b, random_deadline(&seed));
        if (e >= 0) {
            atomic_add_relaxed(&c->passed, 1);
        } else if (e == -EPIPE || e == -ETIMEDOUT) {
            CHECK_EQ(motet_barrier_reset(&c->b), 0);
        } else {
            CHECK_EQ(e, 0);
        }
    }
    return 0;
}

TEST(rounds_are_whole_whoever_gives_up)
{
    struct crowd c = {0};
    motet_thread *t[4];
    CHECK_EQ(motet_barrier_init(&c.b, 2, 0), 0);
    start_all(t, 4, come_and_go, &c);
    CHECK_EQ(finish_all(t, 4, 0), 4);
    CHECK_EQ(c.passed % 2, 0);
    CHECK_EQ(motet_barrier_reset(&c.b), 0);
    CHECK_EQ(c.b.state_, 0);
}
