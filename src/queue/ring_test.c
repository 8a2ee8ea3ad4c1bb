/* SPDX-License-Identifier: MIT */
/* The ring's two ends: what one end's holder stops and what not, what the flags say, arrays that come and go. */
#include "queue/ring.h"

#include "queue/test_help.h"
#include "queue/waitable.h"

static void put(motet_queue *q, int item) { CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), 0); }

static int got(motet_queue *q)
{
    int item = -1;
    CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), 0);
    return item;
}

static int put_three(void *q)
{
    int item = 3;
    return motet_queue_put(q, &item, MOTET_FOREVER);
}

static int get_one(void *q)
{
    int item, e = motet_queue_get(q, &item, MOTET_FOREVER);
    return e < 0 ? e : item;
}

static bool shows(const motet_queue *q, bool to_putters)
{
    return atomic_load_acquire(to_putters ? &q->in.word : &q->out.word) & RING_GATE;
}

/* ---- who holds an end ------------------------------------------------------------------------------ */

/* To the getters a put that is under way has not begun. */
TEST(who_puts_stops_no_getter)
{
    int item;
    motet_queue *q = queue_of(sizeof item, MOTET_FIFO, 4);
    put(q, 1);
    put(q, 2);
    uint64_t w = ring_hold(&q->in.word, 0);
    CHECK_EQ(motet_queue_size(q), 2);
    CHECK_EQ(got(q), 1);
    CHECK_EQ(motet_queue_get_many(q, &item, 1, MOTET_NOWAIT), 1);
    CHECK_EQ(item, 2);
    CHECK_EQ(motet_queue_get(q, &item, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(motet_queue_empty(q));
    ring_release(&q->in.word, w);
    motet_queue_close(q);
}

TEST(who_gets_stops_no_putter)
{
    int item = 9;
    motet_queue *q = queue_of(sizeof item, MOTET_FIFO, 2);
    put(q, 1);
    uint64_t w = ring_hold(&q->out.word, 0);
    put(q, 2);
    CHECK_EQ(motet_queue_put(q, &item, MOTET_NOWAIT), -ETIMEDOUT);
    CHECK(motet_queue_full(q));
    ring_release(&q->out.word, w);
    CHECK_EQ(got(q), 1);
    put(q, 3);
    CHECK_EQ(got(q), 2);
    CHECK_EQ(got(q), 3);
    motet_queue_close(q);
}

/* However long the holder is without a CPU: those who come to its end wait, awake or not, and then go on. */
TEST(an_end_that_is_held_is_waited_for)
{
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 4);
    uint64_t w = ring_hold(&q->in.word, 0);
    motet_thread *a = begin(put_three, q), *b = begin(put_three, q);
    for (motet_time end = motet_after(5 * MOTET_MS); motet_now() < end;)
        CHECK(motet_queue_empty(q));
    ring_release(&q->in.word, w);
    CHECK_EQ(result_of(a), 0);
    CHECK_EQ(result_of(b), 0);
    CHECK_EQ(got(q) + got(q), 6);
    motet_queue_close(q);
}

TEST(positions_go_on_over_their_flags)
{
    int items[3] = {1, 2, 3};
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 3);
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_EQ(q->in.word, 3 * i * RING_STEP);
        CHECK_EQ(q->out.word, 3 * i * RING_STEP);
        CHECK_EQ(motet_queue_put_many(q, items, 3, MOTET_NOWAIT), 3);
        CHECK_EQ(got(q), 1);
        CHECK_EQ(got(q), 2);
        CHECK_EQ(got(q), 3);
    }
    motet_queue_close(q);
}

/* ---- who waits is shown to those who may let him go on --------------------------------------------- */

TEST(the_flag_stands_while_somebody_is_untold)
{
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 1);
    CHECK(!shows(q, true) && !shows(q, false));
    motet_thread *a = begin(get_one, q), *b = begin(get_one, q);
    await_getters(q, 2);
    CHECK(shows(q, true) && !shows(q, false));
    put(q, 1);
    await_getters(q, 1);
    CHECK(shows(q, true)); /* of the other one */
    put(q, 2);
    CHECK_EQ(result_of(a) + result_of(b), 3);
    CHECK(!shows(q, true) && !shows(q, false));
    put(q, 1);
    a = begin(put_three, q);
    await_putters(q, 1);
    CHECK(!shows(q, true) && shows(q, false));
    CHECK_EQ(got(q), 1);
    CHECK_EQ(result_of(a), 0);
    CHECK(!shows(q, true) && !shows(q, false));
    CHECK_EQ(getters_of(q).waiting | putters_of(q).waiting, 0);
    motet_queue_close(q);
}

