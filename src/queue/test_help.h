/* SPDX-License-Identifier: MIT */
/* What the tests of queues and of select share: threads in one line, a small random number, and waiting until
 * somebody waits. */
#ifndef MOTET_QUEUE_TEST_HELP_H
#define MOTET_QUEUE_TEST_HELP_H

#include "queue/queue.h"
#include "runner.h"

#include <motet/thread.h>

static inline motet_thread *begin(motet_fn *fn, void *arg)
{
    motet_thread *t = NULL;
    CHECK_EQ(motet_thread_start(&t, fn, arg, NULL), 0);
    return t;
}

/* The thread's result, once it has ended. */
static inline int result_of(motet_thread *t)
{
    int code = 0;
    CHECK_EQ(motet_thread_join(t, &code, MOTET_FOREVER), 0);
    motet_thread_free(t);
    return code;
}

static inline motet_queue *queue_of(size_t item_size, motet_queue_order order, size_t capacity)
{
    motet_queue *q = NULL;
    motet_queue_options opt = {.order = order, .capacity = capacity};
    CHECK_EQ(motet_queue_open(&q, item_size, &opt), 0);
    return q;
}

/* How the queue stands, seen under its guard. */
static inline gate getters_of(motet_queue *q)
{
    queue_lock(q);
    gate g = q->getters;
    queue_unlock(q);
    return g;
}

static inline gate putters_of(motet_queue *q)
{
    queue_lock(q);
    gate g = q->putters;
    queue_unlock(q);
    return g;
}

static inline uint32_t joiners_of(motet_queue *q)
{
    queue_lock(q);
    uint32_t n = q->joiners;
    queue_unlock(q);
    return n;
}

/* Until exactly so many wait. */
static inline void await_getters(motet_queue *q, uint32_t n)
{
    while (getters_of(q).waiting != n)
        motet_yield();
}

static inline void await_putters(motet_queue *q, uint32_t n)
{
    while (putters_of(q).waiting != n)
        motet_yield();
}

static inline void await_joiners(motet_queue *q, uint32_t n)
{
    while (joiners_of(q) != n)
        motet_yield();
}

/* The next of a sequence that its seed decides. (xorshift32, George Marsaglia.) */
static inline uint32_t dice(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
