/* SPDX-License-Identifier: MIT */
/* Threads that race on one queue. The properties: every item is got exactly once, those of one producer in
 * order, and nobody sleeps while there is something for him: a wake that somebody swallowed is a test that
 * never ends. */
#include "queue/ring.h"
#include "queue/test_help.h"
#include "queue/waitable.h"

enum { PRODUCERS = 4, CONSUMERS = 4, EACH = 20000, BATCH = 16 };

typedef struct item {
    uint32_t producer, number;
} item;

typedef struct race {
    motet_queue *q;
    uint32_t seen[PRODUCERS][EACH]; /* how often */
    uint32_t producers_begun, consumers_begun;
    bool batches, impatient, fifo;
    uint32_t cancels;                /* how many more times a consumer's wait is to be cancelled */
    park_self *consumers[CONSUMERS]; /* NULL: not begun */
} race;

/* A deadline that is long, short or over. */
static motet_time some_deadline(const race *r, uint32_t *seed)
{
    if (!r->impatient)
        return MOTET_FOREVER;
    switch (dice(seed) % 4) {
    case 0: return MOTET_NOWAIT;
    case 1: return motet_after(dice(seed) % 20000);
    case 2: return motet_after(dice(seed) % 200000);
    default: return MOTET_FOREVER;
    }
}

static int produce(void *arg)
{
    race *r = arg;
    uint32_t me = atomic_add_relaxed(&r->producers_begun, 1), seed = me + 1;
    item items[BATCH];
    for (uint32_t k = 0; k < EACH;) {
        size_t n = r->batches ? 1 + dice(&seed) % BATCH : 1;
        n = n < EACH - k ? n : EACH - k;
        for (uint32_t i = 0; i < n; i++)
            items[i] = (item){me, k + i};
        motet_time deadline = some_deadline(r, &seed);
        int put = n > 1 ? motet_queue_put_many(r->q, items, n, deadline) : motet_queue_put(r->q, items, deadline);
        if (put < 0)
            CHECK(put == -ETIMEDOUT && deadline != MOTET_FOREVER);
        else
            k += n > 1 ? (uint32_t)put : 1;
    }
    return 0;
}

static void see(race *r, const item *items, int n, uint32_t *next)
{
    for (int i = 0; i < n; i++) {
        CHECK_LT(items[i].producer, PRODUCERS);
        CHECK_LT(items[i].number, EACH);
        if (r->fifo)
            CHECK_GE(items[i].number, next[items[i].producer]);
        next[items[i].producer] = items[i].number + 1;
        atomic_add_relaxed(&r->seen[items[i].producer][items[i].number], 1);
    }
}

static int consume(void *arg)
{
    race *r = arg;
    uint32_t me = atomic_add_relaxed(&r->consumers_begun, 1), seed = me + 77;
    uint32_t next[PRODUCERS] = {0};
    park_self *self = motet__park_self();
    atomic_store_release(&r->consumers[me], self);
    item items[BATCH];
    for (;;) {
        size_t n = r->batches ? 1 + dice(&seed) % BATCH : 1;
        motet_time deadline = some_deadline(r, &seed);
        int got = n > 1 ? motet_queue_get_many(r->q, items, n, deadline) : motet_queue_get(r->q, items, deadline);
        if (got == -EPIPE)
            return 0;
        if (got == -ECANCELED)
            atomic_store_relaxed(&self->cancelled, 0); /* as no user can: alive again */
        else if (got < 0)
            CHECK(got == -ETIMEDOUT && deadline != MOTET_FOREVER);
        else
            see(r, items, n > 1 ? got : 1, next);
    }
}

/* Cancels consumers, asleep or not, while the producers work. */
static int cancel(void *arg)
{
    race *r = arg;
    for (uint32_t i = 0; i < r->cancels; i++) {
        park_self *victim = atomic_load_acquire(&r->consumers[i % CONSUMERS]);
        if (victim)
            motet__park_cancel(victim);
        motet_yield();
    }
    return 0;
}

static race arena;

