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
    CHECK_EQ(motet_event_init(&e, MOTET_SHARED), -ENOTSUP);
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
    motet_event arrived, taken;
    uint32_t there; /* what the event speaks of; deliberately relaxed */
    int letter;     /* published by it */
};

enum { LETTERS = 5000 };

static int deliver(void *arg)
{
    struct mail *m = arg;
    for (int i = 1; i <= LETTERS; i++) {
        m->letter = i;
        atomic_store_relaxed(&m->there, 1);
        motet_event_set(&m->arrived);
        CHECK_EQ(motet_event_wait(&m->taken, MOTET_FOREVER), 0);
        motet_event_clear(&m->taken);
    }
    return 0;
}

/* "write; set" against "clear; read; wait": the event is set all along, and one of the two must see the other. */
TEST(set_against_clear)
{
    struct mail m = {0};
    uint32_t seed = 1;
    motet_thread *t = start(deliver, &m);
    for (int i = 1; i <= LETTERS; i++) {
        for (;;) {
            motet_event_clear(&m.arrived);
            if (atomic_load_relaxed(&m.there))
                break;
            motet_event_wait(&m.arrived, i % 2 ? MOTET_FOREVER : random_deadline(&seed));
        }
        CHECK_EQ(m.letter, i);
        atomic_store_relaxed(&m.there, 0);
        motet_event_set(&m.arrived); /* so that the next set finds it set */
        motet_event_set(&m.taken);
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
