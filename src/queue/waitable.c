/* SPDX-License-Identifier: MIT */
/* A queue as something to wait for. An armed node is a registration at a gate like that of a call that waits,
 * and the proof in queue.h is about registrations: arming anew is coming back and registering again,
 * retracting is leaving. */
#include "queue/waitable.h"

#include "queue/store.h"

/* Under the guard: registers the node at the gate, or says that it has come back and waits on. */
static void arm(gate *g, const uint32_t *seq, wait_node *node)
{
    if (!node)
        return;
    if (!node->key)
        g->waiting++;
    else
        g->woken -= g->woken > 0;
    node->key = node->word = seq;
    node->expected = *seq;
}

static void retract(motet_queue *q, gate *g)
{
    queue_lock(q);
    gate_leave(q, g);
    queue_unlock(q);
}

/* ---- get ------------------------------------------------------------------------------------------- */

/* Under the guard: 1 the next one can be had; 0; -EPIPE, -ENOMEM. A buffer that is too small is enlarged
 * without the guard. */
static int ready_to_get(motet_queue *q, queue_transfer *t)
{
    size_t room = q->item_size ? 0 : motet_buffer_size(t->buffer);
    while (q->count) {
        int e = q->item_size ? 1 : motet__queue_fit_buffer(q, t->buffer, &room);
        if (e != 0)
            return e;
    }
    return queue_is_shut(q) ? -EPIPE : 0;
}

static int attempt_get(void *object, void *arg, wait_node *node)
{
    motet_queue *q = object;
    queue_transfer *t = arg;
    motet_message *m = NULL;
    queue_lock(q);
    int e = ready_to_get(q, t);
    if (e != 1) {
        if (e == 0)
            arm(&q->getters, &q->getters_seq, node);
        queue_unlock(q);
        return e;
    }
    store_pop(q, q->item_size ? t->item : (void *)&m, q->copy_size);
    q->in_hand++;
    queue_unlock_taken(q);
    if (m)
        motet__message_to_buffer(m, t->buffer);
    return 1;
}

static void retract_get(void *object, wait_node *node)
{
    motet_queue *q = object;
    retract(q, &q->getters);
}

const waitable_ops motet__queue_get_waitable = {.attempt = attempt_get, .retract = retract_get};

/* ---- put ------------------------------------------------------------------------------------------- */

/* Under the guard: 1 there is room; 0; -EPIPE, -ENOMEM. The guard is dropped while the array grows. */
static int ready_to_put(motet_queue *q)
{
    while (!queue_is_shut(q)) {
        if (q->count >= q->capacity)
            return 0;
        if (q->count <= q->mask)
            return 1;
        int e = motet__queue_make_room(q, 1);
        if (e < 0 && q->count > q->mask)
            return e;
    }
    return -EPIPE;
}

static int attempt_put(void *object, void *arg, wait_node *node)
{
    motet_queue *q = object;
    queue_transfer *t = arg;
    queue_lock(q);
    int e = ready_to_put(q);
    if (e == 1) {
        store_push(q, q->item_size ? t->item : (void *)&t->message, q->copy_size);
        if (!q->item_size)
            t->message = NULL;
    } else if (e == 0) {
        arm(&q->putters, &q->putters_seq, node);
    }
    queue_unlock(q);
    return e;
}

static void retract_put(void *object, wait_node *node)
{
    motet_queue *q = object;
    retract(q, &q->putters);
}

const waitable_ops motet__queue_put_waitable = {.attempt = attempt_put, .retract = retract_put};