static void run(race settings, size_t capacity, motet_queue_order order)
{
    race *r = &arena;
    *r = settings;
    r->q = queue_of(sizeof(item), order, capacity);
    r->fifo = order == MOTET_FIFO;
    motet_thread *p[PRODUCERS], *c[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        c[i] = begin(consume, r);
    for (int i = 0; i < PRODUCERS; i++)
        p[i] = begin(produce, r);
    motet_thread *canceller = begin(cancel, r);
    for (int i = 0; i < PRODUCERS; i++)
        result_of(p[i]);
    result_of(canceller);
    CHECK_EQ(motet_queue_shutdown(r->q), 0);
    for (int i = 0; i < CONSUMERS; i++)
        result_of(c[i]);
    for (int i = 0; i < PRODUCERS; i++) {
        for (int k = 0; k < EACH; k++)
            CHECK_EQ(r->seen[i][k], 1);
    }
    gate g = getters_of(r->q), h = putters_of(r->q);
    CHECK_EQ(g.waiting | g.woken | h.waiting | h.woken, 0);
    CHECK_EQ((r->q->in.word | r->q->out.word) & (RING_HELD | RING_GATE), 0);
    CHECK_EQ(r->q->flags & QUEUE_SHOWN, 0);
    motet_queue_close(r->q);
}

TEST(four_and_four_patient) { run((race){.fifo = true}, 3, MOTET_FIFO); }

TEST(four_and_four_unbounded) { run((race){.batches = true}, 0, MOTET_FIFO); }

TEST(four_and_four_with_batches) { run((race){.batches = true}, 20, MOTET_FIFO); }

TEST(four_and_four_impatient) { run((race){.impatient = true, .batches = true}, 2, MOTET_FIFO); }

TEST(four_and_four_cancelled) { run((race){.cancels = 20000}, 1, MOTET_FIFO); }

TEST(four_and_four_everything) { run((race){.impatient = true, .batches = true, .cancels = 10000}, 5, MOTET_LIFO); }

/* ---- a wake that is not used is passed on ---------------------------------------------------------- */

static int get_one(void *q)
{
    int value, e = motet_queue_get(q, &value, MOTET_FOREVER);
    return e < 0 ? e : value;
}

static int put_one(void *q)
{
    int value = 5;
    return motet_queue_put(q, &value, MOTET_FOREVER);
}

/* One who waits is told of an item that somebody else takes; the next item counts on him too, and he goes
 * without it. */
TEST(a_getter_that_leaves_passes_its_wake_on)
{
    int value = 1;
    motet_queue *q = queue_of(sizeof value, MOTET_FIFO, 0);
    queue_transfer transfer = {.item = &value};
    waitable leaver = {.ops = &motet__queue_get_waitable, .object = q, .arg = &transfer};
    wait_node node = {0};
    CHECK_EQ(waitable_attempt(&leaver, &node), 0);
    CHECK_EQ(motet_queue_put(q, &value, MOTET_NOWAIT), 0);
    CHECK_EQ(getters_of(q).woken, 1);
    CHECK_NE(q->getters_seq, node.expected); /* what the leaver would see */
    CHECK_EQ(motet_queue_get(q, &value, MOTET_NOWAIT), 0);
    motet_thread *t = begin(get_one, q);
    await_getters(q, 2);
    value = 2;
    CHECK_EQ(motet_queue_put(q, &value, MOTET_NOWAIT), 0);
    waitable_retract(&leaver, &node);
    CHECK_PTR(node.key, NULL);
    CHECK_EQ(result_of(t), 2);
    motet_queue_close(q);
}

TEST(a_putter_that_leaves_passes_its_wake_on)
{
    int value = 1;
    motet_queue *q = queue_of(sizeof value, MOTET_FIFO, 1);
    queue_transfer transfer = {.item = &value};
    waitable leaver = {.ops = &motet__queue_put_waitable, .object = q, .arg = &transfer};
    wait_node node = {0};
    CHECK_EQ(motet_queue_put(q, &value, MOTET_NOWAIT), 0);
    CHECK_EQ(waitable_attempt(&leaver, &node), 0);
    CHECK_EQ(motet_queue_get(q, &value, MOTET_NOWAIT), 0);
    CHECK_EQ(putters_of(q).woken, 1);
    CHECK_EQ(motet_queue_put(q, &value, MOTET_NOWAIT), 0);
    motet_thread *t = begin(put_one, q);
    await_putters(q, 2);
    CHECK_EQ(motet_queue_get(q, &value, MOTET_NOWAIT), 0);
    waitable_retract(&leaver, &node);
    CHECK_EQ(result_of(t), 0);
    motet_queue_close(q);
}

/* One that is being cancelled was counted on for an item. (The gate is set by hand to what such a race
 * leaves: without a bump, so that the cancel surely wins.) */
TEST(a_cancelled_getter_passes_its_wake_on)
{
    int value = 1;
    motet_queue *q = queue_of(sizeof value, MOTET_FIFO, 0);
    queue_transfer transfer = {.item = &value};
    waitable other = {.ops = &motet__queue_get_waitable, .object = q, .arg = &transfer};
    wait_node node = {0};
    motet_thread *t = begin(get_one, q);
    await_getters(q, 1);
    CHECK_EQ(waitable_attempt(&other, &node), 0);
    queue_lock(q);
    CHECK_EQ(motet_thread_cancel(t), 0);
    size_t slots;
    CHECK_EQ(motet__store_put(q, &value, 1, 1, &slots), 1);
    q->getters.woken = 1;
    guard_unlock(&q->guard);
    CHECK_EQ(result_of(t), -ECANCELED);
    CHECK_EQ(q->getters_seq - node.expected, 1);
    CHECK_EQ(getters_of(q).woken, 1);
    CHECK_EQ(waitable_attempt(&other, &node), 1);
    waitable_retract(&other, &node);
    CHECK_EQ(getters_of(q).waiting | getters_of(q).woken, 0);
    motet_queue_close(q);
}

struct late {
    motet_queue *q;
    motet_time deadline;
};

static int get_in_time(void *arg)
{
    struct late *l = arg;
    int value;
    return motet_queue_get(l->q, &value, l->deadline);
}

/* Its deadline passes while it waits, and an item comes before it is back: it takes it. */
TEST(who_times_out_beside_an_item_takes_it)
{
    int value = 1, result = -ETIMEDOUT;
    for (int64_t span = 20 * MOTET_MS; result == -ETIMEDOUT; span *= 2) {
        struct late l = {.q = queue_of(sizeof value, MOTET_FIFO, 0), .deadline = motet_after(span)};
        motet_thread *t = begin(get_in_time, &l);
        bool waits = false;
        while (!waits && motet_now() < l.deadline) {
            queue_lock(l.q);
            waits = l.q->getters.waiting == 1;
            if (!waits)
                queue_unlock(l.q);
        }
        while (waits && motet_now() <= l.deadline)
            cpu_relax();
        if (waits) {
            size_t slots;
            CHECK_EQ(motet__store_put(l.q, &value, 1, 1, &slots), 1);
            guard_unlock(&l.q->guard); /* and tell nobody */
        }
        result = result_of(t);
        CHECK(!waits || result == 0);
        motet_queue_close(l.q);
    }
}

/* Arming anew is also leaving: told of an item, found it gone, told of the next. */
TEST(who_comes_too_late_is_told_again)
{
    int value = 1;
    motet_queue *q = queue_of(sizeof value, MOTET_FIFO, 0);
    queue_transfer transfer = {.item = &value};
    waitable w = {.ops = &motet__queue_get_waitable, .object = q, .arg = &transfer};
    wait_node node = {0};
    for (uint32_t i = 1; i < 5; i++) {
        CHECK_EQ(waitable_attempt(&w, &node), 0);
        CHECK_EQ(getters_of(q).waiting, 1);
        CHECK_EQ(getters_of(q).woken, 0);
        CHECK_EQ(q->getters_seq, node.expected);
        CHECK_EQ(motet_queue_put(q, &value, MOTET_NOWAIT), 0);
        CHECK_EQ(q->getters_seq, i);
        CHECK_EQ(motet_queue_get(q, &value, MOTET_NOWAIT), 0);
    }
    CHECK_EQ(motet_queue_put(q, &value, MOTET_NOWAIT), 0);
    CHECK_EQ(waitable_attempt(&w, &node), 1);
    waitable_retract(&w, &node);
    CHECK_EQ(getters_of(q).waiting | getters_of(q).woken, 0);
    motet_queue_close(q);
}

/* ---- the end --------------------------------------------------------------------------------------- */

static int put_last(void *q)
{
    int value = 9;
    return motet_queue_put(q, &value, MOTET_FOREVER);
}

/* Who got the last item closes the queue, while the put that brought it may not have returned. */
TEST(the_getter_of_the_last_item_may_close)
{
    for (int i = 0; i < 500; i++) {
        int value = 0;
        motet_queue *q = queue_of(sizeof value, MOTET_FIFO, 0);
        motet_thread *t = begin(put_last, q);
        CHECK_EQ(motet_queue_get(q, &value, MOTET_FOREVER), 0);
        motet_queue_close(q);
        CHECK_EQ(value, 9);
        CHECK_EQ(result_of(t), 0);
    }
}

static int finish_one(void *q)
{
    int value;
    CHECK_EQ(motet_queue_get(q, &value, MOTET_FOREVER), 0);
    return motet_queue_task_done(q);
}

TEST(who_joined_may_close)
{
    for (int i = 0; i < 500; i++) {
        int value = 0;
        motet_queue *q = queue_of(sizeof value, MOTET_FIFO, 0);
        CHECK_EQ(motet_queue_put(q, &value, MOTET_FOREVER), 0);
        motet_thread *t = begin(finish_one, q);
        CHECK_EQ(motet_queue_join(q, MOTET_FOREVER), 0);
        motet_queue_close(q);
        CHECK_EQ(result_of(t), 0);
    }
}