/* Who gives up takes his flag down. */
TEST(the_flag_does_not_outlast_who_waits)
{
    int item = 1;
    motet_queue *q = queue_of(sizeof item, MOTET_FIFO, 1);
    CHECK_EQ(motet_queue_get(q, &item, motet_after(1)), -ETIMEDOUT);
    CHECK(!shows(q, true) && !shows(q, false));
    put(q, 1);
    CHECK_EQ(motet_queue_put(q, &item, motet_after(1)), -ETIMEDOUT);
    CHECK(!shows(q, true) && !shows(q, false));
    motet_queue_close(q);
}

/* Nobody is told, and the guard not taken, while nobody waits. */
TEST(without_waiters_nobody_takes_the_guard)
{
    int items[2] = {3, 4};
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 8);
    queue_lock(q);
    put(q, 1);
    put(q, 2);
    CHECK_EQ(motet_queue_put_many(q, items, 2, MOTET_NOWAIT), 2);
    CHECK_EQ(motet_queue_get_many(q, items, 2, MOTET_NOWAIT), 2);
    CHECK_EQ(items[0] + items[1], 3);
    CHECK_EQ(got(q), 3);
    CHECK_EQ(got(q), 4);
    queue_unlock(q);
    motet_queue_close(q);
}

/* ---- arrays ---------------------------------------------------------------------------------------- */

/* Larger and smaller again, whichever call finds that out, and each end knows what it has then. */
TEST(an_array_that_went_back_holds_what_it_holds)
{
    enum { MUCH = 40000, BATCH = 9000 };
    static int items[MUCH], out[MUCH];
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    for (int i = 0; i < MUCH; i++)
        items[i] = i;
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(motet_queue_put_many(q, items, MUCH, MOTET_NOWAIT), MUCH);
        CHECK(q->spare && (q->out.word & RING_SPARE));
        if (round == 0) {
            for (int i = 0; i < MUCH; i++)
                CHECK_EQ(got(q), i);
        } else if (round == 1) {
            CHECK_EQ(motet_queue_get_many(q, out, MUCH, MOTET_NOWAIT), MUCH);
            CHECK_MEM(out, items, sizeof items);
        } else {
            for (int n, i = 0; i < MUCH; i += n) {
                n = motet_queue_get_many(q, out, BATCH, MOTET_NOWAIT);
                CHECK_EQ(n, i + BATCH < MUCH ? BATCH : MUCH - i);
                CHECK_MEM(out, items + i, (size_t)n * sizeof(int));
            }
        }
        CHECK(!q->spare && !(q->out.word & RING_SPARE));
        CHECK_LT(q->mask + 1, MUCH);
        put(q, 7);
        CHECK_EQ(motet_queue_put_many(q, items, MUCH, MOTET_NOWAIT), MUCH);
        CHECK_EQ(got(q), 7);
        CHECK_EQ(motet_queue_get_many(q, out, MUCH, MOTET_NOWAIT), MUCH);
        CHECK_MEM(out, items, sizeof items);
    }
    motet_queue_close(q);
}

/* A get under the guard leaves it to the later ones to look when few are left. */
TEST(a_selected_item_hides_no_spare_array)
{
    enum { MUCH = 40000 };
    static int items[MUCH];
    motet_queue *q = queue_of(sizeof(int), MOTET_FIFO, 0);
    for (int i = 0; i < MUCH; i++)
        items[i] = i;
    CHECK_EQ(motet_queue_put_many(q, items, MUCH, MOTET_NOWAIT), MUCH);
    int item = -1;
    queue_transfer transfer = {.item = &item};
    waitable w = {.ops = &motet__queue_get_waitable, .object = q, .arg = &transfer};
    CHECK_EQ(waitable_attempt(&w, NULL), 1);
    CHECK_EQ(item, 0);
    CHECK(q->spare);
    for (int i = 1; i < MUCH; i++)
        CHECK_EQ(got(q), i);
    CHECK_PTR(q->spare, NULL);
    motet_queue_close(q);
}
