/* SPDX-License-Identifier: MIT */
/* The event: codes, a set is never missed (cleared again or not), what it publishes. */
#include "sync/test_threads.h"

#include "sync/sync.h"

#include <stdlib.h>

enum { SET = 1, WAITED = 2 };

TEST(codes)
{
    motet_event e = {0};
    CHECK_EQ(motet_event_init(NULL, 0), -EINVAL);
    CHECK_EQ(motet_event_init(&e, MOTET_SHARED), -EFAULT);
    CHECK_EQ(motet_event_init(&e, MOTET_BOUNDED), -EINVAL);
    CHECK_EQ(motet_event_set(NULL), -EINVAL);
    CHECK_EQ(motet_event_clear(NULL), -EINVAL);
    CHECK_EQ(motet_event_wait(NULL, MOTET_FOREVER), -EINVAL);
    CHECK(!motet_event_is_set(NULL));
    CHECK(!motet_event_is_set(&e));
    CHECK_EQ(motet_event_wait(&e, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_event_clear(&e), 0);
    CHECK_EQ(motet_event_set(&e), 0);
    CHECK_EQ(motet_event_set(&e), 0);
    CHECK(motet_event_is_set(&e));
    CHECK_EQ(motet_event_wait(&e, MOTET_NOWAIT), 0);
    CHECK_EQ(motet_event_wait(&e, MOTET_FOREVER), 0);
    CHECK_EQ(motet_event_clear(&e), 0);
    CHECK(!motet_event_is_set(&e));
    CHECK_EQ(motet_event_wait(&e, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK_EQ(motet_event_set(&e), 0);
    CHECK_EQ(motet_event_init(&e, 0), 0);
    CHECK(!motet_event_is_set(&e));
    motet_time deadline = motet_after(2 * MOTET_MS);
    CHECK_EQ(motet_event_wait(&e, deadline), -ETIMEDOUT);
    CHECK_GE(motet_now(), deadline);
}

static int await(void *event) { return motet_event_wait(event, MOTET_FOREVER); }

TEST(lets_everyone_through)
{
    motet_event e = {0};
    motet_thread *t[8];
    start_all(t, 8, await, &e);
    UNTIL(SEEN(&e.word_) & WAITED);
    CHECK_EQ(motet_event_set(&e), 0);
    CHECK_EQ(finish_all(t, 8, 0), 8);
}

/* Who waits when it is set goes on though it is cleared at once; with the count at its end too. */
TEST(a_set_that_is_cleared_counts)
{
    motet_event e = {.word_ = -(uint32_t)(4 * 50)};
    for (int i = 0; i < 100; i++) {
        motet_thread *t = start(await, &e);
        UNTIL(SEEN(&e.word_) & WAITED);
        CHECK_EQ(motet_event_set(&e), 0);
        CHECK_EQ(motet_event_clear(&e), 0);
        CHECK_EQ(finish(t), 0);
        CHECK(!motet_event_is_set(&e));
    }
}

TEST(a_wait_can_be_ended)
{
    motet_event e = {0};
    CHECK_EQ(cancelled(await, &e), -ECANCELED);
    CHECK_EQ(interrupted(await, &e), -EINTR);
    CHECK_EQ(in_forked_child(await, &e), -EPERM);
    CHECK_EQ(motet_event_set(&e), 0);
    CHECK_EQ(cancelled(await, &e), 0); /* there is nothing to wait for */
    CHECK_EQ(in_forked_child(await, &e), 0);
}

/* ---- no set is missed ------------------------------------------------------------------------------ */

struct mail {
    CACHE_ALIGNED motet_event arrived;
    CACHE_ALIGNED uint32_t there; /* what the event speaks of; relaxed, since the event must publish it */
    CACHE_ALIGNED uint32_t round; /* how far the one is */
    CACHE_ALIGNED uint32_t done;  /* how far the other is */
};

/* As UNTIL, for what happens at once when the other has a CPU. */
static void spin_until(const uint32_t *word, uint32_t value)
{
    for (uint32_t n = 1; SEEN(word) != value; n++) {
        if (n % 512 == 0)
            motet_yield();
        cpu_relax();
    }
}

enum { LETTERS = 20000 };

static int deliver(void *arg)
{
    struct mail *m = arg;
    for (uint32_t i = 1; i <= LETTERS; i++) {
        spin_until(&m->round, i);
        motet_event_is_set(&m->arrived); /* brings it near, so that the write is slower than the look */
        atomic_store_relaxed(&m->there, i);
        motet_event_set(&m->arrived);
        atomic_store_release(&m->done, i);
    }
    return 0;
}

/* "write; set" against "clear; read": the event is set all along, and one of the two must see the other. */
TEST(set_against_clear)
{
    struct mail m = {0};
    motet_thread *t = start(deliver, &m);
    for (uint32_t i = 1; i <= LETTERS; i++) {
        motet_event_set(&m.arrived);
        atomic_store_release(&m.round, i);
        for (uint32_t n = 0; n < i % 64; n++)
            cpu_relax();
        motet_event_clear(&m.arrived);
        bool there = atomic_load_relaxed(&m.there) == i;
        spin_until(&m.done, i);
        CHECK(there || motet_event_is_set(&m.arrived));
    }
    CHECK_EQ(finish(t), 0);
}

/* What was written before the set is there after the wait. */
struct letters {
    motet_event arrived, taken;
    int letter;
};

static int write_letters(void *arg)
{
    struct letters *l = arg;
    for (int i = 1; i <= 2000; i++) {
        l->letter = i;
        motet_event_set(&l->arrived);
        CHECK_EQ(motet_event_wait(&l->taken, MOTET_FOREVER), 0);
        motet_event_clear(&l->taken);
    }
    return 0;
}

TEST(set_publishes)
{
    struct letters l = {0};
    uint32_t seed = 1;
    motet_thread *t = start(write_letters, &l);
    for (int i = 1; i <= 2000; i++) {
        while (motet_event_wait(&l.arrived, i % 2 ? MOTET_FOREVER : random_deadline(&seed)) != 0) {}
        motet_event_clear(&l.arrived);
        CHECK_EQ(l.letter, i);
        motet_event_set(&l.taken);
    }
    CHECK_EQ(finish(t), 0);
}

static int set_event(void *event) { return motet_event_set(event); }

TEST(may_be_freed_by_the_waiter)
{
    for (int i = 0; i < 300; i++) {
        motet_event *e = calloc(1, sizeof *e);
        motet_thread *t = start(set_event, e);
        CHECK_EQ(motet_event_wait(e, MOTET_FOREVER), 0);
        free(e);
        CHECK_EQ(finish(t), 0);
    }
}

/* ---- for one wait over many ------------------------------------------------------------------------ */

TEST(prepare)
{
    motet_event e = {0};
    wait_node n = {0};
    CHECK(!motet__event_prepare(&e, &n));
    CHECK_PTR(n.key, &e);
    CHECK_PTR(n.word, &e.word_);
    CHECK_EQ(n.expected, e.word_);
    CHECK(!motet__event_was_set(&e, &n));
    motet_event_set(&e);
    CHECK(motet__event_was_set(&e, &n));
    motet_event_clear(&e);
    CHECK(motet__event_was_set(&e, &n));
    CHECK(!motet__event_prepare(&e, &n));
    CHECK(!motet__event_was_set(&e, &n));
    motet_event_set(&e);
    wait_node untouched = n;
    CHECK(motet__event_prepare(&e, &n));
    CHECK_MEM(&n, &untouched, sizeof n);
}
