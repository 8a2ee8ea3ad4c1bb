/* SPDX-License-Identifier: MIT */
/* The contract of a thing that select can wait for: a queue to put into or to get from, an event, a future.
 *
 * A waitable is seen through two functions. The caller keeps one wait_node for it, all zero at first; a node
 * whose `key` is set is *armed*: the thing knows of the interest, and it stays armed until retract.
 *
 *     NOT ARMED --attempt(node) 0--> ARMED --attempt(node) 0--> ARMED (anew) --retract--> NOT ARMED
 *
 * A caller that waits for several things arms each of them, parks on all the nodes (motet__park_many), and
 * attempts again, the thing whose node was woken first. When one went through, or it gives up, it retracts
 * every armed node.
 *
 * The thing's part: between the attempt that armed a node and its retract the thing is told of nothing; it
 * must see to it that word differs from expected, or a waiter of the key is woken, whenever an attempt might
 * go through. A wake is a hint. If the thing wakes one waiter for one piece of news, retract is where it
 * learns that this waiter goes and may have been told: it then tells another. (queue/queue.h has the proof
 * for queues.) */
#ifndef MOTET_PARK_WAITABLE_H
#define MOTET_PARK_WAITABLE_H

#include "park/park.h"

typedef struct waitable_ops {
    /* Does it if that is possible without waiting: 1. Otherwise nothing has happened and it returns 0, with
     * the node, unless that is NULL, armed: key, word and expected are set. Negative: it can't be done, now
     * or ever (-EPIPE, -ENOMEM); the node is as it was. Never waits. `arg` is what the kind of thing needs
     * for it. */
    int (*attempt)(void *object, void *arg, wait_node *node);
    /* The armed node is no longer waited on; it is unarmed (its key NULL) afterwards. NULL: nobody needs to
     * know. */
    void (*retract)(void *object, wait_node *node);
} waitable_ops;

typedef struct waitable {
    const waitable_ops *ops;
    void *object, *arg;
} waitable;

static inline int waitable_attempt(const waitable *w, wait_node *node)
{
    return w->ops->attempt(w->object, w->arg, node);
}

static inline void waitable_retract(const waitable *w, wait_node *node)
{
    if (!node->key)
        return;
    if (w->ops->retract)
        w->ops->retract(w->object, node);
    node->key = NULL;
}

#endif
