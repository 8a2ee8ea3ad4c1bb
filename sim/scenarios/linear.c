/* SPDX-License-Identifier: MIT */
/* Histories: each execution's calls of a lock, a semaphore, a queue, held against the sequential object (tests/linear).
 *
 * A call's moments are counts of the calls that were over. That a call was over before another began is seen by the other (a
 * release and an acquire of the count): so it is part of what orders steps, and no two schedules are taken for equivalent of
 * which it holds in one only. */
#include "help.h"

#include "linear/linear.h"

#include <stdio.h>
#include <string.h>

enum { CALLS_MAX = 12 };

static linear_spec spec;
static linear_op calls[CALLS_MAX];
static uint32_t calls_count, over;
static void *object; /* of the calls */

static linear_op *begin(linear_kind kind, int32_t value, int32_t arg)
{
    linear_op *op = &calls[atomic_add_relaxed(&calls_count, 1)];
    op->kind = kind;
    op->thread = (int)sim_self();
    op->values[0] = value;
    op->values[1] = value + 1;
    op->arg = arg;
    op->invoked = atomic_load_acquire(&over);
    return op;
}

/* True: it did what it is called. */
static bool end(linear_op *op, int result)
{
    op->result = result;
    op->returned = atomic_add_acq_rel(&over, 1);
    return result >= 0;
}

/* Whether the calls were those of one thread, on a line. */
static void judge(void)
{
    static const char *const names[] = {"put",  "get",     "put_many", "get_many", "shutdown",
                                        "size", "acquire", "release",  "value"};
    char text[480] = "";
    sim_join_all();
    if (linear_check(&spec, calls, calls_count) == LINEAR_RIGHT)
        return;
    for (uint32_t i = 0; i < calls_count; i++) {
        const linear_op *op = &calls[i];
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "; T%d %s(%d, %d) = %d from %lld to %lld", op->thread, names[op->kind],
                 op->values[0], op->arg, op->result, (long long)op->invoked, (long long)op->returned);
    }
    sim_fail("not linearizable: %s%s", spec.name, text);
}

/* ---- locks ----------------------------------------------------------------------------------------- */

static bool acquire(motet_time deadline)
{
    linear_op *op = begin(LINEAR_ACQUIRE, 0, 0);
    return end(op, motet_lock_acquire(object, deadline));
}

static void release(void)
{
    linear_op *op = begin(LINEAR_RELEASE, 0, 0);
    end(op, motet_lock_release(object));
}

static void takes_and_gives(void *arg)
{
    acquire(MOTET_FOREVER);
    release();
}

static void tries_and_gives(void *arg)
{
    if (acquire(sim_now() + 1000))
        release();
    linear_op *op = begin(LINEAR_VALUE, 0, 0);
    end(op, motet_lock_locked(object));
}

SIM_SCENARIO(linear_lock, .about = "a lock is taken, given back, tried for a time, asked: as if by one")
{
    static motet_lock lock;
    spec = linear_lock;
    object = &lock;
    sim_spawn(tries_and_gives, NULL, "hasty");
    sim_spawn(takes_and_gives, NULL, "patient");
    takes_and_gives(NULL);
    release(); /* nobody's, or another's */
    judge();
}

static bool permits(linear_kind kind, int32_t n, motet_time deadline)
{
    linear_op *op = begin(kind, 0, n);
    return end(op, kind == LINEAR_ACQUIRE   ? motet_semaphore_acquire(object, deadline)
                   : kind == LINEAR_RELEASE ? motet_semaphore_release(object, (unsigned)n)
                                            : (int)motet_semaphore_value(object));
}

static void takes_one(void *arg)
{
    permits(LINEAR_ACQUIRE, 1, MOTET_FOREVER);
    permits(LINEAR_RELEASE, 1, 0);
}

static void takes_one_in_time(void *arg)
{
    if (permits(LINEAR_ACQUIRE, 1, sim_now() + 1000))
        permits(LINEAR_RELEASE, 1, 0);
    permits(LINEAR_VALUE, 0, 0);
}

static void semaphore_of(unsigned limit)
{
    static motet_semaphore semaphore;
    SIM_CHECK_EQ(motet_semaphore_init(&semaphore, 1, limit ? MOTET_BOUNDED : 0), 0);
    spec = linear_semaphore;
    spec.initial = 1;
    spec.limit = (int32_t)limit;
    object = &semaphore;
    sim_spawn(takes_one_in_time, NULL, "hasty");
    sim_spawn(takes_one, NULL, "patient");
    permits(LINEAR_RELEASE, 1, 0);
    if (permits(LINEAR_ACQUIRE, 1, MOTET_NOWAIT))
        permits(LINEAR_RELEASE, 1, 0);
    judge();
}

