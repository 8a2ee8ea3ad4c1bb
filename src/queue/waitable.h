/* SPDX-License-Identifier: MIT */
/* A queue as something to wait for: one waitable to get from it, one to put into it. */
#ifndef MOTET_QUEUE_WAITABLE_H
#define MOTET_QUEUE_WAITABLE_H

#include "park/waitable.h"
#include "queue/message.h"

/* What an attempt moves: its `arg`. */
typedef struct queue_transfer {
    void *item;             /* a queue of items; only read when it is put */
    motet_buffer *buffer;   /* a queue of messages, to get */
    motet_message *message; /* a queue of messages, to put; NULL once it is the queue's */
} queue_transfer;

extern const waitable_ops motet__queue_get_waitable, motet__queue_put_waitable;

#endif
