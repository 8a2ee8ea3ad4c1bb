/* SPDX-License-Identifier: MIT */
/* A queue as something to wait for. An armed node is a registration at a gate like that of a call that waits,
 * and the proof in queue.h is about registrations: arming anew is coming back and registering again,
 * retracting is leaving. */
#include "queue/waitable.h"

#include "queue/ring.h"

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

/* 1; 0, with the node armed; -EPIPE; -EMSGSIZE, as motet__queue_get. */
static int get_or_arm(motet_queue *q, void *item, size_t *room, wait_node *node)
{
    queue_lock(q);
    int e = motet__store_get(q, item, 1, room);
    if (e > 0) {
        queue_unlock_taken(q);
        return e;
    }
    if (e == 0 && queue_is_shut(q))
        e = -EPIPE;
    else if (e == 0)
        arm(&q->getters, &q->getters_seq, node);
    queue_unlock(q);
    return e;
}

/* A buffer that is too small is enlarged without the guard. */
static int get_message_or_arm(motet_queue *q, motet_buffer *buffer, wait_node *node)
{
    size_t room = motet_buffer_size(buffer);
    motet_message *m;
    int e;
    while ((e = get_or_arm(q, &m, &room, node)) == -EMSGSIZE) {
        e = motet__message_make_room(buffer, room);
        if (e < 0)
            return e;
    }
    if (e == 1)
        motet__message_to_buffer(m, buffer);
    return e;
}

static int attempt_get(void *object, void *arg, wait_node *node)
{
    motet_queue *q = object;
    queue_transfer *t = arg;
    return q->item_size ? get_or_arm(q, t->item, NULL, node) : get_message_or_arm(q, t->buffer, node);
}

static void retract_get(void *object, wait_node *node)
{
    motet_queue *q = object;
    retract(q, &q->getters);
}

const waitable_ops motet__queue_get_waitable = {.attempt = attempt_get, .retract = retract_get};

/* ---- put ------------------------------------------------------------------------------------------- */

static int attempt_put(void *object, void *arg, wait_node *node)
{
    motet_queue *q = object;
    queue_transfer *t = arg;
    queue_lock(q);
    int e = motet__queue_put_now(q, q->item_size ? t->item : (void *)&t->message, 1);
    if (e == 1 && !q->item_size)
        t->message = NULL;
    if (e == 0)
        arm(&q->putters, &q->putters_seq, node);
    queue_unlock(q);
    return e;
}

static void retract_put(void *object, wait_node *node)
{
    motet_queue *q = object;
    retract(q, &q->putters);
}

const waitable_ops motet__queue_put_waitable = {.attempt = attempt_put, .retract = retract_put};