SIM_SCENARIO(linear_semaphore, .about = "permits come and go: as if by one") { semaphore_of(0); }
SIM_SCENARIO(linear_semaphore_bounded, .about = "the same, of one permit at most") { semaphore_of(1); }

/* ---- queues ---------------------------------------------------------------------------------------- */

static void put(int32_t value, motet_time deadline)
{
    linear_op *op = begin(LINEAR_PUT, value, 1);
    end(op, motet_queue_put(object, &op->values[0], deadline));
}

static bool get(motet_time deadline)
{
    linear_op *op = begin(LINEAR_GET, 0, 1);
    return end(op, motet_queue_get(object, &op->values[0], deadline));
}

static void many(linear_kind kind, int32_t value)
{
    linear_op *op = begin(kind, value, 2);
    end(op, kind == LINEAR_PUT_MANY ? motet_queue_put_many(object, op->values, 2, MOTET_FOREVER)
                                    : motet_queue_get_many(object, op->values, 2, MOTET_FOREVER));
}

/* The least of their upper halves first. */
static int by_upper(const void *a, const void *b) { return (*(const int32_t *)a >> 16) - (*(const int32_t *)b >> 16); }

static void open_for(const linear_spec *order, int32_t capacity)
{
    motet_queue *q;
    motet_queue_options opt = {.capacity = (size_t)capacity, .order = MOTET_FIFO};
    if (order->apply == linear_lifo.apply)
        opt.order = MOTET_LIFO;
    if (order->apply == linear_priority.apply) {
        opt.order = MOTET_PRIORITY;
        opt.compare = by_upper;
    }
    SIM_CHECK_EQ(motet_queue_open(&q, sizeof(int32_t), &opt), 0);
    spec = *order;
    spec.capacity = capacity;
    object = q;
}

static void puts_two(void *arg)
{
    put(3 << 16 | 1, MOTET_FOREVER);
    put(1 << 16 | 2, MOTET_FOREVER);
}

static void puts_one_gets_one(void *arg)
{
    put(2 << 16 | 3, MOTET_FOREVER);
    get(MOTET_FOREVER);
}

/* Three items, and as many are got. */
static void queue_in(const linear_spec *order, int32_t capacity)
{
    open_for(order, capacity);
    sim_spawn(puts_two, NULL, "putter");
    sim_spawn(puts_one_gets_one, NULL, "both");
    for (int got = get(MOTET_NOWAIT); got < 2; got++)
        get(MOTET_FOREVER);
    judge();
    motet_queue_close(object);
}

SIM_SCENARIO(linear_fifo, .about = "a queue, as if by one") { queue_in(&linear_fifo, 0); }
SIM_SCENARIO(linear_fifo_full, .about = "the same through a queue of one") { queue_in(&linear_fifo, 1); }
SIM_SCENARIO(linear_lifo, .about = "a stack, as if by one") { queue_in(&linear_lifo, 0); }
SIM_SCENARIO(linear_priority, .about = "a priority queue, as if by one") { queue_in(&linear_priority, 2); }

static void puts_a_batch(void *arg) { many(LINEAR_PUT_MANY, 10); }

static void gets_a_batch(void *arg) { many(LINEAR_GET_MANY, 0); }

static void batches_in(const linear_spec *order)
{
    open_for(order, 0);
    sim_spawn(puts_a_batch, NULL, "putter");
    sim_spawn(gets_a_batch, NULL, "getter");
    put(5, MOTET_FOREVER);
    get(MOTET_NOWAIT);
    linear_op *op = begin(LINEAR_SHUTDOWN, 0, 0);
    end(op, motet_queue_shutdown(object));
    judge();
    motet_queue_close(object);
}

SIM_SCENARIO(linear_batches, .about = "batches against single items and a shutdown, as if by one")
{
    batches_in(&linear_fifo);
}
SIM_SCENARIO(linear_batches_lifo, .about = "the same of a stack") { batches_in(&linear_lifo); }

SIM_SCENARIO(broken_linear, .about = "a stack that is taken for a queue", .must_fail = true)
{
    open_for(&linear_lifo, 0);
    spec = linear_fifo;
    sim_spawn(puts_two, NULL, "putter");
    get(MOTET_FOREVER);
    get(MOTET_FOREVER);
    judge();
}
