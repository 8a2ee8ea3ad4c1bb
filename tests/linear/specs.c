/* SPDX-License-Identifier: MIT */
/* The sequential objects that histories are held against. */
#include "linear/linear.h"

#include <errno.h>
#include <string.h>

static void init_empty(const linear_spec *s, linear_state *ret) { ret->flags = ret->count = 0; }

/* An operation that came back without having done anything, as a caller may see it at any time. */
static bool did_nothing(const linear_op *op)
{
    return !op->cut &&
           (op->result == -EBUSY || op->result == -ECANCELED || op->result == -EINTR || op->result == -ENOMEM);
}

/* ---- queues ---------------------------------------------------------------------------------------- */

enum { SHUT = 1 };

enum order { FIFO, LIFO, PRIORITY };

static void push(linear_state *q, enum order order, int32_t value)
{
    uint32_t at = q->count++;
    if (order == PRIORITY)
        for (; at && q->values[at - 1] >> 16 > value >> 16; at--)
            q->values[at] = q->values[at - 1];
    q->values[at] = value;
}

static int32_t pop(linear_state *q, enum order order)
{
    if (order == LIFO)
        return q->values[--q->count];
    int32_t value = q->values[0];
    memmove(q->values, q->values + 1, --q->count * sizeof *q->values);
    return value;
}

static bool apply_put(const linear_spec *s, linear_state *q, const linear_op *op, enum order order)
{
    int32_t n = op->kind == LINEAR_PUT ? 1 : op->arg;
    int32_t room = s->capacity ? s->capacity - (int32_t)q->count : INT32_MAX;
    if (q->flags & SHUT)
        return !op->cut && op->result == -EPIPE;
    if (!op->cut && op->result == -ETIMEDOUT)
        return room <= s->slack;
    if (room <= 0)
        return false;
    n = n < room ? n : room;
    if (!op->cut && op->result != (op->kind == LINEAR_PUT ? 0 : n))
        return false;
    for (int32_t i = 0; i < n; i++)
        push(q, order, op->values[i]);
    return true;
}

static bool apply_get(linear_state *q, const linear_op *op, enum order order)
{
    int32_t n = op->kind == LINEAR_GET ? 1 : op->arg;
    if (q->count == 0)
        return !op->cut && op->result == (q->flags & SHUT ? -EPIPE : -ETIMEDOUT);
    n = n < (int32_t)q->count ? n : (int32_t)q->count;
    if (!op->cut && op->result != (op->kind == LINEAR_GET ? 0 : n))
        return false;
    for (int32_t i = 0; i < n; i++)
        if (pop(q, order) != op->values[i] && !op->cut)
            return false;
    return true;
}

static bool apply_queue(const linear_spec *s, linear_state *q, const linear_op *op, enum order order)
{
    if (did_nothing(op))
        return true;
    switch (op->kind) {
    case LINEAR_PUT:
    case LINEAR_PUT_MANY: return apply_put(s, q, op, order);
    case LINEAR_GET:
    case LINEAR_GET_MANY: return apply_get(q, op, order);
    case LINEAR_SHUTDOWN: q->flags |= SHUT; return op->cut || op->result == 0;
    case LINEAR_SIZE: return !op->cut && op->result == (int32_t)q->count;
    default: return false;
    }
}

static bool apply_fifo(const linear_spec *s, linear_state *q, const linear_op *op)
{
    return apply_queue(s, q, op, FIFO);
}

static bool apply_lifo(const linear_spec *s, linear_state *q, const linear_op *op)
{
    return apply_queue(s, q, op, LIFO);
}

static bool apply_priority(const linear_spec *s, linear_state *q, const linear_op *op)
{
    return apply_queue(s, q, op, PRIORITY);
}

const linear_spec linear_fifo = {.name = "first in, first out", .init = init_empty, .apply = apply_fifo};
const linear_spec linear_lifo = {.name = "last in, first out", .init = init_empty, .apply = apply_lifo};
const linear_spec linear_priority = {.name = "least first", .init = init_empty, .apply = apply_priority};

/* ---- lock and semaphore: values[0] permits --------------------------------------------------------- */

static void init_permits(const linear_spec *s, linear_state *ret)
{
    *ret = (linear_state){.count = 1};
    ret->values[0] = s->initial;
}

static bool apply_acquire(linear_state *state, const linear_op *op)
{
    int32_t *permits = &state->values[0];
    if (*permits == 0)
        return !op->cut && op->result == -ETIMEDOUT;
    --*permits;
    return op->cut || op->result == 0;
}

static bool apply_lock(const linear_spec *s, linear_state *state, const linear_op *op)
{
    int32_t *permits = &state->values[0];
    if (did_nothing(op))
        return true;
    switch (op->kind) {
    case LINEAR_ACQUIRE: return apply_acquire(state, op);
    case LINEAR_RELEASE:
        if (*permits)
            return !op->cut && op->result == -EPERM;
        *permits = 1;
        return op->cut || op->result == 0;
    case LINEAR_VALUE: return !op->cut && op->result == !*permits;
    default: return false;
    }
}

static bool apply_semaphore(const linear_spec *s, linear_state *state, const linear_op *op)
{
    int32_t *permits = &state->values[0];
    if (did_nothing(op))
        return true;
    switch (op->kind) {
    case LINEAR_ACQUIRE: return apply_acquire(state, op);
    case LINEAR_RELEASE:
        if (s->limit && *permits > s->limit - op->arg)
            return !op->cut && op->result == -EOVERFLOW;
        *permits += op->arg;
        return op->cut || op->result == 0;
    case LINEAR_VALUE: return !op->cut && op->result == *permits;
    default: return false;
    }
}

const linear_spec linear_lock = {.name = "lock", .initial = 1, .init = init_permits, .apply = apply_lock};
const linear_spec linear_semaphore = {.name = "semaphore", .init = init_permits, .apply = apply_semaphore};

/* ---- counters: as many values as the highest key that was added to, and one ------------------------ */

static int32_t counter(const linear_state *state, int key) { return key < (int)state->count ? state->values[key] : 0; }

static bool apply_counters(const linear_spec *s, linear_state *state, const linear_op *op)
{
    if (op->key < 0 || op->key >= LINEAR_STATE_MAX)
        return false;
    if (did_nothing(op))
        return true;
    if (op->kind == LINEAR_READ)
        return !op->cut && op->result == counter(state, op->key);
    if (op->kind != LINEAR_ADD || (!op->cut && op->result != counter(state, op->key)))
        return false;
    while ((int)state->count <= op->key)
        state->values[state->count++] = 0;
    state->values[op->key] += op->arg;
    return true;
}

static int part_of_counter(const linear_op *op) { return op->key; }

const linear_spec linear_counters = {
    .name = "counters", .init = init_empty, .apply = apply_counters, .part = part_of_counter};
