/* SPDX-License-Identifier: MIT */
/* Selects and plain calls that race on the same queues. Every item is got exactly once; a select that was
 * told of one queue and took from another leaves nobody asleep beside an item. */
#include "queue/test_help.h"

#include <motet/select.h>

enum { QUEUES = 3, PRODUCERS = 4, CONSUMERS = 4, EACH = 10000 };

typedef struct race {
    motet_queue *q[QUEUES];
    uint32_t seen[PRODUCERS * EACH];
    uint32_t producers, consumers;
    bool impatient;
    size_t capacity;
    motet_event never;
    uint32_t cancels;
    park_self *consumer[CONSUMERS];
} race;

static race arena;

static motet_time some_deadline(const race *r, uint32_t *seed)
{
    uint32_t d = dice(seed);
    if (!r->impatient || d % 3 == 0)
        return MOTET_FOREVER;
    return d % 3 == 1 ? MOTET_NOWAIT : motet_after(d % 100000);
}

/* Puts into one queue by its name, or into whichever has room. */
static int produce(void *arg)
{
    race *r = arg;
    uint32_t me = atomic_add_relaxed(&r->producers, 1), seed = me + 1;
    for (uint32_t k = 0; k < EACH;) {
        uint32_t item = me * EACH + k;
        motet_time deadline = some_deadline(r, &seed);
        int e;
        if (dice(&seed) % 2) {
            motet_choice c[QUEUES];
            for (int i = 0; i < QUEUES; i++)
                c[i] = (motet_choice){.op = MOTET_PUT, .queue = r->q[i], .item = &item};
            e = motet_select(c, QUEUES, deadline);
        } else {
            e = motet_queue_put(r->q[dice(&seed) % QUEUES], &item, deadline);
        }
        if (e < 0)
            CHECK(e == -ETIMEDOUT && deadline != MOTET_FOREVER);
        else
            k++;
    }
    return 0;
}

/* Gets from those queues that are not over; the first consumers from one queue each, by its name or by
 * select. */
static int consume(void *arg)
{
    race *r = arg;
    uint32_t me = atomic_add_relaxed(&r->consumers, 1), seed = me + 99, item = 0;
    park_self *self = motet__park_self();
    motet_choice c[QUEUES + 1];
    size_t n = 0;
    bool open[QUEUES]; /* those it still gets from */
    atomic_store_release(&r->consumer[me], self);
    for (int i = 0; i < QUEUES; i++)
        open[i] = me < QUEUES - 1 ? (int)me == i : true;
    for (;;) {
        n = 0;
        for (int i = 0; i < QUEUES; i++) {
            if (open[i])
                c[n++] = (motet_choice){.op = MOTET_GET, .queue = r->q[i], .item = &item};
        }
        if (n == 0)
            return 0;
        size_t queues = n;
        c[n++] = (motet_choice){.op = MOTET_SET, .event = &r->never};
        motet_time deadline = some_deadline(r, &seed);
        int e = queues == 1 && dice(&seed) % 2 ? motet_queue_get(c[0].queue, &item, deadline)
                                               : motet_select(c, n, deadline);
        if (e >= 0) {
            CHECK_LT(e, queues);
            CHECK_LT(item, PRODUCERS * EACH);
            atomic_add_relaxed(&r->seen[item], 1);
        } else if (e == -EPIPE) {
            for (int i = 0; i < QUEUES; i++) {
                for (size_t k = 0; k < queues; k++) {
                    if (c[k].queue == r->q[i] && (c[k].code == -EPIPE || queues == 1))
                        open[i] = false;
                }
            }
        } else if (e == -ECANCELED) {
            atomic_store_relaxed(&self->cancelled, 0); /* as no user can: alive again */
        } else {
            CHECK(e == -ETIMEDOUT && deadline != MOTET_FOREVER);
        }
    }
}

static int cancel(void *arg)
{
    race *r = arg;
    for (uint32_t i = 0; i < r->cancels; i++) {
        park_self *victim = atomic_load_acquire(&r->consumer[i % CONSUMERS]);
        if (victim)
            motet__park_cancel(victim);
        motet_yield();
    }
    return 0;
}

static void run(race settings)
{
    race *r = &arena;
    *r = settings;
    for (int i = 0; i < QUEUES; i++)
        r->q[i] = queue_of(sizeof(uint32_t), MOTET_FIFO, r->capacity);
    motet_thread *p[PRODUCERS], *c[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        c[i] = begin(consume, r);
    for (int i = 0; i < PRODUCERS; i++)
        p[i] = begin(produce, r);
    motet_thread *canceller = begin(cancel, r);
    for (int i = 0; i < PRODUCERS; i++)
        result_of(p[i]);
    result_of(canceller);
    for (int i = 0; i < QUEUES; i++)
        CHECK_EQ(motet_queue_shutdown(r->q[i]), 0);
    for (int i = 0; i < CONSUMERS; i++)
        result_of(c[i]);
    for (int i = 0; i < PRODUCERS * EACH; i++)
        CHECK_EQ(r->seen[i], 1);
    for (int i = 0; i < QUEUES; i++) {
        gate g = getters_of(r->q[i]), h = putters_of(r->q[i]);
        CHECK_EQ(g.waiting | g.woken | h.waiting | h.woken, 0);
        motet_queue_close(r->q[i]);
    }
}

TEST(patient) { run((race){.capacity = 1}); }

TEST(unbounded) { run((race){.capacity = 0}); }

TEST(impatient) { run((race){.capacity = 2, .impatient = true}); }

TEST(cancelled) { run((race){.capacity = 2, .cancels = 10000}); }

TEST(everything) { run((race){.capacity = 1, .cancels = 5000, .impatient = true}); }

/* ---- an event against its pulses ------------------------------------------------------------------- */

typedef struct pulse {
    motet_event ping, pong;
    motet_queue *idle;
} pulse;

enum { PULSES = 3000 };

static int answer(void *arg)
{
    pulse *p = arg;
    int item;
    motet_choice c[2] = {{.op = MOTET_GET, .queue = p->idle, .item = &item}, {.op = MOTET_SET, .event = &p->ping}};
    for (int i = 0; i < PULSES; i++) {
        CHECK_EQ(motet_select(c, 2, MOTET_FOREVER), 1);
        motet_event_clear(&p->ping);
        motet_event_set(&p->pong);
    }
    return 0;
}

TEST(events_to_and_fro)
{
    pulse p = {.idle = queue_of(4, MOTET_FIFO, 0)};
    motet_thread *t = begin(answer, &p);
    for (int i = 0; i < PULSES; i++) {
        motet_event_set(&p.ping);
        CHECK_EQ(motet_event_wait(&p.pong, MOTET_FOREVER), 0);
        motet_event_clear(&p.pong);
    }
    CHECK_EQ(result_of(t), 0);
    motet_queue_close(p.idle);
}
